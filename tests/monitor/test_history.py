"""A book is made of its rows alone, at any event of its past."""

import pytest

from books.book import Book
from books.events import Reset, ResetReason, SnapshotReason
from fleet.pair import Pair
from monitor.history import Rebuilt, counts, rebuild
from monitor.positions import Position
from tests.monitor.conftest import FIRST_N, RECEIVED_US

BTC = Pair("binance", "spot", "BTC/USDT")


async def test_the_book_of_any_past_event_can_be_rebuilt(feed, history, collect):
    events = [feed.snapshot(BTC, SnapshotReason.FIRST)]
    events += [feed.delta(BTC) for _ in range(30)]
    events += [Reset(pair=BTC, received_us=RECEIVED_US, reason=ResetReason.GAP), feed.snapshot(BTC, SnapshotReason.RESYNC)]  # fmt: skip # noqa: E501
    events += [feed.delta(BTC) for _ in range(30)]
    await feed.write(*events)
    await collect()
    book = Book()
    for number, event in enumerate(events, start=1):
        book.apply(event)
        if number % 7 == 0 or number in {1, 32, 33, len(events)}:
            rebuilt = await rebuild(history, BTC, until=Position(FIRST_N, FIRST_N + number))
            assert rebuilt == Rebuilt(dict(book.bids), dict(book.asks), FIRST_N + number)


async def test_a_reset_leaves_no_book_and_says_up_to_where(feed, history, collect):
    await feed.write(feed.snapshot(BTC, SnapshotReason.FIRST), feed.delta(BTC))
    await feed.write(Reset(pair=BTC, received_us=RECEIVED_US, reason=ResetReason.DISCONNECT))
    await collect()
    assert await rebuild(history, BTC) == Rebuilt({}, {}, FIRST_N + 3)


async def test_a_reset_that_a_fork_voids_is_no_part_of_the_book(feed, history, collect):
    """A failover lost a Reset that was stored, with the Snapshot behind it that was not. The next owner goes on with deltas."""
    await feed.write(feed.snapshot(BTC, SnapshotReason.FIRST), feed.delta(BTC))
    here = dict(feed.books[BTC].bids), dict(feed.books[BTC].asks)
    await feed.write(Reset(pair=BTC, received_us=RECEIVED_US, reason=ResetReason.TAKEOVER))
    await collect()
    assert await rebuild(history, BTC) == Rebuilt({}, {}, FIRST_N + 3)
    feed.books[BTC].bids.update(here[0])
    feed.books[BTC].asks.update(here[1])
    feed.epoch[BTC] = FIRST_N + 1000
    await feed.write(feed.delta(BTC), n=FIRST_N + 3)
    await feed.write(*[feed.delta(BTC) for _ in range(3)])
    await collect()
    assert await rebuild(history, BTC) == Rebuilt(dict(feed.books[BTC].bids), dict(feed.books[BTC].asks), FIRST_N + 6)
    assert await rebuild(history, BTC, until=Position(FIRST_N, FIRST_N + 3)) == Rebuilt({}, {}, FIRST_N + 3)
    assert await rebuild(history, BTC, until=Position(FIRST_N, FIRST_N + 2)) == Rebuilt(*here, FIRST_N + 2)


async def test_a_pair_without_a_snapshot_has_no_book(feed, history, collect):
    await feed.write(feed.delta(BTC))
    await collect()
    assert await rebuild(history, BTC) is None


async def test_a_missing_delta_makes_another_book(feed, history, collect):
    """The comparison of books can fail: else it would prove nothing."""
    await feed.write(feed.snapshot(BTC, SnapshotReason.FIRST), *[feed.delta(BTC) for _ in range(20)])
    await collect()
    [(lost,)] = await history.query("SELECT max(n) FROM orderbook_deltas")
    await history.execute(f"ALTER TABLE orderbook_deltas DELETE WHERE n = {lost} SETTINGS mutations_sync = 2")
    rebuilt = await rebuild(history, BTC)
    assert rebuilt is not None
    assert (rebuilt.bids, rebuilt.asks) != (feed.books[BTC].bids, feed.books[BTC].asks)


async def test_the_first_drafts_columns_answer_by_their_names(feed, history, collect):
    await feed.write(feed.snapshot(BTC, SnapshotReason.FIRST), *[feed.delta(BTC) for _ in range(20)])
    await collect()
    rows = await history.query(
        "SELECT timestamp, exchange_id, market_type, pair, side, price, amount, action FROM orderbook_deltas"
    )
    assert {row[1:4] for row in rows} == {("binance", "spot", "BTC/USDT")}
    assert {row[4] for row in rows} == {"bid", "ask"}
    assert all((row[7] == "delete") == (row[6] == 0) for row in rows)
    [(bids, asks, sequence)] = await history.query("SELECT bids, asks, sequence_num FROM orderbook_snapshots")
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert sequence == 7


@pytest.mark.parametrize("table", ["orderbook_deltas", "orderbook_snapshots", "feed_events", "trades", "bbo"])
async def test_counts_name_every_table(history, table):
    assert (await counts(history))[table] == 0
