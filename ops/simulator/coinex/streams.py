"""PURE. CoinEx's streams: what the listeners of one window of a book were told, and trades that wait for their batch."""

from dataclasses import dataclass, field

from ops.simulator.feed import Feed, Stream
from ops.simulator.window import Delta

Levels = list[tuple[int, int]]


@dataclass(eq=False, slots=True)
class Depth(Stream):
    """A window of `depth` levels a side. `is_full`: every push is an image. Bids and asks: what listeners hold, ticks → lots."""

    is_full: bool = False
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)

    def look(self, feed: Feed) -> None:
        """Tell everything: the window as it is now."""
        self.bids = dict(feed.instrument.bids.top(self.depth))
        self.asks = dict(feed.instrument.asks.top(self.depth))

    def changes(self, feed: Feed) -> Delta | None:
        """What turns the window that was told into the one of now, leavers with 0; None if they are the same."""
        bids = _difference(self.bids, dict(feed.instrument.bids.top(self.depth)))
        asks = _difference(self.asks, dict(feed.instrument.asks.top(self.depth)))
        return Delta(0, 0, 0, bids, asks) if bids or asks else None

    def tell(self, delta: Delta) -> None:
        """Apply a delta as a listener does, who keeps the best `depth` levels."""
        for side, changed in ((self.bids, delta.bids), (self.asks, delta.asks)):
            for price, lots in changed.items():
                if lots:
                    side[price] = lots
                else:
                    side.pop(price, None)
        self.bids, self.asks = dict(self.best_bids()), dict(self.best_asks())

    def best_bids(self) -> Levels:
        """What was told, best first."""
        return sorted(self.bids.items(), reverse=True)[: self.depth]

    def best_asks(self) -> Levels:
        """What was told, best first."""
        return sorted(self.asks.items())[: self.depth]


@dataclass(eq=False, slots=True)
class Deals(Stream):
    """Trades since the last push, oldest first."""

    waiting: list[str] = field(default_factory=list)


def _difference(told: dict[int, int], now: dict[int, int]) -> dict[int, int]:
    changed = {price: lots for price, lots in now.items() if told.get(price) != lots}
    return changed | {price: 0 for price in told if price not in now}
