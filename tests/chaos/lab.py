"""Hosts of one machine: network namespaces joined by net_switch, and the processes on them. Standard library only. Runs in
namespaces made by run.sh, so that nothing outlives the run."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "deploy"))
from local_cluster import Failed  # noqa: E402


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, words))}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


class LineProcess:
    """A program that answers each line of its standard input by one line."""

    def __init__(self, words, log):
        self.name = Path(words[0] if words[0] != "nsenter" else words[2]).name
        self.errors = open(log, "wb")
        self.process = subprocess.Popen([str(word) for word in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors, text=True, start_new_session=True)
        self.lock = threading.Lock()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"{self.name} ended by itself, see {self.errors.name}")
        return line.rstrip("\n")

    def ask(self, line):
        with self.lock:
            try:
                self.process.stdin.write(line + "\n")
                self.process.stdin.flush()
            except OSError as error:
                raise Failed(f"{self.name}: {error}") from error
            return self.read()

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.errors.close()


class Process:
    """One program on a host, that may be killed, frozen and started again."""

    def __init__(self, host, kind, words, environment=None):
        self.host, self.kind, self.words = host, kind, [str(word) for word in words]
        self.environment = {**os.environ, **(environment or {})}
        self.log = host.lab.folder / "logs" / f"{host.name}.log"
        self.popen = None
        self.frozen = False
        self.wanted = False

    def start(self):
        if self.running():
            return
        self.wanted, self.frozen = True, False
        with open(self.log, "ab") as output:
            # nsenter and unshare become the program: its pid is this one's
            self.popen = subprocess.Popen(self.host.enter(days=self.host.number) + self.words, stdin=subprocess.DEVNULL, stdout=output,
                                          stderr=output, env=self.environment, start_new_session=True)

    def running(self):
        return self.popen is not None and self.popen.poll() is None

    def ended_by_itself(self):
        """How, when nobody killed it; said once."""
        if not self.wanted or self.running():
            return None
        self.wanted = False
        return f"the {self.kind} on {self.host.name} ended by itself with status {self.popen.returncode}, see {self.log}"

    def kill(self):
        self.wanted = False
        if self.running():
            self.popen.kill()
            self.popen.wait()

    def freeze(self):
        if self.running():
            self.popen.send_signal(signal.SIGSTOP)
            self.frozen = True

    def thaw(self):
        if self.running():
            self.popen.send_signal(signal.SIGCONT)
        self.frozen = False


class Host:
    def __init__(self, lab, name, number):
        self.lab, self.name, self.number = lab, name, number
        self.ip = f"10.77.0.{number}"
        self.interface = f"tun{number}"
        self.data = lab.folder / name
        self.data.mkdir(parents=True, exist_ok=True)

    def enter(self, days=0):
        """What to put before a command. `days`: how far this host's monotonic clock is ahead of the machine's."""
        words = ["nsenter", f"--net=/run/netns/{self.name}", "--"]
        if days:
            words += ["unshare", "--time", "--monotonic", str(days * 86_400), "--boottime", str(days * 86_400), "--"]
        return words


class Lab:
    """The hosts `names`, each in a network of its own with one link to the switch."""

    def __init__(self, build, folder, names, seed):
        self.build, self.folder = build, folder
        (folder / "logs").mkdir(exist_ok=True)
        self.hosts = {name: Host(self, name, 10 + i) for i, name in enumerate(names)}
        self.switch = LineProcess(
            [build / "bin/net_switch", "--seed", seed] +
            [f"{host.name}={host.interface}={host.ip}" for host in self.hosts.values()], folder / "logs/net_switch.log")
        if self.switch.read() != "ready":
            raise Failed("net_switch did not start")
        for host in self.hosts.values():
            run("ip", "netns", "add", host.name)
            run("ip", "link", "set", host.interface, "netns", host.name)
            for words in (["link", "set", "lo", "up"], ["address", "add", f"{host.ip}/24", "dev", host.interface],
                          ["link", "set", host.interface, "mtu", "9000", "up"]):
                run("ip", "-n", host.name, *words)

    def network(self, command):
        answer = self.switch.ask(command)
        if not answer.startswith("ok"):
            raise Failed(f"net_switch: {answer}")
        return answer

    def stop(self):
        self.switch.stop()


def processes_with(variable):
    """Pids of processes whose environment holds `variable` (NAME=VALUE)."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if variable.encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:
            continue
    return found


# What a program of ours says when it finds a bug in itself, and what the C++ runtime says.
BUG = re.compile(r"check failed: .*|terminate called.*|AddressSanitizer.*|ThreadSanitizer.*|runtime error: .*|"
                 r"killed by signal (?:4|6|7|8|11)\b.*")


def bugs_in(files):
    found = []
    for path in files:
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{path.name}: {match.group(0)[:300]}" for match in BUG.finditer(text)]
    return found


def fill(folder):
    """Fills the file system of `folder` to the last block."""
    with open(folder / "filler", "ab", buffering=0) as filler:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    if filler.write(b"\0" * size) == 0:
                        break
            except OSError:
                continue


def unfill(folder):
    (folder / "filler").unlink(missing_ok=True)


def wipe(folder):
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def wait_until(what, seconds, probe):
    """The first true result of `probe`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = probe()
        if result:
            return result
        time.sleep(0.05)
    raise Failed(f"within {seconds} s this did not happen: {what}")


def parse(text):
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None
