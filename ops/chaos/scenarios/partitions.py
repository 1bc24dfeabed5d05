"""Faults of the network: one worker is cut from Redis and not from the venues, or the reverse. In network namespaces.

The worker lives on an island with a cable to Redis and one to the venues (ops/chaos/namespaces.py); the others stand beside
Redis and the venues. A pulled cable swallows packets: connections stay open at both ends, as in a real partition.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from fleet import clock
from fleet.pair import Pair
from fleet.plan_store import read_moves, read_plan
from ops.chaos.child import DAEMON, ChaosDaemon
from ops.chaos.fleet import ChaosFleet
from ops.chaos.history import Entry
from ops.chaos.late import until
from ops.chaos.namespaces import Island
from ops.chaos.proxy_process import LOOPBACK, Proxy
from ops.chaos.result import Result
from ops.chaos.scale import Scale
from ops.chaos.scenario import Scenario
from ops.chaos.scenarios.redis import url_of
from ops.chaos.stage import staged

REOWNED_MS = 5000.0
LIVE_AGAIN_MS = 7000.0
DECLARED_MS = (
    17_000.0  # the slowest venue's own bound is 15 s without a ping of its server; then publishing, and our look
)
LIVE_ELSEWHERE_MS = (
    30_000.0  # 15 s of those, 10 s in which others would have noticed it too, a beat, a plan, a planned move
)
REDIS, VENUES = "redis", "venues"


@asynccontextmanager
async def marooned(name: str, scale: Scale, seed: int) -> AsyncIterator[tuple[ChaosFleet, Result, Island, ChaosDaemon]]:
    """A staged fleet whose last daemon lives on an island; it outlasts the judgement. Raises NoNamespaces."""
    with TemporaryDirectory(prefix="fleet-chaos-") as folder:
        async with (
            Proxy(Path(folder), seed=seed) as proxy,
            Island(Path(folder), (REDIS, VENUES)) as island,
            staged(name, scale, seed) as (fleet, result),
        ):
            settings = await _led(fleet, island, proxy)
            victim = fleet.start_daemon(settings, island.command(DAEMON))
            await fleet.start(count=scale.daemons - 1)
            await until(lambda: _as_planned(fleet), "every pair where the plan wants it", scale.start_s, poll_s=0.2)
            await until(lambda: fleet.owned_by(victim), "the worker on the island to own pairs", scale.settle_s)
            yield fleet, result, island, victim


async def _as_planned(fleet: ChaosFleet) -> bool:
    """A pair that still moves to the victim would be another's in the count and its own in the fault."""
    plan, owners = await read_plan(fleet.redis, fleet.keys), fleet.watcher.owners
    return plan is not None and all(
        pair.label in plan.orders and pair in owners and plan.orders[pair.label][0] == owners[pair].holder
        for pair in fleet.pairs
    )


async def _led(fleet: ChaosFleet, island: Island, proxy: Proxy) -> dict[str, str]:
    """The settings of a daemon on the island: where Redis and every venue are from there."""
    if fleet.server is None:
        raise RuntimeError("this fault is for a fleet with a server of its own")
    port = await island.lead(REDIS, proxy, "redis", fleet.server.port)
    found = {"FLEET_REDIS_URL": url_of(port, island.outside(REDIS))}
    ports: dict[int, int] = {}  # REST and websocket of a market share one
    for name, url in fleet.venues.environ.items():
        parts = urlsplit(url)
        if parts.port is None:  # a switch and no address
            continue
        if parts.port not in ports:
            ports[parts.port] = await island.lead_to_loopback(VENUES, proxy, f"venue {parts.port}", parts.port)
        found[name] = parts._replace(netloc=f"{LOOPBACK}:{ports[parts.port]}").geturl()
    return found


