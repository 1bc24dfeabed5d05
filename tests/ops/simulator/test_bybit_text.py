"""Bybit's words and windows, without a socket."""

import json

import pytest

from ops.simulator.bybit.books import BookTopic
from ops.simulator.bybit.listing import listed
from ops.simulator.bybit.text import FULL, Numbers, Topic, book, levels, parse_topic
from ops.simulator.feed import Feed
from ops.simulator.market import SimulatedInstrument
from ops.simulator.window import DeltaWindow


def feed_of(market: str, seed: str = "a") -> Feed:
    listing = listed(market, 1)[0]
    return Feed(listing, SimulatedInstrument(listing, seed=seed, rate=100, levels=80, jump=8), phase=0)


@pytest.mark.parametrize(
    "name, spot, linear",
    [
        ("orderbook.1.A", Topic("orderbook", "A", 1, 10), True),
        ("orderbook.50.A", Topic("orderbook", "A", 50, 20), True),
        ("orderbook.200.A", Topic("orderbook", "A", 200, 100), True),
        ("orderbook.1000.A", Topic("orderbook", "A", 1000, 200), True),
        ("orderbook.full.A", Topic("orderbook", "A", FULL, 200), False),
        ("publicTrade.A", Topic("publicTrade", "A"), True),
        ("tickers.A", Topic("tickers", "A"), True),
    ],
)
def test_topics_have_their_meaning(name: str, spot: Topic, linear: bool) -> None:
    assert parse_topic(name, "spot") == spot
    assert parse_topic(name, "futures") == (spot if linear else None)


@pytest.mark.parametrize(
    "name",
    ["", "orderbook", "orderbook.50", "orderbook.25.A", "orderbook.500.A", "orderbook..A", "publicTrade.", "order.A"],
)
def test_what_is_no_topic_means_nothing(name: str) -> None:
    assert parse_topic(name, "spot") is None
    assert parse_topic(name, "futures") is None


def test_a_book_message_is_the_sheets() -> None:
    spot, linear = feed_of("spot"), feed_of("futures")
    text = book(spot, "orderbook.50.BTCUSDT", "delta", ([(650001, 804000)], [(650002, 0)]), Numbers(5, 9), 1000)
    assert text == (
        '{"topic":"orderbook.50.BTCUSDT","ts":1000,"type":"delta","data":{"s":"BTCUSDT","b":[["65000.1","0.804"]],'
        '"a":[["65000.2","0"]],"u":5,"seq":9},"cts":997}'
    )
    assert list(json.loads(book(linear, "t", "delta", ([], []), Numbers(5, 9), 1000))) == [
        "topic", "type", "ts", "data", "cts",
    ]  # fmt: skip
    assert levels(linear, [(650000, 804)]) == '["65000.00","0.804"]'


def replayed(depth: int) -> tuple[BookTopic, dict[int, int], dict[int, int], int]:
    """A window driven for a while: the topic, what its deltas made of both sides, and how many deletes hit nothing."""
    feed = feed_of("futures")
    window = DeltaWindow(feed.instrument.sequence)
    topic = BookTopic(feed, depth, u=100)
    bids, asks = (dict(side) for side in topic.window())
    absent, messages = 0, 0
    for interval in range(400):
        for half in (feed.instrument.trade_half(interval), feed.instrument.quote_half()):
            window.merge(half)
        delta = topic.advance(window)
        if delta is None:
            continue
        messages += 1
        assert topic.u == 100 + messages
        assert topic.seq == feed.instrument.sequence
        for side, changes in ((bids, delta.bids), (asks, delta.asks)):
            for price, lots in changes.items():
                absent += not lots and price not in side
                side[price] = lots
                if not lots:
                    del side[price]
    assert messages > 100
    return topic, bids, asks, absent


@pytest.mark.parametrize("depth", [1, 50, 200, FULL])
def test_deltas_keep_exactly_the_window(depth: int) -> None:
    topic, bids, asks, absent = replayed(depth)
    now = topic.window()
    assert (bids, asks) == (dict(now[0]), dict(now[1]))
    assert (len(bids), len(asks)) == (depth, depth) if depth in (1, 50) else len(bids) > 50
    assert absent or depth == 1


def test_a_restart_counts_from_1_and_forgets_what_was_not_told() -> None:
    topic, *_ = replayed(50)
    window = DeltaWindow(topic.seq)
    window.merge(topic.feed.instrument.skip())
    topic.restart(window)
    assert topic.numbers == Numbers(1, topic.feed.instrument.sequence)
    assert topic.advance(window) is None
