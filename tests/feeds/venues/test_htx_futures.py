"""HTX linear swaps: frames of the venue sheet, contracts as coins, and the rule of its versions."""

import json
from decimal import Decimal

import pytest

from books.events import Bbo, Delta, Snapshot, SnapshotReason, Trade
from books.sequence import IMAGES, Action, Sequencer
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
from feeds.venues.htx.futures import ROUTE, HtxFutures
from fleet.errors import ConfigError
from fleet.pair import Pair

VENUE = HtxFutures()
PAIR = Pair("htx", "futures", "BTC/USDT")
ALL = frozenset({"book", "bbo", "trades"})
BTC = Instrument(
    pair=PAIR, symbol="BTC-USDT", status=InstrumentStatus.TRADING, tick="0.1", lot="0.001", min_amount="0.001",
    min_notional=None, contract_size=Decimal("0.001"),
)  # fmt: skip
KNOWN = Instruments([BTC])
TOPIC = "market.BTC-USDT.depth.size_20.high_freq"

SNAPSHOT = (  # section 5.3 of the sheet
    '{"ch":"market.BTC-USDT.depth.size_20.high_freq","tick":{"asks":[[13081.9,206],[13099.7,371]],'
    '"bids":[[13071.9,38],[13060,400]],"ch":"market.BTC-USDT.depth.size_20.high_freq","event":"snapshot",'
    '"id":131597620,"mrid":131597620,"ts":1603707712356,"version":1512467},"ts":1603707712357}'
)
UPDATE = (
    '{"ch":"market.BTC-USDT.depth.size_20.high_freq","tick":{"asks":[[13081.9,0],[13090.1,55]],"bids":[],'
    '"ch":"market.BTC-USDT.depth.size_20.high_freq","event":"update","id":131597621,"mrid":131597621,'
    '"ts":1603707712386,"version":1512468},"ts":1603707712387}'
)
DEPTH = (  # section 5.4
    '{"ch":"market.BTC-USDT.depth.step0","ts":1645289384831,"tick":{"mrid":43131188379,"id":1645289384,'
    '"bids":[[0.41887,250]],"asks":[[0.41901,812]],"ts":1645289384828,"version":1645289384,'
    '"ch":"market.BTC-USDT.depth.step0"}}'
)
BBO = (
    '{"ch":"market.BTC-USDT.bbo","ts":1603707934525,"tick":{"mrid":131599726,"id":1603707934,"bid":[13064,38],'
    '"ask":[13072.3,205],"ts":1603707934524,"version":131599726,"ch":"market.BTC-USDT.bbo"}}'
)
TRADE = (  # section 6
    '{"ch":"market.BTC-USDT.trade.detail","ts":1645289380959,"tick":{"id":43131183313,"ts":1645289380927,"data":[{'
    '"amount":4,"quantity":0.0040,"trade_turnover":16.7648,"ts":1645289380927,"id":1000219512747480000,'
    '"price":0.41912,"direction":"sell"}]}}'
)


def decode(frame: str | bytes) -> list[Message]:
    return VENUE.decode(frame, 7, KNOWN)


def update(version: int) -> Delta:
    (message,) = decode(UPDATE.replace("1512468", str(version)))
    assert isinstance(message, BookMessage)
    assert isinstance(message.event, Delta)
    return message.event


def test_a_snapshot_in_band_is_in_coins() -> None:
    snapshot = Snapshot(
        pair=PAIR,
        received_us=7,
        venue_ms=1603707712356,
        bids={"13071.9": "0.038", "13060": "0.4"},
        asks={"13081.9": "0.206", "13099.7": "0.371"},
        reason=SnapshotReason.FIRST,
        sequence=1512467,
    )
    assert decode(SNAPSHOT) == [BookMessage(TOPIC, snapshot)]


def test_an_update_is_a_delta_of_one_version() -> None:
    delta = Delta(
        pair=PAIR,
        received_us=7,
        venue_ms=1603707712386,
        bids={},
        asks={"13081.9": "0", "13090.1": "0.055"},
        sequence=1512468,
        first_sequence=1512468,
    )
    assert decode(UPDATE) == [BookMessage(TOPIC, delta)]


