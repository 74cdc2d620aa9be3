"""Bad input, bad predictors: real agents whose samples are changed on the way, plugins that crash, hang, hoard and answer
nonsense, one that flags the whole fleet. Nothing moves, and `understudy explain` says why.

usage: bad_predictors_test.py BUILD_DIR STOCK_PYTHON [unittest arguments]"""

import itertools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
if len(sys.argv) < 3:
    sys.exit(__doc__)
BUILD = Path(sys.argv.pop(1)).resolve()
sys.path.insert(0, sys.argv.pop(1))
SOURCE = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(SOURCE / "deploy"))
from local_cluster import Cluster, free_ports, service_of, serving  # noqa: E402
from lying_agents import LyingAgents  # noqa: E402

SANITIZED = os.environ.get("UNDERSTUDY_SANITIZE", "")
MISBEHAVING = BUILD / "tests/abi/plugins/misbehaving.so"
ENOUGH_SAMPLES = 30  # of a lie, before it is believed to have had its effect
LIMIT = 100


class LiedTo(Cluster):
    """A cluster whose agents reach the coordinator through a liar."""

    def __init__(self, data, nodes, flags=()):
        super().__init__(BUILD, data, [], flags)
        self.liar = LyingAgents(self.coordinator)
        ports = free_ports(len(nodes))
        self.agents = subprocess.Popen(
            [BUILD / "bin/understudyd", "agent", "--data-dir", data / "agents", "--coordinators", self.liar.address,
             "--stop-applications", "--sample-interval-ms", "100",
             "--nodes", ",".join(f"{node}:{port}" for node, port in zip(nodes, ports))],
            stdout=self.output, stderr=self.output, stdin=subprocess.DEVNULL, start_new_session=True)

    def stop(self):
        self.agents.terminate()
        try:
            self.agents.wait(20)
        except subprocess.TimeoutExpired:
            self.agents.kill()
            self.agents.wait()
        self.liar.stop()
        super().stop()

    def explain(self, service):
        return json.loads(self.command("explain", service, "--json").stdout)

    def wait_explained(self, what, service, probe, seconds=60):
        """The first explanation that `probe` likes; the last one is in the complaint."""
        last = {}

        def look(_):
            last.clear()
            last.update(self.explain(service))
            return probe(last)
        try:
            self.wait(what, seconds, look)
        except Exception as error:
            raise AssertionError(f"{error}: {json.dumps(last)}") from error
        return last

    def wait_samples(self, node, count=ENOUGH_SAMPLES):
        wanted = self.liar.passed(node) + count
        self.wait(f"{count} more samples of {node}", 60, lambda _: self.liar.passed(node) >= wanted)


def word_of(explained, predictor, horizon_ms=60_000):
    """What one predictor says for one horizon."""
    return next((one for one in explained["forecasts"]
                 if one["predictor"] == predictor and one["horizon_ms"] == horizon_ms), None)


def says(predictor, status, text=""):
    def probe(explained):
        word = word_of(explained, predictor)
        return word is not None and word["status"] == status and text in word["reason"]
    return probe


class Lied(unittest.TestCase):
    NODES = ()
    FLAGS = ()

    def setUp(self):
        self.data = Path(tempfile.mkdtemp(prefix="bad-predictors-", dir=BUILD))
        self.addCleanup(shutil.rmtree, self.data, ignore_errors=True)
        self.prepare()
        self.cluster = LiedTo(self.data, self.NODES, self.FLAGS)
        self.addCleanup(self.cluster.stop)
        self.liar = self.cluster.liar
        self.cluster.wait("all nodes are known", 60, lambda status: len(status["nodes"]) == len(self.NODES))

    def prepare(self):
        """Before the cluster starts."""

    def serve(self, name, predictors, **fields):
        self.cluster.apply({"name": name, "program": str(BUILD / "bin/resp_kv"), "predictors": predictors, **fields})
        self.cluster.wait(f"{name} is served", 60, lambda status: serving(status, name))

    def placed(self):
        """Where everything runs, and in which epoch."""
        status = self.cluster.status()
        return {one["name"]: (one["primary"]["node"], one["primary"]["pid"], one["epoch"]) for one in status["services"]}

    def assert_nothing_moved(self, before):
        self.assertEqual(self.placed(), before)
        self.assertEqual([move for move in self.cluster.status()["moves"] if move["kind"] != "start"], [])


