"""Hyperliquid: frames of the venue sheet, requests, and what its answers mean."""

import json
import random
from decimal import Decimal

import pytest

from books.events import Bbo, Delta, Reset, ResetReason, Snapshot, SnapshotReason, Trade
from books.sequence import IMAGES
from feeds.outputs import Output, Send
from feeds.session import Session
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
from feeds.venues.hyperliquid import MARKETS
from fleet.errors import ConfigError
from fleet.pair import Pair

SPOT, FUTURES = MARKETS
ALL = frozenset({"book", "bbo", "trades"})


def instrument(market: str, name: str, symbol: str) -> Instrument:
    return Instrument(
        pair=Pair("hyperliquid", market, name),
        symbol=symbol,
        status=InstrumentStatus.TRADING,
        tick="0.1",
        lot="0.00001",
        min_amount="0.00001",
        min_notional="10",
        contract_size=Decimal(1),
    )


BTC = instrument("futures", "BTC/USDC", "BTC")
TSLA = instrument("futures", "XYZ-TSLA/USDC", "xyz:TSLA")
HYPE = instrument("spot", "HYPE/USDC", "@107")
KNOWN = Instruments([BTC, TSLA], [Refused("ODD", "for a reason")])

# section 5 of the sheet
BOOK = (
    '{"channel":"l2Book","data":{"coin":"BTC","time":1795350000546,"levels":[[{"px":"84143.0","sz":"10.25923","n":36},'
    '{"px":"84142.0","sz":"1.65875","n":7}],[{"px":"84144.0","sz":"50.66449","n":18},'
    '{"px":"84150.0","sz":"0.00711","n":2}]]}}'
)
FAST = (
    '{"channel":"l2Book","data":{"coin":"BTC","time":1795350001084,"levels":[[{"px":"84143.0","sz":"10.20000","n":35}],'
    '[{"px":"84144.0","sz":"50.66449","n":18}]],"fast":true}}'
)
EMPTY = '{"channel":"l2Book","data":{"coin":"BTC","time":1795350001084,"levels":[[],[]]}}'
BEST = (
    '{"channel":"bbo","data":{"coin":"BTC","time":1795350001145,"bbo":[{"px":"84143.0","sz":"10.25923","n":36},'
    '{"px":"84144.0","sz":"50.66422","n":18}]}}'
)
HALF = '{"channel":"bbo","data":{"coin":"BTC","time":1795350001145,"bbo":[{"px":"1.0","sz":"5.0","n":1},null]}}'
# section 6
TRADES = (
    '{"channel":"trades","data":[{"coin":"BTC","side":"A","px":"84143.0","sz":"0.00036","time":1795350000193,'
    '"hash":"0x7ab608dad75f7ce37c2f044516391f02023a00c072529bb51e7eb42d965356ce","tid":1045359869404765,'
    '"users":["0x9aa589355bf745db9784c8ef3c646360f11b58af","0x8269c0a4f5f1a14582e0aa46856a234893c41970"]}]}'
)


def decode(frame: str | bytes) -> list[Message]:
    return FUTURES.decode(frame, 7, KNOWN)


def image(frame: str) -> Snapshot:
    (message,) = decode(frame)
    assert isinstance(message, BookMessage)
    assert isinstance(message.event, Image)
    return message.event.snapshot


def ack(method: str, subscription: str) -> str:
    return f'{{"channel":"subscriptionResponse","data":{{"method":"{method}","subscription":{subscription}}}}}'


def error(words: str) -> str:
    return json.dumps({"channel": "error", "data": words}, separators=(",", ":"))


# ── market data ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_book_is_an_image_whose_sequence_is_its_time() -> None:
    snapshot = Snapshot(
        pair=BTC.pair,
        received_us=7,
        venue_ms=1795350000546,
        bids={"84143": "10.25923", "84142": "1.65875"},
        asks={"84144": "50.66449", "84150": "0.00711"},
        reason=SnapshotReason.FIRST,
        sequence=1795350000546,
    )
    assert decode(BOOK) == [BookMessage("l2Book:BTC", Image(snapshot))]


def test_a_book_may_be_empty() -> None:
    assert (image(EMPTY).bids, image(EMPTY).asks) == ({}, {})


