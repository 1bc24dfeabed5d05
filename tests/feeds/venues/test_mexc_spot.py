"""MEXC spot: pushes, answers on the same socket, requests."""

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
    Image,
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
from feeds.venues.mexc.schema import Wrapper
from feeds.venues.mexc.spot import MexcSpot
from fleet.errors import ConfigError
from fleet.pair import Pair

VENUE = MexcSpot()
PAIR = Pair("mexc", "spot", "BTC/USDT")
BTC = Instrument(
    pair=PAIR,
    symbol="BTCUSDT",
    status=InstrumentStatus.TRADING,
    tick="0.01",
    lot="0.00000001",
    min_amount="0.00000001",
    min_notional="1",
    contract_size=Decimal(1),
)
KNOWN = Instruments([BTC], [Refused("ODDUSDT", "no such thing")])
DEPTH = "spot@public.aggre.depth.v3.api.pb@100ms@BTCUSDT"
BEST = "spot@public.aggre.bookTicker.v3.api.pb@100ms@BTCUSDT"
DEALS = "spot@public.aggre.deals.v3.api.pb@100ms@BTCUSDT"
LIMIT = "spot@public.limit.depth.v3.api.pb@BTCUSDT@5"


def push(channel: str = DEPTH, symbol: str = "BTCUSDT", sent_ms: int = 1795350000123, **body: Any) -> bytes:
    """A frame; `body` is one field of the wrapper's oneof and what is in it."""
    return bytes(Wrapper(channel=channel, symbol=symbol, sendTime=sent_ms, **body).SerializeToString())


def depth(**changed: Any) -> bytes:
    body = {
        "asks": [{"price": "84210.55", "quantity": "0.41280000"}, {"price": "84212.01", "quantity": "0.00000000"}],
        "bids": [{"price": "84210.54", "quantity": "1.86837271"}],
        "fromVersion": "61234500101",
        "toVersion": "61234500119",
    }
    return push(publicAggreDepths={**body, **changed})


def deal(**changed: Any) -> dict[str, Any]:
    item = {"price": "84270.00", "quantity": "0.00099829", "tradeType": 2, "time": 1795350000098, "tradeId": "7X0_8X0"}
    return {**item, **changed}


def decode(frame: str | bytes) -> list[Message]:
    return VENUE.decode(frame, 7, KNOWN)


def answer(text: str, code: int = 0, id_: object = 7) -> str:
    return json.dumps({"id": id_, "code": code, "msg": text})


def test_a_diff_is_a_delta_from_version_to_version() -> None:
    delta = Delta(
        pair=PAIR,
        received_us=7,
        venue_ms=1795350000123,
        bids={"84210.54": "1.86837271"},
        asks={"84210.55": "0.4128", "84212.01": "0"},
        sequence=61234500119,
        first_sequence=61234500101,
    )
    assert decode(depth()) == [BookMessage(DEPTH, delta)]


def test_a_diff_of_one_side_leaves_the_other_alone() -> None:
    (message,) = decode(depth(asks=[]))
    assert isinstance(message, BookMessage)
    assert (message.event.asks, len(message.event.bids)) == ({}, 1)  # type: ignore[union-attr]


def test_limit_depth_is_an_image() -> None:
    frame = push(
        LIMIT,
        publicLimitDepths={
            "asks": [{"price": "84210.55", "quantity": "0.4"}],
            "bids": [{"price": "84210.540", "quantity": "1"}],
            "version": "61234500119",
        },
    )
    snapshot = Snapshot(
        pair=PAIR,
        received_us=7,
        venue_ms=1795350000123,
        bids={"84210.54": "1"},
        asks={"84210.55": "0.4"},
        reason=SnapshotReason.FIRST,
        sequence=61234500119,
    )
    assert decode(frame) == [BookMessage(LIMIT, Image(snapshot))]


def test_best_prices() -> None:
    body = {
        "bidPrice": "84270",
        "bidQuantity": "0.00638700",
        "askPrice": "84270.01",
        "askQuantity": "5.4",
        "version": "82164153436",
    }
    best = Bbo(
        pair=PAIR,
        received_us=7,
        venue_ms=1795350000123,
        bid="84270",
        bid_amount="0.006387",
        ask="84270.01",
        ask_amount="5.4",
        sequence=82164153436,
    )
    assert decode(push(BEST, publicAggreBookTicker=body)) == [best]


