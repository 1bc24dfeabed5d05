"""KuCoin Classic: frames of the venue sheet, the token before a dial, requests, and what its answers mean."""

import json
import random
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest

from books.events import Bbo, Delta, Snapshot, Trade
from books.sequence import CONTIGUOUS
from feeds.outputs import Fetch, Send
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
    RestRequest,
    Topic,
    Undecodable,
    Unused,
    Welcome,
)
from feeds.venues.kucoin_classic import MARKETS
from fleet.errors import ConfigError
from fleet.pair import Pair

SPOT, FUTURES = MARKETS
PAIR = Pair("kucoin_classic", "spot", "BTC/USDT")
PERPETUAL = Pair("kucoin_classic", "futures", "BTC/USDT")
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
ETH = instrument(Pair("kucoin_classic", "spot", "ETH/USDT"), "ETH-USDT", "1")
XBT = instrument(PERPETUAL, "XBTUSDTM", "0.001")
KNOWN = Instruments([BTC, ETH])
KNOWN_FUTURES = Instruments([XBT])

# venue sheet, sections 5.2 to 5.4 and 6
LEVEL2 = (
    '{"topic":"/market/level2:BTC-USDT","type":"message","subject":"trade.l2update","data":{"changes":{"asks":'
    '[["84210.2","0","36012200453"]],"bids":[["84210.1","0.77","36012200455"]]},"sequenceEnd":36012200455,'
    '"sequenceStart":36012200452,"symbol":"BTC-USDT","time":1795348800690}}'
)
DEPTH5 = (
    '{"topic":"/spotMarket/level2Depth5:BTC-USDT","type":"message","subject":"level2","data":{"asks":[["84210.2","0.62"]],'
    '"bids":[["84210.1","0.41"]],"timestamp":1795348800700}}'
)
LEVEL1 = (
    '{"topic":"/spotMarket/level1:BTC-USDT","type":"message","subject":"level1","data":{"asks":["84210.2","0.62"],'
    '"bids":["84210.1","0.41"],"timestamp":1795348800700}}'
)
TICKER = (
    '{"type":"message","topic":"/market/ticker:BTC-USDT","subject":"trade.ticker","data":{"sequence":"1545896668986",'
    '"price":"0.08","size":"0.011","bestAsk":"0.08","bestAskSize":"0.18","bestBid":"0.049","bestBidSize":"0.036",'
    '"time":1704873323416}}'
)
MATCH = (
    '{"topic":"/market/match:BTC-USDT","type":"message","subject":"trade.l3match","data":{"symbol":"BTC-USDT",'
    '"sequence":"24021490985222144","type":"match","side":"buy","price":"84210.2","size":"0.003",'
    '"tradeId":"24021490985222144","takerOrderId":"6a01","makerOrderId":"6a02","time":"1795348800703000000"}}'
)
CHANGE = (
    '{"topic":"/contractMarket/level2:XBTUSDTM","type":"message","subject":"level2","sn":1748120025295,"data":'
    '{"sequence":1748120025295,"change":"84215.1,sell,158","timestamp":1795348800690}}'
)
DEPTH50 = (
    '{"topic":"/contractMarket/level2Depth50:XBTUSDTM","type":"message","subject":"level2","sn":1795348800700,"data":'
    '{"sequence":1748120025295,"asks":[["84215.1",158]],"bids":[[84215.0,22]],"timestamp":1795348800700,"ts":1795348800700}}'
)
TICKER_V2 = (
    '{"topic":"/contractMarket/tickerV2:XBTUSDTM","type":"message","subject":"tickerV2","sn":1748120025296,"data":'
    '{"symbol":"XBTUSDTM","sequence":1748120025296,"bestBidSize":22,"bestBidPrice":"84215","bestAskPrice":"84215.1",'
    '"bestAskSize":158,"ts":1795348800702000000}}'
)
EXECUTION = (
    '{"topic":"/contractMarket/execution:XBTUSDTM","type":"message","subject":"match","sn":1794100537695,"data":{"symbol":'
    '"XBTUSDTM","sequence":1794100537695,"side":"buy","size":2,"price":"84215.1","tradeId":"1794100537695",'
    '"takerOrderId":"2478","makerOrderId":"2477","ts":1795348800703000000}}'
)
BULLET = (
    '{"code":"200000","data":{"token":"2neA/iu+8=","instanceServers":[{"endpoint":"wss://ws-api-spot.kucoin.com/",'
    '"encrypt":true,"protocol":"websocket","pingInterval":18000,"pingTimeout":10000}]}}'
)


