"""Four log servers as processes of their own, a coordinator, two nodes: disks are drained, forgotten and lost, one disk more than
a log can bear, of its open epoch and of a closed one, and the loss is accepted.

usage: disks_test.py BUILD_DIR [unittest arguments]"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "deploy"))
from local_cluster import Operator, free_ports, kill_applications, service_of, serving  # noqa: E402

BUILD = None  # of the command line
SERVERS = ["s1", "s2", "s3", "s4"]
NODES = ["n1", "n2"]


class Cluster(Operator):
    def __init__(self, data):
        self.processes = {}
        coordinator, *ports = free_ports(1 + len(SERVERS) + len(NODES))
        self.coordinator = f"127.0.0.1:{coordinator}"
        super().__init__(BUILD, data, self.coordinator)
        self.log_ports = dict(zip(SERVERS, ports))
        self.ports = dict(zip(NODES, ports[len(SERVERS):]))
        self.start("c", ["coordinator", "--listen", self.coordinator, "--plugin-folder", BUILD / "lib/understudy/predictors"])
        for server in SERVERS:
            self.start_log(server)
        self.start("agents", ["agent", "--coordinators", self.coordinator, "--stop-applications", "--nodes",
                              ",".join(f"{node}:{port}" for node, port in self.ports.items())])

    def start(self, name, words):
        with open(self.data / f"{name}.log", "ab") as output:
            self.processes[name] = subprocess.Popen([BUILD / "bin/understudyd", *words, "--data-dir", self.data / name],
                                                    stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True)

    def start_log(self, name):
        self.start(name, ["log", "--node", name, "--log-listen", f"127.0.0.1:{self.log_ports[name]}", "--coordinators",
                          self.coordinator])

    def kill(self, name):
        self.processes[name].kill()
        self.processes[name].wait()

    def document(self, *words):
        return json.loads(self.command(*words, "--json").stdout)

    def on(self):
        """The log servers of kv's open epoch."""
        return sorted(disk["node"] for disk in self.document("logs", "kv")["logs"][0]["epochs"][-1]["disks"])

    def stop(self):
        for name in ("agents", *self.processes):
            if self.processes[name].poll() is None:
                self.processes[name].terminate()
                try:
                    self.processes[name].wait(20)
                except subprocess.TimeoutExpired:
                    self.kill(name)
        kill_applications(self.data)


class DisksTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.data = Path(tempfile.mkdtemp(prefix="disks-e2e-", dir=BUILD))
        cls.cluster = Cluster(cls.data)
        try:
            cls.cluster.wait("all disks and nodes are known", 60,
                             lambda status: len(status["disks"]) == 4 and len(status["nodes"]) == 2)
            path = cls.data / "kv.json"
            path.write_text(json.dumps({"name": "kv", "program": str(BUILD / "bin/resp_kv")}))
            cls.cluster.command("service", "apply", str(path))
            cls.cluster.wait("kv is served", 60, lambda status: serving(status, "kv"))
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

    def test_1_three_disks_by_default_and_drained_ones_are_left(self):
        cluster = self.cluster
        self.assertEqual(service_of(cluster.document("status"), "kv")["replicas"], 3)
        cluster.wait("its epoch has three disks", 30, lambda status: len(cluster.on()) == 3)
        victim = cluster.on()[0]
        self.assertIn("is draining", cluster.command("logs", "drain", victim).stdout)
        cluster.wait("the epoch has left it", 30, lambda status: victim not in cluster.on() and len(cluster.on()) == 3)
        disks = {disk["node"]: disk for disk in cluster.document("logs", "disks")["disks"]}
        self.assertEqual((disks[victim]["state"], disks[victim]["open_epochs"], disks[victim]["reachable"]), ("draining", 0, True))
        self.assertIn("no disk is on node 'nowhere'", self.refused("logs", "drain", "nowhere"))
        cluster.command("logs", "undrain", victim)
        self.assertIn("drain it", self.refused("logs", "remove-disk", disks[victim]["disk"]))
        self.assertEqual(cluster.document("logs", "rebalance", "--dry-run")["moves"], [])

    def test_2_a_loss_is_accepted_only_with_the_right_word(self):
        cluster = self.cluster
        self.assertIn("nothing is lost", self.refused("logs", "accept-data-loss", "kv"))
        primary = serving(cluster.document("status"), "kv")["primary"]
        lost = cluster.on()[:2]
        for server in lost:
            cluster.kill(server)
        os.kill(primary["pid"], signal.SIGKILL)
        for server in lost:
            shutil.rmtree(self.data / server)
        waiting = cluster.wait("the takeover says what it waits for", 60, lambda status: service_of(status, "kv")["waiting"])
        for server in lost:
            self.assertIn(f"({server})", waiting)
        self.assertIn("waits: ", cluster.command("status").stdout)
        self.assertIn(f"--confirm-node-is-off {primary['node']}", self.refused("logs", "accept-data-loss", "kv"))
        other = next(node for node in NODES if node != primary["node"])
        self.refused("logs", "accept-data-loss", "kv", "--confirm-node-is-off", other)
        gone = cluster.document("logs", "accept-data-loss", "kv", "--confirm-node-is-off", primary["node"])
        self.assertGreater(gone["lost_to"] - gone["lost_from"], 1 << 31)
        cluster.wait("kv is served", 60, lambda status: serving(status, "kv"))
        epochs = cluster.document("logs", "kv")["logs"][0]["epochs"]
        self.assertEqual(epochs[-1]["first_lsn"], gone["lost_to"] + 1)
        kinds = {event["kind"] for event in cluster.document("events")["events"]}
        self.assertLessEqual({"data_loss_accepted", "data_lost"}, kinds)
        self.assertIn("LOSS", cluster.command("logs", "read", "kv", "--from", "1").stdout)

    def test_3_what_is_lost_of_a_closed_epoch_is_given_up_and_the_rest_goes_on(self):
        cluster = self.cluster
        cluster.command("service", "remove", "kv")
        path = self.data / "one.json"
        path.write_text(json.dumps({"name": "one", "program": str(BUILD / "bin/resp_kv"), "replicas": 1,
                                    "checkpoint_interval_ms": 86_400_000}))
        cluster.command("service", "apply", str(path))
        primary = cluster.wait("one is served", 60, lambda status: serving(status, "one"))["primary"]

        def ask(*words):
            port = primary["endpoint"].rsplit(":", 1)[1]
            return subprocess.run(["redis-cli", "-p", port, *words], capture_output=True, text=True, timeout=30,
                                  check=False).stdout.strip()

        def epochs():
            return cluster.document("logs", "one")["logs"][0]["epochs"]

        self.assertEqual(ask("SET", "before", "kept by the primary"), "OK")
        lost = epochs()[-1]
        server = lost["disks"][0]["node"]
        self.assertIn("is open", self.refused("logs", "accept-data-loss", "one", "--epoch", str(lost["epoch"])))
        # Its only disk hangs, so the writer goes on with another; then the closed epoch's one copy is gone.
        self.cluster.processes[server].send_signal(signal.SIGSTOP)
        cluster.wait("the writer has left it", 60, lambda status: epochs()[-1]["epoch"] > lost["epoch"])
        self.assertIn("no log server says", self.refused("logs", "accept-data-loss", "one", "--epoch", str(lost["epoch"])))
        cluster.kill(server)
        shutil.rmtree(self.data / server)
        cluster.start_log(server)
        self.assertEqual(ask("SET", "after", "1"), "OK")

        def verdict(_):
            told = cluster.command("logs", "accept-data-loss", "one", "--epoch", str(lost["epoch"]), check=False).stderr
            return told if "--confirm-lost-from" in told else None
        told = cluster.wait("repair says that it is lost", 90, verdict)
        self.assertIn(f"--confirm-lost-from {lost['first_lsn']}", told)
        self.assertIn("is on no disk that is left", told)
        self.refused("logs", "accept-data-loss", "one", "--epoch", str(lost["epoch"]), "--confirm-lost-from", "7")
        gone = cluster.document("logs", "accept-data-loss", "one", "--epoch", str(lost["epoch"]), "--confirm-lost-from",
                                str(lost["first_lsn"]))
        self.assertEqual(gone["lost_from"], lost["first_lsn"])
        self.assertEqual(gone["lost_to"], epochs()[-1]["first_lsn"] - 1)
        self.assertIn(f"LOSS {gone['lost_from']} to {gone['lost_to']}",
                      " ".join(cluster.command("logs", "read", "one", "--from", "1").stdout.split()))
        # The primary was asked for a checkpoint: with it nothing is lost to who comes after.
        cluster.wait("a checkpoint is listed", 30, lambda status: service_of(status, "one")["checkpoints"] > 0)
        os.kill(primary["pid"], signal.SIGKILL)
        primary = cluster.wait("it is served again", 60, lambda status: (
            (service := serving(status, "one")) and service["primary"]["pid"] != primary["pid"] and service))["primary"]
        self.assertEqual([ask("GET", "before"), ask("GET", "after")], ["kept by the primary", "1"])


if __name__ == "__main__":
    BUILD = Path(sys.argv.pop(1)).resolve()
    unittest.main(verbosity=2)
