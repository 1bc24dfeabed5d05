"""CoinEx: frames of the venue sheet, requests, and what its answers mean."""

import gzip
import json
import zlib
from decimal import Decimal
from typing import Any

import pytest

from books.events import Bbo, Delta, Snapshot, SnapshotReason, Trade
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
from feeds.venues.coinex import MARKETS
from feeds.venues.coinex.checksum import Evidence
from feeds.venues.coinex.frames import TEXT_MOST
from feeds.venues.coinex.market_data import PING_ID, DepthTopic
from fleet.errors import ConfigError
from fleet.pair import Pair

SPOT, FUTURES = MARKETS
PAIR = Pair("coinex", "spot", "BTC/USDT")
ALL = frozenset({"book", "bbo", "trades"})
BTC = Instrument(
    pair=PAIR,
    symbol="BTCUSDT",
    status=InstrumentStatus.TRADING,
    tick="0.01",
    lot="0.00000001",
    min_amount="0.0005",
    min_notional=None,
    contract_size=Decimal(1),
)
KNOWN = Instruments([BTC], [Refused("BTCUSD", "contract type inverse: not linear")])

# venue sheet, sections 5.1, 5.2, 5.5, 6
IMAGE = (
    '{"method":"depth.update","data":{"market":"BTCUSDT","is_full":true,"depth":{"asks":[["30740.00","0.31763545"],'
    '["30769.00","1.45155000"]],"bids":[["30736.00","0.04857373"],["30733.00","0.84696320"]],"last":"30746.28",'
    '"updated_at":1689152421692,"checksum":3258844969}},"id":null}'
)
DELTA = (
    '{"method":"depth.update","data":{"market":"BTCUSDT","is_full":false,"depth":{"asks":[["30740.00","0.20000000"]],'
    '"bids":[["30733.00","0"],["30734.50","0.50000000"]],"last":"30740.00","updated_at":1689152421892,'
    '"checksum":4144158991}},"id":null}'
)
BBO = (
    '{"method":"bbo.update","data":{"market":"BTCUSDT","updated_at":1642145331234,"best_bid_price":"20000",'
    '"best_bid_size":"0.10","best_ask_price":"20001","best_ask_size":"0.15"},"id":null}'
)
DEALS = (
    '{"method":"deals.update","data":{"market":"BTCUSDT","deal_list":[{"deal_id":3514376760,"created_at":1689152421900,'
    '"side":"sell","price":"30718.40","amount":"0.00120000"},{"deal_id":3514376759,"created_at":1689152421692,'
    '"side":"buy","price":"30718.42","amount":"0.00000325"}]},"id":null}'
)


def decode(frame: str | bytes) -> list[Message]:
    return SPOT.decode(frame, 7, KNOWN)


def book(frame: str | bytes) -> BookMessage:
    (message,) = decode(frame)
    assert isinstance(message, BookMessage)
    return message


# ── market data ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_full_push_is_a_snapshot_with_its_evidence_in_the_venues_spelling() -> None:
    snapshot = Snapshot(
        pair=PAIR,
        received_us=7,
        venue_ms=1689152421692,
        bids={"30736": "0.04857373", "30733": "0.8469632"},
        asks={"30740": "0.31763545", "30769": "1.45155"},
        reason=SnapshotReason.FIRST,
        sequence=None,
    )
    evidence = Evidence(
        True,
        [("30736.00", "0.04857373"), ("30733.00", "0.84696320")],
        [("30740.00", "0.31763545"), ("30769.00", "1.45155000")],
        3258844969,
    )
    assert decode(IMAGE) == [BookMessage("depth:BTCUSDT", snapshot, evidence)]


def test_a_push_that_is_not_full_is_a_delta_without_any_number() -> None:
    message = book(DELTA)
    assert message.topic == "depth:BTCUSDT"
    assert message.event == Delta(
        pair=PAIR,
        received_us=7,
        venue_ms=1689152421892,
        bids={"30733": "0", "30734.5": "0.5"},
        asks={"30740": "0.2"},
        sequence=None,
        first_sequence=None,
        previous_sequence=None,
    )
    assert message.evidence == Evidence(
        False, [("30733.00", "0"), ("30734.50", "0.50000000")], [("30740.00", "0.20000000")], 4144158991
    )


