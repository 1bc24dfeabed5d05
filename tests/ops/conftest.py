"""Fixtures of tests/ops: a fleet in Redis."""

from collections.abc import AsyncIterator

import pytest

from tests.support.small_fleet import SmallFleet, small_fleet


@pytest.fixture
async def fleet_in_redis(redis_url: str) -> AsyncIterator[SmallFleet]:
    """A fleet in the session's Redis; see tests/support/small_fleet.py."""
    async with small_fleet(redis_url) as fleet:
        yield fleet
