"""Fixtures of the tests of the Lua verbs: each test runs on one server and on a Cluster."""

from collections.abc import AsyncIterator

import pytest

from tests.support.any_redis import connected
from tests.support.desk import Desk


@pytest.fixture(params=["server", "cluster"])
def topology(request: pytest.FixtureRequest) -> str:
    """The URL of an empty Redis, of each form in turn."""
    if request.param == "server":
        return str(request.getfixturevalue("redis_url"))
    return str(request.getfixturevalue("cluster").url)


@pytest.fixture
async def desk(topology: str) -> AsyncIterator[Desk]:
    async with connected(topology) as (client, connection):
        yield Desk(client, connection)
