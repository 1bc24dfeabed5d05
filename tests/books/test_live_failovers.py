"""books/live.py where Redis changes under a reader: another primary with a clock behind, a primary that becomes a replica."""

from books.live import Reader
from fleet.keys import Keys
from tests.support.followers import following
from tests.support.redis_nodes import ask
from tests.support.small_fleet import BTC, delta, small_fleet
from tests.support.waiting import wait_until

FUTURE_ID = "9999999999999-0"


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
