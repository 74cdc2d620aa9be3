"""Other systems' durable writes and failovers on this machine, beside understudy's in the same run.

Throughput: 100-byte values, 1 client and 64 clients that wait for each write; every system acknowledges what is on the disk of a
majority or of two servers, except where its line says otherwise. Failovers: one client writes all the while (a new connection and
another endpoint after an error); the figure is the longest time between two acknowledged writes around each event.
All servers of a system run on this machine and share its disk. Each server's settings stand in this file with their reasons.
"""
import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile

from peer_servers import Etcd, Nats, Patroni, Postgres, Redis, Sentinel
from peer_writers import EtcdWriter, GapMeter, PatroniWriter, RedisWriter

BINARIES = None


def use_programs_of(build_dir):
    global BINARIES
    BINARIES = os.path.join(os.path.abspath(build_dir), "bin")


def run_json(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\nended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout)


def peer_load(protocol, port, threads, records):
    return run_json([os.path.join(BINARIES, "peer_load"), "--protocol", protocol, "--port", str(port), "--threads", str(threads),
                     "--records", str(records)])


class Report:
    def __init__(self):
        self.writes, self.gaps = [], []

    def write(self, system, clients, figures):
        self.writes.append({"system": system, "clients": clients, "records_per_s": figures["records_per_s"], "p50_us": figures["p50_us"],
                            "p99_us": figures["p99_us"], "load": round(os.getloadavg()[0], 1)})
        print(f"{system:58} {clients:3} clients {figures['records_per_s']:>10,.0f}/s  {figures['p50_us']:>8,.0f} us p50 "
              f"{figures['p99_us']:>8,.0f} us p99", flush=True)

    def gap(self, system, event, gaps):
        ordered = sorted(gaps)
        p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
        self.gaps.append({"system": system, "event": event, "n": len(gaps), "p50_ms": statistics.median(gaps), "p99_ms": p99,
                          "max_ms": max(gaps), "load": round(os.getloadavg()[0], 1)})
        print(f"{system:44} {event:22} {statistics.median(gaps):>8,.1f} ms p50 {p99:>8,.1f} ms p99 {max(gaps):>8,.1f} ms max "
              f"of {len(gaps)}", flush=True)


    def summary(self):
        """One row a system and number of clients: medians of the turns."""
        rows = []
        for key in dict.fromkeys((row["system"], row["clients"]) for row in self.writes):
            turns = [row for row in self.writes if (row["system"], row["clients"]) == key]
            rows.append({"system": key[0], "clients": key[1], "turns": len(turns),
                         **{field: statistics.median(row[field] for row in turns) for field in ("records_per_s", "p50_us", "p99_us")},
                         "p50_us_min": min(row["p50_us"] for row in turns), "p50_us_max": max(row["p50_us"] for row in turns)})
        return rows


def understudy_writes(report, folder, quick):
    for clients, arguments, records in ((1, ["--sync"], 2000 if quick else 10_000), (64, ["--threads", "64"], 30_000 if quick else 150_000)):
        report.write("understudy, 3 log servers, on disk at 2", clients,
                     run_json([os.path.join(BINARIES, "understudy"), "bench", "append", "--replicas", "3", "--ack", "2", "--records",
                               str(records), "--size", "100", "--data-dir", folder, "--json", *arguments]))


def understudy_gaps(report, folder, quick):
    count = "5" if quick else "20"
    result = run_json([os.path.join(BINARIES, "understudy"), "bench", "takeover", "--log-servers", "3", "--coordinators", "2", "--etcd",
                       "1", "--moves", count, "--kills", count, "--behind", "none", "--clients", "1", "--data-dir", folder, "--json"])
    for event, kind in (("planned", "planned"), ("kill -9", "killed")):
        row = result[kind]
        report.gaps.append({"system": "understudy", "event": event, "load": round(os.getloadavg()[0], 1), **row})
        print(f"{'understudy':44} {event:22} {row['p50_ms']:>8,.1f} ms p50 {row['p99_ms']:>8,.1f} ms p99 {row['max_ms']:>8,.1f} ms max "
              f"of {row['n']}", flush=True)


def etcd(report, folder, quick, writes, gaps):
    with Etcd(folder) as cluster:
        leader = cluster.leader()
        if writes:
            for clients, records in ((1, 1000 if quick else 4000), (64, 5000 if quick else 20_000)):
                report.write("etcd, 3 members (JSON gateway)", clients, peer_load("etcd", leader.client_port, clients, records))
        if not gaps:
            return
        with GapMeter(EtcdWriter(cluster.ports())) as meter:
            for event in ("planned", "kill -9"):
                measured = []
                for _ in range(5 if quick else 20):
                    leader = cluster.leader()
                    meter.begin()
                    if event == "planned":
                        cluster.move_leader(leader)
                    else:
                        leader.kill()
                    measured.append(meter.end())
                    if event == "kill -9":
                        leader.start()
                    cluster.await_healthy()
                report.gap("etcd (heartbeat 20 ms, election 200 ms)", event, measured)