class BadSamplesTest(Lied):
    NODES = ("n1", "n2")

    def test_nothing_moves_for_samples_that_cannot_be(self):
        bound = {"metric": "app.load", "above": LIMIT, "for_s": 1}
        self.say(lambda: {"app.load": 50})
        self.serve("kv", [{"plugin": "threshold", "config": {"bounds": [bound], "stale_s": 2}},
                          {"plugin": "trend", "config": {"metrics": [{"metric": "app.load", "capacity": 1000}], "stale_s": 2}}],
                   standby=True, policy={"persist_ms": 200, "cooldown_ms": 0})
        # A spare is ready, so that a single wrong word would be enough.
        self.cluster.wait("a spare mirrors", 60, lambda status: (service_of(status, "kv")["spare"] or {}).get("caught_up"))
        before = self.placed()
        node = before["kv"][0]
        frozen = [None]

        def same_time(time_ms):
            frozen[0] = frozen[0] or time_ms
            return frozen[0]

        def backward(time_ms):
            frozen[0] = (frozen[0] or time_ms) - 100
            return frozen[0]

        spikes = itertools.cycle([50, 1e6])
        huge = itertools.cycle([50, 1.7e308, 50, -1.7e308])
        jumps = {"jumps": lambda: {"app.load": next(spikes)}, "is huge now and then": lambda: {"app.load": next(huge)}}
        gone = {"is not listed": dict, "is not a number": lambda: {"app.load": math.nan},
                "is infinite": lambda: {"app.load": math.inf}}
        for name, metrics in gone.items():
            with self.subTest(name):
                self.honest()
                self.say(metrics)
                self.cluster.wait_explained(f"a load that {name} is no load", "kv",
                                            says("threshold", "ABSTAIN", "no recent value of app.load"))
                self.cluster.wait_samples(node)
                self.assert_nothing_moved(before)
                self.assertIn("no_forecast", self.cluster.explain("kv")["holds"])
        for name, metrics in jumps.items():
            with self.subTest(name):
                self.honest()
                self.say(metrics)
                self.cluster.wait_samples(node)
                self.assertTrue(says("threshold", "OK")(self.cluster.explain("kv")), self.cluster.explain("kv"))
                self.assert_nothing_moved(before)
        for name, time in (("repeats", same_time), ("goes back", backward)):
            with self.subTest("time " + name):
                self.honest()
                frozen[0] = None
                self.say(lambda: {"app.load": 5 * LIMIT}, time)
                explained = self.cluster.wait_explained(
                    "samples out of time are not believed, and explained", "kv", lambda said: any(
                        alert.get("plugin") == "samples" and "not after that of the sample before" in alert["text"]
                        for alert in said["alerts"]) and says("threshold", "ABSTAIN", "no recent value")(said))
                self.assertEqual(explained["wanted"], "NORMAL")
                self.assertIn("samples: the agent sent a sample with a time not after", self.cluster.command("explain", "kv").stdout)
                self.cluster.wait_samples(node)
                self.assert_nothing_moved(before)
        # The same values in their own time: this is what a real danger does here.
        self.honest()
        self.say(lambda: {"app.load": 5 * LIMIT})
        self.cluster.wait("a real danger moves it", 60,
                          lambda status: serving(status, "kv") and serving(status, "kv")["primary"]["node"] != node)
        self.honest()
        after, node = self.placed(), self.placed()["kv"][0]
        leaps = itertools.count(1)
        self.say(lambda: {"app.load": 5 * LIMIT}, lambda time_ms: time_ms + 86_400_000 * next(leaps))
        # (An alert is over after a minute without a bad sample: this one still says what was wrong first.)
        self.cluster.wait_explained("leaps of a day are not followed", "kv", lambda said: says(
            "threshold", "ABSTAIN", "no recent value")(said) and any(alert.get("plugin") == "samples" for alert in said["alerts"]))
        self.cluster.wait_samples(node)
        self.assertEqual(self.placed(), after)

    def say(self, metrics, time=lambda time_ms: time_ms):
        def lie(_, sampled, time_ms):
            sampled.pop("app.load", None)
            sampled.update(metrics())
            return time(time_ms)
        self.liar.lie = lie

    def honest(self):
        self.say(lambda: {"app.load": 50})
        self.cluster.wait_explained("the predictor knows again", "kv", lambda said: says("threshold", "OK")(said)
                                    and word_of(said, "threshold")["probability"] < 0.1)


