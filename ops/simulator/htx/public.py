"""HTX's public side as a server keeps it, what spot and swaps share: connections, heartbeat, requests (venues/htx.md §2-§4).

Everything leaves as binary frames, each a gzip stream of its own. The server pings in its own words every 5 s; who leaves
pings unanswered is closed. One request is one topic. What topics there are and what they say is in `spot` and `swap`.
"""

import gzip
import re
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple

import msgspec

from ops.simulator.catalogue import Listing
from ops.simulator.faults import Misbehaviour
from ops.simulator.feed import Feed, Stream
from ops.simulator.htx import listing
from ops.simulator.htx.rest import ContractRest, SpotRest
from ops.simulator.htx.view import View
from ops.simulator.limits import SlidingLimit
from ops.simulator.market import HalfStep, Trade
from ops.simulator.venue import Timing, Venue
from ops.simulator.wire import Opcode, Peer, Request, Response, binary_frame

PING_MS = 5000.0
REPEAT_MS = 1000.0  # swap depth comes at least this often
_LEVEL_NUMBER = re.compile(rb"(?<=[\[,])\d+(?:\.\d+)?(?=[,\]])")  # inside of an array
_OLD_TRADE_MS = 42_000  # how old the trade is that a fresh market replays


@dataclass(eq=False, slots=True)
class Session:
    """What the venue knows of one connection."""

    number: int
    path: str
    next_ping_ms: float
    limits: dict[str, SlidingLimit]  # by kind of request
    unanswered: list[int] = field(default_factory=list)  # pings, oldest first
    streams: set[str] = field(default_factory=set)
    offsets: dict[str, int] = field(
        default_factory=dict
    )  # stream -> what this connection's versions are ahead of its count


class Meaning(NamedTuple):
    """What a topic asks for."""

    topic: str  # as the venue spells it
    feed: Feed
    stream: str  # its name among the streams of the feed
    kind: str
    depth: int = 0
    is_delta: bool = False


def straddle(venue: Venue, *, pair: str, count: int = 1) -> Misbehaviour:
    """The next `count` answers to `req` lie inside a delta: it starts before them and ends behind them. Also happens by
    itself, whenever the market moves on both sides of a request."""
    return venue.faults.add(Misbehaviour("straddle", pair, count))


def empty_delta(venue: Venue, *, pair: str, count: int = 1) -> Misbehaviour:
    """Send a book message without any level before the next `count` deltas; it takes an id of the chain. Also happens by
    itself, whenever only levels beyond the window change."""
    return venue.faults.add(Misbehaviour("empty_delta", pair, count))


def missing_side(venue: Venue, *, pair: str, count: int = 1, side: str = "bid") -> Misbehaviour:
    """The next `count` best prices of a swap have null for `side`, as on an empty book. The book itself is not empty."""
    return venue.faults.add(Misbehaviour("missing_side", pair, count, {"side": "ask" if side == "ask" else "bid"}))


def repeated_image(venue: Venue, *, pair: str, count: int = 1) -> Misbehaviour:
    """Send the next `count` images of a book twice."""
    return venue.faults.add(Misbehaviour("repeated_image", pair, count))


def exponents(venue: Venue, *, pair: str) -> Misbehaviour:
    """Levels of books have an exponent in every number (`6.5E+4`). Spot does it by itself, for small numbers only."""
    return venue.faults.add(Misbehaviour("exponents", pair))