@pytest.mark.parametrize("ask", [{}, {"askPrice": "84270.01", "askQuantity": "0.000"}])
def test_an_emptied_side_of_best_prices_is_empty_text(ask: dict[str, str]) -> None:
    (best,) = decode(push(BEST, publicAggreBookTicker={"bidPrice": "1", "bidQuantity": "2", **ask}))
    assert isinstance(best, Bbo)
    assert (best.bid, best.bid_amount, best.ask, best.ask_amount) == ("1", "2", "", "")
    assert best.sequence is None  # before 2026-06-17 there was none: not invented


def test_a_batch_of_deals_is_trades_of_the_takers_side() -> None:
    trades = decode(push(DEALS, publicAggreDeals={"deals": [deal(), deal(tradeType=1, tradeId="9X0_10X0")]}))
    assert trades == [
        Trade(
            pair=PAIR,
            received_us=7,
            venue_ms=1795350000098,
            price="84270",
            amount="0.00099829",
            side=side,
            trade_id=trade_id,
        )
        for side, trade_id in (("sell", "7X0_8X0"), ("buy", "9X0_10X0"))
    ]


def test_fields_and_bodies_that_the_schema_does_not_know_are_skipped() -> None:
    later = b"\xf8\x3f\x01"  # field 1023, a varint
    assert decode(depth() + later) == decode(depth())
    (message,) = decode(push() + b"\xf2\x3e\x02\x0a\x00")  # field 1006, a message: a body of the future
    assert message == Unused("push without a body: nothing happened")


@pytest.mark.parametrize(
    "frame, word",
    [
        (push("spot@public.kline.v3.api.pb@BTCUSDT@Min1", publicSpotKline={"interval": "Min1"}), "publicSpotKline"),
        (push("spot@private.account.v3.api.pb", publicDeals={}), "publicDeals"),
        (push("spot@private.orders.v3.api.pb", privateOrders={"id": "1"}), "privateOrders"),
        (push(DEALS, publicAggreDeals={"deals": [deal(tradeId="")]}), "without a tradeId"),
        (push(DEALS, publicAggreDeals={"deals": [deal(quantity="0.00")]}), "no amount"),
        (push("x@ODDUSDT", "ODDUSDT", publicAggreDepths={"toVersion": "1"}), "no such thing"),
        (push("x@NEWUSDT", "NEWUSDT", publicAggreDepths={"toVersion": "1"}), "not among the instruments"),
        ('{"c":"spot@public.deals.v3.api@ETHUSDT","d":{"deals":[]},"s":"ETHUSDT","t":1}', "public.deals.v3.api of the"),
        ('{"symbol":"BTC_USDT","data":{"deals":[]},"channel":"push.deal"}', "push.deal of the JSON socket of v2"),
        ('["push.symbol",{"symbol":"BTC_USDT","data":{}}]', "push.symbol of the JSON socket of v2"),
        ('{"id":"1","method":"SUBSCRIPTION","params":[]}', "request"),
        ('{"lastUpdateId":1,"bids":[],"asks":[]}', "REST"),
        ('[{"symbol":"BTCUSDT"}]', "REST"),
        (answer("something else"), "names no topic: something else"),
    ],
)
def test_what_is_known_and_not_used_is_named(frame: str | bytes, word: str) -> None:
    (message,) = decode(frame)
    assert isinstance(message, Unused)
    assert word in message.reason


def test_the_json_view_of_a_push_says_the_same_as_its_bytes() -> None:
    view = {
        "channel": DEPTH,
        "symbol": "BTCUSDT",
        "sendTime": "1795350000123",
        "publicAggreDepths": {
            "asks": [{"price": "84210.55", "quantity": "0.41280000"}, {"price": "84212.01", "quantity": "0.00000000"}],
            "bids": [{"price": "84210.54", "quantity": "1.86837271"}],
            "fromVersion": "61234500101",
            "toVersion": "61234500119",
            "addedLater": 1,
        },
    }
    assert decode(json.dumps(view)) == decode(json.dumps(view).encode()) == decode(depth())


# --- answers (sheet, section 4.1) -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["PONG", "pong"])
def test_the_answer_to_our_ping_is_a_pong(text: str) -> None:
    assert decode(answer(text, id_=0)) == decode(answer(text, id_=0).encode()) == [Pong()]


