"""Two coordinators on a real etcd, a service under a checking load, and the leading coordinator killed or stopped in the
middle of moves, planned and not: every move ends, one node is primary, no acknowledged write is lost.

usage: coordinators_test.py BUILD_DIR [unittest arguments]"""

import json
import os
import random
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
from local_cluster import Load, Operator, free_ports, kill_applications, node_of, serving  # noqa: E402

BUILD = None  # of the command line
ROUNDS = int(os.environ.get("UNDERSTUDY_ROUNDS", "8"))
SEED = int(os.environ.get("UNDERSTUDY_SEED", "0")) or random.randrange(1, 1 << 31)
NODES = ["n1", "n2", "n3"]
LEASE_MS = 1000


class Process:
    """One process of the cluster, startable again on the same ports and data."""

    def __init__(self, data, name, words):
        self.data, self.name, self.words = data, name, words
        self.popen = None
        self.start()

    def start(self):
        self.stopped = False
        with open(self.data / f"{self.name}.log", "ab") as output:
            self.popen = subprocess.Popen(self.words, stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                                          start_new_session=True)

    def signal(self, number):
        self.popen.send_signal(number)
        self.stopped = number == signal.SIGSTOP

    def kill(self):
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()

    def end(self):
        """In order; its exit status."""
        self.popen.terminate()
        return self.popen.wait(20)


class Cluster(Operator):
    def __init__(self, data):
        etcd, peer, log, *ports = free_ports(3 + 2 + len(NODES))
        addresses = [f"127.0.0.1:{port}" for port in ports[:2]]
        super().__init__(BUILD, data, ",".join(addresses))
        self.endpoints = [f"127.0.0.1:{port}" for port in ports[2:]]
        client, other = f"http://127.0.0.1:{etcd}", f"http://127.0.0.1:{peer}"
        self.etcd = Process(data, "etcd", [
            "etcd", "--name", "e1", "--data-dir", data / "etcd", "--listen-client-urls", client, "--advertise-client-urls",
            client, "--listen-peer-urls", other, "--initial-advertise-peer-urls", other, "--initial-cluster",
            f"e1={other}", "--log-level", "error"])
        daemon = BUILD / "bin/understudyd"
        shared = ["--plugin-folder", BUILD / "lib/understudy/predictors"]
        self.leaders = {}
        for number, address in enumerate(addresses, 1):
            self.leaders[address] = Process(data, f"c{number}", [
                daemon, "coordinator", "--data-dir", data / f"c{number}", "--node", f"c{number}", "--listen", address,
                "--metadata", "etcd", "--etcd-endpoints", client, "--lease-ms", str(LEASE_MS), *shared])
        self.log = Process(data, "log", [daemon, "log", "--data-dir", data / "log", "--node", "l1", "--log-listen",
                                         f"127.0.0.1:{log}", "--coordinators", self.coordinators])
        self.agents = Process(data, "agents", [
            daemon, "agent", "--data-dir", data / "agents", "--coordinators", self.coordinators, "--stop-applications",
            "--nodes", ",".join(f"{node}:{end.rsplit(':', 1)[1]}" for node, end in zip(NODES, self.endpoints))])

    def leader(self):
        """The process that leads."""
        status = self.wait("a coordinator leads", 20, lambda status: status)
        return self.leaders[next(one["address"] for one in status["coordinators"] if one["leads"])]

    def stop(self):
        for process in (self.agents, self.log, *self.leaders.values(), self.etcd):
            if process.popen.poll() is None:
                process.signal(signal.SIGCONT)
        if self.agents.popen.poll() is None:
            self.agents.end()
        for process in (self.log, *self.leaders.values(), self.etcd):
            process.kill()
        kill_applications(self.data)


def mirrored(status):
    """The service when it is served and a caught-up spare mirrors it."""
    service = serving(status, "kv")
    spare = service and service["spare"]
    ready = spare and spare["state"] == "MIRRORING" and spare["caught_up"] and not service["move"]
    return service if ready else None


class CoordinatorsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.data = Path(tempfile.mkdtemp(prefix="coordinators-e2e-", dir=BUILD))
        cls.cluster = Cluster(cls.data)
        cls.random = random.Random(SEED)
        print(f"seed {SEED} (UNDERSTUDY_SEED={SEED} draws the same)", flush=True)
        try:
            cls.cluster.wait("all nodes are known", 60, lambda status: len(status["nodes"]) == len(NODES))
            path = cls.data / "kv.json"
            path.write_text(json.dumps({"name": "kv", "program": str(BUILD / "bin/resp_kv"), "spare": "WARM",
                                        "standby": True}), encoding="utf-8")
            cls.cluster.command("service", "apply", str(path))
            cls.cluster.wait("a spare mirrors kv", 60, mirrored)
            cls.load = Load(BUILD, cls.data, ["kv"], cls.cluster.endpoints, ["--connections", "3", "--keys", "200"])
        except BaseException:
            cls.cluster.stop()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.load.stop()
        cls.cluster.stop()
        if not os.environ.get("UNDERSTUDY_KEEP"):
            shutil.rmtree(cls.data, ignore_errors=True)

    def acknowledged(self):
        return self.load.ask("status")["services"]["kv"]["acked"]

    def writes_go_on(self, since):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.acknowledged() > since + 50:
                return
            time.sleep(0.05)
        self.fail("writes do not go on")

    def one_primary(self):
        """Every node that says it is primary of kv; there is one when moves have ended."""
        def check(status):
            primaries = [node["name"] for node in status["nodes"]
                         if node["alive"] and node["state"] == "PRIMARY" and node["service"] == "kv"]
            return len(primaries) == 1 and mirrored(status) and primaries
        return self.cluster.wait("one node is primary and a spare mirrors", 60, check)[0]

    def strike(self, leader, how):
        """The leading coordinator is lost in the given way; returns what brings it back."""
        if how == "kill":
            leader.kill()
            return leader.start
        if how == "stop":
            leader.signal(signal.SIGSTOP)
            return lambda: leader.signal(signal.SIGCONT)
        self.assertEqual(leader.end(), 0)
        return leader.start

    def test_1_the_leader_is_lost_in_the_middle_of_moves(self):
        cluster = self.cluster
        for number in range(ROUNDS):
            how = ("kill", "stop")[number % 2]
            planned = number // 2 % 2 == 0
            with self.subTest(round=number, how=how, planned=planned, seed=SEED):
                before = cluster.wait("a spare mirrors kv", 60, mirrored)
                epoch, primary = before["epoch"], before["primary"]
                term = cluster.status()["term"]
                leader = cluster.leader()
                switch = None
                if planned:
                    switch = subprocess.Popen([BUILD / "bin/understudy", "switchover", "kv", "--coordinators",
                                               cluster.coordinators], stdout=subprocess.PIPE,
                                              stderr=subprocess.STDOUT, text=True)
                else:
                    os.kill(primary["pid"], signal.SIGKILL)
                # A planned move takes a few milliseconds from when the command has begun: strike around there.
                time.sleep(self.random.uniform(0, 0.06))
                back = self.strike(leader, how)
                after = cluster.wait("another coordinator leads", 20, lambda status: status["term"] > term and status)
                if switch:
                    switch.communicate(timeout=60)
                else:
                    cluster.wait("the primary was replaced", 30, lambda status: (
                        lambda service: service and service["epoch"] > epoch)(serving(status, "kv")))
                acked = self.acknowledged()
                self.writes_go_on(acked)
                # What was stopped wakes up and does no harm: nothing moves but what was asked for.
                back()
                self.one_primary()
                settled = cluster.status()
                self.assertGreater(settled["term"], term, after)
                self.assertLessEqual(serving(settled, "kv")["epoch"], epoch + 2)

    def test_2_a_leader_that_ends_in_order_hands_over_at_once(self):
        self.cluster.wait("a spare mirrors kv", 60, mirrored)
        term = self.cluster.status()["term"]
        leader = self.cluster.leader()
        self.strike(leader, "end")
        began = time.monotonic()
        self.cluster.wait("the other leads", 20, lambda status: status["term"] > term)
        took = time.monotonic() - began
        leader.start()
        self.assertLess(took, LEASE_MS / 1000, "it waited for the lease")
        self.cluster.wait("both are there", 20, lambda status: len(status["coordinators"]) == 2)

    def test_3_without_metadata_everything_runs_on(self):
        before = self.cluster.wait("a spare mirrors kv", 60, mirrored)
        self.cluster.etcd.signal(signal.SIGSTOP)
        try:
            for _ in range(4):
                acked = self.acknowledged()
                time.sleep(1)
                self.writes_go_on(acked)
            self.assertEqual(self.cluster.command("status", check=False).returncode, 3)
        finally:
            self.cluster.etcd.signal(signal.SIGCONT)
        self.cluster.wait("a coordinator leads again", 30, lambda status: status)
        after = self.cluster.wait("kv is served as before", 30, mirrored)
        self.assertEqual((after["epoch"], after["primary"]["node"]), (before["epoch"], before["primary"]["node"]))
        self.assertTrue(node_of(self.cluster.status(), before["primary"]["node"])["alive"])
        self.cluster.command("switchover", "kv")
        self.one_primary()

    def test_4_pause_outlives_its_coordinator(self):
        self.cluster.command("pause")
        term = self.cluster.status()["term"]
        leader = self.cluster.leader()
        leader.kill()
        self.assertTrue(self.cluster.wait("the other leads", 20, lambda status: status["term"] > term and status)["paused"])
        leader.start()
        self.cluster.command("resume")

    def test_9_nothing_acknowledged_was_lost(self):
        report = self.load.ask("verify")
        print(json.dumps({key: value for key, value in report.items() if key != "services"}), flush=True)
        self.assertTrue(report["ok"], report)
        self.assertGreater(report["acked"], 1000)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    BUILD = Path(sys.argv.pop(1)).resolve()
    unittest.main(verbosity=2)
