"""fleet/connect_pace.py: by its rule on a clock of ours, and as a real client keeps it before a server that is away."""

import asyncio
import itertools
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import pytest
import redis.asyncio
from redis.exceptions import BusyLoadingError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError

from fleet.config import load
from fleet.connect_pace import FIRST_PAUSE_MS, PAUSE_MS, ConnectPace, Paused
from fleet.redis_connection import connect
from ops.chaos.proxy_process import Proxy
from ops.embedded.redis import EmbeddedRedis


class Server:
    """A server to connect to, and the clock."""

    def __init__(self) -> None:
        self.now_ms = 0.0
        self.up = True
        self.attempts = 0
        self.under_way = 0
        self.pace = ConnectPace(mono_ms=lambda: self.now_ms, rng=Random(2))

    async def connect(self) -> bool:
        """Whether it worked; a failure is either the server's or the pause's."""
        try:
            async with self.pace.attempt():
                self.attempts += 1
                self.under_way += 1
                assert self.under_way == 1, "one attempt at a time"
                await asyncio.sleep(0)
                self.under_way -= 1
                if not self.up:
                    raise OSError("connection refused")
        except (OSError, RedisConnectionError):
            return False
        return True


async def away_and_paused() -> Server:
    """One that was found away, and may be tried again now."""
    server = Server()
    server.up = False
    await server.connect()
    server.now_ms = FIRST_PAUSE_MS[1]
    return server


async def test_many_that_want_to_connect_at_once_all_do_while_the_server_answers():
    server = Server()
    assert all(await asyncio.gather(*(server.connect() for _ in range(20))))
    assert server.attempts == 20


async def test_many_that_want_to_connect_at_once_share_one_failure():
    server = Server()
    server.up = False
    assert not any(await asyncio.gather(*(server.connect() for _ in range(20))))
    assert server.attempts == 1


async def test_between_two_attempts_at_a_server_that_is_away_lies_a_pause_of_its_own_length():
    server = Server()
    server.up = False
    tried_at_ms = []
    for server.now_ms in range(0, 60_000, 10):
        before = server.attempts
        await server.connect()
        if server.attempts > before:
            tried_at_ms.append(server.now_ms)
    pauses = [later - earlier for earlier, later in itertools.pairwise(tried_at_ms)]
    assert FIRST_PAUSE_MS[0] <= pauses[0] <= FIRST_PAUSE_MS[1] + 10
    assert all(PAUSE_MS[0] <= pause <= PAUSE_MS[1] + 10 for pause in pauses[1:])
    assert len(set(pauses)) > 10, "jitter: a fleet must not come back in step"


async def test_once_the_server_is_back_everybody_connects_after_the_pause():
    server = Server()
    server.up = False
    await server.connect()
    server.up, server.now_ms = True, FIRST_PAUSE_MS[0] - 1
    assert not await server.connect()
    server.now_ms = FIRST_PAUSE_MS[1]
    assert all(await asyncio.gather(*(server.connect() for _ in range(5))))


async def test_a_pause_says_why_and_for_how_long():
    server = Server()
    server.up = False
    await server.connect()
    with pytest.raises(RedisConnectionError, match=r"connection refused \(tried again in 0\.\d s\)"):
        async with server.pace.attempt():
            pass


async def test_a_cancelled_attempt_is_no_failure():
    server = Server()
    with pytest.raises(asyncio.CancelledError):
        async with server.pace.attempt():
            raise asyncio.CancelledError
    assert await server.connect()


async def test_a_server_that_is_loading_its_data_is_left_alone_for_a_while():
    server = Server()
    with pytest.raises(BusyLoadingError):
        async with server.pace.attempt():
            raise BusyLoadingError("LOADING")
    server.now_ms = FIRST_PAUSE_MS[0] - 1
    with pytest.raises(Paused, match="LOADING"):
        async with server.pace.attempt():
            pass
    server.now_ms = FIRST_PAUSE_MS[1]
    assert await server.connect()


