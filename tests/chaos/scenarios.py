"""Directed scenarios: one situation each, with a measured figure and a bound. Each begins when everything is served and
under load, and leaves the cast to be revived; afterwards everything is read back and the histories are checked."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from cast import COORDINATORS, ETCD, FULL_DISK, LOGS, NODES, SELF_FENCE_MS, SERVICES, CLIENT, Failed
from lab import fill, parse, unfill, wait_until, wipe

NODE_TIMEOUT_MS = 1000
# Beyond what the protocol asks for: two busy cores run twenty processes, and each hop may wait for its turn.
SLACK_MS = 500
COMMITS_GO_ON_GAP_MS = 1000
WHOLE_AGAIN_WITHIN_MS = 60_000
IMPATIENT_MS = 200  # time limit of clients that look for a new primary


def bound(run, what, ms, bound_ms):
    run.say(f"{what}: {ms:.0f} ms (bound {bound_ms})")
    if ms > bound_ms:
        run.problem(f"{what}: {ms:.0f} ms, more than {bound_ms}")


def cut_from_its_own_kind(run, node):
    for other in ETCD + COORDINATORS + LOGS + NODES:
        if other != node:
            run.cast.lab.network(f"cut {node} {other}")
            run.cast.lab.network(f"cut {other} {node}")


def gap_ms(run, service):
    """The longest gap of this window, the one still open included."""
    one = run.cast.ask_client("status")["services"][service]
    return max(one["gap_ms"], one["since_answer_ms"])


def primary_of(run, service):
    return wait_until(f"{service} has a primary", 20, lambda: run.cast.primary(service))


def cut_off_primary(run):
    """A primary cut off from all but its clients stops answering within self_fence_ms, even local reads."""
    service = SERVICES[0]
    primary = primary_of(run, service)
    host, port = primary["endpoint"].rsplit(":", 1)
    probe = subprocess.Popen(
        run.cast.hosts[CLIENT].enter() + [sys.executable, str(Path(__file__).with_name("fence_probe.py")), host, port, service,
                                          "10"], stdout=subprocess.PIPE, text=True)
    try:
        probe.stdout.readline()
        time.sleep(0.5)
        run.cast.ask_client("mark cut")
        cut = time.monotonic()
        cut_from_its_own_kind(run, primary["node"])
        run.say(f"{primary['node']}, primary of {service}, is cut off; its clients still reach it")
        seen = json.loads(probe.stdout.readline())
    finally:
        probe.kill()
        probe.wait()
    if seen["first_refusal"] is None or seen["answers"] == 0:
        raise Failed(f"{service}: the primary that was cut off went on serving: {seen}")
    bound(run, "last answer of the primary that was cut off, after the cut", (seen["last_answer"] - cut) * 1000, SELF_FENCE_MS)
    bound(run, "its first refusal", (seen["first_refusal"] - cut) * 1000, SELF_FENCE_MS + SLACK_MS)
    wait_until("another node serves", 30, lambda: (run.cast.primary(service) or primary)["node"] != primary["node"])
    wait_until("clients are answered", 10, run.cast.answering)
    run.say(f"longest gap for the clients: {gap_ms(run, service):.0f} ms")


def dead_node(run):
    """A node without power: its service is served elsewhere soon after the heartbeat timeout."""
    service = SERVICES[0]
    primary = primary_of(run, service)
    node = primary["node"]
    run.cast.ask_client("mark dead")
    cut_from_its_own_kind(run, node)
    run.cast.lab.network(f"cut {node} {CLIENT}")
    run.cast.lab.network(f"cut {CLIENT} {node}")
    run.cast.processes[node].kill()
    for pid in run.cast.applications(node):
        os.kill(pid, signal.SIGKILL)
    run.say(f"{node}, primary of {service}, is dead")
    wait_until("another node serves", 30, lambda: (run.cast.primary(service) or primary)["node"] != node)
    wait_until("clients are answered", 10, run.cast.answering)
    # A client notices a dead machine by its own time limit, and may meet it once more when it connects.
    bound(run, "longest gap for the clients", gap_ms(run, service), NODE_TIMEOUT_MS + 2 * IMPATIENT_MS + SLACK_MS)


def leader_lost_in_move(run):
    """The leading coordinator is killed in the middle of a planned move: another one finishes it or rolls it back."""
    service = SERVICES[0]
    for after_s in (0.05, 0.1, 0.2, 0.4):  # to be in different steps of the move
        primary = primary_of(run, service)
        name = run.cast.leader()
        run.cast.ask_client("mark move")
        run.cast.command_in_background("switchover", service)
        time.sleep(after_s)
        run.cast.processes[name].kill()
        run.say(f"a planned move of {service} from {primary['node']} was asked for; {name}, which leads, is killed")
        began = time.monotonic()
        wait_until("a coordinator leads, the move is over, all is served", 40, lambda: settled(run, service))
        run.say(f"settled after {time.monotonic() - began:.1f} s: {service} is on {primary_of(run, service)['node']}")
        bound(run, "longest gap for the clients meanwhile", gap_ms(run, service), COMMITS_GO_ON_GAP_MS)
        run.cast.processes[name].start()
        wait_until("both coordinators answer", 30, run.cast.all_serving)


def settled(run, service):
    status = run.cast.all_serving()
    one = next((one for one in status["services"] if one["name"] == service), None) if status else None
    return one is not None and one["move"] is None and one["primary"]["may_serve"]


def etcd_down(run):
    """etcd does not answer for a minute: appends and reads go on, nobody is demoted."""
    before = {service: primary_of(run, service)["node"] for service in SERVICES}
    run.cast.ask_client("mark down")
    for name in ETCD:
        run.cast.processes[name].freeze()
    run.say("all of etcd is frozen")
    time.sleep(60)
    for service in SERVICES:
        bound(run, f"longest gap of {service} in that minute", gap_ms(run, service), COMMITS_GO_ON_GAP_MS)
    for name in ETCD:
        run.cast.processes[name].thaw()
    wait_until("everything is served", 30, run.cast.all_serving)
    after = {service: primary_of(run, service)["node"] for service in SERVICES}
    if after != before:
        run.problem(f"primaries were moved for nothing: {before} before, {after} after")


def one_log_server(run):
    """One of three log servers is dead, frozen, slow, full or wiped: commits go on."""
    def calm():
        time.sleep(1)
        wait_until("clients are answered", 20, run.cast.answering)

    def check(what, seconds):
        time.sleep(seconds)
        for service in SERVICES:
            bound(run, f"{what}: longest gap of {service}", gap_ms(run, service), COMMITS_GO_ON_GAP_MS)

    processes, lab = run.cast.processes, run.cast.lab
    run.cast.ask_client("mark dead")
    processes["l1"].kill()
    check("l1 is dead", 5)
    processes["l1"].start()
    calm()
    run.cast.ask_client("mark frozen")
    processes["l2"].freeze()
    check("l2 is frozen", 5)
    processes["l2"].thaw()
    calm()
    run.cast.ask_client("mark slow")
    lab.network("link l1 * 200 100 0.05 0")
    lab.network("link * l1 200 100 0.05 0")
    check("l1 is slow", 5)
    lab.network("heal")
    calm()
    run.cast.ask_client("mark full")
    fill(run.cast.hosts[FULL_DISK].data)
    check(f"the disk of {FULL_DISK} is full", 5)
    unfill(run.cast.hosts[FULL_DISK].data)
    calm()
    run.cast.ask_client("mark wiped")
    processes["l2"].kill()
    wipe(run.cast.hosts["l2"].data / "disk")
    processes["l2"].start()
    check("l2 has lost its disk", 5)
    calm()


def replaced_disks(run):
    """Every log server loses its disk, one after another, each when all is on three disks again: nothing is lost."""
    for name in LOGS:
        lost = {disk["disk"] for disk in run.cast.status()["disks"] if disk["node"] == name}
        run.cast.ask_client("mark replaced")
        run.cast.processes[name].kill()
        wipe(run.cast.hosts[name].data / "disk")
        run.cast.processes[name].start()
        run.say(f"{name} comes back with an empty disk")
        began = time.monotonic()
        wait_until("every epoch is on three disks again", 2 * WHOLE_AGAIN_WITHIN_MS / 1000, lambda: whole(run, lost))
        bound(run, "until every epoch is on three disks again", (time.monotonic() - began) * 1000, WHOLE_AGAIN_WITHIN_MS)
        for service in SERVICES:
            bound(run, f"longest gap of {service} meanwhile", gap_ms(run, service), COMMITS_GO_ON_GAP_MS)


def whole(run, lost):
    """Whether every epoch of every log is on three disks, none of them among `lost`."""
    document = parse(run.cast.command("logs", "--epochs", "--json") or "")
    return document is not None and all(
        len({disk["disk"] for disk in epoch["disks"]} - lost) >= 3 for log in document["logs"] for epoch in log["epochs"])


def outsider(run):
    """The harness itself: what somebody else changes behind the clients' backs must be reported as lost."""
    service = SERVICES[0]
    host, port = primary_of(run, service)["endpoint"].rsplit(":", 1)

    def redis(*words):
        done = subprocess.run(run.cast.hosts[CLIENT].enter() + ["redis-cli", "-h", host, "-p", port, *words],
                              capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.split()

    lists = wait_until("there are lists", 20, lambda: [key for key in redis("KEYS", f"{service}:l*")
                                                       if int(redis("LLEN", key)[0]) > 3])
    registers = wait_until("there are registers", 20, lambda: redis("KEYS", f"{service}:r*"))
    redis("RPOP", lists[0])
    run.say(f"an outsider takes an element from {lists[0]} and writes to registers")
    for _ in range(10):  # a client may overwrite a value before anybody reads it
        for register in registers:
            redis("SET", register, "nobody's")


SCENARIOS = {one.__name__: one for one in (cut_off_primary, dead_node, leader_lost_in_move, etcd_down, one_log_server,
                                           replaced_disks, outsider)}
# What a server is started with: without the barrier behind each read, only the self-fence stops a local read.
ARGUMENTS = {"cut_off_primary": ["--reads", "local"]}
CLIENT_FLAGS = {"dead_node": ["--timeout-ms", str(IMPATIENT_MS)]}


def play(run, name):
    """One scenario, judged as a storm is. The summary."""
    if name not in SCENARIOS:
        raise Failed(f"no scenario '{name}': {', '.join(SCENARIOS)}")
    run.begin(ARGUMENTS.get(name, ()), CLIENT_FLAGS.get(name, ()))
    run.say(f"== {name}: {SCENARIOS[name].__doc__.splitlines()[0]}")
    run.injected[name] += 1
    SCENARIOS[name](run)
    run.recover()
    if name != outsider.__name__:
        return run.judge()
    if run.problems:
        return None
    summary = run.judge()
    for what in ("lost append", "is not linearizable"):
        if not any(what in text for text in run.problems):
            raise Failed(f"the checks did not find what the outsider did: '{what}'")
    run.say("the checks found it")
    run.problems = []
    return summary
