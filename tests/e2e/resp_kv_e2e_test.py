"""resp_kv under a real understudyd, asked by the real redis-cli and redis-benchmark, moved and killed under load.

usage: resp_kv_e2e_test.py BUILD_DIR [unittest arguments]"""

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
from local_cluster import Cluster, Load, node_of, serving  # noqa: E402

BUILD = None  # of the command line
NODES = ["n1", "n2", "n3"]
BENCHMARK_TESTS = "ping,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,lrange,mset"


def redis_cli(endpoint, *words, follow=False):
    port = endpoint.rsplit(":", 1)[1]
    done = subprocess.run(["redis-cli", "-p", port, *(["-c"] if follow else []), *words], capture_output=True, text=True,
                          timeout=30, check=False)
    return done.stdout.strip()


class RespKvTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.data = Path(tempfile.mkdtemp(prefix="resp-kv-e2e-", dir=BUILD))
        cls.cluster = Cluster(BUILD, cls.data, NODES)
        try:
            cls.cluster.wait("all nodes are known", 30, lambda status: len(status["nodes"]) == len(NODES))
            # standby: a spare mirrors it also while nothing is forecast, so that there is one to be redirected by.
            cls.cluster.apply({"name": "kv", "program": str(BUILD / "bin/resp_kv"), "spare": "WARM", "standby": True})
            cls.spare()  # nothing was written yet: an idle service has a standby, too
        except BaseException:
            cls.cluster.stop()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.cluster.stop()
        shutil.rmtree(cls.data, ignore_errors=True)

    @classmethod
    def primary(cls):
        return cls.cluster.wait("kv is served", 60, lambda status: serving(status, "kv"))["primary"]

    @classmethod
    def spare(cls):
        """Waits for a caught-up spare; its endpoint."""
        def found(status):
            service = serving(status, "kv")
            spare = service and service["spare"]
            return spare and spare["state"] == "MIRRORING" and spare["caught_up"] and node_of(status, spare["node"])
        return cls.cluster.wait("a spare mirrors kv", 60, found)["endpoint"]

    def test_redis_cli(self):
        at = self.primary()["endpoint"]
        self.assertEqual(redis_cli(at, "set", "greeting", "hello world", "ex", "100"), "OK")
        self.assertEqual(redis_cli(at, "get", "greeting"), "hello world")
        self.assertIn(redis_cli(at, "ttl", "greeting"), ("99", "100"))
        self.assertEqual(redis_cli(at, "incrby", "counter", "41"), "41")
        self.assertEqual(redis_cli(at, "incr", "counter"), "42")
        self.assertEqual(redis_cli(at, "rpush", "list", "a", "b", "c"), "3")
        self.assertEqual(redis_cli(at, "lrange", "list", "0", "-1").split(), ["a", "b", "c"])
        self.assertEqual(redis_cli(at, "hset", "hash", "field", "value"), "1")
        self.assertEqual(redis_cli(at, "hgetall", "hash").split(), ["field", "value"])
        self.assertIn("WRONGTYPE", redis_cli(at, "incr", "hash"))
        self.assertIn("role:master", redis_cli(at, "info"))
        self.assertEqual(set(redis_cli(at, "--scan", "--pattern", "has[h]").split()), {"hash"})

    def test_redis_benchmark(self):
        port = self.primary()["endpoint"].rsplit(":", 1)[1]
        for more in ([], ["-P", "16"]):
            done = subprocess.run(["redis-benchmark", "-p", port, "-n", "2000", "-q", "-t", BENCHMARK_TESTS, *more],
                                  capture_output=True, text=True, timeout=120, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertNotIn("rror", done.stdout + done.stderr)
            finished = [line for line in done.stdout.replace("\r", "\n").split("\n") if "requests per second" in line]
            self.assertEqual(len(finished), 20, done.stdout)

    def test_redis_cli_follows_moved(self):
        primary, spare = self.primary()["endpoint"], self.spare()
        self.assertNotEqual(primary, spare)
        self.assertRegex(redis_cli(spare, "set", "foo", "1"), f"^MOVED 12182 {primary}$")
        self.assertIn("OK", redis_cli(spare, "set", "foo", "followed", follow=True))
        self.assertIn("followed", redis_cli(spare, "get", "foo", follow=True))
        self.assertEqual(redis_cli(primary, "get", "foo"), "followed")

    def moved_under_load(self, cause):
        self.spare()
        before = self.primary()
        self.assertEqual(redis_cli(before["endpoint"], "flushall"), "OK")  # an earlier load used the same keys
        self.assertEqual(redis_cli(before["endpoint"], "set", "kept", before["node"]), "OK")
        load = Load(BUILD, self.data, ["kv"], self.cluster.endpoints, ["--connections", "3", "--keys", "200"])
        try:
            self.cluster.wait("writes are acknowledged", 30,
                              lambda _: load.ask("status")["services"]["kv"]["acked"] > 200)
            cause(before)
            after = self.cluster.wait("another node serves", 60, lambda status: (
                lambda service: service and service["primary"]["node"] != before["node"] and service["primary"])(
                    serving(status, "kv")))
            self.cluster.wait("writes reach it", 30,
                              lambda _: load.ask("status")["services"]["kv"]["endpoint"] == after["endpoint"])
            report = load.ask("verify")
        finally:
            load.stop()
        self.assertTrue(report["ok"], report)
        self.assertEqual(redis_cli(after["endpoint"], "get", "kept"), before["node"])
        self.cluster.wait("the old primary is back", 60,
                          lambda status: node_of(status, before["node"])["process"] == "RUNNING"
                          and node_of(status, before["node"])["pid"] != before["pid"])
        return report

    def test_the_checking_client_notices_lost_writes(self):
        load = Load(BUILD, self.data, ["kv"], self.cluster.endpoints, ["--connections", "2", "--keys", "500"])
        try:
            self.cluster.wait("writes are acknowledged", 30,
                              lambda _: load.ask("status")["services"]["kv"]["acked"] > 200)
            load.ask("pause")
            self.assertEqual(redis_cli(self.primary()["endpoint"], "flushall"), "OK")
            report = load.ask("verify")
        finally:
            load.stop()
        self.assertFalse(report["ok"])
        self.assertEqual(report["lost"], report["keys"])
        self.assertGreater(report["lost"], 100)

    def test_switchover_under_load_loses_nothing(self):
        report = self.moved_under_load(lambda _: self.cluster.command("switchover", "kv"))
        self.assertEqual(report["maybe"], 0, report)  # a planned move leaves no write in doubt

    def test_kill_under_load_loses_nothing(self):
        self.moved_under_load(lambda before: os.kill(before["pid"], signal.SIGKILL))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    BUILD = Path(sys.argv.pop(1)).resolve()
    unittest.main(verbosity=2)
