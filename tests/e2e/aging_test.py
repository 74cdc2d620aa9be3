"""What is done about processes that age: restarted on purpose for want of a spare, and exchanged on schedule.

usage: aging_test.py BUILD_DIR [unittest arguments]"""

import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "deploy"))
from local_cluster import Cluster, Load, serving  # noqa: E402

BUILD = None  # of the command line


class AgingTest(unittest.TestCase):
    def begin(self, nodes, service):
        self.data = Path(tempfile.mkdtemp(prefix="aging-e2e-", dir=BUILD))
        self.cluster = Cluster(BUILD, self.data, nodes)
        self.addCleanup(shutil.rmtree, self.data, ignore_errors=True)
        self.addCleanup(self.cluster.stop)
        self.cluster.wait("all nodes are known", 60, lambda status: len(status["nodes"]) == len(nodes))
        self.cluster.apply({"name": "kv", "program": str(BUILD / "bin/resp_kv"), **service})
        before = self.cluster.wait("kv is served", 60, lambda status: serving(status, "kv"))["primary"]
        self.load = Load(BUILD, self.data, ["kv"], self.cluster.endpoints, ["--connections", "2", "--keys", "200"])
        self.addCleanup(self.load.stop)
        self.acknowledged(200)
        return before

    def acknowledged(self, more):
        """Waits until that many more writes were acknowledged."""
        done = self.load.ask("status")["services"]["kv"]["acked"]
        self.cluster.wait("writes are acknowledged", 90,
                          lambda _: self.load.ask("status")["services"]["kv"]["acked"] >= done + more)

    def moved(self, kind, reason):
        def found(status):
            moves = [move for move in status["moves"] if move["kind"] == kind and reason in move["reason"]]
            return serving(status, "kv") and moves and moves[-1]
        return self.cluster.wait(f"kv had a {kind} move: {reason}", 120, found)

    def events(self):
        return [event["kind"] for event in json.loads(self.cluster.command("events", "--json").stdout)["events"]]

    def test_a_leak_without_a_spare_is_restarted_from_a_fresh_checkpoint(self):
        bounds = [{"metric": "proc.rss_bytes", "above": "300 MiB", "for_s": 1}]
        before = self.begin(["n1"], {"policy": {"restart": True},
                                     "predictors": [{"plugin": "threshold", "config": {"bounds": bounds}}]})
        port = before["endpoint"].rsplit(":", 1)[1]
        subprocess.run(["redis-cli", "-p", port, "debug", "leak", "60000000"], check=True, capture_output=True, timeout=30)
        move = self.moved("restart", "proc.rss_bytes")
        self.assertEqual((move["from"], move["to"]), ("n1", "n1"))
        after = self.cluster.wait("kv is served", 60, lambda status: serving(status, "kv"))["primary"]
        self.assertNotEqual(after["pid"], before["pid"])
        self.acknowledged(200)
        report = self.load.ask("verify")
        self.assertTrue(report["ok"], report)
        kinds = self.events()
        for first, then in (("restart_started", "restart_checkpointed"), ("restart_checkpointed", "app_stopped"),
                            ("app_stopped", "move_done")):
            self.assertLess(kinds.index(first), kinds.index(then), kinds)
        self.assertNotIn("takeover_started", kinds)
        self.assertIn("restart_checkpointed", self.cluster.command("explain", "kv").stdout)

    def test_a_process_is_exchanged_on_schedule_by_a_handover(self):
        before = self.begin(["n1", "n2"], {"rejuvenation": {"every_s": 10}})
        move = self.moved("planned", "rejuvenation")
        self.assertEqual(move["from"], before["node"])
        self.assertNotEqual(move["to"], before["node"])
        self.acknowledged(200)
        report = self.load.ask("verify")
        self.assertTrue(report["ok"], report)
        self.assertEqual(report["maybe"], 0, report)  # a handover leaves no write in doubt
        text = self.cluster.command("explain", "kv").stdout
        self.assertRegex(text, r"Rejuvenation, every 10 s: its process has served for ")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    BUILD = Path(sys.argv.pop(1)).resolve()
    unittest.main(verbosity=2)
