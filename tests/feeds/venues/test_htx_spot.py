"""HTX spot: frames of the venue sheet, requests, and the rule of its chain."""

import json
from decimal import Decimal

import pytest

from books.events import Bbo, Delta, Snapshot, SnapshotReason, Trade
from books.sequence import IMAGES, Action, Sequencer, State
from feeds.venue import (
    BookMessage,
    Bootstrap,
    Image,
    Instrument,
    Instruments,
    InstrumentStatus,
    Message,
    Topic,
    Undecodable,
    Unused,
)
from feeds.venues.htx.spot import FEED, WS, HtxSpot
from fleet.errors import ConfigError
from fleet.pair import Pair

VENUE = HtxSpot()
PAIR = Pair("htx", "spot", "BTC/USDT")
ALL = frozenset({"book", "bbo", "trades"})
BTC = Instrument(
    pair=PAIR, symbol="btcusdt", status=InstrumentStatus.TRADING, tick="0.01", lot="0.000001", min_amount="0.00001",
    min_notional="5", contract_size=Decimal(1),
)  # fmt: skip
KNOWN = Instruments([BTC])

DELTA = (  # section 5.1 of the sheet
    '{"ch":"market.btcusdt.mbp.150","ts":1573199608679,"tick":{"seqNum":100020146795,"prevSeqNum":100020146794,'
    '"bids":[],"asks":[[645.14,26.75597395914065]]}}'
)
ANSWER = (  # section 4
    '{"id":"3","rep":"market.btcusdt.mbp.150","status":"ok","ts":1698359289261,"data":{"seqNum":104999417756,'
    '"bids":[[34100.01,0.5]],"asks":[[34100.02,0.25]]}}'
)
REFRESH = (  # section 5.2
    '{"ch":"market.btcusdt.mbp.refresh.20","ts":1573199608679,"tick":{"seqNum":100020142010,'
    '"bids":[[618.37,71.594],[423.33,77.726]],"asks":[[650.59,14.909733438479636],[650.63,97.996]]}}'
)
DEPTH = (
    '{"ch":"market.btcusdt.depth.step0","ts":1630983549503,"tick":{"bids":[[52690.69,0.36281]],'
    '"asks":[[52690.7,0.372591]],"version":136998124622,"ts":1630983549500}}'
)
BBO = (
    '{"ch":"market.btcusdt.bbo","ts":1630994555540,"tick":{"seqId":137005210233,"ask":52665.02,"askSize":1.502181,'
    '"bid":52665.01,"bidSize":0.178567,"quoteTime":1630994555539,"symbol":"btcusdt"}}'
)
TRADE = (  # section 6
    '{"ch":"market.btcusdt.trade.detail","ts":1618678027942,"tick":{"id":100182534526,"ts":1618678027940,"data":[{'
    '"id":100182534526255757567432481,"ts":1618678027941,"tradeId":100045088885,"amount":20995.88,"price":9.2E-7,'
    '"direction":"buy"}]}}'
)


def decode(frame: str | bytes) -> list[Message]:
    return VENUE.decode(frame, 7, KNOWN)


def book(bids: dict[str, str], asks: dict[str, str], sequence: int, venue_ms: int) -> Snapshot:
    return Snapshot(
        pair=PAIR,
        received_us=7,
        venue_ms=venue_ms,
        bids=bids,
        asks=asks,
        reason=SnapshotReason.FIRST,
        sequence=sequence,
    )


def changes(sequence: int, previous: int, levels: str = '"bids":[],"asks":[]') -> str:
    tick = f'{{"seqNum":{sequence},"prevSeqNum":{previous},{levels}}}'
    return f'{{"ch":"market.btcusdt.mbp.150","ts":1573199608679,"tick":{tick}}}'


def delta_of(frame: str) -> Delta:
    (message,) = decode(frame)
    assert isinstance(message, BookMessage)
    assert isinstance(message.event, Delta)
    return message.event


def test_a_delta_names_its_predecessor_and_starts_behind_it() -> None:
    delta = Delta(
        pair=PAIR,
        received_us=7,
        venue_ms=1573199608679,
        bids={},
        asks={"645.14": "26.75597395914065"},
        sequence=100020146795,
        first_sequence=100020146795,
        previous_sequence=100020146794,
    )
    assert decode(DELTA) == [BookMessage("market.btcusdt.mbp.150", delta)]