def test_a_level_of_nothing_is_no_level() -> None:
    assert image(BOOK.replace('"1.65875"', '"0.0"')).bids == {"84143": "10.25923"}


def test_the_number_of_orders_may_be_absent_and_a_repeated_price_takes_its_last_size() -> None:
    frame = BOOK.replace(',"n":36', "").replace('"84142.0"', '"84143"')
    assert image(frame).bids == {"84143": "1.65875"}


def test_a_fast_book_is_never_taken_for_the_book_of_20_levels() -> None:
    assert decode(FAST) == [Unused("l2Book of 5 levels (fast): another book than the one of 20")]
    assert image(FAST.replace("true", "false")).bids == {"84143": "10.2"}


def test_best_prices() -> None:
    expected = Bbo(
        pair=BTC.pair,
        received_us=7,
        venue_ms=1795350001145,
        bid="84143",
        bid_amount="10.25923",
        ask="84144",
        ask_amount="50.66422",
        sequence=1795350001145,
    )
    assert decode(BEST) == [expected]


@pytest.mark.parametrize("frame", [HALF, HALF.replace(",null", ""), HALF.replace("null", '{"px":"2.0","sz":"0.0"}')])
def test_an_empty_side_of_best_prices_is_empty_text(frame: str) -> None:
    (best,) = decode(frame)
    assert isinstance(best, Bbo)
    assert (best.bid, best.bid_amount, best.ask, best.ask_amount) == ("1", "5", "", "")


def test_a_trade_has_the_side_of_who_came_for_it() -> None:
    expected = Trade(
        pair=BTC.pair,
        received_us=7,
        venue_ms=1795350000193,
        price="84143",
        amount="0.00036",
        side="sell",
        trade_id="1045359869404765",
    )
    assert decode(TRADES) == [expected]
    (bought,) = decode(TRADES.replace('"side":"A"', '"side":"B"'))
    assert isinstance(bought, Trade)
    assert bought.side == "buy"


def test_several_trades_of_a_frame_are_several_messages_and_none_is_none() -> None:
    row = TRADES[TRADES.index("[") + 1 : TRADES.rindex("]")]
    assert len(decode(TRADES.replace(row, f"{row},{row}"))) == 2
    assert decode(TRADES.replace(row, "")) == [Unused("trades: none")]


def test_a_coin_of_a_builder_dex_and_a_spot_coin_are_found_by_the_venues_own_case() -> None:
    (message,) = decode(BOOK.replace('"BTC"', '"xyz:TSLA"'))
    assert isinstance(message, BookMessage)
    assert message.topic == "l2Book:xyz:TSLA"
    (message,) = SPOT.decode(BOOK.replace('"BTC"', '"@107"'), 7, Instruments([HYPE]))
    assert isinstance(message, BookMessage)
    assert message.topic == "l2Book:@107"
    assert decode(BOOK.replace('"BTC"', '"XYZ:TSLA"')) == [Unused("coin XYZ:TSLA: not among the instruments")]


def test_bytes_text_and_another_key_order_are_the_same_frame() -> None:
    for frame in (BOOK, BEST, TRADES):
        turned = json.dumps(dict(reversed(json.loads(frame).items())), indent=1)
        assert decode(frame) == decode(frame.encode()) == decode(turned)


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_answer_to_our_keepalive_has_no_data() -> None:
    assert decode('{"channel":"pong"}') == [Pong()]


@pytest.mark.parametrize(
    "subscription, topic",
    [
        ('{"type":"bbo","coin":"BTC"}', "bbo:BTC"),
        ('{"type":"trades","coin":"xyz:TSLA"}', "trades:xyz:TSLA"),
        ('{"type":"l2Book","coin":"BTC","nSigFigs":null,"mantissa":null}', "l2Book:BTC"),
        ('{"type":"l2Book","coin":"BTC","nSigFigs":null,"mantissa":null,"fast":false}', "l2Book:BTC"),
        ('{"type":"l2Book","coin":"BTC","nSigFigs":null,"mantissa":null,"fast":true}', "l2Book:BTC fast"),
        ('{"type":"l2Book","coin":"BTC","nSigFigs":5,"mantissa":2,"fast":false}', "l2Book:BTC nSigFigs mantissa"),
        ('{"type":"allMids"}', "allMids:"),
        ("null", None),
    ],
)
@pytest.mark.parametrize("method", ["subscribe", "unsubscribe"])
def test_an_acknowledgement_names_its_topic_and_flavour(method: str, subscription: str, topic: str | None) -> None:
    assert decode(ack(method, subscription)) == [Ack(None, topic, method == "subscribe")]


