"""Faults of Redis while daemons keep history: afterwards ClickHouse has every entry of the streams once, and says what is void.

Each is a scenario of redis.py or failover.py with a ClickHouse of its own beside it (the wheel of `fleet[embedded]`).
"""

from collections.abc import Awaitable, Callable

from redis.asyncio import Redis

from ops.chaos.fleet import ChaosFleet
from ops.chaos.late import until
from ops.chaos.proxy_process import Proxy
from ops.chaos.result import Result
from ops.chaos.scale import Scale
from ops.chaos.scenario import Scenario
from ops.chaos.scenarios.failover import copied, fail_over
from ops.chaos.scenarios.redis import behind_doors, flush, restart_empty
from ops.chaos.stored import POLL_S, Stored


async def redis_failover_history(scale: Scale, seed: int) -> Result:
    """As redis-failover, once part of the tail that will be lost is in ClickHouse: 0 rows doubled, the void ones are named."""
    async with (
        Stored() as stored,
        copied("redis-failover-history", scale, seed, environ=stored.environ) as (fleet, result, servers),
    ):

        async def stored_what_is_lost(copy: Redis) -> None:
            await until(
                lambda: stored.has_lost_tail(fleet, copy),
                "rows of what is about to be lost",
                scale.settle_s,
                poll_s=POLL_S,
            )

        await fail_over(fleet, result, servers, stored_what_is_lost)
        void = await stored.judge(fleet, result)
        if not void:
            result.violations.append("the fault was none: history has nothing that the streams lost")
        result.notes.append(f"{void} stored entries are void: the streams lost them")
    return result


async def redis_flush_history(scale: Scale, seed: int) -> Result:
    """As redis-flush: rows from before stay as they were, every entry of the new streams is stored once, a gap between."""
    return await _keeping("redis-flush-history", scale, seed, flush)


async def redis_empty_history(scale: Scale, seed: int) -> Result:
    """As redis-empty: rows from before stay as they were, every entry of the new streams is stored once, a gap between."""
    return await _keeping("redis-empty-history", scale, seed, restart_empty)


async def _keeping(
    name: str, scale: Scale, seed: int, act: Callable[[ChaosFleet, Result, Proxy], Awaitable[None]]
) -> Result:
    async with (
        Stored() as stored,
        behind_doors(name, scale, seed, environ=stored.environ) as (fleet, result, proxy),
    ):
        await stored.begun(fleet)
        former = await stored.rows()
        await act(fleet, result, proxy)
        void = await stored.judge(fleet, result, former)
        result.notes.append(f"{len(former)} entries were stored before the fault; {void} are in no stream any more")
    return result


SCENARIOS = (
    Scenario("redis-failover-history", 6, redis_failover_history),
    Scenario("redis-flush-history", 7, redis_flush_history),
    Scenario("redis-empty-history", 7, redis_empty_history),
)
