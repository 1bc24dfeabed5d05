"""KuCoin Pro: frames of the venue sheet, requests, and what its answers mean."""

import itertools
import json
import random
from decimal import Decimal

import pytest

from books.events import Bbo, Delta, Reset, ResetReason, Snapshot, SnapshotReason, Trade
from books.sequence import CONTIGUOUS, IMAGES
from feeds.outputs import Send
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
    Welcome,
)
from feeds.venues.kucoin import MARKETS
from feeds.venues.kucoin.market_data import INCREMENTS, PING, Kucoin
from fleet.errors import ConfigError
from fleet.pair import Pair

SPOT, FUTURES = MARKETS
PAIR = Pair("kucoin", "spot", "BTC/USDT")
PERPETUAL = Pair("kucoin", "futures", "BTC/USDT")
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
ETH = instrument(Pair("kucoin", "spot", "ETH/USDT"), "ETH-USDT", "1")
XBT = instrument(PERPETUAL, "XBTUSDTM", "0.001")
KNOWN = Instruments([BTC, ETH])
KNOWN_FUTURES = Instruments([XBT], [Refused("XBTUSDM", "inverse")])

# venue sheet, section 5.1 and 6
SNAPSHOT = (
    '{"T":"obu.SPOT","dp":"increment@10ms","t":"snapshot","P":1795348800671676191,"d":{"a":[["84210.2","0.62"],'
    '["84210.3","1.05"]],"b":[["84210.1","0.41"],["84210","3.3"]],"s":"BTC-USDT","C":36012200451,'
    '"M":1795348800661000000,"O":36012200451}}'
)
DELTA = (
    '{"T":"obu.SPOT","dp":"increment@10ms","t":"delta","P":1795348800671676191,"d":{"a":[["84210.2","0"]],'
    '"b":[["84210.1","0.77"]],"s":"BTC-USDT","C":36012200455,"M":1795348800690000000,"O":36012200452}}'
)
BEST = (
    '{"T":"obu.FUTURES","dp":"1","t":"snapshot","P":1795348800625085376,"d":{"a":[["84215.1","166"]],'
    '"b":[["84215","22"]],"s":"XBTUSDTM","C":1748120025294,"M":1795348800623000000,"O":1748120025294}}'
)
TICKER = (
    '{"T":"ticker.SPOT","P":1795348800794005120,"d":{"b":"84210.1","B":"0.41","a":"84210.2","A":"0.62","l":"84210.2",'
    '"q":"0.003","S":"BUY","E":36012200455,"M":1795348800790000000,"s":"BTC-USDT"}}'
)
TRADE = (
    '{"T":"trade.SPOT","P":1795348800704171700,"d":{"E":24021490985222144,"M":1795348800703000000,"S":"buy",'
    '"p":"84210.2","q":"0.003","s":"BTC-USDT","ti":"24021490985222144"}}'
)


def decode(frame: str | bytes) -> list[Message]:
    return SPOT.decode(frame, 7, KNOWN)


def book_event(frame: str | bytes) -> Snapshot | Delta | Image:
    (message,) = decode(frame)
    assert isinstance(message, BookMessage)
    assert message.topic == f"obu|{INCREMENTS}|BTC-USDT"
    return message.event


# --- market data ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", [SNAPSHOT, SNAPSHOT.encode()])  # the wire brings bytes
def test_a_snapshot_in_band_is_a_snapshot(frame: str | bytes) -> None:
    assert book_event(frame) == Snapshot(
        pair=PAIR,
        received_us=7,
        venue_ms=1795348800661,
        bids={"84210.1": "0.41", "84210": "3.3"},
        asks={"84210.2": "0.62", "84210.3": "1.05"},
        reason=SnapshotReason.FIRST,
        sequence=36012200451,
    )


def test_a_delta_numbers_every_change() -> None:
    assert book_event(DELTA) == Delta(
        pair=PAIR,
        received_us=7,
        venue_ms=1795348800690,
        bids={"84210.1": "0.77"},
        asks={"84210.2": "0"},
        sequence=36012200455,
        first_sequence=36012200452,
    )


