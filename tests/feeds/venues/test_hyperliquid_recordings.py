"""Every recorded file of Hyperliquid, replayed, beside two independent oracles: plain JSON, and tardis-dev's decoder."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from books.book import Book
from books.events import Bbo, Delta, Event, Snapshot, Trade
from feeds.recorded_venue import RawInstruments
from feeds.recording import Recorded, read_recording
from feeds.replay import Replay, Replayed
from feeds.venue import BookMessage, Image, Undecodable, Venue
from feeds.venues.hyperliquid import MARKETS

SPOT, FUTURES = MARKETS
CONTINUOUS = "futures/BTC_20250126_l2Book_trades.jsonl"
OTHERS = {  # file: frames, of them refused by name
    "futures/docs_jkorf_rest.jsonl": (7, 7),
    "futures/nautilus_rest_fixtures.jsonl": (10, 10),
    "futures/nautilus_ws_fixtures.jsonl": (3, 3),
    "futures/tardis_samples.jsonl": (10, 2),
    "spot/docs_jkorf_rest.jsonl": (16, 16),
    "spot/docs_jkorf_ws.jsonl": (21, 11),
}


def venue_of(file: str) -> Venue:
    return SPOT if file.startswith("spot/") else FUTURES


def replay(venue: Venue, messages: list[Recorded]) -> tuple[Replayed, list[Event]]:
    events: list[Event] = []
    running = Replay(venue, RawInstruments(venue), messages, on_event=events.append)
    return running.run(), events


def messages_of(recorded: Path, file: str) -> list[Recorded]:
    return read_recording(recorded / "hyperliquid" / file)


def naive_book(frame: bytes) -> tuple[dict[float, float], dict[float, float]]:
    """Both sides as plain JSON says them."""
    bids, asks = json.loads(frame)["data"]["levels"]
    return {float(row["px"]): float(row["sz"]) for row in bids}, {float(row["px"]): float(row["sz"]) for row in asks}


def numbers(book: Book) -> tuple[dict[float, float], dict[float, float]]:
    bids, asks = ({float(p): float(q) for p, q in side.items()} for side in (book.bids, book.asks))
    return bids, asks


def test_46_books_and_their_trades_replay_without_a_fault(recorded: Path) -> None:
    result, events = replay(FUTURES, messages_of(recorded, CONTINUOUS))
    assert (result.frames, result.undecodable, result.refused, result.gaps, result.crossed) == (55, 0, 0, 0, 0)
    assert [type(event) for event in events].count(Snapshot) == 1
    book = result.pairs["BTC"]
    assert (book.live, book.sequence, len(book.bids), len(book.asks)) == (True, 1737918868877, 20, 20)


def test_the_book_after_every_image_is_the_image(recorded: Path) -> None:
    book, compared = Book(), 0
    images = [message for message in messages_of(recorded, CONTINUOUS) if b'"l2Book"' in message.frame]
    assert len(images) == 46
    for count, message in enumerate(images, 1):
        _, events = replay(FUTURES, images[:count])
        for event in events[compared:]:
            assert isinstance(event, Snapshot | Delta)
            book.apply(event)
        compared = len(events)
        assert numbers(book) == naive_book(message.frame)


def test_dropping_any_image_costs_only_its_own_moment(recorded: Path) -> None:
    messages = messages_of(recorded, CONTINUOUS)
    whole, _ = replay(FUTURES, messages)
    for dropped in (3, 20, 40):
        result, _ = replay(FUTURES, messages[:dropped] + messages[dropped + 1 :])
        assert result.gaps == 0
        assert result.pairs == whole.pairs


def test_images_in_the_wrong_order_do_not_turn_the_book_back(recorded: Path) -> None:
    images = [message for message in messages_of(recorded, CONTINUOUS) if b'"l2Book"' in message.frame]
    ordered, _ = replay(FUTURES, images)
    turned, _ = replay(FUTURES, [*images[:-2], images[-1], images[-2]])
    assert turned.pairs == ordered.pairs


def test_every_trade_of_the_recording_comes_out(recorded: Path) -> None:
    _, events = replay(FUTURES, messages_of(recorded, CONTINUOUS))
    rows = [
        row
        for message in messages_of(recorded, CONTINUOUS)
        if b'"trades"' in message.frame
        for row in json.loads(message.frame)["data"]
    ]
    trades = [event for event in events if isinstance(event, Trade)]
    assert [(trade.trade_id, float(trade.price), trade.side) for trade in trades] == [
        (str(row["tid"]), float(row["px"]), {"A": "sell", "B": "buy"}[row["side"]]) for row in rows
    ]
    assert len(trades) > 20


@pytest.mark.parametrize("file", OTHERS)
def test_other_files_are_read_or_refused_by_name(recorded: Path, file: str) -> None:
    result, _ = replay(venue_of(file), messages_of(recorded, file))
    assert result.undecodable_reasons == []
    assert (result.undecodable, result.gaps, result.crossed) == (0, 0, 0)
    assert (result.frames, result.refused) == OTHERS[file]
    assert sum(result.refused_reasons.values()) == result.refused


def test_no_file_is_forgotten(recorded: Path) -> None:
    folder = recorded / "hyperliquid"
    files = {str(path.relative_to(folder)) for path in folder.glob("*/*.jsonl")}
    assert files == {CONTINUOUS, *OTHERS, "futures/tardis_expected.jsonl"}


def test_no_recorded_line_raises_anything_but_undecodable(recorded: Path) -> None:
    for file in OTHERS:
        venue = venue_of(file)
        for message in messages_of(recorded, file):
            for read in (
                lambda frame, venue=venue: venue.decode(frame, 1, RawInstruments(venue)),
                lambda frame, venue=venue: venue.parse_instruments([frame]),
            ):
                try:
                    read(message.frame)
                except Undecodable:
                    pass


def test_spot_documentation_gives_best_prices_a_book_and_a_trade(recorded: Path) -> None:
    _, events = replay(SPOT, messages_of(recorded, "spot/docs_jkorf_ws.jsonl"))
    assert [type(event) for event in events] == [Bbo, Snapshot, Trade]


def our_form(message: object) -> dict[str, Any]:
    """Our messages as tardis-dev writes them."""
    if isinstance(message, Trade):
        return {
            "type": "trade", "symbol": message.pair.pair, "id": message.trade_id, "price": float(message.price),
            "amount": float(message.amount), "side": message.side, "ms": message.venue_ms,
        }  # fmt: skip
    if isinstance(message, Bbo):
        sides = {
            "bid": message.bid,
            "bid_amount": message.bid_amount,
            "ask": message.ask,
            "ask_amount": message.ask_amount,
        }
        return {"type": "book_ticker", "symbol": message.pair.pair, "ms": message.venue_ms} | {
            name: float(text) for name, text in sides.items() if text
        }
    assert isinstance(message, BookMessage)
    assert isinstance(message.event, Image)
    event = message.event.snapshot
    return {
        "type": "book_change", "symbol": event.pair.pair, "ms": event.venue_ms,
        "bids": {float(p): float(q) for p, q in event.bids.items()},
        "asks": {float(p): float(q) for p, q in event.asks.items()},
    }  # fmt: skip


def their_form(entry: dict[str, Any]) -> dict[str, Any]:
    common = {"type": entry["type"], "symbol": entry["symbol"]}
    common["ms"] = round(datetime.fromisoformat(entry["timestamp"]).timestamp() * 1000)
    if entry["type"] == "trade":
        return common | {name: entry[name] for name in ("id", "price", "amount", "side")}
    if entry["type"] == "book_ticker":
        names = {"bid": "bidPrice", "bid_amount": "bidAmount", "ask": "askPrice", "ask_amount": "askAmount"}
        return common | {ours: entry[theirs] for ours, theirs in names.items()}
    assert entry["isSnapshot"] is True
    return common | {side: {level["price"]: level["amount"] for level in entry[side]} for side in ("bids", "asks")}


def test_tardis_says_the_same_wherever_both_say_something(recorded: Path) -> None:
    compared = []
    for line in (recorded / "hyperliquid/futures/tardis_expected.jsonl").read_text().splitlines():
        entry = json.loads(line)
        said = FUTURES.decode(json.dumps(entry["raw"]), 1, RawInstruments(FUTURES))
        ours = [our_form(message) for message in said if isinstance(message, Trade | Bbo | BookMessage)]
        if isinstance(entry["expected"], list) and entry["expected"] and ours:
            assert ours == [their_form(one) for one in entry["expected"]]
            compared += [one["type"] for one in ours]
    assert sorted(compared) == ["book_change", "book_change", "book_ticker", "trade", "trade"]


def test_tardis_sees_an_absent_side_as_absent_too(recorded: Path) -> None:
    """Written as JavaScript, `undefined` included, so read by eye: bid 107575 × 3.87947, no ask."""
    lines = (recorded / "hyperliquid/futures/tardis_expected.jsonl").read_text().splitlines()
    entry = json.loads(lines[-1])
    assert '"askPrice": undefined' in entry["expected"]
    (best,) = FUTURES.decode(json.dumps(entry["raw"]), 1, RawInstruments(FUTURES))
    assert isinstance(best, Bbo)
    assert (best.bid, best.bid_amount, best.ask, best.ask_amount) == ("107575", "3.87947", "", "")
