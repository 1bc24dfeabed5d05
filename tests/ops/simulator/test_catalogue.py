"""What the simulated venues list."""

import pytest

from fleet.errors import ConfigError
from ops.simulator import registry
from ops.simulator.registry import VENUE_MARKETS, listings


@pytest.mark.parametrize("count", [1, 20, 60])
@pytest.mark.parametrize("venue,market", VENUE_MARKETS)
def test_every_market_lists_the_same_pairs(venue: str, market: str, count: int) -> None:
    listed = listings(venue, market, count)
    assert [listing.pair for listing in listed[:count]] == registry.pairs(venue, market, count)
    assert all(listing.trading for listing in listed[:count])
    assert len({listing.pair for listing in listed}) == len(listed)


@pytest.mark.parametrize("venue,market", VENUE_MARKETS)
def test_every_market_lists_what_clients_must_refuse(venue: str, market: str) -> None:
    kinds = {listing.kind for listing in listings(venue, market, 3)}
    assert not all(listing.trading for listing in listings(venue, market, 3))
    assert kinds == {"spot"} if market == "spot" else "linear" in kinds


def test_ids_and_codes_are_unique() -> None:
    for venue, market in VENUE_MARKETS:
        listed = listings(venue, market, 80)
        assert len({listing.id for listing in listed}) == len(listed)
        if venue == "okx":
            assert len({listing.code for listing in listed}) == len(listed)


def test_contracts_of_swaps_are_not_coins() -> None:
    values = {float(listing.contract_value) for listing in listings("okx", "futures", 20)}
    assert {0.01, 0.1, 100.0, 1000.0} <= values


def test_an_unknown_venue_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ConfigError, match="kraken spot; there are: binance spot, binance futures, okx spot"):
        listings("kraken", "spot", 3)
    with pytest.raises(ConfigError, match="expected at least 1"):
        listings("okx", "spot", 0)
