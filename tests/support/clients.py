"""Redis clients for tests whose tasks are cancelled: the program's own, which keep a cancellation that redis-py would lose
on Python 3.11 (see fleet/redis_connection.py)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio

from fleet.config import load
from fleet.redis_connection import connect


@asynccontextmanager
async def redis_client(url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A client for the length of the block."""
    client = connect(load(environ={"FLEET_REDIS_URL": url}), name="fleet-test")
    try:
        yield client
    finally:
        await client.aclose()


async def answers(client: redis.asyncio.Redis) -> bool:
    """Whether the server answers; a client that was refused waits a second before it tries again (fleet.connect_pace)."""
    try:
        return bool(await client.ping())
    except redis.exceptions.ConnectionError:
        return False
