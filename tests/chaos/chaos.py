"""A cluster of real processes under faults from one seed, and the check of what its clients saw. run.sh calls it; see
docs/testing.md. Standard library only."""

import argparse
import collections
import json
import subprocess
import sys
import time
from pathlib import Path

from cast import SERVICES, Cast, Failed
from faults import schedule
from lab import parse
import scenarios

SERVED_AGAIN_WITHIN_S = 60  # after the last fault: nothing is broken any more, so nobody has an excuse
READ_WITHIN_MS = 20_000     # each key, after that


class Run:
    def __init__(self, options):
        self.options = options
        self.build, self.folder = Path(options.build).resolve(), Path(options.folder)
        self.began = time.monotonic()
        self.problems = []
        self.injected = collections.Counter()
        self.cast = None

    def say(self, text):
        print(f"{time.monotonic() - self.began:7.2f}s  {text}", flush=True)

    def problem(self, text):
        self.problems.append(text)
        self.say("PROBLEM " + text)

    def begin(self, arguments=(), flags=()):
        self.cast = Cast(self.build, self.folder, self.options.seed, arguments)
        if not self.cast.clock_library.exists():
            self.say(f"wall clocks will not jump: there is no {self.cast.clock_library}")
        self.cast.start()
        self.cast.start_client(*flags)
        self.say("everything is served; clients begin")
        deadline = time.monotonic() + 30
        while not self.cast.answering():
            if time.monotonic() > deadline:
                raise Failed("clients get no answers from a cluster without faults")
            time.sleep(0.1)

    def look_at_chains(self):
        seen = self.cast.look_at_chains()
        for text in seen or []:
            if text not in self.problems:
                self.problem(text)
        return seen is not None

    def look_for_crashes(self):
        for text in self.cast.crashes():
            if text not in self.problems:
                self.problem(text)

    def storm(self, seconds):
        """Injects and heals as the seed says."""
        began = time.monotonic()
        todo = [(at, number, True, fault) for number, (at, fault) in
                enumerate(schedule(self.cast, self.options.seed, seconds))]
        todo += [(at + fault.seconds, number, False, fault) for at, number, _, fault in todo]
        next_look = 0.0
        for at, _, begins, fault in sorted(todo, key=lambda one: (one[0], one[1], not one[2])):
            while (wait := began + at - time.monotonic()) > 0:
                if time.monotonic() > next_look and wait > 0.5:
                    self.look_at_chains()
                    self.look_for_crashes()
                    next_look = time.monotonic() + 3
                else:
                    time.sleep(min(wait, 0.2))
            if begins:
                self.say(fault.text + (f" for {fault.seconds:.1f} s" if fault.seconds > 0 else ""))
                self.injected[fault.kind] += 1
                fault.inject()
            else:
                fault.heal()

    def recover(self):
        """Ends all faults and waits until everything is served; the seconds that took."""
        self.look_for_crashes()
        self.cast.revive()
        began = time.monotonic()
        self.say("all faults end")
        while not (self.cast.answering() and self.cast.all_serving()):
            if time.monotonic() - began > SERVED_AGAIN_WITHIN_S:
                status = self.cast.status()
                states = [(one["name"], one["state"], one["trouble"]) for one in status["services"]] if status else self.cast.refusal
                self.problem(f"not everything is served {SERVED_AGAIN_WITHIN_S} s after the last fault: {states}")
                break
            time.sleep(0.1)
        took = time.monotonic() - began
        self.say(f"everything is served again, {took:.1f} s after the last fault")
        return took

    def judge(self):
        """Reads everything back and checks the histories; adds to the summary."""
        answer = self.cast.ask_client(f"finish {READ_WITHIN_MS}")
        if "error" in answer:
            self.problem(answer["error"])
        if not self.look_at_chains() or set(self.cast.chains) != set(SERVICES):
            self.problem("no coordinator shows the chains, although all faults have ended")
        summary = {"acked": 0, "unknown": 0, "reads": 0, "refused": 0, "lost": 0, "services": {}}
        for service in SERVICES:
            one = answer["services"][service]
            if answer["unread"][service] > 0:
                self.problem(f"{service}: nobody answers for {answer['unread'][service]} keys")
            if one["acked"] == 0:
                self.problem(f"{service}: not one write was acknowledged, so this run proves nothing")
            done = subprocess.run([self.build / "bin/check_history", "--json", self.folder / f"history-{service}.jsonl"],
                                  capture_output=True, text=True, timeout=300, check=False)
            verdict = parse(done.stdout)
            if verdict is None:
                raise Failed(f"check_history: {done.stderr.strip()}")
            for text in verdict["problems"]:
                self.problem(f"{service}: {text}")
            for text in verdict["unknown"]:
                self.problem(f"{service}: its history could not be judged: {text}")
            one["history"] = {key: verdict[key] for key in ("verdict", "operations", "open", "registers", "transactions")}
            one["lost"] = verdict["invalid_registers"] + verdict["anomalies"]
            for key in ("acked", "unknown", "reads", "refused", "lost"):
                summary[key] += one[key]
            summary["services"][service] = one
        self.look_for_crashes()
        status = self.cast.status() or {"moves": []}
        summary["moves"] = dict(collections.Counter(move["kind"] for move in status["moves"]))
        summary["epochs"] = {name: max(chain, default=0) for name, chain in self.cast.chains.items()}
        return summary

    def show(self, summary):
        faults = ", ".join(f"{count} {kind}" for kind, count in sorted(self.injected.items())) or "none"
        print(f"\nseed {self.options.seed}\nfaults: {sum(self.injected.values())} ({faults})")
        if summary:
            print(f"writes: {summary['acked']} acknowledged, {summary['unknown']} of unknown outcome; {summary['reads']} reads; "
                  f"{summary['refused']} refused; {summary['lost']} violations")
            for service, one in summary["services"].items():
                history = one["history"]
                print(f"{service}: longest gap between answers {one['longest_gap_ms']:.0f} ms; history {history['verdict']} "
                      f"({history['operations']} operations, {history['registers']} registers, {history['transactions']} on lists); "
                      f"{summary['epochs'].get(service, 0)} closed epochs")
            moves = ", ".join(f"{count} {kind}" for kind, count in summary["moves"].items()) or "none known"
            print(f"moves, as the leading coordinator remembers them: {moves}")
        for text in self.problems:
            print("PROBLEM " + text)
        print("OK" if not self.problems else "FAILED", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", required=True, help="run.sh gives it")
    parser.add_argument("--build", default=str(Path(__file__).resolve().parents[2] / "build"))
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", action="store_true", help="keep logs and histories of a good run, too")
    parser.add_argument("--scenario", help="a directed scenario instead of random faults; see --list")
    parser.add_argument("--list", action="store_true", help="name the scenarios")
    options = parser.parse_args()
    if options.list:
        for name, scenario in scenarios.SCENARIOS.items():
            print(f"{name:<20} {scenario.__doc__.splitlines()[0]}")
        return 0
    for program in ("understudyd", "understudy", "resp_kv", "chaos_client", "net_switch", "check_history"):
        if not (Path(options.build) / "bin" / program).exists():
            print(f"chaos: {options.build}/bin/{program} is missing: build it first", file=sys.stderr)
            return 2
    run = Run(options)
    print(f"seed {options.seed}", flush=True)
    summary = None
    try:
        if options.scenario:
            summary = scenarios.play(run, options.scenario)
        else:
            run.begin()
            run.storm(options.minutes * 60)
            run.recover()
            summary = run.judge()
    except (Failed, OSError, subprocess.SubprocessError, json.JSONDecodeError, KeyError, KeyboardInterrupt) as error:
        run.problem(f"{type(error).__name__}: {error}")
    finally:
        if run.cast:
            run.cast.stop()
    run.show(summary)
    if run.problems or options.keep:
        (Path(options.folder) / "keep").touch()
    return 1 if run.problems else 0


if __name__ == "__main__":
    sys.exit(main())
