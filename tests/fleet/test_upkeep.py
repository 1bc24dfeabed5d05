"""What the leader does for all: trimmed streams, members mirrored to SQL."""

import asyncio

import pytest
import redis.asyncio

from fleet import clock, scripts, upkeep
from fleet.daemon_state import read_daemon_states
from fleet.election import Election
from fleet.keys import Keys
from fleet.upkeep import Upkeep
from tests.support.clients import answers, redis_client

KEYS = Keys(shards=2)
ME = "host:1:a"


@pytest.fixture(name="redis")
async def cancellable_redis(redis_url):
    async with redis_client(redis_url) as client:
        yield client


def made(client: redis.asyncio.Redis, engine=None, *, member: str = ME, maxlen: int = 1000) -> Upkeep:
    election = Election(client, KEYS, member=member, lease_ms=60_000, mono_ms=clock.mono_ms)
    return Upkeep(client, KEYS, election, engine, stream_maxlen=maxlen)


async def fill(client: redis.asyncio.Redis, stream: str, count: int) -> None:
    for number in range(1, count + 1):
        await client.xadd(stream, {"k": "x"}, id=f"{number}-0")  # from 1970: older than any retention


async def beat(client: redis.asyncio.Redis, member: str, **record: object) -> None:
    from msgspec.json import encode

    from fleet.heartbeat import MemberRecord

    host, pid, _ = member.split(":")
    text = encode(MemberRecord(id=member, host=host, pid=int(pid), roles=("feed",), capacity=7, **record)).decode()
    await scripts.beat(client, KEYS, member=member, record=text, pair_state="{}", ttl_ms=60_000)


async def test_every_stream_of_every_shard_is_trimmed(redis):
    streams = [stream(shard) for shard in range(2) for stream in (KEYS.deltas, KEYS.trades)]
    for stream in streams:
        await fill(redis, stream, 10)
    part = made(redis)
    await part.trim()
    assert [await redis.xlen(stream) for stream in streams] == [0, 0, 0, 0]
    assert (part.trimmed, part.capped) == (40, 0)


async def test_cutting_what_a_reader_still_needs_is_told_with_the_setting(redis, caplog):
    stream = KEYS.deltas(1)
    await fill(redis, stream, 10)
    await redis.xgroup_create(stream, "history", id="0")
    await redis.xreadgroup("history", "worker", {stream: ">"}, count=1)
    part = made(redis, maxlen=4)
    await part.trim()
    assert part.capped == 1
    assert await redis.xlen(stream) <= 4
    assert f"{stream}: longer than FLEET_STREAM_MAXLEN=4" in caplog.text


async def test_members_are_mirrored_and_whoever_is_gone_is_stopped(redis, any_engine):
    part = made(redis, any_engine)
    await beat(redis, ME, pairs=3)
    await beat(redis, "host:2:b", quiet=True)
    await part.mirror()
    [one, other] = await read_daemon_states(any_engine)
    assert (one.daemon_id, one.status, one.config["pairs"], one.config["host"]) == (ME, "running", 3, "host")
    assert (other.daemon_id, other.status) == ("host:2:b", "stopping")
    seconds, _ = await redis.time()
    assert 0 <= seconds * 1000 - one.last_heartbeat_ms <= 60_000
    await redis.zrem(KEYS.members(), "host:2:b")
    await part.mirror()
    assert [state.status for state in await read_daemon_states(any_engine)] == ["running", "stopped"]


async def test_without_sql_there_is_nothing_to_mirror(redis):
    await made(redis).mirror()


async def test_only_the_leader_works(redis, monkeypatch, wait_until):
    monkeypatch.setattr(upkeep, "PERIOD_S", 0.01)
    leader, follower = made(redis), made(redis, member="host:2:b")
    await leader._election.ask()
    await follower._election.ask()
    stream = KEYS.deltas(0)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(part.run()) for part in (leader, follower)]
        for number in range(1, 4):
            await redis.xadd(stream, {"k": "x"}, id=f"{number}-0")
            await wait_until(lambda number=number: leader.trimmed == number, f"{number} entries trimmed")
        for task in tasks:
            task.cancel()
    assert follower.trimmed == 0


async def test_trouble_is_told_once_an_outage_and_survived(own_redis, sqlite_engine, monkeypatch, wait_until, caplog):
    monkeypatch.setattr(upkeep, "PERIOD_S", 0.01)
    server = await own_redis()
    async with redis_client(server.url) as client:
        part = made(client, sqlite_engine)
        await part._election.ask()
        for outage in (1, 2):
            async with asyncio.TaskGroup() as group:
                task = group.create_task(part.run())
                await server.kill()
                await wait_until(
                    lambda n=outage: caplog.text.count("trimming: ") == n, f"outage {outage} to be told", 20
                )
                await wait_until(
                    lambda n=outage: caplog.text.count("DAEMON_STATE: ") == n, f"outage {outage} again", 20
                )
                await server.start()
                await wait_until(lambda: answers(client), "the client to try again", 20)
                await client.xadd(KEYS.deltas(0), {"k": "x"}, id="1-0")
                before = part.trimmed
                await wait_until(lambda before=before: part.trimmed > before, "trimming to go on", 20)
                await wait_until(lambda: not part._failing, "the end of the outage", 20)
                task.cancel()
        assert caplog.text.count("trimming: ") == 2


@pytest.mark.parametrize("verb", ["quiet", "stop"])
async def test_there_is_nothing_to_hand_over(redis, verb):
    part = made(redis)
    await (part.quiet() if verb == "quiet" else part.stop(0.0))
