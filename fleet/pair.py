"""A pair: venue, market and BASE/QUOTE. The one identity that tasks, leases, books and history share."""

import re
from typing import NamedTuple

from fleet.errors import ConfigError

MARKETS = ("spot", "futures")
DEPTHS = ("bbo", "20", "50", "full")
CHANNELS = ("book", "bbo", "trades")

_PAIR_TEXT = re.compile(r"[^\s:/{}]{1,30}/[^\s:/{}]{1,20}")
_VENUE_TEXT = re.compile(r"[a-z0-9_]{1,24}")


class Pair(NamedTuple):
    """(futures, BASE/QUOTE) is the linear perpetual settled in QUOTE."""

    venue: str
    market: str
    pair: str

    @property
    def label(self) -> str:
        """`VENUE:MARKET:PAIR`, the `k` of every stream entry and the field of the tail hash."""
        return f"{self.venue}:{self.market}:{self.pair}"

    def __str__(self) -> str:
        return self.label


def parse_pair(venue: str, market: str, pair: str) -> Pair:
    """Check the form of user text (case is mended). Raises ConfigError; whether the venue exists is asked elsewhere."""
    venue, market, pair = venue.strip().lower(), market.strip().lower(), pair.strip().upper()
    if not _VENUE_TEXT.fullmatch(venue):
        raise ConfigError(f"venue {venue!r}: expected a name of letters and digits, such as binance")
    if market not in MARKETS:
        raise ConfigError(f"market {market!r}: expected spot or futures")
    if not _PAIR_TEXT.fullmatch(pair):
        raise ConfigError(f"pair {pair!r}: expected BASE/QUOTE, such as BTC/USDT")
    return Pair(venue, market, pair)


def parse_label(label: str) -> Pair:
    """Undo `Pair.label`. Raises ConfigError for text that is no label."""
    parts = label.split(":", 2)
    if len(parts) != 3:
        raise ConfigError(f"label {label!r}: expected VENUE:MARKET:PAIR")
    return Pair(*parts)
