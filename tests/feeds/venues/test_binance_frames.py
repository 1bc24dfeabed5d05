"""Envelopes, answers and requests that both Binance markets share."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.recorded_venue import RawInstruments
from feeds.venue import Ack, BookMessage, GoingAway, Message, Refusal, Topic, Undecodable, Unused, Venue
from feeds.venues import find
from feeds.venues.binance.frames import request, split_stream
from fleet.pair import Pair

SPOT = find("binance", "spot")
FUTURES = find("binance", "futures")
PAIR = Pair("binance", "spot", "BTC/USDT")

DEPTH = (
    '{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1795348800105,"T":1795348800102,"s":"BTCUSDT",'
    '"U":11,"u":20,"pu":10,"b":[["65000.10000000","1.10450000"],["64990.00","0.000"]],"a":[["65000.11","0.9"]]}}'
)
TRADE = (
    '{"stream":"btcusdt@trade","data":{"e":"trade","E":1795348800120,"s":"BTCUSDT","t":4512345678,"p":"65000.11000000",'
    '"q":"0.00120000","T":1795348800119,"m":false,"M":true}}'
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["stream", "data", "e", "s", "u", "U", "pu", "b", "a", "id", "result", "error", "code", "event"]
            )
            | st.text(max_size=6),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
both = pytest.mark.parametrize("venue", [SPOT, FUTURES], ids=["spot", "futures"])


def decode(venue: Venue, frame: str | bytes) -> list[Message]:
    return venue.decode(frame, 1, RawInstruments(venue))


@both
@pytest.mark.parametrize(
    "frame",
    [
        "",
        "nonsense",
        "1",
        '"text"',
        "null",
        '{"unknown":1}',
        '{"stream":',
        '{"stream":"btcusdt@depth@100ms"}',
        '{"stream":"btcusdt@depth@100ms","data":null}',
        '{"stream":"btcusdt@depth@100ms","data":[]}',
        '{"stream":"btcusdt@kline_1m","data":{"e":"kline"',  # an unused stream, but broken
        b"\xff\xfe",
        '{"stream":"btc\ud800usdt@depth@100ms","data":{}}',
        "[" * 100_000,
        '{"stream":"btcusdt@depth@100ms","data":' + "[" * 100_000,
        '{"data":' * 100_000,
        DEPTH.replace('"u":20', '"u":"20"'),
        DEPTH.replace('"u":20', '"u":20.5'),
        DEPTH.replace('"u":20', '"u":-20'),
        DEPTH.replace('"u":20', '"u":' + "9" * 30),
        DEPTH.replace('"u":20', '"u":' + "9" * 5000),
        DEPTH.replace('"u":20', '"u":9'),  # ends before it begins
        DEPTH.replace('"u":20,', ""),
        DEPTH.replace('"s":"BTCUSDT"', '"s":"ETHUSDT"'),
        DEPTH.replace('"depthUpdate"', '"trade"'),
        DEPTH.replace('"65000.11"', "65000.11"),
        DEPTH.replace('"65000.11"', '"-65000.11"'),
        DEPTH.replace('"65000.11"', '"NaN"'),
        DEPTH.replace('"65000.11"', '"Infinity"'),
        DEPTH.replace('"65000.11"', '"' + "6" * 500 + '"'),
        DEPTH.replace('"0.9"', "null"),
        DEPTH.replace('["65000.11","0.9"]', '["65000.11"]'),
        DEPTH.replace('["65000.11","0.9"]', '["65000.11","0.9","1"]'),
        TRADE.replace('"p":"65000.11000000"', '"p":""'),
        TRADE.replace('"m":false', '"m":"no"'),
    ],
)
def test_what_is_malformed_is_undecodable(venue: Venue, frame: str | bytes) -> None:
    with pytest.raises(Undecodable) as raised:
        decode(venue, frame)
    text = str(raised.value)
    assert text
    assert "\n" not in text
    assert len(text) < 500


@both
@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_undecodable(venue: Venue, frame: bytes) -> None:
    try:
        decode(venue, frame)
    except Undecodable:
        pass


@both
@given(st.text(max_size=100).map(lambda text: '{"stream":"' + text))
def test_arbitrary_text_behind_the_usual_beginning_raises_nothing_but_undecodable(venue: Venue, frame: str) -> None:
    try:
        decode(venue, frame)
    except Undecodable:
        pass


@both
@given(json_values)
def test_arbitrary_json_raises_nothing_but_undecodable(venue: Venue, value: object) -> None:
    try:
        decode(venue, json.dumps(value))
    except Undecodable:
        pass


@both
@given(st.sampled_from(["depth", "depth20", "bookTicker", "trade", "aggTrade", "kline_1m"]), json_values)
def test_an_arbitrary_payload_raises_nothing_but_undecodable(venue: Venue, kind: str, value: object) -> None:
    try:
        decode(venue, json.dumps({"stream": f"btcusdt@{kind}", "data": value}))
        decode(venue, json.dumps({"data": value, "stream": f"btcusdt@{kind}"}))
    except Undecodable:
        pass


@both
@given(st.integers(0, len(DEPTH) - 1), st.sampled_from([0x00, 0x1F, 0xFF, 0xC0]))
def test_one_byte_that_no_frame_can_hold_is_undecodable_wherever_it_stands(venue: Venue, at: int, byte: int) -> None:
    frame = bytearray(DEPTH.encode())
    frame[at] = byte
    with pytest.raises(Undecodable):
        decode(venue, bytes(frame))


@both
@pytest.mark.parametrize("frame", [DEPTH, TRADE])
def test_bytes_text_and_another_key_order_are_the_same_frame(venue: Venue, frame: str) -> None:
    value = json.loads(frame)
    turned = json.dumps({"data": value["data"], "stream": value["stream"]}, indent=1)
    escaped = frame.replace("btcusdt@", "btc\\u0075sdt@", 1)
    assert decode(venue, frame) == decode(venue, frame.encode()) == decode(venue, turned) == decode(venue, escaped)


@both
def test_an_acknowledgement_names_its_request_and_not_what_it_was(venue: Venue) -> None:
    assert decode(venue, '{"result":null,"id":1}') == [Ack("1", None, None)]
    assert decode(venue, '{"id":"abc","result":null}') == [Ack("abc", None, None)]


@both
def test_both_shapes_of_an_error_are_a_refusal(venue: Venue) -> None:
    expected = [Refusal("7", None, "2", "Invalid request: invalid stream", True)]
    assert decode(venue, '{"code":2,"msg":"Invalid request: invalid stream","id":7}') == expected
    assert decode(venue, '{"error":{"code":2,"msg":"Invalid request: invalid stream"},"id":7}') == expected


@both
def test_an_error_that_is_not_about_the_request_is_not_final(venue: Venue) -> None:
    assert decode(venue, '{"code":-1003,"msg":"Too many requests","id":7}') == [
        Refusal("7", None, "-1003", "Too many requests", False)
    ]


@both
@pytest.mark.parametrize(
    "frame",
    [
        '{"e":"serverShutdown","E":1795348800000}',
        '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1795348800000}}',
        '{"event":{"e":"serverShutdown","E":1795348800000}}',
    ],
)
def test_every_form_of_the_shutdown_notice_is_going_away(venue: Venue, frame: str) -> None:
    assert decode(venue, frame) == [GoingAway("serverShutdown")]


@both
@pytest.mark.parametrize(
    "frame, word",
    [
        ('{"stream":"btcusdt@kline_1m","data":{"e":"kline"}}', "kline_1m"),
        ('{"stream":"!miniTicker@arr","data":[]}', "miniTicker"),
        ('{"stream":"XXXXXXXXXXXXXXXXXXXXXXXX","data":{"e":"balanceUpdate"}}', "listen key"),
        ('[{"e":"24hrTicker"}]', "list"),
        ('{"e":"kline","s":"BTCUSDT"}', "kline"),
        ('{"subscriptionId":0,"event":{"e":"executionReport"}}', "account"),
        ('{"result":["btcusdt@depth"],"id":3}', "no acknowledgement"),
        ('{"id":"u","status":200,"result":{}}', "WS-API"),
        ('{"method":"SUBSCRIBE","params":[],"id":1}', "request"),
        ('{"lastUpdateId":1,"bids":[],"asks":[]}', "symbol"),
        ('{"symbol":"BTCUSDT","openInterest":"1","time":1}', "REST"),
    ],
)
def test_what_is_known_and_not_used_is_named(venue: Venue, frame: str, word: str) -> None:
    (message,) = decode(venue, frame)
    assert isinstance(message, Unused)
    assert word in message.reason


@both
def test_a_symbol_that_is_not_among_the_instruments_is_named(venue: Venue) -> None:
    (message,) = venue.decode(DEPTH, 1, venue.parse_instruments([b'{"symbols":[]}']))
    assert message == Unused("symbol BTCUSDT: not among the instruments")


@both
def test_a_repeated_price_takes_its_last_amount(venue: Venue) -> None:
    (message,) = decode(venue, DEPTH.replace('["65000.11","0.9"]', '["65000.11","0.9"],["65000.110","0.40"]'))
    assert isinstance(message, BookMessage)
    assert message.event.asks == {"65000.11": "0.4"}  # type: ignore[union-attr]


def test_a_request_names_each_stream_once() -> None:
    topics = [Topic("public", "btcusdt@bookTicker", PAIR, feeds) for feeds in ("book", "bbo")]
    topics.append(Topic("public", "币安usdt@trade", PAIR, "trades"))
    assert request("SUBSCRIBE", topics, 5) == (
        '{"method":"SUBSCRIBE","params":["btcusdt@bookTicker","币安usdt@trade"],"id":5}'
    )


@pytest.mark.parametrize(
    "name, expected",
    [
        ("btcusdt@depth@100ms", ("BTCUSDT", "depth")),
        ("btcusdt@depth20@100ms", ("BTCUSDT", "depth20")),
        ("BNBBTC@depth", ("BNBBTC", "depth")),
        ("!bookTicker", (None, "bookTicker")),
        ("!miniTicker@arr", (None, "miniTicker")),
        ("币安usdt@trade", ("币安USDT", "trade")),
        ("xxxx", (None, "")),
    ],
)
def test_a_stream_name_is_taken_apart(name: str, expected: tuple[str | None, str]) -> None:
    assert split_stream(name) == expected