def test_a_second_subscription_is_refused_because_the_first_one_stands() -> None:
    words = 'Already subscribed: {"type":"l2Book","coin":"SOL","nSigFigs":null,"mantissa":null,"fast":false}'
    assert decode(error(words)) == [Refusal(None, "l2Book:SOL", "Already subscribed", words, False, standing=True)]


def test_leaving_what_was_never_subscribed_is_a_refusal_of_that_topic() -> None:
    words = 'Already unsubscribed: {"type":"trades","coin":"SOL"}'
    assert decode(error(words)) == [Refusal(None, "trades:SOL", "Already unsubscribed", words, False)]


def test_a_request_that_cannot_be_read_would_be_refused_again() -> None:
    words = (
        'Error parsing JSON into valid websocket request: {"method":"subscribe","subscription":'
        '{"type":"noSuchType","coin":"BTC"}}'
    )
    assert decode(error(words)) == [Refusal(None, "noSuchType:BTC", "unreadable request", words[:200], True)]
    broken = "Error parsing JSON into valid websocket request: {oops"
    assert decode(error(broken)) == [Refusal(None, None, "unreadable request", broken, True)]


@pytest.mark.parametrize(
    "words", ["Cannot subscribe to more than 1000 channels.", "Cannot send more than 2000 messages per minute."]
)
def test_a_limit_names_no_topic_and_may_be_asked_again(words: str) -> None:
    assert decode(error(words)) == [Refusal(None, None, words, words, False)]


