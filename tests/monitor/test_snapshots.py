"""Snapshots of live books, beside the stream, agree with what the stream's rows say of the same event."""

import pytest
from redis.asyncio import Redis

from books.events import SnapshotReason
from fleet.keys import Keys
from fleet.pair import Pair
from monitor.history import entry_counts, rebuild
from monitor.positions import Position
from monitor.snapshots import SnapshotTaker
from tests.monitor.conftest import FIRST_N, RECEIVED_US, FeedWriter

BTC = Pair("binance", "spot", "BTC/USDT")


async def flush_book(redis: Redis, keys: Keys, feed: FeedWriter, pair: Pair, status: str = "live") -> None:
    """Write a pair's hashes, tail cell and lease as publish.lua leaves them."""
    n, epoch, book = feed.n["deltas", pair], feed.epoch.get(pair, FIRST_N), feed.books[pair]
    main = {"status": status, "n": n, "id": "5-1", "epoch": epoch, "owner": "me", "sequence": "9", "venue_ms": RECEIVED_US // 1000, "received_us": RECEIVED_US, "checked_ms": RECEIVED_US // 1000}  # fmt: skip # noqa: E501
    pipe = redis.pipeline(transaction=True)
    pipe.delete(keys.bids(pair), keys.asks(pair))
    pipe.hset(keys.book(pair), mapping=main)
    pipe.hset(keys.bids(pair), mapping=dict(book.bids))
    pipe.hset(keys.asks(pair), mapping=dict(book.asks))
    for key in (keys.book(pair), keys.bids(pair), keys.asks(pair)):
        pipe.pexpire(key, 60_000)
    pipe.hset(keys.tail(keys.shard(pair)), pair.label, f"{epoch} {n} 9 5-1")
    pipe.hset(keys.tail(keys.shard(pair)), pair.label + "#trades", f"{epoch} {n} - 5-1")
    pipe.set(keys.lease(pair), f"{epoch} me", px=60_000)
    await pipe.execute()


@pytest.fixture
def taker(redis, keys, history):
    return SnapshotTaker("test", range(keys.shards), 10_000, redis=redis, keys=keys, clickhouse=history)


async def test_every_live_book_is_stored_as_it_stands_and_equals_the_rebuilt_one(redis, keys, feed, pairs, history, collect, taker):  # fmt: skip # noqa: E501
    await feed.play(pairs, 600)
    for pair in pairs:
        await flush_book(redis, keys, feed, pair)
    await collect()
    assert await taker.take_round() == len(pairs)
    rows = await history.query(
        "SELECT pair, epoch, n, bids_text, asks_text, reason, stream_id FROM orderbook_snapshots WHERE source = 'hash'"
    )
    assert len(rows) == len(pairs)
    for name, epoch, n, bids, asks, reason, stream_id in rows:
        rebuilt = await rebuild(history, Pair("binance", "spot", name), until=Position(epoch, n))
        assert rebuilt == (dict(bids), dict(asks), n)
        assert (reason, stream_id) == ("periodic", "5-1")
    assert await entry_counts(history) == feed.entries  # they are no entries of the stream


async def test_a_book_that_is_not_live_is_left_out(redis, keys, feed, history, taker):
    await feed.write(feed.snapshot(BTC, SnapshotReason.FIRST))
    await flush_book(redis, keys, feed, BTC, status="resync")
    assert await taker.take_round() == 0
    await flush_book(redis, keys, feed, BTC)
    assert await taker.take_round() == 1
    await redis.delete(keys.lease(BTC))
    assert await taker.take_round() == 0


async def test_a_quiet_book_is_stored_again_each_time_it_is_taken(redis, keys, feed, history, taker):
    await feed.write(feed.snapshot(BTC, SnapshotReason.FIRST))
    await flush_book(redis, keys, feed, BTC)
    await taker.take_round()
    await taker.take_round()
    rows = await history.query("SELECT timestamp = received_time FROM orderbook_snapshots")
    assert rows == [(1,), (1,)]


async def test_a_hash_that_is_no_book_does_not_hold_the_others_up(redis, keys, feed, history, taker):
    other = Pair("binance", "spot", "ETH/USDT")
    for pair in (BTC, other):
        await feed.write(feed.snapshot(pair, SnapshotReason.FIRST))
        await flush_book(redis, keys, feed, pair)
    await redis.hset(keys.bids(BTC), "abc", "1")
    await redis.hset(keys.tail(0), "what", "ever")
    assert await taker.take_round() == 1
    assert await history.query("SELECT pair FROM orderbook_snapshots") == [("ETH/USDT",)]