@pytest.mark.parametrize("side", ["asks", "bids"])
@pytest.mark.parametrize("absent", [True, False])
def test_a_side_that_is_absent_or_empty_did_not_change(side: str, absent: bool) -> None:
    frame = json.loads(DELTA)
    if absent:
        del frame["data"]["depth"][side]
    else:
        frame["data"]["depth"][side] = []
    event = book(json.dumps(frame)).event
    assert isinstance(event, Delta)
    assert getattr(event, side) == {}
    assert event.bids or event.asks


@pytest.mark.parametrize("zero", ["0", "0.00", "0E-8", "00"])
def test_any_form_of_zero_deletes(zero: str) -> None:
    event = book(DELTA.replace('["30733.00","0"]', f'["30733.00","{zero}"]')).event
    assert isinstance(event, Delta)
    assert event.bids["30733"] == "0"


def test_exponents_are_exact() -> None:
    event = book(DELTA.replace('"30734.50","0.50000000"', '"9.75E+4","9.2E-7"')).event
    assert isinstance(event, Delta)
    assert event.bids["97500"] == "0.00000092"


@pytest.mark.parametrize("checksum", [-2147483648, -150808305, 0, 4294967295])
def test_checksums_may_be_signed_or_unsigned(checksum: int) -> None:
    evidence = book(DELTA.replace("4144158991", str(checksum))).evidence
    assert isinstance(evidence, Evidence)
    assert evidence.checksum == checksum


def test_an_empty_book_is_a_book() -> None:
    frame = (
        '{"method":"depth.update","data":{"market":"BTCUSDT","is_full":true,"depth":{"asks":[],"bids":[],'
        '"last":"2716.61","updated_at":1790132349768,"checksum":0}},"id":null}'
    )
    event = book(frame).event
    assert isinstance(event, Snapshot)
    assert (event.bids, event.asks) == ({}, {})


def test_best_prices() -> None:
    expected = Bbo(
        pair=PAIR,
        received_us=7,
        venue_ms=1642145331234,
        bid="20000",
        bid_amount="0.1",
        ask="20001",
        ask_amount="0.15",
        sequence=None,
    )
    assert decode(BBO) == [expected]


@pytest.mark.parametrize("price, size", [("", "0"), ("", ""), ("20000", "0.00")])
def test_a_side_without_best_price_is_empty(price: str, size: str) -> None:
    (best,) = decode(BBO.replace('"20000"', f'"{price}"').replace('"0.10"', f'"{size}"'))
    assert isinstance(best, Bbo)
    assert (best.bid, best.bid_amount, best.ask, best.ask_amount) == ("", "", "20001", "0.15")


def test_trades_come_oldest_first() -> None:
    older, newer = (
        Trade(pair=PAIR, received_us=7, venue_ms=ms, price=price, amount=amount, side=side, trade_id=id_)
        for ms, price, amount, side, id_ in (
            (1689152421692, "30718.42", "0.00000325", "buy", "3514376759"),
            (1689152421900, "30718.4", "0.0012", "sell", "3514376760"),
        )
    )
    assert decode(DEALS) == [older, newer]


def test_both_markets_have_the_same_ids_and_each_names_its_own_pair() -> None:
    pair = Pair("coinex", "futures", "BTC/USDT")
    instrument = Instrument(
        pair=pair, symbol="BTCUSDT", status=InstrumentStatus.TRADING, tick="0.5", lot="0.0001", min_amount="0.001",
        min_notional=None, contract_size=Decimal(1),
    )  # fmt: skip
    (message,) = FUTURES.decode(IMAGE, 7, Instruments([instrument]))
    assert isinstance(message, BookMessage)
    assert isinstance(message.event, Snapshot)
    assert message.event.pair == pair
    assert message.event.bids == {"30736": "0.04857373", "30733": "0.8469632"}  # base units: nothing is multiplied


