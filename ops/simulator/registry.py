"""PURE. The simulated venue-markets: an explicit list. A new venue is a package of its own and its lines here."""

from fleet.errors import ConfigError
from ops.simulator import catalogue
from ops.simulator.binance.public import BinancePublic
from ops.simulator.bybit.public import BybitPublic
from ops.simulator.catalogue import Listing
from ops.simulator.coinex.public import CoinExPublic
from ops.simulator.htx.spot import HtxSpotPublic
from ops.simulator.htx.swap import HtxSwapPublic
from ops.simulator.hyperliquid.public import HyperliquidPublic
from ops.simulator.kucoin.public import KucoinClassicPublic, KucoinPublic
from ops.simulator.mexc.contract_public import MexcContractPublic
from ops.simulator.mexc.spot_public import MexcSpotPublic
from ops.simulator.okx.public import OkxPublic
from ops.simulator.venue import Venue

SIMULATED: dict[tuple[str, str], type[Venue]] = {
    ("binance", "spot"): BinancePublic,
    ("binance", "futures"): BinancePublic,
    ("okx", "spot"): OkxPublic,
    ("okx", "futures"): OkxPublic,
    ("bybit", "spot"): BybitPublic,
    ("bybit", "futures"): BybitPublic,
    ("kucoin", "spot"): KucoinPublic,
    ("kucoin", "futures"): KucoinPublic,
    ("kucoin_classic", "spot"): KucoinClassicPublic,
    ("kucoin_classic", "futures"): KucoinClassicPublic,
    ("coinex", "spot"): CoinExPublic,
    ("coinex", "futures"): CoinExPublic,
    ("mexc", "spot"): MexcSpotPublic,
    ("mexc", "futures"): MexcContractPublic,
    ("htx", "spot"): HtxSpotPublic,
    ("htx", "futures"): HtxSwapPublic,
    ("hyperliquid", "spot"): HyperliquidPublic,
    ("hyperliquid", "futures"): HyperliquidPublic,
}
VENUE_MARKETS: tuple[tuple[str, str], ...] = tuple(SIMULATED)


def find(venue: str, market: str) -> type[Venue]:
    """The simulated venue. Raises ConfigError for one that has no simulator."""
    found = SIMULATED.get((venue, market))
    if found is None:
        known = ", ".join(f"{v} {m}" for v, m in VENUE_MARKETS)
        raise ConfigError(f"no simulator for {venue} {market}; there are: {known}")
    return found


def listings(venue: str, market: str, count: int) -> list[Listing]:
    """Everything that `venue` lists on `market`: `count` trading pairs first, then what clients must refuse.

    Raises ConfigError for a venue-market that has no simulator.
    """
    simulated = find(venue, market)
    catalogue.pairs(count)  # raises for a count that cannot be
    return simulated.listed(market, count)


def pairs(venue: str, market: str, count: int) -> list[str]:
    """The trading pairs of a venue-market, BASE/QUOTE."""
    return catalogue.pairs(count, find(venue, market).quote)
