"""PURE. The venues we know: an explicit registry. A new venue is a package of its own and its name here, twice.

A venue's package has MARKETS, its venue × market objects, which is what a daemon uses (`find`); and where recordings hold
message versions that the venue no longer sends, HISTORY, the same with the rules of that time (`history`).
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from feeds.venue import Venue
from feeds.venues import (
    binance,
    bybit,
    coinex,
    htx,
    hyperliquid,
    kucoin,
    kucoin_classic,
    kucoin_recordings,
    mexc,
    okx,
)
from feeds.venues.history import History, Verifier
from fleet.errors import ConfigError

__all__ = ["VENUES", "History", "Verifier", "find", "history", "names"]

_MARKETS: Final[tuple[Venue, ...]] = (
    *binance.MARKETS, *bybit.MARKETS, *coinex.MARKETS, *htx.MARKETS, *hyperliquid.MARKETS, *kucoin.MARKETS,
    *kucoin_classic.MARKETS, *mexc.MARKETS, *okx.MARKETS,
)  # fmt: skip
_HISTORIES: Final[tuple[History, ...]] = (*kucoin_recordings.HISTORY, *okx.HISTORY)

VENUES: Final[Mapping[tuple[str, str], Venue]] = {(venue.name, venue.market): venue for venue in _MARKETS}
_HISTORY: Final = {(each.venue.name, each.venue.market): each for each in _HISTORIES}


def names() -> list[tuple[str, str]]:
    """Every (venue, market), sorted."""
    return sorted(VENUES)


def find(venue: str, market: str) -> Venue:
    """The venue object. Raises ConfigError with the nearest right name."""
    known = VENUES.get((venue, market))
    if known is not None:
        return known
    markets = [each for name, each in names() if name == venue]
    if markets:
        raise ConfigError(f"market {market!r} of {venue}: expected {' or '.join(markets)}")
    venues = sorted({name for name, _ in names()})
    near = get_close_matches(venue.lower(), venues, n=1)
    mend = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(venues)}"
    raise ConfigError(f"venue {venue!r} is not known: {mend}")


def history(venue: str, market: str) -> History:
    """How its recordings are replayed. Raises ConfigError as `find` does."""
    return _HISTORY.get((venue, market)) or History(find(venue, market))