@pytest.mark.parametrize("frame", [IMAGE, DELTA, BBO, DEALS])
def test_gzip_zlib_text_bytes_and_another_key_order_are_the_same_frame(frame: str) -> None:
    expected = decode(frame)
    for same in (
        frame.encode(),
        gzip.compress(frame.encode()),
        zlib.compress(frame.encode()),
        json.dumps(dict(reversed(json.loads(frame).items())), indent=1),
        json.dumps(json.loads(frame)),
    ):
        assert decode(same) == expected


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_acknowledgement_names_its_request_only() -> None:
    assert decode('{"id":1,"code":0,"message":"OK"}') == [Ack("1", None, None)]
    assert decode('{"id":1,"code":0,"message":"OK","data":{}}') == [Ack("1", None, None)]


@pytest.mark.parametrize(
    "frame",
    [
        f'{{"id":{PING_ID},"code":0,"message":"OK","data":{{"result":"pong"}}}}',
        f'{{"id":{PING_ID},"code":0,"message":"OK"}}',
        '{"id":1,"code":0,"data":{"result":"pong"},"message":"OK"}',
    ],
)
def test_the_answer_to_our_keepalive_is_a_pong_whatever_it_carries(frame: str) -> None:
    assert decode(gzip.compress(frame.encode())) == [Pong()]


@pytest.mark.parametrize(
    "code, fatal",
    [(20001, True), (20002, True), (30002, True), (21001, True), (21002, True), (23001, False), (23002, False),
     (24001, False), (24002, False), (99999, False)],
)  # fmt: skip
def test_a_code_other_than_0_is_a_refusal_of_the_request(code: int, fatal: bool) -> None:
    frame = f'{{"id":4,"code":{code},"message":"invalid parameters"}}'
    assert decode(frame) == [Refusal("4", None, str(code), "invalid parameters", fatal)]


def test_a_refusal_may_name_no_request() -> None:
    assert decode('{"id":null,"code":20001,"message":"m"}') == [Refusal(None, None, "20001", "m", True)]


@pytest.mark.parametrize(
    "frame, word",
    [
        ('{"method":"state.update","data":{"state_list":[]},"id":null}', "channel: state.update"),
        ('{"method": "state.update", "id": null, "data": {"state_list": []}}', "channel: state.update"),
        ('{"method":"index.update","data":{"market":"BTCUSDT","index_price":"1"},"id":null}', "index.update"),
        ('{"method":"order.update","data":{"event":"put","order":{}},"id":null}', "order.update"),
        ('{"method":"depth.subscribe","params":{"market_list":[]},"id":1}', "request: depth.subscribe"),
        ('{"method":"depth.update","params":[true,{"asks":[]},"BTCUSDT"],"id":null}', "version 1: depth.update"),
        ('{"error":null,"result":{"status":"success"},"id":1}', "answer of version 1"),
        ('{"code":0,"data":{},"message":"OK"}', "REST"),
        ('{"code":4005,"data":{},"message":"key"}', "REST"),
        ('{"id":8,"code":0,"data":{"timestamp":1},"message":"OK"}', "carries data"),
        (IMAGE.replace("BTCUSDT", "BTCUSD"), "BTCUSD: contract type inverse"),
        (DEALS.replace("BTCUSDT", "BTCUSDT_INDEXPRICE"), "not among the instruments"),
    ],
)
def test_what_is_known_and_not_used_is_named(frame: str, word: str) -> None:
    (message,) = decode(frame)
    assert isinstance(message, Unused)
    assert word in message.reason


# ── what cannot be read ──────────────────────────────────────────────────────────────────────────────────────────────

WHOLE = gzip.compress(DELTA.encode())