@pytest.mark.parametrize(
    "frame, word",
    [
        ('{"channel":"allMids","data":{"mids":{"BTC":"1"}}}', "channel allMids"),
        ('{"channel":"activeAssetCtx","data":{"coin":"BTC","ctx":{}}}', "channel activeAssetCtx"),
        ('{"channel":"activeSpotAssetCtx","data":{}}', "channel activeSpotAssetCtx"),
        ('{"channel":"candle","data":{}}', "channel candle"),
        ('{"channel":"orderUpdates","data":[]}', "channel orderUpdates"),
        ('{"channel":"user","data":{"fills":[]}}', "channel user"),
        ('{"channel":"post","data":{"id":1}}', "channel post"),
        ("Websocket connection established.", "greeting"),
        ('{"method":"subscribe","subscription":{"type":"bbo","coin":"BTC"}}', "request of method subscribe"),
        ('{"coin":"BTC","time":1,"levels":[[],[]]}', "answer of REST"),
        ('{"universe":[]}', "answer of REST"),
        ('{"status":"err","response":"words"}', "answer of REST"),
        ('{"APE":"4.33245","ARB":"1.21695"}', "prices by coin"),
        ("[]", "answer of REST"),
        (BOOK.replace('"BTC"', '"ODD"'), "coin ODD: for a reason"),
        (BEST.replace('"BTC"', '"btc"'), "coin btc"),
        (TRADES.replace('"BTC"', '"@107"'), "coin @107"),
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
        "Websocket connection established",
        "1",
        "null",
        "{}",
        '{"channel":7}',
        '{"unknown":1}',
        '{"APE":"4.33245","ARB":1.21695}',
        '{"APE":"4.33245","ARB":"-1"}',
        '{"channel":"error","data":{}}',
        '{"channel":"error"}',
        '{"channel":"subscriptionResponse"}',
        ack("post", "{}"),
        '{"channel":"l2Book',
        '{"channel":"l2Book","data":{"coin"',
        BOOK[: len(BOOK) // 2],
        b"\xff",
        BOOK.encode() + b"\xc0",
        "[" * 100_000,
        '{"channel":"l2Book","data":' + "[" * 100_000,
        '{"channel":"allMids","data":' + "[" * 100_000,
        BOOK.replace('"84143.0"', '"-84143.0"'),
        BOOK.replace('"84143.0"', '"NaN"'),
        BOOK.replace('"84143.0"', '""'),
        BOOK.replace('"84143.0"', "84143.0"),
        BOOK.replace('"84143.0"', f'"{"9" * 60}"'),
        BOOK.replace('"sz":"10.25923"', '"sz":null'),
        BOOK.replace("1795350000546", "1" + "0" * 30),
        BOOK.replace("1795350000546", "-1"),
        BOOK.replace("1795350000546", '"1795350000546"'),
        BOOK.replace('"levels":[[', '"levels":[[],[['),  # three sides
        BOOK.replace('"time":1795350000546,', ""),
        FAST.replace("true", '"yes"'),
        EMPTY.replace("[[],[]]", "[[]]"),
        BEST.replace('"bbo":[', '"bbo":[null,'),
        HALF[: HALF.index("[")] + "[]}}",
        HALF.replace("null", "[]"),
        HALF.replace('"5.0"', '"5,0"'),
        TRADES.replace('"side":"A"', '"side":"S"'),
        TRADES.replace("1045359869404765", "-1"),
        TRADES.replace("1045359869404765", '"1"'),
        TRADES.replace('"0.00036"', '"1e999"'),
        '{"channel":"trades","data":{}}',
    ],
)
def test_what_is_malformed_is_undecodable(frame: str | bytes) -> None:
    with pytest.raises(Undecodable) as raised:
        decode(frame)
    assert 0 < len(str(raised.value)) < 500


# ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_depth_has_its_channel() -> None:
    for depth in ("bbo", "20", "50", "full"):
        channel = FUTURES.book_channel(depth)
        assert (channel.rule, channel.bootstrap) == (IMAGES, Bootstrap.IMAGES)
        assert channel.depth == ("bbo" if depth == "bbo" else "20")
        assert ("20 levels" in (channel.shortfall or "")) is (depth in ("50", "full"))
        assert channel.cadence
        assert channel.evidence
    with pytest.raises(ConfigError, match="bbo, 20, 50, full"):
        FUTURES.book_channel("5")


def test_topics_and_requests_are_as_the_sheet_says() -> None:
    topics = FUTURES.topics(TSLA, "20", ALL)
    assert topics == [
        Topic("public", "l2Book:xyz:TSLA", TSLA.pair, "book"),
        Topic("public", "bbo:xyz:TSLA", TSLA.pair, "bbo"),
        Topic("public", "trades:xyz:TSLA", TSLA.pair, "trades"),
    ]
    subscription = {"type": "l2Book", "coin": "xyz:TSLA"}
    assert json.loads(FUTURES.subscribe(topics[:1], 3)) == {"method": "subscribe", "subscription": subscription}
    assert json.loads(FUTURES.unsubscribe(topics[:1], 4)) == {"method": "unsubscribe", "subscription": subscription}
    assert [topic.name for topic in FUTURES.topics(BTC, "bbo", ALL)] == ["bbo:BTC", "bbo:BTC", "trades:BTC"]
    assert FUTURES.socket_url("ws://h", "public") == "ws://h/ws"
    assert SPOT.instruments_requests() == [RestRequest("/info", 20, '{"type":"spotMeta"}')]
    perpetuals = RestRequest("/info", 20, '{"type":"allPerpMetas"}')
    assert FUTURES.instruments_requests() == [perpetuals, *SPOT.instruments_requests()]
    assert SPOT.snapshot_request(HYPE, "20") == RestRequest("/info", 2, '{"type":"l2Book","coin":"@107"}')


def test_ten_full_sockets_of_both_markets_stay_within_what_the_venue_counts_for_an_address() -> None:
    limits, pings_per_minute = FUTURES.limits, 60 / 5  # one each 5 s while nothing is heard
    assert limits.topics_per_connection * 10 <= 1000
    assert (limits.requests_per_s * 60 + pings_per_minute) * 10 <= 2000
    assert limits.connects_per_s * 60 * len(MARKETS) <= 30
    assert limits.rest_weight_per_minute * len(MARKETS) <= 1200
    assert limits.topics_per_request == 1


def test_a_book_of_rest_is_a_snapshot() -> None:
    body = json.dumps(json.loads(BOOK)["data"]).encode()
    assert FUTURES.parse_snapshot(body, BTC, 7) == image(BOOK)


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b'{"coin":"ETH","time":1,"levels":[[],[]]}', b"[" * 99_999])
def test_what_is_no_book_of_rest_is_undecodable(body: bytes) -> None:
    with pytest.raises(Undecodable, match="BTC/USDC"):
        FUTURES.parse_snapshot(body, BTC, 9)


