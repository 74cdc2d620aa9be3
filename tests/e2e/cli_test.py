"""The operator's command against a real cluster, and its benchmarks with servers of their own.

usage: cli_test.py BUILD_DIR [unittest arguments]"""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "deploy"))
from local_cluster import Cluster, serving  # noqa: E402

BUILD = None  # of the command line


def spare_of(status):
    service = serving(status, "kv")
    spare = service and service["spare"]
    return spare if spare and spare["state"] == "MIRRORING" and spare["caught_up"] else None


class CommandTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.data = Path(tempfile.mkdtemp(prefix="cli-e2e-", dir=BUILD))
        cls.cluster = Cluster(BUILD, cls.data, ["n1", "n2", "n3"])
        try:
            cls.cluster.wait("all nodes are known", 30, lambda status: len(status["nodes"]) == 3)
            bounds = [{"metric": "proc.rss_bytes", "above": "4 GiB"}]
            cls.cluster.apply({"name": "kv", "program": str(BUILD / "bin/resp_kv"), "standby": True,
                               "predictors": [{"plugin": "threshold", "config": {"bounds": bounds}}]})
            cls.cluster.wait("a spare mirrors kv", 60, spare_of)
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.cluster.stop()
        shutil.rmtree(cls.data, ignore_errors=True)

    def refused(self, *words):
        done = self.cluster.command(*words, check=False)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        return done.stderr

    def test_status_says_who_serves(self):
        text = self.cluster.command("status").stdout
        self.assertIn("1 service, 3 nodes, 1 free", text)
        self.assertRegex(text, r"kv +SERVING +n\d 127\.0\.0\.1:\d+ ")
        self.assertRegex(text, r"n\d MIRRORING")
        self.assertNotIn("\033", text)

    def test_forecasts_arrive(self):
        def combined(status):
            forecast = (serving(status, "kv") or {}).get("forecast") or {}
            return forecast if forecast.get("status") == "OK" else None
        forecast = self.cluster.wait("a forecast of all predictors together", 30, combined)
        self.assertEqual(forecast["predictor"], "ensemble")
        self.assertIn("threshold", forecast["reason"])  # whose word it is

    def test_logs(self):
        log = json.loads(self.cluster.command("logs", "kv", "--json").stdout)["logs"][0]
        self.assertEqual(log["name"], "kv")
        self.assertIsNone(log["epochs"][-1]["last_lsn"])
        self.assertTrue(all(disk["ok"] for disk in log["disks"]))
        self.assertIn("open", self.cluster.command("logs", "--epochs").stdout)
        self.assertIn("no log 'none'", self.refused("logs", "none"))

    def test_events_and_services(self):
        events = json.loads(self.cluster.command("events", "--json").stdout)["events"]
        self.assertEqual([event["seq"] for event in events], sorted(event["seq"] for event in events))
        self.assertIn("service_applied", {event["kind"] for event in events})
        self.assertIn("threshold", self.cluster.command("service", "list").stdout)

    def test_a_wrong_service_file_names_the_field(self):
        path = self.data / "wrong.json"
        config = {"bounds": [{"metric": "proc.rss_bytes", "abvoe": 1}]}
        path.write_text(json.dumps({"name": "x", "program": "/bin/true", "predictors": [{"plugin": "threshold", "config": config}]}))
        self.assertIn("bounds[0].abvoe: unknown field", self.refused("service", "apply", str(path)))

    def test_doctor(self):
        done = self.cluster.command("doctor", "--json", "--data-dir", str(self.data), check=False)
        findings = {one["check"]: one for one in json.loads(done.stdout)["findings"]}
        self.assertEqual(done.returncode, 0, done.stdout)
        for check in ("coordinator", "service kv", "log kv", "spare kv", "disk", "plugin threshold"):
            self.assertEqual(findings[check]["verdict"], "ok" if check != "disk" else findings[check]["verdict"], check)

    def test_switchover(self):
        primary = serving(self.cluster.status(), "kv")["primary"]["node"]
        self.assertIn("runs on", self.refused("switchover", "kv", "--to", primary))
        self.assertIn("no service 'none'", self.refused("switchover", "none"))
        spare = self.cluster.wait("a spare mirrors kv", 60, spare_of)["node"]
        self.cluster.command("switchover", "kv")
        self.assertEqual(self.cluster.wait("kv is served", 30, lambda status: serving(status, "kv"))["primary"]["node"], spare)
        # To a node that mirrors nothing: it is prepared first.
        def idle(status):
            return next((node["name"] for node in status["nodes"] if node["state"] == "WARM" and spare_of(status)), None)
        other = self.cluster.wait("a node is idle", 60, idle)
        self.cluster.command("switchover", "kv", "--to", other)
        self.assertEqual(self.cluster.wait("kv is served", 30, lambda status: serving(status, "kv"))["primary"]["node"], other)

    def test_pause(self):
        self.cluster.command("pause")
        self.assertIn("PAUSED", self.cluster.command("status").stdout)
        self.cluster.command("resume")
        self.assertNotIn("PAUSED", self.cluster.command("status").stdout)

    def test_exit_codes(self):
        program = BUILD / "bin/understudy"
        for words, code, text in ((["stats"], 2, "did you mean 'status'?"), (["events", "--after", "x"], 2, "--after"), ([], 2, ""),
                                  (["status", "--coordinator", "127.0.0.1:1"], 3, "is understudyd running"),
                                  (["doctor", "--coordinator", "127.0.0.1:1"], 1, ""), (["help"], 0, ""), (["version"], 0, "")):
            done = subprocess.run([program, *words], capture_output=True, text=True, timeout=60, check=False, cwd=self.data)
            self.assertEqual(done.returncode, code, words)
            self.assertIn(text, done.stderr)


