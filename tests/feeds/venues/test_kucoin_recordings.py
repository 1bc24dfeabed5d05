"""KuCoin's recordings, by whichever name they are replayed; beside a naive book, the venue's own tickers, and tardis-dev."""

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
from feeds.recording import Recorded, read_recording
from feeds.replay import Replay, Replayed
from feeds.venue import BookMessage, Undecodable, Venue
from feeds.venues import kucoin, kucoin_classic
from feeds.venues.kucoin_recordings import HISTORY, BothGenerations

SESSION = "kucoin/spot/cf202104_session_ws.jsonl"
LAST = {  # recorded/INDEX.md: the last sequence of every book, the deltas behind its snapshot, those before it
    "BCHSV-USDT": (1613277186234, 2342, 19),
    "CAPP-BTC": (1612694580232, 92, 1),
    "ANKR-BTC": (1612734157965, 243, 2),
    "DAPPT-BTC": (1612701564029, 162, 8),
    "NRG-BTC": (1612702190374, 60, 6),
    "COV-BTC": (1612699351291, 48, 4),
}
BOTH = {history.venue.market: history.venue for history in HISTORY}
PRO = {venue.market: venue for venue in kucoin.MARKETS}
CLASSIC = {venue.market: venue for venue in kucoin_classic.MARKETS}


def replayed(
    venue: Venue, messages: list[Recorded], snapshots: dict[str, list[Recorded]] | None = None
) -> tuple[Replayed, list[Event]]:
    events: list[Event] = []
    replay = Replay(venue, RawInstruments(venue), messages, snapshots, on_event=events.append)
    return replay.run(), events


def snapshots_of(recorded: Path) -> dict[str, list[Recorded]]:
    files = (recorded / "kucoin/spot").glob("cf202104_rest_level2_*.jsonl")
    return {file.stem.rpartition("_")[2]: read_recording(file) for file in files}


def files(recorded: Path) -> Iterator[tuple[str, Path]]:
    for market in ("spot", "futures"):
        for file in sorted((recorded / "kucoin" / market).glob("*.jsonl")):
            if not file.name.startswith("tardis_expected"):  # no messages but what to make of them
                yield market, file


# --- the continuous one -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("venue", [BOTH["spot"], CLASSIC["spot"]], ids=repr)
def test_the_session_of_2021_replays_without_a_fault(recorded: Path, venue: Venue) -> None:
    result, events = replayed(venue, read_recording(recorded / SESSION), snapshots_of(recorded))
    assert (result.frames, result.undecodable, result.gaps, result.crossed) == (3556, 0, 0, 0)
    assert {symbol: pair.sequence for symbol, pair in result.pairs.items()} == {s: row[0] for s, row in LAST.items()}
    assert all(pair.live and pair.bids and pair.asks for pair in result.pairs.values())
    assert result.refused_reasons == {"topic /market/candles": 5}
    assert not any(isinstance(event, Reset) for event in events)
    assert {event.pair.venue for event in events} == {venue.name}
    for symbol, (_, applied, _) in LAST.items():
        own = [event for event in events if event.pair.pair == symbol]
        assert sum(isinstance(event, Delta) for event in own) == applied
        assert sum(isinstance(event, Snapshot) for event in own) == 1


def test_pro_alone_refuses_every_frame_of_it_by_name(recorded: Path) -> None:
    result, _ = replayed(PRO["spot"], read_recording(recorded / SESSION))
    assert (result.undecodable, result.refused) == (0, 3556)
    assert result.refused_reasons["classic message frame of /market/level2"] == 2987
    assert all(reason.startswith("classic") for reason in result.refused_reasons)


def test_a_dropped_delta_is_exactly_one_gap(recorded: Path) -> None:
    messages = read_recording(recorded / SESSION)
    deltas = [at for at, one in enumerate(messages) if b"/market/level2:BCHSV-USDT" in one.frame]
    del messages[deltas[1000]]
    result, _ = replayed(CLASSIC["spot"], messages, snapshots_of(recorded))
    assert (result.gaps, result.undecodable, result.crossed) == (1, 0, 0)
    assert {symbol: pair.gaps for symbol, pair in result.pairs.items() if pair.gaps} == {"BCHSV-USDT": 1}
    assert not result.pairs["BCHSV-USDT"].live


