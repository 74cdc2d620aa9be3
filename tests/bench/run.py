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

APPENDS = [  # name, our arguments, the floor's designs, figure, unit, higher is better, full records, quick records
    ("append_e1_sync_p50_us", ["--sync"], [[], ["--overlap"]], "p50_us", "us", False, 20_000, 4_000),
    ("append_e1_w64_rps", ["--threads", "64"],
     [["--threads", "64"], ["--threads", "64", "--overlap"], ["--threads", "64", "--own-connections"]],
     "records_per_s", "records/s", True, 400_000, 60_000),
    ("append_e1_w1024_rps", ["--window", "1024"], [["--window", "1024"], ["--window", "1024", "--overlap"]],
     "records_per_s", "records/s", True, 8_000_000, 1_000_000),
    ("append_e1_w16384_rps", ["--window", "16384"], [["--window", "16384"], ["--window", "16384", "--overlap"]],
     "records_per_s", "records/s", True, 20_000_000, 3_000_000),
]


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

    def add(self, name, ours, floor, unit, higher):
        median, floor_median = statistics.median(ours), statistics.median(floor)
        self.rows.append({"name": name, "ours": median, "floor": floor_median, "ratio": median / floor_median,
                          "unit": unit, "higher_is_better": higher,
                          "ours_min": min(ours), "ours_max": max(ours), "rounds": len(ours)})

    def show(self):
        print(f"{'':24} {'ours':>12} {'spread':>25} {'floor':>12} {'ratio':>7}  unit")
        for row in self.rows:
            spread = f"{number(row['ours_min'])} .. {number(row['ours_max'])}"
            print(f"{row['name']:24} {number(row['ours']):>12} {spread:>25} {number(row['floor']):>12} "
                  f"{row['ratio']:7.2f}  {row['unit']}{'' if row['higher_is_better'] else ' (lower is better)'}")


def number(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build-dir", default="build", help="where the programs are (default: build)")
    parser.add_argument("--data-dir", help="a folder on the disk to be measured (default: a new one in the build folder)")
    parser.add_argument("--quick", action="store_true", help="fewer records, moves and rounds: about a minute")
    parser.add_argument("--rounds", type=int, default=0, help="rounds of each benchmark (default: 5; quick: 1)")
    parser.add_argument("--only", default="", help="run only the benchmarks whose name contains this")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON too")
    options = parser.parse_args()
    rounds = options.rounds or (1 if options.quick else 5)
    binaries = os.path.join(os.path.abspath(options.build_dir), "bin")
    ours_program = os.path.join(binaries, "understudy")
    data = tempfile.TemporaryDirectory(dir=options.data_dir or options.build_dir, prefix="bench-")
    table = Table()

    def progress(text):
        if sys.stderr.isatty():
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    def floor(arguments, records):
        return run_json([os.path.join(binaries, "floor"), "--dir", data.name, "--records", str(records)] + arguments)

    with data:
        for name, arguments, designs, figure, unit, higher, full, quick in APPENDS:
            if options.only not in name:
                continue
            records = quick if options.quick else full
            ours, floors = [], []
            for turn in range(rounds):
                progress(f"{name}: round {turn + 1} of {rounds}")
                ours.append(run_json([ours_program, "bench", "append", "--replicas", "1", "--records", str(records), "--size",
                                      "100", "--data-dir", data.name, "--json"] + arguments)[figure])
                floors.append(best([floor(design, records)[figure] for design in designs], higher))
            table.add(name, ours, floors, unit, higher)

        if options.only in "replay_rps":
            records = 2_000_000 if options.quick else 10_000_000
            ours, floors = [], []
            for turn in range(rounds):
                progress(f"replay_rps: round {turn + 1} of {rounds}")
                ours.append(run_json([ours_program, "bench", "replay", "--records", str(records), "--size", "100", "--lanes", "2",
                                      "--data-dir", data.name, "--json"])["records_per_s"])
                floors.append(run_json([os.path.join(binaries, "replay_floor"), "--records", str(records)])["records_per_s"])
            table.add("replay_rps", ours, floors, "records/s", True)

        warm = []
        moves = ["move_planned_p50_ms", "move_planned_p99_ms", "move_killed_p50_ms", "move_killed_p99_ms"]
        if any(options.only in name for name in moves):
            count = "10" if options.quick else "100"
            behind = "none" if options.quick else "100000,1000000"
            progress("moves")
            least = 2 * best([floor(design, 4000)["p50_us"] for design in ([], ["--overlap"])], False) / 1000
            result = run_json([ours_program, "bench", "takeover", "--moves", count, "--kills", count, "--behind", behind,
                               "--data-dir", data.name, "--json"])
            for kind in ("planned", "killed"):
                for quantile in ("p50", "p99"):
                    table.add(f"move_{kind}_{quantile}_ms", [result[kind][f"{quantile}_ms"]], [least], "ms", False)
            warm = result.get("killed_warm", [])
            lost = result["lost"]
        progress("")
    table.show()
    for row in warm:
        print(f"killed, the only spare WARM and unassigned, {row['records_behind']:,} records behind the checkpoint: "
              f"{row['p50_ms']:,.0f} ms (p50), {row['max_ms']:,.0f} ms (max) of {row['n']}")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(table.rows, file, indent=1)
            file.write("\n")
    if any(options.only in name for name in moves) and lost:
        raise SystemExit(f"{lost} acknowledged writes were lost")


if __name__ == "__main__":
    main()
