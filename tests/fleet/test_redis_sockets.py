"""fleet/redis_sockets.py on uvloop, as daemons run: what a socket that breaks at the wrong moment looks like."""

import asyncio
import gc

import pytest
import uvloop
from redis.exceptions import ConnectionError as RedisConnectionError

from fleet.config import load
from fleet.ordered import OrderedConnection
from fleet.redis_connection import connect
from ops.embedded.redis import EmbeddedRedis
from tests.support.waiting import wait_until


def test_a_write_to_a_socket_that_was_just_reset_is_a_lost_connection_and_the_next_one_works(
    redis_server: EmbeddedRedis,
):
    async def run() -> None:
        client = connect(load(environ={"FLEET_REDIS_URL": redis_server.url}))
        connection = await client.connection_pool.get_connection()
        try:
            connection._writer.transport.abort()
            with pytest.raises(RedisConnectionError, match="lost before the command was sent"):
                await connection.send_command("PING")
        finally:
            await client.connection_pool.release(connection)
        assert await client.ping()
        await client.aclose()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def test_a_login_that_is_broken_off_leaves_no_error_that_nobody_hears(own_redis, caplog):
    """A daemon that is told to stop while its Redis stands still."""
    server = await own_redis()
    server.pause()
    try:
        await break_off_a_login(server.url)
        gc.collect()
        await asyncio.sleep(0)
    finally:
        server.resume()
    assert not [record for record in caplog.records if "never retrieved" in record.getMessage()]


async def break_off_a_login(url: str) -> None:
    task = asyncio.get_running_loop().create_task(OrderedConnection(url).connect())
    await wait_until(lambda: "_log_in" in str(task.get_coro().cr_await), "the login to wait", 10)
    task.cancel()
    await asyncio.wait([task])
