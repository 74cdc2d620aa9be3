"""The demonstration itself; deploy/demo.sh prepares everything and calls it. Standard library only."""

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from local_cluster import Cluster, Failed, Load, node_of, service_of, serving

HERE = Path(__file__).resolve().parent
MIB = 1 << 20
NODES = ["n1", "n2", "n3", "n4", "n5"]
SERVICES = ["kv1", "kv2", "kv3", "kv4"]
MEMORY_LIMIT = 768 * MIB   # where the process would die
FD_LIMIT = 1024            # where no client could connect any more
SLOW_US = 200_000          # slower answers are of no use
LEAK_BYTES_PER_S = 16 * MIB
LEAK_FDS_PER_S = 20
IO_CREEP_WRITES_PER_S = 25


def predictors(which):
    if which == "threshold":  # sure of the failure at a third of what there is; the slope warns before
        def bound(metric, fails_at):
            return {"metric": metric, "above": fails_at // 3, "for_s": 2, "fails_at": fails_at, "probability": 0.95,
                    "anticipate": True}
        return [{"plugin": "threshold", "config": {"trend_s": 12, "bounds": [
            bound("proc.rss_bytes", MEMORY_LIMIT), bound("proc.fds", FD_LIMIT), bound("app.longest_stall_us", SLOW_US)]}}]
    if which == "trend":
        return [{"plugin": "trend", "config": {"metrics": [
            {"metric": "proc.rss_bytes"}, {"metric": "proc.fds"}, {"metric": "app.longest_stall_us", "capacity": SLOW_US}]}}]
    return [{"plugin": "gbt", "config": {"model_file": str(HERE / "models" / "resp_kv.gbt.json")}}]


def service_file(name, program, which):
    return {
        "name": name, "program": str(program), "spare": "WARM", "memory_limit_bytes": MEMORY_LIMIT,
        "predictors": predictors(which),
        "policy": {"assign_at": 0.5, "switch_at": 0.7, "release_at": 0.2, "persist_ms": 1000, "dwell_ms": 5000,
                   "cooldown_ms": 10000},
        "checkpoint_interval_ms": 5000,
    }


class Terminal:
    """Timeline lines that stay, and below them, on a terminal, one line that is redrawn."""

    def __init__(self):
        self.live = sys.stdout.isatty()
        self.colour = self.live and "NO_COLOR" not in os.environ
        self.began = time.time()
        self.lock = threading.Lock()
        self.status = ""

    def paint(self, text, code):
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    def line(self, text, code=None, unix_s=None):
        """`unix_s`: when it happened, if that was not now."""
        with self.lock:
            stamp = f"{(unix_s or time.time()) - self.began:6.1f}s  "
            if self.live:
                sys.stdout.write("\r\x1b[K")
            print(stamp + (self.paint(text, code) if code else text))
            if self.live and self.status:
                sys.stdout.write(self.status)
            sys.stdout.flush()

    def heading(self, text):
        self.line("== " + text, "1;36")

    def redraw(self, text):
        if not self.live:
            return
        with self.lock:
            self.status = text[:shutil.get_terminal_size().columns - 1]
            sys.stdout.write("\r\x1b[K" + self.status)
            sys.stdout.flush()

    def end_redraw(self):
        with self.lock:
            if self.live and self.status:
                sys.stdout.write("\r\x1b[K")
            self.status = ""


