"""fleet/redis_pool.py on real servers: so many connections and no more, whoever waits, is cancelled or finds nobody there."""

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest
import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from fleet import redis_connection
from fleet.config import load
from fleet.connect_pace import ConnectPace
from fleet.redis_connection import connect
from ops.chaos.proxy_process import Proxy
from ops.embedded.redis import EmbeddedRedis
from tests.support.waiting import wait_until

NAME = "fleet-bounded"


def bounded(url: str, most: int) -> redis.asyncio.Redis:
    return connect(load(environ={"FLEET_REDIS_URL": url}), name=NAME, most=most)


async def opened(client: redis.asyncio.Redis) -> int:
    """How many connections a server has had since it began."""
    return int((await client.info("stats"))["total_connections_received"])


async def all_work(client: redis.asyncio.Redis, most: int) -> None:
    """As many commands at once as there are connections, each of which is needed: no place is lost."""
    meeting = asyncio.Barrier(most)

    async def one() -> None:
        connection = await client.connection_pool.get_connection()
        try:
            await meeting.wait()
        finally:
            await client.connection_pool.release(connection)

    async with asyncio.timeout(60):
        await asyncio.gather(*(one() for _ in range(most)))


async def test_a_hundred_commands_at_once_open_no_more_connections_than_they_may(own_redis):
    server = await own_redis()
    client, watcher = bounded(server.url, 4), bounded(server.url, 1)
    before = await opened(watcher)
    assert sorted(await asyncio.gather(*(client.incr("count") for _ in range(100)))) == list(range(1, 101))
    assert await opened(watcher) - before == 4
    await client.aclose()
    await watcher.aclose()


async def test_one_connection_is_enough_for_scripts_pipelines_and_transactions_at_once(own_redis):
    """Nothing takes a connection while it has one: with a single one that would wait for itself."""
    server = await own_redis()
    client = bounded(server.url, 1)

    async def piped(transaction: bool) -> None:
        async with client.pipeline(transaction=transaction) as pipe:
            pipe.incr("count")
            pipe.get("count")
            await pipe.execute()

    async with asyncio.timeout(60):
        await asyncio.gather(*(piped(bool(number % 2)) for number in range(20)), *(client.ping() for _ in range(20)))
        assert [key async for key in client.scan_iter()] == [b"count"]
    await client.aclose()


async def test_who_finds_no_connection_free_in_time_is_told_so(redis_url, monkeypatch):
    monkeypatch.setattr(redis_connection, "SOCKET_TIMEOUT_S", 0.05)
    client = bounded(redis_url, 1)
    held = await client.connection_pool.get_connection()
    with pytest.raises(RedisConnectionError, match=r"all 1 connections were in use for 0\.05 s; Redis is slow or away"):
        await client.ping()
    await client.connection_pool.release(held)
    assert await client.ping()
    await client.aclose()


async def test_a_waiter_that_is_cancelled_as_its_turn_comes_passes_it_on(redis_url):
    client = bounded(redis_url, 1)
    pool = client.connection_pool
    loop = asyncio.get_running_loop()
    for turns in range(6):
        held = await pool.get_connection()
        first = loop.create_task(pool.get_connection())
        second = loop.create_task(client.ping())
        await wait_until(lambda: len(pool._places._waiters or ()) == 2, "both to wait", 10)
        await pool.release(held)
        for _ in range(turns):
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        if not first.cancelled():
            await pool.release(first.result())
        async with asyncio.timeout(30):
            assert await second
    await client.aclose()


