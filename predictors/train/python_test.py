#!/usr/bin/env python3
"""A booster trained by Python's xgboost on the exported features becomes a model: what docs/cli.md describes, done.
Usage: python_test.py UNDERSTUDY. Exit status 77, and a line that says so, when python3-xgboost is not installed."""
import csv
import json
import math
import os
import random
import subprocess
import sys
import tempfile

try:
    import xgboost
except ImportError:
    print("SKIPPED: python3-xgboost is not installed, so that boosters from Python are not tested")
    sys.exit(77)

FIXED = ["--windows", "5,20", "--horizons", "20,60", "--cap-remaining", "150"]


def write_leak(folder, index):
    rng = random.Random(index)
    speed, begin = rng.uniform(4, 10), rng.uniform(30, 90)
    with open(os.path.join(folder, f"leak{index:02}.csv"), "w") as file:
        file.write("time_s,memory,load\n")
        for second in range(400):
            leaked = speed * max(0.0, second - begin)
            file.write(f"{second},{200 + leaked + rng.uniform(-5, 5):.3f},{rng.uniform(0.3, 0.7):.3f}\n")
            if leaked >= 800:
                break
    with open(os.path.join(folder, f"leak{index:02}.events.json"), "w") as file:
        json.dump([{"time_s": second, "kind": "failure"}], file)


def number(text):
    return float(text) if text else math.nan


def train_failure(names, rows, path):
    rows = [r for r in rows if r[0] == "train" and r[7] != ""]
    matrix = xgboost.DMatrix([[number(x) for x in [r[6]] + r[8:]] for r in rows], label=[number(r[7]) for r in rows])
    constraints = "(1" + ",0" * (len(names) - 8) + ")"
    xgboost.train({"objective": "binary:logistic", "max_depth": 3, "eta": 0.4, "nthread": 1, "seed": 1,
                   "monotone_constraints": constraints}, matrix, 12).save_model(path)


def train_time(rows, path):
    horizon = rows[0][6]
    rows = [r for r in rows if r[0] == "train" and r[6] == horizon]
    matrix = xgboost.DMatrix([[number(x) for x in r[8:]] for r in rows])
    matrix.set_float_info("label_lower_bound", [number(r[4]) for r in rows])
    matrix.set_float_info("label_upper_bound", [number(r[5]) if r[5] else math.inf for r in rows])
    xgboost.train({"objective": "survival:aft", "max_depth": 3, "eta": 0.4, "nthread": 1, "seed": 1}, matrix,
                  12).save_model(path)


def main():
    understudy = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        traces = os.path.join(folder, "traces")
        os.mkdir(traces)
        for index in range(10):
            write_leak(traces, index)
        table = os.path.join(folder, "features.csv")
        subprocess.run([understudy, "train", traces, *FIXED, "--features-csv", table], check=True)
        with open(table) as file:
            names, *rows = list(csv.reader(file))
        failure, time = os.path.join(folder, "failure.ubj"), os.path.join(folder, "time.json")
        train_failure(names, rows, failure)
        train_time(rows, time)
        model = os.path.join(folder, "leak.model")
        told = subprocess.run([understudy, "train", traces, *FIXED, "--failure-booster", failure, "--time-booster", time,
                               "--time-scale", "log", "--out", model, "--json"], check=True, stdout=subprocess.PIPE)
        report = json.loads(told.stdout)
        assert report["failure_imported"] and report["time_imported"], report
        scores = report["test"]["failure"][1]
        assert scores["roc_auc"] > 0.9, scores
        assert report["test"]["time"]["rmse_s"] < 40, report["test"]["time"]
        with open(model) as file:
            assert json.load(file)["checksum"] == report["model"]["checksum"]
        # The wrong way round is refused by name.
        wrong = subprocess.run([understudy, "train", traces, *FIXED, "--failure-booster", time, "--out", model],
                               stderr=subprocess.PIPE, text=True)
        assert wrong.returncode == 1 and "failure booster" in wrong.stderr, wrong
    print("boosters from Python: trained, taken in, calibrated, judged")


if __name__ == "__main__":
    main()
