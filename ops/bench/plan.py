"""`fleet bench plan`: how long the plan of a large fleet takes, and how many pairs move when a daemon comes or goes."""

import gc
import math
import random
from collections.abc import Callable
from typing import Any

from fleet import clock
from fleet.plan import Plan, PlanMember, PlanPair, make_plan

DAEMONS = 1000
PAIRS = 50_000
HOSTS = 100
MARKETS = tuple(f"venue{number}:{market}" for number in range(8) for market in ("spot", "futures"))
CAPACITY = 500
TAIL = 1.3  # of the Pareto distribution of message rates: few pairs have most of them
MOST_RATE = 200.0  # messages a second of one pair
SEED = 1
RUNS = 3


def plan(daemons: int = DAEMONS, pairs: int = PAIRS) -> dict[str, Any]:
    """Plan for so many, several times; the slowest run of each case counts. Milliseconds, and moves against the ideal."""
    members = [_member(number) for number in range(daemons)]
    rng = random.Random(SEED)
    measured = [_pair(number, min(MOST_RATE, rng.paretovariate(TAIL))) for number in range(pairs)]
    equal = [_pair(number, 1.0) for number in range(pairs)]
    figures: dict[str, Any] = {"name": "plan", "daemons": daemons, "pairs": pairs}

    def timed(name: str, make: Callable[[], Plan]) -> Plan:
        slowest = 0.0
        for _ in range(RUNS):
            gc.collect()
            before_ms = clock.mono_ms()
            made = make()
            slowest = max(slowest, clock.mono_ms() - before_ms)
        figures[f"{name}_ms"] = round(slowest)
        return made

    first = timed("first", lambda: make_plan(members, measured, {}, {}))
    again = timed("again", lambda: make_plan(members, measured, {}, first.orders))
    figures |= {
        "again_moves": len(again.moves),
        "load_max_of_mean": round(first.off_balance, 3),
        "connections": first.connections,
    }
    shifted = [pair._replace(rate=min(MOST_RATE, (pair.rate or 0.0) * rng.uniform(0.3, 3.0))) for pair in measured]
    other = timed("other_rates", lambda: make_plan(members, shifted, {}, first.orders))
    figures |= {"other_rates_moves": len(other.moves), "other_rates_load_max_of_mean": round(other.off_balance, 3)}

    base = make_plan(members, equal, {}, {})
    for name, changed in (("join", [*members, _member(daemons)]), ("leave", members[1:])):
        made = timed(name, lambda changed=changed: make_plan(changed, equal, {}, base.orders))  # type: ignore[misc]
        ideal = math.ceil(pairs / len(changed))
        figures |= {f"{name}_moves": len(made.moves), f"{name}_moves_of_ideal": round(len(made.moves) / ideal, 3)}
    return figures


def _member(number: int) -> PlanMember:
    host = f"host{number % HOSTS:03d}"
    return PlanMember(f"{host}:{number}:{number:08x}", host, CAPACITY)


def _pair(number: int, rate: float) -> PlanPair:
    group = MARKETS[number % len(MARKETS)]
    return PlanPair(f"{group}:P{number:05d}/USDT", group, rate, 1 + number % 3)
