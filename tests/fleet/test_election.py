"""fleet/election.py on a real server, with a clock moved by hand."""

import asyncio

import pytest
import redis.asyncio

from fleet.config import load
from fleet.election import Election
from fleet.keys import Keys
from fleet.redis_connection import connect

LEASE_MS = 4000


class Clock:
    now_ms = 0.0

    def __call__(self) -> float:
        return self.now_ms


def election(client: redis.asyncio.Redis, member: str, clock: Clock) -> Election:
    return Election(client, Keys(), member=member, lease_ms=LEASE_MS, mono_ms=clock)


async def test_one_leads_and_the_other_knows_it(redis: redis.asyncio.Redis) -> None:
    clock = Clock()
    one, two = election(redis, "a", clock), election(redis, "b", clock)
    assert await one.ask()
    assert not await two.ask()
    assert (two.leader, two.term) == ("a", one.term)


async def test_a_leader_that_cannot_prove_it_stops_by_its_own_clock(redis: redis.asyncio.Redis) -> None:
    clock = Clock()
    one = election(redis, "a", clock)
    await one.ask()
    clock.now_ms = LEASE_MS * 3 / 4 - 1
    assert one.is_leader
    clock.now_ms = LEASE_MS * 3 / 4
    assert not one.is_leader
    assert await one.ask()  # the key is still there and ours: the same term goes on


async def test_a_resigned_leader_is_followed_at_once_under_a_higher_term(redis: redis.asyncio.Redis) -> None:
    clock = Clock()
    one, two = election(redis, "a", clock), election(redis, "b", clock)
    await one.ask()
    await one.resign()
    assert not one.is_leader
    assert await two.ask()
    assert two.term > one.term
    await one.resign()  # a follower's resignation takes nothing away
    assert await two.ask()


async def test_it_survives_an_outage_and_counts_it(own_redis, wait_until) -> None:
    server = await own_redis()
    client = redis.asyncio.Redis.from_url(server.url)
    one = Election(client, Keys(), member="a", lease_ms=500, mono_ms=Clock())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(one.run())
        await wait_until(lambda: one.is_leader, "the first term")
        await server.kill()
        await wait_until(lambda: one.failures >= 2, "two failures")
        await server.start()
        await wait_until(lambda: one.failures == 0 and one.is_leader, "leading again")
        task.cancel()
    await client.aclose()


async def test_terms_only_grow_whoever_leads_and_over_a_flush(redis: redis.asyncio.Redis) -> None:
    clock = Clock()
    members = [election(redis, name, clock) for name in "abc"]
    terms = []
    for turn in range(9):
        member = members[turn % 3]
        assert await member.ask()
        terms.append(member.term)
        for other in members:
            await other.ask()
        if turn == 4:
            await redis.flushdb()
            clock.now_ms += LEASE_MS
        else:
            await member.resign()
    assert terms == sorted(set(terms))


async def test_one_that_stands_aside_leads_again_only_when_nobody_else_does(redis: redis.asyncio.Redis) -> None:
    clock = Clock()
    one, two = election(redis, "a", clock), election(redis, "b", clock)
    await one.ask()
    await one.stand_aside()
    assert not await one.ask()
    assert await two.ask()
    assert not await one.ask()
    assert (one.leader, one.term) == ("b", two.term)
    await two.resign()
    assert not await one.ask()
    clock.now_ms += LEASE_MS - 1
    assert not await one.ask()
    clock.now_ms += 1
    assert await one.ask()  # a leader that takes no pairs is better than none
    assert await one.ask()
    one.stand_again()
    assert await one.ask()


async def test_one_that_stands_again_stands_at_once(redis: redis.asyncio.Redis) -> None:
    one = election(redis, "a", Clock())
    await one.stand_aside()
    assert not await one.ask()
    one.stand_again()
    assert await one.ask()


async def test_an_answer_under_way_does_not_make_a_leader_of_one_that_resigns(redis: redis.asyncio.Redis) -> None:
    one = election(redis, "a", Clock())
    async with asyncio.TaskGroup() as group:
        group.create_task(one.ask())
        await asyncio.sleep(0)
        group.create_task(one.stand_aside())
    assert not one.is_leader
    assert await redis.get(Keys().leader()) is None


async def test_a_leader_that_stops_does_not_wait_for_a_redis_that_is_silent(own_redis, monkeypatch) -> None:
    monkeypatch.setattr("fleet.election.RESIGN_S", 0.05)
    server = await own_redis()
    client = connect(load(environ={"FLEET_REDIS_URL": server.url}))
    one = election(client, "a", Clock())
    await one.ask()
    server.pause()
    try:
        with pytest.raises(TimeoutError):  # not redis-py's, which is another and comes after five seconds
            await one.resign()
        assert not one.is_leader
    finally:
        server.resume()
    await client.aclose()
