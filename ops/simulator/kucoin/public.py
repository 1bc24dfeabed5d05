"""KuCoin's public side, spot or futures, as a server keeps it (venues/kucoin.md §2-§6).

Both generations of sockets are served by one engine, so that the sequences of both agree: Pro on the bare host, Classic on
the path that comes with a token. `kucoin` and `kucoin_classic` are two names of the same server: a client of one generation
finds everything that it needs on either port.
"""

import asyncio
from typing import Any

from ops.simulator.catalogue import Listing
from ops.simulator.feed import Feed, Stream
from ops.simulator.kucoin import listing, misbehaviours
from ops.simulator.kucoin.classic import Classic
from ops.simulator.kucoin.dialect import Channel, Dialect, Kind, LastTrade, Session
from ops.simulator.kucoin.pro import BOOK_DEPTH, Pro
from ops.simulator.kucoin.rest import CLASSIC_PATH, KucoinRest
from ops.simulator.limits import SlidingLimit
from ops.simulator.market import HalfStep
from ops.simulator.venue import Timing, Venue
from ops.simulator.window import Delta, DeltaWindow
from ops.simulator.wire import Opcode, Peer, Request, Response, binary_frame, text_frame

TIMING = {"idle_ms": 60_000.0}
_CONNECTS = {True: (30, 60_000.0), False: (250, 300_000.0)}  # classic → connects of one IP in a window
_CLASSIC_SOCKETS = 50  # open ones of one IP
_MESSAGES_WINDOW_MS = 10_000.0
_OVERLAP = 2  # sequences that an overlapping delta tells again


