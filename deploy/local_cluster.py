"""A whole cluster on this machine, and load that checks it: for the demonstration and the end-to-end tests. Standard library
only."""

import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path


class Failed(Exception):
    """Something the demonstration cannot go on after; the text is for people."""


def free_ports(count):
    """Ports nobody listens on, below the range from which the kernel takes those of outgoing connections."""
    ports = []
    while len(ports) < count:
        port = random.randrange(20000, 30000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
    return ports


def service_of(status, name):
    """The service's part of the status document, or None."""
    return next((one for one in status["services"] if one["name"] == name), None)


def node_of(status, name):
    return next((one for one in status["nodes"] if one["name"] == name), {})


def serving(status, name):
    """The service's part when it is served, else None."""
    service = service_of(status, name)
    return service if service and service["state"] == "SERVING" and service["primary"] else None


def kill_applications(data):
    """Applications outlive their agent by design; none may outlive whoever set a cluster up in the folder `data`."""
    mark = str(data).encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes() and int(process.name) != os.getpid():
                os.kill(int(process.name), signal.SIGKILL)
        except OSError:
            continue


class Operator:
    """The operator's command on a cluster, whose coordinators are at `coordinators` (a list with commas)."""

    def __init__(self, build, data, coordinators):
        self.build, self.data, self.coordinators = build, data, coordinators

    def check(self):
        """Raises Failed when a process that must run has ended by itself."""

    def command(self, *words, check=True, timeout=60):
        done = subprocess.run([self.build / "bin/understudy", *words, "--coordinators", self.coordinators],
                              capture_output=True, text=True, timeout=timeout, check=False)
        if check and done.returncode != 0:
            raise Failed(f"understudy {' '.join(map(str, words))}: {(done.stderr or done.stdout).strip()}")
        return done

    def status(self):
        """The status document, or None while no coordinator answers."""
        self.check()
        done = self.command("status", "--json", check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def apply(self, document):
        path = self.data / f"{document['name']}.json"
        path.write_text(json.dumps(document, indent=1), encoding="utf-8")
        self.command("service", "apply", str(path))

    def wait(self, what, seconds, probe):
        """The first true result of `probe`, called with the status."""
        deadline = time.monotonic() + seconds
        status = None
        while time.monotonic() < deadline:
            status = self.status()
            result = status and probe(status)
            if result:
                return result
            time.sleep(0.05)
        raise Failed(f"within {seconds} s this did not happen: {what}; {json.dumps(status)[:4000]}")


class Cluster(Operator):
    """understudyd with a log server, a coordinator and the agents of `nodes`, and the operator's command on it."""

    def __init__(self, build, data, nodes, flags=()):
        coordinator, log, *apps = free_ports(2 + len(nodes))
        self.coordinator = f"127.0.0.1:{coordinator}"
        super().__init__(build, data, self.coordinator)
        self.endpoints = [f"127.0.0.1:{port}" for port in apps]
        self.output = open(data / "understudyd.log", "wb")
        self.daemon = subprocess.Popen(
            [build / "bin/understudyd", "--data-dir", data / "cluster", "--listen", self.coordinator,
             "--log-listen", f"127.0.0.1:{log}", "--stop-applications",
             "--plugin-folder", build / "lib/understudy/predictors",
             "--nodes", ",".join(f"{node}:{port}" for node, port in zip(nodes, apps)), *flags],
            stdout=self.output, stderr=self.output, stdin=subprocess.DEVNULL, start_new_session=True)

    def check(self):
        if self.daemon.poll() is not None:
            raise Failed(f"understudyd ended by itself (status {self.daemon.returncode}), see {self.data}/understudyd.log")

    def stop(self):
        if self.daemon.poll() is None:
            self.daemon.terminate()
            try:
                self.daemon.wait(15)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()
        self.output.close()
        kill_applications(self.data)


class Load:
    """resp_check, driven by lines."""

    def __init__(self, build, data, service_names, endpoints, flags=()):
        services = [word for name in service_names for word in ("--service", name + "=" + ",".join(endpoints))]
        self.errors = open(data / "resp_check.log", "wb")
        self.process = subprocess.Popen([build / "bin/resp_check", *services, *flags], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.errors, text=True, start_new_session=True)
        self.lock = threading.Lock()

    def ask(self, line):
        with self.lock:
            try:
                self.process.stdin.write(line + "\n")
                self.process.stdin.flush()
                answer = self.process.stdout.readline()
            except OSError as error:
                raise Failed(f"the load client is gone: {error}") from error
        if not answer:
            raise Failed("the load client ended by itself")
        return json.loads(answer)

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            try:
                stream.close()
            except OSError:
                continue  # what was still to be sent has no reader
