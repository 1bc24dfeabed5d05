"""What the simulated HTX prints and lists, and the windows of its books."""

import random
from decimal import Decimal

import pytest

from ops.simulator.catalogue import Listing
from ops.simulator.htx.listing import listed
from ops.simulator.htx.text import as_double
from ops.simulator.htx.view import View
from ops.simulator.market import SimulatedInstrument


@pytest.mark.parametrize(
    "text,printed",
    [
        ("0", "0.0"), ("2", "2.0"), ("645.14", "645.14"), ("0.000533", "5.33E-4"), ("0.00000001", "1.0E-8"),
        ("0.00000000009486", "9.486E-11"), ("0.001", "0.001"), ("818158859.8785326", "8.181588598785326E8"),
        ("10000000", "1.0E7"), ("9999999", "9999999.0"), ("12.500", "12.5"),
    ],
)  # fmt: skip
def test_spot_prints_doubles_as_java_does(text: str, printed: str) -> None:
    assert as_double(text) == printed
    assert Decimal(printed) == Decimal(text)


@pytest.mark.parametrize("market", ["spot", "futures"])
def test_ids_have_the_venues_form(market: str) -> None:
    listings = {listing.id: listing for listing in listed(market, 30)}
    assert ("btcusdt" if market == "spot" else "BTC-USDT") in listings
    assert ("sim029usdt" if market == "spot" else "SIM029-USDT") in listings
    for listing in listings.values():
        assert listing.id == (listing.id.lower() if market == "spot" else listing.id.upper())
        assert listing.tick > 0
        assert listing.price / float(listing.tick) > 1000


def test_a_contract_is_not_a_coin() -> None:
    assert {str(listing.contract_value) for listing in listed("futures", 10)} > {"0.001", "10", "100"}
    assert all(listing.lot == 1 for listing in listed("futures", 10))


def instrument(seed: str) -> SimulatedInstrument:
    listing: Listing = listed("spot", 1)[0]
    return SimulatedInstrument(listing, seed=seed, rate=50, levels=60)


def window(market: SimulatedInstrument, depth: int) -> tuple[dict[int, int], dict[int, int]]:
    return dict(market.bids.top(depth)), dict(market.asks.top(depth))


@pytest.mark.parametrize("seed", range(5))
def test_a_view_tells_its_window_exactly_even_to_who_joins_inside_a_message(seed: int) -> None:
    market, rng = instrument(str(seed)), random.Random(seed)
    view = View(market, 20)
    books = [window(market, 20)]
    interval = 0
    for _ in range(60):
        joined = []
        for _ in range(rng.randrange(1, 4)):  # the market moves several times between two messages
            interval += 1
            market.trade_half(interval)
            market.quote_half()
            if rng.random() < 0.3:  # somebody asks for a snapshot in between
                bids, asks = market.bids.top(20), market.asks.top(20)
                view.told(bids, asks)
                joined.append((dict(bids), dict(asks)))
        delta = view.take(market)
        books += joined
        if delta is None:
            assert all(book == window(market, 20) for book in books)
            continue
        assert delta.last == market.sequence
        for bids, asks in books:
            for side, changes in ((bids, delta.bids), (asks, delta.asks)):
                for price, lots in changes.items():
                    side.pop(price, None)
                    if lots:
                        side[price] = lots
            assert (bids, asks) == window(market, 20)
    assert len(books) > 10


def test_messages_of_a_view_are_a_chain_and_only_levels_beyond_it_give_an_empty_one() -> None:
    market = instrument("chain")
    view = View(market, 5)
    assert view.take(market) is None
    last, empty = market.sequence, 0
    for _ in range(100):
        market.skip()
        delta = view.take(market)
        if delta is not None:
            assert delta.previous == last
            last = delta.last
            empty += not delta.bids and not delta.asks
    assert empty > 0
    nothing = view.nothing()
    assert (nothing.previous, nothing.last, nothing.bids, nothing.asks) == (last, last + 1, {}, {})
