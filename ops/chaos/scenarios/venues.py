"""Faults of venues: all sockets closed at once, banned, away while pairs are assigned, one pair that is poison."""

import asyncio
import math
from collections import Counter
from collections.abc import Sequence

from feeds import venues
from feeds.budgets import rate_of
from fleet import clock
from fleet.pair import Pair
from ops.chaos.chains import stream_ms, total
from ops.chaos.fleet import ChaosFleet
from ops.chaos.ground import Moment
from ops.chaos.late import until
from ops.chaos.result import Result
from ops.chaos.scale import Place, Scale
from ops.chaos.scenario import Scenario
from ops.chaos.stage import staged
from ops.observer import Observer
from ops.status import QUARANTINE, PairStatus

ALONE_MS = 5_000.0  # one socket with nobody before it: jitter, ticket, acknowledgement, first delta, snapshot
BACK_MS = 30_000.0
P99_MS = 50.0
NOTICE_S = 8.0  # between a venue's word that it will close and its closing
SILENT_S = 40.0  # longer than it takes to move a pair away from one who alone does not hear its venue
UNDER_WAY_MS = 1_000  # of a ban: what had left before anybody could know of it
FOREVER = 1_000_000_000
SPOT: Place = ("binance", "spot")  # books by REST; announces its ends; answers 418