def test_the_request_given_back_acknowledges_each_of_its_topics() -> None:
    assert decode(answer(f"{DEPTH},{DEALS}")) == [Ack("7", DEPTH, None), Ack("7", DEALS, None)]


def test_a_code_of_zero_may_refuse_a_part_of_the_request() -> None:
    text = (
        f"Subscribed successful! [{DEPTH}]. Not Subscribed successfully! [spot@public.increase.depth.v3.api.pb@BTCUSDT, "
        "spot@public.aggre.deals.v3.api.pb@10ms@NOPEUSDT].  Reason： Blocked! "
    )
    assert decode(answer(text)) == [
        Ack("7", DEPTH, True),
        Refusal("7", "spot@public.increase.depth.v3.api.pb@BTCUSDT", "0", "Blocked!", True),
        Refusal("7", "spot@public.aggre.deals.v3.api.pb@10ms@NOPEUSDT", "0", "Blocked!", True),
    ]


@pytest.mark.parametrize("colon, gap", [("：", "  "), (":", " "), ("：", "")])
def test_a_code_of_zero_may_refuse_everything(colon: str, gap: str) -> None:
    text = f"Not Subscribed successfully! [spot@public.deals.v3.api@BTCUSDT,{DEPTH}].{gap}Reason{colon} Blocked! "
    refusals = decode(answer(text))
    assert [(one.topic, one.text, one.fatal_topic) for one in refusals if isinstance(one, Refusal)] == [
        ("spot@public.deals.v3.api@BTCUSDT", "Blocked!", True),
        (DEPTH, "Blocked!", True),
    ]
    assert len(refusals) == 2


def test_any_other_code_refuses_the_whole_request() -> None:
    assert decode(answer("what", code=3)) == [Refusal("7", None, "3", "what", fatal_topic=False)]


def test_a_bad_listen_key_is_told_without_json() -> None:
    for frame in ("Invalid listen key", b"Invalid listen key"):
        assert decode(frame) == [Refusal(None, None, "", "Invalid listen key", fatal_topic=False)]


@pytest.mark.parametrize(
    "frame",
    [
        "",
        b"",
        "1",
        "null",
        "PONG",
        '{"unknown":1}',
        b"\xff",
        b"\x00",
        b"{\xff}",
        depth()[:-1],
        depth()[:60],
        "[" * 100_000,
        '{"channel":"spot@a","publicAggreDepths":' + "[" * 100_000,
        depth(fromVersion=""),
        depth(toVersion="soon"),
        depth(toVersion="9" * 30),
        depth(toVersion="-5"),
        depth(fromVersion="61234500120"),
        depth(bids=[{"price": "-1", "quantity": "1"}]),
        depth(bids=[{"price": "NaN", "quantity": "1"}]),
        depth(bids=[{"price": "1"}]),
        depth(bids=[{"quantity": "1"}]),
        depth(bids=[{"price": "1", "quantity": "9" * 200}]),
        push(sent_ms=-1, publicAggreDepths={"fromVersion": "1", "toVersion": "1"}),
        push(sent_ms=2**60, publicAggreDepths={"fromVersion": "1", "toVersion": "1"}),
        push(symbol="ETHUSDT", publicAggreDepths={"fromVersion": "1", "toVersion": "1"}),
        push(symbol="", publicAggreDepths={"fromVersion": "1", "toVersion": "1"}),
        push(DEALS, publicAggreDeals={"deals": [deal(tradeType=3)]}),
        push(DEALS, publicAggreDeals={"deals": [deal(), deal(price="")]}),
        push(BEST, publicAggreBookTicker={"bidPrice": "1"}),
        push(LIMIT, publicLimitDepths={"version": ""}),
        json.dumps({"channel": DEPTH, "symbol": "BTCUSDT", "publicAggreDepths": {"asks": 5}}),
        json.dumps({"channel": DEPTH, "symbol": 5}),
        json.dumps({"channel": DEPTH, "sendTime": 2**70}),
        b"\x0a\xff\xff\xff\xff\x0f",  # a channel of 4 GiB
        b"\x0a\x02\xc3\x28",  # text that is no UTF-8
    ],
)
def test_what_is_malformed_is_undecodable(frame: str | bytes) -> None:
    with pytest.raises(Undecodable) as raised:
        decode(frame)
    assert 0 < len(str(raised.value)) < 500


