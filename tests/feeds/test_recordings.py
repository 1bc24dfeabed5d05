"""The claims of recorded/INDEX.md, replayed, beside two independent oracles: a naive book, and tardis-dev's decoders."""

import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from books.book import Book
from books.events import Bbo, Delta, Event, Reset, Snapshot, Trade
from feeds.recorded_venue import RawInstruments
from feeds.recording import read_recording
from feeds.venue import BookMessage, Undecodable
from feeds.venues import find, history
from tests.support.replays import BTC, ETH, other_files, replayed, snapshot_files, venue_of

LAST_IDS = {  # recorded/INDEX.md: the last update id of every pair
    BTC: {"BTCUSDT": 50093421584},
    ETH: {"ETHUSDT": 5123119075309},
    "binance/spot/cf202104_session_ws.jsonl": {
        "BUSDTRY": 10166148,
        "SWRVBUSD": 64830403,
        "VETETH": 327913381,
        "QSPBTC": 105811224,
        "AAVEUPUSDT": 82464143,
        "GTOBTC": 137196766,
        "PERLBNB": 97581387,
        "ONTTRY": 282150,
        "STEEMETH": 126265017,
        "ADARUB": 1720419,
    },
    "binance/spot/cf202110_session_ws.jsonl": {
        "NKNUSDT": 499870179,
        "BLZETH": 281916638,
        "LRCBTC": 259345563,
        "RUNEEUR": 15602513,
    },
    "binance/futures/cf202107_session_ws.jsonl": {
        "SUSHIUSDT": 600860425198,
        "AKROUSDT": 600860423964,
        "KEEPUSDT": 600860420312,
        "CTKUSDT": 600860423222,
    },
}
APPLIED = {  # deltas behind the snapshot
    "SUSHIUSDT": 252, "AKROUSDT": 188, "KEEPUSDT": 132, "CTKUSDT": 180, "ETHUSDT": 2723, "BTCUSDT": 3449, "BUSDTRY": 9,
    "SWRVBUSD": 129, "VETETH": 169, "QSPBTC": 19, "AAVEUPUSDT": 172, "GTOBTC": 26, "PERLBNB": 39, "ONTTRY": 16,
    "STEEMETH": 7, "ADARUB": 4, "NKNUSDT": 149, "BLZETH": 9, "LRCBTC": 13, "RUNEEUR": 1,
}  # fmt: skip
OKX_MESSAGES = {  # recorded/INDEX.md: book messages and snapshots of every instrument
    "okx/futures/{}cf202202_session_ws.jsonl": {
        "ETH-USD-220624-20000-C": (10, 2),
        "ETH-USD-220429-1900-P": (13, 2),
        "BTC-USD-220325-40000-C": (62, 2),
        "ETH-USD-220624-12000-P": (22, 2),
        "UNI-USD-SWAP": (1337, 2),
        "ETH-USD-220325-8800-P": (25, 2),
        "ETH-USD-220228-3000-C": (4, 2),
    },
    "okx/futures/{}cf202205_session_ws.jsonl": {"BTC-USD-220527": (99, 1), "UNI-USD-SWAP": (93, 1)},
    "okx/spot/{}cf202202_session_ws.jsonl": {"PROPS-ETH": (208, 2), "ZEN-USDT": (396, 2), "ELON-USDT": (1602, 2)},
    "okx/spot/{}cf202205_session_ws.jsonl": {"BTC-USDT": (98, 1)},
}


# --- what INDEX.md claims -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", LAST_IDS)
def test_binance_recordings_replay_without_a_fault(recorded: Path, file: str) -> None:
    result, events = replayed(recorded, file)
    assert (result.undecodable, result.gaps, result.crossed, result.checksum_failures) == (0, 0, 0, 0)
    assert {symbol: pair.sequence for symbol, pair in result.pairs.items()} == LAST_IDS[file]
    assert all(pair.live and pair.bids and pair.asks for pair in result.pairs.values())
    assert not any(isinstance(event, Reset) for event in events)
    assert result.frames == sum(1 for line in (recorded / file).read_bytes().splitlines() if line)
    for symbol in result.pairs:
        applied = [event for event in events if isinstance(event, Delta) and event.pair.pair == symbol]
        assert len(applied) == APPLIED[symbol]


@pytest.mark.parametrize(
    "file, refused",
    [
        (BTC, 0),
        (ETH, 0),
        ("binance/spot/cf202104_session_ws.jsonl", 20),
        ("binance/futures/cf202107_session_ws.jsonl", 67),
    ],
)
def test_only_candles_of_binance_recordings_are_refused(recorded: Path, file: str, refused: int) -> None:
    result, _ = replayed(recorded, file)
    assert result.refused == refused
    assert result.refused_reasons == ({"stream kline_1m": refused} if refused else {})


