"""fleet/heartbeat.py on a real server."""

import asyncio
import logging
from random import Random

import pytest
import redis.asyncio

from fleet import scripts
from fleet.config import load
from fleet.heartbeat import Heartbeat, MemberRecord, make_identity, read_members, read_pair_states, send_command
from fleet.keys import Keys
from fleet.redis_connection import connect
from tests.support.waiting import wait_until


class Member:
    """A daemon as its heartbeat sees it."""

    def __init__(self, client: redis.asyncio.Redis, member: str) -> None:
        self.commands: list[str] = []
        self.vanished = 0
        self.record = MemberRecord(id=member, host="host", pid=1, roles=("feed",), capacity=500, version="0.1.0")
        self.heartbeat = Heartbeat(
            client,
            Keys(),
            record=lambda: self.record,
            pair_states=lambda: {"binance:spot:BTC/USDT": {"rate": 1.5}},
            on_command=self.commands.append,
            on_vanished=self.on_vanished,
        )

    def on_vanished(self) -> None:
        self.vanished += 1


async def test_members_are_read_as_they_described_themselves(redis: redis.asyncio.Redis) -> None:
    one, two = Member(redis, "host:2:b"), Member(redis, "host:1:a")
    assert await read_members(redis, Keys()) == []
    await one.heartbeat.beat()
    await two.heartbeat.beat()
    assert await read_members(redis, Keys()) == [two.record, one.record]
    assert await read_pair_states(redis, Keys(), "host:1:a") == {"binance:spot:BTC/USDT": {"rate": 1.5}}
    assert await read_pair_states(redis, Keys(), "nobody") == {}


async def test_a_command_reaches_its_daemon_once(redis: redis.asyncio.Redis) -> None:
    one, two = Member(redis, "a"), Member(redis, "b")
    await send_command(redis, Keys(), "a", "quiet")
    await send_command(redis, Keys(), "a", "dump")
    assert await redis.pttl(Keys().commands("a")) > 0
    for member in (two, one, one):
        await member.heartbeat.beat()
    assert (one.commands, two.commands) == (["quiet", "dump"], [])


async def test_a_command_whose_answer_was_lost_comes_with_the_next_beat_and_once(redis: redis.asyncio.Redis) -> None:
    one = Member(redis, "a")
    await send_command(redis, Keys(), "a", "drain")
    await send_command(redis, Keys(), "a", "undrain")
    await scripts.beat(redis, Keys(), member="a", record="{}", pair_state="{}", ttl_ms=5000)  # its answer never arrived
    assert one.commands == []
    await one.heartbeat.beat()
    assert one.commands == ["drain", "undrain"]
    # the beat that says so is carried out, and its answer is lost as well
    await scripts.beat(redis, Keys(), member="a", record="{}", pair_state="{}", ttl_ms=5000, come=("drain", "undrain"))
    await send_command(redis, Keys(), "a", "stop")
    for _ in range(3):
        await one.heartbeat.beat()
    assert one.commands == ["drain", "undrain", "stop"]
    assert not await redis.exists(Keys().commands("a"))


async def test_having_vanished_is_told_but_not_at_the_first_beat(redis: redis.asyncio.Redis) -> None:
    one = Member(redis, "a")
    await one.heartbeat.beat()
    assert one.vanished == 0
    await redis.flushdb()
    await one.heartbeat.beat()
    await one.heartbeat.beat()
    assert one.vanished == 1


async def test_a_member_that_leaves_is_gone_at_once_and_leaves_no_key(redis: redis.asyncio.Redis) -> None:
    one = Member(redis, "a")
    await one.heartbeat.beat()
    await one.heartbeat.leave()
    assert await read_members(redis, Keys()) == []
    assert await redis.keys("*") == []


async def test_an_unreadable_or_expired_record_is_left_out(
    redis: redis.asyncio.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    one = Member(redis, "a")
    await one.heartbeat.beat()
    await redis.zadd(Keys().members(), {"broken": 1, "dead": 2})
    await redis.set(Keys().member("broken"), b'{"id": 7}', px=1000)
    with caplog.at_level(logging.WARNING):
        assert await read_members(redis, Keys()) == [one.record]
    assert "member broken" in caplog.text


async def test_it_survives_an_outage_and_beats_again(own_redis, wait_until) -> None:
    server = await own_redis()
    client = redis.asyncio.Redis.from_url(server.url)
    one = Member(client, "a")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(one.heartbeat.run())
        await wait_until(lambda: client.zcard(Keys().members()), "the first beat")
        await server.kill()
        await wait_until(lambda: one.heartbeat.failures, "a failed beat")
        await server.start()
        await wait_until(lambda: one.heartbeat.failures == 0, "a beat again")
        task.cancel()
    assert one.vanished == 1
    await client.aclose()


def test_an_identity_is_new_for_every_process_and_has_no_spaces() -> None:
    random = Random(1)
    first, second = make_identity("my host:x", 7, random), make_identity("my host:x", 7, random)
    assert first != second
    assert first.startswith("my-host-x:7:")
    assert len(first.split(":")) == 3


async def test_a_beat_that_failed_is_not_waited_out(own_redis, monkeypatch) -> None:
    """The others must hear of us as soon as Redis is back."""
    monkeypatch.setattr("fleet.heartbeat.BEAT_MS", 3_600_000)
    server = await own_redis()
    client = connect(load(environ={"FLEET_REDIS_URL": server.url}))
    one = Member(client, "a")
    await server.kill()
    beating = asyncio.get_running_loop().create_task(one.heartbeat.run())
    await wait_until(lambda: one.heartbeat.failures, "a beat to fail", 60)
    await server.start()
    await wait_until(lambda: one.heartbeat.failures == 0, "a beat that was taken", 60)
    beating.cancel()
    await asyncio.wait([beating])
    await client.aclose()