@pytest.mark.parametrize(
    "frame",
    [
        "", b"", "null", "1", "[]", '"pong"', "pong", "{}", '{"unknown":1}', b"\xff", b"\x1f", b"\x78", b"\x1f\x8b",
        WHOLE[:-1], WHOLE[:20], WHOLE + b"x", WHOLE + WHOLE, WHOLE[:-8] + bytes(8), gzip.compress(b"\xff\xfe"),
        gzip.compress(b""), "[" * 100_000, '{"method":"depth.update","data":' + "[" * 100_000, '{"method":"depth.upd',
        '{"id":' + "[" * 100_000, '{"id":1,"code":' + "9" * 6000 + "}", '{"id":1,"code":"0"}', '{"id":1,"code":true}',
        DELTA.replace("false", "0"),
        DELTA.replace(',"checksum":4144158991', ""),  # nothing would prove it
        DELTA.replace("4144158991", "4294967296"),
        DELTA.replace("4144158991", "-2147483649"),
        DELTA.replace("4144158991", '"4144158991"'),
        DELTA.replace("4144158991", "NaN"),
        DELTA.replace("1689152421892", "-1"),
        DELTA.replace("1689152421892", "1" * 40),
        DELTA.replace("1689152421892", "1689152421892.5"),
        DELTA.replace('"30734.50"', '"-30734.50"'),
        DELTA.replace('"30734.50"', '"NaN"'),
        DELTA.replace('"30734.50"', '""'),
        DELTA.replace('"30734.50"', "30734.50"),
        DELTA.replace('"0.50000000"', '"' + "9" * 50 + '"'),
        DELTA.replace('"0.50000000"', '"0.50000000","1"'),
        DELTA.replace('["30740.00","0.20000000"]', '["30740.00"]'),
        DELTA.replace('"market":"BTCUSDT",', ""),
        DELTA.replace('"depth":{', '"depth":[{'),
        BBO.replace('"20001"', '"soon"'), BBO.replace('"20001"', "20001"), BBO.replace('"best_ask_price":"20001",', ""),
        DEALS.replace('"sell"', '"long"'), DEALS.replace("3514376760", "-1"), DEALS.replace("3514376760", '"1"'),
        DEALS.replace('"0.00120000"', '""'), DEALS.replace("3514376760", "9" * 19),
    ],
)  # fmt: skip
def test_what_is_malformed_is_undecodable(frame: str | bytes) -> None:
    with pytest.raises(Undecodable) as raised:
        decode(frame)
    assert 0 < len(str(raised.value)) < 500


def test_a_bomb_is_undecodable_and_costs_its_bound() -> None:
    with pytest.raises(Undecodable, match=f"more than {TEXT_MOST} bytes"):
        decode(gzip.compress(bytes(TEXT_MOST + 1)))


# ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_depth_has_its_channel() -> None:
    assert SPOT.book_channel("bbo").bootstrap is Bootstrap.IMAGES
    for depth, levels in (("20", "20"), ("50", "50"), ("full", "50")):
        channel = SPOT.book_channel(depth)
        assert (channel.depth, channel.bootstrap) == (levels, Bootstrap.IN_BAND)
        assert channel.proof is not None
        assert channel.proof() is not channel.proof()
        assert levels in channel.evidence
    assert SPOT.book_channel("50").shortfall is None
    assert "50 levels" in (SPOT.book_channel("full").shortfall or "")
    with pytest.raises(ConfigError, match="bbo, 20, 50, full"):
        SPOT.book_channel("5")


def test_topics_are_of_three_kinds() -> None:
    assert SPOT.topics(BTC, "20", ALL) == [
        DepthTopic("public", "depth:BTCUSDT", PAIR, "book", "depth", 20),
        Topic("public", "bbo:BTCUSDT", PAIR, "bbo", "bbo"),
        Topic("public", "deals:BTCUSDT", PAIR, "trades", "deals"),
    ]
    assert [topic.name for topic in SPOT.topics(BTC, "bbo", ALL)] == ["bbo:BTCUSDT", "bbo:BTCUSDT", "deals:BTCUSDT"]
    assert SPOT.topics(BTC, "20", ALL)[0] != SPOT.topics(BTC, "full", ALL)[0]  # another subscription


def request(text: str) -> dict[str, Any]:
    return dict(json.loads(text))


