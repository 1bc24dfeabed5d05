"""What ClickHouse has: the newest position of each line, and whether an entry's rows are there."""

from books.events import Delta, Mark, SnapshotReason, Trade
from fleet.pair import Pair
from monitor.positions import Line, Position
from monitor.stored import positions, stored_events, stored_notes
from tests.monitor.conftest import FIRST_N, RECEIVED_US

BTC = Pair("binance", "spot", "BTC/USDT")
ETH = Pair("binance", "futures", "ETH/USDT")


async def test_positions_are_the_newest_of_each_line_in_any_table(feed, history, collect):
    trade = Trade(pair=BTC, received_us=RECEIVED_US, price="1", amount="1", side="buy", trade_id="1")
    await feed.write(feed.snapshot(BTC, SnapshotReason.FIRST), feed.delta(BTC), Mark(pair=BTC, received_us=RECEIVED_US))
    await feed.write(trade, trade, feed.snapshot(ETH, SnapshotReason.FIRST))
    await collect()
    assert await positions(history) == {
        Line("deltas", BTC): Position(FIRST_N, FIRST_N + 3),
        Line("trades", BTC): Position(FIRST_N, FIRST_N + 2),
        Line("deltas", ETH): Position(FIRST_N, FIRST_N + 1),
    }


async def test_a_gap_row_is_no_position(feed, history, collect):
    await feed.write(feed.snapshot(BTC, SnapshotReason.FIRST))
    await collect()
    await feed.write(feed.delta(BTC), n=FIRST_N + 10)
    await collect()
    await history.execute("ALTER TABLE orderbook_deltas DELETE WHERE 1 SETTINGS mutations_sync = 2")
    await history.execute("ALTER TABLE feed_events DELETE WHERE kind = 'delta' SETTINGS mutations_sync = 2")
    assert (await history.query("SELECT n FROM feed_events WHERE kind = 'gap'")) == [(FIRST_N + 10,)]
    assert await positions(history) == {Line("deltas", BTC): Position(FIRST_N, FIRST_N + 1)}


async def test_positions_come_from_the_parts_summaries_not_from_the_rows(feed, history, collect):
    await feed.write(feed.snapshot(BTC, SnapshotReason.FIRST), *[feed.delta(BTC) for _ in range(50)])
    await collect()
    plan = await history.query(
        "EXPLAIN SELECT exchange_id, market_type, pair, max((epoch, n)) FROM orderbook_deltas WHERE 1 "
        "GROUP BY exchange_id, market_type, pair"
    )
    assert any("newest" in line for (line,) in plan)


async def test_each_event_is_looked_for_in_its_own_table(feed, history, collect):
    await feed.write(feed.snapshot(BTC, SnapshotReason.FIRST))
    await collect()
    number = {"pair": BTC, "received_us": RECEIVED_US, "epoch": FIRST_N, "n": FIRST_N + 1}
    there = feed.snapshot(BTC, SnapshotReason.FIRST)
    here = type(there)(bids={}, asks={}, reason=there.reason, **number)
    assert await stored_events(history, [here]) == {(BTC, FIRST_N, FIRST_N + 1)}
    elsewhere = [Delta(bids={"1": "1"}, asks={}, **number), Mark(**number)]
    assert await stored_events(history, elsewhere) == set()


async def test_thousands_of_entries_can_be_asked_for(feed, history, collect):
    await feed.write(feed.snapshot(BTC, SnapshotReason.FIRST), *[Mark(pair=BTC, received_us=RECEIVED_US)] * 2500)
    await collect()
    marks = [Mark(pair=BTC, received_us=RECEIVED_US, epoch=FIRST_N, n=FIRST_N + 1 + i) for i in range(1, 3001)]
    assert len(await stored_events(history, marks)) == 2500


async def test_an_undecodable_entry_is_known_by_its_stream_and_id(redis, keys, feed, history, collect):
    await feed.write(feed.snapshot(BTC, SnapshotReason.FIRST))
    entry_id = (await redis.xadd(keys.deltas(2), {"hello": "world"})).decode()
    await collect()
    asked = [("deltas:02", entry_id), ("deltas:03", entry_id), ("deltas:02", "1-0")]
    assert await stored_notes(history, asked) == {("deltas:02", entry_id)}