class Timeline(threading.Thread):
    """Prints events as the coordinator records them, and changes that only the status shows."""

    QUIET = {"node_joined", "target_chosen"}
    COLOURS = {"risk_raised": "33", "switch_started": "35", "move_done": "1;32", "app_exited": "1;31",
               "takeover_started": "35"}

    def __init__(self, terminal, cluster):
        super().__init__(daemon=True)
        self.terminal, self.cluster = terminal, cluster
        self.load = None  # there is none yet
        self.stopping = threading.Event()
        self.after = 0
        self.seen = {}
        self.lock = threading.Lock()

    def run(self):
        while not self.stopping.wait(0.2):
            self.poll()

    def poll(self):
        with self.lock:
            try:
                self.events()
                self.states()
            except (Failed, subprocess.TimeoutExpired, json.JSONDecodeError, KeyError, OSError):
                pass  # the main thread notices what matters

    def heading(self, text):
        self.poll()  # what happened before it stands before it
        self.terminal.heading(text)

    def events(self):
        done = self.cluster.command("events", "--after", str(self.after), "--json", check=False)
        if done.returncode != 0:
            return
        for event in json.loads(done.stdout)["events"]:
            self.after = max(self.after, event["seq"])
            if event["kind"] in self.QUIET:
                continue
            where = " ".join(word for word in (event.get("service"), event.get("node")) if word)
            self.terminal.line(f"{event['kind']:<16} {where:<8} {event.get('text', '')}",
                               self.COLOURS.get(event["kind"]), event["unix_ms"] / 1000)

    def states(self):
        status = self.cluster.status()
        if status is None:
            return
        for node in status["nodes"]:
            state = (node["state"], node["service"])
            if self.seen.get(node["name"]) not in (None, state):
                of = f" of {node['service']}" if node["service"] else ""
                self.terminal.line(f"{'state':<16} {node['name']:<8} {node['state']}{of}", "2")
            self.seen[node["name"]] = state
        load = self.load.ask("status")["services"] if self.load else {}
        parts = []
        for service in status["services"]:
            primary, spare = service.get("primary") or {}, service.get("spare")
            text = f"{service['name']}@{primary.get('node', '?')}"
            if spare:
                text += f" <- {spare['node']} {spare['state'].lower()} lag {spare['lag']}"
            forecast = service.get("forecast") or {}
            if forecast.get("status") == "OK" and forecast.get("probability", 0) > 0.05:
                text += f" risk {forecast['probability']:.2f}"
            if service["name"] in load:
                text += f" {load[service['name']]['acked']} acked"
            parts.append(text)
        self.terminal.redraw("  |  ".join(parts))


