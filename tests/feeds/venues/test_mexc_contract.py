"""MEXC contracts: pushes, answers that name no symbol, requests."""

import gzip
import json
from decimal import Decimal
from typing import Any

import pytest

from books.events import Bbo, Delta, Snapshot, SnapshotReason, Trade
from books.sequence import CONTIGUOUS, IMAGES
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
    Refused,
    RestRequest,
    Topic,
    Undecodable,
    Unused,
)
from feeds.venues.mexc.contract import MexcContract
from fleet.errors import ConfigError
from fleet.pair import Pair

VENUE = MexcContract()
PAIR = Pair("mexc", "futures", "BTC/USDT")
BTC = Instrument(
    pair=PAIR,
    symbol="BTC_USDT",
    status=InstrumentStatus.TRADING,
    tick="0.1",
    lot="0.0001",
    min_amount="0.0001",
    min_notional=None,
    contract_size=Decimal("0.0001"),
)
KNOWN = Instruments([BTC], [Refused("BTC_USD", "inverse")])

MERGED = (  # venue sheet, section 5.3
    '{"symbol":"BTC_USDT","data":{"cts":1795350000195,"asks":[[84211.2,0,0],[84210.6,3446,2]],'
    '"bids":[[84210.5,31288,7],[8.42E+4,120,1]],"begin":41925002101,"end":41925002140,"version":41925002140},'
    '"channel":"push.depth","ts":1795350000200}'
)
RAW = (
    '{"symbol":"BTC_USDT","data":{"cts":1795350000206,"asks":[[84210.6,3440,2]],"bids":[],"version":41925002141},'
    '"channel":"push.depth","ts":1795350000208}'
)
FULL = (
    '{"symbol":"BTC_USDT","data":{"cts":1795350000301,"asks":[[84210.6,3446,2],[84210.7,1,1]],'
    '"bids":[[84210.50,31288,7]],"version":41925002190},"channel":"push.depth.full","ts":1795350000305}'
)
DEAL = (
    '{"symbol":"BTC_USDT","data":[{"p":84210.6,"v":3,"T":1,"O":3,"M":2,"t":1795350000156,"i":"16005949540",'
    '"cts":"1795350000156"}],"channel":"push.deal","ts":1795350000156}'
)
SNAPSHOT = (
    b'{"success":true,"code":0,"data":{"cts":null,"asks":[[84210.6,3446,2]],"bids":[[84210.5,31288,7]],'
    b'"version":41925002120,"timestamp":1795350000100}}'
)


def decode(frame: str | bytes) -> list[Message]:
    return VENUE.decode(frame, 7, KNOWN)


def delta(**changed: Any) -> BookMessage:
    said = {
        "pair": PAIR, "received_us": 7, "venue_ms": 1795350000195, "bids": {"84210.5": "3.1288", "84200": "0.012"},
        "asks": {"84211.2": "0", "84210.6": "0.3446"}, "sequence": 41925002140, "first_sequence": 41925002101,
    }  # fmt: skip
    return BookMessage("depth:BTC_USDT", Delta(**{**said, **changed}))


def test_a_merged_frame_covers_begin_to_end_and_its_contracts_become_base_units() -> None:
    assert decode(MERGED) == [delta()]


def test_a_raw_frame_is_one_version() -> None:
    raw = delta(
        bids={}, asks={"84210.6": "0.344"}, sequence=41925002141, first_sequence=41925002141, venue_ms=1795350000206
    )
    assert decode(RAW) == [raw]
    without = RAW.replace('"cts":1795350000206,', "")  # before 2026-06-18
    assert decode(without) == [delta(**{**as_dict(raw), "venue_ms": 1795350000208})]
    zeros = RAW.replace('"version"', '"begin":0,"end":0,"version"')
    assert decode(zeros) == [raw]


def as_dict(message: BookMessage) -> dict[str, Any]:
    event = message.event
    assert isinstance(event, Delta)
    return {name: getattr(event, name) for name in ("bids", "asks", "sequence", "first_sequence")}


@pytest.mark.parametrize("spelling", ["84210.5", "84210.50", "8.42105E+4", "842105e-1", "84210.500000"])
def test_every_spelling_of_a_price_is_the_same_level(spelling: str) -> None:
    assert decode(MERGED.replace("84210.5,", f"{spelling},")) == [delta()]


