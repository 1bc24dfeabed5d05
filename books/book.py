"""PURE. One order book: exact decimal text in, best prices always at hand.

Two dicts price → amount hold the levels. Best prices come from a heap a side with lazy deletion: a new price is pushed, a
deleted one stays until it reaches the top, and is not pushed again when it comes back before that (most do: levels near the
touch come and go). So a change costs a dict write and a look-up; sorting happens when somebody asks for the top N. (A sorted
list or SortedDict costs three to five times as much a message, and most messages are followed by a look at the best only.)
"""

import heapq
from collections.abc import Mapping

from books.events import BookEvent, Delta, Levels, Snapshot

Level = tuple[str, str]
_DEAD = 64  # deleted prices kept in a heap, and a quarter of the levels: 200 bytes each, for as long as they lie there


class _Side:
    """One side; `sign` is -1 for bids (highest first), 1 for asks."""

    __slots__ = ("_heap", "_ranked", "_sign", "levels")

    def __init__(self, sign: int) -> None:
        self.levels: dict[str, str] = {}
        self._sign = sign
        self._heap: list[tuple[float, str]] = []
        self._ranked: set[str] = set()  # the prices in the heap

    def replace(self, levels: Levels) -> None:
        self.levels = {price: amount for price, amount in levels.items() if amount != "0"}
        self._rebuild()

    def _rebuild(self) -> None:
        sign = self._sign
        self._heap = [(sign * float(price), price) for price in self.levels]
        heapq.heapify(self._heap)
        self._ranked = set(self.levels)

    def apply(self, levels: Levels) -> None:
        held, ranked = self.levels, self._ranked
        for price, amount in levels.items():
            if amount == "0":
                held.pop(price, None)
            else:
                held[price] = amount
                if price not in ranked:
                    ranked.add(price)
                    heapq.heappush(self._heap, (self._sign * float(price), price))
        if len(ranked) > len(held) + len(held) // 4 + _DEAD:
            self._rebuild()

    def best(self) -> Level | None:
        held, heap = self.levels, self._heap
        while heap:
            price = heap[0][1]
            amount = held.get(price)
            if amount is not None:
                return price, amount
            heapq.heappop(heap)
            self._ranked.discard(price)
        return None

    def best_rank(self) -> float | None:
        """The best price as a float for comparing, not for showing."""
        return None if self.best() is None else self._sign * self._heap[0][0]

    def top(self, count: int | None) -> list[Level]:
        if count is None or count >= len(self.levels):
            ordered = sorted(self.levels, key=lambda price: self._sign * float(price))
        else:
            ordered = heapq.nsmallest(count, self.levels, key=lambda price: self._sign * float(price))
        return [(price, self.levels[price]) for price in ordered]


class Book:
    """The levels of a pair. Keys are canonical decimal text (`books.decimals.canonical`)."""

    __slots__ = ("_asks", "_bids")

    def __init__(self) -> None:
        self._bids = _Side(-1)
        self._asks = _Side(1)

    def __repr__(self) -> str:
        return f"<Book {len(self.bids)} bids, {len(self.asks)} asks, best {self.best_bid()} / {self.best_ask()}>"

    @property
    def bids(self) -> Mapping[str, str]:
        """Price → amount, in no order."""
        return self._bids.levels

    @property
    def asks(self) -> Mapping[str, str]:
        """Price → amount, in no order."""
        return self._asks.levels

    def apply(self, event: BookEvent) -> None:
        """Snapshot: replace. Delta: amounts are absolute, `0` deletes, an unknown deletion is no error. Reset: empty."""
        if isinstance(event, Delta):
            if event.bids:
                self._bids.apply(event.bids)
            if event.asks:
                self._asks.apply(event.asks)
        elif isinstance(event, Snapshot):
            self._bids.replace(event.bids)
            self._asks.replace(event.asks)
        else:
            self.clear()

    def clear(self) -> None:
        """Forget every level."""
        self._bids.replace({})
        self._asks.replace({})

    def best_bid(self) -> Level | None:
        """Highest bid (price, amount), None when there is none."""
        return self._bids.best()

    def best_ask(self) -> Level | None:
        """Lowest ask (price, amount), None when there is none."""
        return self._asks.best()

    def crossed(self) -> bool:
        """Whether the best bid is at or above the best ask: no venue's real book is."""
        bid, ask = self._bids.best_rank(), self._asks.best_rank()
        return bid is not None and ask is not None and bid >= ask

    def top(self, count: int | None = None) -> tuple[list[Level], list[Level]]:
        """The best `count` levels a side, best first; None: all."""
        return self._bids.top(count), self._asks.top(count)


def difference(old: Mapping[str, str], new: Levels) -> dict[str, str]:
    """What turns `old` into `new`: changed and new levels, and `0` for those gone."""
    changes = {price: amount for price, amount in new.items() if old.get(price) != amount and amount != "0"}
    changes.update((price, "0") for price in old if new.get(price, "0") == "0")
    return changes
