"""Binance USDⓈ-M futures: where it differs from spot."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from books.events import Bbo, Delta, Snapshot, SnapshotReason, Trade
from books.sequence import IMAGES, RANGE_THEN_LINKED
from feeds.venue import (
    BookMessage,
    Bootstrap,
    Image,
    Instrument,
    Instruments,
    InstrumentStatus,
    RestRequest,
    Topic,
    Unused,
)
from feeds.venues.binance.futures import BinanceFutures
from fleet.errors import ConfigError
from fleet.pair import Pair

VENUE = BinanceFutures()
PAIR = Pair("binance", "futures", "BTC/USDT")
BTC = Instrument(
    pair=PAIR,
    symbol="BTCUSDT",
    status=InstrumentStatus.TRADING,
    tick="0.1",
    lot="0.001",
    min_amount="0.001",
    min_notional="5",
    contract_size=Decimal(1),
)
KNOWN = Instruments([BTC])
ALL = frozenset({"book", "bbo", "trades"})
UPDATE = (
    '{"e":"depthUpdate","E":1795348800110,"T":1795348800102,"s":"BTCUSDT","ps":"BTCUSDT","U":9912345678800,'
    '"u":9912345678990,"pu":9912345678790,"b":[["65001.10","3.100"],["64950.00","0"]],"a":[["65001.20","10.000"]],"st":1}'
)
TICKER = (
    '{"e":"bookTicker","u":9912345678901,"s":"BTCUSDT","ps":"BTCUSDT","b":"65001.10","B":"3.204","a":"65001.20",'
    '"A":"11.031","T":1795348800098,"E":1795348800101,"st":1}'
)
AGGREGATE = (
    '{"e":"aggTrade","E":1795348800131,"s":"BTCUSDT","a":2987654321,"p":"65001.20","q":"0.350","nq":"0.350",'
    '"f":5512345670,"l":5512345674,"T":1795348800040,"m":true,"st":1}'
)


def combined(stream: str, payload: str) -> str:
    return f'{{"stream":"{stream}","data":{payload}}}'


@pytest.mark.parametrize("stream", ["btcusdt@depth@100ms", "btcusdt@depth@0ms", "btcusdt@depth"])
def test_a_diff_names_its_predecessor_and_has_its_time(stream: str) -> None:
    assert VENUE.decode(combined(stream, UPDATE), 7, KNOWN) == [
        BookMessage(
            stream,
            Delta(
                pair=PAIR,
                received_us=7,
                venue_ms=1795348800110,
                bids={"65001.1": "3.1", "64950": "0"},
                asks={"65001.2": "10"},
                sequence=9912345678990,
                first_sequence=9912345678800,
                previous_sequence=9912345678790,
            ),
        )
    ]


def test_partial_depth_looks_like_a_diff_and_is_an_image() -> None:
    snapshot = Snapshot(
        pair=PAIR,
        received_us=7,
        venue_ms=1795348800110,
        bids={"65001.1": "3.1", "64950": "0"},
        asks={"65001.2": "10"},
        reason=SnapshotReason.FIRST,
        sequence=9912345678990,
    )
    message = BookMessage("btcusdt@depth20@100ms", Image(snapshot))
    assert VENUE.decode(combined("btcusdt@depth20@100ms", UPDATE), 7, KNOWN) == [message]


@pytest.mark.parametrize("stream", ["btcusdt@bookTicker", "!bookTicker"])
def test_best_prices_have_their_time(stream: str) -> None:
    assert VENUE.decode(combined(stream, TICKER), 7, KNOWN) == [
        Bbo(
            pair=PAIR,
            received_us=7,
            venue_ms=1795348800101,
            bid="65001.1",
            bid_amount="3.204",
            ask="65001.2",
            ask_amount="11.031",
            sequence=9912345678901,
        )
    ]


def test_an_aggregate_is_a_trade() -> None:
    expected = Trade(
        pair=PAIR,
        received_us=7,
        venue_ms=1795348800040,
        price="65001.2",
        amount="0.35",
        side="sell",
        trade_id="2987654321",
    )
    assert VENUE.decode(combined("btcusdt@aggTrade", AGGREGATE), 7, KNOWN) == [expected]


@pytest.mark.parametrize(
    "stream, payload", [("btcusdt@depth", UPDATE), ("btcusdt@depth20", UPDATE), ("!bookTicker", TICKER)]
)
def test_coin_margined_payloads_of_the_merged_feed_are_not_ours(stream: str, payload: str) -> None:
    frame = combined(stream, payload.replace('"st":1', '"st":2'))
    assert VENUE.decode(frame, 7, KNOWN) == [Unused("st 2: not USDⓈ-margined")]


def test_a_coin_margined_trade_is_not_ours() -> None:
    frame = combined("btcusdt@aggTrade", AGGREGATE.replace('"st":1', '"st":2'))
    assert VENUE.decode(frame, 7, KNOWN) == [Unused("st 2: not USDⓈ-margined")]


def test_a_print_of_the_insurance_fund_is_no_public_trade() -> None:
    frame = '{"e":"trade","s":"BTCUSDT","t":73701056,"p":"2366.55","q":"0.070","T":1,"X":"INSURANCE_FUND","m":true}'
    assert VENUE.decode(frame, 7, KNOWN) == [Unused("trade of kind INSURANCE_FUND")]


def test_an_aggregate_of_2019_without_an_id_gets_none_invented() -> None:
    frame = combined("btcusdt@aggTrade", AGGREGATE.replace('"a":2987654321,', ""))
    assert VENUE.decode(frame, 7, KNOWN) == [Unused("aggTrade without an id (an old version)")]


def test_books_and_trades_go_to_different_sockets() -> None:
    assert VENUE.topics(BTC, "full", ALL) == [
        Topic("public", "btcusdt@depth@100ms", PAIR, "book"),
        Topic("public", "btcusdt@bookTicker", PAIR, "bbo"),
        Topic("market", "btcusdt@aggTrade", PAIR, "trades"),
    ]
    assert VENUE.socket_url("wss://h", "public") == "wss://h/public/stream"
    assert VENUE.socket_url("wss://h", "market") == "wss://h/market/stream"
    with pytest.raises(ConfigError, match="public or market"):
        VENUE.socket_url("wss://h", "private")


def test_each_depth_has_its_channel() -> None:
    assert [VENUE.book_channel(depth).rule for depth in ("bbo", "20", "50", "full")] == [
        IMAGES,
        IMAGES,
        RANGE_THEN_LINKED,
        RANGE_THEN_LINKED,
    ]
    assert VENUE.book_channel("20").bootstrap is Bootstrap.IMAGES
    assert VENUE.book_channel("full").bootstrap is Bootstrap.REST
    assert "1000" in (VENUE.book_channel("full").shortfall or "")


@pytest.mark.parametrize("depth", ["50", "full"])
def test_a_snapshot_has_a_thousand_levels(depth: str) -> None:
    assert VENUE.snapshot_request(BTC, depth) == RestRequest("/fapi/v1/depth?symbol=BTCUSDT&limit=1000", 20)


def test_a_snapshot_has_the_events_time() -> None:
    body = b'{"lastUpdateId":5,"E":20,"T":10,"bids":[["1","2"]],"asks":[]}'
    assert VENUE.parse_snapshot(body, BTC, 9).venue_ms == 20


def test_a_symbol_beyond_ascii_is_percent_encoded() -> None:
    odd = Instrument(
        pair=Pair("binance", "futures", "币安/USDT"),
        symbol="币安USDT",
        status=InstrumentStatus.TRADING,
        tick="0.1",
        lot="1",
        min_amount="1",
        min_notional=None,
        contract_size=Decimal(1),
    )
    request = VENUE.snapshot_request(odd, "full")
    assert request.path == "/fapi/v1/depth?symbol=%E5%B8%81%E5%AE%89USDT&limit=1000"
    frame = combined("币安usdt@depth@100ms", UPDATE.replace("BTCUSDT", "币安USDT"))
    (message,) = VENUE.decode(frame, 7, Instruments([odd]))
    assert isinstance(message, BookMessage)


def test_recorded_metadata_is_read_and_the_rest_refused_by_name(recorded: Path) -> None:
    body = (recorded / "binance/futures/cf202107_rest_exchangeInfo.jsonl").read_bytes()
    instruments = VENUE.parse_instruments([body])
    assert len(instruments.by_symbol) == 119
    assert len(instruments.refused) == 3
    assert instruments.refused["BTCUSDT_210924"] == "contract type CURRENT_QUARTER: not a perpetual"
    assert instruments.by_pair[PAIR] == Instrument(
        pair=PAIR,
        symbol="BTCUSDT",
        status=InstrumentStatus.TRADING,
        tick="0.01",
        lot="0.001",
        min_amount="0.001",
        min_notional="5",
        contract_size=Decimal(1),
    )


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"contractType": "TRADIFI_PERPETUAL"}, "trading sessions"),
        ({"contractType": "NEXT_QUARTER"}, "NEXT_QUARTER"),
        ({"contractType": ""}, "(none)"),
        ({"contractType": "A_WORD_OF_NEXT_YEAR"}, "A_WORD_OF_NEXT_YEAR"),
        ({"marginAsset": "BNFCR"}, "settled in BNFCR"),
        ({"filters": []}, "no PRICE_FILTER.tickSize"),
        ({"baseAsset": "A B"}, "metadata that cannot be read"),
        ({"baseAsset": 5}, "metadata that cannot be read"),
    ],
)
def test_what_is_no_linear_perpetual_is_refused_by_name(change: dict[str, object], reason: str) -> None:
    row = {
        "symbol": "BTCUSDT",
        "status": "TRADING",
        "contractType": "PERPETUAL",
        "baseAsset": "BTC",
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": "0.10"},
            {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001"},
            {"filterType": "MIN_NOTIONAL", "notional": "100"},
        ],
    }
    other = row | {"symbol": "ETHUSDT", "baseAsset": "ETH"}
    instruments = VENUE.parse_instruments([json.dumps({"symbols": [row | change, other]}).encode()])
    assert reason in instruments.refused["BTCUSDT"]
    assert instruments.find("BTCUSDT") is None
    assert instruments.by_symbol["ETHUSDT"].min_notional == "100"  # one bad row costs itself alone
    (message,) = VENUE.decode(combined("btcusdt@depth", UPDATE), 7, instruments)
    assert isinstance(message, Unused)
    assert reason in message.reason
