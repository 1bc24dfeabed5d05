"""The present books of the traded pairs. No history: a trader that was busy sees the newest state, not what it missed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from books.events import Event
from fleet.clock import WallMs, wall_us
from fleet.pair import Pair
from trader.strategy import BookView


class Change(Protocol):
    """What `books.live.follow` yields; `event` None: only the view's status changed."""

    @property
    def event(self) -> Event | None: ...
    @property
    def view(self) -> BookView: ...


Follow = Callable[[Sequence[Pair]], AsyncIterator[Change]]


@dataclass(slots=True)
class Seen:
    """A view and when anything was last heard of its pair, quiet Marks included. Unix µs."""

    view: BookView
    heard_us: int


class Inbox:
    """Pairs that changed since last asked, for one account."""

    def __init__(self) -> None:
        self._dirty: set[Pair] = set()
        self._ready = asyncio.Event()

    def put(self, pair: Pair) -> None:
        self._dirty.add(pair)
        self._ready.set()

    def wake(self) -> None:
        """End the wait without a pair."""
        self._ready.set()

    async def take(self, timeout_s: float) -> set[Pair]:
        """Wait for a change, at most so long, and take all pairs that changed."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._ready.wait()
        except TimeoutError:
            pass
        self._ready.clear()
        taken, self._dirty = self._dirty, set()
        return taken


class Market:
    """Follows the pairs it was told to, and tells those who subscribed."""

    def __init__(self, follow: Follow, *, clock: WallMs = wall_us) -> None:
        self.seen: dict[Pair, Seen] = {}
        self._follow = follow
        self._clock = clock
        self._pairs: frozenset[Pair] = frozenset()
        self._changed = asyncio.Event()
        self._inboxes: list[Inbox] = []

    def set_pairs(self, pairs: frozenset[Pair]) -> None:
        """Follow these from now on. Books of pairs that stay are read anew; that takes some milliseconds."""
        if pairs != self._pairs:
            self._pairs = pairs
            self._changed.set()

    def subscribe(self) -> Inbox:
        """An inbox that hears of every pair that changes."""
        inbox = Inbox()
        self._inboxes.append(inbox)
        return inbox

    def unsubscribe(self, inbox: Inbox) -> None:
        """Tell it no more."""
        self._inboxes.remove(inbox)

    async def run(self) -> None:
        """Until cancelled. Raises what `follow` raises."""
        while True:
            self._changed.clear()
            self.seen.clear()
            async with asyncio.TaskGroup() as group:
                following = group.create_task(self._read(sorted(self._pairs)), name="trader market")
                await self._changed.wait()
                following.cancel()

    async def _read(self, pairs: list[Pair]) -> None:
        if not pairs:
            return
        async with aclosing(self._follow(pairs)) as changes:  # type: ignore[type-var]
            async for change in changes:
                self._take(change)

    def _take(self, change: Change) -> None:
        pair = change.view.pair
        seen = self.seen.get(pair)
        # a book first read from the hashes tells of the past (Marks are not in it), but its owner is alive right now
        heard_us = self._clock() if seen is None else seen.heard_us
        if change.event is not None:
            heard_us = max(heard_us, change.event.received_us)
        self.seen[pair] = Seen(change.view, heard_us)
        for inbox in self._inboxes:
            inbox.put(pair)
