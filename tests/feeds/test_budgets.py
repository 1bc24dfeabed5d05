"""Venue limits shared by everybody behind one address."""

import asyncio

import msgspec
import pytest
import redis.asyncio

from feeds.budgets import SHARE, Rate, SharedBudget, rate_of
from feeds.venue import Limits
from fleet.keys import Keys
from tests.support.clients import redis_client

KEYS = Keys()
CONNECT, REST = "somewhere:spot:connect", "somewhere:spot:rest"


def limits(connects_per_s: float = 10.0, weight: int = 6000) -> dict[str, Limits]:
    made = Limits(
        topics_per_connection=10, pairs_per_connection=10, topics_per_request=10, request_bytes=1000,
        requests_per_s=1.0, connects_per_s=connects_per_s, rest_weight_per_minute=weight,
    )  # fmt: skip
    return {"somewhere:spot": made}


def budget(client: redis.asyncio.Redis, egress: str = "host", **options: float) -> SharedBudget:
    return SharedBudget(client, KEYS, egress, limits(**options))


def test_a_full_bucket_and_a_minutes_refill_stay_below_the_venues_limit():
    rate = rate_of(limits(weight=6000)["somewhere:spot"], "rest")
    assert rate.capacity + 60 * rate.refill_per_s <= 6000 * SHARE
    assert rate.capacity + 60 * rate.refill_per_s == pytest.approx(6000 * SHARE)


@pytest.mark.parametrize("window_ms", [1_000, 2_000, 5_000, 30_000, 60_000])
def test_no_window_of_a_venue_ever_holds_more_than_its_limit(window_ms: int):
    one = msgspec.structs.replace(limits(weight=300)["somewhere:spot"], rest_window_ms=window_ms)
    rate, most = rate_of(one, "rest"), 300 * window_ms / 60_000
    assert rate.capacity + rate.refill_per_s * window_ms / 1000 <= most
    assert rate.refill_per_s > 0


@pytest.mark.parametrize("per_s", [1.0, 2.0, 3.0, 10.0])
def test_connects_never_exceed_the_limit_in_any_second(per_s: float):
    rate = rate_of(limits(connects_per_s=per_s)["somewhere:spot"], "connect")
    tokens, taken = rate.capacity, []
    for ms in range(10_000):
        tokens = min(rate.capacity, tokens + rate.refill_per_s / 1000)
        if tokens >= 1.0:
            tokens -= 1.0
            taken.append(ms)
    assert max(sum(start <= ms < start + 1000 for ms in taken) for start in taken) <= per_s
    assert len(taken) >= 9 * per_s * SHARE


def test_a_slow_venue_still_allows_one_connect_at_once():
    assert rate_of(limits(connects_per_s=0.1)["somewhere:spot"], "connect") == Rate(1.0, 0.1 * SHARE)


async def test_what_one_daemon_has_spent_the_other_has_not(redis):
    one, other = budget(redis, weight=100), budget(redis, weight=100)
    await one.take(REST, 60)  # the whole bucket; half a unit comes back a second
    assert (one.waits, other.waits) == (0, 0)
    await other.take(REST, 0.5)
    assert (one.waits, other.waits >= 1) == (0, True)


async def test_another_address_has_a_budget_of_its_own(redis):
    one, elsewhere = budget(redis), budget(redis, egress="elsewhere")
    await one.take(REST, 3600)
    await elsewhere.take(REST, 3600)
    assert elsewhere.waits == 0


async def test_a_request_heavier_than_the_bucket_is_granted_once_it_is_full(redis):
    await budget(redis, weight=60).take(REST, 50)  # the bucket holds 36


async def test_a_ban_holds_for_everybody_and_is_told_once(redis, caplog):
    one, other = budget(redis), budget(redis)
    await one.ban(CONNECT, 300)
    started = asyncio.get_running_loop().time()
    await other.take(CONNECT, 1)
    assert other.waits >= 1
    assert asyncio.get_running_loop().time() - started >= 0.25
    assert caplog.text.count("the venue has banned us") == 1


async def test_while_redis_is_away_nobody_may_spend(own_redis, wait_until, caplog):
    server = await own_redis()
    async with redis_client(server.url) as client:
        taker = budget(client)
        await taker.take(CONNECT, 1)
        await server.kill()
        await taker.ban(CONNECT, 1000)  # a word that is lost costs one more 429
        assert "could not be shared" in caplog.text
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(taker.take(CONNECT, 1))
            await wait_until(lambda: "Redis does not answer" in caplog.text, "the outage to be told")
            assert not waiting.done()
            await server.start()
            await asyncio.wait_for(waiting, 20)