def test_tiny_and_whole_numbers_come_out_exact() -> None:
    (message,) = decode(RAW.replace("[84210.6,3440,2]", "[9.2E-7,1,1],[0.30000000000000004,2.5,1],[84200,1E+2,1]"))
    assert isinstance(message, BookMessage)
    assert isinstance(message.event, Delta)
    assert message.event.asks == {"0.00000092": "0.0001", "0.30000000000000004": "0.00025", "84200": "0.01"}


def test_the_best_levels_are_best_prices_and_acknowledge_their_topic() -> None:
    best = Bbo(
        pair=PAIR,
        received_us=7,
        venue_ms=1795350000301,
        bid="84210.5",
        bid_amount="3.1288",
        ask="84210.6",
        ask_amount="0.3446",
        sequence=41925002190,
    )
    assert decode(FULL) == [Ack(None, "depth.full:BTC_USDT", True), best]


@pytest.mark.parametrize("bids", ["[]", "[[84210.5,0,0]]"])
def test_an_empty_side_of_the_best_levels_is_empty_text(bids: str) -> None:
    _, best = decode(FULL.replace("[[84210.50,31288,7]]", bids))
    assert isinstance(best, Bbo)
    assert (best.bid, best.bid_amount, best.ask) == ("", "", "84210.6")


def test_a_deal_is_a_trade_in_base_units_and_acknowledges_its_topic() -> None:
    trade = Trade(
        pair=PAIR,
        received_us=7,
        venue_ms=1795350000156,
        price="84210.6",
        amount="0.0003",
        side="buy",
        trade_id="16005949540",
    )
    assert decode(DEAL) == [Ack(None, "deal:BTC_USDT", True), trade]
    sold = decode(DEAL.replace('"T":1', '"T":2'))[1]
    assert isinstance(sold, Trade)
    assert sold.side == "sell"


@pytest.mark.parametrize("data", ['[{"p":1,"v":2,"T":1,"t":3}]', '{"p":1,"v":2,"T":1,"t":3,"M":1,"O":3}'])
def test_a_deal_of_before_2025_has_no_id_and_is_named(data: str) -> None:
    frame = f'{{"channel":"push.deal","data":{data},"symbol":"BTC_USDT","ts":1}}'
    assert decode(frame)[1:] == [Unused("deal without an id (before 2025)")]


def test_a_deal_of_nothing_is_no_trade() -> None:
    assert decode(DEAL.replace('"v":3', '"v":0'))[1:] == [Unused("deal of no price or no amount")]


# --- answers (sheet, sections 3 and 4.2) ----------------------------------------------------------------------------------


def test_the_answer_to_our_ping_is_a_pong() -> None:
    assert decode('{"channel":"pong","data":1795350000000,"ts":1795350000000}') == [Pong()]


@pytest.mark.parametrize("verb, subscribed", [("sub", True), ("unsub", False)])
def test_an_acknowledgement_names_no_symbol_unless_it_is_of_the_documents(verb: str, subscribed: bool) -> None:
    real = f'{{"channel":"rs.{verb}.depth","data":"success","ts":"1795350000001"}}'
    assert decode(real) == [Ack(None, None, subscribed, "depth")]
    documented = f'{{"channel":"rs.{verb}.depth.full","param":{{"symbol":"ETH_USDT"}}}}'
    assert decode(documented) == [Ack(None, "depth.full:ETH_USDT", subscribed)]


def test_an_unknown_contract_refuses_every_topic_of_it() -> None:
    text = "Contract [NOPE_USDT] not exists"
    frame = f'{{"channel":"rs.error","data":"{text}","ts":1795350000002}}'
    assert decode(frame) == [
        Refusal(None, f"{channel}:NOPE_USDT", "rs.error", text, fatal_topic=True)
        for channel in ("depth", "depth.full", "deal")
    ]


def test_an_error_that_names_no_contract_is_a_refusal_of_nobody_knows_what() -> None:
    assert decode('{"channel":"rs.error","data":"Parameter error!","ts":1}') == [
        Refusal(None, None, "rs.error", "Parameter error!", fatal_topic=False)
    ]


