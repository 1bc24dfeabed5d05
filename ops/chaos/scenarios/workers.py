"""Faults of workers: killed, stood still, stopped in order."""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from functools import partial

from feeds import venues
from fleet import clock
from fleet.pair import Pair
from ops.chaos.chains import lossless, total
from ops.chaos.child import ChaosDaemon
from ops.chaos.fleet import ChaosFleet
from ops.chaos.ground import Moment, comparable
from ops.chaos.late import few, until
from ops.chaos.result import Result
from ops.chaos.scale import Scale
from ops.chaos.scenario import Scenario
from ops.chaos.stage import staged

REOWNED_MS = 5000.0
LIVE_AGAIN_MS = 7000.0
REQUESTS_A_PAIR = 2
FIRST_MS = 1000.0  # for the first answer
DROPPED_MS = 1000.0
ROLL_MS = 60_000.0
OLDEST_MS = 1000.0
PAUSE_LEASES = 3
WOKEN_S = 3.0  # after it a woken daemon must have dropped what is no longer its own
STANDBY = {"FLEET_STANDBY": "1"}


def _live_within_ms(pairs: Collection[Pair]) -> float:
    """LIVE_AGAIN_MS, or later where a venue's own limit of requests on a connection lets nobody be faster: all pairs of a market
    may go to one heir, and want a subscription and a snapshot each."""
    markets = Counter((pair.venue, pair.market) for pair in pairs)
    asking_ms = [
        count * REQUESTS_A_PAIR * 1000 / venues.find(*market).limits.requests_per_s for market, count in markets.items()
    ]
    return max(LIVE_AGAIN_MS, REOWNED_MS + FIRST_MS + max(asking_ms, default=0.0))


async def kill_worker(scale: Scale, seed: int) -> Result:
    """SIGKILL a worker: its pairs are owned again within 5 s and live within 7 s, every hole is declared, others untouched."""
    async with staged("kill-worker", scale, seed) as (fleet, result):
        await fleet.start()
        victim = fleet.any_owner()
        tokens, at = fleet.tokens(fleet.owned_by(victim)), fleet.look_aside()
        await victim.kill()
        taken = await fleet.wait_taken_over(tokens, victim, at.mono_ms)
        result.measure("reowned_ms", taken.owned_ms, REOWNED_MS)
        result.measure("live_again_ms", taken.live_ms, _live_within_ms(tokens))
        await fleet.calm()
        await _others_untouched(fleet, result, tokens, at)
    return result


async def kill_worker_standby(scale: Scale, seed: int) -> Result:
    """SIGKILL a worker whose pairs have warm standbys: nothing missing where sequences compare, a seam elsewhere."""
    async with staged("kill-worker-standby", scale, seed, environ=STANDBY) as (fleet, result):
        await fleet.start()
        victim = fleet.any_owner()
        await _wait_warm(fleet, victim)
        tokens, at = fleet.tokens(fleet.owned_by(victim)), fleet.look_aside()
        await victim.kill()
        taken = await fleet.wait_taken_over(tokens, victim, at.mono_ms)
        result.measure("reowned_ms", taken.owned_ms, REOWNED_MS)
        result.measure("live_again_ms", taken.live_ms, _live_within_ms(tokens))
        await fleet.calm()
        await _nothing_missing(fleet, result, tokens, at)
        await _others_untouched(fleet, result, tokens, at)
    return result


async def pause_worker(scale: Scale, seed: int) -> Result:
    """SIGSTOP a worker for three leases, then SIGCONT: a successor within 5 s, no stale write accepted, it lets go in 1 s."""
    async with staged("pause-worker", scale, seed) as (fleet, result):
        await fleet.start()
        victim = fleet.any_owner()
        tokens, at = fleet.tokens(fleet.owned_by(victim)), fleet.look_aside()
        victim.pause()
        taken = await fleet.wait_taken_over(tokens, victim, at.mono_ms)
        result.measure("reowned_ms", taken.owned_ms, REOWNED_MS)
        result.measure("live_again_ms", taken.live_ms)
        await asyncio.sleep(max(0.0, PAUSE_LEASES * scale.lease_ms - (clock.mono_ms() - at.mono_ms)) / 1000)
        woken = fleet.look_aside()
        victim.resume()
        await until(
            lambda: not _unaware(fleet, victim, tokens), "the woken daemon to drop what others own", WOKEN_S + 10,
            why=lambda: f"it still believes in {len(_unaware(fleet, victim, tokens))} pairs",
        )  # fmt: skip
        dropped = _dropped(fleet, victim, tokens)
        result.measure("dropped_ms", max(0.0, max(dropped.values()) - woken.mono_ms), DROPPED_MS)
        await fleet.calm()
        facts = [fact for fact in fleet.facts(victim) if fact.mono_ms >= woken.mono_ms]
        result.measure("refused_writes", sum(fact.fact == "refused" for fact in facts))
        await fleet.recorded()
        for pair, token in tokens.items():
            # by what Redis took, and when: an answer of before the pause may be read and noted after it
            late = [entry for entry in fleet.entries(pair, woken) if entry.epoch == token]
            result.violations += [
                f"{pair}: a write of before the pause was accepted after it: {entry}" for entry in late
            ]
        await _others_untouched(fleet, result, tokens, at)
    return result


async def rolling_restart(scale: Scale, seed: int) -> Result:
    """SIGTERM one worker after the other, each replaced: nothing missing, no pair older than 1 s, all within 60 s."""
    async with staged("rolling-restart", scale, seed) as (fleet, result):
        await fleet.start()
        at = fleet.look_aside()
        for daemon in list(fleet.daemons):
            daemon.terminate()
            result.measure("stop_ms", await daemon.ended())
            await _replaced(fleet)
        result.measure("roll_ms", clock.mono_ms() - at.mono_ms, ROLL_MS)
        await _rolled(fleet, result, at)
    return result