def test_versions_count_by_one() -> None:
    sequencer = Sequencer(VENUE.book_channel("full").rule)
    sequencer.snapshot(10)
    assert [sequencer.delta(update(version)) for version in (11, 12, 12, 11, 13)] == [
        Action.APPLY, Action.APPLY, Action.IGNORE, Action.IGNORE, Action.APPLY,
    ]  # fmt: skip
    assert sequencer.delta(update(15)) is Action.RESYNC
    assert sequencer.delta(update(16)) is Action.KEEP  # before a snapshot: dropped by a book that starts in band


def test_the_first_update_must_follow_its_snapshot() -> None:
    sequencer = Sequencer(VENUE.book_channel("20").rule)
    sequencer.snapshot(10)
    assert sequencer.delta(update(12)) is Action.RESYNC


def test_a_book_of_whole_messages_without_event_is_not_used() -> None:
    (message,) = decode(UPDATE.replace('"event":"update"', '"event":null'))
    assert isinstance(message, Unused)
    assert "without event" in message.reason
    with pytest.raises(Undecodable):
        decode(UPDATE.replace('"event":"update"', '"event":"reset"'))


def test_null_is_an_empty_side() -> None:
    (message,) = decode(SNAPSHOT.replace('"bids":[[13071.9,38],[13060,400]]', '"bids":null'))
    assert isinstance(message, BookMessage)
    assert isinstance(message.event, Snapshot)
    assert message.event.bids == {}
    assert len(message.event.asks) == 2


@pytest.mark.parametrize("symbol", ["btc-usdt", "Btc-Usdt"])
def test_symbols_of_any_letter_case_are_the_same(symbol: str) -> None:
    frame = UPDATE.replace('{"ch":"market.BTC-USDT', f'{{"ch":"market.{symbol}')
    assert frame != UPDATE
    assert decode(frame) == decode(UPDATE)


def test_a_depth_is_an_image_ordered_by_mrid_not_by_its_seconds() -> None:
    snapshot = Snapshot(
        pair=PAIR, received_us=7, venue_ms=1645289384828, bids={"0.41887": "0.25"}, asks={"0.41901": "0.812"},
        reason=SnapshotReason.FIRST, sequence=43131188379,
    )  # fmt: skip
    assert decode(DEPTH) == [BookMessage("market.BTC-USDT.depth.step0", Image(snapshot))]


def test_the_depth_of_a_delisted_contract_is_skipped() -> None:
    frame = DEPTH.replace('"bids":[[0.41887,250]],"asks":[[0.41901,812]],', "")
    assert decode(frame) == [Unused("depth without sides (a delisted contract)")]
    one_side = DEPTH.replace('"bids":[[0.41887,250]],', "")
    (message,) = decode(one_side)
    assert isinstance(message, BookMessage)
    assert isinstance(message.event, Image)
    assert message.event.snapshot.bids == {}


@pytest.mark.parametrize("step", [1, 6, 7, 13, 18])
def test_merged_prices_are_no_book(step: int) -> None:
    assert decode(DEPTH.replace("step0", f"step{step}")) == [Unused(f"channel depth.step{step}")]


def test_best_prices_are_in_coins() -> None:
    expected = Bbo(
        pair=PAIR, received_us=7, venue_ms=1603707934524, bid="13064", bid_amount="0.038", ask="13072.3",
        ask_amount="0.205", sequence=131599726,
    )  # fmt: skip
    assert decode(BBO) == [expected]


@pytest.mark.parametrize(
    "frame",
    [BBO.replace('"bid":[13064,38],', ""), BBO.replace("[13064,38]", "null"), BBO.replace("[13064,38]", "[13064,0]")],
)
def test_a_side_of_best_prices_may_be_missing(frame: str) -> None:
    (message,) = decode(frame)
    assert isinstance(message, Bbo)
    assert (message.bid, message.bid_amount, message.ask) == ("", "", "13072.3")


@pytest.mark.parametrize("side", ["[]", "[1]", "[1,2,3]", "[[1,2]]", "7", '["1",2]', "[1,2],[3,4]"])
def test_best_prices_of_any_other_shape_are_undecodable(side: str) -> None:
    with pytest.raises(Undecodable):
        decode(BBO.replace("[13064,38]", side))


