"""A client as the service's users are: a background load, and a probe that says when the service is of no use any more."""

import math
import random
import socket
import threading
import time


class Connection:
    def __init__(self, endpoint, timeout):
        host, port = endpoint.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout)
        self.socket.settimeout(timeout)
        self.reader = self.socket.makefile("rb")

    def ask(self, *words):
        parts = [str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
        line = self.reader.readline()
        if not line:
            raise OSError("closed")
        if line[:1] == b"$" and line != b"$-1\r\n":
            return self.reader.read(int(line[1:]) + 2)[:-2]
        return line.strip()

    def close(self):
        self.reader.close()
        self.socket.close()


class Probe(threading.Thread):
    """Ten times a second: a new connection and a write. The service has failed when for DEAD_S no probe was answered, and is
    degraded when over DEGRADED_S one answer in ten took longer than `slow_s`."""

    DEAD_S = 2.0
    DEGRADED_S = 3.0

    def __init__(self, endpoint, slow_s):
        super().__init__(daemon=True)
        self.endpoint, self.slow_s = endpoint, slow_s
        self.stopping = threading.Event()
        self.verdict = None  # ("failure" | "degradation", unix time it began, words)
        self.answered_at = time.time()
        self.latest = []     # (when, seconds)

    def run(self):
        while not self.stopping.wait(0.1) and self.verdict is None:
            began = time.time()
            try:
                connection = Connection(self.endpoint, self.DEAD_S)
                try:
                    ok = connection.ask("SET", "probe", began) == b"+OK"
                finally:
                    connection.close()
            except OSError:
                ok = False
            now = time.time()
            if ok:
                self.answered_at = now
                self.latest.append((now, now - began))
            self.latest = [one for one in self.latest if now - one[0] <= self.DEGRADED_S]
            if now - self.answered_at >= self.DEAD_S:
                self.verdict = ("failure", self.answered_at, "no answer to new clients")
            elif self.latest and now - self.latest[0][0] > self.DEGRADED_S * 0.8:
                took = sorted(seconds for _, seconds in self.latest)
                p90 = took[len(took) * 9 // 10]
                if p90 > self.slow_s:
                    self.verdict = ("degradation", self.latest[0][0], f"one answer in ten takes over {p90 * 1e3:.0f} ms")


class Load(threading.Thread):
    """A load that breathes: its rate swings, steps and pauses; it keeps a set of keys and, at times, large values."""

    def __init__(self, endpoint, seed, teeth_bytes=0, warm_up_bytes=0):
        super().__init__(daemon=True)
        self.endpoint, self.random = endpoint, random.Random(seed)
        self.teeth_bytes = teeth_bytes      # size of the saw-tooth of large values; 0: none
        self.warm_up_bytes = warm_up_bytes  # a cache that fills up, ever more slowly, to about this; 0: none
        self.stopping = threading.Event()

    def run(self):
        rate = self.random.uniform(30, 120)
        swing_s = self.random.uniform(15, 60)
        tooth_s = self.random.uniform(6, 15)
        block = 512 << 10
        began = step_at = time.time()
        step, blocks, cached = 1.0, 0, 0
        connection = None
        while not self.stopping.is_set():
            try:
                connection = connection or Connection(self.endpoint, 2)
                now = time.time()
                if now > step_at:
                    step, step_at = self.random.choice((0.5, 1, 1, 1, 2)), now + self.random.uniform(5, 30)
                key = f"k{self.random.randrange(2000)}"
                if self.random.random() < 0.5:
                    connection.ask("SET", key, "v" * self.random.randrange(20, 400))
                else:
                    connection.ask("GET", key)
                if self.teeth_bytes:
                    wanted = int((now - began) % tooth_s / tooth_s * self.teeth_bytes / block)
                    if wanted < blocks:
                        connection.ask("DEL", *[f"tooth{i}" for i in range(blocks)])
                        blocks = 0
                    elif wanted > blocks:
                        connection.ask("SET", f"tooth{blocks}", "t" * block)
                        blocks += 1
                if self.warm_up_bytes:
                    wanted = (1 - math.exp((began - now) / 20)) * self.warm_up_bytes
                    if cached * block < wanted:
                        connection.ask("SET", f"cache{cached}", "c" * block)
                        cached += 1
                pace = rate * step * (1 + 0.5 * math.sin(2 * math.pi * (now - began) / swing_s))
                self.stopping.wait(self.random.expovariate(max(1.0, pace)))
            except OSError:
                connection = None
                self.stopping.wait(0.2)