def decode(frame: str | bytes) -> list[Message]:
    return SPOT.decode(frame, 7, KNOWN)


def decode_futures(frame: str | bytes) -> list[Message]:
    return FUTURES.decode(frame, 7, KNOWN_FUTURES)


# --- spot -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", [LEVEL2, LEVEL2.encode()])
def test_an_update_numbers_every_change(frame: str | bytes) -> None:
    delta = Delta(
        pair=PAIR,
        received_us=7,
        venue_ms=1795348800690,
        bids={"84210.1": "0.77"},
        asks={"84210.2": "0"},
        sequence=36012200455,
        first_sequence=36012200452,
    )
    assert decode(frame) == [BookMessage("/market/level2:BTC-USDT", delta)]


@pytest.mark.parametrize(
    "frame",
    [
        json.dumps(dict(sorted(json.loads(LEVEL2).items()))),  # data first, as in 2021
        json.dumps({"type": "message", **json.loads(LEVEL2)}, separators=(",", ":")),  # type first, as in 2022
    ],
)
def test_other_orders_of_keys_mean_the_same(frame: str) -> None:
    assert decode(frame) == decode(LEVEL2)


def test_an_update_of_before_2022_has_no_time() -> None:
    (message,) = decode(LEVEL2.replace(',"time":1795348800690', ""))
    assert isinstance(message, BookMessage)
    assert isinstance(message.event, Delta)
    assert message.event.venue_ms is None


def test_hidden_orders_advance_the_sequence_and_change_nothing() -> None:
    (message,) = decode(LEVEL2.replace('"84210.2","0"', '"0","0"').replace('"84210.1"', '"0.00"'))
    assert isinstance(message, BookMessage)
    assert isinstance(message.event, Delta)
    assert (message.event.bids, message.event.asks, message.event.sequence) == ({}, {}, 36012200455)


def test_rows_for_one_price_count_in_the_order_of_their_sequences() -> None:
    rows = '[["84210.1","0","36012200455"],["84210.1","9","36012200452"],["84210","1","36012200454"]]'
    (message,) = decode(LEVEL2.replace('[["84210.1","0.77","36012200455"]]', rows))
    assert isinstance(message, BookMessage)
    assert isinstance(message.event, Delta)
    assert message.event.bids == {"84210.1": "0", "84210": "1"}


@pytest.mark.parametrize("depth", ["5", "50"])
def test_fixed_depths_of_spot_are_images_without_a_sequence(depth: str) -> None:
    (message,) = decode(DEPTH5.replace("Depth5", f"Depth{depth}"))
    assert isinstance(message, BookMessage)
    assert message.topic == f"/spotMarket/level2Depth{depth}:BTC-USDT"
    assert isinstance(message.event, Image)
    snapshot = message.event.snapshot
    assert (snapshot.sequence, snapshot.venue_ms) == (None, 1795348800700)
    assert (snapshot.bids, snapshot.asks) == ({"84210.1": "0.41"}, {"84210.2": "0.62"})


def test_best_prices_of_spot() -> None:
    expected = Bbo(
        pair=PAIR,
        received_us=7,
        venue_ms=1795348800700,
        bid="84210.1",
        bid_amount="0.41",
        ask="84210.2",
        ask_amount="0.62",
        sequence=None,
    )
    assert decode(LEVEL1) == [expected]
    (half,) = decode(LEVEL1.replace('["84210.1","0.41"]', "[]"))
    assert isinstance(half, Bbo)
    assert (half.bid, half.bid_amount, half.ask) == ("", "", "84210.2")


@pytest.mark.parametrize("all_tickers", [False, True])
def test_tickers_of_spot_carry_the_sequence_of_the_book(all_tickers: bool) -> None:
    frame = TICKER
    if all_tickers:  # there the subject is the symbol
        frame = frame.replace(":BTC-USDT", ":all").replace("trade.ticker", "BTC-USDT")
    (best,) = decode(frame)
    assert isinstance(best, Bbo)
    assert (best.bid, best.ask, best.sequence, best.venue_ms) == ("0.049", "0.08", 1545896668986, 1704873323416)
    (empty,) = decode(frame.replace('"0.049"', "null"))
    assert isinstance(empty, Bbo)
    assert (empty.bid, empty.bid_amount) == ("", "")


def test_a_trade_of_spot() -> None:
    expected = Trade(
        pair=PAIR,
        received_us=7,
        venue_ms=1795348800703,
        price="84210.2",
        amount="0.003",
        side="buy",
        trade_id="24021490985222144",
    )
    assert decode(MATCH) == [expected]


