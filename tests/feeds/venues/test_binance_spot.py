"""Binance spot: payloads of the venue sheet, requests, and what its answers mean."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from books.events import Bbo, Delta, Snapshot, SnapshotReason, Trade
from books.sequence import CONTIGUOUS, IMAGES
from feeds.venue import (
    BookMessage,
    Bootstrap,
    Image,
    Instrument,
    Instruments,
    InstrumentStatus,
    RestRequest,
    Topic,
    Undecodable,
    Unused,
)
from feeds.venues.binance.spot import BinanceSpot
from fleet.errors import ConfigError
from fleet.pair import Pair

VENUE = BinanceSpot()
PAIR = Pair("binance", "spot", "BTC/USDT")
BTC = Instrument(
    pair=PAIR,
    symbol="BTCUSDT",
    status=InstrumentStatus.TRADING,
    tick="0.01",
    lot="0.00001",
    min_amount="0.00001",
    min_notional="5",
    contract_size=Decimal(1),
)
KNOWN = Instruments([BTC])
ALL = frozenset({"book", "bbo", "trades"})


def test_a_diff_is_a_delta_with_both_ends_and_the_events_time() -> None:
    frame = (
        '{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1795348800105,"s":"BTCUSDT","U":72345678951,'
        '"u":72345678990,"b":[["65000.10000000","1.10450000"],["64990.00000000","0.00000000"]],'
        '"a":[["65000.11000000","0.90010000"]]}}'
    )
    assert VENUE.decode(frame, 7, KNOWN) == [
        BookMessage(
            "btcusdt@depth@100ms",
            Delta(
                pair=PAIR,
                received_us=7,
                venue_ms=1795348800105,
                bids={"65000.1": "1.1045", "64990": "0"},
                asks={"65000.11": "0.9001"},
                sequence=72345678990,
                first_sequence=72345678951,
                previous_sequence=None,
            ),
        )
    ]


def test_partial_depth_is_an_image_of_the_symbol_in_its_streams_name() -> None:
    frame = (
        '{"stream":"btcusdt@depth20@100ms","data":{"lastUpdateId":72345678950,'
        '"bids":[["65000.10000000","1.20450000"]],"asks":[["65000.11000000","0.80010000"]]}}'
    )
    snapshot = Snapshot(
        pair=PAIR,
        received_us=7,
        venue_ms=None,
        bids={"65000.1": "1.2045"},
        asks={"65000.11": "0.8001"},
        reason=SnapshotReason.FIRST,
        sequence=72345678950,
    )
    assert VENUE.decode(frame, 7, KNOWN) == [BookMessage("btcusdt@depth20@100ms", Image(snapshot))]


@pytest.mark.parametrize("stream", ['"stream":"btcusdt@bookTicker","data":', '"stream":"!bookTicker","data":', None])
def test_best_prices_come_without_a_time(stream: str | None) -> None:
    payload = '{"u":72345678901,"s":"BTCUSDT","b":"65000.10","B":"1.20450000","a":"65000.11","A":"0.80010000"}'
    expected = Bbo(
        pair=PAIR,
        received_us=7,
        venue_ms=None,
        bid="65000.1",
        bid_amount="1.2045",
        ask="65000.11",
        ask_amount="0.8001",
        sequence=72345678901,
    )
    assert VENUE.decode(payload if stream is None else "{" + stream + payload + "}", 7, KNOWN) == [expected]


def test_an_empty_side_of_the_best_prices_is_empty_text() -> None:
    frame = '{"u":1,"s":"BTCUSDT","b":"0.00000000","B":"0.00000000","a":"65000.11","A":"0.8"}'
    (message,) = VENUE.decode(frame, 7, KNOWN)
    assert isinstance(message, Bbo)
    assert (message.bid, message.bid_amount, message.ask) == ("", "", "65000.11")


@pytest.mark.parametrize("maker, side", [("true", "sell"), ("false", "buy")])
def test_a_trade_has_the_takers_side_and_the_engines_time(maker: str, side: str) -> None:
    frame = (
        '{"stream":"btcusdt@trade","data":{"e":"trade","E":1795348800120,"s":"BTCUSDT","t":4512345678,'
        f'"p":"65000.11000000","q":"0.00120000","T":1795348800119,"m":{maker},"M":true}}}}'
    )
    assert VENUE.decode(frame, 7, KNOWN) == [
        Trade(
            pair=PAIR,
            received_us=7,
            venue_ms=1795348800119,
            price="65000.11",
            amount="0.0012",
            side=side,
            trade_id="4512345678",
        )
    ]


def test_a_bare_diff_that_names_its_symbol_is_read() -> None:
    frame = '{"e":"depthUpdate","E":5,"s":"BTCUSDT","U":1,"u":2,"b":[],"a":[["2","1"]]}'
    (message,) = VENUE.decode(frame, 7, KNOWN)
    assert isinstance(message, BookMessage)
    assert (message.topic, message.event.asks) == ("btcusdt@depth", {"2": "1"})  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "depth, rule, bootstrap, streams",
    [
        ("bbo", IMAGES, Bootstrap.IMAGES, "bookTicker"),
        ("20", IMAGES, Bootstrap.IMAGES, "depth20@100ms"),
        ("50", CONTIGUOUS, Bootstrap.REST, "depth@100ms"),
        ("full", CONTIGUOUS, Bootstrap.REST, "depth@100ms"),
    ],
)
def test_each_depth_has_its_channel(depth: str, rule: object, bootstrap: Bootstrap, streams: str) -> None:
    channel = VENUE.book_channel(depth)
    assert (channel.rule, channel.bootstrap) == (rule, bootstrap)
    assert VENUE.topics(BTC, depth, ALL) == [
        Topic("public", f"btcusdt@{streams}", PAIR, "book"),
        Topic("public", "btcusdt@bookTicker", PAIR, "bbo"),
        Topic("public", "btcusdt@trade", PAIR, "trades"),
    ]


def test_only_what_is_asked_is_subscribed() -> None:
    assert [topic.feeds for topic in VENUE.topics(BTC, "20", frozenset({"trades"}))] == ["trades"]


def test_full_says_what_it_lacks() -> None:
    assert "5000" in (VENUE.book_channel("full").shortfall or "")
    assert VENUE.book_channel("50").shortfall is None


def test_an_unknown_depth_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="bbo, 20, 50, full"):
        VENUE.book_channel("10")
    with pytest.raises(ConfigError, match="50, full"):
        VENUE.snapshot_request(BTC, "20")


def test_requests_are_as_the_sheet_says() -> None:
    topics = VENUE.topics(BTC, "full", ALL)
    assert json.loads(VENUE.subscribe(topics, 1)) == {
        "method": "SUBSCRIBE",
        "params": ["btcusdt@depth@100ms", "btcusdt@bookTicker", "btcusdt@trade"],
        "id": 1,
    }
    assert json.loads(VENUE.unsubscribe(topics[:1], 2)) == {
        "method": "UNSUBSCRIBE",
        "params": ["btcusdt@depth@100ms"],
        "id": 2,
    }
    assert VENUE.socket_url("ws://127.0.0.1:1", "public") == "ws://127.0.0.1:1/stream"
    assert VENUE.snapshot_request(BTC, "full") == RestRequest("/api/v3/depth?symbol=BTCUSDT&limit=5000", 250)
    assert VENUE.snapshot_request(BTC, "50") == RestRequest("/api/v3/depth?symbol=BTCUSDT&limit=1000", 50)
    assert VENUE.instruments_requests() == [RestRequest("/api/v3/exchangeInfo", 20)]


def test_a_request_of_a_hundred_topics_fits_the_venues_frame() -> None:
    topics = [VENUE.topics(BTC, "full", frozenset({"book"}))[0]] * VENUE.limits.topics_per_request
    named = [Topic("public", f"{index:08}usdt@depth@100ms", PAIR, "book") for index, _ in enumerate(topics)]
    assert len(VENUE.subscribe(named, 2**31).encode()) <= VENUE.limits.request_bytes


def test_a_snapshot_is_the_answer_of_rest() -> None:
    body = b'{"lastUpdateId":72345678960,"bids":[["4.00000000","431.00000000"]],"asks":[["4.00000200","12.0"]]}'
    snapshot = VENUE.parse_snapshot(body, BTC, 9)
    assert snapshot.sequence == 72345678960
    assert (snapshot.bids, snapshot.asks) == ({"4": "431"}, {"4.000002": "12"})
    assert (snapshot.pair, snapshot.received_us, snapshot.venue_ms) == (PAIR, 9, None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>502</html>",
        b'{"code":-1121,"msg":"Invalid symbol."}',
        b'{"lastUpdateId":1,"bids":[]}',
        b'{"lastUpdateId":1,"bids":[["1","-1"]],"asks":[]}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_what_is_no_snapshot_is_undecodable(body: bytes) -> None:
    with pytest.raises(Undecodable, match="BTC/USDT"):
        VENUE.parse_snapshot(body, BTC, 9)


def test_recorded_metadata_is_read(recorded: Path) -> None:
    body = (recorded / "binance/spot/cf202110_rest_exchangeInfo_trimmed.jsonl").read_bytes()
    instruments = VENUE.parse_instruments([body])
    assert len(instruments.by_symbol) == 27
    assert not instruments.refused
    assert instruments.by_symbol["ETHBTC"] == Instrument(
        pair=Pair("binance", "spot", "ETH/BTC"),
        symbol="ETHBTC",
        status=InstrumentStatus.TRADING,
        tick="0.000001",
        lot="0.0001",
        min_amount="0.0001",
        min_notional="0.0001",
        contract_size=Decimal(1),
    )


@pytest.mark.parametrize(
    "change, status",
    [
        ({}, InstrumentStatus.TRADING),
        ({"isSpotTradingAllowed": False}, InstrumentStatus.HALTED),
        ({"status": "BREAK"}, InstrumentStatus.HALTED),
        ({"status": "CANCEL_ONLY"}, InstrumentStatus.HALTED),
        ({"status": "A_WORD_OF_NEXT_YEAR"}, InstrumentStatus.HALTED),
    ],
)
def test_a_symbol_trades_only_when_everything_says_so(change: dict[str, object], status: InstrumentStatus) -> None:
    row = {
        "symbol": "BTCUSDT",
        "status": "TRADING",
        "baseAsset": "BTC",
        "quoteAsset": "USDT",
        "isSpotTradingAllowed": True,
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "stepSize": "0.00001", "minQty": "0.00001"},
            {"filterType": "NOTIONAL", "minNotional": "0.00000000"},
            {"filterType": "A_FILTER_OF_NEXT_YEAR", "limit": 5},
        ],
    }
    instruments = VENUE.parse_instruments([json.dumps({"symbols": [row | change]}).encode()])
    assert instruments.by_pair[PAIR].status is status
    assert instruments.by_pair[PAIR].min_notional is None  # zero disables the bound


def test_a_print_without_price_or_amount_is_no_trade() -> None:
    frame = '{"e":"trade","s":"BTCUSDT","t":1,"p":"0","q":"1","T":1,"m":true}'
    assert VENUE.decode(frame, 7, KNOWN) == [Unused("trade of no price or no amount")]
