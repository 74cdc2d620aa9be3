"""Runs real servers into real failures, each in its own cluster under its own limits, and records what their metrics looked
like before: traces for `understudy backtest` and `understudy train`. Standard library only."""

import argparse
import concurrent.futures
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "deploy"))
from local_cluster import Cluster, Failed, serving  # noqa: E402

from confine import ControlGroup  # noqa: E402
from faults import FAULTS, Fault  # noqa: E402
from probe import Connection, Load, Probe  # noqa: E402


DIED = "the process died"


class Run:
    """One server from its start to its failure, or, without a fault, for as long."""

    def __init__(self, options, name, fault_class):
        self.options, self.name = options, name
        self.rng = random.Random(name)
        self.calm_s = self.rng.uniform(*options.calm)         # before the fault begins
        self.seconds = self.rng.uniform(*options.to_failure)  # from then to the failure
        self.fault = fault_class(self.rng, self.seconds)
        self.data = Path(tempfile.mkdtemp(prefix=f"recipe-{name}-", dir=options.work))
        self.group = ControlGroup(f"understudy-recipe-{os.getpid()}-{name}")
        self.mounted = False
        self.cluster = None
        self.endpoint = None
        self.pid = 0

    def rss_bytes(self, fallback):
        """What the server uses now, read where the agent reads it."""
        try:
            for line in Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines():
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) << 10
        except OSError:
            pass
        return fallback

    def debug(self, *words):
        try:
            connection = Connection(self.endpoint, 2)
            try:
                answer = connection.ask("DEBUG", *words)
            finally:
                connection.close()
        except OSError:
            return  # it has begun to fail
        if answer != b"+OK":
            raise Failed(f"DEBUG {' '.join(map(str, words))}: {answer.decode()}")

    def service(self):
        """Enters its groups and limits itself, then becomes the server."""
        controllers = [one for one in {"memory", *self.fault.controllers} if self.group.has(one)]
        missing = set(self.fault.controllers) - set(controllers)
        if missing:
            raise Failed(f"needs a control group for {', '.join(missing)}, which this machine does not let us make")
        if "memory" in controllers:
            self.group.limit_memory(self.fault.memory_limit)
        if "pids" in controllers:
            self.group.limit_pids(self.fault.pids_limit)
        if "cpu" in controllers:
            self.group.limit_cpu(self.fault.cores)
        steps = [f"echo $$ > {path}" for path in self.group.entry_files(controllers)]
        steps.append(f"ulimit -n {self.fault.fd_limit}")
        if "memory" not in controllers:
            steps.append(f"ulimit -v {(self.fault.memory_limit >> 10) + (1 << 20)}")
        steps.append(f"exec {self.options.build / 'bin/resp_kv'}")
        return {"name": "kv", "program": "/bin/sh", "arguments": ["-c", " && ".join(steps)], "spare": "WARM",
                "memory_limit_bytes": self.fault.memory_limit, "checkpoint_interval_ms": 10000}

    def start(self):
        if self.fault.data_size:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.fault.data_size}", "tmpfs", self.data], check=True)
            self.mounted = True
        self.cluster = Cluster(self.options.build, self.data, ["n1"],
                               ["--sample-interval-ms", str(self.options.sample_interval_ms),
                                "--segment-bytes", str(16 << 20), "--record-dir", str(self.data / "traces")])
        self.cluster.wait("the node is there", 30, lambda status: len(status["nodes"]) == 1)
        self.cluster.apply(self.service())
        primary = self.cluster.wait("the service is served", 60, lambda status: serving(status, "kv"))["primary"]
        self.endpoint, self.pid = primary["endpoint"], primary["pid"]

    def play(self):
        """Returns (kind, unix time, words) of the end, or None when nothing failed."""
        probe = Probe(self.endpoint, self.fault.slow_s)
        load = Load(self.endpoint, self.rng.random(), self.fault.teeth_bytes, self.fault.warm_up_bytes)
        probe.start()
        load.start()
        began = time.time()
        started = None
        # A fault that takes twice its time has not worked, and that is an error of the recipe.
        until = began + self.calm_s + (2.5 * self.seconds if self.fault.name != "none" else self.seconds)
        try:
            while time.time() < until:
                end = probe.verdict
                try:
                    os.kill(self.pid, 0)
                except OSError:
                    end = ("failure", time.time(), DIED)
                if end and started is None:
                    raise Failed(f"it failed before the fault began: {end[2]}")
                if end:
                    return end
                now = time.time()
                if started is None and now - began >= self.calm_s:
                    started = now
                    self.fault.start(self)
                if started is not None:
                    self.fault.advance(self, (now - started) / self.seconds)
                time.sleep(0.25)
            if self.fault.name != "none":
                raise Failed(f"no failure within {2.5 * self.seconds:.0f} s")
            return None
        finally:
            self.fault.stop()
            for thread in (probe, load):
                thread.stopping.set()
            for thread in (probe, load):
                thread.join(10)

    def clean_up(self):
        if self.cluster:
            self.cluster.stop()
        self.group.remove()
        if self.mounted:
            subprocess.run(["umount", "-l", self.data], check=False)
        if not self.options.keep:
            shutil.rmtree(self.data, ignore_errors=True)


