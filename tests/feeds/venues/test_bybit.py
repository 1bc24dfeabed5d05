"""Bybit: frames of the venue sheet, requests, and what its answers mean."""

import json
from decimal import Decimal

import pytest

from books.events import Bbo, Delta, Snapshot, SnapshotReason, Trade
from books.sequence import CONTIGUOUS, IMAGES, Relation
from feeds.venue import (
    Ack,
    BookMessage,
    Bootstrap,
    Instrument,
    Instruments,
    InstrumentStatus,
    Message,
    Pong,
    Refusal,
    Refused,
    RestRequest,
    Topic,
    Undecodable,
    Unused,
)
from feeds.venues.bybit import MARKETS
from fleet.errors import ConfigError
from fleet.pair import Pair

SPOT, LINEAR = MARKETS
PAIR = Pair("bybit", "spot", "BTC/USDT")
ALL = frozenset({"book", "bbo", "trades"})
BTC = Instrument(
    pair=PAIR,
    symbol="BTCUSDT",
    status=InstrumentStatus.TRADING,
    tick="0.1",
    lot="0.000001",
    min_amount="0.000001",
    min_notional="5",
    contract_size=Decimal(1),
)
KNOWN = Instruments([BTC], [Refused("BTCUSDT-25DEC26", "dated")])

# section 5.1, word for word: spot has ts before type
SNAPSHOT = (
    '{"topic":"orderbook.50.BTCUSDT","ts":1795348800102,"type":"snapshot","data":{"s":"BTCUSDT","b":[["65000.1","1.204501"],'
    '["65000","0.3"]],"a":[["65000.2","0.80011"],["65000.5","2.1"]],"u":18521288,"seq":7961638724},"cts":1795348800099}'
)
DELTA = (
    '{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1795348800122,"data":{"s":"BTCUSDT","b":[["65000.10","0.804"],'
    '["64990.00","0"]],"a":[],"u":18521289,"seq":7961638801},"cts":1795348800119}'
)
BEST = (
    '{"topic":"orderbook.1.BTCUSDT","ts":1795348800105,"type":"snapshot","data":{"s":"BTCUSDT","b":[["65000.1","1.204501"]],'
    '"a":[["65000.2","0.80011"]],"u":90211,"seq":7961638730},"cts":1795348800103}'
)
FULL = (
    '{"topic":"orderbook.full.BTCUSDT","ts":1795348800300,"type":"delta","data":{"s":"BTCUSDT","b":[["64000","3.5"]],"a":[],'
    '"u":439926,"seq":2164890090},"cts":1795348800298}'
)
TRADE = (
    '{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1795348800131,"data":[{"T":1795348800129,"s":"BTCUSDT","S":"Buy",'
    '"v":"0.350","p":"65000.20","L":"PlusTick","i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false,"RPI":false,'
    '"seq":7961638905}]}'
)
ROW = TRADE[TRADE.index("[") + 1 : TRADE.rindex("]")]


def decode(frame: str | bytes) -> list[Message]:
    return SPOT.decode(frame, 7, KNOWN)


def delta_of(frame: str) -> Delta:
    (message,) = decode(frame)
    assert isinstance(message, BookMessage)
    assert isinstance(message.event, Delta)
    return message.event


def test_a_snapshot_in_band_is_a_snapshot() -> None:
    snapshot = Snapshot(
        pair=PAIR,
        received_us=7,
        venue_ms=1795348800099,
        bids={"65000.1": "1.204501", "65000": "0.3"},
        asks={"65000.2": "0.80011", "65000.5": "2.1"},
        reason=SnapshotReason.FIRST,
        sequence=18521288,
    )
    assert decode(SNAPSHOT) == [BookMessage("orderbook.50.BTCUSDT", snapshot)]


def test_a_delta_is_one_step_of_its_topics_count() -> None:
    delta = Delta(
        pair=PAIR,
        received_us=7,
        venue_ms=1795348800119,
        bids={"65000.1": "0.804", "64990": "0"},
        asks={},
        sequence=18521289,
        first_sequence=18521289,
    )
    assert decode(DELTA) == [BookMessage("orderbook.50.BTCUSDT", delta)]