def redis(report, folder, quick, writes, gaps):
    with Redis(folder) as servers:
        if writes:
            for clients, records in ((1, 3000 if quick else 15_000), (64, 50_000 if quick else 300_000)):
                report.write("Redis, AOF synced always, replicas not waited for", clients,
                             peer_load("redis", servers.master_port(), clients, records))
        if not gaps:
            return
        with Sentinel(folder, servers) as sentinel, GapMeter(RedisWriter(servers.ports())) as meter:
            for event, count in (("planned", 5 if quick else 20), ("kill -9", 2 if quick else 5)):
                measured = []
                for _ in range(count):
                    sentinel.await_ready()
                    meter.begin()
                    if event == "planned":
                        sentinel.failover()
                        measured.append(meter.end(lambda: sentinel.changed()))
                    else:
                        servers.kill_master(sentinel.master_port())
                        measured.append(meter.end(lambda: sentinel.changed()))
                        servers.start_dead()
                report.gap("Redis Sentinel (down-after 1 s)", event, measured)


def postgres(report, folder, quick, writes, gaps):
    if writes:
        with Postgres(folder) as database:
            for clients, seconds in ((1, 3 if quick else 8), (64, 3 if quick else 8)):
                report.write("PostgreSQL, synchronous standby (pgbench)", clients, database.pgbench(clients, seconds))
    if gaps:
        with Patroni(folder) as cluster, GapMeter(PatroniWriter(cluster.ports())) as meter:
            for event, count in (("planned", 3 if quick else 10), ("kill -9", 1 if quick else 5)):
                measured = []
                for _ in range(count):
                    leader = cluster.await_ready()
                    meter.begin()
                    if event == "planned":
                        cluster.switchover(leader)
                    else:
                        leader.kill()
                    measured.append(meter.end(lambda: cluster.leader_name() not in (None, leader.name)))
                    if event == "kill -9":
                        leader.start()
                report.gap("Patroni (ttl 5, loop 1, retry 2, synchronous)", event, measured)


def nats(report, folder, quick, writes, _gaps):
    if not writes:
        return
    with Nats(folder) as cluster:
        for clients, records in ((1, 2000 if quick else 10_000), (64, 20_000 if quick else 100_000)):
            report.write("NATS JetStream R3, NOT synced to the disk", clients, peer_load("nats", cluster.leader_port(), clients, records))


SYSTEMS = {"etcd": etcd, "redis": redis, "postgresql": postgres, "nats": nats}


def measure_systems(report, names, parent, quick, parts):
    """Each of `names` in a folder of its own below `parent`. The names of those that could not be measured to the end."""
    failed = []
    for name in names:
        with tempfile.TemporaryDirectory(dir=parent, prefix="peers-", ignore_cleanup_errors=True) as folder:
            try:
                SYSTEMS[name](report, os.path.abspath(folder), quick, "writes" in parts, "gaps" in parts)
            except (OSError, RuntimeError, subprocess.SubprocessError) as error:  # the others are still worth having
                print(f"{name}: {error}", file=sys.stderr, flush=True)
                failed.append(name)
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build-dir", default="build", help="use the programs there as they are (default: build them in build)")
    parser.add_argument("--data-dir", help="a folder on the disk to be measured (default: a new one in the build folder)")
    parser.add_argument("--quick", action="store_true", help="fewer writes and failovers")
    parser.add_argument("--only", default="", help=f"comma-separated: understudy, {', '.join(SYSTEMS)}, writes, gaps")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON too: {\"writes\": [...], \"gaps\": [...]}")
    options = parser.parse_args()
    use_programs_of(options.build_dir)
    words = set(filter(None, options.only.split(",")))
    unknown = words - set(SYSTEMS) - {"understudy", "writes", "gaps"}
    if unknown:
        parser.error(f"--only: {', '.join(sorted(unknown))} is unknown")
    systems = words & (set(SYSTEMS) | {"understudy"}) or set(SYSTEMS) | {"understudy"}
    parts = words & {"writes", "gaps"} or {"writes", "gaps"}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what runs is ended in order
    report, failed = Report(), []
    try:
        if "understudy" in systems:
            with tempfile.TemporaryDirectory(dir=options.data_dir or options.build_dir, prefix="peers-") as folder:
                if "writes" in parts:
                    understudy_writes(report, folder, options.quick)
                if "gaps" in parts:
                    understudy_gaps(report, folder, options.quick)
        failed = measure_systems(report, [name for name in SYSTEMS if name in systems], options.data_dir or options.build_dir,
                                 options.quick, parts)
    finally:
        if options.json:
            with open(options.json, "w", encoding="utf-8") as file:
                json.dump({"writes": report.writes, "gaps": report.gaps, "failed": failed}, file, indent=1)
                file.write("\n")
    if failed:
        raise SystemExit(f"not measured to the end: {', '.join(failed)}")


if __name__ == "__main__":
    main()
