"""Writers of other systems that go on through a failover, and what measures the gap they see. Standard library and psycopg2."""
import http.client
import json
import socket
import threading
import time

CALL_S = 0.1  # then an answer is given up and another endpoint is asked: a write sent to a leader that died gets none
VALUE = "a" * 100


class WriteFailed(Exception):
    """The write was refused, or nobody answered."""


class RedisWriter:
    """SET on the first endpoint that takes it."""

    def __init__(self, ports):
        self.ports, self.socket = list(ports), None

    def write(self):
        try:
            if self.socket is None:
                self.socket = socket.create_connection(("127.0.0.1", self.ports[0]), CALL_S)
                self.socket.settimeout(CALL_S)
            self.socket.sendall(b"SET k " + VALUE.encode() + b"\r\n")
            answer = self.socket.recv(4096)
            if not answer.startswith(b"+OK"):
                raise WriteFailed(answer.decode(errors="replace"))
        except (OSError, WriteFailed) as error:
            self.elsewhere()
            raise WriteFailed(str(error)) from error

    def elsewhere(self):
        if self.socket is not None:
            self.socket.close()
        self.socket = None
        self.ports.append(self.ports.pop(0))


class EtcdWriter:
    """A put through the JSON gateway of any member."""

    def __init__(self, ports):
        self.ports, self.connection = list(ports), None

    def write(self):
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.ports[0], timeout=CALL_S)
                self.connection.connect()
                self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connection.request("POST", "/v3/kv/put", json.dumps({"key": "a2V5", "value": "YWFh" * 34}))
            answer = self.connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise WriteFailed(body.decode(errors="replace"))
        except (OSError, http.client.HTTPException, WriteFailed) as error:
            self.elsewhere()
            raise WriteFailed(str(error)) from error

    def elsewhere(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None
        self.ports.append(self.ports.pop(0))


class PatroniWriter:
    """An UPDATE on whichever server is the primary. target_session_attrs finds it; errors make it look again."""

    def __init__(self, ports):
        self.hosts, self.port_list, self.connection = ",".join("127.0.0.1" for _ in ports), ",".join(map(str, ports)), None

    def write(self):
        import psycopg2  # only here: a Debian package that peers.sh installs  # pylint: disable=import-outside-toplevel
        try:
            if self.connection is None:
                self.connection = psycopg2.connect(host=self.hosts, port=self.port_list, user="postgres", dbname="postgres",
                                                   connect_timeout=2, target_session_attrs="read-write",
                                                   options="-c statement_timeout=2000")
                self.connection.autocommit = True
            with self.connection.cursor() as cursor:
                cursor.execute("INSERT INTO bench VALUES (1, %s) ON CONFLICT (id) DO UPDATE SET value = excluded.value", (VALUE,))
        except psycopg2.Error as error:
            self.elsewhere()
            raise WriteFailed(str(error)) from error

    def elsewhere(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None


class GapMeter:
    """Writes on a thread of its own all the while; between begin() and end() the longest time without success is kept."""

    def __init__(self, writer):
        self.writer, self.stopping = writer, False
        self.changed = threading.Condition()
        self.last, self.longest, self.successes, self.error = time.monotonic(), 0.0, 0, ""
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping = True
        self.thread.join()
        self.writer.elsewhere()

    def run(self):
        while not self.stopping:
            began = time.monotonic()
            try:
                self.writer.write()
            except WriteFailed as error:
                self.error = str(error)
                time.sleep(0.001)  # a refusal comes at once: not a busy loop beside the servers
                continue
            with self.changed:
                now = time.monotonic()
                self.longest = max(self.longest, now - self.last)
                self.last = now
                if began >= self.mark:
                    self.successes += 1
                self.changed.notify_all()

    mark = 0.0

    def succeed(self, count, timeout):
        """Waits for so many writes begun after the call."""
        with self.changed:
            self.mark, self.successes = time.monotonic(), 0
            if not self.changed.wait_for(lambda: self.successes >= count, timeout):
                raise RuntimeError(f"no write succeeds: {self.error}")

    def begin(self):
        self.succeed(20, 120)
        with self.changed:
            self.longest, self.last = 0.0, time.monotonic()

    def end(self, moved=lambda: True):
        """The gap in ms, once `moved` says that the event is over and writes succeed after it."""
        deadline = time.monotonic() + 120
        while not moved():
            if time.monotonic() > deadline:
                raise RuntimeError("nobody took over within two minutes")
            time.sleep(0.02)  # between two looks
        self.succeed(20, 120)
        with self.changed:
            return self.longest * 1000
