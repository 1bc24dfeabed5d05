"""Binance's public side, spot and USDT-margined futures, as a server keeps it (venues/binance.md §2-§6, §10).

The two markets share a grammar and differ in routes, payloads, heartbeat and limits. An order is: admit, greet, then
each message is counted, checked and answered; data comes from `publish`.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from ops.simulator.binance import listing
from ops.simulator.binance.rest import BinanceRest
from ops.simulator.binance.text import FuturesText, SpotText, is_well_formed, parse_stream
from ops.simulator.catalogue import Listing
from ops.simulator.feed import Feed, Stream
from ops.simulator.limits import SlidingLimit, Verdict
from ops.simulator.market import HalfStep
from ops.simulator.venue import Timing, Venue
from ops.simulator.window import DeltaWindow
from ops.simulator.wire import Opcode, Peer, Request, Response

SPOT_TIMING = {"ping_interval_ms": 20_000.0, "pong_timeout_ms": 60_000.0, "lifetime_ms": 86_400_000.0}
FUTURES_TIMING = {"ping_interval_ms": 180_000.0, "pong_timeout_ms": 600_000.0, "lifetime_ms": 86_400_000.0}
_MESSAGES_PER_S = {"spot": 5, "futures": 10}
_MAX_STREAMS = 1024
_MAX_FRAME_BYTES = 4096
_CONNECTS, _CONNECTS_WINDOW_MS = 300, 300_000.0
_ROUTES = ("public", "market", "private")


@dataclass(eq=False, slots=True)
class Session:
    """What the venue knows of one connection."""

    combined: bool
    route: str  # "" = un-routed (all of spot)
    limit: SlidingLimit
    names: dict[str, None] = field(default_factory=dict)  # acknowledged streams, in order
    unanswered: dict[bytes, float] = field(default_factory=dict)  # ping payload -> sent, mono ms
    next_ping_ms: float = 0.0


class BinancePublic(Venue):
    """One Binance market. `market` is spot or futures (USDT-margined)."""

    venue = "binance"
    jump = 9

    @staticmethod
    def listed(market: str, count: int) -> list[Listing]:
        return listing.listed(market, count)

    @staticmethod
    def timing_of(market: str) -> Timing:
        return Timing(**(SPOT_TIMING if market == "spot" else FUTURES_TIMING))

    def __init__(self, market: str, *args: Any, **options: Any) -> None:
        super().__init__(market, *args, **options)
        self._text = SpotText() if market == "spot" else FuturesText()
        self._rest = BinanceRest(self, self._text)
        self._ids = {listing_id.lower(): listing_id for listing_id in self.listings}
        self._connects: dict[str, SlidingLimit] = {}

    def rest(self, request: Request) -> Response:
        return self._rest.answer(request)

    def rate_limited(self, status: int, retry_after_s: int) -> Response:
        return self._rest.limited(Verdict(status, 0, retry_after_s))

    def wrap(self, stream: Stream, payload: bytes) -> bytes:
        return b'{"stream":"%b","data":%b}' % (stream.name.encode(), payload)

    # ── connections ──────────────────────────────────────────────────────────────────────────────────────────────

    def refuse_websocket(self, request: Request) -> Response | None:
        if _split_path(request.path, self.market) is None:
            return Response(404, b"", content_type="text/plain")
        if "timeUnit" in request.query and request.query["timeUnit"].upper() != "MILLISECOND":
            return Response(400, b"this simulator gives times in milliseconds only", content_type="text/plain")
        limit = self._connects.setdefault(request.remote_ip, SlidingLimit(_CONNECTS, _CONNECTS_WINDOW_MS))
        if self.enforce_limits and not limit.allows(self.mono_ms()):
            self.breach("connects")
            return Response(429, b"", {"Retry-After": "300"}, content_type="text/plain")
        return None

    def greet(self, peer: Peer, request: Request) -> None:
        path = _split_path(request.path, self.market)
        if path is None:
            raise AssertionError("refuse_websocket lets no other path pass")
        route, form, names = path
        session = Session(form == "stream", route, SlidingLimit(_MESSAGES_PER_S[self.market], 1000.0))
        session.next_ping_ms = self.mono_ms() + self.timing.ping_interval_ms
        peer.session = session
        if form == "stream" and request.query.get("streams"):
            names = request.query["streams"].split("/")
        for name in names:
            self._subscribe(peer, session, name)

    def tend(self, peer: Peer, now_ms: float) -> None:
        """§3: the server pings; who does not pong is cut; nobody lives longer than a day."""
        session: Session = peer.session
        timing = self.timing
        if not peer.is_open:
            return
        if timing.lifetime_ms and peer.age_ms >= timing.lifetime_ms:
            peer.close(1001, "24 hours")
        elif session.unanswered and now_ms - next(iter(session.unanswered.values())) > timing.pong_timeout_ms:
            self.breach("pong")
            peer.close(1008, "Pong timeout")
        elif timing.ping_interval_ms and now_ms >= session.next_ping_ms:
            payload = str(self.wall_ms()).encode()
            session.unanswered[payload] = now_ms
            session.next_ping_ms = now_ms + timing.ping_interval_ms
            self.stats.pings_sent += 1
            peer.ping(payload)

    def announce_shutdown(self) -> None:
        body = b'{"e":"serverShutdown","E":%d}' % self.wall_ms()
        for peer in self.peers:
            peer.send(b'{"stream":"!serverShutdown","data":%b}' % body if peer.session.combined else body)

    # ── requests, §4 ─────────────────────────────────────────────────────────────────────────────────────────────

    def hear(self, peer: Peer, opcode: Opcode, data: bytes) -> None:
        session: Session = peer.session
        if self.enforce_limits and not session.limit.allows(self.mono_ms()):
            self.breach("messages")
            peer.close(1008, "Too many requests")
            return
        if opcode is Opcode.PONG:
            self.stats.pongs_received += 1
            if data in session.unanswered:  # an unsolicited pong keeps nothing alive
                session.unanswered.clear()
        elif opcode in (Opcode.TEXT, Opcode.BINARY):
            if self.enforce_limits and len(data) > _MAX_FRAME_BYTES:
                self.breach("frame size")
                peer.close(3001, "illegal request")
                return
            self._request(peer, session, data)

    def _request(self, peer: Peer, session: Session, data: bytes) -> None:
        try:
            request = msgspec.json.decode(data)
        except msgspec.DecodeError as error:
            self._refuse(peer, 3, f"Invalid JSON: {error}")
            return
        if not isinstance(request, dict):
            self._refuse(peer, 2, "Invalid request: expected an object")
            return
        id_, method, params = request.get("id"), request.get("method"), request.get("params", [])
        if not self._is_id(id_):
            self._refuse(peer, 2, "Invalid request: request ID must be an unsigned integer")
        elif not isinstance(params, list):
            self._refuse(peer, 2, "Invalid request: params must be an array", id_)
        elif method in ("SUBSCRIBE", "UNSUBSCRIBE"):
            self._change(peer, session, str(method), params, id_)
        elif method == "LIST_SUBSCRIPTIONS":
            self.reply(peer, {"result": list(session.names), "id": id_})
        elif method in ("SET_PROPERTY", "GET_PROPERTY"):
            self._property(peer, session, str(method), params, id_)
        else:
            self._refuse(peer, 2, f"Invalid request: unknown variant `{method}`", id_)

    def _change(self, peer: Peer, session: Session, method: str, params: list[Any], id_: Any) -> None:
        if not params or not all(isinstance(name, str) and is_well_formed(name) for name in params):
            self._refuse(peer, 2, "Invalid request: invalid stream", id_)
            return
        if method == "UNSUBSCRIBE":
            for name in params:
                self._unsubscribe(peer, session, name)
            self.reply(peer, {"result": None, "id": id_})
            return
        if len(session.names.keys() | set(params)) > _MAX_STREAMS:
            self.breach("streams")
            self._refuse(peer, 2, "Invalid request: too many parameters", id_)
            return
        wrong = self.faults.take("wrong_ack")
        self.reply(peer, {"result": None, "id": _another(id_) if wrong else id_})
        for name in params:
            self._subscribe(peer, session, name)

    def _property(self, peer: Peer, session: Session, method: str, params: list[Any], id_: Any) -> None:
        if not params or params[0] != "combined":
            self._refuse(peer, 0, "Unknown property", id_)
        elif method == "GET_PROPERTY":
            self.reply(peer, {"result": session.combined, "id": id_})
        elif len(params) != 2 or not isinstance(params[1], bool):
            self._refuse(peer, 1, "Invalid value type: expected Boolean", id_)
        else:
            names = list(session.names)
            for name in names:
                self._unsubscribe(peer, session, name)
            session.combined = params[1]
            for name in names:
                self._subscribe(peer, session, name)
            self.reply(peer, {"result": None, "id": id_})

    def _refuse(self, peer: Peer, code: int, message: str, id_: Any = None) -> None:
        """§4 has both shapes of an error: the nested one is sent on spot, the flat one on futures."""
        error = {"code": code, "msg": message}
        body = {"error": error} if self.market == "spot" else error
        self.reply(peer, body if id_ is None else {**body, "id": id_})

    def _is_id(self, id_: Any) -> bool:
        if isinstance(id_, int) and not isinstance(id_, bool):
            return self.market == "spot" or id_ >= 0
        return self.market == "spot" and (id_ is None or (isinstance(id_, str) and len(id_) <= 36 and id_.isalnum()))

    # ── streams ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _subscribe(self, peer: Peer, session: Session, name: str) -> None:
        """Acknowledged in any case; silent for an unknown symbol, another case, or another route than the stream's."""
        session.names[name] = None
        stream = self._stream(session, name)
        if stream is not None:
            (stream.combined if session.combined else stream.raw).add(peer)

    def _unsubscribe(self, peer: Peer, session: Session, name: str) -> None:
        session.names.pop(name, None)
        stream = self._stream(session, name)
        if stream is not None:
            self.leave(stream, peer)

    def _stream(self, session: Session, name: str) -> Stream | None:
        meaning = parse_stream(name, self.market)
        if meaning is None or meaning.symbol not in self._ids:
            return None
        if self.market == "futures" and (session.route or "public") != meaning.route:
            return None
        feed = self.feed(self._ids[meaning.symbol])
        stream = feed.streams.get(name)
        if stream is None:
            stream = Stream(name, meaning.kind, meaning.interval_ms, meaning.depth, is_delta=meaning.kind == "depth")
            feed.streams[name] = stream
        if stream.is_delta and stream.window is None:
            stream.window = DeltaWindow(feed.instrument.sequence)
        if not stream.has_listeners:
            stream.sequence = -1  # whoever comes first is told the top of the book at the next interval
        return stream

    def publish(self, feed: Feed, half: HalfStep, now_ms: float, *, settle: bool, force: bool = False) -> None:
        streams = feed.listened()
        touched = feed.touch_changed()
        if not streams or self.faults.find("stall", feed.pair):
            return
        wall = self.wall_ms()
        text = self._text
        for stream in streams:
            if stream.kind == "trade" and half.trades:
                for trade in half.trades:
                    for message in text.trades(feed, trade, wall):
                        self.deliver(feed, stream, message.encode())
            elif stream.kind == "aggTrade":
                for trade in half.trades:
                    self.deliver(feed, stream, text.agg_trade(feed, trade, wall).encode())
            elif stream.kind == "bookTicker" and touched:
                self.deliver(feed, stream, text.book_ticker(feed, wall).encode())
            elif settle and stream.interval_ms and _is_due(stream, now_ms, force=force):
                self._publish_depth(feed, stream, wall)

    def _publish_depth(self, feed: Feed, stream: Stream, wall_ms: int) -> None:
        if stream.window is not None:
            delta = stream.window.take()
            if delta is not None:
                self.deliver(feed, stream, self._text.diff(feed, self.distort(feed, delta), wall_ms).encode())
        elif stream.sequence != feed.instrument.sequence:
            payload = self._text.partial(feed, stream.depth, stream.sequence, wall_ms)
            stream.sequence = feed.instrument.sequence
            self.deliver(feed, stream, payload.encode())


def _is_due(stream: Stream, now_ms: float, *, force: bool) -> bool:
    """Whether a stream's interval is over. Instruments settle every 100 ms: slower streams skip some of those."""
    if force or stream.interval_ms <= 100:
        return True
    if now_ms + 10 < stream.due_ms:
        return False
    stream.due_ms = max(stream.due_ms, now_ms - 100) + stream.interval_ms
    return True


def _another(id_: Any) -> Any:
    return id_ + 1_000_003 if isinstance(id_, int) else "wrong"


def _split_path(path: str, market: str) -> tuple[str, str, list[str]] | None:
    """(route, "ws" or "stream", stream names in the path), or None for a path that the venue does not serve (§2)."""
    parts = [part for part in path.split("/") if part]
    route = ""
    if market == "futures" and parts and parts[0] in _ROUTES:
        route = parts.pop(0)
    if not parts or parts[0] not in ("ws", "stream") or (parts[0] == "stream" and len(parts) > 1):
        return None
    return route, parts[0], parts[1:]
