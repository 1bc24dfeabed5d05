"""Fixtures for tests that run on MariaDB and on SQLite alike; a folder's conftest.py imports them."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from fleet.schema import create_schema
from fleet.sql import engine_of


@pytest.fixture(params=["mariadb", "sqlite"])
def any_url(request: pytest.FixtureRequest) -> str:
    """The url of an empty database."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
async def sqlite_engine(sqlite_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine on a SQLite file with our schema, where the kind of database is not the point."""
    engine = engine_of(sqlite_url)
    await create_schema(engine)
    yield engine
    await engine.dispose()


@pytest.fixture
async def any_engine(any_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine on a database with our schema."""
    engine = engine_of(any_url)
    await create_schema(engine)
    yield engine
    await engine.dispose()