async def rolling_upgrade(scale: Scale, seed: int) -> Result:
    """Drain, stop and replace one worker after the other: nothing missing, no pair older than 1 s, all within 60 s."""
    async with staged("rolling-upgrade", scale, seed) as (fleet, result):
        await fleet.start()
        at = fleet.look_aside()
        for daemon in list(fleet.daemons):
            await fleet.command(daemon, "drain")
            drained_ms = await until(partial(_drained, fleet, daemon), f"{daemon.name} to be drained", scale.settle_s)
            result.measure("drain_ms", drained_ms)
            await fleet.command(daemon, "stop")
            result.measure("stop_ms", await daemon.ended())
            await _replaced(fleet)
        result.measure("roll_ms", clock.mono_ms() - at.mono_ms, ROLL_MS)
        await _rolled(fleet, result, at)
    return result


def _drained(fleet: ChaosFleet, daemon: ChaosDaemon) -> bool:
    return not fleet.owned_by(daemon)


# ── what is looked at ────────────────────────────────────────────────────────────────────────────────────────────────────


async def _replaced(fleet: ChaosFleet) -> None:
    """Start a daemon more and wait until the fleet counts on it."""
    daemon = fleet.start_daemon()
    await daemon.introduced()

    async def listed() -> bool:
        return daemon.identity in await fleet.members()

    await until(listed, f"{daemon.name} to be a member", fleet.scale.settle_s, why=daemon.last_words)
    await fleet.wait_live()


async def _rolled(fleet: ChaosFleet, result: Result, at: Moment) -> None:
    await fleet.calm()
    result.measure("oldest_proof_ms", max(fleet.watcher.ages_ms.values()))
    result.measure("not_live_ms", fleet.watcher.not_live_ms(fleet.pairs, at.mono_ms, clock.mono_ms()), OLDEST_MS)
    await _nothing_missing(fleet, result, fleet.tokens(fleet.pairs), at, OLDEST_MS)


async def _nothing_missing(
    fleet: ChaosFleet, result: Result, pairs: Mapping[Pair, int], at: Moment, oldest_ms: float | None = None
) -> None:
    """Where sequences compare, these pairs went on as if nothing had been; elsewhere they had seams and nothing else.

    `oldest_ms`: the longest that a delta may have waited for Redis; None where an owner died and its lease was waited for.
    """
    await fleet.recorded()
    all_told = {pair: fleet.chain(pair, at) for pair in pairs}
    found = [text for pair, told in all_told.items() if comparable(pair) for text in lossless(pair, told)]
    found += [
        f"{pair}: {told.resets} resets and {told.images} new images where one seam was to be expected"
        for pair, told in all_told.items()
        if not comparable(pair) and (told.resets or told.images)
    ]
    result.violations += few(found, "pairs that lost something")
    told = total(all_told.values())
    result.measure("missing_deltas", told.missing, 0)
    result.measure("declared_losses", told.resets, 0)
    result.measure("seams", told.seams)
    result.measure("oldest_delta_ms", told.oldest_ms, oldest_ms)


async def _others_untouched(fleet: ChaosFleet, result: Result, hurt: Mapping[Pair, int], at: Moment) -> None:
    """Nobody's stream was written by a former owner; the books of pairs that were not hurt were never declared lost."""
    await fleet.recorded()
    stale = resets = 0
    for pair in fleet.pairs:
        told = fleet.chain(pair, at)
        stale += told.stale
        if pair not in hurt and told.resets:
            resets += told.resets
            result.violations.append(f"{pair} was not the victim's, and was reset {told.resets} times")
    result.measure("stale_writes", stale, 0)
    result.measure("others_reset", resets, 0)


async def _wait_warm(fleet: ChaosFleet, owner: ChaosDaemon) -> None:
    """Until each pair of `owner` has a standby, and the books of its standbys are live."""
    cold: list[Pair] = []

    async def warm() -> bool:
        standbys = await fleet.standbys()
        of_pairs = {pair: list(standbys.get(pair, {}).values()) for pair in fleet.owned_by(owner)}
        cold[:] = [pair for pair, live in of_pairs.items() if not live or not all(live)]  # any of them may be the heir
        return not cold

    await until(
        warm, "a warm standby of every pair", fleet.scale.settle_s,
        why=lambda: f"{len(cold)} have none: {'; '.join(map(str, cold[:5]))}", poll_s=0.25,
    )  # fmt: skip
    await fleet.calm()  # a chain must reach back to what was published last


def _dropped(fleet: ChaosFleet, victim: ChaosDaemon, tokens: Mapping[Pair, int]) -> dict[Pair, float]:
    """When it stopped to believe in each pair under the token that it had, by its own word."""
    found: dict[Pair, float] = {}
    labels = {pair.label: pair for pair in tokens}
    for fact in fleet.facts(victim):
        pair = labels.get(fact.pair)
        if pair is not None and fact.fact in ("lost", "released") and fact.token == tokens[pair]:
            found[pair] = fact.mono_ms
    return found


def _unaware(fleet: ChaosFleet, victim: ChaosDaemon, tokens: Mapping[Pair, int]) -> list[Pair]:
    dropped = _dropped(fleet, victim, tokens)
    return [pair for pair in tokens if pair not in dropped]


SCENARIOS = (
    Scenario("kill-worker", 1, kill_worker),
    Scenario("kill-worker-standby", 1, kill_worker_standby),
    Scenario("pause-worker", 2, pause_worker),
    Scenario("rolling-restart", 3, rolling_restart),
    Scenario("rolling-upgrade", 3, rolling_upgrade),
)