@pytest.mark.parametrize("frame", [depth(), push(DEALS, publicAggreDeals={"deals": [deal(), deal()]})])
def test_a_frame_with_any_byte_changed_or_cut_raises_nothing_but_undecodable(frame: bytes) -> None:
    for at in range(len(frame)):
        for changed in (frame[:at], *(frame[:at] + bytes([byte]) + frame[at + 1 :] for byte in (0, 0x0B, 0x7F, 0xFF))):
            try:
                decode(changed)
            except Undecodable:
                pass


# --- what we ask ----------------------------------------------------------------------------------------------------------


def test_each_depth_has_its_channel() -> None:
    best = VENUE.book_channel("bbo")
    assert (best.depth, best.rule, best.bootstrap) == ("bbo", IMAGES, Bootstrap.IMAGES)
    for depth_ in ("20", "50", "full"):
        channel = VENUE.book_channel(depth_)
        assert (channel.rule, channel.bootstrap, channel.cadence) == (CONTIGUOUS, Bootstrap.REST, "100 ms")
    assert VENUE.book_channel("50").shortfall is None
    assert "5000" in (VENUE.book_channel("full").shortfall or "")
    with pytest.raises(ConfigError, match="bbo, 20, 50, full"):
        VENUE.book_channel("5")


def test_topics_and_requests_are_as_the_sheet_says() -> None:
    topics = VENUE.topics(BTC, "20", frozenset({"book", "bbo", "trades"}))
    assert topics == [
        Topic("public", DEPTH, PAIR, "book"),
        Topic("public", BEST, PAIR, "bbo"),
        Topic("public", DEALS, PAIR, "trades"),
    ]
    assert json.loads(VENUE.subscribe(topics, 3)) == {
        "method": "SUBSCRIPTION",
        "params": [DEPTH, BEST, DEALS],
        "id": 3,
    }
    assert json.loads(VENUE.unsubscribe(topics[:1], 4)) == {"method": "UNSUBSCRIPTION", "params": [DEPTH], "id": 4}
    assert VENUE.socket_url("ws://h", "public") == "ws://h/ws"
    assert VENUE.instruments_requests() == [RestRequest("/api/v3/exchangeInfo", 10)]
    assert VENUE.snapshot_request(BTC, "50") == RestRequest("/api/v3/depth?symbol=BTCUSDT&limit=1000", 1)
    assert VENUE.snapshot_request(BTC, "full") == RestRequest("/api/v3/depth?symbol=BTCUSDT&limit=5000", 1)
    with pytest.raises(ConfigError, match="depth 'bbo'"):
        VENUE.snapshot_request(BTC, "bbo")


def test_a_topic_that_feeds_two_things_is_asked_for_once() -> None:
    topics = VENUE.topics(BTC, "bbo", frozenset({"book", "bbo"}))
    assert [topic.name for topic in topics] == [BEST, BEST]
    assert json.loads(VENUE.subscribe(topics, 1))["params"] == [BEST]


def test_thirty_topics_fit_into_one_request() -> None:
    topics = [Topic("public", DEPTH.replace("BTCUSDT", f"TRUMPOFFICIAL{n}USDT"), PAIR, "book") for n in range(30)]
    assert len(VENUE.subscribe(topics, 10**9).encode()) <= VENUE.limits.request_bytes


def test_our_ping_is_sent_whatever_comes() -> None:
    keepalive = VENUE.keepalive
    assert (json.loads(keepalive.text or ""), keepalive.every_ms) == ({"method": "PING"}, 20_000)


def test_depth_of_rest_is_a_snapshot() -> None:
    body = (
        b'{"lastUpdateId":61234500110,"bids":[["84210.54","1.86837271"]],"asks":[["84210.55","0.41280000"]],'
        b'"timestamp":1795350000090}'
    )
    assert VENUE.parse_snapshot(body, BTC, 9) == Snapshot(
        pair=PAIR,
        received_us=9,
        venue_ms=1795350000090,
        bids={"84210.54": "1.86837271"},
        asks={"84210.55": "0.4128"},
        reason=SnapshotReason.FIRST,
        sequence=61234500110,
    )


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"code":-1121,"msg":"Invalid symbol."}', b'{"lastUpdateId":1,"bids":[["x","1"]],"asks":[]}']
)
def test_what_is_no_depth_of_rest_is_undecodable(body: bytes) -> None:
    with pytest.raises(Undecodable, match="BTC/USDT"):
        VENUE.parse_snapshot(body, BTC, 9)
