"""A failover of Redis that loses what was written last, owners included."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from redis.asyncio import Redis

from books.store import standing
from fleet import clock
from fleet.config import load
from fleet.redis_connection import connect
from ops.chaos.fleet import ChaosFleet
from ops.chaos.ground import Moment
from ops.chaos.history import Fact
from ops.chaos.late import until
from ops.chaos.proxy_process import LOOPBACK, Proxy
from ops.chaos.result import Result
from ops.chaos.scale import Scale
from ops.chaos.scenario import Scenario
from ops.chaos.scenarios.redis import back, url_of
from ops.chaos.stage import staged
from ops.embedded.redis import EmbeddedRedis

LOST_MS = 2000.0  # what a failover loses
AT_ONCE: Mapping[str, str] = {"repl-diskless-sync-delay": "0"}  # a replica is not let wait for others


async def redis_failover(scale: Scale, seed: int) -> Result:
    """The primary dies, its replica lacks the last 2 s and the owner changes in them: no token twice, no conflicting write."""
    async with copied("redis-failover", scale, seed) as (fleet, result, pair):
        await fail_over(fleet, result, pair)
    return result


class Copied(NamedTuple):
    """A primary and its replica, and the doors between everybody and them."""

    primary: EmbeddedRedis
    replica: EmbeddedRedis
    proxy: Proxy


@asynccontextmanager
async def copied(
    name: str, scale: Scale, seed: int, **options: Any
) -> AsyncIterator[tuple[ChaosFleet, Result, Copied]]:
    """A staged fleet without daemons on a Redis with a replica."""
    with TemporaryDirectory(prefix="fleet-chaos-") as scratch:
        folder = Path(scratch)
        async with Proxy(folder, seed=seed) as proxy, EmbeddedRedis(folder / "primary", settings=AT_ONCE) as primary:
            port = await proxy.open("copy", primary.port)
            settings = {**AT_ONCE, "replicaof": f"{LOOPBACK} {port}"}
            async with EmbeddedRedis(folder / "replica", settings=settings) as replica:
                seen = url_of(await proxy.open("seen", primary.port))
                used = url_of(await proxy.open("used", primary.port))
                async with staged(name, scale, seed, redis_url=seen, daemon_redis_url=used, **options) as staging:
                    yield *staging, Copied(primary, replica, proxy)


async def nothing_more(_copy: Redis) -> None:
    """What `fail_over` waits for by default."""


async def fail_over(
    fleet: ChaosFleet, result: Result, servers: Copied, ready: Callable[[Redis], Awaitable[None]] = nothing_more
) -> None:
    """Start the daemons, change owners while nothing is copied any more, kill the primary; until all is well on the other.

    `ready` is awaited before the kill, with a client of the server that is to serve next.
    """
    primary, replica, proxy = servers
    new = connect(load(environ={"FLEET_REDIS_URL": replica.url}), name="fleet-chaos")

    async def follows() -> bool:
        state: dict[str, Any] = await new.info("replication")
        return state.get("master_link_status") == "up"

    try:
        await until(follows, "the replica to follow the primary", fleet.scale.settle_s)
        await fleet.start()
        victim = fleet.any_owner()
        tokens, at = fleet.tokens(fleet.owned_by(victim)), fleet.look_aside()
        await victim.kill()
        # its leases end within what is lost, so that the new server does not know the new owners
        await asyncio.sleep(max(0.0, fleet.scale.lease_ms - LOST_MS * 0.5) / 1000)
        await proxy.behave("copy", frozen=True)
        await asyncio.sleep(LOST_MS / 1000)
        await fleet.recorded()
        await ready(new)
        ahead = await standing(fleet.redis, fleet.keys, fleet.pairs)
        moved = [pair for pair in tokens if fleet.owner_of(pair) not in (victim, None)]
        await primary.kill()
        await proxy.cut("copy")
        lost_ms = clock.mono_ms()
        await new.replicaof("NO", "ONE")
        behind = await standing(new, fleet.keys, fleet.pairs)
        for door in ("seen", "used"):
            await proxy.target(door, replica.port)
        await proxy.cut("used")
        await proxy.cut("seen")
        await back(fleet, result, lost_ms)
        await fleet.calm()
        lost = 0
        for pair, (cell, _) in ahead.items():
            copy = behind[pair][0]
            if cell is None or copy is None:
                result.violations.append(f"the fault was none: {pair} stands at {cell}, and in the copy at {copy}")
            else:
                lost += cell.n - copy.n
        if not lost or not moved:
            result.violations.append(f"the fault was none: {lost} entries and {len(moved)} owner changes were lost")
        result.notes.append(f"the new server lacked the last {lost} entries")
        result.notes.append(f"{len(moved)} of {len(tokens)} pairs had new owners that the new server did not know")
        await _one_owner_at_a_time(fleet, result, at)
    finally:
        await new.aclose()


async def _one_owner_at_a_time(fleet: ChaosFleet, result: Result, at: Moment) -> None:
    """By the daemons' own words: how long after somebody's grant the one before him still had writes accepted or the lease."""
    by_pair: dict[str, list[Fact]] = defaultdict(list)
    for daemon in fleet.daemons:
        for fact in fleet.facts(daemon):
            by_pair[fact.pair].append(fact)
    facts = 0
    for told in by_pair.values():
        told.sort(key=lambda fact: fact.mono_ms)
        facts += len(told)
        for grant in (one for one in told if one.fact == "granted" and one.mono_ms >= at.mono_ms):
            double_ms = max(
                (one.mono_ms - grant.mono_ms for one in told
                 if one.fact in ("accepted", "lost") and one.member != grant.member and one.token < grant.token),
                default=0.0,
            )  # fmt: skip
            result.measure("double_ownership_ms", max(0.0, double_ms), fleet.scale.lease_ms)
    if not facts:
        result.notes.append("the daemons wrote no evidence: who believed to own what is judged by the stream alone")


SCENARIOS = (Scenario("redis-failover", 6, redis_failover),)