class HtxPublic(Venue):
    """One HTX market."""

    venue = "htx"
    jump = 6
    most_pings: int  # unanswered, until the connection is closed (§3)
    answers_pings = False
    acks_first: bool  # whether an acknowledgement comes before the first data (§5.5)
    paths: tuple[str, ...]
    request_limits: Mapping[str, tuple[int, float]]  # kind of request -> count, window in ms
    own_misbehaviours: ClassVar[Mapping[str, Callable[..., Misbehaviour]]] = {
        "straddle": straddle, "empty_delta": empty_delta, "missing_side": missing_side, "repeated_image": repeated_image,
        "exponents": exponents,
    }  # fmt: skip

    @staticmethod
    def listed(market: str, count: int) -> list[Listing]:
        return listing.listed(market, count)

    @staticmethod
    def timing_of(market: str) -> Timing:
        return Timing(ping_interval_ms=PING_MS, keepalive_ms=0 if market == "spot" else REPEAT_MS)

    def __init__(self, market: str, *args: Any, **options: Any) -> None:
        super().__init__(market, *args, **options)
        self.views: dict[str, View] = {}  # by name of the stream
        self._rest = SpotRest(self) if market == "spot" else ContractRest(self)
        self._connections_made = 0
        self._last_trades: dict[str, tuple[Trade, int]] = {}  # id -> trade, Unix ms

    def rest(self, request: Request) -> Response:
        return self._rest.answer(request)

    def rate_limited(self, status: int, retry_after_s: int) -> Response:
        """HTX neither bans nor says Retry-After: any over-limit answer is a 429."""
        return self._rest.limited(429)

    def push_frame(self, payload: bytes) -> bytes:
        """§2: one complete gzip stream a message."""
        return binary_frame(gzip.compress(payload, 1, mtime=0))

    # ── connections ──────────────────────────────────────────────────────────────────────────────────────────────

    def refuse_websocket(self, request: Request) -> Response | None:
        """No limit on connects is published."""
        return None if request.path in self.paths else Response(404, b"", content_type="text/plain")

    def greet(self, peer: Peer, request: Request) -> None:
        self._connections_made += 1
        limits = {kind: SlidingLimit(*limit) for kind, limit in self.request_limits.items()}
        next_ping_ms = self.mono_ms() + self.timing.ping_interval_ms
        peer.session = Session(self._connections_made, request.path, next_ping_ms, limits)

    def tend(self, peer: Peer, now_ms: float) -> None:
        """§3: the server pings, the client answers in the same words."""
        session: Session = peer.session
        if not peer.is_open or not self.timing.ping_interval_ms or now_ms < session.next_ping_ms:
            return
        if len(session.unanswered) >= self.most_pings:
            self.breach("pong")
            peer.close(1003, f"ping check expired, session: {session.number:08x}")
            return
        value = self.wall_ms()
        session.unanswered.append(value)
        session.next_ping_ms = now_ms + self.timing.ping_interval_ms
        self.stats.pings_sent += 1
        self.reply(peer, {"ping": value})

    def _pong(self, session: Session, value: Any) -> None:
        """Only the value that was sent counts, of its own type; on swaps only one of the last two pings."""
        recent = session.unanswered if self.market == "spot" else session.unanswered[-2:]
        if isinstance(value, int) and not isinstance(value, bool) and value in recent:
            self.stats.pongs_received += 1
            session.unanswered.clear()

    # ── requests, §4 ─────────────────────────────────────────────────────────────────────────────────────────────

    def hear(self, peer: Peer, opcode: Opcode, data: bytes) -> None:
        if opcode not in (Opcode.TEXT, Opcode.BINARY):
            return
        session: Session = peer.session
        try:
            message = msgspec.json.decode(data)
        except msgspec.DecodeError:
            message = None
        if not isinstance(message, dict):
            self._refuse(peer, "", "bad-request", "not json, is not json string")
            return
        if "pong" in message:
            self._pong(session, message["pong"])
            return
        if "ping" in message:
            if self.answers_pings:
                self.reply(peer, {"pong": message["ping"]})
            return
        id_ = message.get("id")
        word = next((word for word in ("sub", "unsub", "req") if word in message), None)
        if word is None:
            self._refuse(peer, id_, "bad-request", "invalid request")
            return
        limit = session.limits.get(word)
        if limit is not None and not limit.allows(self.mono_ms()) and self.enforce_limits:
            self.breach("requests")
            self._refuse(peer, id_, "429", "429 too many request")
            return
        topic = message[word]
        meaning = self.meaning(session, word, topic, message) if isinstance(topic, str) else f"invalid topic {topic!r}"
        if isinstance(meaning, str):
            self._refuse(peer, id_, "bad-request", meaning)
        elif word == "req":
            self._answer(peer, meaning, id_)
        elif word == "unsub":
            self._unsubscribe(peer, session, meaning)
            self._acknowledge(peer, id_, "unsubbed", meaning.topic)
        else:
            self._subscribe(peer, session, meaning, id_)

    def _subscribe(self, peer: Peer, session: Session, meaning: Meaning, id_: Any) -> None:
        """Subscribing again brings an acknowledgement and nothing else."""
        wrong = self.faults.take("wrong_ack")
        acked = meaning.topic.replace("market.", "market.X", 1) if wrong else meaning.topic
        if self.acks_first:
            self._acknowledge(peer, id_, "subbed", acked)
        if meaning.stream not in session.streams:
            session.streams.add(meaning.stream)
            feed = meaning.feed
            stream = feed.streams.get(meaning.stream)
            if stream is None:
                stream = Stream(meaning.stream, meaning.kind, depth=meaning.depth, is_delta=meaning.is_delta)
                feed.streams[meaning.stream] = stream
            if not stream.has_listeners:
                stream.sequence, stream.sent_ms, stream.due_ms = feed.instrument.sequence, self.mono_ms(), 0.0
            self.start(peer, feed, stream, meaning.topic)
            stream.raw.add(peer)
        if not self.acks_first:
            self._acknowledge(peer, id_, "subbed", acked)

    def _unsubscribe(self, peer: Peer, session: Session, meaning: Meaning) -> None:
        session.streams.discard(meaning.stream)
        stream = meaning.feed.streams.get(meaning.stream)
        if stream is not None:
            self.leave(stream, peer)

    def leave(self, stream: Stream, peer: Peer) -> None:
        """The last listener takes the window of the stream along."""
        super().leave(stream, peer)
        if not stream.has_listeners:
            self.views.pop(stream.name, None)

    def _acknowledge(self, peer: Peer, id_: Any, word: str, topic: str) -> None:
        self.reply(peer, {"id": id_, "status": "ok", word: topic, "ts": self.wall_ms()})

    def _answer(self, peer: Peer, meaning: Meaning, id_: Any) -> None:
        """The answer to `req`; the misbehaviour `straddle` puts it inside a delta."""
        feed = meaning.feed
        straddled = self.faults.take("straddle", feed.pair)
        if straddled:
            self.advance(feed)
        data = self.asked(meaning)
        if straddled:
            self.advance(feed)
        rep = f'"rep":"{meaning.topic}","status":"ok","ts":{self.wall_ms()},"data":{data}'
        self.send_later(peer, self.spelled(feed, b'{"id":%b,%b}' % (msgspec.json.encode(id_), rep.encode())))

    def _refuse(self, peer: Peer, id_: Any, code: str, message: str) -> None:
        body = {"status": "error", "ts": self.wall_ms(), "id": id_, "err-code": code, "err-msg": message}
        self.reply(peer, body)

    # ── streams ──────────────────────────────────────────────────────────────────────────────────────────────────

    def publish(self, feed: Feed, half: HalfStep, now_ms: float, *, settle: bool, force: bool = False) -> None:
        wall = self.wall_ms()
        if half.trades:
            self._last_trades[feed.listing.id] = (half.trades[-1], wall)
        streams = feed.listened()
        touched = feed.touch_changed()
        if not streams or self.faults.find("stall", feed.pair):
            return
        for stream in streams:
            if stream.kind == "trade.detail":
                if half.trades:
                    self.deliver(feed, stream, self.trades(feed, half.trades, wall).encode())
            elif stream.kind == "bbo":
                if touched or force:
                    self.deliver(feed, stream, self.view(feed, stream, wall).encode())
            else:
                self.publish_book(feed, stream, now_ms, wall, settle=settle, force=force)

    def last_trade(self, feed: Feed) -> tuple[Trade, int]:
        """The last trade and its Unix ms; a fresh market has one from before."""
        known = self._last_trades.get(feed.listing.id)
        if known is None:
            book = feed.instrument
            first = Trade(book.bids.best, (1,), False, book.last_trade_id, book.last_trade_id, book.sequence - 1)
            known = self._last_trades[feed.listing.id] = (first, self.wall_ms() - _OLD_TRADE_MS)
        return known

    def first(self, peer: Peer, feed: Feed, payload: str) -> None:
        """What a subscription begins with."""
        for out in self.faults.outgoing(feed.pair, "", self.spelled(feed, payload.encode()), is_delta=False):
            self.push_later(peer, out)

    def deliver(self, feed: Feed, stream: Stream, payload: bytes) -> None:
        super().deliver(feed, stream, self.spelled(feed, payload))

    def spelled(self, feed: Feed, payload: bytes) -> bytes:
        """The payload, or what the misbehaviour `exponents` makes of its levels."""
        if not self.faults.find("exponents", feed.pair):
            return payload
        return _LEVEL_NUMBER.sub(lambda found: format(Decimal(found[0].decode()), "E").encode(), payload)

    def show(self, feed: Feed, stream: Stream, now_ms: float, wall_ms: int) -> None:
        """Push what a stream without deltas shows now."""
        stream.sequence, stream.sent_ms = feed.instrument.sequence, now_ms
        payload = self.view(feed, stream, wall_ms).encode()
        self.deliver(feed, stream, payload)
        if stream.depth and self.faults.take("repeated_image", feed.pair):
            self.deliver(feed, stream, payload)

    def view_of(self, feed: Feed, stream: Stream) -> View:
        """The window of a stream of changes, made for its first listener."""
        view = self.views.get(stream.name)
        if view is None:
            view = self.views[stream.name] = View(feed.instrument, stream.depth)
        return view

    def maybe_empty(self, feed: Feed, view: View) -> bool:
        """Whether `empty_delta` wants a message without levels now; room for its id is made."""
        if not self.faults.take("empty_delta", feed.pair):
            return False
        feed.instrument.sequence += 1
        return True

    # ── what spot and swaps must say ─────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def meaning(self, session: Session, word: str, topic: str, request: dict[str, Any]) -> Meaning | str:
        """What `topic` asks for, or why it is refused. `word` is sub, unsub or req."""

    @abstractmethod
    def start(self, peer: Peer, feed: Feed, stream: Stream, topic: str) -> None:
        """Give a new listener what the subscription begins with."""

    @abstractmethod
    def asked(self, meaning: Meaning) -> str:
        """The data of an answer to `req`."""

    @abstractmethod
    def view(self, feed: Feed, stream: Stream, wall_ms: int) -> str:
        """What a stream without deltas shows now."""

    @abstractmethod
    def trades(self, feed: Feed, made: list[Trade], wall_ms: int) -> str:
        """A push of trades."""

    @abstractmethod
    def publish_book(
        self, feed: Feed, stream: Stream, now_ms: float, wall_ms: int, *, settle: bool, force: bool
    ) -> None:
        """Deliver what half an interval did to a stream that is neither of trades nor of best prices."""