# --- futures ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side, bids, asks", [("sell", {}, {"84215.1": "0.158"}), ("buy", {"84215.1": "0.158"}, {})])
def test_a_futures_delta_is_one_level(side: str, bids: dict[str, str], asks: dict[str, str]) -> None:
    delta = Delta(
        pair=PERPETUAL,
        received_us=7,
        venue_ms=1795348800690,
        bids=bids,
        asks=asks,
        sequence=1748120025295,
        first_sequence=1748120025295,
    )
    frame = CHANGE.replace("sell", side)
    assert decode_futures(frame) == [BookMessage("/contractMarket/level2:XBTUSDTM", delta)]


def test_fixed_depths_of_futures_mix_text_and_numbers() -> None:
    (message,) = decode_futures(DEPTH50)
    assert isinstance(message, BookMessage)
    assert isinstance(message.event, Image)
    snapshot = message.event.snapshot
    assert (snapshot.bids, snapshot.asks) == ({"84215": "0.022"}, {"84215.1": "0.158"})
    assert (snapshot.sequence, snapshot.venue_ms) == (1748120025295, 1795348800700)  # `sn` is a time


def test_best_prices_of_futures() -> None:
    expected = Bbo(
        pair=PERPETUAL,
        received_us=7,
        venue_ms=1795348800702,
        bid="84215",
        bid_amount="0.022",
        ask="84215.1",
        ask_amount="0.158",
        sequence=1748120025296,
    )
    assert decode_futures(TICKER_V2) == [expected]
    assert decode_futures(TICKER_V2.replace('"84215"', "84215.00")) == [expected]
    for nothing in (TICKER_V2.replace('"84215"', "null"), TICKER_V2.replace(":22", ":0")):
        (half,) = decode_futures(nothing)
        assert isinstance(half, Bbo)
        assert (half.bid, half.bid_amount, half.ask) == ("", "", "84215.1")


@pytest.mark.parametrize("price", ['"84215.1"', "84215.10", "8.42151E4"])
def test_a_trade_of_futures(price: str) -> None:
    expected = Trade(
        pair=PERPETUAL,
        received_us=7,
        venue_ms=1795348800703,
        price="84215.1",
        amount="0.002",
        side="buy",
        trade_id="1794100537695",
    )
    assert decode_futures(EXECUTION.replace('"84215.1"', price)) == [expected]


# --- answers ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame, expected",
    [
        ('{"id":"NSkIrWGB1s","type":"welcome"}', Welcome()),
        ('{"id":"1","type":"ack"}', Ack("1", None, None)),
        ('{"id":"1795348800123","type":"pong","timestamp":1795348800130000}', Pong()),
        (
            '{"id":"3","type":"error","code":404,"data":"topic does not exist"}',
            Refusal("3", None, "404", "topic does not exist", True),
        ),
        (
            '{"id":"3","type":"error","code":509,"data":"exceed max permits per second"}',
            Refusal("3", None, "509", "exceed max permits per second", False),
        ),
        (
            '{"type":"error","code":401,"data":"token is expired"}',
            Refusal(None, None, "401", "token is expired", False),
        ),
        ('{"type":"error","code":400,"data":"ping timeout"}', Refusal(None, None, "400", "ping timeout", True)),
    ],
)
def test_answers(frame: str, expected: Message) -> None:
    for venue, known in ((SPOT, KNOWN), (FUTURES, KNOWN_FUTURES)):
        assert venue.decode(frame, 7, known) == [expected]


