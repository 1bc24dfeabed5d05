"""`fleet book`, `fleet key`, `fleet watch`: one pair, for people and for pipes."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fleet.errors import FleetError, NotLive
from fleet.pair import Pair
from ops.cli import output, session
from ops.cli.arguments import Json, Market, PairText, Venue, known_pair

if TYPE_CHECKING:
    from books.loaded import LoadedBook
    from fleet.config import Settings
    from ops.status import PairStatus

SHOWN_LEVELS = 15  # a side, for people who did not say how many
SHOWN_COLUMNS = 100  # longer bars say nothing more

Depth = Annotated[int | None, typer.Option("--depth", min=1, metavar="N", help="levels a side; JSON: all by default")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="end after N events")]
Seconds = Annotated[float | None, typer.Option("--seconds", min=0.0, metavar="S", help="end after S seconds")]


def book(venue: Venue, market: Market, pair: PairText, depth: Depth = None, as_json: Json = False) -> None:
    """One order book as it stands in Redis. Exit code 3 unless it is live.

    With --json a book that is not live is printed with its status and without levels.
    """
    asked = known_pair(venue, market, pair)
    found, said = session.run(_load(session.settings(), asked))
    if as_json:
        output.print_json(book_json(found, depth))
    if not found.live:
        raise NotLive(not_live_text(found, said))
    if not as_json:
        from rich.console import Group

        from ops import ladder

        width = min(output.console().width, SHOWN_COLUMNS)
        output.show(Group(ladder.heading(found, width), ladder.ladder(found, depth or SHOWN_LEVELS, width)))


async def _load(known: "Settings", pair: Pair) -> "tuple[LoadedBook, PairStatus | None]":
    """The book and, unless it is live, what the fleet says of the pair."""
    from books.store import load_book
    from ops.observer import Observer

    async with session.fleet_session(known) as fleet:
        found = await load_book(fleet.redis, fleet.keys, pair)
        if found.live:
            return found, None
        return found, (await Observer(fleet.redis, fleet.keys).observe()).find(pair)


def book_json(found: "LoadedBook", depth: int | None) -> dict[str, Any]:
    """The shape of `fleet book --json`: levels best first, exact decimal text; none unless the book is live."""
    from ops import ladder

    return {
        "venue": found.pair.venue,
        "market": found.pair.market,
        "pair": found.pair.pair,
        "status": found.status,
        "bids": ladder.bids_best_first(found.bids, depth) if found.live else [],
        "asks": ladder.asks_best_first(found.asks, depth) if found.live else [],
        "sequence": found.sequence,
        "n": found.n,
        "epoch": found.epoch,
        "owner": found.owner,
        "age_ms": found.age_ms,
        "venue_ms": found.venue_ms,
        "received_us": found.received_us,
        "published_ms": found.published_ms,
        "depth": found.depth,
        "bbo": dict(found.bbo),
    }


def not_live_text(found: "LoadedBook", said: "PairStatus | None" = None) -> str:
    """Why a book cannot be used, and what to look at. `said`: what the fleet says of the pair."""
    from ops import shown

    name = f"{found.pair.venue} {found.pair.market} {found.pair.pair}"
    if said is not None and said.reason and found.status != "stale":
        return f"{name} is {said.status}: {said.reason}"
    if found.status == "missing":
        return f"{name} is missing: no daemon keeps this book; see `fleet tasks list` and `fleet status`"
    if found.status == "stale":
        why = "its owner stopped vouching for it" if found.lease_alive else "no daemon holds its lease"
        return f"{name} is stale: {why}, last proved fresh {shown.age(found.age_ms)} ago; see `fleet status`"
    return f"{name} is not live yet: {found.status} by {found.owner or 'its owner'}; try again in a moment"


def key(venue: Venue, market: Market, pair: PairText) -> None:
    """The Redis key of a pair's book: redis-cli hgetall "$(fleet key binance spot BTC/USDT)"."""
    asked = known_pair(venue, market, pair)
    output.line(session.run(_key(session.settings(), asked)))


async def _key(known: "Settings", pair: Pair) -> str:
    from fleet.keys import Keys

    try:
        async with session.fleet_session(known) as fleet:
            return fleet.keys.book(pair)
    except FleetError as error:
        # the name can be told without a server; it is wrong only where the setting is
        output.note(f"{error} (so the key is made with FLEET_SHARDS={known.shards})")
        return Keys(known.namespace, known.shards).book(pair)


def watch(
    venue: Venue, market: Market, pair: PairText, as_json: Json = False, limit: Limit = None, seconds: Seconds = None
) -> None:
    """Every event of one pair from a snapshot on, a line an event. Ends with Ctrl-C, or when nobody reads any more."""
    from ops import watching

    asked = known_pair(venue, market, pair)
    known = session.settings()
    form = watching.as_json if as_json else watching.as_text
    try:
        session.run(_watch(known, asked, form, limit, seconds))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


async def _watch(known: "Settings", pair: Pair, form: Any, limit: int | None, seconds: float | None) -> None:
    import asyncio

    from books.live import watch as events

    left = limit
    async with session.fleet_session(known) as fleet:
        try:
            async with asyncio.timeout(seconds):
                async for event in events(fleet.redis, fleet.keys, pair):
                    output.line(form(event))
                    if left is not None and (left := left - 1) == 0:
                        return
        except TimeoutError:
            return  # the seconds asked for are over; redis-py's own timeout is another class


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(book)
    app.command()(key)
    app.command()(watch)
