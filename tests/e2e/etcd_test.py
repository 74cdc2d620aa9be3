"""A service on three log servers whose metadata are in a real etcd, while etcd freezes, loses its quorum or its leader.

usage: etcd_test.py BUILD_DIR [unittest arguments]"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "deploy"))
from local_cluster import Failed, Load, Operator, free_ports, kill_applications, service_of, serving  # noqa: E402
from etcd_processes import Etcd  # noqa: E402

BUILD = None  # of the command line
NODES = ["n1", "n2", "n3"]
# Longer than every timeout on the way to etcd, and than the node and takeover timeouts below.
OUTAGE_S = float(os.environ.get("UNDERSTUDY_OUTAGE_S", "6"))
SILENCE_S_MAX = 1.5  # a healthy primary on a busy machine acknowledges something in that time


class Roles(Operator):
    """understudyd coordinator, three log servers and one understudyd with the agents, each a process."""

    def __init__(self, data, etcd):
        self.etcd, self.processes = etcd, {}
        ports = free_ports(1 + 3 + len(NODES))
        self.coordinator = f"127.0.0.1:{ports[0]}"
        super().__init__(BUILD, data, self.coordinator)
        self.endpoints = [f"127.0.0.1:{port}" for port in ports[4:]]
        self.flags = {"coordinator": ["coordinator", "--listen", self.coordinator, "--metadata", "etcd", "--etcd-endpoints",
                                      etcd.endpoints, "--takeover-timeout-ms", "2000"],
                      "agents": ["agent", "--coordinators", self.coordinator, "--stop-applications", "--nodes",
                                 ",".join(f"{node}:{port}" for node, port in zip(NODES, ports[4:]))]}
        for i in range(3):
            self.flags[f"log{i}"] = ["log", "--log-listen", f"127.0.0.1:{ports[1 + i]}", "--node", f"s{i}",
                                     "--coordinators", self.coordinator]
        for name in self.flags:
            self.start(name)

    def start(self, name):
        with open(self.data / f"{name}.log", "ab") as output:
            self.processes[name] = subprocess.Popen(
                [BUILD / "bin/understudyd", *self.flags[name], "--data-dir", self.data / name],
                stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True)

    def check(self):
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise Failed(f"{name} ended by itself (status {process.returncode}), see {self.data}/{name}.log")

    def stop(self):
        for name in sorted(self.processes):  # agents first: they stop the applications
            self.processes[name].terminate()
            try:
                self.processes[name].wait(15)
            except subprocess.TimeoutExpired:
                self.processes[name].kill()
                self.processes[name].wait()
        kill_applications(self.data)


class ServedCase(unittest.TestCase):
    """kv, served and mirrored."""
    MEMBERS = 3

    @classmethod
    def setUpClass(cls):
        cls.data = Path(tempfile.mkdtemp(prefix="etcd-e2e-", dir=BUILD))
        cls.etcd = Etcd(cls.data, cls.MEMBERS)
        cls.roles = Roles(cls.data, cls.etcd)
        try:
            cls.roles.wait("all nodes and disks are known", 30,
                           lambda status: len(status["nodes"]) == len(NODES) and len(status.get("disks", [1] * 3)) == 3)
            path = cls.data / "kv.json"
            path.write_text(json.dumps({"name": "kv", "program": str(BUILD / "bin/resp_kv"), "spare": "WARM",
                                        "standby": True, "replicas": 3, "ack_quorum": 2}), encoding="utf-8")
            cls.roles.command("service", "apply", str(path))
            cls.mirrored()
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.roles.stop()
        cls.etcd.stop()
        shutil.rmtree(cls.data, ignore_errors=True)

    def setUp(self):
        # The load counts from 0: what an earlier one left under the same keys would look like writes of nobody's.
        port = self.mirrored()["endpoint"].rsplit(":", 1)[1]
        subprocess.run(["redis-cli", "-p", port, "flushall"], stdout=subprocess.DEVNULL, timeout=30, check=True)
        self.load = Load(BUILD, self.data, ["kv"], self.roles.endpoints, ["--connections", "3", "--keys", "200"])
        self.addCleanup(self.load.stop)
        self.addCleanup(self.restore)
        self.grows(100, 30)

    def restore(self):
        self.etcd.thaw()
        for member in self.etcd.members:
            if member.process is None:
                self.etcd.start(member)
        self.etcd.wait_until_serving()

    @classmethod
    def mirrored(cls):
        """Waits until kv is served and a spare mirrors it; the primary."""
        def found(status):
            service = serving(status, "kv")
            spare = service and service["spare"]
            return spare and spare["state"] == "MIRRORING" and spare["caught_up"] and service["primary"]
        return cls.roles.wait("a spare mirrors kv", 60, found)

    def acked(self):
        return self.load.ask("status")["services"]["kv"]["acked"]

    def grows(self, by, seconds):
        """Waits until `by` more writes are acknowledged."""
        begin, deadline = self.acked(), time.monotonic() + seconds
        while self.acked() < begin + by:
            self.assertLess(time.monotonic(), deadline, "no writes are acknowledged")
            time.sleep(0.02)

    def primary(self):
        """Node, pid and epoch as the leading coordinator knows them; waits until one leads."""
        service = self.roles.wait("a coordinator knows the primary of kv", 30, lambda status: (
            lambda service: service and service["primary"] and service)(service_of(status, "kv")))
        return service["primary"]["node"], service["primary"]["pid"], service["epoch"]

    def untouched_for(self, seconds, before):
        """Appends go on at the primary, whatever the coordinator can say meanwhile. `before` is what primary() said."""
        end, silent_since, begun = time.monotonic() + seconds, time.monotonic(), self.load.ask("status")["services"]["kv"]
        acked = begun["acked"]
        while time.monotonic() < end:
            now = self.load.ask("status")["services"]["kv"]
            if now["acked"] > acked:
                acked, silent_since = now["acked"], time.monotonic()
            self.assertLess(time.monotonic() - silent_since, SILENCE_S_MAX, "appends stand still")
            self.assertEqual(now["endpoint"], begun["endpoint"])
            os.kill(before[1], 0)
            self.roles.check()
            time.sleep(0.02)

    def switches_over(self):
        before = self.primary()
        self.roles.wait("the switchover is done", 60,
                        lambda _: self.roles.command("switchover", "kv", check=False).returncode == 0)
        after = self.roles.wait("another node serves", 30, lambda status: (
            lambda service: service and service["primary"]["node"] != before[0] and service["primary"])(serving(status, "kv")))
        self.assertNotEqual(after["node"], before[0])
        self.grows(50, 30)

    def nothing_lost(self):
        report = self.load.ask("verify")
        self.assertTrue(report["ok"], report)

    def events(self):
        self.primary()  # one leads, and answers
        return json.loads(self.roles.command("events", "--json").stdout)["events"]


class OutageTest(ServedCase):
    def test_frozen_etcd_disturbs_nothing_but_changes(self):
        before, last = self.primary(), self.events()[-1]["seq"]
        self.etcd.freeze()
        self.untouched_for(OUTAGE_S, before)
        self.etcd.thaw()
        self.etcd.wait_until_serving()
        self.untouched_for(3.0, before)
        self.assertEqual(self.primary(), before)
        kinds = {event["kind"] for event in self.events() if event["seq"] > last}
        self.assertFalse(kinds & {"takeover_started", "primary_suspect", "move_done", "node_missing"}, kinds)
        self.switches_over()
        self.nothing_lost()

    def test_slow_etcd_disturbs_nothing(self):
        before, end = self.primary(), threading.Event()

        def stutter():
            while not end.is_set():
                self.etcd.freeze()
                time.sleep(0.6)
                self.etcd.thaw()
                time.sleep(0.15)
        thread = threading.Thread(target=stutter)
        thread.start()
        try:
            self.untouched_for(OUTAGE_S, before)
        finally:
            end.set()
            thread.join()
        self.untouched_for(2.0, before)
        self.assertEqual(self.primary(), before)
        self.switches_over()
        self.nothing_lost()

    def test_a_switchover_asked_for_while_etcd_is_frozen_holds_nothing_up(self):
        before = self.primary()
        self.etcd.freeze()
        asked = subprocess.Popen([BUILD / "bin/understudy", "switchover", "kv", "--coordinator", self.roles.coordinator],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(asked.wait)
        self.addCleanup(asked.kill)
        self.untouched_for(OUTAGE_S, before)
        self.etcd.thaw()
        asked.wait(60)
        self.roles.wait("kv is served", 30, lambda status: serving(status, "kv"))
        if self.primary()[0] == before[0]:  # given up, or done once etcd was back: both are right
            self.switches_over()
        self.nothing_lost()

    def test_lost_quorum_disturbs_nothing_but_changes(self):
        before = self.primary()
        for member in self.etcd.members[:2]:
            member.kill()
        self.untouched_for(OUTAGE_S, before)
        for member in self.etcd.members[:2]:
            self.etcd.start(member)
        self.etcd.wait_until_serving()
        self.untouched_for(3.0, before)
        self.assertEqual(self.primary(), before)
        self.switches_over()
        self.nothing_lost()

    def test_a_dead_leader_of_etcd_is_passed_over(self):
        self.etcd.leader().kill()
        self.switches_over()
        self.nothing_lost()

    def test_a_primary_that_dies_while_etcd_is_frozen_is_replaced_when_etcd_is_back(self):
        pid = self.primary()[1]
        self.etcd.freeze()
        os.kill(pid, signal.SIGKILL)
        time.sleep(OUTAGE_S / 2)
        self.roles.check()
        self.etcd.thaw()
        self.roles.wait("kv is served by another process", 60,
                        lambda status: (lambda service: service and service["primary"]["pid"] != pid)(serving(status, "kv")))
        self.grows(50, 30)
        self.nothing_lost()

    def test_a_coordinator_that_starts_without_etcd_waits_for_it(self):
        before = self.primary()
        self.etcd.freeze()
        coordinator = self.roles.processes["coordinator"]
        coordinator.kill()
        coordinator.wait()
        self.roles.start("coordinator")
        self.untouched_for(OUTAGE_S, before)
        self.etcd.thaw()
        self.roles.wait("the coordinator knows the service", 60, lambda status: serving(status, "kv"))
        self.untouched_for(3.0, before)
        self.assertEqual(self.primary(), before)
        self.switches_over()
        self.nothing_lost()


class RestoreTest(ServedCase):
    """As docs/operations.md says how to restore."""
    MEMBERS = 1

    def test_metadata_of_yesterday_raise_an_alarm_and_serve_nothing_of_yesterday(self):
        snapshot = self.data / "metadata.snapshot"
        self.etcd.control("snapshot", "save", snapshot)
        self.switches_over()  # the chain goes on; the snapshot does not know
        after = self.primary()
        coordinator = self.roles.processes["coordinator"]
        coordinator.terminate()
        coordinator.wait(15)
        self.etcd.restore(snapshot)
        self.roles.start("coordinator")
        self.grows(100, 30)  # a primary that lives needs no metadata
        self.roles.wait("the coordinator knows the primary", 30,
                        lambda status: (service_of(status, "kv") or {}).get("primary"))
        self.assertEqual(self.primary()[:2], after[:2])
        os.kill(after[1], signal.SIGKILL)
        alarm = self.roles.wait("the alarm", 60, lambda status: (
            lambda trouble: "rolled back" in trouble and trouble)((service_of(status, "kv") or {}).get("trouble", "")))
        self.assertIn("the metadata was rolled back", alarm)
        self.assertIsNone(serving(self.roles.status(), "kv"))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    BUILD = Path(sys.argv.pop(1)).resolve()
    unittest.main(verbosity=2)