@pytest.mark.parametrize(
    "frame, word",
    [
        ('{"type":"message","topic":"/market/candles:BTC-USDT_1min","subject":"s","data":{}}', "/market/candles"),
        (
            '{"topic":"/contractMarket/level2:XBTUSDTM","type":"message","subject":"level2","data":{}}',
            "/contractMarket",
        ),
        ('{"topic":"/account/balance","subject":"account.balance","data":{}}', "/account/balance"),
        ('{"type":"message","topic":"/market/level2Snapshot:BTC-USDT","code":"200000","data":{}}', "level2Snapshot"),
        (LEVEL2.replace("/market/level2:BTC-USDT", "/market/level2:NO-USDT"), "NO-USDT: not among"),
        ('{"T":"obu.SPOT","dp":"1","t":"snapshot","P":1,"d":{}}', "Pro frame of channel obu.SPOT"),
        ('{"sessionId":"e8e4","message":"welcome","pingInterval":18000}', "Pro"),
        ('{"id":"1","result":true}', "Pro"),
        ('{"id":"1","type":"subscribe","topic":"/market/level2:BTC-USDT","response":true}', "request"),
        ('{"code":"200000","data":{"time":1}}', "REST"),
        ("[]", "REST"),
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
        "{",
        "7",
        "{}",
        b"\xff",
        LEVEL2[:-20],
        LEVEL2.replace('"0.77"', "0.77"),
        LEVEL2.replace('"0.77"', '"NaN"'),
        LEVEL2.replace('"0.77"', '"-1"'),
        LEVEL2.replace('"sequenceEnd":36012200455,', ""),
        LEVEL2.replace("36012200452", str(10**30)),
        LEVEL1.replace('["84210.1","0.41"]', '["84210.1"]'),
        TICKER.replace('"1545896668986"', '"soon"'),
        MATCH.replace('"buy"', '"hold"'),
        MATCH.replace('"1795348800703000000"', '"1e18"'),
        '{"topic":"/market/level2:BTC-USDT","data":' + "[" * 100_000,
    ],
)
def test_what_is_not_what_it_should_be_is_undecodable(frame: str | bytes) -> None:
    with pytest.raises(Undecodable):
        decode(frame)


@pytest.mark.parametrize(
    "frame",
    [
        CHANGE.replace("84215.1,sell,158", "84215.1,sell"),
        CHANGE.replace("84215.1,sell,158", "84215.1,hold,158"),
        CHANGE.replace("84215.1,sell,158", ",,"),
        CHANGE.replace(":1748120025295,", ':"1748120025295",'),
        DEPTH50.replace("158", "true"),
        DEPTH50.replace("158", "-158"),
        DEPTH50.replace("158", "{}"),
        DEPTH50.replace('"timestamp":1795348800700,"ts":1795348800700', '"at":1'),
        EXECUTION.replace('"size":2', '"size":null'),
    ],
)
def test_broken_futures_frames_are_undecodable(frame: str) -> None:
    with pytest.raises(Undecodable):
        decode_futures(frame)


