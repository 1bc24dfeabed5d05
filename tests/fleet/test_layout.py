"""fleet/layout.py."""

import pytest
import redis.asyncio

from fleet.errors import LayoutMismatch
from fleet.keys import KEY_VERSION, Keys
from fleet.layout import Layout, join_layout, read_layout


async def test_the_first_daemon_writes_the_layout_and_an_equal_one_joins(redis: redis.asyncio.Redis) -> None:
    layout = Layout(16, KEY_VERSION, 1)
    assert await read_layout(redis, Keys()) is None
    assert await join_layout(redis, Keys(), 1) == layout
    assert await join_layout(redis, Keys(), 1) == layout
    assert await read_layout(redis, Keys("", 1)) == layout  # a reader need not know the number of shards


async def test_another_number_of_shards_is_refused_with_the_mend_and_changes_nothing(
    redis: redis.asyncio.Redis,
) -> None:
    await join_layout(redis, Keys("a", 16), 1)
    with pytest.raises(LayoutMismatch, match="has 16 shards, we were given 64; set FLEET_SHARDS=16"):
        await join_layout(redis, Keys("a", 64), 1)
    assert await join_layout(redis, Keys("a", 16), 1)


async def test_another_wire_version_is_refused(redis: redis.asyncio.Redis) -> None:
    await join_layout(redis, Keys(), 1)
    with pytest.raises(LayoutMismatch, match="another version of the program"):
        await join_layout(redis, Keys(), 2)


async def test_another_namespace_is_another_fleet(redis: redis.asyncio.Redis) -> None:
    await join_layout(redis, Keys("a", 16), 1)
    await join_layout(redis, Keys("b", 64), 1)


async def test_a_hash_that_is_no_layout_is_refused(redis: redis.asyncio.Redis) -> None:
    await redis.hset(Keys().layout(), "shards", "many")
    with pytest.raises(LayoutMismatch, match="use another FLEET_NAMESPACE"):
        await read_layout(redis, Keys())
