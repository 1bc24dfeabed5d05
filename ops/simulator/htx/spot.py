"""HTX spot as a server keeps it (venues/htx.md §2-§6).

`/ws` serves whole images, best prices and trades; `/feed` the incremental `mbp.N` and their snapshots by `req`. A topic is
invalid on the other socket. Changes are cut every 100 ms for everybody alike, so who asks for a snapshot in between
gets one that lies inside a delta.

Not served: `depth.step1` to `step5` (merged prices), klines, `market.tickers`.
"""

from typing import Any

from ops.simulator.feed import Feed, Stream
from ops.simulator.htx import text
from ops.simulator.htx.listing import MAJORS
from ops.simulator.htx.public import HtxPublic, Meaning, Session
from ops.simulator.market import Trade
from ops.simulator.wire import Peer

FEED = "/feed"
_SLOW_MS = 1000.0  # cadence of depth.step0
_INCREMENTAL = {"mbp.5": 5, "mbp.20": 20, "mbp.150": 150, "mbp.400": 400}
_IMAGES = {"mbp.refresh.5": 5, "mbp.refresh.10": 10, "mbp.refresh.20": 20, "depth.step0": 150}
_OTHERS = ("bbo", "trade.detail", "ticker", "detail")


class HtxSpotPublic(HtxPublic):
    """HTX spot."""

    most_levels = 400
    most_pings = 2
    acks_first = True
    paths = ("/ws", FEED)
    request_limits = {"sub": (1, 100.0), "req": (1, 100.0)}  # noqa: RUF012  # never changed

    def greet(self, peer: Peer, request: Any) -> None:
        """§2: one pace for both kinds of request."""
        super().greet(peer, request)
        session: Session = peer.session
        session.limits["req"] = session.limits["sub"]

    def meaning(self, session: Session, word: str, topic: str, request: dict[str, Any]) -> Meaning | str:
        _, _, rest = topic.partition("market.")
        symbol, _, channel = rest.partition(".")
        on_feed = channel in _INCREMENTAL
        served = on_feed or (word != "req" and (channel in _IMAGES or channel in _OTHERS))
        if not served or on_feed is not (session.path == FEED):
            return f"invalid topic {topic}"
        if symbol not in self.listings or (channel in ("mbp.5", "mbp.20") and symbol not in MAJORS):
            return f"invalid {channel}.symbol {symbol}"
        kind = "mbp" if on_feed else "image" if channel in _IMAGES else channel
        depth = _INCREMENTAL.get(channel) or _IMAGES.get(channel, 0)
        return Meaning(topic, self.feed(symbol), topic, kind, depth, is_delta=on_feed)

    def start(self, peer: Peer, feed: Feed, stream: Stream, topic: str) -> None:
        """Changes come when there are some; the rest shows at once what there is. Trades replay the last one (§5.5)."""
        if stream.kind == "mbp":
            self.view_of(feed, stream)
        elif stream.kind == "trade.detail":
            trade, wall_ms = self.last_trade(feed)
            self.first(peer, feed, self.trades(feed, [trade], wall_ms))
        else:
            self.first(peer, feed, self.view(feed, stream, self.wall_ms()))

    def asked(self, meaning: Meaning) -> str:
        """§5.1: the same levels as the topic shows, without prevSeqNum."""
        sequence, bids, asks = self.snapshot(meaning.feed)
        bids, asks = bids[: meaning.depth], asks[: meaning.depth]
        view = self.views.get(meaning.stream)
        if view is not None:
            view.told(bids, asks)
        return text.whole(meaning.feed, sequence, bids, asks)

    def view(self, feed: Feed, stream: Stream, wall_ms: int) -> str:
        book, channel = feed.instrument, stream.name.split(".", 2)[2]
        if channel == "bbo":
            tick = text.spot_bbo(feed, wall_ms)
        elif channel == "ticker":
            tick = text.spot_ticker(feed, wall_ms)
        elif channel == "detail":
            tick = text.spot_detail(feed, wall_ms)
        else:
            bids, asks = book.bids.top(stream.depth), book.asks.top(stream.depth)
            if channel == "depth.step0":
                tick = text.spot_depth(feed, book.sequence, bids, asks, wall_ms)
            else:
                tick = text.whole(feed, book.sequence, bids, asks)
        return text.push(stream.name, tick, wall_ms)

    def trades(self, feed: Feed, made: list[Trade], wall_ms: int) -> str:
        rows = [text.spot_trade(feed, one, wall_ms) for one in made]
        return text.trades(f"market.{feed.listing.id}.trade.detail", rows, made[-1].sequence, wall_ms)

    def publish_book(
        self, feed: Feed, stream: Stream, now_ms: float, wall_ms: int, *, settle: bool, force: bool
    ) -> None:
        """§4: 150 and 400 every 100 ms, 5 and 20 with each change; images when changed."""
        if stream.kind == "mbp":
            if settle or stream.depth < 150:
                self._publish_changes(feed, stream, wall_ms)
            return
        if not settle or stream.sequence == feed.instrument.sequence:
            return
        if stream.name.endswith("depth.step0") and not force:
            if now_ms < stream.due_ms:
                return
            stream.due_ms = now_ms + _SLOW_MS
        self.show(feed, stream, now_ms, wall_ms)

    def _publish_changes(self, feed: Feed, stream: Stream, wall_ms: int) -> None:
        view = self.view_of(feed, stream)
        both = stream.depth >= 150
        if self.maybe_empty(feed, view):
            message = text.mbp(feed, stream.name, view.nothing(), wall_ms, both_sides=both)
            self.deliver(feed, stream, message.encode())
        delta = view.take(feed.instrument)
        if delta is not None:
            message = text.mbp(feed, stream.name, self.distort(feed, delta), wall_ms, both_sides=both)
            self.deliver(feed, stream, message.encode())