@pytest.mark.parametrize(
    "frame",
    [
        DELTA.replace(",", ", ").replace('"b": ', '"b":'),  # spaces, as captured in 2026
        json.dumps(dict(reversed(list(json.loads(DELTA).items())))),  # another order of keys
        DELTA.replace('"M":1795348800690000000', '"M":"1795348800690000000"'),  # times may be text
    ],
)
def test_other_spellings_of_a_frame_mean_the_same(frame: str) -> None:
    assert decode(frame) == decode(DELTA)


def test_of_several_rows_for_one_price_the_last_counts() -> None:
    delta = book_event(DELTA.replace('[["84210.1","0.77"]]', '[["84210.1","0.77"],["84210.0","1"],["84210.10","0"]]'))
    assert isinstance(delta, Delta)
    assert delta.bids == {"84210.1": "0", "84210": "1"}


def test_lots_become_base_units_exactly() -> None:
    frame = DELTA.replace("obu.SPOT", "obu.FUTURES").replace("BTC-USDT", "XBTUSDTM").replace('"0.77"', '"16236"')
    (message,) = FUTURES.decode(frame, 7, KNOWN_FUTURES)
    assert isinstance(message, BookMessage)
    assert isinstance(message.event, Delta)
    assert (message.event.bids, message.event.asks) == ({"84210.1": "16.236"}, {"84210.2": "0"})


def test_best_prices() -> None:
    expected = Bbo(
        pair=PERPETUAL,
        received_us=7,
        venue_ms=1795348800623,
        bid="84215",
        bid_amount="0.022",
        ask="84215.1",
        ask_amount="0.166",
        sequence=1748120025294,
    )
    assert FUTURES.decode(BEST, 7, KNOWN_FUTURES) == [expected]
    for nothing in ("[]", '[["84215","0"]]'):
        (half,) = FUTURES.decode(BEST.replace('[["84215","22"]]', nothing), 7, KNOWN_FUTURES)
        assert isinstance(half, Bbo)
        assert (half.bid, half.bid_amount, half.ask) == ("", "", "84215.1")


@pytest.mark.parametrize("depth", ["5", "50"])
def test_fixed_depths_are_images(depth: str) -> None:
    (message,) = decode(SNAPSHOT.replace(INCREMENTS, depth))
    assert isinstance(message, BookMessage)
    assert message.topic == f"obu|{depth}|BTC-USDT"
    assert isinstance(message.event, Image)
    assert message.event.snapshot == book_event(SNAPSHOT)


@pytest.mark.parametrize("side", ["buy", "SELL"])
def test_a_trade(side: str) -> None:
    expected = Trade(
        pair=PAIR,
        received_us=7,
        venue_ms=1795348800703,
        price="84210.2",
        amount="0.003",
        side=side.lower(),
        trade_id="24021490985222144",
    )
    assert decode(TRADE.replace('"buy"', f'"{side}"')) == [expected]
    assert decode(TRADE.replace('"buy"', f'"{side}"').replace('"24021490985222144"', "24021490985222144")) == [expected]


# --- answers ----------------------------------------------------------------------------------------------------------------


def test_the_first_frame_welcomes() -> None:
    frame = '{"sessionId":"e8e46556","message":"welcome","pingInterval":18000}'
    assert decode(frame.encode()) == [Welcome()]
    assert SPOT.traits.greets


def test_the_pong_answers_our_ping() -> None:
    assert decode('{"type":"pong","id":"1795348800123","ts":1795348800130000000}') == [Pong()]
    assert json.loads(PING)["type"] == "ping"
    keepalive = SPOT.keepalive
    assert keepalive.text == PING
    assert keepalive.every_ms is not None
    assert 1_000 < keepalive.every_ms <= 15_000  # more than one a second gets the socket dropped (section 2)
    assert not keepalive.probe


@pytest.mark.parametrize("result", ["true", '"true"'])
def test_an_acknowledgement_names_its_request(result: str) -> None:
    assert decode(f'{{"id":"1","result":{result}}}') == [Ack("1", None, None)]


