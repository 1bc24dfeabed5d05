"""HTX linear swaps as a server keeps them (venues/htx.md §2-§6).

`depth.size_N.high_freq` counts `version` on each connection by itself: messages are made once, with the number of the
message in its stream in place of the version, and each listener gets its own version put in. Data comes before its
acknowledgement. Topics may come in any letter case and go out in upper case.

Not served: merged depth (`step1` and so on), klines, index and basis, the notice sockets.
"""

import re
from typing import Any

from ops.simulator.feed import Feed, Stream
from ops.simulator.htx import text
from ops.simulator.htx.public import HtxPublic, Meaning, Session
from ops.simulator.htx.view import View
from ops.simulator.market import Trade
from ops.simulator.window import Delta
from ops.simulator.wire import Peer

_HIGH_FREQ = {"depth.size_20.high_freq": 20, "depth.size_150.high_freq": 150}
_IMAGES = {"depth.step0": 150}
_OTHERS = ("bbo", "trade.detail", "detail")
_WHOLE = " whole"  # behind the name of a high_freq stream without `data_type` incremental
_NUMBER = re.compile(rb'"version":<(\d+)>')


class HtxSwapPublic(HtxPublic):
    """HTX linear swaps."""

    most_levels = 150
    most_pings = 5
    acks_first = False
    answers_pings = True
    paths = ("/linear-swap-ws",)
    request_limits = {"sub": (40, 1000.0), "req": (50, 1000.0)}  # noqa: RUF012  # never changed

    def meaning(self, session: Session, word: str, topic: str, request: dict[str, Any]) -> Meaning | str:
        _, _, rest = topic.lower().partition("market.")
        symbol, _, channel = rest.partition(".")
        symbol = symbol.upper()
        if word == "req" or symbol not in self.listings:
            return f"invalid topic {topic}"
        spelled = f"market.{symbol}.{channel}"
        if channel in _HIGH_FREQ:
            data_type = request.get("data_type", "snapshot")
            if data_type not in ("snapshot", "incremental"):
                return f"invalid data_type {str(data_type)[:40]}"
            feed, depth = self.feed(symbol), _HIGH_FREQ[channel]
            if data_type == "snapshot":
                return Meaning(spelled, feed, spelled + _WHOLE, "whole", depth)
            return Meaning(spelled, feed, spelled, "high_freq", depth, is_delta=True)
        if channel in _IMAGES:
            return Meaning(spelled, self.feed(symbol), spelled, "image", _IMAGES[channel])
        if channel in _OTHERS:
            return Meaning(spelled, self.feed(symbol), spelled, channel)
        return f"invalid topic {topic}"

    def start(self, peer: Peer, feed: Feed, stream: Stream, topic: str) -> None:
        """A book starts with a snapshot of this moment: those who listen already are told first what happened until now."""
        wall = self.wall_ms()
        if stream.kind == "trade.detail":
            trade, wall_ms = self.last_trade(feed)
            self.first(peer, feed, self.trades(feed, [trade], wall_ms))
        elif stream.kind == "high_freq":
            view = self.view_of(feed, stream)
            self._publish_changes(feed, stream, view, wall)
            session: Session = peer.session
            base = wall + session.number * 1_000_003 + len(session.offsets)
            session.offsets[stream.name] = base - view.count
            self.stats.snapshots += 1
            book = feed.instrument
            sides = (book.bids.top(stream.depth), book.asks.top(stream.depth))
            self.first(peer, feed, text.high_freq(feed, topic, "snapshot", str(base), book.sequence, sides, wall))
        else:
            self.first(peer, feed, self.view(feed, stream, wall))

    def asked(self, meaning: Meaning) -> str:
        raise AssertionError("meaning() refuses every req")

    def deliver(self, feed: Feed, stream: Stream, payload: bytes) -> None:
        """Books: each listener gets the versions of its connection."""
        if stream.kind != "high_freq":
            super().deliver(feed, stream, payload)
            return
        spelled = self.spelled(feed, payload)
        for out in self.faults.outgoing(feed.pair, stream.name, spelled, is_delta=stream.is_delta):
            for peer in stream.raw:
                self.push_later(peer, _with_versions(out, peer.session.offsets[stream.name]))

    def view(self, feed: Feed, stream: Stream, wall_ms: int) -> str:
        book, topic = feed.instrument, stream.name.removesuffix(_WHOLE)
        if stream.kind == "bbo":
            missing = self.faults.take("missing_side", feed.pair)
            tick = text.swap_bbo(feed, topic, wall_ms, missing.options["side"] if missing else "")
        elif stream.kind == "detail":
            tick = text.swap_detail(feed, wall_ms)
        else:
            bids, asks = book.bids.top(stream.depth), book.asks.top(stream.depth)
            if stream.kind == "whole":
                version = str(book.sequence)
                return text.high_freq(feed, topic, "snapshot", version, book.sequence, (bids, asks), wall_ms)
            tick = text.swap_depth(feed, topic, book.sequence, bids, asks, wall_ms)
        return text.push(topic, tick, wall_ms)

    def trades(self, feed: Feed, made: list[Trade], wall_ms: int) -> str:
        rows = [text.swap_trade(feed, one, wall_ms) for one in made]
        return text.trades(f"market.{feed.listing.id}.trade.detail", rows, made[-1].sequence, wall_ms)

    def publish_book(
        self, feed: Feed, stream: Stream, now_ms: float, wall_ms: int, *, settle: bool, force: bool
    ) -> None:
        """§4: high_freq looks for changes every 30 ms (here: with each half of an interval), depth every 100 ms."""
        if stream.kind == "high_freq":
            self._publish_changes(feed, stream, self.view_of(feed, stream), wall_ms)
        elif stream.sequence != feed.instrument.sequence and (settle or stream.kind == "whole"):
            self.show(feed, stream, now_ms, wall_ms)

    def tend_streams(self, now_ms: float) -> None:
        """§4: depth is sent at least once a second, changed or not."""
        keepalive_ms = self.timing.keepalive_ms
        for feed in self.feeds():
            for stream in feed.listened() if keepalive_ms else ():
                if stream.kind == "image" and now_ms - stream.sent_ms >= keepalive_ms:
                    self.show(feed, stream, now_ms, self.wall_ms())

    def _publish_changes(self, feed: Feed, stream: Stream, view: View, wall_ms: int) -> None:
        """Nobody who listens: the window moves on without a word."""
        if stream.has_listeners and self.maybe_empty(feed, view):
            self._push(feed, stream, view.nothing(), view.count, wall_ms)
        delta = view.take(feed.instrument)
        if delta is not None and stream.has_listeners:
            self._push(feed, stream, self.distort(feed, delta), view.count, wall_ms)

    def _push(self, feed: Feed, stream: Stream, delta: Delta, count: int, wall_ms: int) -> None:
        sides = (delta.bids.items(), delta.asks.items())
        payload = text.high_freq(feed, stream.name, "update", f"<{count}>", delta.last, sides, wall_ms)
        self.deliver(feed, stream, payload.encode())


def _with_versions(payload: bytes, offset: int) -> bytes:
    """The number of a message in its stream becomes the version of one connection."""
    return _NUMBER.sub(lambda found: b'"version":%d' % (offset + int(found[1])), payload)
