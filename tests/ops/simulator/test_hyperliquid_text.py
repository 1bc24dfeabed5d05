"""Payloads, names and listings of Hyperliquid."""

import json
from decimal import Decimal

import pytest

from ops.simulator.feed import Feed
from ops.simulator.hyperliquid import listing, subscriptions, text
from ops.simulator.hyperliquid.subscriptions import Forbidden, Malformed, Subscription
from ops.simulator.hyperliquid.text import Flavour
from ops.simulator.market import SimulatedInstrument, Trade


def feed(market: str = "futures", number: int = 0) -> Feed:
    one = listing.listed(market, 3)[number]
    return Feed(one, SimulatedInstrument(one, seed="7", rate=5), phase=0)


def test_a_book_reads_as_in_the_sheet() -> None:
    frame = text.book(feed(), [(84143, 1025923), (84142, 165875)], [(84144, 5066449)], 1795350000546, Flavour())
    assert json.loads(frame) == {
        "coin": "BTC",
        "time": 1795350000546,
        "levels": [
            [{"px": "84143.0", "sz": "10.25923", "n": 5}, {"px": "84142.0", "sz": "1.65875", "n": 6}],
            [{"px": "84144.0", "sz": "50.66449", "n": 8}],
        ],
    }
    assert json.loads(text.book(feed(), [], [], 1, Flavour(fast=True)))["fast"] is True


def test_whole_numbers_have_one_decimal_and_others_what_they_need() -> None:
    assert [text.size(feed(), lots) for lots in (100_000, 14_280, 1)] == ["1.0", "0.1428", "0.00001"]


def test_every_fill_is_a_trade_and_those_of_one_taker_share_a_hash() -> None:
    one = Trade(price=84143, fills=(36, 5), taker_buys=False, first_id=11, last_id=12, sequence=3)
    first, second = (json.loads(row) for row in text.trades(feed(), [one], 1795350000193))
    assert (first["coin"], first["side"], first["px"], first["sz"]) == ("BTC", "A", "84143.0", "0.00036")
    assert first["hash"] == second["hash"] == f"0x{12:064x}"
    assert first["tid"] != second["tid"]
    assert first["time"] == 1795350000193


def test_steps_are_the_finest_that_are_legal_around_the_price() -> None:
    steps = {one.pair: str(one.tick) for one in listing.listed("futures", 6)}
    assert steps["BTC/USDC"] == "1"
    assert steps["ETH/USDC"] == "0.1"
    assert steps["DOGE/USDC"] == "0.00001"
    assert [listing.size_decimals(one) for one in listing.listed("spot", 2)] == [5, 4, 0, 2]


def test_ids_stay_apart_however_many_pairs_are_listed() -> None:
    for market in ("spot", "futures"):
        listed = listing.listed(market, 600)
        assert len({one.id for one in listed}) == len({one.code for one in listed}) == len(listed)
    tokens = listing.base_tokens(listing.listed("spot", 600))
    assert len({token.index for token in tokens.values()}) == len(tokens)
    assert {listing.dex_of(one) for one in listing.listed("futures", 1)} == {"", "xyz", "km"}


@pytest.mark.parametrize(
    "said, name, echo",
    [
        ({"type": "allMids"}, "allMids", {"type": "allMids"}),
        ({"type": "bbo", "coin": "xyz:TSLA"}, "bbo:xyz:TSLA", {"type": "bbo", "coin": "xyz:TSLA"}),
        (
            {"type": "l2Book", "coin": "BTC", "fast": True},
            "l2Book:BTC:fast",
            {"type": "l2Book", "coin": "BTC", "nSigFigs": None, "mantissa": None, "fast": True},
        ),
        (
            {"type": "l2Book", "coin": "BTC", "nSigFigs": 5, "mantissa": 2},
            "l2Book:BTC:5:2",
            {"type": "l2Book", "coin": "BTC", "nSigFigs": 5, "mantissa": 2, "fast": False},
        ),
    ],
)
def test_a_subscription_is_echoed_with_its_defaults(
    said: dict[str, object], name: str, echo: dict[str, object]
) -> None:
    subscription = subscriptions.read(said)
    assert subscription.name == name
    assert json.loads(subscription.echo()) == echo


def test_a_flavour_that_is_asked_in_words_is_the_same_as_the_default() -> None:
    spoken = subscriptions.read({"type": "l2Book", "coin": "BTC", "fast": False, "nSigFigs": None})
    assert spoken == subscriptions.read({"type": "l2Book", "coin": "BTC"}) == Subscription("l2Book", "BTC")


def test_what_cannot_be_read_and_what_must_not_be_asked_are_two_things() -> None:
    for malformed in (None, [], {}, {"type": "bbo"}, {"type": "l2Book", "coin": "BTC", "nSigFigs": True}):
        with pytest.raises(Malformed):
            subscriptions.read(malformed)
    for forbidden in ({"nSigFigs": 6}, {"nSigFigs": 5, "mantissa": 3}, {"mantissa": 1}):
        with pytest.raises(Forbidden):
            subscriptions.read({"type": "l2Book", "coin": "BTC", **forbidden})


def test_a_coarse_book_keeps_every_size() -> None:
    one = feed()
    _, bids, asks = one.instrument.book_at_now()
    book = json.loads(text.book(one, bids, asks, 1, Flavour(figures=2)))
    shown = sum(Decimal(row["sz"]) for row in book["levels"][0])
    assert shown == sum(lots for _, lots in bids) * one.listing.lot
