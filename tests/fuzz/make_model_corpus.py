#!/usr/bin/env python3
"""Makes corpus/model: small models of gbt, each of another kind, by `understudy train` on traces made here. First byte 1: the
checksum is put right first, so that what lies behind it is reached. Usage: make_model_corpus.py BUILD_DIR"""

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

KINDS = {
    "seconds_log": ["--windows", "5s,15s", "--horizons", "10s,30s", "--time-scale", "log"],
    "samples_linear": ["--windows", "4,12", "--horizons", "20", "--time-scale", "linear", "--no-age"],
    "one_metric": ["--windows", "10", "--horizons", "5s,20s,40s", "--metrics", "memory", "--no-test"],
}


def trace(folder, name, fails, rng):
    rows, memory, slope = [], 100.0, rng.uniform(5, 15)
    for second in range(80):
        memory += slope if fails and second > 30 else rng.uniform(-1, 1)
        rows.append(f"{second},{memory:.1f},{rng.uniform(0, 9):.2f}")
    (folder / f"{name}.csv").write_text("time_s,memory,load\n" + "\n".join(rows) + "\n", encoding="utf-8")
    events = [{"time_s": 79, "end_s": 79, "kind": "failure"}] if fails else []
    (folder / f"{name}.events.json").write_text(json.dumps(events) + "\n", encoding="utf-8")


def main():
    build = Path(sys.argv[1]).resolve()
    out = Path(__file__).resolve().parent / "corpus/model"
    out.mkdir(exist_ok=True)
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(12):
            trace(Path(folder), f"t{number}", number < 8, rng)
        for kind, options in KINDS.items():
            model = Path(folder) / "model"
            subprocess.run([build / "bin/understudy", "train", folder, "--out", model, "--rounds", "2", "--depth", "2", *options],
                           check=True, stdout=subprocess.DEVNULL)
            (out / kind).write_bytes(b"\x01" + model.read_bytes())


if __name__ == "__main__":
    main()
