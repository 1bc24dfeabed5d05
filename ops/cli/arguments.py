"""Arguments that many commands share, and the check of user text against what this program knows."""

import difflib
from collections.abc import Iterable
from typing import Annotated

import typer

from fleet.errors import ConfigError
from fleet.pair import Pair, parse_pair

Venue = Annotated[str, typer.Argument(metavar="VENUE", help="binance, bybit, okx, …", show_default=False)]
Market = Annotated[str, typer.Argument(metavar="MARKET", help="spot or futures", show_default=False)]
PairText = Annotated[str, typer.Argument(metavar="PAIR", help="BASE/QUOTE, such as BTC/USDT", show_default=False)]
Pairs = Annotated[list[str], typer.Argument(metavar="PAIR…", help="BASE/QUOTE, one or more", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="print JSON and nothing else")]


def known_pair(venue: str, market: str, pair: str) -> Pair:
    """The pair a user means. Raises ConfigError for a wrong form and for a venue × market that this program does not know."""
    from feeds import venues

    asked = parse_pair(venue, market, pair)
    venues.find(asked.venue, asked.market)
    return asked


def one_of(what: str, text: str, known: Iterable[str]) -> str:
    """`text`, when it is one of `known`. Raises ConfigError that names the nearest right word, or all of them."""
    names = sorted(known)
    if text in names:
        return text
    near = difflib.get_close_matches(text, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ConfigError(f"unknown {what} {text[:60]!r}: {hint}known are {', '.join(names) or 'none'}")
