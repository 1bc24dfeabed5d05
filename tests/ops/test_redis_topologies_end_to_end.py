"""Whole daemons on a Redis Cluster and behind Sentinels: their commands work, and a failover costs nothing but time."""

import asyncio

import pytest

from fleet.pair import Pair
from monitor.clickhouse import ClickHouse, create_schema
from monitor.schema import OF_DELTAS
from tests.support.fleet_processes import Fleet, assert_books_are_the_venues, fleet_on
from tests.support.followers import following
from tests.support.redis_cluster import RedisCluster
from tests.support.streams import assert_unbroken, resets
from tests.support.waiting import wait_until

PAIRS = [
    *(Pair("okx", "spot", f"{base}/USDT") for base in ("BTC", "ETH", "SOL", "XRP")),
    *(Pair("binance", "spot", f"{base}/USDT") for base in ("BTC", "ETH")),
]
AFTER_FAILOVER_S = 40.0  # about five seconds on an idle machine

pytestmark = pytest.mark.timeout(180)


async def assert_the_commands_work(fleet: Fleet) -> None:
    pair = PAIRS[0]
    book, status, watched = await asyncio.gather(
        fleet.command("book", *pair, "--json"),
        fleet.command("status", "--json"),
        fleet.command("watch", *pair, "--seconds", "1", "--json"),
    )
    assert (book.code, book.json["status"]) == (0, "live")
    assert status.code == 0
    assert {row["status"] for row in status.json["pairs"]} == {"live"}
    assert len(status.json["pairs"]) == len(PAIRS)
    assert watched.code == 0
    assert "snapshot" in watched.out


async def stored_numbers(history: ClickHouse) -> dict[Pair, set[tuple[int, int]]]:
    """(epoch, n) of everything that history has of the deltas streams."""
    found: dict[Pair, set[tuple[int, int]]] = {pair: set() for pair in PAIRS}
    for table, condition in OF_DELTAS.items():
        rows = await history.query(
            f"SELECT DISTINCT exchange_id, market_type, pair, epoch, n FROM {table} WHERE {condition}"
        )
        for venue, market, pair, epoch, n in rows:
            found[Pair(venue, market, pair)].add((int(epoch), int(n)))
    return found


async def complete(fleet: Fleet, history: ClickHouse) -> bool:
    """Whether history has all that stands in the streams."""
    stored = await stored_numbers(history)
    streams = {pair: {(entry.epoch, entry.n) for entry in await fleet.entries(pair)} for pair in PAIRS}
    return all(streams[pair] <= stored[pair] for pair in PAIRS)


async def assert_a_slot_moves_without_a_reset(fleet: Fleet, cluster: RedisCluster, pair: Pair) -> None:
    """The pair's slot goes to another primary while it is published: it goes on there from where it stood."""
    before, source = await fleet.book(pair), cluster.node_of(fleet.keys.book(pair))
    await cluster.move_slot(fleet.keys.book(pair), cluster.other_than(source))
    await cluster.healthy()
    assert cluster.node_of(fleet.keys.book(pair)) is not source

    async def goes_on() -> bool:
        book = await fleet.book(pair)
        return book.live and book.n > before.n + 5

    await wait_until(goes_on, f"{pair} to go on at the other node: {fleet.daemons}", 30)
    entries = await fleet.entries(pair)
    assert_unbroken(entries)
    assert resets(entries, after_n=before.n) == []


async def test_daemons_on_a_cluster_outlive_a_primary_and_tear_nothing(own_cluster, venues, tmp_path, clickhouse_url):
    cluster: RedisCluster = await own_cluster(replicas=1)
    await create_schema(clickhouse_url)
    async with ClickHouse(clickhouse_url) as history:
        more = {"FLEET_SHARDS": "64", "FLEET_ROLES": "feed,monitor", "FLEET_CLICKHOUSE_URL": clickhouse_url}
        async with fleet_on(cluster, venues, tmp_path / "fleet", PAIRS, **more) as fleet:
            daemon = fleet.daemon()
            before = await fleet.live(PAIRS)
            await assert_the_commands_work(fleet)
            async with following(cluster.url, fleet.keys, PAIRS) as reader:
                await wait_until(lambda: all(reader.statuses[pair] == ["live"] for pair in PAIRS), "a reader")
                await assert_a_slot_moves_without_a_reset(fleet, cluster, PAIRS[0])
                killed = cluster.node_of(fleet.keys.book(PAIRS[0]))
                await killed.kill()
                await cluster.healthy()
                assert cluster.node_of(fleet.keys.book(PAIRS[0])) is not killed
                lost = [book.pair for book in before if book.pair == PAIRS[0]]
                await fleet.newer(lost, max(book.epoch for book in before), AFTER_FAILOVER_S)
                await fleet.live(PAIRS)
                await wait_until(
                    lambda: all(reader.statuses[pair][-1] == "live" for pair in PAIRS),
                    f"the reader to go on: {reader}",
                    30,
                )
                await assert_books_are_the_venues(fleet, venues, PAIRS)
                books = await fleet.books(PAIRS)
                await wait_until(
                    lambda: all(reader.views[book.pair].n >= book.n for book in books),
                    f"the reader to have all: {reader}",
                    30,
                )
                for pair in PAIRS:
                    assert_unbroken(await fleet.entries(pair))
            await assert_the_commands_work(fleet)
            assert daemon.code is None
            async with venues.frozen():
                await wait_until(
                    lambda: complete(fleet, history), f"history to have every entry: {daemon}", 30, poll_s=0.2
                )


async def test_a_daemon_behind_sentinels_follows_the_primary(own_sentinel, venues, tmp_path):
    behind = await own_sentinel()
    async with fleet_on(behind, venues, tmp_path / "fleet", PAIRS, FLEET_SHARDS="4") as fleet:
        daemon = fleet.daemon()
        before = await fleet.live(PAIRS)
        await assert_the_commands_work(fleet)
        async with following(behind.url, fleet.keys, PAIRS) as reader:
            await wait_until(lambda: all(reader.statuses[pair] == ["live"] for pair in PAIRS), "a reader")
            former = behind.primary
            await former.kill()
            assert await behind.promoted() is not former
            epoch = max(book.epoch for book in before)
            await fleet.newer(PAIRS, epoch, AFTER_FAILOVER_S)
            await wait_until(
                lambda: all(reader.statuses[pair][-1] == "live" for pair in PAIRS), f"the reader to go on: {reader}", 30
            )
            await assert_books_are_the_venues(fleet, venues, PAIRS)
            await former.start()  # as a primary of its own: the sentinels make it a replica
            await assert_the_commands_work(fleet)
        for pair in PAIRS:
            assert_unbroken(await fleet.entries(pair))
        assert daemon.code is None
