"""A real etcd cluster on this machine for tests: members that can be frozen, killed and started again. Standard library only."""

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request

from local_cluster import Failed, free_ports


class EtcdMember:
    def __init__(self, name, folder, client_port, peer_port):
        self.name, self.folder = name, folder
        self.endpoint = f"http://127.0.0.1:{client_port}"
        self.peer = f"http://127.0.0.1:{peer_port}"
        self.process = None

    def signal(self, number):
        if self.process is not None:
            self.process.send_signal(number)

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def ask(self, path, document):
        """The answer to a POST of the JSON gateway, or None."""
        request = urllib.request.Request(self.endpoint + path, json.dumps(document).encode(), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=2) as reply:
                return json.loads(reply.read())
        except (OSError, urllib.error.URLError):
            return None


class Etcd:
    """`members` etcd processes with their data under `folder`, timeouts shortened so that elections take a second."""

    def __init__(self, folder, members=3, flags=()):
        ports = free_ports(2 * members)
        self.folder, self.flags = folder, list(flags)
        self.members = [EtcdMember(f"etcd{i}", folder, ports[2 * i], ports[2 * i + 1]) for i in range(members)]
        for member in self.members:
            self.start(member)
        self.wait_until_serving()

    @property
    def endpoints(self):
        return ",".join(member.endpoint for member in self.members)

    def start(self, member, more_flags=()):
        cluster = ",".join(f"{one.name}={one.peer}" for one in self.members)
        with open(self.folder / f"{member.name}.output", "ab") as output:
            member.process = subprocess.Popen(
                ["etcd", "--name", member.name, "--data-dir", self.folder / f"{member.name}.data",
                 "--listen-client-urls", member.endpoint, "--advertise-client-urls", member.endpoint,
                 "--listen-peer-urls", member.peer, "--initial-advertise-peer-urls", member.peer,
                 "--initial-cluster", cluster, "--heartbeat-interval", "50", "--election-timeout", "500",
                 "--logger", "zap", *self.flags, *more_flags],
                stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True)

    def wait_until_serving(self, seconds=30):
        """Until every member that runs answers a linearizable read."""
        deadline = time.monotonic() + seconds
        while not all(member.ask("/v3/kv/range", {"key": "eA==", "count_only": True})
                      for member in self.members if member.process is not None):
            if time.monotonic() > deadline:
                raise Failed(f"etcd does not serve, see {self.folder}")
            time.sleep(0.05)

    def leader(self):
        for member in self.members:
            status = member.process is not None and member.ask("/v3/maintenance/status", {})
            if status and status.get("leader") == status["header"]["member_id"]:
                return member
        raise Failed("etcd has no leader")

    def freeze(self):
        for member in self.members:
            member.signal(signal.SIGSTOP)

    def thaw(self):
        for member in self.members:
            member.signal(signal.SIGCONT)

    def control(self, *words):
        """etcdctl, API v3; what it printed."""
        done = subprocess.run(["etcdctl", f"--endpoints={self.members[0].endpoint}", *map(str, words)],
                              env={**os.environ, "ETCDCTL_API": "3"}, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise Failed(f"etcdctl {' '.join(map(str, words))}: {done.stderr.strip()}")
        return done.stdout

    def restore(self, snapshot):
        """All members begin anew with what the snapshot holds."""
        cluster = ",".join(f"{one.name}={one.peer}" for one in self.members)
        for member in self.members:
            member.kill()
            shutil.rmtree(self.folder / f"{member.name}.data")
            self.control("snapshot", "restore", snapshot, "--name", member.name, "--data-dir",
                         self.folder / f"{member.name}.data", "--initial-cluster", cluster,
                         "--initial-advertise-peer-urls", member.peer)
        for member in self.members:
            self.start(member)
        self.wait_until_serving()

    def stop(self):
        for member in self.members:
            member.kill()