# ── in a session ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Conversation:
    """A session of the perpetuals with BTC subscribed, and what it puts out."""

    def __init__(self, depth: str = "20") -> None:
        self.session = Session(FUTURES, KNOWN, "public", random.Random(1))
        self.session.add(BTC, depth, frozenset({"book"}), 0, 0.0)
        self.sent = [out.text for out in self.session.opened(0.0) if isinstance(out, Send)]

    def hear(self, frame: str, now_ms: float = 10.0) -> list[Output]:
        return self.session.receive(frame, 7, now_ms)

    @property
    def levels(self) -> tuple[dict[str, str], dict[str, str]]:
        book = self.session.feeds[BTC.pair].book
        return dict(book.bids), dict(book.asks)


def test_a_first_image_is_a_snapshot_and_the_next_the_difference() -> None:
    talk = Conversation()
    assert [json.loads(text) for text in talk.sent] == [
        {"method": "subscribe", "subscription": {"type": "l2Book", "coin": "BTC"}}
    ]
    assert talk.hear(ack("subscribe", '{"type":"l2Book","coin":"BTC","nSigFigs":null,"mantissa":null}')) == []
    (first,) = talk.hear(BOOK)
    assert isinstance(first, Snapshot)
    later = BOOK.replace("1795350000546", "1795350005546").replace("10.25923", "9.0").replace("84150.0", "84151.0")
    (delta,) = talk.hear(later)
    assert isinstance(delta, Delta)
    assert (delta.bids, delta.asks) == ({"84143": "9"}, {"84150": "0", "84151": "0.00711"})
    assert delta.sequence == 1795350005546
    assert talk.levels == ({"84143": "9", "84142": "1.65875"}, {"84144": "50.66449", "84151": "0.00711"})


def test_a_lost_image_leaves_no_trace_in_the_next_one() -> None:
    heard, missed = Conversation(), Conversation()
    frames = [BOOK, BOOK.replace("546", "646").replace("84142.0", "84141.0"), BOOK.replace("546", "746")]
    for frame in frames:
        heard.hear(frame)
    for frame in (frames[0], frames[2]):
        missed.hear(frame)
    assert heard.levels == missed.levels
    assert missed.session.feeds[BTC.pair].gaps == 0


def test_an_older_image_and_an_unchanged_one_change_nothing() -> None:
    talk = Conversation()
    talk.hear(BOOK)
    before = talk.levels
    assert talk.hear(BOOK.replace("1795350000546", "1795350000545").replace("10.25923", "9.0")) == []
    assert talk.hear(BOOK.replace("1795350000546", "1795350006000")) == []
    assert talk.levels == before


def test_a_crossed_image_costs_one_reset_and_the_next_image_is_the_book() -> None:
    talk = Conversation()
    talk.hear(BOOK)
    crossed = BOOK.replace("84142.0", "84145.0").replace("546", "646")
    assert [out.reason for out in talk.hear(crossed) if isinstance(out, Reset)] == [ResetReason.CROSSED]
    (snapshot,) = talk.hear(BOOK.replace("546", "746"))
    assert isinstance(snapshot, Snapshot)
    assert snapshot.reason is SnapshotReason.RESYNC


def test_best_prices_are_the_book_of_depth_bbo() -> None:
    talk = Conversation("bbo")
    talk.hear(BEST)
    assert talk.levels == ({"84143": "10.25923"}, {"84144": "50.66422"})
    talk.hear(HALF.replace("145", "245"))
    assert talk.levels == ({"1": "5"}, {})