def test_requests_are_as_the_sheet_says() -> None:
    deep, best, deals = SPOT.topics(BTC, "full", ALL)
    eth = DepthTopic("public", "depth:ETHUSDT", Pair("coinex", "spot", "ETH/USDT"), "book", "depth", 20)
    assert request(SPOT.subscribe([deep, eth], 3)) == {
        "method": "depth.subscribe",
        "params": {"market_list": [["BTCUSDT", 50, "0", False], ["ETHUSDT", 20, "0", False]]},
        "id": 3,
    }
    names = {"market_list": ["BTCUSDT"]}
    assert request(SPOT.subscribe([best, best], 4)) == {"method": "bbo.subscribe", "params": names, "id": 4}
    assert request(SPOT.subscribe([deals], 5)) == {"method": "deals.subscribe", "params": names, "id": 5}
    assert request(SPOT.unsubscribe([deep], 6)) == {"method": "depth.unsubscribe", "params": names, "id": 6}
    assert request(str(SPOT.keepalive.text)) == {"method": "server.ping", "params": {}, "id": PING_ID}


def test_the_path_tells_the_markets_apart() -> None:
    assert SPOT.socket_url("ws://h", "public") == "ws://h/v2/spot"
    assert FUTURES.socket_url("ws://h", "public") == "ws://h/v2/futures"
    health = ["/v2/ping", "/v2/time", "/v2/maintain/info"]
    assert SPOT.instruments_requests() == [RestRequest(path, 1) for path in [*health, "/v2/spot/market"]]
    assert FUTURES.instruments_requests()[-1] == RestRequest("/v2/futures/market", 1)
    assert SPOT.snapshot_request(BTC, "20").path == "/v2/spot/depth?market=BTCUSDT&limit=20&interval=0"
    assert FUTURES.snapshot_request(BTC, "full").path == "/v2/futures/depth?market=BTCUSDT&limit=50&interval=0"


def test_the_venue_is_off_by_default_and_says_why() -> None:
    for venue in MARKETS:
        assert "2026-09-22" in (venue.traits.off_because or "")
        assert "2026-09-29" in (venue.traits.off_because or "")
        assert venue.traits.replaces
        assert venue.traits.repeats_trades
        assert not venue.sequence_comparable


def test_the_longest_request_fits_a_request() -> None:
    topics = [
        DepthTopic("public", f"depth:{'X' * 20}{number:03d}USDT", PAIR, "book", "depth", 50) for number in range(100)
    ]
    assert len(SPOT.subscribe(topics, 10**6)) < SPOT.limits.request_bytes
    assert SPOT.limits.pairs_per_connection <= SPOT.limits.topics_per_request == 100  # it must name all of its kind


# ── REST ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

REST_BOOK = b'{"code":0,"data":' + json.dumps(json.loads(IMAGE)["data"]).encode() + b',"message":"OK"}'


def test_a_book_of_rest_is_a_snapshot() -> None:
    snapshot = SPOT.parse_snapshot(REST_BOOK, BTC, 9)
    assert (snapshot.pair, snapshot.sequence, snapshot.venue_ms) == (PAIR, None, 1689152421692)
    assert snapshot.bids == {"30736": "0.04857373", "30733": "0.8469632"}


@pytest.mark.parametrize(
    "body, word",
    [
        (b"", ""),
        (b"null", ""),
        (b'{"code":0,"data":[]}', ""),
        (b"[" * 99_999, ""),
        (b'{"code":3639,"data":{},"message":"Market not found"}', "code 3639: Market not found"),
        (REST_BOOK.replace(b"BTCUSDT", b"ETHUSDT"), "got that of ETHUSDT"),
        (REST_BOOK.replace(b'"30736.00"', b'"-1"'), "decimal"),
    ],
)
def test_what_is_no_book_of_rest_is_undecodable(body: bytes, word: str) -> None:
    with pytest.raises(Undecodable, match=f"BTC/USDT: no book.*{word}"):
        SPOT.parse_snapshot(body, BTC, 9)
