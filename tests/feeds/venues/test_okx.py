"""OKX: frames of the venue sheet, requests, and what its answers mean."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from books.events import Bbo, Delta, Snapshot, SnapshotReason, Trade
from books.sequence import IMAGES, LINKED
from feeds.venue import (
    Ack,
    BookMessage,
    Bootstrap,
    GoingAway,
    Instrument,
    Instruments,
    InstrumentStatus,
    Message,
    Pong,
    Refusal,
    RestRequest,
    Topic,
    Undecodable,
    Unused,
)
from feeds.venues.okx.market_data import Okx
from fleet.errors import ConfigError
from fleet.pair import Pair

VENUE = Okx("spot")
SWAPS = Okx("futures")
HISTORY = Okx("spot", history=True)
PAIR = Pair("okx", "spot", "BTC/USDT")
SWAP_PAIR = Pair("okx", "futures", "BTC/USDT")
ALL = frozenset({"book", "bbo", "trades"})


def instrument(pair: Pair, symbol: str, contract_size: str) -> Instrument:
    return Instrument(
        pair=pair,
        symbol=symbol,
        status=InstrumentStatus.TRADING,
        tick="0.1",
        lot="0.001",
        min_amount="0.001",
        min_notional=None,
        contract_size=Decimal(contract_size),
    )


BTC = instrument(PAIR, "BTC-USDT", "1")
KNOWN = Instruments([BTC])
SWAP = instrument(SWAP_PAIR, "BTC-USDT-SWAP", "0.01")
KNOWN_SWAPS = Instruments([SWAP])

SNAPSHOT = (
    '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"snapshot","data":[{'
    '"asks":[["84210.2","0.62","0","3"],["84210.3","1.05","0","2"]],'
    '"bids":[["84210.1","0.41","0","4"],["84210","3.30","0","5"]],'
    '"ts":"1795348800100","checksum":0,"prevSeqId":-1,"seqId":91200451}]}'
)
UPDATE = (
    '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{'
    '"asks":[["84210.2","0","0","0"],["84210.4","0.15","0","1"]],"bids":[["84210.1","0.77","0","5"]],'
    '"ts":"1795348800200","checksum":0,"prevSeqId":91200451,"seqId":91200466}]}'
)
OLD_UPDATE = UPDATE.replace('"checksum":0,"prevSeqId":91200451,"seqId":91200466', '"checksum":-980833328')
TRADE = (
    '{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","tradeId":"812004417","px":"84210.2",'
    '"sz":"0.012","side":"buy","ts":"1795348800123","count":"3","source":"0","seqId":91200468}]}'
)


def swap(frame: str) -> str:
    return frame.replace("BTC-USDT", "BTC-USDT-SWAP")


def decode(frame: str | bytes) -> list[Message]:
    return VENUE.decode(frame, 7, KNOWN)


def test_a_snapshot_in_band_is_a_snapshot() -> None:
    snapshot = Snapshot(
        pair=PAIR,
        received_us=7,
        venue_ms=1795348800100,
        bids={"84210.1": "0.41", "84210": "3.3"},
        asks={"84210.2": "0.62", "84210.3": "1.05"},
        reason=SnapshotReason.FIRST,
        sequence=91200451,
    )
    assert decode(SNAPSHOT) == [BookMessage("books:BTC-USDT", snapshot)]


def test_an_update_is_a_delta_that_names_its_predecessor() -> None:
    delta = Delta(
        pair=PAIR,
        received_us=7,
        venue_ms=1795348800200,
        bids={"84210.1": "0.77"},
        asks={"84210.2": "0", "84210.4": "0.15"},
        sequence=91200466,
        first_sequence=None,
        previous_sequence=91200451,
    )
    assert decode(UPDATE) == [BookMessage("books:BTC-USDT", delta)]


def test_a_keepalive_is_a_delta_without_levels() -> None:
    frame = (
        '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[],"bids":[],'
        '"ts":"1795348800200","checksum":0,"prevSeqId":5,"seqId":5}]}'
    )
    (message,) = decode(frame)
    assert isinstance(message, BookMessage)
    assert isinstance(message.event, Delta)
    assert (message.event.previous_sequence, message.event.sequence) == (5, 5)
    assert {**message.event.bids, **message.event.asks} == {}


@pytest.mark.parametrize("channel", ["books-l2-tbt", "books50-l2-tbt"])
def test_tick_by_tick_books_of_recordings_have_the_same_shape(channel: str) -> None:
    (message,) = decode(UPDATE.replace('"books"', f'"{channel}"'))
    assert getattr(message, "topic", "") == f"{channel}:BTC-USDT"


def test_best_prices() -> None:
    frame = (
        '{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT"},"data":[{"asks":[["84210.2","0.62","0","3"]],'
        '"bids":[["84210.1","0.410","0","4"]],"ts":"1795348800105","seqId":91200455}]}'
    )
    expected = Bbo(
        pair=PAIR,
        received_us=7,
        venue_ms=1795348800105,
        bid="84210.1",
        bid_amount="0.41",
        ask="84210.2",
        ask_amount="0.62",
        sequence=91200455,
    )
    assert decode(frame) == [expected]
    (half,) = decode(frame.replace('[["84210.1","0.410","0","4"]]', "[]"))
    assert isinstance(half, Bbo)
    assert (half.bid, half.bid_amount, half.ask) == ("", "", "84210.2")
    (old,) = decode(frame.replace(',"seqId":91200455', ""))
    assert getattr(old, "sequence", 0) is None  # not invented


def test_a_trade() -> None:
    expected = Trade(
        pair=PAIR,
        received_us=7,
        venue_ms=1795348800123,
        price="84210.2",
        amount="0.012",
        side="buy",
        trade_id="812004417",
    )
    assert decode(TRADE) == [expected]


def test_contracts_become_base_units_exactly() -> None:
    (snapshot,) = SWAPS.decode(swap(SNAPSHOT), 7, KNOWN_SWAPS)
    assert isinstance(snapshot, BookMessage)
    assert snapshot.event.bids == {"84210.1": "0.0041", "84210": "0.033"}  # type: ignore[union-attr]
    (update,) = SWAPS.decode(swap(UPDATE), 7, KNOWN_SWAPS)
    assert isinstance(update, BookMessage)
    assert update.event.asks == {"84210.2": "0", "84210.4": "0.0015"}  # type: ignore[union-attr]
    (trade,) = SWAPS.decode(swap(TRADE), 7, KNOWN_SWAPS)
    assert isinstance(trade, Trade)
    assert trade.amount == "0.00012"


def test_a_book_without_sequences_is_refused_live_and_read_from_recordings() -> None:
    assert decode(OLD_UPDATE) == [Unused("book without seqId (before 2023)")]
    (message,) = HISTORY.decode(OLD_UPDATE, 7, KNOWN)
    assert isinstance(message, BookMessage)
    assert isinstance(message.event, Delta)
    assert (message.event.sequence, message.event.previous_sequence) == (None, None)
    assert HISTORY.decode(UPDATE, 7, KNOWN) == decode(UPDATE)


@pytest.mark.parametrize("frame", ["pong", b"pong"])
def test_the_answer_to_our_keepalive_is_no_json(frame: str | bytes) -> None:
    assert decode(frame) == [Pong()]


@pytest.mark.parametrize("event, subscribed", [("subscribe", True), ("unsubscribe", False)])
def test_an_acknowledgement_names_its_topic(event: str, subscribed: bool) -> None:
    arg = '"arg":{"channel":"books","instId":"BTC-USDT"},"connId":"7c1e90ab"'
    assert decode(f'{{"id":"b1","event":"{event}",{arg}}}') == [Ack("b1", "books:BTC-USDT", subscribed)]
    assert decode(f'{{{arg},"event":"{event}"}}') == [Ack(None, "books:BTC-USDT", subscribed)]


@pytest.mark.parametrize(
    "code, fatal",
    [
        ("60012", True),
        ("60018", True),
        ("64003", True),
        ("64004", True),
        ("60014", False),
        ("63999", False),
        ("64007", False),
    ],
)
def test_an_error_is_a_refusal_judged_by_its_code(code: str, fatal: bool) -> None:
    frame = f'{{"id":"b3","event":"error","code":"{code}","msg":"whatever it says","connId":"7c1e90ab"}}'
    assert decode(frame) == [Refusal("b3", None, code, "whatever it says", fatal)]


def test_an_error_that_names_its_topic_refuses_that_one() -> None:
    frame = '{"event":"error","arg":{"channel":"books","instId":"BTC-USDTT"},"code":"60018","msg":"m"}'
    assert decode(frame) == [Refusal(None, "books:BTC-USDTT", "60018", "m", True)]


def test_the_notice_of_an_upgrade_is_going_away() -> None:
    frame = '{"event":"notice","code":"64008","msg":"service upgrade, reconnect","connId":"7c1e90ab"}'
    assert decode(frame) == [GoingAway("service upgrade, reconnect")]


@pytest.mark.parametrize(
    "frame, word",
    [
        ('{"arg":{"channel":"tickers","instId":"BTC-USDT"},"data":[{}]}', "tickers"),
        ('{"arg":{"channel":"books5","instId":"BTC-USDT"},"data":[{}]}', "books5"),
        ('{"arg":{"channel":"account","uid":"1"},"data":[]}', "account"),
        ('{"event":"notice","code":"1","msg":"m"}', "notice of code 1"),
        ('{"event":"channel-conn-count","channel":"orders","connCount":"2"}', "channel-conn-count"),
        ('{"op":"subscribe","args":[]}', "op subscribe"),
        ('{"table":"spot/depth5","data":[]}', "version 3"),
        ('{"code":"0","msg":"","data":[]}', "REST"),
        (TRADE.replace("BTC-USDT", "BTC-USD-261225"), "BTC-USD-261225"),
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
        "PONG",
        "pong ",
        "1",
        "null",
        '{"unknown":1}',
        '{"arg":{"channel":"books"',
        '{"arg":{"channel":"tickers","instId":"BTC-USDT"},"data":[{]}',  # an unused channel, but broken
        b"\xff",
        "[" * 100_000,
        '{"arg":{"channel":"books","instId":' + "[" * 100_000,
        '{"arg":{"channel":"tickers","instId":' + "[" * 100_000,
        UPDATE.replace('"action":"update",', ""),
        UPDATE.replace('"update"', '"partial"'),
        UPDATE.replace("91200451", "-1"),  # a delta cannot follow nothing
        UPDATE.replace('"prevSeqId":91200451,', ""),
        UPDATE.replace(',"seqId":91200466', ""),
        UPDATE.replace("91200466", "9" * 30),
        UPDATE.replace("91200466", '"91200466"'),
        UPDATE.replace("91200466", "-5"),
        UPDATE.replace('"1795348800200"', "1795348800200"),
        UPDATE.replace('"1795348800200"', '"soon"'),
        UPDATE.replace('"1795348800200"', '""'),
        UPDATE.replace('"84210.4"', '"-84210.4"'),
        UPDATE.replace('"84210.4"', '"NaN"'),
        UPDATE.replace('"0.15"', "0.15"),
        UPDATE.replace('["84210.4","0.15","0","1"]', '["84210.4","0.15"]'),
        TRADE.replace('"buy"', '"long"'),
        TRADE.replace('"0.012"', '""'),
        TRADE.replace('"instId":"BTC-USDT"}', '"instId":5}'),
    ],
)
def test_what_is_malformed_is_undecodable(frame: str | bytes) -> None:
    with pytest.raises(Undecodable) as raised:
        decode(frame)
    assert 0 < len(str(raised.value)) < 500


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["arg", "data", "event", "action", "asks", "bids", "ts", "seqId", "prevSeqId", "code", "op", "id"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(st.binary(max_size=150) | st.binary(max_size=80).map(lambda tail: b'{"arg":{"channel":"books"' + tail))
def test_arbitrary_bytes_raise_nothing_but_undecodable(frame: bytes) -> None:
    try:
        decode(frame)
    except Undecodable:
        pass


@given(json_values, st.sampled_from(["books", "bbo-tbt", "trades", "tickers"]))
def test_arbitrary_json_raises_nothing_but_undecodable(value: object, channel: str) -> None:
    for frame in (value, {"arg": {"channel": channel, "instId": "BTC-USDT"}, "action": "update", "data": value}):
        try:
            decode(json.dumps(frame, separators=(",", ":")))
        except Undecodable:
            pass


@given(st.integers(0, len(UPDATE) - 1), st.sampled_from([0x00, 0x1F, 0xFF, 0xC0]))
def test_one_byte_that_no_frame_can_hold_is_undecodable_wherever_it_stands(at: int, byte: int) -> None:
    frame = bytearray(UPDATE.encode())
    frame[at] = byte
    with pytest.raises(Undecodable):
        decode(bytes(frame))


def test_bytes_text_and_another_key_order_are_the_same_frame() -> None:
    turned = json.dumps(dict(reversed(json.loads(UPDATE).items())), indent=1)
    assert decode(UPDATE) == decode(UPDATE.encode()) == decode(turned)


def test_a_repeated_price_takes_its_last_size() -> None:
    frame = UPDATE.replace('["84210.4","0.15","0","1"]', '["84210.4","0.15","0","1"],["84210.40","0.25","0","1"]')
    (message,) = decode(frame)
    assert isinstance(message, BookMessage)
    assert message.event.asks["84210.4"] == "0.25"  # type: ignore[union-attr]


def test_several_rows_are_several_messages() -> None:
    row = TRADE[TRADE.index("[") + 1 : TRADE.rindex("]")]
    assert len(decode(TRADE.replace(row, f"{row},{row}"))) == 2


def test_each_depth_has_its_channel() -> None:
    assert (VENUE.book_channel("bbo").rule, VENUE.book_channel("bbo").bootstrap) == (IMAGES, Bootstrap.IMAGES)
    for depth in ("20", "50", "full"):
        channel = VENUE.book_channel(depth)
        assert (channel.depth, channel.rule, channel.bootstrap) == ("400", LINKED, Bootstrap.IN_BAND)
    assert VENUE.book_channel("50").shortfall is None
    assert "400" in (VENUE.book_channel("full").shortfall or "")
    with pytest.raises(ConfigError, match="bbo, 20, 50, full"):
        VENUE.book_channel("5")


def test_topics_and_requests_are_as_the_sheet_says() -> None:
    topics = VENUE.topics(BTC, "20", ALL)
    assert topics == [
        Topic("public", "books:BTC-USDT", PAIR, "book"),
        Topic("public", "bbo-tbt:BTC-USDT", PAIR, "bbo"),
        Topic("public", "trades:BTC-USDT", PAIR, "trades"),
    ]
    arg = [{"channel": "books", "instId": "BTC-USDT"}]
    assert json.loads(VENUE.subscribe(topics[:1], 3)) == {"id": "3", "op": "subscribe", "args": arg}
    assert json.loads(VENUE.unsubscribe(topics[:1], 4)) == {"id": "4", "op": "unsubscribe", "args": arg}
    assert VENUE.socket_url("ws://h", "public") == "ws://h/ws/v5/public"
    assert VENUE.instruments_requests() == [RestRequest("/api/v5/public/instruments?instType=SPOT", 1)]
    assert SWAPS.instruments_requests() == [RestRequest("/api/v5/public/instruments?instType=SWAP", 1)]
    assert VENUE.snapshot_request(BTC, "full").path == "/api/v5/market/books?instId=BTC-USDT&sz=400"


def test_a_topic_that_feeds_two_things_is_asked_for_once() -> None:
    topics = VENUE.topics(BTC, "bbo", ALL)
    assert [topic.name for topic in topics] == ["bbo-tbt:BTC-USDT", "bbo-tbt:BTC-USDT", "trades:BTC-USDT"]
    assert len(json.loads(VENUE.subscribe(topics, 1))["args"]) == 2


def test_a_book_of_rest_is_a_snapshot() -> None:
    body = (
        b'{"code":"0","msg":"","data":[{"asks":[["84210.2","0.62","0","3"]],"bids":[],'
        b'"ts":"1795348800123","seqId":91200470}]}'
    )
    snapshot = SWAPS.parse_snapshot(body, SWAP, 9)
    assert (snapshot.pair, snapshot.sequence, snapshot.venue_ms) == (SWAP_PAIR, 91200470, 1795348800123)
    assert snapshot.asks == {"84210.2": "0.0062"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"code":"51001","msg":"m","data":[]}',
        b'{"code":"0","data":[]}',
        b'{"code":"0","data":[{}]}',
        b"[" * 99_999,
    ],
)
def test_what_is_no_book_of_rest_is_undecodable(body: bytes) -> None:
    with pytest.raises(Undecodable, match="BTC/USDT"):
        VENUE.parse_snapshot(body, BTC, 9)
