"""Faults of Redis: stopped, killed, emptied, slow.

Every daemon reaches Redis by a door of its own (ops/chaos/proxy.py), where its connections are counted; the watcher, the
recorder and the probe look at Redis directly.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from redis.exceptions import RedisError

from fleet import clock
from ops.chaos.child import ChaosDaemon
from ops.chaos.fleet import ChaosFleet
from ops.chaos.ground import Moment
from ops.chaos.late import until
from ops.chaos.listener import Listener
from ops.chaos.proxy_process import LOOPBACK, Proxy
from ops.chaos.result import Result
from ops.chaos.scale import Scale
from ops.chaos.scenario import Scenario
from ops.chaos.stage import staged
from ops.daemon import MOST_CONNECTIONS
from ops.embedded.redis import EmbeddedRedis

TOLD_MS = 1000.0
RECONNECTED_MS = 2000.0
CONNECTS_A_SECOND = 1.0  # of a worker, from the fault until BEHIND_MS after the return
BEHIND_MS = 10_000.0
REBUILT_MS = 10_000.0
AWAY_LEASES = 2.5  # 10 s at a lease of 4 s
STALL_LEASES = 0.5  # 2 s at a lease of 4 s
DELAY_LEASES = 0.025  # 100 ms there and back at a lease of 4 s, ± half of it
FULL_PERIOD_LEASES, SMALL_PERIOD_LEASES = 10, 4
JITTERS = ("up_jitter_ms", "down_jitter_ms")
KEPT: Mapping[str, str] = {"appendonly": "yes", "appendfsync": "everysec"}


def url_of(port: int, host: str = LOOPBACK) -> str:
    """Database 0 there."""
    return f"redis://{host}:{port}/0"


def door_of(daemon: ChaosDaemon) -> str:
    """The door by which a daemon reaches Redis."""
    return f"redis {daemon.number}"


@asynccontextmanager
async def behind_doors(
    name: str, scale: Scale, seed: int, **options: Any
) -> AsyncIterator[tuple[ChaosFleet, Result, Proxy]]:
    """A staged fleet whose daemons run, each behind a door of its own. The doors outlast the judgement."""
    with TemporaryDirectory(prefix="fleet-chaos-") as folder:
        async with Proxy(Path(folder), seed=seed) as proxy, staged(name, scale, seed, **options) as (fleet, result):
            for number in range(scale.daemons):
                port = await proxy.open(f"redis {number}", _server(fleet).port)
                fleet.start_daemon({"FLEET_REDIS_URL": url_of(port)})
            await fleet.start(count=0)
            yield fleet, result, proxy


# ── away and back ────────────────────────────────────────────────────────────────────────────────────────────────────


async def redis_stop(scale: Scale, seed: int) -> Result:
    """SIGSTOP Redis for two leases and a half: readers know within 1 s, workers stay up and are back within 2 s of its return."""
    async with behind_doors("redis-stop", scale, seed) as (fleet, result, proxy):
        server = _server(fleet)

        async def stop() -> None:
            server.pause()

        async def go_on() -> None:
            server.resume()

        await _away_and_back(fleet, result, proxy, stop, go_on)
    return result


async def redis_restart(scale: Scale, seed: int) -> Result:
    """SIGKILL Redis, started again on its append-only file two leases and a half later: as redis-stop."""
    async with behind_doors("redis-restart", scale, seed, redis_settings=KEPT) as (fleet, result, proxy):
        await _away_and_back(fleet, result, proxy, _server(fleet).kill, _server(fleet).start)
    return result


async def _away_and_back(
    fleet: ChaosFleet, result: Result, proxy: Proxy, stop: Callable[[], Any], go_on: Callable[[], Any]
) -> None:
    away_ms = AWAY_LEASES * fleet.scale.lease_ms
    async with Listener(_server(fleet).url, fleet.keys, fleet.pairs) as reader:
        await until(lambda: reader.all_live, "the reader to have every book live", fleet.scale.settle_s)
        at = fleet.look_aside()
        await stop()
        try:
            await until(lambda: reader.none_live, "the reader to be told that no book is live", away_ms / 1000)
            result.measure("told_stale_ms", reader.last_change_ms() - at.mono_ms, TOLD_MS)
            await asyncio.sleep(max(0.0, away_ms - (clock.mono_ms() - at.mono_ms)) / 1000)
        finally:
            await go_on()
        back_ms = clock.mono_ms()
        await back(fleet, result, back_ms)
        await until(lambda: reader.all_live, "the reader to have every book live again", fleet.scale.settle_s)
        result.measure("reader_live_ms", reader.last_change_ms() - back_ms)
    await fleet.calm()
    await _stayed_up(fleet, result, proxy, at, back_ms)


async def back(fleet: ChaosFleet, result: Result, back_ms: float) -> None:
    """Measure from the return of Redis on: every daemon has beaten, every pair is owned, every book live."""
    server_ms = await _server_ms(fleet)

    async def all_beat() -> bool:
        beats: Any = await fleet.redis.zrange(fleet.keys.members(), 0, -1, withscores=True)
        by_member = {member.decode(): at_ms for member, at_ms in beats}
        return all(by_member.get(daemon.identity, 0) >= server_ms for daemon in fleet.running)

    await until(all_beat, "every daemon to beat again", fleet.scale.settle_s)
    result.measure("reconnected_ms", clock.mono_ms() - back_ms, RECONNECTED_MS)
    await until(
        lambda: len(fleet.watcher.owners) == len(fleet.pairs) and fleet.watcher.seen_since(back_ms),
        "an owner of every pair", fleet.scale.settle_s,
    )  # fmt: skip
    result.measure("owned_ms", clock.mono_ms() - back_ms, REBUILT_MS)
    await fleet.wait_live()
    result.measure("live_ms", clock.mono_ms() - back_ms)


async def _server_ms(fleet: ChaosFleet) -> int:
    answer: list[tuple[int, int]] = []

    async def answers() -> bool:
        try:
            answer.append(await fleet.redis.time())
        except (RedisError, OSError):  # our own connections are among those that broke
            return False
        return True

    await until(answers, "Redis to tell the time", fleet.scale.settle_s)
    seconds, micros = answer[-1]
    return seconds * 1000 + micros // 1000


async def _stayed_up(fleet: ChaosFleet, result: Result, proxy: Proxy, at: Moment, back_ms: float) -> None:
    """Nobody ended, and nobody hammered a Redis that was away, or that came back."""
    if back_ms > at.mono_ms:  # else it was never away
        await asyncio.sleep(max(0.0, back_ms + BEHIND_MS - clock.mono_ms()) / 1000)
    end_ms = min(clock.mono_ms(), back_ms + BEHIND_MS)
    result.violations += [f"{one.name} ended: {one.last_words()}" for one in fleet.daemons if not one.is_running]
    for daemon in fleet.daemons:
        stats = await proxy.stats(door_of(daemon))
        tried = sum(at.mono_ms <= ms < end_ms for ms in stats.accepted_at_ms)
        away_s, all_s = (back_ms - at.mono_ms) / 1000, (end_ms - at.mono_ms) / 1000
        # behind a short outage each connection is opened anew all the same, once, and one is tried while nobody listens
        most = CONNECTS_A_SECOND * max(1.0, (MOST_CONNECTIONS + 1 + away_s) / all_s)
        result.measure("connects_a_second", tried / all_s, most)
        worst = stats.most_within(1000, after_ms=at.mono_ms)
        result.measure("connects_in_the_worst_second", worst, MOST_CONNECTIONS + 1)


# ── emptied ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def redis_flush(scale: Scale, seed: int) -> Result:
    """FLUSHALL: owners are there again within 10 s, all books by themselves, and nobody writes under an old token."""
    async with behind_doors("redis-flush", scale, seed) as (fleet, result, proxy):
        await flush(fleet, result, proxy)
    return result


async def redis_empty(scale: Scale, seed: int) -> Result:
    """SIGKILL Redis and start it empty: as redis-flush, and its scripts are gone too."""
    async with behind_doors("redis-empty", scale, seed) as (fleet, result, proxy):
        await restart_empty(fleet, result, proxy)
    return result


async def flush(fleet: ChaosFleet, result: Result, proxy: Proxy) -> None:
    """FLUSHALL, until all is there again."""
    at = fleet.look_aside()
    await fleet.redis.flushall()
    await _rebuilt(fleet, result, at.mono_ms)
    await _stayed_up(fleet, result, proxy, at, at.mono_ms)


async def restart_empty(fleet: ChaosFleet, result: Result, proxy: Proxy) -> None:
    """A server that ends and begins with nothing, until all is there again."""
    at = fleet.look_aside()
    await _server(fleet).kill()
    await _server(fleet).start()
    back_ms = clock.mono_ms()
    await _rebuilt(fleet, result, back_ms)
    await _stayed_up(fleet, result, proxy, at, back_ms)


async def _rebuilt(fleet: ChaosFleet, result: Result, back_ms: float) -> None:
    await back(fleet, result, back_ms)
    await fleet.calm()

    async def told() -> bool:
        return bool(await fleet.redis.exists(fleet.keys.layout()))

    await until(told, "the layout of the fleet to stand in Redis again", fleet.scale.settle_s)


# ── slow ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def redis_slow(scale: Scale, seed: int) -> Result:
    """Redis is 100 ms ± 50 slow and stalls for 2 s again and again: no pair changes hands. One cut off stops by its clock."""
    async with behind_doors("redis-slow", scale, seed) as (fleet, result, proxy):
        delay_ms, stall_ms = DELAY_LEASES * scale.lease_ms / 2, STALL_LEASES * scale.lease_ms
        is_small = scale.lease_ms < 4000
        period_ms = (SMALL_PERIOD_LEASES if is_small else FULL_PERIOD_LEASES) * scale.lease_ms
        jitter_ms = delay_ms / 2
        slow: dict[str, Any] = {"up_ms": delay_ms, "down_ms": delay_ms} | dict.fromkeys(JITTERS, jitter_ms)
        at = fleet.look_aside()
        await proxy.behave(**slow, stall_ms=stall_ms, stall_every_ms=period_ms)
        await asyncio.sleep((2.5 if is_small else 15.5) * period_ms / 1000)  # the last stall shows what it did
        result.measure("false_failovers", _failovers(fleet, at), 0)
        await proxy.behave(**slow)
        await fleet.wait_live()
        await _own_clock(fleet, result, proxy)
        await proxy.behave()
    return result


def _failovers(fleet: ChaosFleet, at: Moment) -> int:
    """Pairs that another took after their owner's lease had run out; a move that the owner agreed to is none."""
    expired = {
        (fact.pair, fact.member)
        for daemon in fleet.daemons
        for fact in fleet.facts(daemon)
        if fact.fact == "lost" and fact.reason == "expired" and fact.mono_ms >= at.mono_ms
    }
    found = 0
    for pair in fleet.pairs:
        former = [one for one in fleet.watcher.holdings[pair] if one.at_ms < at.mono_ms][-1].holder
        for holding in fleet.watcher.changes(pair, at.mono_ms):
            if holding.holder not in (None, former):
                found += (pair.label, former) in expired
                former = holding.holder
    return found


