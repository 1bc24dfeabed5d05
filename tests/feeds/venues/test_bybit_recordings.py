"""Bybit: recorded messages, replayed through the very session that serves live."""

import json
from collections import Counter
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from books.events import Bbo, Delta, Event, Reset, Snapshot, Trade
from feeds.recorded_venue import RawInstruments
from feeds.recording import Recorded, read_recording
from feeds.replay import Replay, Replayed
from feeds.venue import BookMessage, Venue
from feeds.venues.bybit import MARKETS

SPOT, LINEAR = MARKETS
XRP = "futures/XRPUSDT_ob500_20241201.jsonl"
OLD = "answer of REST, or a frame of before version 5"


def venue_of(file: str) -> Venue:
    return SPOT if file.startswith("spot/") else LINEAR


def replayed(venue: Venue, messages: list[Recorded]) -> tuple[Replayed, list[Event]]:
    events: list[Event] = []
    replay = Replay(venue, RawInstruments(venue), messages, on_event=events.append)
    return replay.run(), events


def replayed_file(recorded: Path, file: str) -> tuple[Replayed, list[Event]]:
    return replayed(venue_of(file), read_recording(recorded / "bybit" / file))


def lines(recorded: Path, file: str) -> list[Any]:
    return [json.loads(line) for line in (recorded / "bybit" / file).read_text().splitlines()]


def naive_books(recorded: Path, file: str) -> list[dict[str, dict[Decimal, Decimal]]]:
    """The book after every message by plain JSON and Decimals, with nothing of ours in it."""
    book: dict[str, dict[Decimal, Decimal]] = {"b": {}, "a": {}}
    books = []
    for message in lines(recorded, file):
        for side in "ba":
            if message["type"] == "snapshot":
                book[side] = {}
            for price, size in message["data"][side]:
                book[side][Decimal(price)] = Decimal(size)
            book[side] = {price: size for price, size in book[side].items() if size}
        books.append({side: dict(levels) for side, levels in book.items()})
    return books


def test_a_continuous_recording_replays_without_a_fault(recorded: Path) -> None:
    result, events = replayed_file(recorded, XRP)
    assert (result.frames, result.undecodable, result.refused, result.gaps, result.crossed) == (50, 0, 0, 0, 0)
    assert Counter(type(event) for event in events) == {Snapshot: 1, Delta: 49}
    pair = result.pairs["XRPUSDT"]
    assert pair.live
    assert pair.sequence == 20254918  # recorded/INDEX.md


def test_its_final_book_equals_that_of_a_naive_reconstruction(recorded: Path) -> None:
    result, _ = replayed_file(recorded, XRP)
    last = naive_books(recorded, XRP)[-1]
    pair = result.pairs["XRPUSDT"]
    assert [(Decimal(p), Decimal(q)) for p, q in pair.bids] == sorted(last["b"].items(), reverse=True)[:20]
    assert [(Decimal(p), Decimal(q)) for p, q in pair.asks] == sorted(last["a"].items())[:20]


def test_the_venue_itself_keeps_the_window_so_nothing_is_left_to_cut(recorded: Path) -> None:
    assert {(len(book["b"]), len(book["a"])) for book in naive_books(recorded, XRP)} == {(500, 500)}


@pytest.mark.parametrize("at", [1, 20, 48])
def test_a_lost_delta_is_one_gap(recorded: Path, at: int) -> None:
    messages = read_recording(recorded / "bybit" / XRP)
    result, events = replayed(LINEAR, messages[:at] + messages[at + 1 :])
    assert result.gaps == 1
    assert not result.pairs["XRPUSDT"].live
    assert sum(isinstance(event, Reset) for event in events) == 1


def test_two_swapped_deltas_are_a_gap(recorded: Path) -> None:
    messages = read_recording(recorded / "bybit" / XRP)
    messages[20], messages[21] = messages[21], messages[20]
    assert replayed(LINEAR, messages)[0].gaps == 1