class WholeFleetTest(Lied):
    NODES = ("n1", "n2", "n3", "n4", "n5", "n6")
    SERVICES = ("kv1", "kv2", "kv3", "kv4")

    def test_a_predictor_that_flags_the_whole_fleet_moves_nothing(self):
        flagged = set(self.NODES)
        active = [False]

        def lie(node, metrics, time_ms):
            metrics["app.flag"] = 1 if active[0] and node in flagged else 0
            return time_ms
        self.liar.lie = lie
        bound = {"metric": "app.flag", "above": 0.5, "for_s": 0, "clear_for_s": 0}
        for name in self.SERVICES:
            self.serve(name, [{"plugin": "threshold", "config": {"bounds": [bound]}}],
                       policy={"persist_ms": 2000, "dwell_ms": 500, "cooldown_ms": 0})
        for name in self.SERVICES:
            self.cluster.wait_explained("the predictor knows", name, says("threshold", "OK"))
        before = self.placed()
        active[0] = True
        self.cluster.wait("the brake is on", 60, lambda status: status["braked"])
        explained = [self.cluster.wait_explained("the brake holds it", name, lambda said: "brake" in said["holds"])
                     for name in self.SERVICES]
        self.assertTrue(all("look at risk at once" in " ".join(one["why"]) for one in explained), explained)
        for node in {place[0] for place in before.values()}:
            self.cluster.wait_samples(node, 2 * ENOUGH_SAMPLES)  # several times persist_ms
        self.assert_nothing_moved(before)
        events = json.loads(self.cluster.command("events", "--json").stdout)["events"]
        brake = next(event for event in events if event["kind"] == "brake_on")
        self.assertRegex(brake["text"], r"held: kv\d")  # those that were at risk by then
        self.assertIn("too many services look at risk", self.cluster.command("status").stdout)
        # One alone is believed.
        flagged.intersection_update({before["kv2"][0]})
        moved = self.cluster.wait("the one that is flagged alone is moved", 60, lambda status: (
            serving(status, "kv2") and serving(status, "kv2")["primary"]["node"] != before["kv2"][0] and status))
        self.assertFalse(moved["braked"])
        after = self.placed()
        self.assertEqual({name: after[name] for name in ("kv1", "kv3", "kv4")},
                         {name: before[name] for name in ("kv1", "kv3", "kv4")})