class BenchTest(unittest.TestCase):
    def bench(self, *words):
        folder = tempfile.mkdtemp(prefix="bench-e2e-", dir=BUILD)
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        done = subprocess.run([BUILD / "bin/understudy", "bench", *words, "--json", "--data-dir", folder], capture_output=True,
                              text=True, timeout=240, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(os.listdir(folder), [], "what it started is removed")
        return json.loads(done.stdout)

    def test_append(self):
        for words, records in ((["--sync", "--records", "200"], 200), (["--threads", "8", "--records", "400"], 400),
                               (["--window", "256", "--records", "20000"], 20000)):
            result = self.bench("append", *words)
            self.assertEqual(result["records"], records)
            self.assertGreater(result["p50_us"], 0)
            self.assertGreaterEqual(result["p99_us"], result["p50_us"])
            self.assertGreater(result["server_peak_bytes"], 0)

    def test_append_to_three_log_servers(self):
        result = self.bench("append", "--replicas", "3", "--ack", "2", "--threads", "8", "--records", "400")
        self.assertEqual((result["records"], result["replicas"], result["ack"]), (400, 3, 2))

    def test_repair(self):
        result = self.bench("repair", "--megabytes", "8", "--seconds", "1", "--rate", "500")
        self.assertEqual(result["repaired_bytes"], 8 << 20)
        self.assertGreater(result["repair_seconds"], 0)
        for writer in ("sync", "paced"):
            self.assertGreater(result[writer]["quiet"]["n"], 0)
            self.assertGreater(result[writer]["quiet"]["p99_us"], 0)

    def test_servers_end_with_a_benchmark_that_is_killed(self):
        folder = tempfile.mkdtemp(prefix="bench-e2e-", dir=BUILD)
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        process = subprocess.Popen([BUILD / "bin/understudy", "bench", "append", "--replicas", "3", "--sync", "--records", "10000000",
                                    "--data-dir", folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.wait_for_processes(folder, 5)  # the benchmark, a coordinator, three log servers
        process.kill()
        process.wait(60)
        self.wait_for_processes(folder, 0)

    def test_an_interrupt_ends_appends_that_nobody_answers(self):
        for mode, said in ((["--sync"], "interrupted"), (["--window", "64"], "")):
            with self.subTest(mode=mode):
                folder = tempfile.mkdtemp(prefix="bench-e2e-", dir=BUILD)
                self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
                process = subprocess.Popen([BUILD / "bin/understudy", "bench", "append", "--replicas", "3", "--ack", "2", *mode,
                                            "--records", "1000000000", "--data-dir", folder],
                                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                self.addCleanup(process.kill)
                servers = self.wait_for_processes(folder, 5)
                listen = next(words[words.index("--listen") + 1] for words in servers.values() if "--listen" in words)
                self.wait_for_appends(listen)
                for pid, words in servers.items():
                    if "log2" in words or "log3" in words:
                        os.kill(pid, signal.SIGKILL)  # one is left: no quorum
                self.wait_for_processes(folder, 3)  # until they are gone an append may still be answered
                process.terminate()
                stderr = process.communicate(timeout=60)[1]
                self.assertEqual(process.returncode, 1, stderr)
                self.assertIn(said, stderr)
                self.assertEqual(os.listdir(folder), [], "what it started is removed")

    def wait_for_appends(self, coordinator):
        deadline = time.monotonic() + 60
        while True:
            done = subprocess.run([BUILD / "bin/understudy", "logs", "--json", "--coordinator", coordinator], capture_output=True,
                                  text=True, timeout=60, check=False)
            if done.returncode == 0 and any(log["commit"] > 100 for log in json.loads(done.stdout)["logs"]):
                return
            self.assertLess(time.monotonic(), deadline, done.stderr)
            time.sleep(0.02)  # between two looks

    def wait_for_processes(self, word, count):
        deadline = time.monotonic() + 60
        while True:
            lines = subprocess.run(["ps", "-eo", "pid=,stat=,args="], capture_output=True, text=True, check=True).stdout.splitlines()
            found = [line.split() for line in lines if word in line and line.split()[1][0] != "Z"]
            if len(found) == count:
                return {int(pid): words for pid, _, *words in found}
            self.assertLess(time.monotonic(), deadline, found)
            time.sleep(0.02)  # between two looks

    def test_replay(self):
        result = self.bench("replay", "--records", "30000", "--lanes", "2")
        self.assertEqual(result["records"], 30000)
        self.assertGreater(result["records_per_s"], 0)

    def test_takeover(self):
        result = self.bench("takeover", "--moves", "2", "--kills", "2", "--behind", "2000", "--behind-kills", "1")
        self.assertEqual((result["planned"]["n"], result["killed"]["n"], result["lost"]), (2, 2, 0))
        self.assertEqual(result["killed_warm"][0]["records_behind"], 2000)
        self.assertGreater(result["planned"]["max_ms"], 0)

    def test_takeover_of_a_cluster_of_processes(self):
        result = self.bench("takeover", "--log-servers", "3", "--coordinators", "2", "--etcd", "1", "--moves", "1", "--kills", "1",
                            "--node-deaths", "1", "--behind", "none", "--lengths", "2000", "--length-kills", "1")
        self.assertEqual([result[kind]["n"] for kind in ("planned", "killed", "dead_node")], [1, 1, 1])
        self.assertEqual((result["killed_by_length"][0]["records"], result["killed_by_length"][0]["n"], result["lost"]), (2000, 1, 0))
        self.assertGreater(result["dead_node"]["max_ms"], result["killed"]["max_ms"], "a dead node is noticed by its silence")

    def test_progress_on_a_terminal(self):
        folder = tempfile.mkdtemp(prefix="bench-e2e-", dir=BUILD)
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        ours, theirs = pty.openpty()
        process = subprocess.Popen([BUILD / "bin/understudy", "bench", "append", "--sync", "--records", "1000000", "--data-dir", folder],
                                   stdout=subprocess.DEVNULL, stderr=theirs)
        os.close(theirs)
        seen = b""
        while b"] " not in seen:  # the bar comes after a second, or the test's time limit does
            seen += os.read(ours, 4096)
        self.assertIn(b"append [", seen)
        process.terminate()  # as Ctrl-C: it ends in order
        self.assertEqual(process.wait(60), 1)
        os.close(ours)
        self.assertEqual(os.listdir(folder), [])


if __name__ == "__main__":
    BUILD = Path(sys.argv.pop(1)).resolve()
    unittest.main(verbosity=2)
