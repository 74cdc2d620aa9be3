"""What can be done to the cast, and undone. Each fault says in words what it did."""

import os
import random
import signal

from cast import COORDINATORS, ETCD, FULL_DISK, LOGS, NODES, CLIENT
from lab import fill, unfill, wipe

SERVERS = ETCD + COORDINATORS + LOGS + NODES
CALM = "link {} {} 0 0 0 0"
SETTLES_S = 0.5


class Fault:
    """`text` says what `inject` does; `heal` undoes it. `seconds` is how long it lasts."""

    kind = ""
    weight = 1
    seconds_range = (0.5, 5.0)
    settles = {}  # what it is busy with: for how long still after it is healed, unless SETTLES_S

    def __init__(self, cast, dice):
        self.cast = cast
        self.seconds = dice.uniform(*self.seconds_range)
        self.text = ""

    def inject(self):
        raise NotImplementedError

    def heal(self):
        raise NotImplementedError

    def busy(self):
        """What no other fault may touch meanwhile."""
        return set()


class Network(Fault):
    """Rules for links, each with the one that takes it back."""

    def __init__(self, cast, dice):
        super().__init__(cast, dice)
        self.pairs = []  # (from, to)
        self.rule = "cut {} {}"

    def inject(self):
        for pair in self.pairs:
            self.cast.lab.network(self.rule.format(*pair))

    def heal(self):
        for pair in self.pairs:
            self.cast.lab.network(CALM.format(*pair))


class Partition(Network):
    kind, weight = "partition", 3

    def __init__(self, cast, dice):
        super().__init__(cast, dice)
        size = dice.choice([1, 1, 1, 2, 4])
        self.cut_off = dice.sample(SERVERS, size)
        others = [name for name in SERVERS + [CLIENT] if name not in self.cut_off]
        if dice.random() < 0.5:
            others.remove(CLIENT)  # clients still reach the one that is cut off from its own kind
        self.pairs = [pair for a in self.cut_off for b in others for pair in ((a, b), (b, a))]
        self.text = f"{' '.join(self.cut_off)} cut off from the others" + ("" if CLIENT in others else ", not from clients")


class OneWay(Network):
    kind, weight = "one-way partition", 3

    def __init__(self, cast, dice):
        super().__init__(cast, dice)
        name = dice.choice(SERVERS)
        others = [other for other in SERVERS if other != name]
        deaf = dice.random() < 0.5
        self.pairs = [(other, name) if deaf else (name, other) for other in others]
        self.text = f"{name} {'hears' if deaf else 'is heard by'} no other"


class BrokenLink(Network):
    kind, weight = "broken link", 2

    def __init__(self, cast, dice):
        super().__init__(cast, dice)
        a, b = dice.choice(NODES), dice.choice(LOGS + COORDINATORS + ETCD)
        one_way = dice.random() < 0.5
        self.pairs = [(a, b)] if one_way else [(a, b), (b, a)]
        self.text = f"nothing passes from {a} to {b}" + ("" if one_way else ", nor back")


class SlowNetwork(Network):
    kind, weight = "slow or lossy network", 3

    def __init__(self, cast, dice):
        super().__init__(cast, dice)
        name = dice.choice(SERVERS + ["*"])
        delay, jitter = dice.choice([(5, 5), (20, 40), (100, 100)])
        loss, doubled = dice.choice([0, 0.01, 0.1]), dice.choice([0, 0.05])
        self.pairs = [(name, "*"), ("*", name)] if name != "*" else [("*", "*")]
        self.rule = "link {} {} " + f"{delay} {jitter} {loss} {doubled}"
        self.text = f"packets of {name if name != '*' else 'everyone'}: {delay} to {delay + jitter} ms late, {loss:.0%} lost, " \
                    f"{doubled:.0%} twice"


class KillProcess(Fault):
    kind, weight = "kill -9", 6
    seconds_range = (0.1, 4.0)

    def __init__(self, cast, dice):
        super().__init__(cast, dice)
        self.name = dice.choice(SERVERS)
        self.text = f"kill -9 of the {cast.processes[self.name].kind} on {self.name}"

    def inject(self):
        self.cast.processes[self.name].kill()

    def heal(self):
        self.cast.processes[self.name].start()

    def busy(self):
        return {self.name}


class FreezeProcess(Fault):
    kind, weight = "SIGSTOP", 4
    seconds_range = (0.2, 4.0)

    def __init__(self, cast, dice):
        super().__init__(cast, dice)
        self.name = dice.choice(SERVERS)
        self.text = f"SIGSTOP of the {cast.processes[self.name].kind} on {self.name}"

    def inject(self):
        self.cast.processes[self.name].freeze()

    def heal(self):
        self.cast.processes[self.name].thaw()

    def busy(self):
        return {self.name}


class Application(Fault):
    """Ends by itself: the agent starts the application again."""

    def __init__(self, cast, dice):
        super().__init__(cast, dice)
        self.node = dice.choice(NODES)
        self.pids = []

    def signal(self, number):
        for pid in self.pids:
            try:
                os.kill(pid, number)
            except OSError:
                continue  # ended meanwhile


