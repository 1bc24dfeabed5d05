"""What is wrong with a fleet at the end of a chaos run: pairs, books, processes, and the recorded history."""

import asyncio
from typing import TYPE_CHECKING

from books.store import load_book
from feeds import venues
from fleet import clock
from fleet.pair import Pair
from fleet.supervisor import CANCEL_GRACE_S, STOP_TIMEOUT_MS
from ops.chaos.late import Late, few
from ops.chaos.records import DEPTH
from ops.chaos.truth import difference

if TYPE_CHECKING:
    from ops.chaos.fleet import ChaosFleet

STOP_S = STOP_TIMEOUT_MS / 1000 + CANCEL_GRACE_S + 3.0  # beyond a daemon's own deadline
EQUAL_POLL_S = 0.1


async def judge(fleet: "ChaosFleet") -> list[str]:
    """Pairs not live, books that are not the venue's, daemons that could not end in order, errors that nobody expected,
    and every breach of an invariant in the history, if it was recorded. The daemons have ended after it."""
    found = []
    try:
        await fleet.wait_live()
        found += await compare_books(fleet)
    except Late as late:
        found.append(f"at the end: {late}")
    found += await stop_daemons(fleet)
    if not fleet.history:
        return found
    for venue, market in fleet.venues.places:
        fleet.records.note_asked(venue, market, await fleet.venues.requests((venue, market)))
    return found + few(await fleet.records.check(), "breaches of an invariant")


async def compare_books(fleet: "ChaosFleet") -> list[str]:
    """Stop the markets, and wait until every book is the venue's, level by level; which ones are not, and where."""
    await fleet.venues.freeze()
    until_ms = clock.mono_ms() + fleet.scale.settle_s * 1000
    different = await _differences(fleet, fleet.pairs)
    while different and clock.mono_ms() < until_ms:
        await asyncio.sleep(EQUAL_POLL_S)
        different = await _differences(fleet, tuple(different))
    await fleet.venues.thaw()
    return few([f"{pair}: our book is not the venue's: {text}" for pair, text in different.items()], "books")


async def over_limits(fleet: "ChaosFleet") -> dict[str, int]:
    """How often each simulated venue saw requests or connections beyond one of its limits, by venue, market and limit.

    A venue stamps a request when it reads it. What it read while its own loop was behind is left out: on a busy machine
    requests that were sent evenly are then read at once. So are pings of theirs that had no answer: behind a cut nobody could
    give one, and who forgets them loses his connection. Raises httpx.HTTPError when the venues do not answer.
    """
    counted = await fleet.venues.stats()
    return {
        f"{venue} {market}, {name}": count - row["read_late"].get(name, 0)
        for (venue, market), row in counted.items()
        for name, count in sorted(row["limit_breaches"].items())
        if name != "pong" and count > row["read_late"].get(name, 0)
    }


async def stop_daemons(fleet: "ChaosFleet") -> list[str]:
    """SIGTERM to all at once; what is wrong with how they ended and with what they ever said."""
    found = []
    for daemon in fleet.running:
        daemon.resume()
        try:
            await daemon.introduced()  # before it can take a signal, SIGTERM ends it as it ends any process
        except Late as late:
            found.append(str(late))
        daemon.terminate()
    for daemon in fleet.daemons:
        try:
            await daemon.ended(STOP_S)
        except Late:
            found.append(f"{daemon.name} did not end within {STOP_S:g} s of SIGTERM")
    return found + [text for daemon in fleet.daemons for text in daemon.complaints()]


async def _differences(fleet: "ChaosFleet", pairs: tuple[Pair, ...]) -> dict[Pair, str]:
    found = {}
    for pair in pairs:
        book = await load_book(fleet.redis, fleet.keys, pair)
        window = venues.find(pair.venue, pair.market).book_channel(DEPTH).depth
        depth = min(int(window), int(DEPTH)) if window.isdecimal() else int(DEPTH)
        told = difference((book.bids, book.asks), await fleet.venues.truth(pair), depth)
        if told or not book.live:
            found[pair] = told or f"it is {book.status}"
    return found
