"""PURE. The venues we know: an explicit registry. A new venue is one module (or a few of its prefix) and its lines here.

`find` gives what a daemon uses. `history` gives what a replay of recordings uses: the same venue, where need be with the
rules of message versions that the venue no longer sends, and what verifies them.
"""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Final, NamedTuple, Protocol

from feeds.venue import Venue
from feeds.venues.binance_futures import BinanceFutures
from feeds.venues.binance_spot import BinanceSpot
from feeds.venues.okx import Okx
from feeds.venues.okx_checksum import ChecksumVerifier
from fleet.errors import ConfigError

VENUES: Final[Mapping[tuple[str, str], Venue]] = {
    ("binance", "spot"): BinanceSpot(),
    ("binance", "futures"): BinanceFutures(),
    ("okx", "spot"): Okx("spot"),
    ("okx", "futures"): Okx("futures"),
}


class Verifier(Protocol):
    """Proves books of a recording by something that stands in its frames beside sequences."""

    verified: int
    failures: int

    def check(self, frame: str | bytes) -> None:
        """Look at the next frame."""
        ...


class History(NamedTuple):
    """How recordings of a venue are replayed."""

    venue: Venue
    verifier: Callable[[], Verifier] | None = None


_HISTORY: Final[Mapping[tuple[str, str], History]] = {
    ("okx", "spot"): History(Okx("spot", history=True), ChecksumVerifier),
    ("okx", "futures"): History(Okx("futures", history=True), ChecksumVerifier),
}


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
