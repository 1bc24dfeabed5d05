"""Recorded HTX messages, replayed by the session that serves live, and tardis-dev's decoder as an oracle."""

import gzip
import json
import random
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from books.events import Bbo, Delta, Snapshot, Trade
from feeds import venues
from feeds.recorded_venue import RawInstruments
from feeds.recording import read_recording
from feeds.session import Session
from feeds.venue import BookMessage, Image, Undecodable
from feeds.venues.htx import MARKETS
from feeds.venues.htx.spot import FEED
from fleet.pair import Pair
from tests.support.replays import replayed

SPOT, FUTURES = MARKETS
SESSIONS = {  # whole books of depth.step0: recorded/INDEX.md counts them
    "htx/spot/cf202104_session_ws_gzip.jsonl": {
        "trioeth": 26, "borusdt": 27, "xvgeth": 31, "yfihusd": 31, "zeneth": 31, "dogeeth": 30, "propyeth": 25,
    },
    "htx/futures/cf202202_session_ws_gzip.jsonl": {"GRT-USDT": 243, "BTT-USDT": 195, "SOS-USDT": 573},
    "htx/futures/cf20220217_session_ws_gzip.jsonl": {"BTC-USDT": 81},
}  # fmt: skip


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    for venue in MARKETS:
        monkeypatch.setitem(venues.VENUES, ("htx", venue.market), venue)


def files(recorded: Path) -> list[str]:
    found = sorted((recorded / "htx").glob("*/*.jsonl"))
    return [str(path.relative_to(recorded)) for path in found if path.name != "tardis_expected.jsonl"]