async def _own_clock(fleet: ChaosFleet, result: Result, proxy: Proxy) -> None:
    """A worker whose renewals do not arrive lets go by its own clock, before anybody else can have its pairs."""
    victim = fleet.any_owner()
    tokens, at = fleet.tokens(fleet.owned_by(victim)), fleet.look_aside()

    def held() -> set[str]:
        gone = {fact.pair for fact in fleet.facts(victim) if fact.fact == "lost" and fact.mono_ms >= at.mono_ms}
        return {pair.label for pair in tokens} - gone

    await proxy.behave(door_of(victim), frozen=True)
    try:
        await until(
            lambda: not held(), "the worker that is cut off to let go of its pairs", fleet.scale.settle_s,
            why=lambda: f"it holds {', '.join(held())}",
        )  # fmt: skip
        result.measure("let_go_ms", clock.mono_ms() - at.mono_ms, fleet.scale.lease_ms)
        taken = await fleet.wait_taken_over(tokens, victim, at.mono_ms)
        result.measure("reowned_ms", taken.owned_ms)
    finally:
        await proxy.behave(door_of(victim))
    await fleet.wait_live()
    await fleet.calm()


def _server(fleet: ChaosFleet) -> EmbeddedRedis:
    if fleet.server is None:
        raise RuntimeError("this fault is for a fleet with a server of its own")
    return fleet.server


SCENARIOS = (
    Scenario("redis-stop", 5, redis_stop),
    Scenario("redis-restart", 5, redis_restart),
    Scenario("redis-flush", 7, redis_flush),
    Scenario("redis-empty", 7, redis_empty),
    Scenario("redis-slow", 8, redis_slow),
)