@pytest.mark.parametrize("file, compared", [(BTC, 564), (ETH, 203)])
def test_best_prices_and_amounts_equal_the_book_tickers_at_every_shared_id(
    recorded: Path, file: str, compared: int
) -> None:
    _, events = replayed(recorded, file)
    tickers = {event.sequence: event for event in events if isinstance(event, Bbo)}
    book, seen = Book(), 0
    for event in events:
        if not isinstance(event, Snapshot | Delta):
            continue
        book.apply(event)
        ticker = tickers.get(event.sequence)
        if ticker is not None and isinstance(event, Delta):
            seen += 1
            assert book.best_bid() == (ticker.bid, ticker.bid_amount)
            assert book.best_ask() == (ticker.ask, ticker.ask_amount)
    assert seen == compared


def naive_binance_book(recorded: Path, file: str, symbol: str) -> tuple[list[list[Decimal]], list[list[Decimal]]]:
    """The venue's recipe over plain JSON and Decimals, with nothing of ours in it: the last 20 best levels a side."""
    lines = [json.loads(line) for line in (recorded / file).read_text().splitlines()]
    snapshots = [line for line in lines if "lastUpdateId" in line]
    if not snapshots:
        snapshots = [json.loads(snapshot_files(recorded, file)[symbol].read_text())]
    book = {
        side: {Decimal(p): Decimal(q) for p, q in snapshots[0][name]} for side, name in (("b", "bids"), ("a", "asks"))
    }
    for line in lines:
        data = line.get("data", {})
        if data.get("e") == "depthUpdate" and data["s"] == symbol and data["u"] > snapshots[0]["lastUpdateId"]:
            for side in "ba":
                for price, amount in data[side]:
                    book[side][Decimal(price)] = Decimal(amount)
    held = {side: [[p, q] for p, q in levels.items() if q] for side, levels in book.items()}
    return sorted(held["b"], reverse=True)[:20], sorted(held["a"])[:20]


@pytest.mark.parametrize("file", LAST_IDS)
def test_final_books_equal_those_of_a_naive_reconstruction(recorded: Path, file: str) -> None:
    result, _ = replayed(recorded, file)
    for symbol, pair in result.pairs.items():
        bids, asks = naive_binance_book(recorded, file, symbol)
        assert [[Decimal(price), Decimal(amount)] for price, amount in pair.bids] == bids
        assert [[Decimal(price), Decimal(amount)] for price, amount in pair.asks] == asks


@pytest.mark.parametrize("pattern", OKX_MESSAGES)
def test_okx_recordings_of_2022_replay_by_their_checksums(recorded: Path, pattern: str) -> None:
    result, events = replayed(recorded, pattern.format(""))
    expected = OKX_MESSAGES[pattern]
    assert (result.undecodable, result.gaps, result.crossed, result.checksum_failures) == (0, 0, 0, 0)
    assert result.checksums_verified == sum(messages for messages, _ in expected.values())
    assert_messages(events, expected)
    assert set(result.refused_reasons) == {"channel tickers"}


@pytest.mark.parametrize("pattern", OKX_MESSAGES)
def test_okx_recordings_with_derived_ids_replay_by_todays_rule(recorded: Path, pattern: str) -> None:
    result, events = replayed(recorded, pattern.format("derived_seqid_"))
    assert (result.undecodable, result.gaps, result.crossed) == (0, 0, 0)
    assert result.checksums_verified == 0
    assert_messages(events, OKX_MESSAGES[pattern])
    lines = [json.loads(line) for line in (recorded / pattern.format("derived_seqid_")).read_text().splitlines()]
    for symbol, pair in result.pairs.items():
        books = [line for line in lines if line["arg"]["instId"] == symbol and "action" in line]
        assert pair.sequence == books[-1]["data"][-1]["seqId"]


def assert_messages(events: list[Event], expected: dict[str, tuple[int, int]]) -> None:
    for symbol, (messages, snapshots) in expected.items():
        own = [event for event in events if event.pair.pair == symbol]
        assert sum(isinstance(event, Snapshot) for event in own) == snapshots
        assert sum(isinstance(event, Delta) for event in own) == messages - snapshots


@pytest.mark.parametrize("pattern", OKX_MESSAGES)
def test_both_rules_build_the_same_okx_books(recorded: Path, pattern: str) -> None:
    old, _ = replayed(recorded, pattern.format(""))
    new, _ = replayed(recorded, pattern.format("derived_seqid_"))
    assert old.pairs.keys() == new.pairs.keys() == OKX_MESSAGES[pattern].keys()
    for symbol, pair in old.pairs.items():
        assert (pair.bids, pair.asks) == (new.pairs[symbol].bids, new.pairs[symbol].asks)
        assert pair.sequence is None
        assert pair.live