class KillApplication(Application):
    kind, weight = "kill -9 of an application", 4
    seconds_range = (0, 0)

    def __init__(self, cast, dice):
        super().__init__(cast, dice)
        self.text = f"kill -9 of the application on {self.node}"

    def inject(self):
        self.pids = self.cast.applications(self.node)
        self.signal(signal.SIGKILL)

    def heal(self):
        pass


class FreezeApplication(Application):
    kind, weight = "SIGSTOP of an application", 3
    seconds_range = (0.2, 5.0)

    def __init__(self, cast, dice):
        super().__init__(cast, dice)
        self.text = f"SIGSTOP of the application on {self.node}"

    def inject(self):
        self.pids = self.cast.applications(self.node)
        self.signal(signal.SIGSTOP)

    def heal(self):
        self.signal(signal.SIGCONT)


class DeadNode(Application):
    """Everything on it at once: what a machine without power looks like."""

    kind, weight = "dead node", 2
    seconds_range = (1.0, 5.0)

    def __init__(self, cast, dice):
        super().__init__(cast, dice)
        self.text = f"{self.node} is dead: agent and application killed, nothing passes"
        self.others = [name for name in SERVERS + [CLIENT] if name != self.node]

    def inject(self):
        for other in self.others:
            self.cast.lab.network(f"cut {self.node} {other}")
            self.cast.lab.network(f"cut {other} {self.node}")
        self.cast.processes[self.node].kill()
        self.pids = self.cast.applications(self.node)
        self.signal(signal.SIGKILL)

    def heal(self):
        for other in self.others:
            self.cast.lab.network(CALM.format(self.node, other))
            self.cast.lab.network(CALM.format(other, self.node))
        self.cast.processes[self.node].start()

    def busy(self):
        return {self.node}


class FullDisk(Fault):
    kind, weight = "full disk", 1
    seconds_range = (2.0, 6.0)

    def __init__(self, cast, dice):
        super().__init__(cast, dice)
        self.text = f"the disk of {FULL_DISK} is full"

    def inject(self):
        fill(self.cast.hosts[FULL_DISK].data)

    def heal(self):
        unfill(self.cast.hosts[FULL_DISK].data)

    def busy(self):
        return {"disks"}


class WipedDisk(Fault):
    """At most once a run: what is on one disk only has no second copy until it is repaired."""

    kind, weight = "wiped disk", 1
    seconds_range = (0.5, 3.0)
    # A log server that finds its disk full before it has made its data directory there ends with status 1, and may: it holds
    # nothing that anybody could ask for. So the disk does not run full until that is made.
    settles = {"disks": 10}

    def __init__(self, cast, dice):
        super().__init__(cast, dice)
        self.name = dice.choice(LOGS)
        self.text = f"{self.name} is killed and comes back with an empty disk"

    def inject(self):
        self.cast.processes[self.name].kill()
        wipe(self.cast.hosts[self.name].data / "disk")

    def heal(self):
        self.cast.processes[self.name].start()

    def busy(self):
        return {self.name, "disks"}


class ClockJump(Fault):
    kind, weight = "wall clock jump", 2
    seconds_range = (1.0, 6.0)

    def __init__(self, cast, dice):
        super().__init__(cast, dice)
        self.jump = dice.choice([-1, 1]) * dice.choice([0.7, 60, 86_400, 10_000_000])
        self.text = f"all wall clocks but etcd's jump by {self.jump:+g} s"

    def inject(self):
        self.cast.clock.jump(self.jump)

    def heal(self):
        self.cast.clock.jump(0)

    def busy(self):
        return {"clock"}


class PlannedMove(Fault):
    """No fault; but moves and faults together are what this is about."""

    kind, weight = "planned move asked for", 4
    seconds_range = (0, 0)

    def __init__(self, cast, dice):
        super().__init__(cast, dice)
        self.service = dice.choice(["kv1", "kv2"])
        self.text = f"a planned move of {self.service} is asked for"

    def inject(self):
        self.cast.command_in_background("switchover", self.service)

    def heal(self):
        pass


KINDS = [Partition, OneWay, BrokenLink, SlowNetwork, KillProcess, FreezeProcess, KillApplication, FreezeApplication, DeadNode,
         FullDisk, WipedDisk, ClockJump, PlannedMove]


def schedule(cast, seed, seconds):
    """(when, fault) for a run of so long, in order. The same for the same seed."""
    dice = random.Random(seed)
    planned, busy_until, wiped = [], {}, False
    at = 1.0
    while at < seconds:
        kind = dice.choices(KINDS, [one.weight for one in KINDS])[0]
        fault = kind(cast, dice)
        fault.seconds = min(fault.seconds, max(0.0, seconds - at))
        free = all(busy_until.get(what, 0) <= at for what in fault.busy())
        if free and not (kind is WipedDisk and wiped):
            wiped = wiped or kind is WipedDisk
            planned.append((at, fault))
            for what in fault.busy():
                busy_until[what] = at + fault.seconds + fault.settles.get(what, SETTLES_S)
        # Often one after another, at times on top of one another.
        at += dice.choice([0.1, 0.3, 1.0, 2.0, 3.0]) + (fault.seconds if dice.random() < 0.4 else 0)
    return planned