def test_trades_prefer_coins_and_keep_long_ids() -> None:
    expected = Trade(
        pair=PAIR, received_us=7, venue_ms=1645289380927, price="0.41912", amount="0.004", side="sell",
        trade_id="1000219512747480000",
    )  # fmt: skip
    assert decode(TRADE) == [expected]
    assert decode(TRADE.replace('"quantity":0.0040,', "")) == [expected]  # before 2021: contracts × size


def test_a_trade_without_a_side_is_named() -> None:
    assert decode(TRADE.replace('"sell"', '""')) == [Unused("trade that names no side")]


def test_a_refused_symbol_is_named_with_its_reason() -> None:
    contracts = (
        b'{"status":"ok","data":[{"contract_code":"BTC-USDT-211231","contract_size":0.001,"price_tick":0.1,'
        b'"contract_status":1,"business_type":"futures"}]}'
    )
    frame = UPDATE.replace("BTC-USDT", "BTC-USDT-211231")
    reason = "symbol BTC-USDT-211231: futures: a dated contract, not a perpetual swap"
    assert VENUE.decode(frame, 7, VENUE.parse_instruments([contracts])) == [Unused(reason)]
    assert decode(frame) == [Unused("symbol BTC-USDT-211231: not among the instruments")]


# --- what is subscribed ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "depth,channel,gives,bootstrap",
    [
        ("bbo", "bbo", "bbo", Bootstrap.IMAGES),
        ("20", "depth.size_20.high_freq", "20", Bootstrap.IN_BAND),
        ("50", "depth.size_150.high_freq", "150", Bootstrap.IN_BAND),
        ("full", "depth.size_150.high_freq", "150", Bootstrap.IN_BAND),
    ],
)
def test_each_depth_has_its_channel(depth: str, channel: str, gives: str, bootstrap: Bootstrap) -> None:
    book = VENUE.book_channel(depth)
    assert (book.depth, book.bootstrap) == (gives, bootstrap)
    assert (book.rule is IMAGES) is (bootstrap is Bootstrap.IMAGES)
    assert (book.shortfall is not None) is (depth == "full")
    assert book.cadence
    assert book.evidence
    topics = VENUE.topics(BTC, depth, ALL)
    assert topics == [
        Topic(ROUTE, f"market.BTC-USDT.{channel}", PAIR, "book"),
        Topic(ROUTE, "market.BTC-USDT.bbo", PAIR, "bbo"),
        Topic(ROUTE, "market.BTC-USDT.trade.detail", PAIR, "trades"),
    ]
    with pytest.raises(ConfigError, match="expected one of"):
        VENUE.book_channel("400")


def test_requests_for_books_ask_for_changes() -> None:
    book, bbo, _ = VENUE.topics(BTC, "20", ALL)
    assert json.loads(VENUE.subscribe([book], 4)) == {"sub": TOPIC, "data_type": "incremental", "id": "4"}
    assert json.loads(VENUE.unsubscribe([book], 5)) == {"unsub": TOPIC, "data_type": "incremental", "id": "5"}
    assert json.loads(VENUE.subscribe([bbo], 6)) == {"sub": "market.BTC-USDT.bbo", "id": "6"}
    assert VENUE.socket_url("wss://host", ROUTE) == "wss://host/linear-swap-ws"


def test_versions_are_never_compared_across_connections() -> None:
    assert not VENUE.sequence_comparable
    assert VENUE.traits.repeats_trades
    assert (VENUE.keepalive.text, VENUE.keepalive.probe, VENUE.keepalive.dead_ms) == (None, False, 15_000)
    assert (VENUE.limits.topics_per_request, VENUE.limits.requests_per_s) == (1, 30.0)


def test_a_book_by_rest_for_cross_checks() -> None:
    assert VENUE.snapshot_request(BTC, "50").path == "/linear-swap-ex/market/depth?contract_code=BTC-USDT&type=step0"
    body = (
        b'{"ch":"market.BTC-USDT.depth.step0","status":"ok","tick":{"asks":[[29796.8,4025]],"bids":[[29796.7,305]],'
        b'"id":1654253113,"mrid":108917760661,"ts":1654253113226,"version":1654253113},"ts":1654253113251}'
    )
    snapshot = VENUE.parse_snapshot(body, BTC, 7)
    assert (snapshot.bids, snapshot.asks, snapshot.sequence) == (
        {"29796.7": "0.305"},
        {"29796.8": "4.025"},
        108917760661,
    )