@pytest.mark.parametrize("depth", ["50", "200", "1000", "500", "25"])
def test_books_of_every_depth_have_the_same_shape(depth: str) -> None:
    (message,) = decode(DELTA.replace("orderbook.50", f"orderbook.{depth}"))
    assert getattr(message, "topic", "") == f"orderbook.{depth}.BTCUSDT"


def test_the_full_book_comes_in_deltas() -> None:
    (message,) = decode(FULL)
    assert isinstance(message, BookMessage)
    assert message.topic == "orderbook.full.BTCUSDT"
    assert isinstance(message.event, Delta)
    assert (message.event.sequence, message.event.bids) == (439926, {"64000": "3.5"})


def test_a_delta_of_a_restart_follows_nothing_and_nothing_follows_it() -> None:
    restart = delta_of(FULL.replace("439926", "1"))
    assert (restart.sequence, restart.first_sequence) == (0, None)
    for last in (439925, 0, 1):
        assert CONTIGUOUS.first(last, restart) is Relation.GAP
        assert CONTIGUOUS.following(last, restart) is Relation.GAP
    assert CONTIGUOUS.following(0, delta_of(FULL.replace("439926", "2"))) is Relation.GAP


def test_a_snapshot_of_a_restart_is_a_snapshot() -> None:
    (message,) = decode(SNAPSHOT.replace("18521288", "1"))
    assert isinstance(message, BookMessage)
    assert isinstance(message.event, Snapshot)
    assert message.event.sequence == 1


def test_best_prices_are_numbered_by_the_engine() -> None:
    expected = Bbo(
        pair=PAIR,
        received_us=7,
        venue_ms=1795348800103,
        bid="65000.1",
        bid_amount="1.204501",
        ask="65000.2",
        ask_amount="0.80011",
        sequence=7961638730,
    )
    assert decode(BEST) == [expected]
    (restarted,) = decode(BEST.replace("90211", "1"))
    assert restarted == expected  # a count that begins anew does not make it older


@pytest.mark.parametrize("side", ["[]", '[["65000.1","0"]]'])
def test_an_empty_side_of_the_best_prices_is_empty_text(side: str) -> None:
    (half,) = decode(BEST.replace('[["65000.1","1.204501"]]', side))
    assert isinstance(half, Bbo)
    assert (half.bid, half.bid_amount, half.ask) == ("", "", "65000.2")


def test_without_the_engines_time_the_gateways_is_taken() -> None:
    assert delta_of(DELTA.replace(',"cts":1795348800119', "")).venue_ms == 1795348800122


def test_numbers_may_be_text() -> None:
    frame = DELTA.replace("1795348800122", '"1795348800122"').replace("18521289", '"18521289"')
    assert delta_of(frame) == delta_of(DELTA)


def test_a_trade() -> None:
    expected = Trade(
        pair=PAIR,
        received_us=7,
        venue_ms=1795348800129,
        price="65000.2",
        amount="0.35",
        side="buy",
        trade_id="20f43950-d8dd-5b31-9112-a178eb6023af",
    )
    assert decode(TRADE) == [expected]


def test_every_row_is_a_trade_and_a_block_trade_is_none() -> None:
    rows = f"{ROW},{ROW.replace('Buy', 'Sell')},{ROW.replace('false', 'true', 1)}"
    messages = decode(TRADE.replace(ROW, rows))
    assert [getattr(message, "side", None) for message in messages] == ["buy", "sell", None]
    assert messages[2] == Unused("block trade")


@pytest.mark.parametrize(
    "frame",
    [
        '{"success":true,"ret_msg":"pong","conn_id":"c","op":"ping"}',
        '{"success":true,"ret_msg":"pong","conn_id":"c","req_id":"hb-1","op":"ping"}',
        '{"req_id":"hb-1","op":"pong","args":["1795348800123"],"conn_id":"c"}',
        '{"retCode":0,"retMsg":"OK","op":"pong","data":["1795348800123"],"connId":"c"}',
    ],
)
def test_a_pong_is_known_on_every_socket(frame: str) -> None:
    assert decode(frame) == [Pong()]


@pytest.mark.parametrize("text", ["subscribe", ""])
def test_an_acknowledgement_names_its_request(text: str) -> None:
    frame = f'{{"success":true,"ret_msg":"{text}","conn_id":"c","req_id":"5","op":"subscribe"}}'
    assert decode(frame) == [Ack("5", None, True)]
    assert decode(frame.replace('"op":"subscribe"', '"op":"unsubscribe"')) == [Ack("5", None, False)]