def test_the_last_words_of_a_socket_are_going_away() -> None:
    text = "more than 60 seconds no response, close the channel"
    assert decode(f'{{"channel":"rs.error","data":"{text}","ts":1}}') == [GoingAway(text)]


@pytest.mark.parametrize(
    "frame, word",
    [
        (MERGED.replace("BTC_USDT", "BTC_USD"), "BTC_USD: inverse"),
        (DEAL.replace("BTC_USDT", "NEW_USDT"), "NEW_USDT: not among the instruments"),
        ('{"symbol":"BTC_USDT","data":{"bid1":1,"ask1":2},"channel":"push.ticker","ts":1}', "channel push.ticker"),
        ('{"channel":"push.tickers","data":[],"ts":1}', "channel push.tickers"),
        ('{"channel":"push.personal.order","data":{},"ts":1}', "channel push.personal.order"),
        ('{"channel":"rs.login","data":"success","ts":"1"}', "channel rs.login"),
        ('{"channel":"push.depth.snapshot","generated":true,"data":{},"symbol":"BTC_USDT"}', "by a recorder"),
        ('{"method":"sub.depth","param":{"symbol":"ETH_USDT"}}', "request"),
        ('{"success":true,"code":0,"data":[]}', "REST"),
        ('{"code":200,"data":{"asks":[],"bids":[],"version":"1"}}', "REST"),
        ("[]", "REST"),
    ],
)
def test_what_is_known_and_not_used_is_named(frame: str, word: str) -> None:
    (message,) = decode(frame)
    assert isinstance(message, Unused)
    assert word in message.reason


def test_text_bytes_gzip_and_another_key_order_are_the_same_frame() -> None:
    turned = MERGED.replace(',"channel":"push.depth"', "").replace("{", '{"channel":"push.depth",', 1)
    assert decode(MERGED) == decode(MERGED.encode()) == decode(gzip.compress(MERGED.encode())) == decode(turned)


@pytest.mark.parametrize(
    "frame",
    [
        "",
        b"",
        "1",
        "null",
        '{"unknown":1}',
        b"\xff",
        "[" * 100_000,
        '{"channel":"push.depth","data":' + "[" * 100_000,
        MERGED[:-1],
        MERGED.replace('"symbol":"BTC_USDT",', ""),
        MERGED.replace("41925002140", "-1"),
        MERGED.replace("41925002140", "1.5"),
        MERGED.replace("41925002140", "9" * 30),
        MERGED.replace("41925002101", "41925002141"),
        MERGED.replace("1795350000195", "1e300"),
        MERGED.replace("[84210.6,3446,2]", "[84210.6,3446]"),
        MERGED.replace("[84210.6,3446,2]", "[-84210.6,3446,2]"),
        MERGED.replace("84210.6", "NaN"),
        MERGED.replace("84210.6", "null"),
        MERGED.replace("84210.6", "true"),
        MERGED.replace("84210.6", "[1]"),
        MERGED.replace("84210.6", '"Infinity"'),
        MERGED.replace("84210.6", "9" * 5000),
        MERGED.replace("84210.6", "1e999999999"),
        MERGED.replace("3446", "-3446"),
        DEAL.replace('"T":1', '"T":3'),
        DEAL.replace('"p":84210.6,', ""),
        DEAL.replace("84210.6", '""'),
        DEAL.replace('"i":"16005949540"', '"i":16005949540'),
        FULL.replace("31288", "null"),
        gzip.compress(b"{"),
        gzip.compress(MERGED.encode())[:-9],
        gzip.compress(b" " * (17 * 1024 * 1024)),  # unpacks to more than we take
        b"\x1f\x8b\x08",
    ],
)
def test_what_is_malformed_is_undecodable(frame: str | bytes) -> None:
    with pytest.raises(Undecodable) as raised:
        decode(frame)
    assert 0 < len(str(raised.value)) < 500


@pytest.mark.parametrize("frame", [MERGED, FULL, DEAL])
def test_a_frame_with_any_byte_changed_or_cut_raises_nothing_but_undecodable(frame: str) -> None:
    raw = frame.encode()
    for at in range(len(raw)):
        for changed in (raw[:at], *(raw[:at] + bytes([byte]) + raw[at + 1 :] for byte in b'\x00"[9,}\xff')):
            try:
                decode(changed)
            except Undecodable:
                pass


