"""fleet/redis_sockets.py on uvloop, as daemons run: what a socket that breaks at the wrong moment looks like."""

import asyncio

import pytest
import uvloop
from redis.exceptions import ConnectionError as RedisConnectionError

from fleet.config import load
from fleet.redis_connection import connect
from ops.embedded.redis import EmbeddedRedis


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