async def test_commands_cancelled_at_any_moment_lose_no_connection_and_mix_up_no_answers(own_redis):
    server = await own_redis()
    client, rng = bounded(server.url, 3), random.Random(7)
    ends: Counter[str] = Counter()

    async def ask(number: int) -> None:
        async with client.pipeline(transaction=number % 3 == 0) as pipe:
            pipe.echo(f"{number} a")
            pipe.echo(f"{number} b")
            assert await pipe.execute() == [f"{number} a".encode(), f"{number} b".encode()]

    for _ in range(60):
        tasks = [asyncio.get_running_loop().create_task(ask(number)) for number in range(30)]
        for task in rng.sample(tasks, 20):
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)
            task.cancel()
            if rng.random() < 0.2:
                task.cancel()
        await asyncio.wait(tasks)
        ends.update("cancelled" if task.cancelled() else "answered" for task in tasks)
        assert not [task for task in tasks if not task.cancelled() and task.exception()]
    assert ends["cancelled"] > 100, "or this has shown nothing"
    assert ends["answered"] > 100
    await wait_until(lambda: not client.connection_pool._in_use_connections, "every connection to be given back", 30)
    await all_work(client, 3)
    await client.aclose()


async def test_all_who_wait_hear_at_once_that_the_server_is_away(own_redis, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(redis_connection, "SOCKET_TIMEOUT_S", 60.0)  # none of them is told by this
    server = await own_redis()
    async with Proxy(tmp_path) as proxy:
        port = await proxy.open("client", server.port)
        client = bounded(f"redis://127.0.0.1:{port}/0", 4)
        assert await asyncio.gather(*(client.ping() for _ in range(10)))
        await proxy.target("client", 1)  # nobody listens there
        await proxy.cut("client")
        before = (await proxy.stats("client")).accepted
        failed = await asyncio.gather(*(client.ping() for _ in range(100)), return_exceptions=True)
        assert all(isinstance(one, RedisError | OSError) for one in failed)
        tried = (await proxy.stats("client")).accepted - before
        assert tried <= 3, "one attempt tells all of them; a slow machine may see a pause's end"
        await proxy.target("client", server.port)

        async def answers() -> bool:
            try:
                return bool(await client.ping())
            except (RedisError, OSError):
                return False

        await wait_until(answers, "the client to be back", 60)
        await all_work(client, 4)
        await client.aclose()


async def test_behind_sentinels_the_primary_sees_no_more_connections_than_it_may(own_sentinel):
    behind = await own_sentinel()
    client = connect(load(environ={"FLEET_REDIS_URL": behind.url}), name=NAME, most=3)
    await asyncio.gather(*(client.incr("count") for _ in range(60)))
    assert await client.get("count") == b"60"
    assert sum(row["name"] == NAME for row in await client.client_list()) == 3
    await client.aclose()


async def test_on_a_cluster_every_node_sees_no_more_connections_than_it_may(cluster):
    client = connect(load(environ={"FLEET_REDIS_URL": cluster.url}), name=NAME, most=3)
    await asyncio.gather(*(client.incr(f"count {number}") for number in range(120)))
    seen = [
        sum(row["name"] == NAME for row in await node.client_list()) for node in (await client.primaries()).values()
    ]
    assert max(seen) == 3
    await client.aclose()


def test_clients_that_share_their_paces_share_them_by_server():
    paces = redis_connection.own_paces()
    settings = load(environ={"FLEET_REDIS_URL": "redis://127.0.0.1:1/0"})
    clients = [connect(settings, name=name, paces=paces) for name in ("a", "b")]
    of = [client.connection_pool.connection_kwargs["pace"] for client in clients]
    assert isinstance(of[0], ConnectPace)
    assert of[0] is of[1] is paces.of("redis://127.0.0.1:1/0")
    assert paces.of("redis://127.0.0.1:2/0") is not of[0]
    assert connect(settings).connection_pool.connection_kwargs["pace"] is not of[0]


async def test_an_idle_pool_of_a_server_that_ended_is_of_use_to_its_successor(own_redis):
    server: EmbeddedRedis = await own_redis()
    client = bounded(server.url, 2)
    await asyncio.gather(*(client.ping() for _ in range(5)))
    await server.kill()
    await server.start()
    assert await client.ping()
    await all_work(client, 2)
    await client.aclose()
