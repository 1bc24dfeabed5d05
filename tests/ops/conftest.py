"""Fixtures of tests/ops: a fleet in Redis, simulated venues, and whole daemons on them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from fleet.pair import Pair
from tests.support.fleet_processes import Fleet, fleet_on
from tests.support.simulated_venues import SimulatedVenues, simulated_venues
from tests.support.small_fleet import SmallFleet, small_fleet

NewFleet = Callable[..., Awaitable[Fleet]]


@pytest.fixture
async def fleet_in_redis(redis_url: str) -> AsyncIterator[SmallFleet]:
    """A fleet in the session's Redis; see tests/support/small_fleet.py."""
    async with small_fleet(redis_url) as fleet:
        yield fleet


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def venues(server_directory: Path) -> AsyncIterator[SimulatedVenues]:
    """The session's simulated Binance and OKX. Whoever makes them misbehave ends it."""
    async with simulated_venues(server_directory / "venues") as simulated:
        yield simulated


@pytest.fixture
async def new_fleet(own_redis, venues: SimulatedVenues, tmp_path: Path) -> AsyncIterator[NewFleet]:
    """`await new_fleet(pairs, FLEET_LEASE_MS="4000")`: a private Redis, tasks for the pairs, no daemon yet."""
    async with AsyncExitStack() as stack:

        async def make(pairs: Iterable[Pair], **environment: str) -> Fleet:
            server = await own_redis()
            return await stack.enter_async_context(fleet_on(server, venues, tmp_path / "fleet", pairs, **environment))

        yield make
