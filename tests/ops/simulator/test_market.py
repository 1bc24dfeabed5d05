"""The generated market is seeded, exact, never crossed, and alive."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ops.simulator.market import SimulatedInstrument
from ops.simulator.registry import VENUE_MARKETS, listings


def instrument(seed: str = "7", *, number: int = 0, rate: float = 30, levels: int = 400) -> SimulatedInstrument:
    return SimulatedInstrument(listings("binance", "spot", 24)[number], seed=seed, rate=rate, levels=levels)


def live(one: SimulatedInstrument, intervals: int) -> None:
    for number in range(intervals):
        one.trade_half(number)
        one.quote_half()


@settings(max_examples=30, deadline=None)
@given(seed=st.text(max_size=8), number=st.integers(0, 23), rate=st.sampled_from([1, 10, 200]))
def test_a_book_is_never_crossed_locked_or_empty(seed: str, number: int, rate: float) -> None:
    one = instrument(seed, number=number, rate=rate, levels=60)
    for interval in range(150):
        for half in (one.trade_half(interval), one.quote_half()):
            assert one.bids.best < one.asks.best
            assert min(half.bids.values(), default=0) >= 0
        assert 20 <= len(one.bids) <= 61
        assert 20 <= len(one.asks) <= 61


def test_the_same_seed_gives_the_same_market() -> None:
    one, same, other = instrument("a"), instrument("a"), instrument("b")
    for market in (one, same, other):
        live(market, 200)
    assert one.book_at_now() == same.book_at_now()
    assert one.book_at_now() != other.book_at_now()


def test_applying_every_half_step_gives_the_exact_book() -> None:
    one = instrument()
    _, bids, asks = one.book_at_now()
    copy = {"bids": dict(bids), "asks": dict(asks)}
    sequence = one.sequence
    for interval in range(300):
        for half in (one.trade_half(interval), one.quote_half()):
            if half.first:
                assert sequence < half.first <= half.last
                sequence = half.last
            for side, changes in (("bids", half.bids), ("asks", half.asks)):
                copy[side].update(changes)
    sequence_now, bids, asks = one.book_at_now()
    assert sequence_now == sequence
    assert {price: lots for price, lots in copy["bids"].items() if lots} == dict(bids)
    assert {price: lots for price, lots in copy["asks"].items() if lots} == dict(asks)


def test_trades_take_from_the_touch_what_they_print() -> None:
    one = instrument(rate=50)
    swept = 0
    for interval in range(400):
        before = {"bids": dict(one.bids.lots), "asks": dict(one.asks.lots)}
        best = {"bids": one.bids.best, "asks": one.asks.best}
        half = one.trade_half(interval)
        for trade in half.trades:
            side = "asks" if trade.taker_buys else "bids"
            assert trade.price >= best["asks"] if trade.taker_buys else trade.price <= best["bids"]
            assert trade.last_id - trade.first_id + 1 == len(trade.fills)
            before[side][trade.price] -= sum(trade.fills)
            swept += before[side][trade.price] == 0
        assert {p: q for p, q in before["bids"].items() if q} == one.bids.lots
        assert {p: q for p, q in before["asks"].items() if q} == one.asks.lots
        one.quote_half()
    assert swept > 20


def test_the_spread_opens_and_closes_and_the_price_moves() -> None:
    one = instrument(rate=50)
    spreads, middles = set(), set()
    for interval in range(1000):
        one.trade_half(interval)
        one.quote_half()
        spreads.add(one.asks.best - one.bids.best)
        middles.add(one.asks.best)
    assert len(spreads) >= 3
    assert len(middles) > 300
    assert abs(one.asks.best / 6_500_000 - 1) < 0.1


def test_changes_near_the_touch_are_far_more_frequent() -> None:
    one = instrument(rate=50)
    near = far = 0
    for interval in range(300):
        one.trade_half(interval)
        touch = one.bids.best
        near_edge = one.bids.at_rank(min(40, len(one.bids) - 1))
        half = one.quote_half()
        near += sum(near_edge <= price <= touch for price in half.bids)
        far += sum(price < near_edge for price in half.bids)
    assert near > 2 * far


def test_some_pairs_are_busy_and_some_are_quiet() -> None:
    rates = {instrument(str(seed), rate=5).rate for seed in range(40)}
    assert min(rates) < 2
    assert max(rates) > 8


@pytest.mark.parametrize("venue,market", VENUE_MARKETS)
def test_the_same_pair_costs_about_the_same_everywhere(venue: str, market: str) -> None:
    for listing in listings(venue, market, 24)[:24]:
        one = SimulatedInstrument(listing, seed=f"{venue}{market}", rate=50)
        reference = SimulatedInstrument(
            next(x for x in listings("binance", "spot", 24) if x.base == listing.base), seed="x", rate=50
        )
        live(one, 60)
        live(reference, 60)
        price = one.bids.best * float(one.listing.tick)
        assert price / (reference.bids.best * float(reference.listing.tick)) == pytest.approx(1, abs=0.02)
