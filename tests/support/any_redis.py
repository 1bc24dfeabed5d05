"""Connections to a Redis of any form, as the daemons open them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio

from fleet.config import Settings
from fleet.ordered_cluster import Ordered, ordered
from fleet.redis_connection import connect


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[tuple[redis.asyncio.Redis, Ordered]]:
    """A pooled client and an ordered connection that is connected."""
    client, connection = connect(Settings(redis_url=url), name="fleet-test"), ordered(url, name="fleet-test")
    try:
        await connection.connect()
        yield client, connection
    finally:
        await connection.close()
        await client.aclose()
