"""OKX's public side, spot or swaps, as a server keeps it (venues/okx.md §2-§6).

Books bootstrap in band: a subscription brings a snapshot, then deltas linked by `prevSeqId`. The chain of a channel is
the same for every connection, so a snapshot for a newcomer first closes the open window of those who listen already.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from ops.simulator.catalogue import Listing
from ops.simulator.feed import Feed, Stream
from ops.simulator.limits import SlidingLimit
from ops.simulator.market import HalfStep
from ops.simulator.okx import listing
from ops.simulator.okx import text as okx_text
from ops.simulator.okx.rest import INST_TYPE, OkxRest
from ops.simulator.venue import Timing, Venue
from ops.simulator.window import Delta, DeltaWindow
from ops.simulator.wire import Opcode, Peer, Request, Response

TIMING = {"idle_ms": 30_000.0, "keepalive_ms": 60_000.0}
BOOK_DEPTH = 400
# §4: the order in which one instrument's channels are pushed on one connection
_CHANNELS = ("trades", "bbo-tbt", "books", "books5", "tickers")
_SUBSCRIBER_ONLY = ("books-l2-tbt", "books50-l2-tbt")  # login and VIP tier
_BUSINESS = ("trades-all", "orders-algo", "candle")
_PATHS = ("/ws/v5/public", "/ws/v5/private", "/ws/v5/business")
_REQUESTS, _REQUESTS_WINDOW_MS = 480, 3_600_000.0
_MAX_REQUEST_BYTES = 64 * 1024
_CONNECTS, _CONNECTS_WINDOW_MS = 3, 1000.0


@dataclass(eq=False, slots=True)
class Session:
    """What the venue knows of one connection."""

    conn_id: str
    path: str
    requests: SlidingLimit
    subscribed: set[tuple[str, str]] = field(default_factory=set)


class OkxPublic(Venue):
    """One OKX market. `market` is spot or futures (swaps and dated futures)."""

    venue = "okx"
    jump = 6
    most_levels = BOOK_DEPTH

    @staticmethod
    def listed(market: str, count: int) -> list[Listing]:
        return listing.listed(market, count)

    @staticmethod
    def timing_of(market: str) -> Timing:
        return Timing(**TIMING)

    def __init__(self, market: str, *args: Any, **options: Any) -> None:
        super().__init__(market, *args, **options)
        self._rest = OkxRest(self)
        self._connects: dict[str, SlidingLimit] = {}
        self._next_conn_id = 0x7C1E90AB
        self._last_trades: dict[str, tuple[int, int]] = {}  # instId -> (ticks, lots)

    def rest(self, request: Request) -> Response:
        return self._rest.answer(request)

    def rate_limited(self, status: int, retry_after_s: int) -> Response:
        """OKX has neither Retry-After nor 418: any over-limit answer is a 429 (§7)."""
        return self._rest.limited(429)

    # ── connections ──────────────────────────────────────────────────────────────────────────────────────────────

    def refuse_websocket(self, request: Request) -> Response | None:
        if request.path not in _PATHS:
            return Response(404, b"", content_type="text/plain")
        limit = self._connects.setdefault(request.remote_ip, SlidingLimit(_CONNECTS, _CONNECTS_WINDOW_MS))
        if self.enforce_limits and not limit.allows(self.mono_ms()):
            self.breach("connects")
            return Response(429, b"", content_type="text/plain")
        return None

    def greet(self, peer: Peer, request: Request) -> None:
        self._next_conn_id += 1
        limit = SlidingLimit(_REQUESTS, _REQUESTS_WINDOW_MS)
        peer.session = Session(f"{self._next_conn_id:08x}", request.path, limit)

    def tend(self, peer: Peer, now_ms: float) -> None:
        """§3: closed after 30 s without a frame either way."""
        if self.timing.idle_ms and peer.is_open and peer.idle_ms >= self.timing.idle_ms:
            self.breach("idle")
            peer.close(4004, "No data received in 30s.")

    def announce_shutdown(self) -> None:
        for peer in self.peers:
            notice = {"event": "notice", "code": "64008", "msg": "service upgrade, reconnect"}
            peer.send(msgspec.json.encode({**notice, "connId": peer.session.conn_id}))

    # ── requests, §4 ─────────────────────────────────────────────────────────────────────────────────────────────

    def hear(self, peer: Peer, opcode: Opcode, data: bytes) -> None:
        if opcode not in (Opcode.TEXT, Opcode.BINARY):
            return
        if data == b"ping":
            self.stats.pongs_received += 1
            peer.send(b"pong")
            return
        session: Session = peer.session
        try:
            request = msgspec.json.decode(data)
        except msgspec.DecodeError:
            self._refuse(peer, None, "60012", f"Illegal request: {data[:200].decode(errors='replace')}")
            return
        if not isinstance(request, dict):
            self._refuse(peer, None, "60012", "Illegal request: expected an object")
            return
        id_, op, args = request.get("id"), request.get("op"), request.get("args")
        if id_ is not None and not (isinstance(id_, str) and 0 < len(id_) <= 32 and id_.isalnum()):
            self._refuse(peer, None, "60012", "Illegal request: id must be up to 32 letters and digits")
        elif op not in ("subscribe", "unsubscribe", "login"):
            self._refuse(peer, id_, "60012", f"Illegal request: op {op!r}")
        elif not isinstance(args, list) or not args or len(data) > _MAX_REQUEST_BYTES:
            self._refuse(peer, id_, "60013", "Invalid args")
        elif self.enforce_limits and not session.requests.allows(self.mono_ms()):
            self.breach("requests")
            self._refuse(peer, id_, "60014", "Requests too frequent")
        elif op == "login":
            self._refuse(peer, id_, "60009", "Login failed")
        else:
            for argument in args:
                self._change(peer, session, op == "subscribe", argument, id_)

    def _change(self, peer: Peer, session: Session, subscribe: bool, argument: Any, id_: str | None) -> None:
        """One arg, one ack; a bad arg does not hinder the others."""
        channel = argument.get("channel") if isinstance(argument, dict) else None
        inst_id = argument.get("instId") if isinstance(argument, dict) else None
        if not isinstance(channel, str) or not isinstance(inst_id, str):
            self._refuse(peer, id_, "60013", "Invalid args")
            return
        trouble = self._trouble(session, channel, inst_id)
        if trouble is not None:
            self._refuse(peer, id_, *trouble)
            return
        wrong = subscribe and self.faults.take("wrong_ack")
        acked = {**argument, "instId": f"X{inst_id}"} if wrong else argument
        event = {"event": "subscribe" if subscribe else "unsubscribe", "arg": acked, "connId": session.conn_id}
        self.reply(peer, {**({} if id_ is None else {"id": id_}), **event})
        key = (channel, inst_id)
        feed = self.feed(inst_id)
        if not subscribe:
            session.subscribed.discard(key)
            if channel in feed.streams:
                self.leave(feed.streams[channel], peer)
        elif key not in session.subscribed:  # subscribing again brings an ack and no snapshot (§5)
            session.subscribed.add(key)
            self._start(peer, feed, channel)

    def _trouble(self, session: Session, channel: str, inst_id: str) -> tuple[str, str] | None:
        known = channel in _CHANNELS
        if session.path.endswith("private"):
            return "60011", "Please log in"
        if session.path.endswith("business") and known:
            return "64002", "This channel is not available on the business URL"
        if channel.startswith(_BUSINESS):
            return "64001", "This channel has been migrated to the business URL"
        if channel in _SUBSCRIBER_ONLY:
            return "64003", "Your tier is too low for this channel"
        if not known or inst_id not in self.listings:
            return "60018", f"channel {channel} with instId {inst_id} does not exist"
        return None

    def _refuse(self, peer: Peer, id_: str | None, code: str, message: str) -> None:
        body = {"event": "error", "code": code, "msg": message, "connId": peer.session.conn_id}
        self.reply(peer, body if id_ is None else {"id": id_, **body})

    # ── channels, §5 ─────────────────────────────────────────────────────────────────────────────────────────────

    def _start(self, peer: Peer, feed: Feed, channel: str) -> None:
        stream = feed.streams.get(channel)
        if stream is None:
            stream = feed.streams[channel] = Stream(channel, channel, is_delta=channel == "books")
        now, wall = self.mono_ms(), self.wall_ms()
        if stream.is_delta:
            if stream.window is None:
                stream.window = DeltaWindow(feed.instrument.sequence)
            self._close_window(feed, stream, now, wall)
            self._first(peer, feed, okx_text.snapshot(feed, stream.window.previous, wall, BOOK_DEPTH))
            self.stats.snapshots += 1
        elif channel != "trades":
            self._first(peer, feed, self._view(feed, channel, wall))
        if not stream.has_listeners:
            stream.sequence, stream.sent_ms = feed.instrument.sequence, now
        stream.raw.add(peer)

    def _first(self, peer: Peer, feed: Feed, payload: str) -> None:
        for out in self.faults.outgoing(feed.pair, "", payload.encode(), is_delta=False):
            self.send_later(peer, out)

    def _view(self, feed: Feed, channel: str, wall_ms: int) -> str:
        """What a channel without deltas shows now."""
        if channel == "bbo-tbt":
            return okx_text.bbo(feed, wall_ms)
        if channel == "books5":
            return okx_text.books5(feed, wall_ms)
        last = self._last_trades.get(feed.listing.id) or (feed.instrument.bids.best, 1)
        return okx_text.ticker(feed, last, INST_TYPE[feed.listing.kind], wall_ms)

    def publish(self, feed: Feed, half: HalfStep, now_ms: float, *, settle: bool, force: bool = False) -> None:
        if half.trades:
            last = half.trades[-1]
            self._last_trades[feed.listing.id] = (last.price, sum(last.fills))
        streams = feed.listened()
        touched = feed.touch_changed()
        if not streams or self.faults.find("stall", feed.pair):
            return
        wall = self.wall_ms()
        for channel in _CHANNELS:
            stream = feed.streams.get(channel)
            if stream is None or not stream.has_listeners:
                continue
            if channel == "trades":
                for trade in half.trades:
                    self.deliver(feed, stream, okx_text.trade(feed, trade, wall).encode())
            elif channel == "books":
                if settle:
                    self._close_window(feed, stream, now_ms, wall)
            elif touched if channel == "bbo-tbt" else settle and stream.sequence != feed.instrument.sequence:
                self._push_view(feed, stream, now_ms, wall)

    def tend_streams(self, now_ms: float) -> None:
        """§5: after 60 s without change an empty delta, or the same view again."""
        keepalive_ms = self.timing.keepalive_ms
        if not keepalive_ms:
            return
        for feed in self.feeds():
            for stream in feed.listened():
                if stream.kind == "trades" or now_ms - stream.sent_ms < keepalive_ms:
                    continue
                wall = self.wall_ms()
                if stream.window is None:
                    self._push_view(feed, stream, now_ms, wall)
                elif not self._close_window(feed, stream, now_ms, wall):
                    last = stream.window.previous
                    stream.sent_ms = now_ms
                    self.deliver(feed, stream, okx_text.update(feed, Delta(0, last, last, {}, {}), wall).encode())

    def _close_window(self, feed: Feed, stream: Stream, now_ms: float, wall_ms: int) -> bool:
        """Send what `books` gathered to all who listen; False if there is nothing."""
        delta = stream.window.take() if stream.window is not None else None
        if delta is None:
            return False
        stream.sent_ms = now_ms
        self.deliver(feed, stream, okx_text.update(feed, self.distort(feed, delta), wall_ms).encode())
        return True

    def _push_view(self, feed: Feed, stream: Stream, now_ms: float, wall_ms: int) -> None:
        stream.sequence, stream.sent_ms = feed.instrument.sequence, now_ms
        self.deliver(feed, stream, self._view(feed, stream.kind, wall_ms).encode())