def test_okx_of_today_replays_with_its_own_ids(recorded: Path) -> None:
    result, events = replayed(recorded, "okx/spot/captured_202609.jsonl")
    assert (result.undecodable, result.refused, result.gaps) == (0, 0, 0)
    assert result.pairs["SOL-USDT"].sequence == 32032594315
    assert result.pairs["SOL-USDT"].bids == [("120.65", "46.716665")]
    assert [type(event) for event in events] == [Snapshot, Delta, Trade]


# --- every other file ----------------------------------------------------------------------------------------------------


def test_real_public_messages_are_never_undecodable(recorded: Path) -> None:
    real = ("cmp_samples", "tardis_samples", "gct_", "captured_", "nautilus_", "session_ws", "with_snapshot")
    files = [file for file in other_files(recorded) if any(word in file for word in real)]
    assert len(files) > 20
    for file in files:
        assert replayed(recorded, file)[0].undecodable == 0, file


def test_no_line_of_any_file_raises_anything_but_undecodable(recorded: Path) -> None:
    lines = 0
    for file in other_files(recorded):
        if "session_ws" in file or "with_snapshot" in file:
            continue  # replayed above
        venue = find(*venue_of(file))
        for recorded_line in read_recording(recorded / file):
            lines += 1
            try:
                venue.decode(recorded_line.frame, 1, RawInstruments(venue))
                venue.parse_instruments([recorded_line.frame])
            except Undecodable:
                pass
    assert lines > 600


def expected_forms(recorded: Path) -> Iterator[tuple[str, str, bytes, list[dict[str, Any]]]]:
    for folder in ("binance/spot", "binance/futures", "okx/spot", "okx/futures"):
        for line in (recorded / folder / "tardis_expected.jsonl").read_text().splitlines():
            entry = json.loads(line)
            if isinstance(entry["expected"], list):
                yield *venue_of(folder + "/x"), json.dumps(entry["raw"]).encode(), entry["expected"]


def millis(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def tardis_form(message: object) -> dict[str, Any]:
    """Our messages as tardis-dev would write them, as far as both say the same."""
    if isinstance(message, Trade):
        return {
            "type": "trade", "symbol": message.pair.pair, "id": message.trade_id, "price": float(message.price),
            "amount": float(message.amount), "side": message.side, "ms": message.venue_ms,
        }  # fmt: skip
    if isinstance(message, Bbo):
        return {
            "type": "book_ticker", "symbol": message.pair.pair, "bid": (float(message.bid), float(message.bid_amount)),
            "ask": (float(message.ask), float(message.ask_amount)),
        }  # fmt: skip
    assert isinstance(message, BookMessage)
    event = message.event
    assert isinstance(event, Snapshot | Delta)
    sides = {
        name: [(float(price), float(amount)) for price, amount in levels.items()]
        for name, levels in (("bids", event.bids), ("asks", event.asks))
    }
    kind = {"type": "book_change", "symbol": event.pair.pair, "isSnapshot": isinstance(event, Snapshot)}
    return kind | sides | {"ms": event.venue_ms}


def our_form(theirs: dict[str, Any]) -> dict[str, Any]:
    common = {"type": theirs["type"], "symbol": theirs["symbol"]}
    if theirs["type"] == "trade":
        rest = {name: theirs[name] for name in ("id", "price", "amount", "side")}
        return common | rest | {"ms": millis(theirs["timestamp"])}
    if theirs["type"] == "book_ticker":
        return common | {
            "bid": (theirs["bidPrice"], theirs["bidAmount"]),
            "ask": (theirs["askPrice"], theirs["askAmount"]),
        }
    sides = {side: [(level["price"], level["amount"]) for level in theirs[side]] for side in ("bids", "asks")}
    return common | {"isSnapshot": theirs["isSnapshot"]} | sides | {"ms": millis(theirs["timestamp"])}


def test_decoders_agree_with_tardis_wherever_both_say_something(recorded: Path) -> None:
    compared = {"trade": 0, "book_ticker": 0, "book_change": 0}
    for venue_name, market, frame, expected in expected_forms(recorded):
        venue = history(venue_name, market).venue
        messages = venue.decode(frame, 1, RawInstruments(venue))
        said = [message for message in messages if isinstance(message, Trade | Bbo | BookMessage)]
        if not said or not expected or any(entry["type"] == "derivative_ticker" for entry in expected):
            continue  # one of both ignores it: tickers are theirs only, and deltas of an unsynced book ours only
        if b"depthSnapshot" in frame:
            continue  # a stream of tardis' own
        assert [tardis_form(message) for message in said] == [our_form(entry) for entry in expected]
        compared[expected[0]["type"]] += 1
    assert compared["trade"] >= 7
    assert compared["book_ticker"] >= 3
    assert compared["book_change"] >= 6