class KucoinPublic(Venue):
    """One KuCoin market. `market` is spot or futures."""

    venue = "kucoin"
    jump = 0  # sequences have no holes (§5.3)
    most_levels = BOOK_DEPTH
    own_misbehaviours = misbehaviours.OWN

    @staticmethod
    def listed(market: str, count: int) -> list[Listing]:
        return listing.listed(market, count)

    @staticmethod
    def timing_of(market: str) -> Timing:
        return Timing(**TIMING)

    def __init__(self, market: str, *args: Any, **options: Any) -> None:
        super().__init__(market, *args, **options)
        self._rest = KucoinRest(self)
        self._pro, self._classic = Pro(self), Classic(self)
        self._connects: dict[tuple[str, bool], SlidingLimit] = {}
        self._next_session = 0xE8E46556
        self._last_trades: dict[str, LastTrade] = {}

    def rest(self, request: Request) -> Response:
        return self._rest.answer(request)

    def rate_limited(self, status: int, retry_after_s: int) -> Response:
        return self._rest.limited(status, retry_after_s)

    def expire_tokens(self) -> None:
        """No token that was given out opens a socket any more."""
        self._rest.tokens.expire()

    # ── connections, §2 and §3 ───────────────────────────────────────────────────────────────────────────────────

    def refuse_websocket(self, request: Request) -> Response | None:
        path = request.path.rstrip("/")
        if path not in ("", CLASSIC_PATH):
            return Response(404, b"", content_type="text/plain")
        classic = path == CLASSIC_PATH
        limit = self._connects.setdefault((request.remote_ip, classic), SlidingLimit(*_CONNECTS[classic]))
        if self.enforce_limits and not limit.allows(self.mono_ms()):
            self.breach("connects")
            return Response(429, b"", content_type="text/plain")
        return None

    def greet(self, peer: Peer, request: Request) -> None:
        dialect: Dialect = self._classic if request.path.startswith(CLASSIC_PATH) else self._pro
        self._next_session += 1
        session = peer.session = Session(
            dialect,
            request.query.get("connectId", "") if dialect is self._classic else f"{self._next_session:x}-0000",
            SlidingLimit(dialect.messages_per_10_s, _MESSAGES_WINDOW_MS),
            SlidingLimit(1, 1000.0),
            self.mono_ms(),
        )
        refusal = self._refusal(peer, request) if dialect is self._classic else None
        if refusal is not None:
            self.reply(peer, {"type": "error", **refusal})
            peer.close(1000, "Bye")
            return
        late = self.faults.find("late_welcome")
        if late is None:
            self._welcome(peer, session)
        else:
            asyncio.get_running_loop().call_later(late.options["delay_ms"] / 1000, self._welcome, peer, session)

    def _refusal(self, peer: Peer, request: Request) -> dict[str, Any] | None:
        if not self._rest.tokens.use(request.query.get("token", ""), self.wall_ms()):
            return {"code": 401, "data": "token is expired"}
        sockets = sum(one.remote_ip == peer.remote_ip and one.session.dialect is self._classic for one in self.peers)
        if self.enforce_limits and sockets > _CLASSIC_SOCKETS:
            self.breach("sockets")
            return {"code": 509, "data": f"exceed max session count of {_CLASSIC_SOCKETS}"}
        return None

    def _welcome(self, peer: Peer, session: Session) -> None:
        session.welcomed = True
        self.reply(peer, session.dialect.welcome(session))

    def hear(self, peer: Peer, opcode: Opcode, data: bytes) -> None:
        session: Session = peer.session
        if opcode not in (Opcode.TEXT, Opcode.BINARY) or not session.welcomed:
            return
        session.heard_ms = self.mono_ms()
        session.dialect.hear(peer, session, data)

    def tend(self, peer: Peer, now_ms: float) -> None:
        """§3: the server never pings; the client must say something once a minute."""
        session: Session = peer.session
        if self.timing.idle_ms and peer.is_open and now_ms - session.heard_ms >= self.timing.idle_ms:
            session.dialect.silent(peer, session)

    # ── frames: binary on Pro, text on Classic ───────────────────────────────────────────────────────────────────

    def send_later(self, peer: Peer, payload: bytes) -> None:
        self.fan_out((binary_frame if peer.session.dialect.binary else text_frame)(payload), (peer,))

    def push_later(self, peer: Peer, payload: bytes) -> None:
        self.send_later(peer, payload)

    def deliver(self, feed: Feed, stream: Stream, payload: bytes) -> None:
        frame = binary_frame if self._speaker(stream).binary else text_frame
        for out in self.faults.outgoing(feed.pair, stream.name, payload, is_delta=stream.is_delta):
            self.fan_out(frame(out), stream.raw)

    def _speaker(self, stream: Stream) -> Dialect:
        return self._classic if stream.name.startswith("/") else self._pro

    def _channel(self, stream: Stream) -> Channel:
        return self._speaker(stream).channels[stream.name]

    # ── subscriptions ────────────────────────────────────────────────────────────────────────────────────────────

    def subscribe(self, peer: Peer, session: Session, stream: str, symbol: str) -> None:
        """What was acknowledged. An unknown symbol stays silent; subscribing twice begins nothing anew (§4)."""
        if (stream, symbol) in session.topics:
            return
        session.topics.add((stream, symbol))
        channel = session.dialect.channels.get(stream)
        if channel is None or symbol not in self.listings:
            return
        feed = self.feed(symbol)
        if not self.faults.take("mute", feed.pair):
            self._start(peer, session.dialect, feed, stream, channel)

    def unsubscribe(self, peer: Peer, session: Session, stream: str, symbol: str) -> None:
        """Silent about what was not subscribed."""
        session.topics.discard((stream, symbol))
        if symbol in self.listings and stream in self.feed(symbol).streams:
            self.leave(self.feed(symbol).streams[stream], peer)

    def _start(self, peer: Peer, dialect: Dialect, feed: Feed, name: str, channel: Channel) -> None:
        stream = feed.streams.get(name)
        if stream is None:
            stream = feed.streams[name] = Stream(name, name, channel.interval_ms, is_delta=channel.kind is Kind.DELTA)
        sequence = feed.instrument.sequence
        if stream.is_delta:
            if stream.window is None:
                stream.window = DeltaWindow(sequence)
            self._close_window(feed, stream)
            sequence = stream.window.previous
            if dialect is self._pro and self.faults.take("early_delta", feed.pair):
                best = feed.instrument.bids.top(1)
                early = Delta(sequence, sequence, sequence - 1, dict(best), {})
                self._first(peer, feed, dialect.deltas(feed, name, early, sequence)[0])
        first = dialect.first(feed, name, sequence)
        if first is not None:
            self.stats.snapshots += stream.is_delta
            self._first(peer, feed, first)
        if not stream.has_listeners:
            stream.sequence, stream.due_ms = sequence, self.mono_ms() + channel.interval_ms
        stream.raw.add(peer)

    def _first(self, peer: Peer, feed: Feed, payload: str) -> None:
        for out in self.faults.outgoing(feed.pair, "", payload.encode(), is_delta=False):
            self.push_later(peer, out)

    def last_trade(self, feed: Feed) -> LastTrade:
        """The last trade that was heard of; before any, the best bid stands in for it."""
        return self._last_trades.get(feed.listing.id) or (feed.instrument.bids.best, 1, False)

    # ── market data ──────────────────────────────────────────────────────────────────────────────────────────────

    def publish(self, feed: Feed, half: HalfStep, now_ms: float, *, settle: bool, force: bool = False) -> None:
        """Deltas and best prices go out with every half of an interval: they are real time."""
        if half.trades:
            last = half.trades[-1]
            self._last_trades[feed.listing.id] = (last.price, sum(last.fills), last.taker_buys)
        touched = feed.touch_changed() or force
        if self.faults.find("stall", feed.pair):
            return
        for stream in feed.listened():
            kind = self._channel(stream).kind
            if kind is Kind.DELTA:
                self._close_window(feed, stream)
            elif kind is Kind.TRADES:
                for trade in half.trades:
                    for payload in self._speaker(stream).trades(feed, stream.name, trade):
                        self.deliver(feed, stream, payload.encode())
            elif force or (touched and kind is Kind.TOUCH):
                self._push_view(feed, stream)

    def tend_streams(self, now_ms: float) -> None:
        """Fixed depths: a view every 100 ms, on Pro and futures whether anything changed or not (§4, §5.4)."""
        for feed in self.feeds():
            if self.faults.find("stall", feed.pair):
                continue
            for stream in feed.listened():
                channel = self._channel(stream)
                if channel.kind is not Kind.VIEW or now_ms < stream.due_ms:
                    continue
                stream.due_ms = now_ms + channel.interval_ms
                if channel.repeats or stream.sequence != feed.instrument.sequence:
                    self._push_view(feed, stream)

    def _push_view(self, feed: Feed, stream: Stream) -> None:
        stream.sequence = feed.instrument.sequence
        self.deliver(feed, stream, self._speaker(stream).view(feed, stream.name).encode())

    def _close_window(self, feed: Feed, stream: Stream) -> None:
        """Send what a delta stream gathered to all who listen."""
        delta = stream.window.take() if stream.window is not None else None
        if delta is None or stream.window is None:
            return
        delta = self.distort(feed, delta)
        first = delta.previous + 1
        if stream.name == "/contractMarket/level2":
            missing = len(delta.bids) + len(delta.asks) - (delta.last - first + 1)
            if missing > 0:  # one change a sequence, and `distort` has put one in
                feed.instrument.sequence += missing
                delta = Delta(delta.first, delta.last + missing, delta.previous, delta.bids, delta.asks)
                stream.window.previous = delta.last
        elif self.faults.take("overlap", feed.pair):
            first -= _OVERLAP
        for payload in self._speaker(stream).deltas(feed, stream.name, delta, first):
            self.deliver(feed, stream, payload.encode())


class KucoinClassicPublic(KucoinPublic):
    """The same server under the name of the fallback."""

    venue = "kucoin_classic"