# --- what we ask ----------------------------------------------------------------------------------------------------------


def test_each_depth_has_its_channel() -> None:
    best = VENUE.book_channel("bbo")
    assert (best.depth, best.rule, best.bootstrap) == ("bbo", IMAGES, Bootstrap.IMAGES)
    for depth in ("20", "50", "full"):
        channel = VENUE.book_channel(depth)
        assert (channel.rule, channel.bootstrap, channel.cadence) == (CONTIGUOUS, Bootstrap.REST, "200 ms")
    assert VENUE.book_channel("50").shortfall is None
    assert "1500" in (VENUE.book_channel("full").shortfall or "")
    with pytest.raises(ConfigError, match="bbo, 20, 50, full"):
        VENUE.book_channel("5")


def test_topics_and_requests_are_as_the_sheet_says() -> None:
    topics = VENUE.topics(BTC, "full", frozenset({"book", "bbo", "trades"}))
    assert topics == [
        Topic("public", "depth:BTC_USDT", PAIR, "book", "depth"),
        Topic("public", "depth.full:BTC_USDT", PAIR, "bbo", "depth.full"),
        Topic("public", "deal:BTC_USDT", PAIR, "trades", "deal"),
    ]
    assert [json.loads(VENUE.subscribe([topic], 3)) for topic in topics] == [
        {"method": "sub.depth", "param": {"symbol": "BTC_USDT"}},
        {"method": "sub.depth.full", "param": {"symbol": "BTC_USDT", "limit": 5}},
        {"method": "sub.deal", "param": {"symbol": "BTC_USDT"}},
    ]
    assert json.loads(VENUE.unsubscribe(topics[:1], 4)) == {"method": "unsub.depth", "param": {"symbol": "BTC_USDT"}}
    assert VENUE.limits.topics_per_request == 1
    assert VENUE.socket_url("ws://h", "public") == "ws://h/edge"
    assert VENUE.instruments_requests() == [RestRequest("/api/v1/contract/detail", 1)]
    assert VENUE.snapshot_request(BTC, "20") == RestRequest("/api/v1/contract/depth/BTC_USDT?limit=1000", 1)
    assert VENUE.snapshot_request(BTC, "full") == RestRequest("/api/v1/contract/depth/BTC_USDT", 1)
    with pytest.raises(ConfigError, match="depth 'bbo'"):
        VENUE.snapshot_request(BTC, "bbo")


def test_a_contract_never_has_two_limits_of_its_best_levels() -> None:
    for depth in ("bbo", "20", "50", "full"):
        topics = VENUE.topics(BTC, depth, frozenset({"book", "bbo"}))
        best = {topic.name for topic in topics if topic.kind == "depth.full"}
        assert best == {"depth.full:BTC_USDT"}


def test_our_ping_is_sent_whatever_comes() -> None:
    keepalive = VENUE.keepalive
    assert (json.loads(keepalive.text or ""), keepalive.every_ms) == ({"method": "ping"}, 15_000)


def test_a_book_of_rest_is_a_snapshot_in_base_units() -> None:
    assert VENUE.parse_snapshot(SNAPSHOT, BTC, 9) == Snapshot(
        pair=PAIR,
        received_us=9,
        venue_ms=1795350000100,
        bids={"84210.5": "3.1288"},
        asks={"84210.6": "0.3446"},
        reason=SnapshotReason.FIRST,
        sequence=41925002120,
    )


@pytest.mark.parametrize(
    "body, word",
    [
        (b"", ""),
        (b'{"success":false,"code":510,"message":"Requests are too frequent"}', "code 510"),
        (b'{"success":true,"code":1001}', "code 1001"),
        (b'{"success":true,"code":0}', "code 0"),
        (SNAPSHOT.replace(b"[84210.6,3446,2]", b"").replace(b"[84210.5,31288,7]", b""), "delisted"),
        (SNAPSHOT.replace(b"84210.6", b"-1"), "no book"),
        (SNAPSHOT.replace(b"41925002120", b"-1"), "no book"),
    ],
)
def test_what_is_no_book_of_rest_is_undecodable(body: bytes, word: str) -> None:
    with pytest.raises(Undecodable, match=f"BTC/USDT.*{word}"):
        VENUE.parse_snapshot(body, BTC, 9)