class BadPluginsTest(Lied):
    NODES = ("n1", "n2")
    # Mode: what is said of it. Each is a copy of the plugin, so that each has a child process of its own.
    MODES = {"crash": "killed by signal 11", "exit": "exited with status 7", "hang": "3 times in a row",
             "deaf": "3 times in a row", "nan": "probability is nan", "out_of_range": "probability is 1.5",
             "scribble": "its answer", "hoard": "bad_alloc"}

    def prepare(self):
        self.modes = {mode: text for mode, text in self.MODES.items() if not (SANITIZED and mode == "hoard")}
        folder = self.data / "plugins"
        folder.mkdir()
        for mode in self.modes:
            shutil.copy(MISBEHAVING, folder / f"{mode}.so")
        self.FLAGS = ("--plugin-folder", folder)

    def test_bad_plugins_abstain_with_a_reason_and_are_in_nobodys_way(self):
        trouble = [0]

        def lie(_, metrics, time_ms):
            metrics.update({"trouble": trouble[0], "app.load": 50})
            return time_ms
        self.liar.lie = lie
        model = {"model_file": str(SOURCE / "deploy/models/resp_kv.gbt.json"),
                 "metrics": {name: "app.absent_" + str(i) for i, name in enumerate(self.model_metrics())}}
        bad = [{"plugin": mode, "config": {mode.replace("_", " "): 1}} for mode in self.modes]
        self.serve("kv", [{"plugin": "threshold", "config": {"bounds": [{"metric": "app.load", "above": LIMIT}]}},
                          {"plugin": "gbt", "config": model}, *bad], standby=True)
        well = lambda said: all(says(name, "OK")(said) for name in ("threshold", *self.modes))
        self.cluster.wait_explained("all are well", "kv", well)
        # A model for metrics that are not there never says a word.
        self.cluster.wait_explained("the model knows what it lacks", "kv", says("gbt", "ABSTAIN", "the samples lack"))
        before = self.placed()
        trouble[0] = 1
        for mode, text in self.modes.items():
            with self.subTest(mode):
                explained = self.cluster.wait_explained(f"{mode} is named", "kv", lambda said: any(
                    alert.get("plugin") == mode and text in alert["text"] for alert in said["alerts"])
                    and says(mode, "ABSTAIN")(said))
                self.assertTrue(says("threshold", "OK")(explained), explained)
        self.cluster.wait_samples(before["kv"][0], 2 * ENOUGH_SAMPLES)
        self.assert_nothing_moved(before)
        self.assertTrue(says("threshold", "OK")(self.cluster.explain("kv")))
        status = self.cluster.status()
        self.assertEqual({alert["plugin"] for alert in status["alerts"] if alert.get("plugin")}, set(self.modes))
        trouble[0] = 0
        self.cluster.wait_explained("all are well again", "kv", lambda said: well(said) and not any(alert.get("plugin") for alert in said["alerts"]))
        self.assert_nothing_moved(before)

    @staticmethod
    def model_metrics():
        model = json.loads((SOURCE / "deploy/models/resp_kv.gbt.json").read_text())
        return [metric if isinstance(metric, str) else metric["name"] for metric in model["metrics"]]


class InProcessTest(Lied):
    NODES = ("n1", "n2")
    IN_THREAD = {"plugin": str(MISBEHAVING), "config": {"crash": 1}, "isolation": "thread"}

    def prepare(self):
        self.FLAGS = ("--allow-in-process-predictors",) if "allowed" in self.id() else ()

    def test_refused_unless_the_operator_allows_it(self):
        path = self.data / "kv.json"
        path.write_text(json.dumps({"name": "kv", "program": str(BUILD / "bin/resp_kv"), "predictors": [self.IN_THREAD]}))
        done = self.cluster.command("service", "apply", str(path), check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("service: field 'predictors[0]': isolation", done.stderr)
        self.assertIn("--allow-in-process-predictors", done.stderr)

    def test_when_allowed_a_crash_ends_the_daemon_and_not_the_service(self):
        trouble = [0]

        def lie(_, metrics, time_ms):
            metrics["trouble"] = trouble[0]
            return time_ms
        self.liar.lie = lie
        self.serve("kv", [self.IN_THREAD])
        self.cluster.wait_explained("it forecasts", "kv", says(str(MISBEHAVING), "OK"))
        children = [Path(f"/proc/{entry}/comm").read_text() for entry in self.children()]
        self.assertFalse(any("understudy-pred" in name for name in children), children)
        before = self.placed()
        trouble[0] = 1
        self.assertEqual(self.cluster.daemon.wait(60), -signal.SIGSEGV)
        # Started again without the permission: the predictor abstains and says why, and the service was there all the time.
        words = [word for word in self.cluster.daemon.args if word != "--allow-in-process-predictors"]
        self.cluster.daemon = subprocess.Popen(words, stdout=self.cluster.output, stderr=self.cluster.output,
                                               stdin=subprocess.DEVNULL, start_new_session=True)
        self.cluster.wait("kv is served", 60, lambda status: serving(status, "kv"))
        self.cluster.wait_explained("it says why not", "kv",
                                    says(str(MISBEHAVING), "ABSTAIN", "--allow-in-process-predictors"))
        self.assertEqual({name: place[:2] for name, place in self.placed().items()},
                         {name: place[:2] for name, place in before.items()})

    def children(self):
        pid = self.cluster.daemon.pid
        return (Path(f"/proc/{pid}/task/{pid}/children").read_text()).split()


if __name__ == "__main__":
    unittest.main(verbosity=2)