async def venue_closes(scale: Scale, seed: int) -> Result:
    """A venue closes all sockets at once: back within its limits, none exceeded; a planned end is overlapped, nothing missed."""
    async with staged("venue-closes", scale, seed) as (fleet, result):
        await fleet.start()
        place = fleet.rng.choice(scale.markets)
        pairs, limits = _pairs_of(fleet, place), venues.find(*place).limits
        before = (await fleet.venues.stats())[place]
        at = fleet.look_aside()
        await fleet.venues.misbehave(place, "close_all", hard=True)
        connecting_ms = before["open"] / rate_of(limits, "connect").refill_per_s * 1000
        result.measure("back_ms", await _back_ms(fleet, pairs, at), 1.1 * (ALONE_MS + connecting_ms))
        since = [row for row in await fleet.venues.requests(place) if row[0] >= at.wall_ms]
        seconds = Counter(row[0] // 1000 for row in since if row[1] == "websocket")
        result.measure("connects_a_second", max(seconds.values(), default=0), max(1, math.ceil(limits.connects_per_s)))
        result.violations += [
            f"{' '.join(place)} answered {row[2]} to {row[1]}" for row in since if row[2] in (418, 429)
        ]
        result.violations += _touched(fleet, [pair for pair in fleet.pairs if pair not in pairs], at)
        result.violations += await _planned_end(fleet, result)
    return result


async def _planned_end(fleet: ChaosFleet, result: Result) -> list[str]:
    """A venue announces its end: every connection has a successor before it, and no pair a Reset."""
    pairs = _pairs_of(fleet, SPOT)
    before = (await fleet.venues.stats())[SPOT]
    at = fleet.look_aside()
    await fleet.venues.misbehave(SPOT, "shutdown_notice", close_after_s=NOTICE_S)
    await asyncio.sleep(NOTICE_S)

    async def replaced() -> bool:
        now = (await fleet.venues.stats())[SPOT]
        return bool(now["connects"] >= before["connects"] + before["open"] and now["open"] == before["open"])

    await until(replaced, "every connection replaced", fleet.scale.settle_s, poll_s=0.2)
    await fleet.calm()
    await fleet.recorded()
    told = {pair: fleet.chain(pair, at) for pair in pairs}
    result.measure("planned_end_seams", total(told.values()).seams)
    result.measure("planned_end_missing", total(told.values()).missing, 0)
    resets = [f"{pair} was reset {one.resets} times by a planned end" for pair, one in told.items() if one.resets]
    return resets + _touched(fleet, pairs, at)


async def venue_bans(scale: Scale, seed: int) -> Result:
    """429, then 418: no request of the whole fleet to that venue inside the ban, other venues untouched, books back behind it."""
    async with staged("venue-bans", scale, seed) as (fleet, result):
        await fleet.start()
        pairs, at = _pairs_of(fleet, SPOT), fleet.look_aside()
        bans_s = {429: 3, 418: 6}
        for status, seconds in bans_s.items():
            await fleet.venues.misbehave(SPOT, "rate_limit", status=status, retry_after_s=seconds)
            if status == 429:
                await fleet.venues.misbehave(SPOT, "close_all", hard=True)  # every pair needs a snapshot now

            async def banned(status: int = status) -> bool:
                return any(row[2] == status for row in await _asked(fleet, at))

            await until(banned, f"a {status}", scale.settle_s, poll_s=0.1)
            await fleet.venues.behave(SPOT, "rate_limit")
        inside = under_way = 0
        back_ms = await _back_ms(fleet, pairs, at)
        asked = await _asked(fleet, at)
        for begun_ms, _, status in asked:
            for later_ms, path, _ in asked:
                into_ms = later_ms - begun_ms
                if status in bans_s and UNDER_WAY_MS < into_ms < bans_s[status] * 1000:
                    inside += 1
                    result.violations.append(f"{path} was asked {into_ms} ms into a ban of {bans_s[status]} s")
                elif status in bans_s and 0 < into_ms <= UNDER_WAY_MS:
                    under_way += 1
        result.measure("requests_in_ban", inside, 0)
        result.measure("requests_under_way", under_way)
        result.measure("back_ms", back_ms, sum(bans_s.values()) * 1000 + BACK_MS)
        result.violations += _touched(fleet, [pair for pair in fleet.pairs if pair not in pairs], at)
    return result


async def venue_away(scale: Scale, seed: int) -> Result:
    """A venue is away for everybody, at the start and later: no worker exits, no pair of it moves, back within 30 s."""
    async with staged("venue-away", scale, seed) as (fleet, result):
        place = fleet.rng.choice(scale.markets)
        await fleet.venues.misbehave(place, "refuse", hard=True)
        for _ in range(scale.daemons):
            fleet.start_daemon()
        for daemon in fleet.daemons:
            await daemon.introduced()
        away = _pairs_of(fleet, place)
        here = [pair for pair in fleet.pairs if pair not in away]
        watcher = fleet.watcher
        await until(lambda: all(map(watcher.live, here)), "every other pair live", scale.start_s)

        async def parked() -> bool:
            told = [await _status(fleet, pair) for pair in away]
            return all(one is not None and one.owner and one.reason for one in told)

        await until(parked, "every pair of the venue owned, with a reason", scale.start_s, poll_s=0.5)
        at = fleet.look_aside()
        await asyncio.sleep(scale.away_s)
        first = await _status(fleet, away[0])
        result.notes.append(f"{away[0]}: {first.reason if first else 'nobody tells of it'}")
        result.violations += [
            f"{one.name} ended with code {one.exit_code}" for one in fleet.daemons if not one.is_running
        ]
        result.violations += _touched(fleet, here, at)
        moves = _passed_on(fleet, away, at)
        await fleet.venues.behave(place, "refuse")
        took_ms = await until(lambda: all(map(watcher.live, away)), "its pairs live", BACK_MS / 1000 + scale.settle_s)
        result.measure("back_ms", took_ms, BACK_MS)
        if scale.away_s >= SILENT_S:
            await fleet.wait_settled()
            at = fleet.look_aside()
            await fleet.venues.misbehave(place, "refuse", hard=True)
            await fleet.venues.misbehave(place, "half_open")  # nobody is told: each notices at a moment of his own
            await asyncio.sleep(SILENT_S)
            moves += _passed_on(fleet, away, at)
            result.violations += _touched(fleet, here, at)
            await fleet.venues.behave(place, "refuse")
            took_ms = await until(
                lambda: all(map(watcher.live, away)), "its pairs live", BACK_MS / 1000 + scale.settle_s
            )
            result.measure("back_again_ms", took_ms, BACK_MS)
        result.measure("moves", len(moves), 0)
        result.violations += moves
    return result


async def poison_pair(scale: Scale, seed: int) -> Result:
    """A pair whose book is wrong again and again: quarantined with its reason, kept by its owner, others as fast as ever."""
    async with staged("poison-pair", scale, seed) as (fleet, result):
        await fleet.start()
        poison = fleet.rng.choice(_pairs_of(fleet, SPOT))
        others = [pair for pair in fleet.pairs if pair != poison]
        at = fleet.look_aside()
        await fleet.venues.misbehave(SPOT, "crossed", pair=poison.pair, count=FOREVER)

        async def quarantined() -> bool:
            found = await _status(fleet, poison)
            return found is not None and found.status == QUARANTINE

        result.measure("quarantined_ms", await until(quarantined, "quarantine", scale.start_s, poll_s=0.2))
        found = await _status(fleet, poison)
        reason = (found.reason if found else None) or ""
        result.notes.append(f"{poison}: {reason}")
        if "crossed" not in reason:
            result.violations.append(f"{poison} is in quarantine, and its reason does not say why: {reason!r}")
        if changes := fleet.watcher.changes(poison, at.mono_ms):
            result.violations.append(f"{poison} was passed round the fleet: {changes}")
        result.violations += _touched(fleet, others, at)
        await fleet.recorded()
        delays = sorted(
            stream_ms(entry.id) - entry.received_us / 1000 for pair in others for entry in fleet.entries(pair, at)
        )
        result.measure("others_p99_ms", delays[int(len(delays) * 0.99)] if delays else 0.0, P99_MS)
        await fleet.venues.behave(SPOT, "crossed", pair=poison.pair)
    return result


# ── what they share ──────────────────────────────────────────────────────────────────────────────────────────────────


def _pairs_of(fleet: ChaosFleet, place: Place) -> list[Pair]:
    return [pair for pair in fleet.pairs if (pair.venue, pair.market) == place]


async def _status(fleet: ChaosFleet, pair: Pair) -> PairStatus | None:
    """What `fleet status` shows of a pair."""
    return (await Observer(fleet.redis, fleet.keys).observe()).find(pair)


async def _asked(fleet: ChaosFleet, at: Moment) -> list[tuple[int, str, int]]:
    """The REST requests since then."""
    return [row for row in await fleet.venues.requests(SPOT) if row[0] >= at.wall_ms and row[1] != "websocket"]


async def _back_ms(fleet: ChaosFleet, pairs: Sequence[Pair], since: Moment) -> float:
    """Until each of these was seen not live after `since`, and live again; how long that took from then."""

    def back() -> bool:
        told = (fleet.watcher.standings[pair] for pair in pairs)
        return all(one[-1].status == "live" and one[-1].at_ms >= since.mono_ms for one in told)

    await until(back, f"{len(pairs)} pairs live again", fleet.scale.start_s)
    return clock.mono_ms() - since.mono_ms


def _passed_on(fleet: ChaosFleet, pairs: Sequence[Pair], since: Moment) -> list[str]:
    return [
        f"{pair} was passed on while its venue was away" for pair in pairs if fleet.watcher.changes(pair, since.mono_ms)
    ]


def _touched(fleet: ChaosFleet, pairs: Sequence[Pair], since: Moment) -> list[str]:
    """Which of these were not live for a moment since then, although nothing happened to them."""
    now_ms = clock.mono_ms()
    found = {pair: fleet.watcher.not_live_ms([pair], since.mono_ms, now_ms) for pair in pairs}
    return [
        f"{pair} was not live for {lost_ms:.0f} ms, and its venue was well"
        for pair, lost_ms in found.items()
        if lost_ms
    ]


SCENARIOS = (
    Scenario("venue-closes", 11, venue_closes),
    Scenario("venue-bans", 12, venue_bans),
    Scenario("venue-away", 13, venue_away),
    Scenario("poison-pair", 14, poison_pair),
)  # fmt: skip
