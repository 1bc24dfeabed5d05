"""PURE. What a session remembers of one pair."""

from books.events import Bbo, Snapshot, SnapshotReason, Trade
from feeds.outputs import Fetch
from feeds.pair_feed import PairFeed
from feeds.subscriptions import Subscription
from feeds.venue import Instrument, Topic

TRADES_KNOWN = 2000  # a venue that repeats trades repeats a few dozen at most; the rest is room for busy seconds


def image_of(bbo: Bbo) -> Snapshot:
    """Best prices as the image of a book of one level."""
    return Snapshot(
        pair=bbo.pair,
        received_us=bbo.received_us,
        venue_ms=bbo.venue_ms,
        bids={bbo.bid: bbo.bid_amount} if bbo.bid else {},
        asks={bbo.ask: bbo.ask_amount} if bbo.ask else {},
        reason=SnapshotReason.FIRST,
        sequence=bbo.sequence,
    )


class SessionPair:
    """One pair on a connection."""

    __slots__ = ("_best", "_known_trades", "book", "book_from_bbo", "channels", "depth", "event_ms", "events", "feed", "fetch",
                 "instrument", "topics")  # fmt: skip

    def __init__(self, instrument: Instrument, depth: str, channels: frozenset[str]) -> None:
        self.instrument = instrument
        self.depth = depth
        self.channels = channels
        self.topics: list[Topic] = []
        self.feed: PairFeed | None = None
        self.book: Subscription | None = None
        self.book_from_bbo = False
        self.fetch: Fetch | None = None
        self.events = 0  # of the feed, when last looked at
        self.event_ms = 0.0  # when they had changed, or the last Mark
        self._known_trades: dict[str, None] = {}  # the last ids, oldest first
        self._best: tuple[str, str, str, str] | None = None

    def is_news(self, bbo: Bbo) -> bool:
        """Whether best prices differ from the last ones: some venues repeat them every few milliseconds or seconds."""
        best = (bbo.bid, bbo.bid_amount, bbo.ask, bbo.ask_amount)
        differs, self._best = best != self._best, best
        return differs

    def inherit(self, other: "SessionPair") -> None:
        """Know the trades that another connection has told."""
        self._known_trades = dict(other._known_trades)

    def is_new(self, trade: Trade) -> bool:
        """Whether a trade was not told before, as far as TRADES_KNOWN ids reach. One without an id always is."""
        known = self._known_trades
        if not trade.trade_id:
            return True
        if trade.trade_id in known:
            return False
        known[trade.trade_id] = None
        if len(known) > TRADES_KNOWN:
            del known[next(iter(known))]
        return True
