"""The faults: each takes a running server, over `seconds`, to a real failure. Amounts are drawn from the run's seed."""

import os
import subprocess

MIB = 1 << 20


class Fault:
    """`limits`: what the server is confined by. start/advance/stop are called by the run; `at` is the fraction of the time
    to failure that has gone by."""

    name = "none"
    controllers = ()

    def __init__(self, rng, seconds):
        self.rng, self.seconds = rng, seconds
        self.memory_limit = rng.randrange(256, 513, 32) * MIB
        self.fd_limit = rng.choice((512, 1024, 2048))
        self.pids_limit = rng.choice((400, 800, 1500))
        self.cores = rng.uniform(0.4, 0.8)
        self.slow_s = float("inf")  # answers slower than this are of no use
        self.data_size = 0          # of a file system of its own for the log; 0: none
        self.teeth_bytes = rng.choice((0, 0, 16, 32)) * MIB
        self.warm_up_bytes = rng.choice((0, 0, 32, 64)) * MIB

    def start(self, run):
        pass

    def advance(self, run, at):
        pass

    def stop(self):
        pass


class Leak(Fault):
    """Memory, at one rate."""
    name = "leak"

    def start(self, run):
        free = self.memory_limit - run.rss_bytes(40 * MIB) - self.teeth_bytes
        run.debug("LEAK", max(MIB, int(free / self.seconds)))


class AcceleratingLeak(Fault):
    """Memory, ever faster: what is leaked grows with the square of the time."""
    name = "accelerating_leak"

    def start(self, run):
        self.free = self.memory_limit - run.rss_bytes(40 * MIB) - self.teeth_bytes

    def advance(self, run, at):
        run.debug("LEAK", max(MIB // 4, int(2 * at * self.free / self.seconds)))


class SawtoothLeak(Leak):
    """Memory in a saw-tooth whose floor rises."""
    name = "sawtooth_leak"

    def __init__(self, rng, seconds):
        super().__init__(rng, seconds)
        self.teeth_bytes = int(self.memory_limit * rng.uniform(0.15, 0.3))
        self.warm_up_bytes = 0


class FdLeak(Fault):
    """File descriptors, until no client can connect."""
    name = "fds"

    def start(self, run):
        run.debug("FDLEAK", max(1, round((self.fd_limit - 40) / self.seconds)))


class ThreadLeak(Fault):
    """Threads that pile up, until none can be started."""
    name = "threads"
    controllers = ("pids",)

    def start(self, run):
        run.debug("THREADLEAK", max(1, round((self.pids_limit - 30) / self.seconds)))


class DiskFill(Fault):
    """A neighbour fills the file system the log is on, until writes are refused."""
    name = "disk"

    def __init__(self, rng, seconds):
        super().__init__(rng, seconds)
        self.data_size = rng.randrange(256, 513, 64) * MIB
        self.teeth_bytes = 48 * MIB  # a log that is written much needs room soon
        self.file = None

    def start(self, run):
        space = os.statvfs(run.data)
        self.free = space.f_bavail * space.f_frsize
        self.file = open(run.data / "neighbour", "wb")

    def advance(self, run, at):
        wanted = int(at * self.free) - self.file.tell()
        try:
            while wanted > 0:
                wanted -= self.file.write(b"n" * min(wanted, MIB))
            self.file.flush()
        except OSError:
            pass  # full: that is the point

    def stop(self):
        if self.file:
            try:
                self.file.close()
            except OSError:
                pass


class CpuContention(Fault):
    """Ever more busy neighbours share the server's processor time."""
    name = "cpu"
    controllers = ("cpu",)

    def __init__(self, rng, seconds):
        super().__init__(rng, seconds)
        self.slow_s = 0.25
        self.most = rng.randrange(24, 49)
        self.hogs = []

    def advance(self, run, at):
        while len(self.hogs) < self.most * min(at, 3):
            hog = subprocess.Popen(["/bin/sh", "-c", "while :; do :; done"])
            self.hogs.append(hog)
            run.group.enter(hog.pid, self.controllers)

    def stop(self):
        for hog in self.hogs:
            hog.kill()
        for hog in self.hogs:
            hog.wait()


class IoCreep(Fault):
    """Housekeeping on the disk that grows in the clients' way."""
    name = "io"

    def __init__(self, rng, seconds):
        super().__init__(rng, seconds)
        self.slow_s = 0.1

    def start(self, run):
        run.debug("IOCREEP", max(1, round(self.rng.uniform(200, 400) / self.seconds)))


FAULTS = {fault.name: fault for fault in (Leak, AcceleratingLeak, SawtoothLeak, FdLeak, ThreadLeak, DiskFill, CpuContention, IoCreep)}
