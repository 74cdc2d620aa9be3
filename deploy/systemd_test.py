"""The units as systemd itself reads them: nothing to complain of, and what matters for the service is as it should be.

usage: systemd_test.py UNDERSTUDYD"""

import configparser
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
UNITS = Path(__file__).resolve().parent / "systemd"
PROGRAM = None  # of the command line
TEMPLATE = "understudyd@.service"
NAMES = ("understudyd.service", "understudyd@log.service", "understudyd@coordinator.service", "understudyd@agent.service")


def run(*words):
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


class UnitsTest(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="units-"))
        self.addCleanup(shutil.rmtree, self.folder)
        for name in NAMES:
            source = UNITS / (name if (UNITS / name).exists() else TEMPLATE)
            (self.folder / name).write_text(source.read_text().replace("/usr/bin/understudyd", PROGRAM))

    def test_systemd_has_nothing_to_say(self):
        done = run("systemd-analyze", "verify", *(str(self.folder / name) for name in NAMES))
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))
        # It would have: a word it does not know.
        broken = self.folder / NAMES[0]
        broken.write_text(broken.read_text().replace("KillMode=process", "KillMode=proces"))
        done = run("systemd-analyze", "verify", str(broken))
        self.assertIn("kill mode", done.stdout + done.stderr)

    def test_the_command_lines_are_understood(self):
        for name in NAMES:
            unit = configparser.RawConfigParser(strict=False)
            unit.optionxform = str
            unit.read(self.folder / name)
            words = unit["Service"]["ExecStart"].replace("%i", name.partition("@")[2].removesuffix(".service")).split()
            words[words.index("--config") + 1] = str(UNITS / "understudyd.conf")
            done = run(*words, "--help")
            self.assertEqual(done.returncode, 0, f"{words}: {done.stderr}")
            # The same with a flag that is wrong: the end that keeps it down.
            done = run(*words, "--no-such-flag")
            self.assertIn("no-such-flag", done.stderr)
            self.assertEqual(str(done.returncode), unit["Service"]["RestartPreventExitStatus"], done.stderr)

    def test_the_user_is_made(self):
        root = self.folder / "root"
        (root / "etc").mkdir(parents=True)
        (root / "etc/machine-id").write_text("")
        done = run("systemd-sysusers", f"--root={root}", str(UNITS / "understudy.sysusers"))
        self.assertEqual(done.returncode, 0, done.stderr)
        users = {line.split(":")[0] for line in (root / "etc/passwd").read_text().splitlines()}
        for name in NAMES:
            user = next(line for line in (self.folder / name).read_text().splitlines() if line.startswith("User="))
            self.assertIn(user.removeprefix("User="), users)


if __name__ == "__main__":
    if not shutil.which("systemd-analyze") or not shutil.which("systemd-sysusers"):
        sys.exit(77)
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main()