class Demo:
    def __init__(self, options):
        self.options = options
        self.terminal = Terminal()
        self.data = None
        self.cluster = self.load = self.timeline = None
        self.moves = []
        self.problems = []

    def start(self):
        build = Path(self.options.build_dir).resolve()
        for program in ("understudyd", "understudy", "resp_kv", "resp_check"):
            if not (build / "bin" / program).exists():
                raise Failed(f"{build}/bin/{program} is missing: build first, or leave --no-build out")
        if self.options.data_dir:
            self.data = Path(self.options.data_dir).resolve()
            self.data.mkdir(parents=True, exist_ok=True)
        else:
            self.data = Path(tempfile.mkdtemp(prefix="demo-", dir=build))
        self.terminal.heading("Four services, five nodes: one is the spare")
        self.cluster = Cluster(build, self.data, NODES, ["--sample-interval-ms", "500"])
        self.cluster.wait("the coordinator answers and knows all nodes", 30, lambda status: len(status["nodes"]) == len(NODES))
        self.timeline = Timeline(self.terminal, self.cluster)
        self.timeline.start()
        for name in SERVICES:
            self.cluster.apply(service_file(name, build / "bin/resp_kv", self.options.predictor))
        status = self.cluster.wait("all services are served", 60,
                           lambda status: all(serving(status, name) for name in SERVICES) and status)
        self.first = {name: service_of(status, name)["primary"] for name in SERVICES}
        self.timeline.poll()
        for name, primary in self.first.items():
            self.terminal.line(f"{name} is served by {primary['node']} at {primary['endpoint']}, pid {primary['pid']}")
        self.load = self.timeline.load = Load(build, self.data, SERVICES, self.cluster.endpoints)
        deadline = time.monotonic() + 20
        while not all(one["acked"] > 100 for one in self.load.ask("status")["services"].values()):
            if time.monotonic() > deadline:
                raise Failed("the load client cannot write to all services")
            time.sleep(0.1)
        self.timeline.heading("Load on all of them: 4 connections each, 1000 writes a second, every one remembered")
        time.sleep(5)

    def redis(self, endpoint, *words):
        host, port = endpoint.rsplit(":", 1)
        done = subprocess.run(["redis-cli", "-h", host, "-p", port, *words], capture_output=True, text=True, timeout=30,
                              check=False)
        if done.returncode != 0 or done.stdout.strip() != "OK":
            raise Failed(f"redis-cli {' '.join(words)}: {(done.stdout + done.stderr).strip()}")

    def move(self, name, kind, cause, seconds):
        """Has `cause` act on the service's primary, waits for the move and for the old node's return to the pool."""
        left = {"s": None}  # until the failure, as last forecast before the move

        def moved(status):
            moves = [one for one in status["moves"] if one["service"] == name and one["started_unix_ms"] >= began_ms]
            forecast = service_of(status, name).get("forecast") or {}
            if not moves and forecast.get("status") == "OK":
                left["s"] = forecast.get("ttf_p50_s")
            return moves[-1] if moves and serving(status, name) else None

        time.sleep(2)
        self.load.ask("mark before")
        began_ms = self.cluster.status()["unix_ms"]
        before = serving(self.cluster.status(), name)["primary"]
        cause(before)
        record = self.cluster.wait(f"{name} is moved", seconds, moved)
        # Until the first write after it the gap is not over.
        deadline = time.monotonic() + 10
        while self.load.ask("status")["services"][name]["endpoint"] == before["endpoint"]:
            if time.monotonic() > deadline:
                raise Failed(f"no write reached the new primary of {name}")
            time.sleep(0.05)
        self.cluster.wait(f"{before['node']} is back as a spare", 60,
                  lambda status: node_of(status, before["node"]).get("state") == "WARM")
        self.timeline.poll()
        self.terminal.line(f"{'spare':<16} {before['node']:<8} restarted, back in the pool", "32")
        window = self.load.ask("mark after")["services"][name]
        done = {"kind": record["kind"], "service": name, "from": record["from"], "to": record["to"],
                "gap_ms": window["gap_ms"], "replayed": record["replayed"], "lead_s": record["lead_s"],
                "time_left_s": left["s"], "reason": record.get("reason", "")}
        self.moves.append(done)
        if done["kind"] != kind or done["from"] != before["node"]:
            self.problems.append(f"{name}: a {kind} move from {before['node']} was expected, not a {done['kind']} one from "
                                 f"{done['from']}")

    def run(self):
        self.start()

        def fault(text, *words):
            def cause(primary):
                self.timeline.heading(text.format(node=primary["node"]))
                self.redis(primary["endpoint"], "DEBUG", *map(str, words))
            return cause
        self.move("kv1", "planned", fault(f"(a) {{node}} begins to leak {LEAK_BYTES_PER_S // MIB} MiB a second; it would die at "
                                          f"{MEMORY_LIMIT // MIB} MiB", "LEAK", LEAK_BYTES_PER_S), 90)
        self.move("kv2", "planned", fault(f"(b) {{node}} begins to leak {LEAK_FDS_PER_S} file descriptors a second; it may "
                                          f"have {FD_LIMIT}", "FDLEAK", LEAK_FDS_PER_S), 90)
        self.move("kv3", "planned", fault("(c) the disk gets in the way of {node}'s clients, more each second; answers over "
                                          f"{SLOW_US // 1000} ms would be of no use", "IOCREEP", IO_CREEP_WRITES_PER_S), 90)

        def kill(primary):
            self.timeline.heading(f"(d) kill -9 of {primary['node']}, pid {primary['pid']}: nobody was warned")
            os.kill(primary["pid"], signal.SIGKILL)
        self.move("kv2", "unplanned", kill, 60)

        self.timeline.heading("(e) the fourth service was left alone")
        untouched = serving(self.cluster.status(), "kv4")
        if not untouched or untouched["primary"]["pid"] != self.first["kv4"]["pid"]:
            self.problems.append("kv4: it was to be left alone, and is now another process")
        time.sleep(2)
        self.stop_timeline()
        self.terminal.heading("Reading every acknowledged write back")
        self.report = self.load.ask("verify")

    def stop_timeline(self):
        if self.timeline and self.timeline.is_alive():
            self.timeline.stopping.set()
            self.timeline.join(10)
        self.terminal.end_redraw()

    def summary(self):
        report = self.report
        if not report["ok"]:
            self.problems += [f"{name}: {text}" for name, one in report["services"].items() for text in one["complaints"]]
            self.problems.append("not every acknowledged write could be read back")
        for move in self.moves:
            one = report["services"][move["service"]]
            move["acked"], move["lost"] = one["acked"], one["lost"] + one["wrong"] + one["unread"]
        return {
            "moves": self.moves, "acked": report["acked"], "maybe": report["maybe"],
            "lost": report["lost"] + report["wrong"] + report["unread"],
            "services": {name: {key: one[key] for key in ("acked", "maybe", "lost", "longest_gap_ms")}
                         for name, one in report["services"].items()},
            "seconds": round(time.time() - self.terminal.began, 1), "problems": self.problems,
            "predictor": self.options.predictor,
            "ok": report["ok"] and not self.problems and len(self.moves) == 4,
        }

    def table(self, summary):
        rows = [("move", "service", "from", "to", "lead time", "time left", "replayed", "longest gap", "acknowledged", "lost")]
        for move in summary["moves"]:
            lead = "no warning" if move["lead_s"] is None or move["lead_s"] < 0 else f"{move['lead_s']:.1f} s"
            left = "" if move["time_left_s"] is None else f"{move['time_left_s']:.0f} s"
            rows.append((move["kind"], move["service"], move["from"], move["to"], lead, left, str(move["replayed"]),
                         f"{move['gap_ms']:.1f} ms", str(move["acked"]), str(move["lost"])))
        for name, one in summary["services"].items():
            if name not in {move["service"] for move in summary["moves"]}:
                rows.append(("untouched", name, self.first[name]["node"], "", "", "", "", f"{one['longest_gap_ms']:.1f} ms",
                             str(one["acked"]), str(one["lost"])))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        print()
        for number, row in enumerate(rows):
            text = "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
            print(self.terminal.paint(text, "1") if number == 0 else text)
        print("\nlead time: from the first warning to the end of the move. time left: until the forecast failure, when it moved.")
        for problem in summary["problems"]:
            print(self.terminal.paint("PROBLEM  " + problem, "1;31"))
        verdict = (f"{summary['acked']} writes acknowledged, {summary['maybe']} of unknown outcome, {summary['lost']} lost; "
                   f"{summary['seconds']:.0f} s")
        print(self.terminal.paint(verdict, "1;32" if summary["ok"] else "1;31"))

    def clean_up(self, failed):
        self.stop_timeline()
        if self.load:
            self.load.stop()
        if self.cluster:
            self.cluster.stop()
        if not self.data or not self.data.exists():
            return
        if self.options.keep or failed:
            print(f"Data and logs are in {self.data}")
        elif not self.options.data_dir:
            shutil.rmtree(self.data, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build-dir", required=True)
    parser.add_argument("--summary")
    parser.add_argument("--data-dir")
    parser.add_argument("--predictor", choices=("threshold", "trend", "gbt"), default="threshold")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()

    def interrupted(number, _frame):
        raise Failed(f"ended by signal {number}")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < FD_LIMIT:
        parser.error(f"no more than {most} file descriptors are allowed here, {FD_LIMIT} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (FD_LIMIT, most))  # of all that is started
    demo = Demo(options)
    summary = {"moves": [], "acked": 0, "lost": 0, "ok": False}
    try:
        demo.run()
        summary = demo.summary()
    except (Failed, OSError, subprocess.SubprocessError, json.JSONDecodeError) as problem:
        summary.update(moves=demo.moves, problems=[str(problem)])
        demo.stop_timeline()
        demo.terminal.line(f"FAILED: {problem}", "1;31")
    else:
        demo.stop_timeline()
        demo.table(summary)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # nothing stops the cleaning up
        demo.clean_up(failed=not summary["ok"])
    if options.summary:
        Path(options.summary).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return 0 if summary["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
