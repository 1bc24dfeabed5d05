"""What is wrong with a fleet at the end of a chaos run: pairs, books, processes, and the recorded history."""

import asyncio
from typing import TYPE_CHECKING

import httpx

from books.store import load_book
from feeds import venues
from fleet import clock
from fleet.pair import Pair
from ops.chaos.late import Late
from ops.chaos.records import DEPTH
from ops.chaos.truth import difference

if TYPE_CHECKING:
    from ops.chaos.fleet import ChaosFleet

STOP_S = 15.0  # a daemon's own deadline is 10 s
EQUAL_POLL_S = 0.1
SHOWN = 5  # of many alike


async def judge(fleet: "ChaosFleet") -> list[str]:
    """Pairs not live, books that are not the venue's, daemons that could not end in order, errors that nobody expected,
    and every breach of an invariant in the recorded history. The daemons have ended after it."""
    found = []
    try:
        await fleet.wait_live()
        found += await compare_books(fleet)
    except Late as late:
        found.append(f"at the end: {late}")
    found += await broken_limits(fleet)
    found += await stop_daemons(fleet)
    return found + _few(await fleet.records.check(), "breaches of an invariant")


async def compare_books(fleet: "ChaosFleet") -> list[str]:
    """Stop the markets, and wait until every book is the venue's, level by level; which ones are not, and where."""
    await fleet.venues.freeze()
    until_ms = clock.mono_ms() + fleet.scale.settle_s * 1000
    different = await _differences(fleet, fleet.pairs)
    while different and clock.mono_ms() < until_ms:
        await asyncio.sleep(EQUAL_POLL_S)
        different = await _differences(fleet, tuple(different))
    await fleet.venues.thaw()
    return _few([f"{pair}: our book is not the venue's: {text}" for pair, text in different.items()], "books")


async def broken_limits(fleet: "ChaosFleet") -> list[str]:
    """What the simulated venues saw of requests and connections beyond their limits."""
    try:
        counted = await fleet.venues.stats()
    except httpx.HTTPError as error:
        return [f"the venues do not say what they counted: {error}"]
    return [
        f"{venue} {market}: {count} × beyond the venue's limit: {name}"
        for (venue, market), row in counted.items()
        for name, count in sorted(row["limit_breaches"].items())
    ]


async def stop_daemons(fleet: "ChaosFleet") -> list[str]:
    """SIGTERM to all at once; what is wrong with how they ended and with what they ever said."""
    found = []
    for daemon in fleet.running:
        daemon.resume()
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


def _few(told: list[str], what: str) -> list[str]:
    return told if len(told) <= SHOWN else [*told[:SHOWN], f"… and {len(told) - SHOWN} more {what}"]
