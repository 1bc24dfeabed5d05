"""A recording that stands in for a venue."""

from decimal import Decimal

import pytest

from books.sequence import CONTIGUOUS, IMAGES, LINKED
from feeds.recorded_venue import (
    ALL_ACKNOWLEDGED,
    DELTAS,
    IMAGE_DEPTH,
    BookTopic,
    Contents,
    RawInstruments,
    RecordedVenue,
    raw_instrument,
)
from feeds.venue import Ack, BookMessage, Bootstrap, Undecodable
from feeds.venues import find
from fleet.pair import Pair

SPOT = find("binance", "spot")
OKX = find("okx", "spot")
PAIR = Pair("binance", "spot", "BTCUSDT")
DIFF = b'{"stream":"btcusdt@depth","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":2,"u":3,"b":[["1","1"]],"a":[]}}'
IMAGE = b'{"stream":"btcusdt@depth5","data":{"lastUpdateId":2,"bids":[["1","1"]],"asks":[]}}'
TRADE = b'{"stream":"ethusdt@trade","data":{"e":"trade","s":"ETHUSDT","t":1,"p":"1","q":"1","T":1,"m":true}}'
BODY = b'{"lastUpdateId":2,"bids":[["1","1"]],"asks":[]}'
CANDLE = b'{"stream":"btcusdt@kline_1m","data":{}}'


def contents(*frames: bytes) -> Contents:
    return Contents(SPOT, RawInstruments(SPOT), frames)


def test_raw_instruments_know_every_symbol_as_it_is() -> None:
    instruments = RawInstruments(SPOT)
    found = instruments.find("anything-at_all")
    assert found is not None
    assert found.pair == Pair("binance", "spot", "anything-at_all")
    assert found.contract_size == Decimal(1)
    assert instruments.find("anything-at_all") is found
    assert instruments.find("") is None


def test_the_first_pass_finds_pairs_topics_and_snapshots() -> None:
    found = contents(DIFF, DIFF, IMAGE, TRADE, BODY, CANDLE, b"broken")
    assert found.pairs[PAIR] == {BookTopic("btcusdt@depth", DELTAS): 2, BookTopic("btcusdt@depth5", IMAGE_DEPTH): 1}
    assert set(found.pairs) == {PAIR, Pair("binance", "spot", "ETHUSDT")}
    assert found.snapshot_lines == {4}


def test_a_book_is_built_from_deltas_before_images() -> None:
    assert contents(DIFF, IMAGE, IMAGE).book_topics() == {PAIR: BookTopic("btcusdt@depth", DELTAS)}
    assert contents(IMAGE).book_topics() == {PAIR: BookTopic("btcusdt@depth5", IMAGE_DEPTH)}
    assert contents(TRADE).book_topics() == {}


def test_only_market_data_of_the_chosen_topics_passes() -> None:
    instruments = RawInstruments(SPOT)
    venue = RecordedVenue(SPOT, {PAIR: BookTopic("btcusdt@depth", DELTAS)})
    (message,) = venue.decode(DIFF, 1, instruments)
    assert isinstance(message, BookMessage)
    assert len(venue.decode(TRADE, 1, instruments)) == 1
    for frame in (IMAGE, CANDLE, b'{"result":null,"id":1}'):
        assert venue.decode(frame, 1, instruments) == []
    assert (venue.refused, venue.answers) == (2, 1)
    assert set(venue.reasons) == {
        "another book topic of BTCUSDT: the one of btcusdt@depth is replayed",
        "stream kline_1m",
    }
    with pytest.raises(Undecodable):
        venue.decode(b"broken", 1, instruments)


def test_whatever_is_asked_is_acknowledged_once() -> None:
    venue = RecordedVenue(SPOT, {PAIR: BookTopic("btcusdt@depth", DELTAS)})
    topics = venue.topics(raw_instrument(SPOT, "BTCUSDT"), DELTAS, frozenset({"book"}))
    assert venue.subscribe(topics, 1) == ""
    instruments = RawInstruments(SPOT)
    assert venue.decode(ALL_ACKNOWLEDGED, 1, instruments) == [Ack(None, "btcusdt@depth", True)]
    assert venue.decode(ALL_ACKNOWLEDGED, 1, instruments) == []
    assert venue.topics(raw_instrument(SPOT, "ETHUSDT"), DELTAS, frozenset({"book"})) == []


def test_the_sequence_rule_is_the_venues_but_nobody_can_be_asked_for_a_snapshot() -> None:
    spot, okx = RecordedVenue(SPOT, {}), RecordedVenue(OKX, {})
    assert (spot.book_channel(DELTAS).rule, spot.book_channel(DELTAS).bootstrap) == (CONTIGUOUS, Bootstrap.REST)
    assert (okx.book_channel(DELTAS).rule, okx.book_channel(DELTAS).bootstrap) == (LINKED, Bootstrap.IMAGES)
    assert okx.book_channel(IMAGE_DEPTH).rule is IMAGES
