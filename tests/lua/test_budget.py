"""lua/budget.lua on a real server. Time is moved by moving the bucket's own time back."""

import pytest

from fleet import scripts
from fleet.scripts import Refused
from tests.support.desk import Desk


async def spend(desk: Desk, cost: float, capacity: float = 10, refill_per_s: float = 0.001) -> Refused | None:
    return await scripts.spend(
        desk.connection, bucket="bucket", capacity=capacity, refill_per_s=refill_per_s, cost=cost
    )


async def ban(desk: Desk, ban_ms: int) -> int:
    return await scripts.record_ban(desk.connection, bucket="bucket", capacity=10, refill_per_s=0.001, ban_ms=ban_ms)


async def test_a_full_bucket_grants_its_capacity_and_then_says_how_long_to_wait(desk: Desk) -> None:
    assert await spend(desk, 7) is None
    assert await spend(desk, 3) is None
    refused = await spend(desk, 2)
    assert refused is not None
    assert not refused.banned
    assert 1_990_000 < refused.wait_ms <= 2_000_000


async def test_a_refusal_takes_nothing(desk: Desk) -> None:
    assert await spend(desk, 7) is None
    assert await spend(desk, 5) is not None
    assert await spend(desk, 3) is None


async def test_tokens_come_back_with_time_up_to_the_capacity(desk: Desk) -> None:
    await spend(desk, 10)
    at_ms = int(await desk.redis.hget("bucket", "at_ms"))
    await desk.redis.hset("bucket", "at_ms", at_ms - 4_000_000)
    assert await spend(desk, 4) is None
    assert await spend(desk, 1) is not None
    await desk.redis.hset("bucket", "at_ms", 1)
    assert await spend(desk, 10) is None
    assert await spend(desk, 1) is not None


async def test_a_clock_that_went_back_neither_refills_nor_loses(desk: Desk) -> None:
    await spend(desk, 4)
    at_ms = int(await desk.redis.hget("bucket", "at_ms"))
    await desk.redis.hset("bucket", "at_ms", at_ms + 4_000_000)
    assert await spend(desk, 7) is not None
    assert await spend(desk, 6) is None


async def test_a_ban_stops_everybody_and_is_never_shortened(desk: Desk) -> None:
    assert 59_000 < await ban(desk, 60_000) <= 60_000
    assert 59_000 < await ban(desk, 1000) <= 60_000
    refused = await spend(desk, 1)
    assert refused is not None
    assert refused.banned
    assert 59_000 < refused.wait_ms <= 60_000
    await desk.redis.hset("bucket", "banned_until_ms", 1)
    assert await spend(desk, 10) is None  # the ban cost no tokens


async def test_a_bucket_expires_when_it_is_full_again_but_not_before_the_ban_ends(desk: Desk) -> None:
    await spend(desk, 1, refill_per_s=1)
    assert 1000 < await desk.redis.pttl("bucket") <= 2000
    await ban(desk, 60_000)
    assert await desk.redis.pttl("bucket") > 60_000


async def test_what_could_never_be_granted_is_refused_as_a_mistake(desk: Desk) -> None:
    with pytest.raises(ValueError, match="never be granted"):
        await spend(desk, 11)
    with pytest.raises(ValueError, match="never be granted"):
        await spend(desk, 1, refill_per_s=0)
