"""Fixtures of the tests of the Lua verbs."""

from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from fleet.ordered import OrderedConnection
from tests.support.desk import Desk


@pytest.fixture
async def connection(redis_url: str) -> AsyncIterator[OrderedConnection]:
    ordered = OrderedConnection(redis_url)
    await ordered.connect()
    yield ordered
    await ordered.close()


@pytest.fixture
def desk(redis: redis.asyncio.Redis, connection: OrderedConnection) -> Desk:
    return Desk(redis, connection)
