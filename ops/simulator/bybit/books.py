"""PURE. The windows that Bybit's book topics show, and how each counts its messages (venues/bybit.md §5.1, §5.2).

Every topic (depth and symbol) has a counter of its own, for all connections together: +1 a message. The venue keeps the top
N: a level that leaves the window is deleted, one that enters is inserted. A level that came and went between two messages is
deleted too, though nobody holds it.
"""

from dataclasses import dataclass, field

from ops.simulator.bybit.text import FULL, Numbers
from ops.simulator.feed import Feed
from ops.simulator.ladder import Ladder
from ops.simulator.window import Delta, DeltaWindow

Side = list[tuple[int, int]]  # price in ticks, size in lots; best first


@dataclass(eq=False, slots=True)
class BookTopic:
    """One book topic: its window as of message `u`. `seen`: the update id of the instrument when last looked at."""

    feed: Feed
    depth: int  # FULL: every level, and `bids` and `asks` stay empty
    u: int
    seq: int = 0  # of the engine, with message `u`
    seen: int = 0
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._show()
        self.seq = self.seen

    @property
    def numbers(self) -> Numbers:
        """Of the last message."""
        return Numbers(self.u, self.seq)

    def window(self) -> tuple[Side, Side]:
        """Both sides of the instrument as they are now, cut to the depth."""
        book = self.feed.instrument
        return _cut(book.bids, self.depth), _cut(book.asks, self.depth)

    def advance(self, changes: DeltaWindow | None) -> Delta | None:
        """Go on to what the instrument is now: the next message, or None if the window did not change. `changes`: what
        listeners were not told yet; None if nobody listens."""
        gathered = None if changes is None else changes.take()
        if self.feed.instrument.sequence == self.seen:
            return None
        seen, bids_before, asks_before = self.seen, self.bids, self.asks
        self._show()
        bids = dict(gathered.bids) if gathered is not None else {}
        asks = dict(gathered.asks) if gathered is not None else {}
        if self.depth != FULL:
            bids = _changed(bids_before, self.bids, bids, is_bid=True)
            asks = _changed(asks_before, self.asks, asks, is_bid=False)
            if not bids and not asks:
                return None
        self.u += 1
        self.seq = self.seen
        return Delta(self.seen, self.seen, seen, bids, asks)

    def restart(self, changes: DeltaWindow | None) -> None:
        """The service restarts: it counts from 1."""
        self.advance(changes)
        self.u, self.seq = 1, self.seen

    def _show(self) -> None:
        self.seen = self.feed.instrument.sequence
        if self.depth != FULL:
            bids, asks = self.window()
            self.bids, self.asks = dict(bids), dict(asks)


def _cut(side: Ladder, depth: int) -> Side:
    return side.top(depth if depth != FULL else len(side))


def _changed(before: dict[int, int], now: dict[int, int], touched: dict[int, int], *, is_bid: bool) -> dict[int, int]:
    """The difference of two windows, and deletes of touched levels that neither holds but that lie inside the window."""
    worst = (min(now) if is_bid else max(now)) if now else 0
    found = {price: lots for price, lots in now.items() if before.get(price) != lots}
    found.update((price, 0) for price in before if price not in now)
    for price in touched:
        inside = price > worst if is_bid else price < worst
        if inside and price not in now and price not in before:
            found[price] = 0
    return found
