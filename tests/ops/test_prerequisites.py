"""What must be there before a daemon starts."""

import pytest

from fleet.config import Settings, load
from fleet.errors import LayoutMismatch, SchemaMissing
from fleet.keys import Keys
from fleet.layout import read_layout
from fleet.schema import create_schema
from fleet.sql import engine_of
from ops.prerequisites import prove_once


def settings(redis_url: str, sqlite_url: str, **more: str) -> Settings:
    return load(environ={"FLEET_REDIS_URL": redis_url, "FLEET_DATABASE_URL": sqlite_url, **more})


async def with_tables(url: str) -> None:
    engine = engine_of(url)
    await create_schema(engine)
    await engine.dispose()


async def test_what_is_there_is_proved_and_the_layout_is_written(redis, redis_url, sqlite_url):
    await with_tables(sqlite_url)
    await prove_once(settings(redis_url, sqlite_url, FLEET_SHARDS="3"))
    assert (await read_layout(redis, Keys(shards=3))).shards == 3
    with pytest.raises(LayoutMismatch, match="FLEET_SHARDS=3"):
        await prove_once(settings(redis_url, sqlite_url, FLEET_SHARDS="4"))


async def test_missing_tables_are_told(redis_url, sqlite_url):
    with pytest.raises(SchemaMissing, match="fleet init"):
        await prove_once(settings(redis_url, sqlite_url))