def refusal(text: str, request_id: str = "5") -> Refusal:
    answer = {"success": False, "ret_msg": text, "conn_id": "c", "req_id": request_id, "op": "subscribe"}
    (message,) = decode(json.dumps(answer))
    assert isinstance(message, Refusal)
    return message


def test_a_topic_that_stands_refuses_the_whole_request() -> None:
    text = "error:already subscribed,topic:publicTrade.BTCUSDT"
    expected = Refusal("5", "publicTrade.BTCUSDT", "already subscribed", text, False, whole_request=True, standing=True)
    assert refusal(text) == expected


@pytest.mark.parametrize(
    "text, code, topic",
    [
        ("error:handler not found,topic:orderbook.40.BTCUSDT", "handler not found", "orderbook.40.BTCUSDT"),
        ("Invalid topic: invalid.topic.BTCUSDT", "invalid topic", "invalid.topic.BTCUSDT"),
        ("Invalid symbol :[orderbook.50.BTCUSDTT]", "invalid symbol", "orderbook.50.BTCUSDTT"),
        ("Invalid symbol :[BTCUSDTT]", "invalid symbol", None),  # of all channels: which topic is asked one by one
        ("Invalid symbol :[orderbook.50.A,orderbook.50.B]", "invalid symbol", None),
    ],
)
def test_what_does_not_exist_is_refused_for_good(text: str, code: str, topic: str | None) -> None:
    assert refusal(text) == Refusal("5", topic, code, text, fatal_topic=True, whole_request=topic is not None)


def test_too_many_topics_are_nobodys_fault() -> None:
    assert refusal("args size >10") == Refusal("5", None, "args size", "args size >10", fatal_topic=False)


def test_an_error_may_repeat_the_request_in_place_of_its_id() -> None:
    frame = '{"success":false,"ret_msg":"error:invalid op","conn_id":"c","request":{"op":"","args":null}}'
    assert decode(frame) == [Refusal(None, None, "invalid op", "error:invalid op", fatal_topic=False)]
    request = '{"op":"subscribe","req_id":"9","args":["orderbook.40.A"]}'
    frame = f'{{"success":false,"ret_msg":"error:handler not found","conn_id":"c","request":{request}}}'
    (message,) = decode(frame)
    assert isinstance(message, Refusal)
    assert (message.request_id, message.topic, message.fatal_topic) == ("9", "orderbook.40.A", True)


