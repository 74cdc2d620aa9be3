"""A name server that never answers: who lists a coordinator by name beside another by address is served by that one at once.

usage: slow_resolver_test.py BUILD_DIR

Needs a mount namespace of its own, where /etc/resolv.conf is another; skipped (77) where that is not allowed."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
BUILD = None  # of the command line
NAME_SERVER = "127.0.0.77"
SLOW = "slow-host.example"


class SlowResolverTest(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="resolver-e2e-", dir=BUILD))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        resolv = self.folder / "resolv.conf"
        resolv.write_text(f"nameserver {NAME_SERVER}\noptions timeout:10 attempts:3\n")
        subprocess.run(["mount", "--bind", resolv, "/etc/resolv.conf"], check=True)
        self.addCleanup(subprocess.run, ["umount", "/etc/resolv.conf"], check=True)
        self.asked = threading.Event()
        self.server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.server.bind((NAME_SERVER, 53))
        threading.Thread(target=self.never_answer, daemon=True).start()

    def never_answer(self):
        while True:
            self.server.recvfrom(4096)
            self.asked.set()

    def start(self, role, *words):
        output = open(self.folder / f"{role}.log", "wb")
        self.addCleanup(output.close)
        process = subprocess.Popen([BUILD / "bin/understudyd", role, "--data-dir", self.folder / role, *words], stdout=output,
                                   stderr=subprocess.STDOUT)
        self.addCleanup(process.wait, 60)
        self.addCleanup(process.terminate)

    def said(self, role, text):
        deadline = time.monotonic() + 25  # less than the resolver waits
        while text not in (log := (self.folder / f"{role}.log").read_text()):
            self.assertLess(time.monotonic(), deadline, log)
            time.sleep(0.02)  # between two looks
        return log

    def test_nobody_waits_for_it(self):
        ports = []
        for _ in range(3):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                ports.append(free.getsockname()[1])
        coordinator = f"127.0.0.1:{ports[0]}"
        both = f"{SLOW}:{ports[0]},{coordinator}"
        self.start("coordinator", "--listen", coordinator)
        self.said("coordinator", "leads with term")
        self.start("log", "--log-listen", f"127.0.0.1:{ports[1]}", "--coordinators", both)
        self.start("agent", "--nodes", f"n1:{ports[2]}", "--coordinators", both)
        self.said("log", "log server on")  # it has registered its disk
        self.said("agent", "in touch with the coordinator")
        self.assertTrue(self.asked.wait(25), "the name was looked up")


if __name__ == "__main__":
    BUILD = Path(sys.argv.pop(1)).resolve()
    if os.environ.get("UNDERSTUDY_OWN_MOUNTS") is None:
        if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0:
            sys.exit(77)
        os.environ["UNDERSTUDY_OWN_MOUNTS"] = "1"
        os.execvp("unshare", ["unshare", "-m", sys.executable, __file__, str(BUILD)])
    unittest.main()
