"""Frames that could not be read, in Redis for people to look at."""

import asyncio
import contextlib

import pytest

from feeds.samples import KEPT, LIFE_S, SampleKeeper
from fleet.keys import Keys
from tests.support.clients import answers, redis_client

KEYS = Keys()
KEY = KEYS.samples("somewhere", "spot")


@pytest.fixture(name="redis")
async def cancellable_redis(redis_url):
    async with redis_client(redis_url) as client:
        yield client


@contextlib.asynccontextmanager
async def running(client):
    keeper = SampleKeeper(client, KEYS)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(keeper.run())
        yield keeper
        task.cancel()


async def test_a_sample_is_its_reason_and_its_frame(redis, wait_until, caplog):
    async with running(redis) as keeper:
        keeper.add("somewhere", "spot", b'{"half', "the JSON ends in the middle")
        await wait_until(lambda: redis.llen(KEY), "the sample")
    assert await redis.lrange(KEY, 0, -1) == [b'the JSON ends in the middle\n{"half']
    assert LIFE_S - 60 < await redis.ttl(KEY) <= LIFE_S
    assert "somewhere spot: a frame could not be read: the JSON ends in the middle" in caplog.text


async def test_only_the_newest_are_kept(redis, wait_until):
    async with running(redis) as keeper:
        for number in range(KEPT + 5):
            keeper.add("somewhere", "spot", str(number).encode(), "no JSON")

        async def newest_is_there():
            return await redis.lindex(KEY, 0) == f"no JSON\n{KEPT + 4}".encode()

        await wait_until(newest_is_there, "the newest sample")
    assert await redis.llen(KEY) == KEPT
    assert await redis.lindex(KEY, -1) == b"no JSON\n5"


async def test_a_flood_is_counted_and_not_kept_in_memory(redis, wait_until):
    keeper = SampleKeeper(redis, KEYS)
    for number in range(10_000):
        keeper.add("somewhere", "spot", str(number).encode(), "no JSON")
    assert keeper.taken == 10_000
    assert keeper._waiting.qsize() == 100


async def test_redis_being_away_costs_samples_and_nothing_else(own_redis, wait_until, caplog):
    server = await own_redis()
    async with redis_client(server.url) as client, running(client) as keeper:
        await server.kill()
        keeper.add("somewhere", "spot", b"lost", "no JSON")
        await wait_until(lambda: "a sample was not kept" in caplog.text, "the loss to be told")
        await server.start()
        await wait_until(lambda: answers(client), "the client to try again")
        keeper.add("somewhere", "spot", b"kept", "no JSON")
        await wait_until(lambda: client.llen(KEY), "the next sample")
        assert await client.lrange(KEY, 0, -1) == [b"no JSON\nkept"]