@pytest.mark.parametrize(
    "frame, word",
    [
        (BEST.replace("snapshot", "delta"), "before 2025-03-20"),
        (DELTA.replace("orderbook.50", "orderbook.rpi"), "orderbook.rpi"),
        ('{"topic":"tickers.BTCUSDT","type":"snapshot","data":{"symbol":"BTCUSDT"},"cs":1,"ts":2}', "tickers"),
        ('{"topic":"order","id":"1","creationTime":1,"data":[]}', "topic order"),
        ('{"id":"1","topic":"wallet","creationTime":1,"data":[]}', "topic wallet"),
        ('{"topic":"orderBookL2_25.BTCUSDT","type":"delta","data":{}}', "orderBookL2_25"),
        ('{"topic":"trade.BTCUSDT","data":[]}', "topic trade"),
        ('{"success":true,"ret_msg":"","op":"auth","conn_id":"c"}', "auth"),
        ('{"success":false,"ret_msg":"error:USVC1111","request":{"op":"auth","args":[]}}', "auth"),
        ('{"reqId":"1","retCode":170131,"retMsg":"m","op":"order.create","data":{}}', "order.create"),
        ('{"success":true,"conn_id":"c","data":{},"type":"COMMAND_RESP"}', "options"),
        ('{"success":true,"ret_msg":"","conn_id":"c","op":"cancel"}', "cancel"),
        ('{"req_id":"1","op":"subscribe","args":[]}', "request"),
        ('{"retCode":0,"retMsg":"OK","result":{"s":"BTCUSDT"},"time":1}', "REST"),
        ("[]", "REST"),
        (TRADE.replace("BTCUSDT", "BTCUSDT-25DEC26"), "dated"),
        (DELTA.replace("BTCUSDT", "ETHUSDT"), "not among the instruments"),
        (TRADE.replace("publicTrade.BTCUSDT", "publicTrade.BTC"), "not among the instruments"),
        (TRADE.replace('"s":"BTCUSDT"', '"s":"ETHUSDT"'), "options"),
        (TRADE.replace('"0.350"', '"0"'), "no amount"),
    ],
)
def test_what_is_known_and_not_used_is_named(frame: str, word: str) -> None:
    (message,) = decode(frame)
    assert isinstance(message, Unused)
    assert word in message.reason


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "pong",
        "1",
        "null",
        "{}",
        '{"unknown":1}',
        '{"topic":5}',
        '{"topic":"orderbook',
        '{"topic":"tickers.BTCUSDT","data":{]}',  # an unused topic, but broken
        b"\xff",
        b"\x1f\x8b\x08\x00",
        "[" * 100_000,
        '{"topic":"orderbook.50.BTCUSDT","data":' + "[" * 100_000,
        '{"topic":"tickers.BTCUSDT","data":' + "[" * 100_000,
        DELTA[:-1],
        DELTA.replace('"delta"', '"update"'),
        DELTA.replace('"type":"delta",', ""),
        DELTA.replace('"ts":1795348800122,', ""),
        DELTA.replace('"s":"BTCUSDT"', '"s":"ETHUSDT"'),  # topic and data disagree
        DELTA.replace("18521289", "0"),
        DELTA.replace("18521289", "-1"),
        DELTA.replace("18521289", "9" * 30),
        DELTA.replace("18521289", "1.5"),
        DELTA.replace("18521289", '"many"'),
        DELTA.replace('"u":18521289,', ""),
        DELTA.replace("1795348800119", "9" * 30),
        DELTA.replace('"65000.10"', "65000.10"),
        DELTA.replace('"65000.10"', '"-65000.10"'),
        DELTA.replace('"65000.10"', '"NaN"'),
        DELTA.replace('"65000.10"', '""'),
        DELTA.replace('"0.804"', '""'),
        DELTA.replace('"0.804"', f'"{"9" * 100}"'),
        DELTA.replace('["65000.10","0.804"]', '["65000.10","0.804","1"]'),
        DELTA.replace('"a":[]', '"a":null'),
        BEST.replace('"65000.1"', '"1e"'),
        TRADE.replace('"Buy"', '"Long"'),
        TRADE.replace('"0.350"', "0.350"),
        TRADE.replace('"0.350"', '""'),
        TRADE.replace("1795348800129", '"soon"'),
    ],
)
def test_what_is_malformed_is_undecodable(frame: str | bytes) -> None:
    with pytest.raises(Undecodable) as raised:
        decode(frame)
    assert 0 < len(str(raised.value)) < 500


def test_bytes_text_and_another_key_order_are_the_same_frame() -> None:
    for frame in (SNAPSHOT, DELTA, BEST, TRADE):
        turned = json.dumps(dict(reversed(json.loads(frame).items())), indent=1)
        assert decode(frame) == decode(frame.encode()) == decode(turned)
    escaped = DELTA.replace("orderbook.50", "orderbook\\u002e50")
    assert decode(escaped) == decode(DELTA)


def test_exponents_are_exact() -> None:
    assert delta_of(DELTA.replace('"0.804"', '"9.2E-7"')).bids["65000.1"] == "0.00000092"
    assert delta_of(DELTA.replace('"0.804"', '"9.75E+4"')).bids["65000.1"] == "97500"


def test_each_depth_has_its_channel() -> None:
    for venue in MARKETS:
        best = venue.book_channel("bbo")
        assert (best.rule, best.bootstrap) == (IMAGES, Bootstrap.IMAGES)
        for depth in ("20", "50"):
            channel = venue.book_channel(depth)
            assert (channel.depth, channel.rule, channel.bootstrap) == ("50", CONTIGUOUS, Bootstrap.IN_BAND)
            assert channel.shortfall is None
        with pytest.raises(ConfigError, match="bbo, 20, 50, full"):
            venue.book_channel("5")
    spot, linear = SPOT.book_channel("full"), LINEAR.book_channel("full")
    assert (spot.depth, spot.rule, spot.bootstrap) == ("full", CONTIGUOUS, Bootstrap.REST)
    assert "10000" in (spot.shortfall or "")
    assert (linear.depth, linear.rule, linear.bootstrap) == ("1000", CONTIGUOUS, Bootstrap.IN_BAND)
    assert "1000" in (linear.shortfall or "")