def images(recorded: Path, file: str) -> dict[str, list[dict[str, Any]]]:
    """What a session holds, read with nothing of ours."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in read_recording(recorded / file):
        message = json.loads(gzip.decompress(line.frame), parse_float=Decimal, parse_int=Decimal)
        if "depth" in message.get("ch", ""):
            found.setdefault(message["ch"].split(".")[1], []).append(message["tick"])
    return found


@pytest.mark.parametrize("file", SESSIONS)
def test_sessions_of_whole_books_replay_as_images(recorded: Path, file: str) -> None:
    result, events = replayed(recorded, file)
    assert (result.undecodable, result.gaps, result.crossed, result.refused) == (0, 0, 0, 0)
    assert {symbol: len(ticks) for symbol, ticks in images(recorded, file).items()} == SESSIONS[file]
    for symbol, ticks in images(recorded, file).items():
        own = [event for event in events if event.pair.pair == symbol]
        assert sum(isinstance(event, Snapshot) for event in own) == 1
        assert 0 < sum(isinstance(event, Delta) for event in own) < len(ticks)
        pair = result.pairs[symbol]
        for ours, theirs in ((pair.bids, ticks[-1]["bids"]), (pair.asks, ticks[-1]["asks"])):
            assert [[Decimal(price), Decimal(amount)] for price, amount in ours] == theirs[:20]
        assert pair.sequence == ticks[-1].get("mrid", ticks[-1]["version"])
    assert any(isinstance(event, Trade) for event in events)


def test_no_line_of_any_file_is_undecodable_and_what_is_not_used_is_named(recorded: Path) -> None:
    lines = 0
    for file in files(recorded):
        result, _ = replayed(recorded, file)
        lines += result.frames
        assert result.undecodable == 0, (file, result.undecodable_reasons)
        assert all(result.refused_reasons)
        assert result.crossed == 0
    assert lines > 1_600


def reasons(recorded: Path, file: str) -> dict[str, int]:
    return replayed(recorded, file)[0].refused_reasons


def test_old_versions_and_other_channels_are_refused_by_name(recorded: Path) -> None:
    spot = reasons(recorded, "htx/spot/tardis_samples.jsonl")
    assert spot["changes of 2019, without a sequence"] == 2
    assert spot["trade without tradeId (2019)"] == 2
    assert spot["symbol BTC_NW: a contract, not spot"] == 1
    swaps = reasons(recorded, "htx/futures/cmp_samples.jsonl")
    assert swaps["channel depth.step7"] == 5
    assert swaps["answer of REST"] == 6
    assert reasons(recorded, "htx/futures/tardis_samples.jsonl")["trade that names no side"] == 1
    assert reasons(recorded, "htx/spot/gct_huobi_wsMyOrders.jsonl") == {"frame of the private socket: action push": 4}


def test_a_snapshot_of_2026_and_its_next_delta_link(recorded: Path) -> None:
    result, events = replayed(recorded, "htx/futures/captured_202609.jsonl")
    assert (result.undecodable, result.gaps, result.crossed) == (0, 0, 0)
    assert [type(event) for event in events] == [Snapshot, Delta, Bbo]
    pair = result.pairs["BTC-USDT"]
    assert (pair.live, pair.sequence) == (True, 1789895280798)
    assert pair.bids == [("86859.8", "6172"), ("86858.5", "147"), ("86858.4", "306"), ("86853.4", "2")]
    assert pair.asks == [("86859.9", "817"), ("86864.5", "14"), ("86864.6", "135")]
    assert not result.pairs["STEEM-USDT"].live  # an update before its snapshot


def real_chain(recorded: Path) -> tuple[list[bytes], bytes]:
    """Five real deltas of `mbp.150` in order, and the answer to `req` that fell among them."""
    lines = (recorded / "htx/spot/tardis_samples.jsonl").read_bytes().splitlines()
    deltas = [
        line for line in lines if b'"ch":"market.btcusdt.mbp.150"' in line and b'"seqNum":109409288576' not in line
    ]
    answer = next(line for line in lines if b'"rep"' in line)
    return sorted(deltas, key=lambda line: int(json.loads(line)["tick"]["seqNum"])), answer


def spliced(frames: list[bytes]) -> Session:
    """A live session on `/feed` that hears these frames of `btcusdt`."""
    raw = RawInstruments(SPOT)
    session = Session(SPOT, raw, FEED, random.Random(0))
    instrument = raw.find("btcusdt")
    assert instrument is not None
    session.add(instrument, "50", frozenset({"book"}), 0, 0.0)
    session.opened(0.0)
    session.receive(b'{"id":"1","status":"ok","subbed":"market.btcusdt.mbp.150","ts":1}', 0, 0.0)
    for frame in frames:
        session.receive(frame, 0, 0.0)
    return session


BTC = Pair("htx", "spot", "btcusdt")


def test_a_real_answer_to_req_is_spliced_into_its_real_deltas(recorded: Path) -> None:
    deltas, answer = real_chain(recorded)
    session = spliced([*deltas[:4], answer, deltas[4]])
    feed = session.feeds[BTC]
    assert (session.undecodable, feed.gaps, feed.crossed) == (0, 0, 0)
    assert (feed.live, feed.sequence) == (True, 109409288253)
    naive: dict[str, dict[Decimal, Decimal]] = {"bids": {}, "asks": {}}
    for line in [answer, *deltas]:
        message = json.loads(line, parse_float=Decimal, parse_int=Decimal)
        levels = message.get("data") or message["tick"]
        for side in naive if levels["seqNum"] > 109409288160 or "data" in message else ():
            naive[side] |= dict(levels[side])
    for ours, side in ((feed.book.bids, "bids"), (feed.book.asks, "asks")):
        held = {price: size for price, size in naive[side].items() if size}
        assert {Decimal(price): Decimal(amount) for price, amount in ours.items()} == held


def test_one_lost_delta_of_a_real_chain_is_one_gap(recorded: Path) -> None:
    deltas, answer = real_chain(recorded)
    feed = spliced([*deltas[:3], answer, deltas[4]]).feeds[BTC]
    assert (feed.gaps, feed.live) == (1, False)


def test_a_real_answer_that_is_older_than_the_first_delta_is_not_taken(recorded: Path) -> None:
    deltas, answer = real_chain(recorded)
    feed = spliced([*deltas[3:], answer]).feeds[BTC]  # from 109409288204, the answer is of 109409288160
    assert (feed.gaps, feed.live) == (0, False)
    assert "older than the kept deltas" in feed.reason


def test_the_splice_is_that_of_tardis(recorded: Path) -> None:
    deltas, answer = real_chain(recorded)
    lines = (recorded / "htx/spot/tardis_expected.jsonl").read_text().splitlines()
    (expected,) = next(entry["expected"] for entry in map(json.loads, lines) if "rep" in entry["raw"])
    book = spliced([*deltas[:4], answer]).feeds[BTC].book
    for ours, side in ((book.bids, "bids"), (book.asks, "asks")):
        theirs = {level["price"]: level["amount"] for level in expected[side]}
        assert {float(price): float(amount) for price, amount in ours.items()} == {p: q for p, q in theirs.items() if q}


def form(message: object) -> dict[str, Any]:
    """Our messages as tardis-dev would write them, as far as both say the same (books: not the time, theirs is another)."""
    if isinstance(message, Trade):
        return {
            "type": "trade", "symbol": message.pair.pair.upper(), "id": message.trade_id, "price": float(message.price),
            "amount": float(message.amount), "side": message.side,
        }  # fmt: skip
    if isinstance(message, Bbo):
        return {
            "type": "book_ticker", "symbol": message.pair.pair.upper(), "bidPrice": float(message.bid),
            "bidAmount": float(message.bid_amount), "askPrice": float(message.ask), "askAmount": float(message.ask_amount),
        }  # fmt: skip
    assert isinstance(message, BookMessage)
    event = message.event.snapshot if isinstance(message.event, Image) else message.event
    sides = {
        name: [{"price": float(price), "amount": float(amount)} for price, amount in levels.items()]
        for name, levels in (("bids", event.bids), ("asks", event.asks))
    }
    return {
        "type": "book_change", "symbol": event.pair.pair.upper(), "isSnapshot": isinstance(event, Snapshot), **sides,
    }  # fmt: skip


def test_decoders_agree_with_tardis_wherever_both_say_something(recorded: Path) -> None:
    compared: Counter[str] = Counter()
    for venue in MARKETS:
        for line in (recorded / f"htx/{venue.market}/tardis_expected.jsonl").read_text().splitlines():
            entry = json.loads(line)
            messages = venue.decode(json.dumps(entry["raw"]), 1, RawInstruments(venue))
            said = [message for message in messages if isinstance(message, Trade | Bbo | BookMessage)]
            if not said or not isinstance(entry["expected"], list) or not entry["expected"] or "rep" in entry["raw"]:
                continue  # one of both ignores it; answers to `req` are compared spliced, above
            for message, theirs in zip(said, entry["expected"], strict=True):
                ours = form(message)
                assert ours == {name: theirs[name] for name in ours}
                compared[theirs["type"]] += 1
    assert compared == {"trade": 4, "book_ticker": 3, "book_change": 4}


def test_real_contracts_come_out_in_coins(recorded: Path) -> None:
    lines = (recorded / "htx/futures/docs_jkorf_rest.jsonl").read_bytes().splitlines()
    contracts = FUTURES.parse_instruments(
        [next(line for line in lines if b'"contract_code":"BTC-USDT-211203","contract_size"' in line)]
    )
    trades = books = 0
    for line in read_recording(recorded / "htx/futures/cmp_samples.jsonl"):
        for message in FUTURES.decode(line.frame, 1, contracts):
            if isinstance(message, Trade):
                trades += 1
                assert (message.price, message.amount) == ("58769.9", "0.04")  # 40 contracts of 0.001
            elif isinstance(message, BookMessage) and isinstance(message.event, Snapshot):
                books += 1
                assert next(iter(message.event.bids.items())) == ("39054.9", "4.754")
    assert (trades, books) == (1, 1)


def test_metadata_of_2021_is_read_whole(recorded: Path) -> None:
    body = (recorded / "htx/spot/cf202104_rest_symbols.jsonl").read_bytes()
    known = SPOT.parse_instruments([body])
    rows = json.loads(body, parse_float=Decimal)["data"]
    assert len(known.by_pair) == len(known.by_symbol) == len(rows) == 938
    assert known.refused == {}
    for row in rows:
        one = known.by_symbol[row["symbol"]]
        assert Decimal(one.tick) == Decimal(10) ** -row["price-precision"]
        assert Decimal(one.min_amount) == row["limit-order-min-order-amt"]
        assert Decimal(one.min_notional or "0") == row["min-order-value"]


def test_no_file_is_taken_for_metadata_that_is_none(recorded: Path) -> None:
    taken = []
    for file in files(recorded):
        for venue in MARKETS:
            for line in read_recording(recorded / file):
                try:
                    found = venue.parse_instruments([line.frame])
                except Undecodable:
                    continue
                if found.by_pair:
                    taken.append((venue.market, file))
    assert set(taken) == {
        ("spot", "htx/spot/cf202104_rest_symbols.jsonl"),
        ("futures", "htx/futures/docs_jkorf_rest.jsonl"),
    }
