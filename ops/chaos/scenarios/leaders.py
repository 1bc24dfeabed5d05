"""Faults of the leader: killed once, killed again and again. Nobody needs it to go on.

A leader is a worker too: what becomes of its own pairs when it dies is fault 1, and not judged here. Its own are those whose
lease names it, read from Redis when its process is gone: also a pair that came to it a moment ago, not one that was about to
come or had just left. They are orphans until another owner has told something of their books, even if several owners die
before one does. All others are untouched (ops.chaos.untouched), and of those must hold, from each kill to the next:

others_reset         no Reset of a book, whatever its reason; the most of one round
others_not_live_ms   the longest that a reader found no live book of one that was live at the kill
others_silent_ms     the longest that Redis got no delta of any of them, all together; trades_silent_ms: no trade of those
                     whose trades are asked for. None at all in a round is a violation, and so is a run in which too few
                     pairs were untouched to say so: silence never passes for peace
"""

import asyncio
import itertools
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from fleet import clock
from fleet.pair import Pair
from fleet.tasks import Task
from ops.chaos.fleet import ChaosFleet
from ops.chaos.ground import Moment
from ops.chaos.late import few, until
from ops.chaos.records import DEPTH
from ops.chaos.result import Result
from ops.chaos.scale import Scale
from ops.chaos.scenario import Scenario
from ops.chaos.stage import staged
from ops.chaos.untouched import Kill, Round, rounds

ELECTED_MS = 5000.0
EVERY_S = 5.0
NOT_LIVE_MS = 1000.0
SILENT_MS = 1000.0
NO_TRADE_MS = 2000.0  # trades are rarer, and few where a fleet is small
TRADED_MOST = 100  # pairs whose trades are asked for too, of all markets alike
ENOUGH = 3  # pairs that cannot all be quiet for a whole round
BOOK_AND_TRADES = frozenset({"book", "trades"})


class Killing(NamedTuple):
    """`live`: the pairs that had a live book right before."""

    at: Moment
    kill: Kill
    live: frozenset[Pair]


async def kill_leader(scale: Scale, seed: int) -> Result:
    """SIGKILL the leader: another within 5 s; books, streams and trades of pairs that were not its own go on untouched."""
    async with staged("kill-leader", scale, seed) as (fleet, result):
        await _start(fleet)
        killing = await _kill(fleet, result)
        await fleet.wait_live()
        await fleet.calm()
        await _judge(fleet, result, [killing])
    return result


async def kill_leaders(scale: Scale, seed: int) -> Result:
    """SIGKILL whoever leads, every 5 s, each replaced: the same, each time; terms only grow."""
    async with staged("kill-leaders", scale, seed) as (fleet, result):
        await _start(fleet)
        killings = []
        for _ in range(scale.again):
            began_ms = clock.mono_ms()
            fleet.start_daemon()
            killings.append(await _kill(fleet, result))
            await asyncio.sleep(max(0.0, EVERY_S - (clock.mono_ms() - began_ms) / 1000))
        await fleet.wait_live()
        await fleet.calm()
        await _judge(fleet, result, killings)
        terms = [one.term for one in fleet.watcher.leadings if one.leader is not None]
        if any(later <= earlier for earlier, later in itertools.pairwise(terms)):
            result.violations.append(f"the term did not grow with each leader: {terms}")
    return result


async def _start(fleet: ChaosFleet) -> None:
    traded = fleet.pairs[:TRADED_MOST]
    await fleet.tasks.add(
        [Task(table="MONITORING", pair=pair, depth=DEPTH, channels=BOOK_AND_TRADES) for pair in traded]
    )
    await fleet.start()


async def _kill(fleet: ChaosFleet, result: Result) -> Killing:
    """Kill the leader, see what was its own, and wait until another leads."""
    watcher = fleet.watcher
    await until(lambda: fleet.leader is not None, "a leader", fleet.scale.settle_s)
    leader = fleet.leader
    if leader is None:
        raise AssertionError("waited for")
    at, live = fleet.look_aside(), frozenset(pair for pair in fleet.pairs if watcher.live(pair))
    await leader.kill()
    held = {pair.label: token for pair, token in (await watcher.held_by(leader.identity)).items()}
    elected = partial(watcher.leaderless_ms, at.mono_ms, leader.identity)
    await until(lambda: elected() is not None, "another leader", fleet.scale.settle_s)
    result.measure("elected_ms", elected() or 0.0, ELECTED_MS)
    return Killing(at, Kill(at.wall_ms, held), live)


async def _judge(fleet: ChaosFleet, result: Result, killings: list[Killing]) -> None:
    await fleet.recorded()
    now = Moment(clock.mono_ms(), clock.wall_ms())
    kills = [one.kill for one in killings]
    found = await asyncio.to_thread(rounds, *fleet.records.lines(), kills, now.wall_ms)
    ends = [*(one.at for one in killings[1:]), now]
    for number, (killing, end, seen) in enumerate(zip(killings, ends, found, strict=True), 1):
        judge_round(result, number, seen)
        spared = [pair for pair in killing.live if pair.label in seen.untouched]
        not_live_ms = fleet.watcher.not_live_ms(spared, killing.at.mono_ms, end.mono_ms)
        result.measure("others_not_live_ms", not_live_ms, NOT_LIVE_MS)
    judge_enough(result, found)


def judge_round(result: Result, number: int, seen: Round) -> None:
    """Hold what one round saw of untouched pairs against what must be."""
    result.measure("others_reset", len(seen.resets), 0)
    told = [f"{one.label} was not the leader's of round {number}, and was reset: {one}" for one in seen.resets]
    result.violations += few(told, "Resets of others")
    for what, those, pairs, name, limit_ms in (
        ("delta", seen.deltas, seen.untouched, "others_silent_ms", SILENT_MS),
        ("trade", seen.trades, seen.traded, "trades_silent_ms", NO_TRADE_MS),
    ):
        if len(pairs) < ENOUGH:
            continue
        result.measure(name, those.silent_ms, limit_ms)
        if not those.entries:
            result.violations.append(
                f"no {what} of {len(pairs)} pairs that were not the leader's came in round {number}"
            )


def judge_enough(result: Result, found: Sequence[Round]) -> None:
    """Say of how many pairs anything was seen; a run that could not see anything proves nothing."""
    untouched, traded = [len(one.untouched) for one in found], [len(one.traded) for one in found]
    enough = sum(min(pairs) >= ENOUGH for pairs in zip(untouched, traded, strict=True))
    result.notes.append(
        f"untouched were {min(untouched)} to {max(untouched)} pairs a round, {min(traded)} to {max(traded)} of them with trades; "
        f"enough to judge silence by in {enough} of {len(found)} rounds"
    )
    if max(untouched) < ENOUGH or max(traded) < ENOUGH:
        result.violations.append(
            f"expected a round with {ENOUGH} untouched pairs and trades of {ENOUGH}: there were at most "
            f"{max(untouched)} and {max(traded)}"
        )


SCENARIOS = (
    Scenario("kill-leader", 4, kill_leader),
    Scenario("kill-leaders", 4, kill_leaders),
)