def test_topics_and_requests_are_as_the_sheet_says() -> None:
    topics = SPOT.topics(BTC, "20", ALL)
    assert topics == [
        Topic("public", "orderbook.50.BTCUSDT", PAIR, "book"),
        Topic("public", "orderbook.1.BTCUSDT", PAIR, "bbo"),
        Topic("public", "publicTrade.BTCUSDT", PAIR, "trades"),
    ]
    args = ["orderbook.50.BTCUSDT", "orderbook.1.BTCUSDT"]
    assert json.loads(SPOT.subscribe(topics[:2], 3)) == {"req_id": "3", "op": "subscribe", "args": args}
    assert json.loads(SPOT.unsubscribe(topics[:2], 4)) == {"req_id": "4", "op": "unsubscribe", "args": args}
    assert SPOT.topics(BTC, "full", frozenset({"book"}))[0].name == "orderbook.full.BTCUSDT"
    assert LINEAR.topics(BTC, "full", frozenset({"book"}))[0].name == "orderbook.1000.BTCUSDT"
    assert SPOT.socket_url("ws://h", "public") == "ws://h/v5/public/spot"
    assert LINEAR.socket_url("ws://h", "public") == "ws://h/v5/public/linear"
    assert json.loads(SPOT.keepalive.text or "") == {"op": "ping"}


def test_a_topic_that_feeds_two_things_is_asked_for_once() -> None:
    topics = SPOT.topics(BTC, "bbo", ALL)
    names = [topic.name for topic in topics]
    assert names == ["orderbook.1.BTCUSDT", "orderbook.1.BTCUSDT", "publicTrade.BTCUSDT"]
    assert json.loads(SPOT.subscribe(topics, 1))["args"] == names[1:]


def test_no_connection_can_exceed_the_characters_that_the_venue_allows() -> None:
    longest = len("orderbook.1000.") + 27  # symbols of 17 letters are the longest known
    for venue in MARKETS:
        assert venue.limits.topics_per_connection * longest <= 21_000
    assert SPOT.limits.topics_per_request == 10


def test_what_is_asked_by_rest() -> None:
    assert SPOT.instruments_requests() == [RestRequest("/v5/market/instruments-info?category=spot", 1)]
    assert LINEAR.instruments_requests() == [
        RestRequest("/v5/market/instruments-info?category=linear&limit=1000", 1)
    ]  # fmt: skip
    assert SPOT.snapshot_request(BTC, "full").path == "/v5/market/full_orderbook?category=spot&symbol=BTCUSDT"
    linear = LINEAR.snapshot_request(BTC, "full").path
    assert linear == "/v5/market/orderbook?category=linear&symbol=BTCUSDT&limit=1000"


REST_BOOK = (
    b'{"retCode":0,"retMsg":"OK","result":{"s":"BTCUSDT","b":[["65000.10","1.500"]],"a":[],"ts":1795348800200,'
    b'"u":439920,"seq":2164890000,"cts":1795348800190},"retExtInfo":{},"time":1795348800210}'
)


def test_a_book_of_rest_is_a_snapshot() -> None:
    snapshot = SPOT.parse_snapshot(REST_BOOK, BTC, 9)
    assert (snapshot.pair, snapshot.sequence, snapshot.venue_ms) == (PAIR, 439920, 1795348800190)
    assert (snapshot.bids, snapshot.asks, snapshot.received_us) == ({"65000.1": "1.5"}, {}, 9)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"access too frequent",
        b'{"retCode":10001,"retMsg":"Not supported symbols","result":{},"retExtInfo":{},"time":1}',
        b'{"retCode":0,"result":{}}',
        REST_BOOK.replace(b"439920", b"0"),  # there is no book before a contract's auction
        REST_BOOK.replace(b"65000.10", b"-1"),
        b"[" * 99_999,
    ],
)
def test_what_is_no_book_of_rest_is_undecodable(body: bytes) -> None:
    with pytest.raises(Undecodable, match="BTC/USDT"):
        SPOT.parse_snapshot(body, BTC, 9)
