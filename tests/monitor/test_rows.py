"""Events become rows of the right shape, and what cannot be a row is refused before it reaches a block."""

import pytest

from books.events import Bbo, Delta, Mark, Reset, ResetReason, Snapshot, SnapshotReason, Trade
from fleet.pair import Pair
from monitor.rows import Noted, Prepared, TableRows, Unstorable, note_values, prepare
from monitor.schema import BBO, DELTAS, EVENTS, SNAPSHOTS, TRADES

BTC = Pair("binance", "spot", "BTC/USDT")
COMMON = {"pair": BTC, "received_us": 1_763_000_000_123_456, "venue_ms": 1_763_000_000_100, "epoch": 5, "n": 8, "id": "17-3"}  # fmt: skip # noqa: E501


def rows(prepared: Prepared) -> list[dict[str, object]]:
    table = TableRows(prepared.table)
    table.extend(prepared.rows, prepared.values)
    assert {len(column) for column in table.columns} == {prepared.rows}
    return [dict(zip(prepared.table.names, row, strict=True)) for row in zip(*table.columns, strict=True)]


def test_a_delta_is_a_row_a_level_with_exact_text_beside_the_number():
    delta = Delta(bids={"65000.1": "0.1"}, asks={"65001": "0", "65002": "3"}, sequence=9, first_sequence=7, **COMMON)
    prepared = prepare(delta, "deltas:03")
    assert prepared.table is DELTAS
    found = rows(prepared)
    assert [(r["side"], r["price_text"], r["amount_text"], r["level"]) for r in found] == [
        ("bid", "65000.1", "0.1", 0), ("ask", "65001", "0", 1), ("ask", "65002", "3", 2),
    ]  # fmt: skip
    assert (found[0]["price"], found[0]["amount"]) == (65000.1, 0.1)
    assert (found[0]["sequence"], found[0]["first_sequence"], found[0]["previous_sequence"]) == (9, 7, None)
    assert (found[0]["epoch"], found[0]["n"], found[0]["id_ms"], found[0]["id_seq"]) == (5, 8, 17, 3)
    assert (found[0]["timestamp"], found[0]["received_time"]) == (1_763_000_000_100, 1_763_000_000_123_456)


def test_without_a_venue_time_the_timestamp_is_our_receive_time():
    [row] = rows(prepare(Mark(**COMMON | {"venue_ms": None}), "deltas:03"))
    assert (row["timestamp"], row["venue_time"]) == (1_763_000_000_123, None)


def test_a_snapshot_is_one_row_best_price_first():
    snapshot = Snapshot(bids={"9": "1", "10": "2"}, asks={"12": "3", "11": "4"}, reason=SnapshotReason.FIRST, **COMMON)
    prepared = prepare(snapshot, "deltas:03")
    assert prepared.table is SNAPSHOTS
    [row] = rows(prepared)
    assert row["bids"] == [(10.0, 2.0), (9.0, 1.0)]
    assert row["asks_text"] == [("11", "4"), ("12", "3")]
    assert (row["source"], row["reason"], row["sequence_num"]) == ("stream", "first", None)


@pytest.mark.parametrize(
    ("event", "kind", "reason"),
    [
        (Reset(reason=ResetReason.CHECKSUM, **COMMON), "reset", "checksum"),
        (Mark(**COMMON), "mark", ""),
        (Delta(bids={}, asks={}, sequence=9, **COMMON), "delta", ""),
    ],
)
def test_an_event_without_levels_is_a_row_of_feed_events(event, kind, reason):
    prepared = prepare(event, "deltas:03")
    assert prepared.table is EVENTS
    [row] = rows(prepared)
    assert (row["kind"], row["reason"], row["stream"], row["n"]) == (kind, reason, "deltas:03", 8)


def test_an_empty_side_of_a_bbo_is_no_number():
    prepared = prepare(Bbo(bid="1.5", bid_amount="2", ask="", ask_amount="", **COMMON), "deltas:03")
    assert prepared.table is BBO
    [row] = rows(prepared)
    assert (row["bid"], row["ask"], row["ask_text"]) == (1.5, None, "")


def test_a_trade_keeps_the_takers_side_and_the_venues_id():
    prepared = prepare(Trade(price="1.50", amount="2", side="sell", trade_id="x7", **COMMON), "trades:03")
    assert prepared.table is TRADES
    [row] = rows(prepared)
    assert (row["side"], row["price"], row["price_text"], row["trade_id"]) == ("sell", 1.5, "1.50", "x7")


def test_a_note_is_a_row_of_feed_events():
    note = Noted("gap", "hole", "deltas:03", "17-3", 1_763_000_000_123_456, BTC, 5, 8, from_n=3, to_n=7)
    row = dict(zip(EVENTS.names, note_values(note), strict=True))
    assert (row["kind"], row["reason"], row["pair"], row["from_n"], row["to_n"]) == ("gap", "hole", "BTC/USDT", 3, 7)


@pytest.mark.parametrize(
    "event",
    [
        Delta(bids={"abc": "1"}, asks={}, **COMMON),
        Delta(bids={"1": "nan"}, asks={}, **COMMON),
        Delta(bids={"1": 5}, asks={}, **COMMON),
        Delta(bids=["1", "2"], asks={}, **COMMON),
        Delta(bids={"1": "1"}, asks={}, sequence="12", **COMMON),
        Delta(bids={"1": "1"}, asks={}, sequence=2**63, **COMMON),
        Mark(**COMMON | {"venue_ms": 1_763_000_000_100_000}),
        Mark(**COMMON | {"venue_ms": "now"}),
        Mark(**COMMON | {"received_us": 0}),
        Mark(**COMMON | {"id": "here"}),
        Trade(price="1", amount="2", side="sell", trade_id=7, **COMMON),
        Snapshot(bids={"1": None}, asks={}, reason=SnapshotReason.FIRST, **COMMON),
    ],
    ids=lambda event: repr(event)[:80],
)
def test_what_no_column_takes_is_unstorable(event):
    with pytest.raises(Unstorable):
        prepare(event, "deltas:03")