@pytest.mark.parametrize(
    "frame, text, fatal",
    [
        ('{"id":"3","result":false,"message":"invalid request data"}', "invalid request data", True),
        (
            '{"id":"3","result":false,"reason":"symbols are not supported for topic obu"}',
            "symbols are not supported for topic obu",
            True,
        ),
        (
            '{"id":"3","result":"false","reason":"topic Obu type = \\"public_spot\\" not allowed in current environment"}',
            'topic Obu type = "public_spot" not allowed in current environment',
            True,
        ),
        ('{"id":"3","result":false,"message":"busy"}', "busy", False),
        ('{"id":"3","result":false}', "", False),
    ],
)
def test_a_refusal_may_stand_in_message_or_reason(frame: str, text: str, fatal: bool) -> None:
    assert decode(frame) == [Refusal("3", None, "result false", text, fatal)]


@pytest.mark.parametrize(
    "frame, word",
    [
        (TICKER, "channel ticker.SPOT"),
        (DELTA.replace(INCREMENTS, "increment"), "depth increment"),
        (SNAPSHOT.replace(INCREMENTS, "400"), "depth 400"),
        (DELTA.replace("obu.SPOT", "obu.FUTURES"), "another market"),
        (DELTA.replace("BTC-USDT", "NO-USDT"), "NO-USDT: not among"),
        ('{"T":"mark-price","P":1,"d":{"s":"XBTUSDTM","mp":"1"}}', "mark-price"),
        ('{"P":1,"T":"orderAll.UNIFIED","d":{}}', "orderAll"),
        ('{"id":"a1","op":"auth"}', "op auth"),
        ('{"id":"1","action":"SUBSCRIBE","channel":"obu"}', "request"),
        ('{"id":"1","type":"subscribe","topic":"/market/level2:BTC-USDT"}', "/market/level2"),
        ('{"id":"hQvf8jkno","type":"welcome"}', "classic welcome"),
        ('{"id":"1","type":"ack"}', "classic ack"),
        ('{"type":"error","code":401,"data":"token is expired"}', "classic error"),
        ('{"code":"200000","data":[]}', "REST"),
        ('[{"symbol":"BTC-USDT"}]', "REST"),
    ],
)
def test_what_is_known_and_not_used_is_named(frame: str, word: str) -> None:
    (message,) = decode(frame)
    assert isinstance(message, Unused)
    assert word in message.reason


def test_a_refused_symbol_is_named_with_its_reason() -> None:
    (message,) = FUTURES.decode(BEST.replace("XBTUSDTM", "XBTUSDM"), 7, KNOWN_FUTURES)
    assert message == Unused("symbol XBTUSDM: inverse")


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "{",
        "null",
        "7",
        "{}",
        "\x00",
        b"\xff\xfe",
        DELTA[: len(DELTA) // 2],
        DELTA.replace('"0.77"', "0.77"),  # a number would have gone through a float
        DELTA.replace('"0.77"', '"-0.77"'),
        DELTA.replace('"0.77"', '"NaN"'),
        DELTA.replace('"0.77"', '"' + "9" * 99 + '"'),
        DELTA.replace('"0.77"', '""'),
        DELTA.replace('["84210.1","0.77"]', '["84210.1"]'),
        DELTA.replace('"C":36012200455', '"C":36012200451'),  # ends before it starts
        DELTA.replace('"C":36012200455', '"C":-1'),
        DELTA.replace('"C":36012200455', f'"C":{10**30}'),
        DELTA.replace('"C":36012200455,', ""),
        DELTA.replace('"M":1795348800690000000', '"M":"soon"'),
        DELTA.replace('"t":"delta"', '"t":"change"'),
        DELTA.replace(INCREMENTS, "50"),  # a delta of a channel of images
        TRADE.replace('"buy"', '"hold"'),
        TRADE.replace('"p":"84210.2"', '"p":"1e999"'),
        '{"T":"obu.SPOT"}',
        '{"id":"1","result":"maybe"}',
        '{"T":"obu.SPOT","d":' + "[" * 100_000,
        '{"id":1e999,"result":false}' * 2,
    ],
)
def test_what_is_not_what_it_should_be_is_undecodable(frame: str | bytes) -> None:
    with pytest.raises(Undecodable):
        decode(frame)