def test_final_books_equal_those_of_a_naive_reconstruction(recorded: Path) -> None:
    """The recipe of the sheet over plain JSON and Decimals, with nothing of ours in it."""
    result, _ = replayed(CLASSIC["spot"], read_recording(recorded / SESSION), snapshots_of(recorded))
    lines = [json.loads(line) for line in (recorded / SESSION).read_text().splitlines()]
    for symbol, answers in snapshots_of(recorded).items():
        start = json.loads(answers[0].frame)["data"]
        book = {side: {Decimal(p): Decimal(q) for p, q in start[side]} for side in ("bids", "asks")}
        dropped = 0
        for line in lines:
            if line.get("topic") != f"/market/level2:{symbol}":
                continue
            data = line["data"]
            dropped += data["sequenceEnd"] <= int(start["sequence"])
            for side in ("bids", "asks"):
                for price, size, sequence in data["changes"][side]:
                    if int(sequence) > int(start["sequence"]) and Decimal(price):
                        book[side][Decimal(price)] = Decimal(size)
        pair = result.pairs[symbol]
        bids = sorted(((p, q) for p, q in book["bids"].items() if q), reverse=True)[:20]
        asks = sorted((p, q) for p, q in book["asks"].items() if q)[:20]
        assert [(Decimal(p), Decimal(q)) for p, q in pair.bids] == bids
        assert [(Decimal(p), Decimal(q)) for p, q in pair.asks] == asks
        assert dropped == LAST[symbol][2]


def test_best_prices_equal_the_tickers_at_every_shared_sequence(recorded: Path) -> None:
    _, events = replayed(CLASSIC["spot"], read_recording(recorded / SESSION), snapshots_of(recorded))
    tickers = {(event.pair, event.sequence): event for event in events if isinstance(event, Bbo)}
    books: dict[object, Book] = {}
    compared = 0
    for event in events:
        if not isinstance(event, Snapshot | Delta):
            continue
        book = books.setdefault(event.pair, Book())
        book.apply(event)
        ticker = tickers.get((event.pair, event.sequence))
        if ticker is not None:
            compared += 1
            assert book.best_bid() == (ticker.bid, ticker.bid_amount)
            assert book.best_ask() == (ticker.ask, ticker.ask_amount)
    assert compared > 100


# --- every other file -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("venues", [BOTH, PRO, CLASSIC], ids=["both", "pro", "classic"])
def test_no_recorded_message_is_undecodable(recorded: Path, venues: dict[str, Venue]) -> None:
    """Neither real ones nor those of the documentation: what is not used is refused by name."""
    seen = 0
    for market, file in files(recorded):
        result, _ = replayed(venues[market], read_recording(file))
        assert result.undecodable == 0, (file.name, result.undecodable_reasons)
        seen += 1
    assert seen > 15


def test_both_generations_of_2026_replay_under_one_name(recorded: Path) -> None:
    folder = recorded / "kucoin/futures"
    pro, events = replayed(BOTH["futures"], read_recording(folder / "captured_uta_202609.jsonl"))
    assert (pro.undecodable, pro.gaps) == (0, 0)
    assert pro.pairs["ETHUSDTM"].sequence == 1736604716203
    assert pro.pairs["ETHUSDTM"].bids == [("2749.68", "277"), ("2749.61", "45")]
    assert pro.refused_reasons == {
        "channel obu of depth increment: it has no snapshot": 1,
        "channel mark-price": 1,
        "channel funding-fee": 1,
    }
    assert pro.answers == 5  # the welcome, an ack, two refusals, a pong
    assert [type(event) for event in events] == [Snapshot]  # the delta of the other contract waits for a snapshot
    classic, _ = replayed(BOTH["futures"], read_recording(folder / "captured_classic_202609.jsonl"))
    assert (classic.undecodable, classic.gaps) == (0, 0)
    assert classic.pairs["ETHUSDTM"].sequence == 1736604716188
    assert classic.refused_reasons == {"topic /contract/instrument": 2}


def test_the_delta_of_2026_spans_two_sequences(recorded: Path) -> None:
    lines = (recorded / "kucoin/futures/captured_uta_202609.jsonl").read_bytes().splitlines()
    (line,) = (one for one in lines if b'"delta"' in one and b"@10ms" in one)
    (message,) = PRO["futures"].decode(line, 1, RawInstruments(PRO["futures"]))
    assert isinstance(message, BookMessage)
    assert isinstance(message.event, Delta)
    assert (message.event.first_sequence, message.event.sequence) == (1747821262584, 1747821262585)
    assert message.event.bids == {"85973.3": "16236", "85887.1": "98"}