async def test_an_attempt_at_a_server_that_was_away_is_the_only_one_of_the_process():
    """In another thread nobody waits for ours: he is told that it is a pause."""
    server = await away_and_paused()
    async with server.pace.attempt():
        assert not await asyncio.to_thread(lambda: asyncio.run(server.connect()))
        assert server.attempts == 1
    server.up = True
    assert await asyncio.to_thread(lambda: asyncio.run(server.connect()))


async def test_an_attempt_broken_off_at_a_server_that_was_away_has_its_pause_too():
    server = await away_and_paused()
    with pytest.raises(asyncio.CancelledError):
        async with server.pace.attempt():
            raise asyncio.CancelledError
    with pytest.raises(Paused):
        async with server.pace.attempt():
            pass


async def test_the_commands_of_a_client_knock_once_a_second_at_a_server_that_is_away(
    redis_server: EmbeddedRedis, tmp_path: Path
):
    async with Proxy(tmp_path) as proxy:
        port = await proxy.open("client", redis_server.port)
        client = connect(load(environ={"FLEET_REDIS_URL": f"redis://127.0.0.1:{port}/0"}))
        assert await asyncio.gather(*(client.ping() for _ in range(10))) == [True] * 10
        await proxy.target("client", 1)  # nobody listens there
        await proxy.cut("client")
        before = (await proxy.stats("client")).accepted
        asked = 0
        while (await proxy.stats("client")).accepted < before + 3:
            answers = await asyncio.gather(*(client.ping() for _ in range(10)), return_exceptions=True)
            assert all(isinstance(answer, RedisError | OSError) for answer in answers)
            asked += len(answers)
            await asyncio.sleep(0.05)
        times = (await proxy.stats("client")).accepted_at_ms[before:]
        assert times[2] - times[0] > (FIRST_PAUSE_MS[0] + PAUSE_MS[0]) * 0.8
        assert asked > 3
        await proxy.target("client", redis_server.port)
        async with asyncio.timeout(20):
            while True:
                try:
                    assert await client.ping()
                    break
                except (RedisError, OSError):
                    await asyncio.sleep(0.05)
        await client.aclose()


async def test_the_commands_of_a_client_knock_once_a_second_at_a_server_that_is_loading(
    new_directory: Callable[[str], Path], tmp_path: Path
):
    settings = {"appendonly": "yes", "aof-use-rdb-preamble": "no"}
    slowly = {"key-load-delay": "200"}  # µs a command; it answers every 1024 commands
    folder = new_directory("loading")
    async with EmbeddedRedis(folder, settings=settings) as server, redis.asyncio.Redis.from_url(server.url) as client:
        pipeline = client.pipeline(transaction=False)
        for number in range(20_000):
            pipeline.set(f"key {number}", 1)
        await pipeline.execute()
    async with Proxy(tmp_path) as proxy, AsyncExitStack() as stack:
        port = await proxy.open("client", server.port)
        client = connect(load(environ={"FLEET_REDIS_URL": f"redis://127.0.0.1:{port}/0"}))
        stack.push_async_callback(client.aclose)
        again = EmbeddedRedis(folder, server.port, settings={**settings, **slowly})
        stack.push_async_callback(again.stop)
        starting = asyncio.create_task(again.start())
        answers: list[object] = []
        async with asyncio.timeout(60):
            while True not in answers[-10:]:
                answers += await asyncio.gather(*(client.ping() for _ in range(10)), return_exceptions=True)
                await asyncio.sleep(0.02)
        await starting
        assert any(isinstance(answer, BusyLoadingError) for answer in answers)
        assert all(answer is True or isinstance(answer, RedisError | OSError) for answer in answers)
        times = (await proxy.stats("client")).accepted_at_ms
        before = times[: -answers[-10:].count(True)]  # the last were served
        assert 1 < len(before) <= 2 + (before[-1] - before[0]) / (PAUSE_MS[0] * 0.7)
