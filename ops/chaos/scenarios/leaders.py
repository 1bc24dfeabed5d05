"""Faults of the leader: killed once, killed again and again. Nobody needs it to go on."""

import asyncio
from functools import partial

from fleet import clock
from fleet.pair import Pair
from ops.chaos.fleet import ChaosFleet
from ops.chaos.ground import Moment
from ops.chaos.late import until
from ops.chaos.result import Result
from ops.chaos.scale import Scale
from ops.chaos.scenario import Scenario
from ops.chaos.stage import staged

ELECTED_MS = 5000.0
EVERY_S = 5.0


async def kill_leader(scale: Scale, seed: int) -> Result:
    """SIGKILL the leader: another within 5 s; pairs that were not its own go on untouched."""
    async with staged("kill-leader", scale, seed) as (fleet, result):
        await fleet.start()
        theirs, at = await _kill(fleet, result)
        await fleet.wait_live()
        await fleet.calm()
        await _untouched(fleet, result, theirs, at)
    return result


async def kill_leaders(scale: Scale, seed: int) -> Result:
    """SIGKILL whoever leads, every 5 s, each replaced: another within 5 s each time; pairs of others go on untouched."""
    async with staged("kill-leaders", scale, seed) as (fleet, result):
        await fleet.start()
        for _ in range(scale.again):
            began_ms = clock.mono_ms()
            fleet.start_daemon()
            theirs, at = await _kill(fleet, result)
            await asyncio.sleep(max(0.0, EVERY_S - (clock.mono_ms() - began_ms) / 1000))
            await _untouched(fleet, result, theirs, at)
        await fleet.wait_live()
        await fleet.calm()
        terms = [one.term for one in fleet.watcher.leadings if one.leader is not None]
        if terms != sorted(terms):
            result.violations.append(f"the term fell: {terms}")
    return result


async def _kill(fleet: ChaosFleet, result: Result) -> tuple[set[Pair], Moment]:
    """Kill the leader and wait for another; the pairs that were its own, and when that was."""
    await until(lambda: fleet.leader is not None, "a leader", fleet.scale.settle_s)
    leader = fleet.leader
    if leader is None:
        raise AssertionError("waited for")
    theirs, at = {*fleet.owned_by(leader)}, fleet.look_aside()
    await leader.kill()
    elected = partial(fleet.watcher.leaderless_ms, at.mono_ms, leader.identity)
    await until(lambda: elected() is not None, "another leader", fleet.scale.settle_s)
    result.measure("elected_ms", elected() or 0.0, ELECTED_MS)
    return theirs, at


async def _untouched(fleet: ChaosFleet, result: Result, hurt: set[Pair], at: Moment) -> None:
    await fleet.recorded()
    resets = 0
    for pair in fleet.pairs:
        told = fleet.chain(pair, at)
        if pair not in hurt and told.resets:
            resets += told.resets
            result.violations.append(f"{pair} was not the leader's, and was reset {told.resets} times")
    result.measure("others_reset", resets, 0)


SCENARIOS = (
    Scenario("kill-leader", 4, kill_leader),
    Scenario("kill-leaders", 4, kill_leaders),
)