def test_no_line_of_any_file_raises_anything_but_undecodable(recorded: Path) -> None:
    lines = 0
    for market, file in files(recorded):
        for message in read_recording(file):
            lines += 1
            for venue in (BOTH[market], PRO[market], CLASSIC[market]):
                instruments = RawInstruments(venue)
                try:
                    venue.decode(message.frame, 1, instruments)
                    venue.parse_instruments([message.frame])
                except Undecodable:
                    pass
    assert lines > 3900


def test_what_a_replay_does_not_need_is_that_of_the_generations() -> None:
    both = BOTH["spot"]
    assert isinstance(both, BothGenerations)
    assert both.name == "kucoin"
    assert both.socket_url("base", "public") == "base"
    assert both.instruments_requests() == PRO["spot"].instruments_requests()
    row = {"symbol": "A-B", "baseCurrency": "A", "quoteCurrency": "B", "baseMinSize": "1", "baseIncrement": "1"}
    body = json.dumps({"code": "200000", "data": [{**row, "priceIncrement": "1", "enableTrading": True}]}).encode()
    (instrument,) = both.parse_instruments([body]).by_pair.values()
    assert instrument.pair.venue == "kucoin"
    topics = both.topics(instrument, "full", frozenset({"book"}))
    assert topics == PRO["spot"].topics(instrument, "full", frozenset({"book"}))
    assert both.subscribe(topics, 1) == PRO["spot"].subscribe(topics, 1)
    assert both.unsubscribe(topics, 1) == PRO["spot"].unsubscribe(topics, 1)


# --- tardis-dev -------------------------------------------------------------------------------------------------------------


def millis(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def tardis_form(message: object) -> dict[str, Any]:
    """Our message as tardis-dev would write it, as far as both say the same."""
    if isinstance(message, Trade):
        return {
            "type": "trade", "symbol": message.pair.pair, "id": message.trade_id, "price": float(message.price),
            "amount": float(message.amount), "side": message.side, "ms": message.venue_ms,
        }  # fmt: skip
    if isinstance(message, Bbo):
        return {
            "type": "book_ticker", "symbol": message.pair.pair, "bid": (float(message.bid), float(message.bid_amount)),
            "ask": (float(message.ask), float(message.ask_amount)), "ms": message.venue_ms,
        }  # fmt: skip
    assert isinstance(message, BookMessage)
    event = message.event
    assert isinstance(event, Delta)
    sides = {
        name: [(float(price), float(amount)) for price, amount in levels.items()]
        for name, levels in (("bids", event.bids), ("asks", event.asks))
    }
    return {"type": "book_change", "symbol": event.pair.pair} | sides


def our_form(theirs: dict[str, Any]) -> dict[str, Any]:
    common = {"type": theirs["type"], "symbol": theirs["symbol"]}
    if theirs["type"] == "book_change":
        return common | {side: [(one["price"], one["amount"]) for one in theirs[side]] for side in ("bids", "asks")}
    common["ms"] = millis(theirs["timestamp"])
    if theirs["type"] == "trade":
        return common | {name: theirs[name] for name in ("id", "price", "amount", "side")}
    return common | {
        "bid": (theirs["bidPrice"], theirs["bidAmount"]),
        "ask": (theirs["askPrice"], theirs["askAmount"]),
    }


@pytest.mark.parametrize("market, most", [("spot", {"trade": 3, "book_ticker": 1, "book_change": 2}),
                                          ("futures", {"trade": 2, "book_ticker": 1, "book_change": 1})])  # fmt: skip
def test_the_classic_decoder_agrees_with_tardis(recorded: Path, market: str, most: dict[str, int]) -> None:
    venue, compared = CLASSIC[market], dict.fromkeys(most, 0)
    for line in (recorded / "kucoin" / market / "tardis_expected.jsonl").read_text().splitlines():
        entry = json.loads(line)
        said = [
            one
            for one in venue.decode(json.dumps(entry["raw"]), 1, RawInstruments(venue))
            if isinstance(one, Trade | Bbo | BookMessage)
        ]
        expected = entry["expected"]
        if not said or not expected or not isinstance(expected, list):
            continue  # deltas before their snapshot are ours only; a snapshot frame of their own making is theirs only
        assert [tardis_form(one) for one in said] == [our_form(one) for one in expected]
        compared[expected[0]["type"]] += 1
    assert compared == most