def test_a_side_without_change_may_be_left_out() -> None:
    frame = (  # section 5.1: the sheet's second sample
        '{"ch":"market.btcusdt.mbp.5","ts":1573199608701,"tick":{"seqNum":100020146797,"prevSeqNum":100020146795,'
        '"bids":[[645.1,0]]}}'
    )
    (message,) = decode(frame)
    assert getattr(message, "topic", "") == "market.btcusdt.mbp.5"
    assert delta_of(frame).bids == {"645.1": "0"}
    assert delta_of(frame).asks == {}


def test_an_empty_message_is_a_delta_that_advances_the_chain() -> None:
    delta = delta_of(changes(12, 9))
    assert (delta.first_sequence, delta.previous_sequence, delta.sequence) == (10, 9, 12)
    assert {**delta.bids, **delta.asks} == {}


@pytest.mark.parametrize(
    "sent,canonical",
    [("9.486E-11", "0.00000000009486"), ("1.0E-8", "0.00000001"), ("8.181588598785326E8", "818158859.8785326"),
     ("0.0", "0"), ("2.0", "2"), ("9.75e+4", "97500"), ("26.75597395914065", "26.75597395914065")],
)  # fmt: skip
def test_numbers_come_out_as_they_were_sent(sent: str, canonical: str) -> None:
    delta = delta_of(changes(2, 1, f'"bids":[[{sent if canonical != "0" else "1"},{sent}]],"asks":[[5,{sent}]]'))
    assert list(delta.bids.values()) == list(delta.asks.values()) == [canonical]
    if canonical != "0":
        assert list(delta.bids) == [canonical]


@pytest.mark.parametrize(
    "levels",
    ['"bids":[["1",2]],"asks":[]', '"bids":[[1,2,3]],"asks":[]', '"bids":[[1]],"asks":[]', '"bids":[1,2],"asks":[]',
     '"bids":[[-1,2]],"asks":[]', '"bids":[[1,null]],"asks":[]', '"bids":[[1,true]],"asks":[]', '"bids":{},"asks":[]',
     '"bids":[[1,1e999]],"asks":[]', '"bids":["[1,2]"],"asks":[]', '"bids":[[1,2],[3]],"asks":[]', '"bids":7,"asks":[]',
     '"bids":[[[1,2]]],"asks":[]', '"bids":[[1,2],{}],"asks":[]', f'"bids":[[1,{"9" * 200}]],"asks":[]', '"bids":[[]]'],
)  # fmt: skip
def test_levels_of_any_other_shape_are_undecodable(levels: str) -> None:
    with pytest.raises(Undecodable):
        decode(changes(2, 1, levels))


def test_white_space_and_null_do_not_matter() -> None:
    delta = delta_of(changes(2, 1, '"bids" : [ [ 1 , 2 ] ,\n[3,4] ],"asks":null'))
    assert delta.bids == {"1": "2", "3": "4"}
    assert delta.asks == {}


@pytest.mark.parametrize("sequence,previous", [(1, 2), (-1, -2), (2**63, 1), ('"2"', 1), (2.5, 1)])
def test_ids_that_cannot_be_are_undecodable(sequence: object, previous: object) -> None:
    with pytest.raises(Undecodable):
        decode(changes(sequence, previous))  # type: ignore[arg-type]


def test_an_answer_to_req_is_a_snapshot_of_the_same_topic() -> None:
    expected = book({"34100.01": "0.5"}, {"34100.02": "0.25"}, 104999417756, 1698359289261)
    assert decode(ANSWER) == [BookMessage("market.btcusdt.mbp.150", expected)]


def test_an_answer_of_another_channel_is_not_used() -> None:
    assert decode(ANSWER.replace("mbp.150", "kline.1min")) == [
        Unused("answer to a request of channel kline.1min")
    ]  # fmt: skip


def test_a_refresh_is_an_image() -> None:
    bids = {"618.37": "71.594", "423.33": "77.726"}
    asks = {"650.59": "14.909733438479636", "650.63": "97.996"}
    expected = BookMessage("market.btcusdt.mbp.refresh.20", Image(book(bids, asks, 100020142010, 1573199608679)))
    assert decode(REFRESH) == [expected]


def test_a_depth_is_an_image_ordered_by_its_version() -> None:
    image = Image(book({"52690.69": "0.36281"}, {"52690.7": "0.372591"}, 136998124622, 1630983549500))
    assert decode(DEPTH) == [BookMessage("market.btcusdt.depth.step0", image)]
    assert decode(DEPTH.replace('"ts":1630983549503', '"status":"ok","ts":1630983549503')) == [Unused("answer of REST")]
    assert decode(DEPTH.replace("step0", "step1")) == [Unused("channel depth.step1")]
    empty = DEPTH.replace('"bids":[[52690.69,0.36281]],"asks":[[52690.7,0.372591]],', "")
    assert decode(empty) == [Unused("depth without sides")]