def test_no_damage_to_a_frame_raises_anything_else() -> None:
    rng = random.Random(12)
    for frame in (LEVEL2, DEPTH5, LEVEL1, TICKER, MATCH, CHANGE, DEPTH50, TICKER_V2, EXECUTION, BULLET):
        for _ in range(200):
            damaged = bytearray(frame.encode())
            for _ in range(rng.randrange(1, 4)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            for act in (decode, decode_futures, lambda ticket: SPOT.socket_url("", "public", ticket)):
                try:
                    act(bytes(damaged))
                except Undecodable:
                    pass


# --- the token before every dial --------------------------------------------------------------------------------------------


def test_a_token_is_asked_for_by_post() -> None:
    for venue in MARKETS:
        request = venue.ticket_request("public")
        assert request == RestRequest("/api/v1/bullet-public", 10, "{}")
    assert SPOT.rest_url != FUTURES.rest_url  # their tokens are not interchangeable


def test_the_socket_is_where_the_token_says_with_the_token_encoded() -> None:
    url = SPOT.socket_url("wss://elsewhere", "public", BULLET.encode())
    assert url.startswith("wss://ws-api-spot.kucoin.com/?token=2neA%2Fiu%2B8%3D&connectId=")
    query = parse_qs(urlsplit(url).query)
    assert query["token"] == ["2neA/iu+8="]
    assert query["connectId"][0]
    other = SPOT.socket_url("", "public", BULLET.replace("2neA", "3neA").encode())
    assert parse_qs(urlsplit(other).query)["connectId"] != query["connectId"]


def test_a_query_of_the_endpoint_is_kept() -> None:
    ticket = BULLET.replace("kucoin.com/", "kucoin.com/endpoint?zone=b")
    url = SPOT.socket_url("", "public", ticket.encode())
    assert url.startswith("wss://ws-api-spot.kucoin.com/endpoint?zone=b&token=")


@pytest.mark.parametrize(
    "ticket",
    [
        None,
        b"",
        b"null",
        b"[" * 100_000,
        b'{"code":"429000","msg":"Too many requests"}',
        BULLET.replace("200000", "500000").encode(),
        BULLET.replace("wss://", "http://").encode(),
        BULLET.replace("2neA/iu+8=", "").encode(),
        b'{"code":"200000","data":{"token":"t","instanceServers":[]}}',
    ],
)
def test_a_body_without_a_token_is_undecodable(ticket: bytes | None) -> None:
    with pytest.raises(Undecodable):
        SPOT.socket_url("", "public", ticket)


# --- what is asked ----------------------------------------------------------------------------------------------------------


def test_books_of_spot_are_images_but_for_full() -> None:
    """A book of increments over the 100 levels of the public snapshot would have holes inside its best 50."""
    for depth in ("bbo", "20", "50"):
        assert SPOT.book_channel(depth).bootstrap is Bootstrap.IMAGES
        assert SPOT.book_channel(depth).shortfall is None
    full = SPOT.book_channel("full")
    assert (full.bootstrap, full.rule) == (Bootstrap.REST, CONTIGUOUS)
    assert "unknown until they change" in (full.shortfall or "")
    with pytest.raises(ConfigError):
        SPOT.book_channel("100")


def test_books_of_futures_are_increments_but_for_bbo() -> None:
    assert FUTURES.book_channel("bbo").bootstrap is Bootstrap.IMAGES
    for depth in ("20", "50", "full"):
        assert (FUTURES.book_channel(depth).bootstrap, FUTURES.book_channel(depth).rule) == (Bootstrap.REST, CONTIGUOUS)
    for venue in MARKETS:
        assert all(venue.book_channel(depth).cadence for depth in ("bbo", "20", "full"))
        assert all(venue.book_channel(depth).evidence for depth in ("bbo", "20", "full"))


def test_topics_of_different_channels_are_of_different_kinds() -> None:
    book, bbo, trades = SPOT.topics(BTC, "full", ALL)
    assert book == Topic("public", "/market/level2:BTC-USDT", PAIR, "book", "/market/level2")
    assert bbo == Topic("public", "/spotMarket/level1:BTC-USDT", PAIR, "bbo", "/spotMarket/level1")
    assert trades == Topic("public", "/market/match:BTC-USDT", PAIR, "trades", "/market/match")
    assert SPOT.topics(BTC, "50", ALL)[0].name == "/spotMarket/level2Depth50:BTC-USDT"
    assert SPOT.topics(BTC, "bbo", ALL)[0].name == bbo.name
    assert [topic.name for topic in FUTURES.topics(XBT, "20", ALL)] == [
        "/contractMarket/level2:XBTUSDTM",
        "/contractMarket/tickerV2:XBTUSDTM",
        "/contractMarket/execution:XBTUSDTM",
    ]


def test_requests_are_those_of_the_sheet() -> None:
    books = [SPOT.topics(one, "full", frozenset({"book"}))[0] for one in (BTC, ETH)]
    assert json.loads(SPOT.subscribe(books, 1)) == {
        "id": "1", "type": "subscribe", "topic": "/market/level2:BTC-USDT,ETH-USDT", "privateChannel": False,
        "response": True,
    }  # fmt: skip
    assert json.loads(SPOT.unsubscribe(books[:1], 2)) == {
        "id": "2", "type": "unsubscribe", "topic": "/market/level2:BTC-USDT", "privateChannel": False, "response": True,
    }  # fmt: skip


def test_a_session_asks_channel_by_channel_after_the_welcome_and_fetches_after_the_first_delta() -> None:
    session = Session(SPOT, KNOWN, "public", random.Random(3))
    now_ms = 1_000.0
    out = session.add(BTC, "full", ALL, 1, now_ms) + session.add(ETH, "full", ALL, 1, now_ms) + session.opened(now_ms)
    assert not any(isinstance(one, Send) for one in out)
    out = session.receive('{"id":"c","type":"welcome"}', 7, now_ms)
    for _ in range(10):
        now_ms += 200
        out += session.tick(now_ms, 7, heard_ms=now_ms)
    asked = [json.loads(one.text) for one in out if isinstance(one, Send)]
    assert [request["topic"] for request in asked] == [
        "/market/level2:BTC-USDT,ETH-USDT",
        "/spotMarket/level1:BTC-USDT,ETH-USDT",
        "/market/match:BTC-USDT,ETH-USDT",
    ]
    session.receive(f'{{"id":"{asked[0]["id"]}","type":"ack"}}', 7, now_ms)
    (fetch,) = (one for one in session.receive(LEVEL2, 7, now_ms) if isinstance(one, Fetch))
    assert fetch.request.path == "/api/v1/market/orderbook/level2_100?symbol=BTC-USDT"
    body = b'{"code":"200000","data":{"time":1,"sequence":"36012200453","bids":[["84210.1","0.41"]],"asks":[["84210.3","1.05"]]}}'
    events = session.snapshot(fetch, body, 7, now_ms)
    assert [type(event) for event in events] == [Snapshot, Delta]  # the delta straddles the snapshot
    assert session.feeds[PAIR].sequence == 36012200455
