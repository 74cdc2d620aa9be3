"""Who plays: log servers, etcd, coordinators, nodes with agents and applications, and the clients that check."""

import ctypes
import json
import mmap
import os
import signal
import subprocess
import threading

from lab import Failed, Lab, LineProcess, Process, bugs_in, parse, processes_with, run, unfill, wait_until  # noqa: F401

LOGS = ["l1", "l2", "l3"]
ETCD = ["e1", "e2", "e3"]
COORDINATORS = ["c1", "c2"]
NODES = ["n1", "n2", "n3"]
SERVICES = ["kv1", "kv2"]
CLIENT = "x"
FULL_DISK = "l3"              # its disk is small, and can be filled
FULL_DISK_MIB = 256
APPLICATION_PORT = 7001
SELF_FENCE_MS = 1000


class Clock:
    """The wall clock of all our processes but etcd's."""

    def __init__(self, path):
        path.write_bytes(b"\0" * 4096)
        self.file = open(path, "r+b")
        self.page = mmap.mmap(self.file.fileno(), 4096)
        self.path = path

    def jump(self, seconds):
        ctypes.c_int64.from_buffer(self.page).value = int(seconds * 1e9)


class Cast:
    def __init__(self, build, folder, seed, service_arguments=()):
        self.build, self.folder, self.seed = build, folder, seed
        self.service_arguments = list(service_arguments)
        self.lab = Lab(build, folder, ETCD + COORDINATORS + LOGS + NODES + [CLIENT], seed)
        self.hosts = self.lab.hosts
        self.clock = Clock(folder / "wall_clock")
        self.clock_library = build / "lib/libchaos_wall_clock.so"  # not built with sanitizers, which must be loaded first
        self.coordinators = ",".join(f"{self.hosts[name].ip}:7400" for name in COORDINATORS)
        self.processes = {}
        self.refusal = ""  # why the last command was not carried out
        self.client = None
        self.chains = {}  # service -> epoch -> what was seen of it once it was closed

    def start(self):
        run("mount", "-t", "tmpfs", "-o", f"size={FULL_DISK_MIB}m", "none", str(self.hosts[FULL_DISK].data))
        daemon = self.build / "bin/understudyd"
        skewed = {"CHAOS_WALL_CLOCK": str(self.clock.path)}
        if self.clock_library.exists():
            skewed["LD_PRELOAD"] = str(self.clock_library)
        etcd_urls = ",".join(f"http://{self.hosts[name].ip}:2379" for name in ETCD)
        for name in ETCD:
            host = self.hosts[name]
            self.add(host, "etcd", ["etcd", "--name", name, "--data-dir", host.data / "etcd",
                                    "--listen-peer-urls", f"http://{host.ip}:2380",
                                    "--initial-advertise-peer-urls", f"http://{host.ip}:2380",
                                    "--listen-client-urls", f"http://{host.ip}:2379",
                                    "--advertise-client-urls", f"http://{host.ip}:2379",
                                    "--initial-cluster",
                                    ",".join(f"{one}=http://{self.hosts[one].ip}:2380" for one in ETCD)])
        for name in COORDINATORS:
            host = self.hosts[name]
            self.add(host, "coordinator", [daemon, "coordinator", "--data-dir", host.data, "--node", name, "--listen",
                                           f"{host.ip}:7400", "--metadata", "etcd", "--etcd-endpoints", etcd_urls,
                                           "--insecure"], skewed)
        for name in LOGS:
            host = self.hosts[name]
            self.add(host, "log", [daemon, "log", "--data-dir", host.data / "disk", "--node", name, "--log-listen",
                                   f"{host.ip}:7401", "--coordinators", self.coordinators, "--segment-bytes", 16 << 20,
                                   "--insecure"], skewed)
        for name in NODES:
            host = self.hosts[name]
            self.add(host, "agent", [daemon, "agent", "--data-dir", host.data, "--node", name, "--nodes",
                                     f"{name}:{APPLICATION_PORT}", "--app-host", host.ip, "--coordinators", self.coordinators,
                                     "--insecure"], skewed)
        for process in self.processes.values():
            process.start()
        wait_until("the coordinator answers and knows all nodes and disks", 60, self.complete)
        for service in SERVICES:
            document = {"name": service, "program": str(self.build / "bin/resp_kv"), "spare": "WARM",
                        "arguments": ["--bind", "0.0.0.0", "--announce", "${endpoint}", *self.service_arguments],
                        "replicas": 3, "ack_quorum": 2, "checkpoint_interval_ms": 5000,
                        "standby": service == SERVICES[0]}
            path = self.folder / f"{service}.json"
            path.write_text(json.dumps(document), encoding="utf-8")
            wait_until(f"{service} is declared", 30, lambda: self.command("service", "apply", str(path)) is not None)
        wait_until("all services are served", 60, self.all_serving)

    def add(self, host, kind, words, environment=None):
        self.processes[host.name] = Process(host, kind, words, environment)

    def complete(self):
        status = self.status()
        return status and sum(node["alive"] for node in status["nodes"]) == len(NODES) and len(status["disks"]) >= len(LOGS)

    def all_serving(self):
        status = self.status()
        return status and all(one["state"] == "SERVING" and one["primary"] for one in status["services"]) \
            and len(status["services"]) == len(SERVICES) and status

    def command(self, *words):
        """What the operator's command prints; None: no coordinator carries it out."""
        try:
            done = subprocess.run(self.hosts[CLIENT].enter() + [str(self.build / "bin/understudy"), *words, "--coordinators",
                                                                self.coordinators],
                                  capture_output=True, text=True, timeout=10, check=False)
        except subprocess.TimeoutExpired:
            return None
        if done.returncode != 0:
            self.refusal = (done.stderr or done.stdout).strip()
        return done.stdout if done.returncode == 0 else None

    def command_in_background(self, *words):
        threading.Thread(target=self.command, args=words, daemon=True).start()

    def status(self):
        return parse(self.command("status", "--json") or "")

    def primary(self, service):
        status = self.status()
        one = next((one for one in status["services"] if one["name"] == service), None) if status else None
        return one["primary"] if one and one["primary"] else None

    def leader(self):
        """The name of the coordinator that leads."""
        def probe():
            status = self.status()
            return next((one["name"] for one in status["coordinators"] if one["leads"]), None) if status else None
        return wait_until("a coordinator leads", 30, probe)

    def endpoints(self):
        return [f"{self.hosts[name].ip}:{APPLICATION_PORT}" for name in NODES]

    def start_client(self, *flags):
        services = [word for service in SERVICES for word in ("--service", f"{service}=" + ",".join(self.endpoints()))]
        self.client = LineProcess(self.hosts[CLIENT].enter() + [str(self.build / "bin/chaos_client"), *services, "--folder",
                                                                str(self.folder), "--seed", str(self.seed), *flags],
                                  self.folder / "logs/chaos_client.log")

    def ask_client(self, line):
        return json.loads(self.client.ask(line))

    def answering(self):
        """Whether every service has answered a client just now."""
        services = self.ask_client("status")["services"].values()
        return all(one["since_answer_ms"] < 200 and one["window_answers"] > 0 for one in services)

    def applications(self, node):
        return processes_with(f"UNDERSTUDY_NODE={node}")

    def look_at_chains(self):
        """One writer at a time: closed epochs never change, and each begins where the last one ended. None: nobody tells."""
        document = parse(self.command("logs", "--epochs", "--json") or "")
        if document is None:
            return None
        problems = []
        for log in document["logs"]:
            name = log["name"]
            before = None
            for epoch in log["epochs"]:
                known = self.chains.setdefault(name, {})
                last = epoch.get("last_lsn")
                seen = {key: epoch.get(key) for key in ("owner", "first_lsn", "last_lsn")}
                if last is not None:
                    if known.setdefault(epoch["epoch"], seen) != seen:
                        problems.append(f"{name}: closed epoch {epoch['epoch']} was {known[epoch['epoch']]}, is {seen}")
                if before is not None and (epoch["epoch"] <= before["epoch"] or before.get("last_lsn") is None or
                                           epoch["first_lsn"] != before["last_lsn"] + 1):
                    problems.append(f"{name}: epoch {epoch['epoch']} from {epoch['first_lsn']} follows {before}")
                before = epoch
        return problems

    def crashes(self):
        ended = [process.ended_by_itself() for process in self.processes.values()]
        logs = list((self.folder / "logs").glob("*.log"))
        for node in NODES:
            logs += (self.hosts[node].data / "run").glob(f"{node}.log*")
        return [text for text in ended if text] + bugs_in(logs)

    def revive(self):
        """Ends all faults: the network as new, everyone runs, the clock is right."""
        self.lab.network("heal")
        self.clock.jump(0)
        for process in self.processes.values():
            process.thaw()
            process.start()
        for node in NODES:
            for pid in self.applications(node):
                try:
                    os.kill(pid, signal.SIGCONT)
                except OSError:
                    continue
        unfill(self.hosts[FULL_DISK].data)

    def stop(self):
        if self.client:
            self.client.stop()
        for process in self.processes.values():
            process.thaw()
            process.kill()
        for node in NODES:
            for pid in self.applications(node):
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    continue
        self.lab.stop()

