"""Runs every benchmark beside its floor and prints one table.

Ours and the floor take turns, so that a machine whose speed drifts drifts for both; a figure is the median of the
rounds, with its spread. The floors are bare programs (floor.cc, replay_floor.cc): raw TCP, group commit into an already
written file, acknowledgement; the best of the designs offered there counts. The floor of a move is the disk and
network time no move can avoid: two synchronous appends' worth (the drain or the seal, and the compare-and-swap).
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

import peers

SHARED, OWN = ["--threads", "64"], ["--threads", "64", "--own-connections"]
# figure, our arguments, the floor's designs, field, unit, higher is better, records: full, quick, of the floor in full
APPENDS = [
    ("sync_p50_us", ["--sync"], [[], ["--overlap"]], "p50_us", "us", False, 10_000, 3_000, 10_000),
    ("w64_rps", ["--threads", "64"], [SHARED, SHARED + ["--overlap"], OWN], "records_per_s", "records/s", True, 150_000, 40_000,
     100_000),
    ("w1024_rps", ["--window", "1024"], [["--window", "1024"], ["--window", "1024", "--overlap"]],
     "records_per_s", "records/s", True, 3_000_000, 500_000, 2_000_000),
    ("w16384_rps", ["--window", "16384"], [["--window", "16384"], ["--window", "16384", "--overlap"]],
     "records_per_s", "records/s", True, 6_000_000, 1_000_000, 5_000_000),
]
CLUSTER = {"": [], "cluster_": ["--log-servers", "3", "--coordinators", "2", "--etcd", "1"]}


def run_json(command, cwd=None):
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\nended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout)


def best(values, higher):
    return max(values) if higher else min(values)


class Table:
    def __init__(self):
        self.rows = []

    def add(self, name, ours, floor, unit, higher, events=0):
        median, floor_median = statistics.median(ours), statistics.median(floor)
        self.rows.append({"name": name, "ours": median, "floor": floor_median, "ratio": median / floor_median,
                          "unit": unit, "higher_is_better": higher,
                          "ours_min": min(ours), "ours_max": max(ours), "rounds": len(ours), "events": events or None,
                          "load": round(os.getloadavg()[0], 1)})

    def show(self):
        print(f"{'':28} {'ours':>12} {'spread':>25} {'floor':>12} {'ratio':>7}  unit (load average: {load()})")
        for row in self.rows:
            spread = f"{number(row['ours_min'])} .. {number(row['ours_max'])}"
            if row["events"]:
                spread = f"of {row['events']}"
            print(f"{row['name']:28} {number(row['ours']):>12} {spread:>25} {number(row['floor']):>12} "
                  f"{row['ratio']:7.2f}  {row['unit']}{'' if row['higher_is_better'] else ' (lower is better)'}")


def load():
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def number(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


class Runs:
    """What the command line asked for, and the programs that measure it."""

    def __init__(self, options):
        self.quick, self.only = options.quick, options.only
        self.rounds = options.rounds or (1 if options.quick else 3)
        self.binaries = os.path.join(os.path.abspath(options.build_dir), "bin")
        self.data = tempfile.TemporaryDirectory(dir=options.data_dir or options.build_dir, prefix="bench-")
        self.table, self.notes, self.lost = Table(), [], 0
        self.peers, self.peers_failed = (peers.Report(), []) if options.peers or options.peers_quick else (None, [])
        self.peers_quick = options.quick or options.peers_quick
        peers.use_programs_of(options.build_dir)

    def wanted(self, *names):
        return any(self.only in name for name in names)

    def progress(self, text):
        if sys.stderr.isatty():
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    def bench(self, kind, *words):
        return run_json([os.path.join(self.binaries, "understudy"), "bench", kind, "--data-dir", self.data.name, "--json", *words])

    def floor(self, replicas, arguments, records):
        return run_json([os.path.join(self.binaries, "floor"), "--dir", self.data.name, "--records", str(records), "--replicas",
                         str(replicas), "--ack", str(replicas // 2 + 1), *arguments])

    def appends(self, replicas):
        for figure, arguments, designs, field, unit, higher, full, quick, floor_full in APPENDS:
            name = f"append_e{replicas}_{figure}"
            if not self.wanted(name):
                continue
            records, floor_records = (quick, quick) if self.quick else (full, floor_full)
            ours, floors = [], []
            for turn in range(self.rounds):
                self.progress(f"{name}: round {turn + 1} of {self.rounds}")
                ours.append(self.bench("append", "--replicas", str(replicas), "--records", str(records), "--size", "100",
                                       *arguments)[field])
                floors.append(best([self.floor(replicas, design, floor_records)[field] for design in designs], higher))
                if name == "append_e3_sync_p50_us":
                    self.peer_turn("writes")
            self.table.add(name, ours, floors, unit, higher)

    def peer_turn(self, part):
        if self.peers is not None:
            self.peers_failed += peers.measure_systems(self.peers, peers.SYSTEMS, self.data.name, self.peers_quick, {part})

    def repair(self):
        names = ["repair_foreground_p99_us", "repair_foreground_paced_p99_us"]
        if not self.wanted(*names):
            return
        self.progress("repair")
        result = self.bench("repair", *(["--megabytes", "256", "--seconds", "5"] if self.quick else []))
        for name, writer in zip(names, ("sync", "paced")):
            if self.wanted(name):  # its floor is the same figure without repair, before and after
                self.table.add(name, [result[writer]["repair"]["p99_us"]], [result[writer]["quiet"]["p99_us"]], "us", False)
        self.notes.append({"text": f"repair copied {result['repaired_bytes'] >> 20:,} MiB in {result['repair_seconds']:.1f} s, "
                                   f"{result['repair_bytes_per_s'] / (1 << 20):.1f} MiB/s", **result})

    def replay(self):
        if not self.wanted("replay_rps"):
            return
        records = 2_000_000 if self.quick else 10_000_000
        ours, floors = [], []
        for turn in range(self.rounds):
            self.progress(f"replay_rps: round {turn + 1} of {self.rounds}")
            ours.append(self.bench("replay", "--records", str(records), "--size", "100", "--lanes", "2")["records_per_s"])
            floors.append(run_json([os.path.join(self.binaries, "replay_floor"), "--records", str(records)])["records_per_s"])
        self.table.add("replay_rps", ours, floors, "records/s", True)

    def moves(self, prefix):
        kinds = ["planned", "killed"] + (["dead_node"] if prefix else [])
        names = {kind: [f"{prefix}move_{kind}_{quantile}_ms" for quantile in ("p50", "p99")] for kind in kinds}
        names["length"] = ["takeover_by_log_length_ms"] if prefix else []
        counts = {kind: "0" for kind in ("planned", "killed", "dead_node")}
        for kind in kinds:
            if self.wanted(*names[kind]):
                counts[kind] = "5" if self.quick else "50"
        lengths = bool(prefix) and self.wanted(*names["length"])
        behind = not prefix and self.wanted(*names["killed"]) and not self.quick
        if not lengths and not behind and set(counts.values()) == {"0"}:
            return
        self.progress(f"{prefix}moves")
        replicas = 3 if prefix else 1
        least = 2 * best([self.floor(replicas, design, 4000)["p50_us"] for design in ([], ["--overlap"])], False) / 1000
        result = self.bench("takeover", *CLUSTER[prefix], "--moves", counts["planned"], "--kills", counts["killed"],
                            "--node-deaths", counts["dead_node"], "--behind", "100000,1000000" if behind else "none",
                            "--lengths", "none" if not lengths else "10000,1000000" if self.quick else "10000,1000000,10000000",
                            "--length-kills", "3" if self.quick else "5")
        for kind in kinds:
            if counts[kind] == "0":
                continue
            # A dead node is noticed when its heartbeats have been missed: no floor below that.
            floor = result["node_timeout_ms"] if kind == "dead_node" else least
            for name, quantile in zip(names[kind], ("p50", "p99")):
                self.table.add(name, [result[kind][f"{quantile}_ms"]], [floor], "ms", False, result[kind]["n"])
        for row in result["killed_warm"]:
            self.notes.append({"text": f"killed, the only spare WARM and unassigned, {row['records_behind']:,} records behind the "
                                       "checkpoint", **row})
        for row in result["killed_by_length"]:
            self.notes.append({"text": f"killed, the only spare WARM and unassigned, a checkpoint of all, {row['records']:,} records in "
                                       "the log", **row})
        self.lost += result["lost"]
        if prefix and (counts["planned"] != "0" or counts["killed"] != "0"):
            self.peer_turn("gaps")

    def peer_rows(self):
        if self.peers is None:
            return []
        return ([{"name": "peer_writes", **row} for row in self.peers.summary()] +
                [{"name": "peer_gap", **row} for row in self.peers.gaps])

    def show_peers(self):
        """Beside our own rows of this run: those above."""
        print(f"\n{'durable writes, medians of the turns':52} {'clients':>7} {'writes/s':>10} {'p50 us':>8} {'p99 us':>8} {'p50 of the turns':>20}")
        for row in self.peers.summary():
            print(f"{row['system']:52} {row['clients']:>7} {row['records_per_s']:>10,.0f} {row['p50_us']:>8,.0f} {row['p99_us']:>8,.0f} "
                  f"{row['p50_us_min']:>9,.0f} .. {row['p50_us_max']:,.0f}")
        print(f"\n{'longest write gap, ms':52} {'event':>10} {'p50':>9} {'p99':>9} {'max':>9} {'of':>4}")
        for row in self.peers.gaps:
            print(f"{row['system']:52} {row['event']:>10} {row['p50_ms']:>9,.1f} {row['p99_ms']:>9,.1f} {row['max_ms']:>9,.1f} {row['n']:>4}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build-dir", default="build", help="use the programs there as they are (default: build them in build)")
    parser.add_argument("--data-dir", help="a folder on the disk to be measured (default: a new one in the build folder)")
    parser.add_argument("--quick", action="store_true", help="fewer records, moves and rounds: about two minutes")
    parser.add_argument("--rounds", type=int, default=0, help="rounds of each benchmark (default: 3; quick: 1)")
    parser.add_argument("--only", default="", help="run only the benchmarks whose name contains this")
    parser.add_argument("--peers", action="store_true",
                        help="with each turn of append_e3_sync, and after cluster_move, other systems as well (see peers.py)")
    parser.add_argument("--peers-quick", action="store_true", help="as --peers, with fewer writes and failovers of theirs")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON too")
    options = parser.parse_args()
    runs = Runs(options)
    try:
        with runs.data:
            runs.appends(1)
            runs.appends(3)
            runs.replay()
            runs.moves("")
            runs.repair()
            runs.moves("cluster_")
    finally:  # what was measured before something failed
        runs.progress("")
        runs.table.show()
        for note in runs.notes:
            gap = f": {note['p50_ms']:,.0f} ms (p50), {note['max_ms']:,.0f} ms (max) of {note['n']}" if "p50_ms" in note else ""
            print(note["text"] + gap)
        if runs.peers is not None:
            runs.show_peers()
        if options.json:
            with open(options.json, "w", encoding="utf-8") as file:
                json.dump(runs.table.rows + [{"name": "note", **note} for note in runs.notes] + runs.peer_rows(), file, indent=1)
                file.write("\n")
    if runs.peers_failed:
        print(f"not measured to the end: {', '.join(runs.peers_failed)}", file=sys.stderr)
    if runs.lost:
        raise SystemExit(f"{runs.lost} acknowledged writes were lost")


if __name__ == "__main__":
    main()
