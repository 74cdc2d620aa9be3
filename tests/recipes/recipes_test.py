"""A short leak is run into its failure, and what was recorded is a trace of it."""

import csv
import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = Path(sys.argv.pop(1)).resolve()


class Recipes(unittest.TestCase):
    def test_a_leak_and_a_healthy_run(self):
        with tempfile.TemporaryDirectory(dir=BUILD) as out:
            done = subprocess.run(
                [sys.executable, "-B", HERE / "run.py", "--build-dir", BUILD, "--out", out, "--faults", "leak", "--runs", "1",
                 "--healthy", "1", "--calm", "3", "--to-failure", "8", "--seed", "3"],
                capture_output=True, text=True, timeout=150, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            events = json.loads((Path(out) / "leak-3.events.json").read_text())
            self.assertEqual([event["kind"] for event in events], ["failure"])
            self.assertEqual(json.loads((Path(out) / "healthy-3.events.json").read_text()), [])
            with open(Path(out) / "leak-3.csv", newline="") as file:
                rows = list(csv.DictReader(file))
            rss = [float(row["proc.rss_bytes"]) for row in rows
                   if row["proc.rss_bytes"] and float(row["time_s"]) < events[0]["time_s"]]
            limit = float(rows[1]["proc.memory_limit_bytes"])
            self.assertGreater(len(rss), 10)
            self.assertLess(rss[0], limit / 4)
            self.assertGreater(rss[-1], limit / 2)  # sampled up to its end
            self.assertLessEqual(float(rows[-1]["time_s"]), events[0]["time_s"] + 1)

    def test_says_what_is_wrong_with_its_command_line(self):
        for words, told in ((["--faults", "leek"], "'leek' is none of leak"), (["--calm", "9-3"], "no range of seconds"),
                            (["--build-dir", "/nowhere"], "/nowhere/bin/understudyd is missing")):
            done = subprocess.run([sys.executable, "-B", HERE / "run.py", "--build-dir", BUILD, *words], capture_output=True,
                                  text=True, timeout=30, check=False)
            self.assertEqual(done.returncode, 2)
            self.assertIn(told, done.stderr)


if __name__ == "__main__":
    unittest.main()
