"""PURE. The last trades of every market: what a subscription begins with, and REST shows."""

from collections import deque

from ops.simulator.coinex import text as coinex_text
from ops.simulator.feed import Feed
from ops.simulator.market import HalfStep

REMEMBERED = 100


class Trades:
    """By market id. Entries are finished text, oldest first."""

    def __init__(self) -> None:
        self._recent: dict[str, deque[str]] = {}
        self._last: dict[str, int] = {}  # price in ticks

    def take(self, feed: Feed, half: HalfStep, wall_ms: int) -> list[str]:
        """Remember what half an interval traded: a deal for each maker hit. Oldest first."""
        new: list[str] = []
        for trade in half.trades:
            self._last[feed.listing.id] = trade.price
            for number, lots in enumerate(trade.fills):
                deal_id = trade.first_id + number
                new.append(coinex_text.deal(feed, deal_id, trade.price, lots, wall_ms, taker_buys=trade.taker_buys))
        if new:
            self._recent.setdefault(feed.listing.id, deque(maxlen=REMEMBERED)).extend(new)
        return new

    def recent(self, feed: Feed) -> list[str]:
        """Newest first."""
        return list(reversed(self._recent.get(feed.listing.id, ())))

    def last_price(self, feed: Feed) -> str:
        """Of the last trade; before the first one the best bid."""
        return feed.price_text(self._last.get(feed.listing.id, feed.instrument.bids.best))
