"""Servers of other systems on this machine: started in a folder, ended with the `with` block. Each setting with its reason."""
import json
import os
import pwd
import random
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

PG_BIN = "/usr/lib/postgresql/15/bin"


def free_ports(count):
    """Ports nobody listens on, below those the kernel gives to outgoing connections."""
    found, sockets = [], []
    while len(found) < count:
        link, port = socket.socket(), random.randint(20000, 29999)
        try:
            link.bind(("127.0.0.1", port))
            found.append(port)
        except OSError:
            pass
        sockets.append(link)
    for link in sockets:
        link.close()
    return found


def await_true(what, look, seconds=60):
    """Polls until look() gives something; RuntimeError says what did not come."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)  # between two looks
    raise RuntimeError(f"{what} within {seconds} s")


def post(port, path, document, timeout=2):
    """The answer to a JSON POST, or None."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(document).encode(), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as reply:
            return json.loads(reply.read())
    except (OSError, urllib.error.URLError, ValueError):
        return None


def get(port, path):
    """The answer to a GET, or None; an error status has a document, too."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as reply:
            return json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return json.loads(error.read() or b"null")
    except (OSError, urllib.error.URLError, ValueError):
        return None


class Server:
    """One process; dies with this program."""

    def __init__(self, command, log, user=None, env=None):
        self.command, self.log, self.process, self.env = ["setpriv", "--pdeathsig", "TERM", *command], log, None, env
        if user and os.getuid() == 0:  # PostgreSQL refuses to run as root
            # The signal is set last: a change of user takes it away.
            self.command = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups", *self.command]
        self.start()

    def start(self):
        with open(self.log, "ab") as output:
            self.process = subprocess.Popen(self.command, stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                                            start_new_session=True, env=self.env)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


class Group:
    """Servers that end together."""

    def __init__(self):
        self.servers = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in reversed(self.servers):
            server.end()


class Etcd(Group):
    """Three members. Heartbeat 20 ms and election 200 ms: as fast as one machine allows; the defaults are 100 and 1000."""

    def __init__(self, folder, members=3):
        super().__init__()
        ports = free_ports(2 * members)
        peers = ",".join(f"m{i}=http://127.0.0.1:{ports[2 * i + 1]}" for i in range(members))
        for i in range(members):
            client, peer = ports[2 * i], ports[2 * i + 1]
            server = Server(["etcd", "--name", f"m{i}", "--data-dir", f"{folder}/m{i}",
                             "--listen-client-urls", f"http://127.0.0.1:{client}",       # the loopback, no TLS, as for all here
                             "--advertise-client-urls", f"http://127.0.0.1:{client}",
                             "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
                             "--initial-cluster", peers, "--heartbeat-interval", "20", "--election-timeout", "200",
                             "--log-level", "error"], f"{folder}/m{i}.log")
            server.client_port = client
            self.servers.append(server)
        self.await_healthy()

    def ports(self):
        return [server.client_port for server in self.servers]

    def statuses(self):
        return [(server, post(server.client_port, "/v3/maintenance/status", {})) for server in self.servers]

    def leader(self):
        def look():
            for server, status in self.statuses():
                if status and status.get("leader") and status["leader"] == status["header"]["member_id"]:
                    return server
            return None
        return await_true("etcd has no leader", look)

    def await_healthy(self):
        """Every member knows the leader and has what the others have, all but a few entries."""
        def look():
            found = [status for _, status in self.statuses()]
            if not all(found) or len({status.get("leader") for status in found}) != 1 or not found[0].get("leader"):
                return False
            applied = [int(status.get("raftIndex", 0)) for status in found]
            return max(applied) - min(applied) < 200
        await_true("etcd did not get healthy", look)

    def move_leader(self, leader):
        target = next(status["header"]["member_id"] for server, status in self.statuses() if server is not leader and status)
        if post(leader.client_port, "/v3/maintenance/transfer-leadership", {"targetID": target}, 30) is None:
            raise RuntimeError("etcd refused to move its leader")


class Redis(Group):
    """A master and two replicas."""

    def __init__(self, folder):
        super().__init__()
        self.port_list = free_ports(3)
        for i, port in enumerate(self.port_list):
            os.makedirs(f"{folder}/redis{i}")
            server = Server(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", f"{folder}/redis{i}",
                             "--appendonly", "yes", "--appendfsync", "always",   # a write is on the disk before +OK
                             "--save", "",                                      # no snapshots beside the AOF
                             "--no-appendfsync-on-rewrite", "no",
                             "--repl-diskless-sync-delay", "0",                 # a replica that comes back is served at once
                             *(["--replicaof", f"127.0.0.1 {self.port_list[0]}"] if i > 0 else [])], f"{folder}/redis{i}.log")
            server.port = port
            self.servers.append(server)
        self.dead = None
        await_true("Redis' replicas did not connect", lambda: "connected_slaves:2" in self.ask(self.port_list[0], "INFO replication"))

    @staticmethod
    def ask(port, command):
        """The reply as text; empty when nobody answers."""
        try:
            with socket.create_connection(("127.0.0.1", port), 2) as link:
                link.settimeout(2)
                link.sendall(command.encode() + b"\r\n")
                return link.recv(65536).decode(errors="replace")
        except OSError:
            return ""

    def master_port(self):
        return self.port_list[0]

    def ports(self):
        return self.port_list

    def kill_master(self, port):
        self.dead = next(server for server in self.servers if server.port == port)
        self.dead.kill()

    def start_dead(self):
        self.dead.start()


class Sentinel(Group):
    """Three sentinels with a quorum of two."""

    def __init__(self, folder, servers):
        super().__init__()
        self.port_list, self.redis, self.before = free_ports(3), servers, None
        for i, port in enumerate(self.port_list):
            path = f"{folder}/sentinel{i}.conf"
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
                           f"sentinel monitor bench 127.0.0.1 {servers.master_port()} 2\n"
                           "sentinel down-after-milliseconds bench 1000\n"  # as our node timeout; the default is 30 s
                           "sentinel failover-timeout bench 5000\n"         # a failover may be tried again so soon; default 3 min
                           "sentinel parallel-syncs bench 2\n")             # both replicas follow the new master at once
            self.servers.append(Server(["redis-sentinel", path], f"{folder}/sentinel{i}.log"))

    def master_port(self):
        found = re.findall(r"\r\n(\d+)\r\n", Redis.ask(self.port_list[0], "SENTINEL get-master-addr-by-name bench"))
        return int(found[-1]) if found else 0

    def await_ready(self):
        """The master is agreed upon, has both replicas, and nothing is under way."""
        def look():
            master = self.master_port()
            everybody = all(f"\r\n{master}\r\n" in Redis.ask(port, "SENTINEL get-master-addr-by-name bench") for port in self.port_list)
            replicas = Redis.ask(master, "INFO replication")
            usable = "+OK" in Redis.ask(self.port_list[0], "SENTINEL ckquorum bench") or "usable" in Redis.ask(
                self.port_list[0], "SENTINEL ckquorum bench")
            known = "num-slaves\r\n$1\r\n2" in Redis.ask(self.port_list[0], "SENTINEL master bench")
            return everybody and "role:master" in replicas and replicas.count("state=online") == 2 and usable and known and master
        self.before = await_true("Sentinel did not get ready", look)

    def changed(self):
        return self.master_port() not in (0, self.before)

    def failover(self):
        await_true("SENTINEL FAILOVER was refused", lambda: "+OK" in Redis.ask(self.port_list[0], "SENTINEL FAILOVER bench"))


def own_by_postgres(path):
    if os.getuid() == 0:
        shutil.chown(path, "postgres", "postgres")
        # The folders above must let it through.
        parent = os.path.dirname(path)
        while parent != "/":
            os.chmod(parent, os.stat(parent).st_mode | 0o711)
            parent = os.path.dirname(parent)


def as_postgres(command):
    if os.getuid() == 0:
        command = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/",
                          env={**os.environ, "HOME": pwd.getpwuid(os.getuid()).pw_dir})
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()[-800:]}")
    return done.stdout


class Postgres(Group):
    """A primary and one synchronous standby."""

    def __init__(self, folder):
        super().__init__()
        self.folder, self.ports = folder, free_ports(2)
        primary, standby = f"{folder}/primary", f"{folder}/standby"
        for path in (primary, standby):
            os.makedirs(path, mode=0o700)
            own_by_postgres(path)
        as_postgres([f"{PG_BIN}/initdb", "-D", primary, "-U", "postgres", "-A", "trust", "--no-sync"])
        self.run(primary, self.ports[0])
        as_postgres([f"{PG_BIN}/pg_basebackup", "-h", "127.0.0.1", "-p", str(self.ports[0]), "-U", "postgres", "-D", standby, "-R", "-X",
                     "stream", "-c", "fast"])
        self.run(standby, self.ports[1])
        self.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")  # a commit waits for the standby's disk as well
        self.sql("SELECT pg_reload_conf()")
        await_true("the standby did not become synchronous", lambda: "sync" in self.sql("SELECT sync_state FROM pg_stat_replication"))
        self.sql("CREATE TABLE bench (id bigserial PRIMARY KEY, value text)")

    def run(self, path, port):
        self.servers.append(Server([f"{PG_BIN}/postgres", "-D", path, "-p", str(port), "-h", "127.0.0.1", "-k", path,
                                    "-c", "max_connections=100",         # for the 64 clients
                                    "-c", "shared_buffers=256MB",        # the default of 128 MB would do as well
                                    "-c", "max_wal_size=4GB",            # no checkpoint in the middle of the measurement
                                    "-c", "synchronous_commit=on"],      # the default: on the disk of both
                                   path + ".log", user="postgres"))
        await_true("PostgreSQL did not start", lambda: subprocess.run(
            [f"{PG_BIN}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False).returncode == 0)

    def sql(self, text):
        return as_postgres([f"{PG_BIN}/psql", "-h", "127.0.0.1", "-p", str(self.ports[0]), "-U", "postgres", "-Atc", text])

    def pgbench(self, clients, seconds):
        """Inserts of one value, prepared; figures as peer_load gives them."""
        script = f"{self.folder}/insert.sql"
        with open(script, "w", encoding="utf-8") as file:
            file.write("INSERT INTO bench (value) VALUES (repeat('a', 100));\n")
        os.chmod(script, 0o644)
        logs = f"{self.folder}/pgbench{clients}"
        os.makedirs(logs)
        own_by_postgres(logs)
        out = as_postgres([f"{PG_BIN}/pgbench", "-h", "127.0.0.1", "-p", str(self.ports[0]), "-U", "postgres", "-n", "-M", "prepared",
                           "-c", str(clients), "-j", str(min(clients, 2)), "-T", str(seconds), "-f", script, "-l",
                           f"--log-prefix={logs}/log", "postgres"])
        latencies = []
        for name in os.listdir(logs):
            with open(f"{logs}/{name}", encoding="utf-8") as file:
                latencies += [int(line.split()[2]) for line in file]
        latencies.sort()
        return {"records_per_s": float(re.search(r"tps = ([\d.]+)", out).group(1)), "p50_us": latencies[len(latencies) // 2],
                "p99_us": latencies[int(0.99 * len(latencies))]}


class Patroni(Group):
    """Two PostgreSQL servers under Patroni, its state in an etcd of one member."""

    def __init__(self, folder):
        super().__init__()
        self.etcd = Etcd(folder, members=1)
        self.servers.extend(self.etcd.servers)
        ports = free_ports(4)
        self.nodes = []
        for i in range(2):
            name, port, rest = f"pg{i}", ports[2 * i], ports[2 * i + 1]
            home = f"{folder}/patroni{i}"
            os.makedirs(home, mode=0o700)
            own_by_postgres(home)
            config = f"{home}/patroni.json"  # YAML reads JSON
            with open(config, "w", encoding="utf-8") as file:
                json.dump({
                    "scope": "bench", "name": name, "restapi": {"listen": f"127.0.0.1:{rest}", "connect_address": f"127.0.0.1:{rest}"},
                    "etcd3": {"host": f"127.0.0.1:{self.etcd.servers[0].client_port}"},
                    "bootstrap": {"dcs": {"ttl": 5, "loop_wait": 1, "retry_timeout": 2,  # far below the defaults of 30, 10, 10
                                          "maximum_lag_on_failover": 1 << 20,
                                          "synchronous_mode": True},                    # no acknowledged commit is lost
                                  "initdb": [{"auth": "trust"}, {"username": "postgres"}, "no-sync"]},
                    "postgresql": {"listen": f"127.0.0.1:{port}", "connect_address": f"127.0.0.1:{port}", "data_dir": f"{home}/data",
                                   "bin_dir": PG_BIN, "use_unix_socket": True, "parameters": {"unix_socket_directories": home},
                                   "pg_hba": ["local all all trust", "host all all 127.0.0.1/32 trust",
                                              "host replication all 127.0.0.1/32 trust"],
                                   "authentication": {"superuser": {"username": "postgres"}, "replication": {"username": "postgres"}},
                                   "use_pg_rewind": True}},  # a killed primary returns without a full copy
                          file)
            if os.getuid() == 0:
                shutil.chown(config, "postgres", "postgres")
            node = Node(["patroni", config], f"{folder}/patroni{i}.log", home, name, port, rest)
            self.nodes.append(node)
            self.servers.append(node)
            if i == 0:
                await_true("Patroni's first server did not become the leader", lambda: self.leader_name() == "pg0")
        leader = self.await_ready()
        as_postgres([f"{PG_BIN}/psql", "-h", "127.0.0.1", "-p", str(leader.port), "-U", "postgres", "-Atc",
                     "CREATE TABLE bench (id bigint PRIMARY KEY, value text)"])

    def ports(self):
        return [node.port for node in self.nodes]

    def members(self):
        for node in self.nodes:
            document = get(node.rest, "/cluster")
            if document and "members" in document:
                return document["members"]
        return []

    def leader_name(self):
        for node in self.nodes:
            document = get(node.rest, "/leader")
            if document and document.get("role") in ("master", "primary") and document.get("state") == "running":
                return node.name
        return None

    def await_ready(self):
        """The leader, once the other one is a synchronous standby that streams."""
        def look():
            standby = any(member.get("role") == "sync_standby" and member.get("state") in ("running", "streaming")
                          for member in self.members())
            return standby and next((node for node in self.nodes if node.name == self.leader_name()), None)
        return await_true("Patroni has no leader with a synchronous standby", look, 120)

    def switchover(self, leader):
        other = next(node for node in self.nodes if node is not leader)
        post(leader.rest, "/switchover", {"leader": leader.name, "candidate": other.name}, 60)  # answers in plain text


class Node(Server):
    """Patroni with its PostgreSQL."""

    def __init__(self, command, log, home, name, port, rest):
        self.home, self.name, self.port, self.rest = home, name, port, rest
        super().__init__(command, log, user="postgres", env={**os.environ, "HOME": home})

    def kill(self):
        """Patroni and the postmaster at once, as with their machine."""
        self.process.kill()
        self.process.wait()
        self.kill_postmaster()

    def kill_postmaster(self):
        try:
            with open(f"{self.home}/data/postmaster.pid", encoding="utf-8") as file:
                pid = int(file.readline())
        except (OSError, ValueError):
            return
        try:
            os.kill(pid, 9)
            await_true("the postmaster did not end", lambda: not os.path.exists(f"/proc/{pid}"))
        except ProcessLookupError:
            pass

    def end(self):
        super().end()
        self.kill_postmaster()


class Nats(Group):
    """Three servers, one stream on all of them. This version cannot sync each write; it acknowledges what is in memory of two."""

    def __init__(self, folder):
        super().__init__()
        ports = free_ports(9)
        self.client_ports, self.monitor_ports = ports[:3], ports[6:]
        routes = ",".join(f"nats://127.0.0.1:{port}" for port in ports[3:6])
        for i in range(3):
            self.servers.append(Server(["nats-server", "-n", f"n{i}", "-a", "127.0.0.1", "-p", str(ports[i]), "--cluster_name", "bench",
                                        "--cluster", f"nats://127.0.0.1:{ports[3 + i]}", "--routes", routes,
                                        "-m", str(ports[6 + i]),  # monitoring: says who leads the stream
                                        "-js", "-sd", f"{folder}/n{i}"], f"{folder}/n{i}.log"))
        stream = {"name": "BENCH", "subjects": ["bench.*"], "storage": "file", "num_replicas": 3, "retention": "limits"}
        await_true("JetStream did not make the stream", lambda: self.create(stream))
        self.leader_port()

    def create(self, stream):
        try:
            with socket.create_connection(("127.0.0.1", self.client_ports[0]), 5) as link:
                link.settimeout(5)
                body = json.dumps(stream)
                link.sendall(b'CONNECT {"verbose":false}\r\nSUB _INBOX.c 1\r\n' +
                             f"PUB $JS.API.STREAM.CREATE.BENCH _INBOX.c {len(body)}\r\n{body}\r\n".encode())
                answer = b""
                while b'"type"' not in answer or not answer.endswith(b"\r\n"):
                    more = link.recv(65536)
                    if not more:
                        return False
                    answer += more
                return b'"error"' not in answer
        except OSError:
            return False

    def leader_port(self):
        """Of the client port of the server that leads the stream: publishing there saves a hop."""
        def look():
            for monitor in self.monitor_ports:
                document = get(monitor, "/jsz?streams=true&accounts=true") or {}
                for account in document.get("account_details") or []:
                    for stream in account.get("stream_detail") or []:
                        leader = (stream.get("cluster") or {}).get("leader")
                        if leader:
                            return self.client_ports[int(leader[1:])]
            return None
        return await_true("the stream has no leader", look)
