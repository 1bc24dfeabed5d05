"""The role: one worker a lane among all daemons, take-over, an orderly end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from redis.asyncio import Redis

from fleet.clock import mono_ms
from fleet.config import Settings
from fleet.errors import ConfigError
from fleet.keys import Keys
from fleet.lease import LeaseKeeper
from monitor.group import GROUP
from monitor.history import counts, entry_counts, gaps
from monitor.role import MonitorRole
from tests.support.clients import redis_client

LEASE_MS = 1000


class Daemon:
    """A keeper of leases and the role, as a daemon would run them."""

    def __init__(self, name: str, settings: Settings, redis: Redis, keys: Keys) -> None:
        self.leases = LeaseKeeper(
            redis, holder=name, lease_ms=LEASE_MS, mono_ms=mono_ms, on_lost=lambda _lease, _reason: None
        )
        self.role = MonitorRole(settings, redis, keys, self.leases)
        self.tasks: list[asyncio.Task[None]] = []

    def kill(self) -> None:
        """Gone without a word: leases run out by themselves."""
        for lease in self.leases.leases:
            self.leases.abandon(lease.target)
        for task in self.tasks:
            task.cancel()


@pytest.fixture
async def start(redis_url, keys, history, clickhouse_url) -> AsyncIterator[Callable[[str], Daemon]]:
    settings = Settings(clickhouse_url=clickhouse_url, shards=keys.shards, snapshot_ms=60_000)

    @asynccontextmanager
    async def living(daemon: Daemon) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            daemon.tasks = [group.create_task(daemon.role.run()), group.create_task(daemon.leases.run())]
            yield
            for task in daemon.tasks:
                while not task.done():  # redis-py may drop a cancellation on Python 3.11
                    task.cancel()
                    await asyncio.wait([task], timeout=0.05)

    async with AsyncExitStack() as stack:
        # the program's own client: a plain one may drop the cancellation of a lane, and nobody asks twice
        client = await stack.enter_async_context(redis_client(redis_url))

        async def begin(name: str) -> Daemon:
            daemon = Daemon(name, settings, client, keys)
            await stack.enter_async_context(living(daemon))
            return daemon

        yield begin


async def test_one_daemon_works_on_all_lanes_and_tells_what_it_did(start, feed, pairs, history, wait_until):
    daemon = await start("one")
    await feed.play(pairs, 500)
    total = sum(feed.entries.values())

    async def stored() -> bool:
        return sum((await entry_counts(history)).values()) == total

    await wait_until(stored, "all entries to be stored")
    await wait_until(lambda: daemon.role.status.backlog == 0, "the backlog to be empty")

    async def told() -> bool:
        # rows are seen a moment before the answer to their insert comes, and only then counted
        return daemon.role.status.rows == sum((await counts(history)).values())

    await wait_until(told, "all rows to be counted")
    status = daemon.role.status
    assert status.lanes == (0, 1, 2, 3)
    assert status.last_insert_ms > 0
    assert (status.outage, status.gaps, status.undecodable) == ("", 0, 0)
    assert status.lag_ms < 10_000


async def test_another_daemon_takes_the_lanes_of_a_dead_one_over(start, feed, pairs, history, wait_until):
    first = await start("first")
    await wait_until(lambda: len(first.role.status.lanes) == 4, "the first to have the lanes")
    second = await start("second")
    await feed.play(pairs, 300)
    first.kill()
    await feed.play(pairs, 300)
    await wait_until(lambda: len(second.role.status.lanes) == 4, "the second to have the lanes")

    async def stored() -> bool:
        return await entry_counts(history) == feed.entries

    await wait_until(stored, "all entries to be stored")
    assert (await counts(history))["orderbook_deltas"] == feed.written["levels"]
    assert await gaps(history) == []


async def test_a_lane_whose_lease_is_taken_away_is_left_at_once(redis, keys, start, wait_until):
    daemon = await start("one")
    await wait_until(lambda: len(daemon.role.status.lanes) == 4, "all lanes")
    await redis.set(keys.lane_lease(2), "99 thief", px=60_000)
    await wait_until(lambda: daemon.role.status.lanes == (0, 1, 3), "the lane to be left")


async def test_stopping_stores_what_is_there_and_gives_the_lanes_back(redis, keys, start, feed, pairs, history, wait_until):  # fmt: skip # noqa: E501
    daemon = await start("one")
    await wait_until(lambda: len(daemon.role.status.lanes) == 4, "all lanes")
    await feed.play(pairs, 500)
    await daemon.role.quiet()
    await daemon.role.stop(mono_ms() + 10_000)
    assert await entry_counts(history) == feed.entries
    assert [await redis.exists(keys.lane_lease(lane)) for lane in range(4)] == [0, 0, 0, 0]
    assert daemon.tasks[0].done()
    for shard in range(keys.shards):
        assert (await redis.xpending(keys.deltas(shard), GROUP))["pending"] == 0


async def test_a_waiting_daemon_stops_at_once(start, wait_until):
    first = await start("first")
    await wait_until(lambda: len(first.role.status.lanes) == 4, "the first to have the lanes")
    second = await start("second")
    async with asyncio.timeout(5):
        await second.role.quiet()
        await second.role.stop(mono_ms() + 5000)
    assert first.role.status.lanes == (0, 1, 2, 3)


def test_the_role_without_a_clickhouse_says_what_to_do(redis, keys):
    leases = LeaseKeeper(redis, holder="x", lease_ms=LEASE_MS, mono_ms=mono_ms, on_lost=lambda _lease, _reason: None)
    with pytest.raises(ConfigError, match="FLEET_CLICKHOUSE_URL is not set"):
        MonitorRole(Settings(), redis, keys, leases)