def test_best_prices() -> None:
    expected = Bbo(
        pair=PAIR, received_us=7, venue_ms=1630994555539, bid="52665.01", bid_amount="0.178567", ask="52665.02",
        ask_amount="1.502181", sequence=137005210233,
    )  # fmt: skip
    assert decode(BBO) == [expected]


@pytest.mark.parametrize(
    "without",
    [BBO.replace('"ask":52665.02,"askSize":1.502181,', ""), BBO.replace("52665.02", "null").replace("1.502181", "null"),
     BBO.replace("1.502181", "0.0")],
)  # fmt: skip
def test_a_side_that_is_missing_null_or_of_no_size_is_empty(without: str) -> None:
    (message,) = decode(without)
    assert isinstance(message, Bbo)
    assert (message.bid, message.ask, message.ask_amount) == ("52665.01", "", "")


def test_trades_have_the_id_that_is_unique_and_exponents_do_not_matter() -> None:
    expected = Trade(
        pair=PAIR, received_us=7, venue_ms=1618678027941, price="0.00000092", amount="20995.88", side="buy",
        trade_id="100045088885",
    )  # fmt: skip
    assert decode(TRADE) == [expected]


def test_what_is_no_trade_is_named() -> None:
    assert decode(TRADE.replace('"tradeId":100045088885,', "")) == [Unused("trade without tradeId (2019)")]
    assert decode(TRADE.replace('"buy"', '""')) == [Unused("trade that names no side")]
    assert decode(TRADE.replace("20995.88", "0.0")) == [Unused("trade of no price or no amount")]
    for broken in (TRADE.replace('"buy"', '"up"'), TRADE.replace("100045088885", "1.5"), TRADE.replace("9.2E-7", "{}")):
        with pytest.raises(Undecodable):
            decode(broken)


def test_symbols_and_channels_that_are_not_ours_are_named() -> None:
    assert decode(DELTA.replace("btcusdt", "ethusdt")) == [Unused("symbol ethusdt: not among the instruments")]
    assert decode(DELTA.replace("btcusdt", "BTC_CQ")) == [Unused("symbol BTC_CQ: a contract, not spot")]
    assert decode(DELTA.replace("mbp.150", "kline.1min")) == [Unused("channel kline.1min")]
    assert decode(DELTA.replace("mbp.150", "mbp.10")) == [Unused("channel mbp.10")]
    assert decode('{"ch":"market.tickers","data":[],"ts":1}') == [Unused("channel market.tickers")]
    assert decode(DELTA.replace('"ts"', '"update":true,"ts"')) == [Unused("changes of 2019, without a sequence")]


# --- the chain ------------------------------------------------------------------------------------------------------------


def chain(snapshot: int, *ids: tuple[int, int]) -> list[Action]:
    """What the rule makes of deltas (previous, sequence) behind a snapshot."""
    sequencer = Sequencer(VENUE.book_channel("50").rule)
    sequencer.snapshot(snapshot)
    return [sequencer.delta(delta_of(changes(sequence, previous))) for previous, sequence in ids]


def test_deltas_up_to_the_snapshot_are_dropped_and_the_one_behind_it_follows() -> None:
    assert chain(100, (80, 90), (90, 100), (100, 117)) == [Action.IGNORE, Action.IGNORE, Action.APPLY]


def test_a_delta_that_straddles_the_snapshot_is_applied() -> None:
    assert chain(100, (90, 110), (110, 130)) == [Action.APPLY, Action.APPLY]


def test_a_delta_that_starts_behind_the_snapshot_is_a_gap() -> None:
    assert chain(100, (101, 110)) == [Action.RESYNC]


def test_live_a_delta_must_name_the_last_one() -> None:
    assert chain(100, (100, 110), (105, 120)) == [Action.APPLY, Action.RESYNC]
    assert chain(100, (100, 110), (111, 120)) == [Action.APPLY, Action.RESYNC]


def test_live_an_old_delta_is_dropped_silently() -> None:
    assert chain(100, (100, 110), (100, 110), (110, 120)) == [Action.APPLY, Action.IGNORE, Action.APPLY]