async def cut_from_redis(scale: Scale, seed: int) -> Result:
    """A worker is cut from Redis, not from its venues: successors within 5 s, and after their first write none of its own."""
    async with marooned("cut-from-redis", scale, seed) as (fleet, result, island, victim):
        tokens, at = fleet.tokens(fleet.owned_by(victim)), fleet.look_aside()
        others = [pair for pair in fleet.pairs if pair not in tokens]
        await island.pull(REDIS)
        taken = await fleet.wait_taken_over(tokens, victim, at.mono_ms)
        result.measure("reowned_ms", taken.owned_ms, REOWNED_MS)
        result.measure("live_again_ms", taken.live_ms, LIVE_AGAIN_MS)
        healed_ms = clock.mono_ms()
        await island.plug(REDIS)
        await _member_again(fleet, victim)
        result.measure("member_again_ms", clock.mono_ms() - healed_ms)
        await fleet.calm()
        await fleet.recorded()
        for pair in tokens:
            written = fleet.entries(pair, at)
            result.violations += [
                f"{pair}: written by the one cut off, after its successor: {one}" for one in _late(written)
            ]
        for pair in others:
            if resets := fleet.chain(pair, at).resets:
                result.violations.append(f"{pair} was not the victim's, and was reset {resets} times")
    return result


def _late(entries: list[Entry]) -> list[Entry]:
    highest, found = 0, []
    for entry in entries:
        if entry.epoch < highest:
            found.append(entry)
        highest = max(highest, entry.epoch)
    return found


async def _member_again(fleet: ChaosFleet, daemon: ChaosDaemon) -> None:
    async def listed() -> bool:
        return daemon.identity in await fleet.members()

    await until(listed, f"{daemon.name} to be a member again", fleet.scale.settle_s, why=daemon.last_words)


async def cut_from_venues(scale: Scale, seed: int) -> Result:
    """A worker is cut from its venues, not from Redis: its books turn stale, then live with workers that hear them.

    Nobody else's books are touched, and nothing moves back when the cut heals.
    """
    async with marooned("cut-from-venues", scale, seed) as (fleet, result, island, victim):
        tokens, at = fleet.tokens(fleet.owned_by(victim)), fleet.look_aside()
        others, labels = [pair for pair in fleet.pairs if pair not in tokens], {pair.label for pair in tokens}
        fleet.watcher.forget_ages()
        await island.pull(VENUES)

        def silent() -> list[Pair]:
            """Pairs that are called live by the one that hears nothing of them."""
            return [
                pair for pair in tokens
                if fleet.watcher.live(pair) and fleet.owner_of(pair) is victim
            ]  # fmt: skip

        await until(
            lambda: not silent(), "the worker without venues to give up its books or its pairs", scale.settle_s,
            why=lambda: f"still called live: {'; '.join(map(str, silent()))}",
        )  # fmt: skip
        result.measure("declared_ms", clock.mono_ms() - at.mono_ms, DECLARED_MS)
        result.measure("oldest_told_ms", max(map(fleet.watcher.ages_ms.__getitem__, tokens)))
        taken = await fleet.wait_taken_over(tokens, victim, at.mono_ms)
        result.measure("live_elsewhere_ms", taken.live_ms, LIVE_ELSEWHERE_MS)
        said = (await fleet.members())[victim.identity].deaf
        result.notes.append(f"{victim.name} says for how many ms it is deaf: {said}")
        plan = await read_moves(fleet.redis, fleet.keys)
        result.notes += sorted({move.why for move in plan if move.from_ == victim.identity and move.label in labels})
        await fleet.calm()
        result.measure("others_not_live_ms", fleet.watcher.not_live_ms(others, at.mono_ms, clock.mono_ms()), 0)
        healed = fleet.look_aside()
        await island.plug(VENUES)
        await _hears_again(fleet, victim)
        result.measure("hears_again_ms", clock.mono_ms() - healed.mono_ms)
        await fleet.wait_live()
        await fleet.calm()
        changes = [one for pair in fleet.pairs for one in fleet.watcher.changes(pair, healed.mono_ms)]
        result.measure("moves_after_healing", len(changes), 0)
        await fleet.recorded()
        for pair in tokens:
            result.violations += [
                f"{pair}: written by the one that hears nothing, after its successor: {one}"
                for one in _late(fleet.entries(pair, at))
            ]
        for pair in others:
            if resets := fleet.chain(pair, at).resets:
                result.violations.append(f"{pair} was not the victim's, and was reset {resets} times")
    return result


async def _hears_again(fleet: ChaosFleet, daemon: ChaosDaemon) -> None:
    async def hears() -> bool:
        record = (await fleet.members()).get(daemon.identity)
        return record is not None and not record.deaf

    await until(hears, f"{daemon.name} to hear every venue again", fleet.scale.settle_s, why=daemon.last_words)


SCENARIOS = (
    Scenario("cut-from-redis", 0, cut_from_redis),
    Scenario("cut-from-venues", 0, cut_from_venues),
)