REFUSED = {
    "futures/cmp_samples.jsonl": {
        "topic orderBookL2_25": 6, "topic instrument_info": 6, OLD: 5, "topic trade": 3, "topic klineV2": 2,
        "topic candle": 1,
    },
    "futures/gct_bybit_wsAuth.jsonl": {
        "topic order": 2, "topic wallet": 2, "topic position": 1, "topic greeks": 1, "topic execution": 1,
    },
    "futures/gct_bybit_wsTicker.jsonl": {"topic tickers": 8},
    "futures/tardis_samples.jsonl": {
        "topic tickers": 5, "orderbook.1 in deltas (before 2025-03-20)": 2, "topic liquidation": 2,
        "topic allLiquidation": 1,
    },
    "spot/tardis_samples.jsonl": {"orderbook.1 in deltas (before 2025-03-20)": 1},
    "mixed/nautilus_rest_fixtures.jsonl": {OLD: 32},
    "mixed/docs_jkorf_rest.jsonl": {OLD: 225, "list: rows of an answer of REST": 13},
}  # fmt: skip


@pytest.mark.parametrize("file", REFUSED)
def test_what_recordings_hold_beside_our_topics_is_refused_by_name(recorded: Path, file: str) -> None:
    result, _ = replayed_file(recorded, file)
    assert result.undecodable == 0
    assert result.gaps == 0
    assert result.refused_reasons == REFUSED[file]


def test_every_file_of_frames_is_decodable(recorded: Path) -> None:
    files = [str(path.relative_to(recorded / "bybit")) for path in (recorded / "bybit").glob("*/*.jsonl")]
    frames = [file for file in files if "expected" not in file]  # those hold what another program made of frames
    assert len(frames) == 10
    for file in frames:
        assert replayed_file(recorded, file)[0].undecodable == 0, file


# --- the oracle -----------------------------------------------------------------------------------------------------------


def millis(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def theirs(entry: dict[str, Any]) -> tuple[Any, ...]:
    common = (entry["type"], entry["symbol"], millis(entry["timestamp"]))
    if entry["type"] == "trade":
        return *common, entry["id"], entry["price"], entry["amount"], entry["side"]
    if entry["type"] == "book_ticker":
        return *common, entry["bidPrice"], entry["bidAmount"], entry["askPrice"], entry["askAmount"]
    sides = [[(level["price"], level["amount"]) for level in entry[side]] for side in ("bids", "asks")]
    return *common, entry["isSnapshot"], *sides


def ours(message: object) -> tuple[Any, ...]:
    if isinstance(message, Trade):
        form = ("trade", message.pair.pair, message.venue_ms, message.trade_id)
        return *form, float(message.price), float(message.amount), message.side
    if isinstance(message, Bbo):
        best = [float(text) for text in (message.bid, message.bid_amount, message.ask, message.ask_amount)]
        return "book_ticker", message.pair.pair, message.venue_ms, *best
    assert isinstance(message, BookMessage)
    event = message.event
    assert isinstance(event, Snapshot | Delta)
    sides = [[(float(p), float(q)) for p, q in levels.items()] for levels in (event.bids, event.asks)]
    return "book_change", event.pair.pair, event.venue_ms, isinstance(event, Snapshot), *sides


@pytest.mark.parametrize("market, compared", [("spot", 8), ("futures", 7)])
def test_our_messages_agree_with_tardis_wherever_both_say_something(recorded: Path, market: str, compared: int) -> None:
    venue, seen = venue_of(f"{market}/"), 0
    for entry in lines(recorded, f"{market}/tardis_expected.jsonl"):
        if not isinstance(entry["expected"], list):
            continue  # derivative tickers and liquidations, which are theirs only
        messages = venue.decode(json.dumps(entry["raw"]), 1, RawInstruments(venue))
        said = [ours(message) for message in messages if isinstance(message, Trade | Bbo | BookMessage)]
        if said:
            assert said == [theirs(each) for each in entry["expected"]]
            seen += len(said)
    assert seen == compared