def test_a_snapshot_must_reach_the_oldest_delta_that_was_kept() -> None:
    sequencer = Sequencer(VENUE.book_channel("full").rule)
    oldest = delta_of(changes(110, 100))
    assert [sequencer.bridges(sequence, oldest) for sequence in (99, 100, 105, 110, 200)] == [
        False,
        True,
        True,
        True,
        True,
    ]
    assert sequencer.state is State.AWAITING


# --- what is subscribed ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "depth,route,topic,gives,bootstrap",
    [
        ("bbo", WS, "market.btcusdt.bbo", "bbo", Bootstrap.IMAGES),
        ("20", WS, "market.btcusdt.mbp.refresh.20", "20", Bootstrap.IMAGES),
        ("50", FEED, "market.btcusdt.mbp.150", "150", Bootstrap.REQUEST),
        ("full", FEED, "market.btcusdt.mbp.400", "400", Bootstrap.REQUEST),
    ],
)
def test_each_depth_has_its_channel_and_socket(
    depth: str, route: str, topic: str, gives: str, bootstrap: Bootstrap
) -> None:
    channel = VENUE.book_channel(depth)
    assert (channel.depth, channel.bootstrap) == (gives, bootstrap)
    assert (channel.rule is IMAGES) is (bootstrap is Bootstrap.IMAGES)
    assert (channel.shortfall is not None) is (depth == "full")
    assert channel.cadence
    assert channel.evidence
    assert VENUE.topics(BTC, depth, frozenset({"book"})) == [Topic(route, topic, PAIR, "book")]


def test_trades_and_best_prices_are_on_the_socket_of_images() -> None:
    topics = VENUE.topics(BTC, "50", ALL)
    assert [(topic.route, topic.name) for topic in topics] == [
        (FEED, "market.btcusdt.mbp.150"),
        (WS, "market.btcusdt.bbo"),
        (WS, "market.btcusdt.trade.detail"),
    ]
    assert VENUE.socket_url("wss://host", WS) == "wss://host/ws"
    assert VENUE.socket_url("wss://host", FEED) == "wss://host/feed"
    with pytest.raises(ConfigError, match="expected ws or feed"):
        VENUE.socket_url("wss://host", "public")
    with pytest.raises(ConfigError, match="expected one of bbo, 20, 50, full"):
        VENUE.topics(BTC, "500", ALL)


def test_every_topic_is_decoded_to_what_it_feeds() -> None:
    for depth in ("20", "50", "full"):
        (topic,) = VENUE.topics(BTC, depth, frozenset({"book"}))
        frame = (REFRESH if depth == "20" else DELTA).replace("mbp.refresh.20", "X").replace("mbp.150", "X")
        (message,) = decode(frame.replace("market.btcusdt.X", topic.name))
        assert getattr(message, "topic", "") == topic.name


def test_requests_are_those_of_the_sheet() -> None:
    (topic,) = VENUE.topics(BTC, "50", frozenset({"book"}))
    assert json.loads(VENUE.subscribe([topic], 1)) == {"sub": "market.btcusdt.mbp.150", "id": "1"}
    assert json.loads(VENUE.unsubscribe([topic], 2)) == {"unsub": "market.btcusdt.mbp.150", "id": "2"}
    assert json.loads(VENUE.snapshot_text(topic, 3)) == {"req": "market.btcusdt.mbp.150", "id": "3"}


def test_one_request_is_one_topic_and_at_most_ten_go_a_second() -> None:
    assert VENUE.limits.topics_per_request == 1
    assert VENUE.limits.requests_per_s < 10
    assert (VENUE.keepalive.text, VENUE.keepalive.probe, VENUE.keepalive.dead_ms) == (None, False, 15_000)
    assert VENUE.traits.repeats_trades
    assert VENUE.sequence_comparable


def test_a_book_by_rest_for_cross_checks() -> None:
    assert VENUE.snapshot_request(BTC, "50").path == "/market/depth?symbol=btcusdt&type=step0"
    body = (
        b'{"ch":"market.btcusdt.depth.step0","status":"ok","ts":1629790438801,"tick":{"ts":1629790438215,'
        b'"version":136107114472,"bids":[[49790.87,0.779876]],"asks":[[49790.88,2.980472]]}}'
    )
    assert VENUE.parse_snapshot(body, BTC, 7) == book(
        {"49790.87": "0.779876"}, {"49790.88": "2.980472"}, 136107114472, 1629790438215
    )
    for broken in (
        b"",
        b"[]",
        b'{"status":"error","err-code":"invalid-parameter"}',
        body.replace(b"49790.87", b"true"),
    ):
        with pytest.raises(Undecodable, match="no depth"):
            VENUE.parse_snapshot(broken, BTC, 7)