def test_no_damage_to_a_frame_raises_anything_else() -> None:
    rng = random.Random(11)
    for frame in (SNAPSHOT, DELTA, BEST, TRADE, TICKER, '{"id":"3","result":false,"message":"m"}'):
        for _ in range(300):
            damaged = bytearray(frame.encode())
            for _ in range(rng.randrange(1, 4)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            for venue, known in ((SPOT, KNOWN), (FUTURES, KNOWN_FUTURES)):
                try:
                    venue.decode(bytes(damaged), 7, known)
                except Undecodable:
                    pass


# --- what is asked ----------------------------------------------------------------------------------------------------------


def test_books_of_every_depth_but_bbo_are_the_increments() -> None:
    for venue in MARKETS:
        assert {venue.book_channel(depth).depth for depth in ("20", "50", "full")} == {"500"}
        assert venue.book_channel("full").rule is CONTIGUOUS
        assert venue.book_channel("full").bootstrap is Bootstrap.IN_BAND
        assert venue.book_channel("20").shortfall is venue.book_channel("50").shortfall is None
        assert "500" in (venue.book_channel("full").shortfall or "")
        assert venue.book_channel("bbo").bootstrap is Bootstrap.IMAGES
        assert venue.book_channel("bbo").rule is IMAGES
        assert venue.book_channel("20").cadence
        assert venue.book_channel("20").evidence
        with pytest.raises(ConfigError):
            venue.book_channel("400")


def test_topics() -> None:
    book, bbo, trades = SPOT.topics(BTC, "full", ALL)
    assert book == Topic("public", f"obu|{INCREMENTS}|BTC-USDT", PAIR, "book")
    assert bbo == Topic("public", "obu|1|BTC-USDT", PAIR, "bbo")
    assert trades == Topic("public", "trade||BTC-USDT", PAIR, "trades")
    assert SPOT.topics(BTC, "bbo", ALL)[0].name == bbo.name


def test_requests_are_those_of_the_sheet() -> None:
    book, _, trades = SPOT.topics(BTC, "full", ALL)
    request = {"channel": "obu", "tradeType": "SPOT", "symbol": "BTC-USDT", "depth": "increment@10ms"}
    assert json.loads(SPOT.subscribe([book], 1)) == {"id": "1", "action": "SUBSCRIBE", **request}
    assert json.loads(SPOT.unsubscribe([book], 2)) == {"id": "2", "action": "UNSUBSCRIBE", **request}
    assert json.loads(SPOT.subscribe([trades], 3)) == {
        "id": "3", "action": "SUBSCRIBE", "channel": "trade", "tradeType": "SPOT", "symbol": "BTC-USDT",
    }  # fmt: skip
    assert SPOT.limits.topics_per_request == 1  # lists of symbols are refused for books
    (perpetual,) = FUTURES.topics(XBT, "full", frozenset({"book"}))
    assert json.loads(FUTURES.subscribe([perpetual], 4))["tradeType"] == "FUTURES"


def test_urls() -> None:
    assert [venue.socket_url(venue.ws_url, "public") for venue in MARKETS] == [
        "wss://x-push-spot.kucoin.com",
        "wss://x-push-futures.kucoin.com",
    ]
    assert SPOT.ticket_request("public") is None
    assert SPOT.instruments_requests() == [RestRequest("/api/v2/symbols", 4)]
    assert FUTURES.instruments_requests() == [RestRequest("/api/v1/contracts/active", 3)]
    assert SPOT.rest_url == "https://api.kucoin.com"
    assert FUTURES.rest_url == "https://api-futures.kucoin.com"
    assert SPOT.snapshot_request(BTC, "full").path == "/api/v1/market/orderbook/level2_100?symbol=BTC-USDT"


# --- in a session -----------------------------------------------------------------------------------------------------------


class Socket:
    """A session over an open socket that has been welcomed and acknowledged, with the time in hand."""

    def __init__(self, venue: Kucoin) -> None:
        self.session = Session(venue, KNOWN, "public", random.Random(3))
        self.now_ms = 1_000.0
        self.out: list[object] = list(self.session.add(BTC, "full", frozenset({"book"}), 1, self.now_ms))
        self.out += self.session.opened(self.now_ms)
        self.quiet = list(self.out)
        self.hear('{"sessionId":"e8e4","message":"welcome","pingInterval":18000}')

    def hear(self, frame: str) -> list[object]:
        new: list[object] = list(self.session.receive(frame.encode(), 7, self.now_ms))
        self.out += new
        return new

    def sent(self) -> list[dict[str, str]]:
        return [json.loads(one.text) for one in self.out if isinstance(one, Send)]

    def tick_until(self, later_ms: float) -> list[object]:
        new: list[object] = []
        end = self.now_ms + later_ms
        while self.now_ms < end:
            self.now_ms += 200
            new += self.session.tick(self.now_ms, 7, heard_ms=self.now_ms)
        self.out += new
        return new


def test_nothing_is_asked_before_the_welcome() -> None:
    socket = Socket(SPOT)
    assert not any(isinstance(one, Send) for one in socket.quiet)
    (request,) = socket.sent()
    assert (request["action"], request["depth"]) == ("SUBSCRIBE", INCREMENTS)


def test_a_delta_before_the_snapshot_is_ignored_and_a_dropped_one_is_one_gap() -> None:
    socket = Socket(SPOT)
    socket.hear('{"id":"1","result":true}')
    assert socket.hear(DELTA) == []
    assert [type(event) for event in socket.hear(SNAPSHOT)] == [Snapshot]
    assert [type(event) for event in socket.hear(DELTA)] == [Delta]
    assert socket.hear(DELTA) == []  # old by now
    over = DELTA.replace("36012200455", "36012200457").replace("36012200452", "36012200454")
    assert [type(event) for event in socket.hear(over)] == [Delta]  # it starts before our end and goes on: applicable
    gap = socket.hear(DELTA.replace("36012200455", "36012200470").replace("36012200452", "36012200460"))
    assert [event.reason for event in gap if isinstance(event, Reset)] == [ResetReason.GAP]
    feed = socket.session.feeds[PAIR]
    assert (feed.gaps, feed.live) == (1, False)
    assert [request["action"] for request in socket.sent()] == ["SUBSCRIBE"]  # requests are evenly paced
    socket.tick_until(400)
    assert [request["action"] for request in socket.sent()] == ["SUBSCRIBE", "UNSUBSCRIBE"]
    socket.hear('{"id":"2","result":true}')
    socket.tick_until(400)
    assert [request["action"] for request in socket.sent()] == ["SUBSCRIBE", "UNSUBSCRIBE", "SUBSCRIBE"]
    socket.hear('{"id":"3","result":true}')
    socket.hear(SNAPSHOT)
    assert feed.live


def test_a_subscription_that_is_acknowledged_and_stays_silent_is_renewed() -> None:
    socket = Socket(SPOT)
    socket.hear('{"id":"1","result":"true"}')
    socket.tick_until(12_000)
    requests = [request for request in socket.sent() if "action" in request]
    assert [request["action"] for request in requests][:2] == ["SUBSCRIBE", "UNSUBSCRIBE"]


def test_a_ping_leaves_every_few_seconds_whatever_comes_and_never_two_in_a_second() -> None:
    socket = Socket(SPOT)
    socket.hear('{"id":"1","result":true}')
    at: list[float] = []
    for number in range(600):  # a minute, with data five times a second
        socket.now_ms += 100
        socket.hear(SNAPSHOT if number % 2 else DELTA)
        new = socket.session.tick(socket.now_ms, 7, heard_ms=socket.now_ms)
        at += [socket.now_ms for one in new if isinstance(one, Send) and one.text == PING]
    pauses = [after - before for before, after in itertools.pairwise(at)]
    assert len(at) >= 4
    assert min(pauses) > 1_000
    assert max(pauses) <= 15_000
