"""books/live.py where Redis changes under a reader: another primary with a clock behind, a primary that becomes a replica, a
Cluster whose nodes hang, die and give slots away."""

import pytest

from books import lanes
from books.reader import Reader
from fleet.keys import Keys
from fleet.pair import Pair
from tests.support.followers import Following, following
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_nodes import ask
from tests.support.small_fleet import BTC, SmallFleet, delta, small_fleet
from tests.support.waiting import wait_until

FUTURE_ID = "9999999999999-0"
PAIRS = [Pair("somewhere", "spot", f"P{i}/USDT") for i in range(12)]


async def test_a_primary_whose_clock_is_behind_is_read_from_its_own_ids(redis_url: str) -> None:
    """Its new entries have ids below the cursor: XREAD from there would never give them (redis-protocol.md §2.2, 6)."""
    async with small_fleet(redis_url) as fleet:
        await fleet.client.xadd(fleet.keys.deltas(fleet.keys.shard(BTC)), {"k": "other"}, id=FUTURE_ID)
        await fleet.make_live(BTC)
        reader = Reader(fleet.client, fleet.keys, [BTC], block_ms=None)
        await reader.start()
        view = reader.views[BTC]
        assert view.sequence == 7
        await fleet.client.flushall()  # what a failover to an empty server with a right clock looks like
        await reader.audit()
        assert view.status == "missing"
        await fleet.make_live(BTC)
        await fleet.publish(BTC, delta(BTC, {"64000": "11"}, {}, 8))
        await reader.step()
        assert (view.sequence, view.book.bids["64000"]) == (8, "11")
        assert reader.cursors[reader.stream(BTC)] != FUTURE_ID


async def test_readers_of_a_primary_that_becomes_a_replica_wait_and_go_on(own_redis, free_port) -> None:
    """It ends their blocking reads with UNBLOCKED; as a replica without its primary it still answers."""
    server = await own_redis()
    keys = Keys()
    async with small_fleet(server.url) as fleet, following(server.url, keys, [BTC]) as reader:
        await fleet.make_live(BTC)
        await wait_until(lambda: reader.statuses[BTC][-1:] == ["live"], "a live book")
        seen = len(reader.events[BTC])
        await ask(server, "REPLICAOF", "127.0.0.1", free_port())
        await wait_until(lambda: "stale" in reader.statuses[BTC], f"the break at the reader: {reader.statuses}")
        await ask(server, "REPLICAOF", "NO", "ONE")
        await fleet._connection.connect()
        await fleet.publish(BTC, delta(BTC, {"64000": "11"}, {}, 8))
        await wait_until(
            lambda: len(reader.events[BTC]) > seen and reader.events[BTC][-1].sequence == 8, "news at the reader"
        )
        await wait_until(lambda: reader.statuses[BTC][-1] == "live", "a live book again")


def now(reader: Following, pairs: list[Pair]) -> set[str]:
    """How these books stand, as the reader was told last."""
    return {reader.statuses[pair][-1] if reader.statuses[pair] else "untold" for pair in pairs}


async def deltas_come(fleet: SmallFleet, reader: Following, pairs: list[Pair], sequence: int) -> None:
    """Each pair gets a delta, and the reader is told of all."""
    for pair in pairs:
        await fleet.publish(pair, delta(pair, {"64000": str(sequence)}, {}, sequence))
    await wait_until(lambda: {reader.views[pair].sequence for pair in pairs} == {sequence}, f"news at {reader}", 20)


async def test_a_node_that_hangs_makes_its_own_books_stale_and_the_others_go_on(own_cluster) -> None:
    cluster: RedisCluster = await own_cluster()
    async with small_fleet(cluster.url, shards=64) as fleet:
        for pair in PAIRS:
            await fleet.make_live(pair)
        hung = cluster.node_of(fleet.keys.book(PAIRS[0]))
        lost = [pair for pair in PAIRS if cluster.node_of(fleet.keys.book(pair)) is hung]
        moved = lost.pop()
        kept = [pair for pair in PAIRS if pair not in lost]
        assert len(lost) > 0
        async with following(cluster.url, fleet.keys, PAIRS) as reader:
            await wait_until(lambda: now(reader, PAIRS) == {"live"}, f"live books: {reader}", 20)
            await cluster.move_slot(fleet.keys.book(moved), cluster.other_than(hung))
            await cluster.healthy()
            await deltas_come(fleet, reader, PAIRS, 8)
            assert reader.kinds(moved) == ["snapshot", "delta"], "its slot moved, and it was not read anew"
            hung.pause()
            try:
                await wait_until(lambda: now(reader, lost) == {"stale"}, f"stale books: {reader.statuses}", 20)
                await deltas_come(fleet, reader, kept, 9)
                await wait_until(lambda: now(reader, kept) == {"live"}, f"the others live: {reader.statuses}", 20)
                assert now(reader, lost) == {"stale"}
            finally:
                hung.resume()
            await wait_until(lambda: now(reader, PAIRS) == {"live"}, f"live books again: {reader.statuses}", 20)
            await cluster.healthy()
            await fleet._connection.connect()
            await deltas_come(fleet, reader, lost, 9)


async def test_a_failover_of_one_node_is_no_outage_of_the_others(own_cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "STALE_S", 60.0)  # a busy machine's delay is none: only a break makes books stale here
    cluster: RedisCluster = await own_cluster(replicas=1)
    async with small_fleet(cluster.url, shards=64) as fleet:
        for pair in PAIRS:
            await fleet.make_live(pair)
        killed = cluster.node_of(fleet.keys.book(PAIRS[0]))
        lost = [pair for pair in PAIRS if cluster.node_of(fleet.keys.book(pair)) is killed]
        kept = [pair for pair in PAIRS if pair not in lost]
        async with following(cluster.url, fleet.keys, PAIRS) as reader:
            await wait_until(lambda: now(reader, PAIRS) == {"live"}, f"live books: {reader}", 20)
            await cluster.replicated()
            await killed.kill()
            await wait_until(lambda: now(reader, lost) == {"stale"}, f"stale books: {reader.statuses}", 20)
            await wait_until(lambda: not fleet._connection.connected, "the break at the writer", 20)
            await fleet._connection.connect()
            await deltas_come(fleet, reader, kept, 8)
            await cluster.healthy()
            await wait_until(lambda: now(reader, lost) == {"live"}, f"live books again: {reader.statuses}", 20)
            await deltas_come(fleet, reader, lost, 8)
            assert [reader.statuses[pair] for pair in kept] == [["live"]] * len(kept)