def cut(data, out, name, end, after_s=1):
    """Writes the recorded trace from the process's first sample to its end: predictors see a process start, too. The recorder's file knows times from its first sample; its name says when that
    was. A process that died did so when its agent says."""
    files = sorted((data / "traces").glob("n1-*.csv"))
    if len(files) != 1:
        raise Failed(f"{len(files)} recorded files, one was expected")
    lines = files[0].read_text(encoding="utf-8").splitlines()
    header = lines[0].split(",")
    rows = [line.split(",") for line in lines[1:]]
    first_unix = int(files[0].stem.rsplit("-", 1)[1]) / 1000
    for event in json.loads(files[0].with_suffix(".events.json").read_text(encoding="utf-8")):
        if end and event["kind"] == "failure" and end[2] == DIED:
            end = ("failure", event["time_s"] + first_unix, event.get("note", DIED))
            break
    of_process = [c for c, metric in enumerate(header) if metric.startswith("proc.")]
    first = next((at for at, row in enumerate(rows) if any(row[c] for c in of_process if c < len(row))), len(rows))
    served = rows[first:]
    until = end[1] - first_unix + after_s if end else float("inf")
    served = [row for row in served if float(row[0]) <= until]
    # Columns that never had a value say nothing.
    keep = [0] + [c for c in range(1, len(header)) if any(c < len(row) and row[c] for row in served)]
    text = [",".join(header[c] for c in keep)]
    text += [",".join(row[c] if c < len(row) else "" for c in keep) for row in served]
    (out / f"{name}.csv").write_text("\n".join(text) + "\n", encoding="utf-8")
    events = []
    if end:
        kind, at, words = end
        events.append({"time_s": round(at - first_unix, 3), "end_s": round(at - first_unix + after_s, 3), "kind": kind,
                       "note": words})
    (out / f"{name}.events.json").write_text(json.dumps(events, indent=1) + "\n", encoding="utf-8")


def one(options, name, fault_class, cancelled):
    """Plays and records one run, whose name is its seed; returns a line about it, and whether it went as it should."""
    if cancelled.is_set():
        return f"{name}: not begun", False
    began = time.time()
    run = Run(options, name, fault_class)
    try:
        run.start()
        started = time.time()
        end = run.play()
        if end and fault_class is Fault:
            raise Failed(f"failed without a fault: {end[2]}")
        time.sleep(3 * options.sample_interval_ms / 1000)  # the samples after the end are part of the trace
        cut(run.data, options.out, name, end)
        told = f"{end[0]} after {end[1] - started:.0f} s, {end[2]}" if end else f"healthy for {time.time() - started:.0f} s"
        return f"{name}: {told}", True
    except (Failed, OSError, subprocess.SubprocessError, ValueError) as problem:
        return f"{name}: NOT RECORDED after {time.time() - began:.0f} s: {problem}", False
    finally:
        run.clean_up()


def seconds_range(text):
    low, _, high = text.partition("-")
    value = float(low), float(high or low)
    if not 0 < value[0] <= value[1] <= 3600:
        raise argparse.ArgumentTypeError(f"'{text}' is no range of seconds as 30-120")
    return value


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog="faults: " + "; ".join(f"{name}: {' '.join(fault.__doc__.split())}" for name, fault in FAULTS.items()))
    parser.add_argument("--out", type=Path, default=Path("recipe-traces"), help="where the traces go")
    parser.add_argument("--faults", default=",".join(FAULTS), help="which, with commas between")
    parser.add_argument("--runs", type=int, default=2, help="of each fault")
    parser.add_argument("--healthy", type=int, default=8, help="runs without a fault")
    parser.add_argument("--seed", type=int, default=1, help="of the first run; every run has its own")
    parser.add_argument("--jobs", type=int, default=4, help="runs at once")
    parser.add_argument("--calm", type=seconds_range, default=(20, 45), help="seconds before the fault begins")
    parser.add_argument("--to-failure", type=seconds_range, default=(30, 120), help="seconds from then to the failure, about")
    parser.add_argument("--sample-interval-ms", type=int, default=500, help="between two samples")
    parser.add_argument("--build-dir", dest="build", type=Path, default=Path("build"), help="where the programs are")
    parser.add_argument("--work", type=Path, help="where the clusters keep their data (default: the build folder)")
    parser.add_argument("--keep", action="store_true", help="leave that data")
    options = parser.parse_args()
    options.build = options.build.resolve()
    options.work = (options.work or options.build).resolve()
    unknown = [name for name in options.faults.split(",") if name and name not in FAULTS]
    if unknown:
        parser.error(f"--faults: '{unknown[0]}' is none of {', '.join(FAULTS)}")
    for program in ("understudyd", "understudy", "resp_kv"):
        if not (options.build / "bin" / program).exists():
            parser.error(f"{options.build}/bin/{program} is missing: build first")
    options.out.mkdir(parents=True, exist_ok=True)

    runs = [(f"healthy-{seed}", Fault) for seed in range(options.seed, options.seed + options.healthy)]
    runs += [(f"{name}-{seed}", FAULTS[name]) for seed in range(options.seed, options.seed + options.runs)
             for name in options.faults.split(",") if name]
    cancelled = threading.Event()

    def interrupted(number, _frame):
        if not cancelled.is_set():
            cancelled.set()
            print(f"signal {number}: runs under way are ended with their failure; no further one begins", file=sys.stderr)
    signal.signal(signal.SIGINT, interrupted)
    signal.signal(signal.SIGTERM, interrupted)

    bad = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        tasks = [pool.submit(one, options, name, fault, cancelled) for name, fault in runs]
        for done, task in enumerate(concurrent.futures.as_completed(tasks), 1):
            line, good = task.result()
            bad += not good
            print(f"[{done}/{len(runs)}] {line}", flush=True)
    print(f"{len(runs) - bad} traces in {options.out}" + (f", {bad} runs went wrong" if bad else ""))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
