"""Directed scenarios: one situation each, with a measured result and a bound."""

SCENARIOS = {}


def play(run, name):
    raise NotImplementedError(name)
