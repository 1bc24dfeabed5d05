"""MEXC spot's public socket as a server keeps it (venues/mexc.md §2-§6, §10).

Control is JSON text, data are protobuf messages in binary frames of the same socket. A refusal looks like an
acknowledgement: code 0, and only the text names what was not subscribed.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import msgspec

from ops.simulator.catalogue import Listing
from ops.simulator.faults import Misbehaviour
from ops.simulator.feed import Feed, Stream
from ops.simulator.limits import SlidingLimit
from ops.simulator.market import HalfStep
from ops.simulator.mexc import listing, spot_text
from ops.simulator.mexc.common import CLOSE_GRACE_MS, MexcVenue
from ops.simulator.mexc.spot_rest import SpotRest
from ops.simulator.venue import Timing, Venue
from ops.simulator.window import DeltaWindow
from ops.simulator.wire import Opcode, Peer, Request, Response, binary_frame, text_frame

TIMING = {"idle_ms": 60_000.0, "lifetime_ms": 86_400_000.0}
UNSUBSCRIBED_MS = 30_000.0
_MAX_TOPICS = 30
_MESSAGES, _MESSAGES_WINDOW_MS = 100, 1000.0
_BAD_REQUEST = 1  # that the code is not 0 is all that is published
_REASON = "  Reason： Blocked! "  # the colon is U+FF1A, and a blank ends the text
_AGGREGATES = re.compile(r"spot@public\.aggre\.(depth|deals|bookTicker)\.v3\.api\.pb@(10|100)ms@([^@]+)")
_LIMIT_DEPTH = re.compile(r"spot@public\.limit\.depth\.v3\.api\.pb@([^@]+)@(5|10|20)")
_SILENT = re.compile(
    r"spot@public\.(?:bookTicker\.batch\.v3\.api\.pb@([^@]+)|kline\.v3\.api\.pb@([^@]+)@[A-Z][a-z]+\d*)"
)


class Topic(NamedTuple):
    """What a topic means."""

    symbol: str
    kind: str  # depth, deals, bookTicker, limit; silent: acknowledged, and not played here
    interval_ms: int = 0
    depth: int = 0


def parse_topic(name: str) -> Topic | None:
    """None for what the venue blocks: retired topics and whatever else it does not know (§4.1)."""
    if found := _AGGREGATES.fullmatch(name):
        return Topic(found[3], found[1], int(found[2]))
    if found := _LIMIT_DEPTH.fullmatch(name):
        return Topic(found[1], "limit", 100, int(found[2]))
    if found := _SILENT.fullmatch(name):
        return Topic(found[1] or found[2], "silent")
    return None


def blocked(venue: Venue, *, pair: str) -> Misbehaviour:
    """Refuse every new subscription of a pair as Blocked. Realistic for a pair that was just delisted."""
    return venue.faults.add(Misbehaviour("blocked", pair))


def empty_push(venue: Venue, *, pair: str) -> Misbehaviour:
    """Push an envelope without a body on every topic of the pair that somebody listens to. Seen on quiet pairs."""
    feed = venue.feed_of_pair(pair)
    for stream in feed.listened():
        venue.deliver(feed, stream, spot_text.wrapper(stream.name, feed.listing.id, venue.wall_ms()))
    return Misbehaviour("empty_push", pair, active=False)


@dataclass(eq=False, slots=True)
class Session:
    """What the venue knows of one connection."""

    messages: SlidingLimit
    bare_since_ms: float  # when it last had no topic
    topics: dict[str, None] = field(default_factory=dict)
    ended_ms: float | None = None  # when our close frame was sent


class MexcSpotPublic(MexcVenue):
    """MEXC spot."""

    own_misbehaviours: ClassVar[Mapping[str, Callable[..., Misbehaviour]]] = {
        **MexcVenue.own_misbehaviours,
        "blocked": blocked,
        "empty_push": empty_push,
    }

    @staticmethod
    def listed(market: str, count: int) -> list[Listing]:
        return listing.listed(market, count)

    @staticmethod
    def timing_of(market: str) -> Timing:
        return Timing(**TIMING)

    def __init__(self, market: str, *args: Any, **options: Any) -> None:
        super().__init__(market, *args, **options)
        self.unsubscribed_ms = UNSUBSCRIBED_MS  # a socket without a topic lives this long
        self._rest = SpotRest(self)

    def rest(self, request: Request) -> Response:
        return self._rest.answer(request)

    def rate_limited(self, status: int, retry_after_s: int) -> Response:
        return self._rest.limited(status, retry_after_s)

    def push_frame(self, payload: bytes) -> bytes:
        return binary_frame(payload)

    def answer_frame(self, payload: bytes) -> bytes:
        return text_frame(payload)

    # ── connections, §2 and §3 ───────────────────────────────────────────────────────────────────────────────────

    def refuse_websocket(self, request: Request) -> Response | None:
        return None if request.path == "/ws" else Response(404, b"", content_type="text/plain")

    def greet(self, peer: Peer, request: Request) -> None:
        peer.session = Session(SlidingLimit(_MESSAGES, _MESSAGES_WINDOW_MS), self.mono_ms())

    def tend(self, peer: Peer, now_ms: float) -> None:
        """30 s without a valid subscription, 60 s without traffic, 24 h: the socket ends, and no code says why (§10)."""
        session: Session = peer.session
        timing = self.timing
        if session.ended_ms is not None:
            if now_ms - session.ended_ms > CLOSE_GRACE_MS:
                peer.abort()
        elif timing.lifetime_ms and peer.age_ms >= timing.lifetime_ms:
            self._end(peer, session, now_ms)
        elif not session.topics and self.unsubscribed_ms and now_ms - session.bare_since_ms >= self.unsubscribed_ms:
            self.breach("no subscription")
            self._end(peer, session, now_ms)
        elif timing.idle_ms and peer.idle_ms >= timing.idle_ms:
            self.breach("idle")
            self._end(peer, session, now_ms)

    def _end(self, peer: Peer, session: Session, now_ms: float) -> None:
        session.ended_ms = now_ms
        self.end_without_code(peer)

    # ── requests, §4.1 ───────────────────────────────────────────────────────────────────────────────────────────

    def hear(self, peer: Peer, opcode: Opcode, data: bytes) -> None:
        if opcode not in (Opcode.TEXT, Opcode.BINARY):
            return
        session: Session = peer.session
        if self.enforce_limits and not session.messages.allows(self.mono_ms()):
            self.breach("messages")
            peer.close(1008, "")
            return
        try:
            request = msgspec.json.decode(data)
        except msgspec.DecodeError:
            request = None
        id_ = request.get("id", 0) if isinstance(request, dict) else 0
        method = request.get("method") if isinstance(request, dict) else None
        params = request.get("params") if isinstance(request, dict) else None
        if not isinstance(id_, int) or isinstance(id_, bool) or id_ < 0:
            self._answer(peer, 0, _BAD_REQUEST, "id must be an unsigned integer")
        elif method in ("PING", "ping"):
            self.stats.pongs_received += 1
            self._answer(peer, 0, 0, "PONG")
        elif not isinstance(params, list) or not params or not all(isinstance(one, str) for one in params):
            self._answer(peer, id_, _BAD_REQUEST, "params must be a list of topics")
        elif method == "SUBSCRIPTION":
            self._subscribe(peer, session, params, id_)
        elif method == "UNSUBSCRIPTION":
            self._unsubscribe(peer, session, params)
            self._answer(peer, id_, 0, ",".join(params))
        else:
            self._answer(peer, id_, _BAD_REQUEST, f"unknown method {str(method)[:40]}")

    def _answer(self, peer: Peer, id_: int, code: int, message: str) -> None:
        self.reply(peer, {"id": id_, "code": code, "msg": message})

    def _subscribe(self, peer: Peer, session: Session, names: list[str], id_: int) -> None:
        taken: list[str] = []
        refused: list[str] = []
        for name in names:
            (taken if self._take(peer, session, name) else refused).append(name)
        if self.faults.take("wrong_ack"):
            id_ += 1_000_003
            taken = [name.replace("api.pb@", "api.pb@X") for name in taken]
        if not refused:
            self._answer(peer, id_, 0, ",".join(taken))
            return
        subscribed = f"Subscribed successful! [{','.join(taken)}]. " if taken else ""
        self._answer(peer, id_, 0, f"{subscribed}Not Subscribed successfully! [{', '.join(refused)}].{_REASON}")

    def _take(self, peer: Peer, session: Session, name: str) -> bool:
        topic = parse_topic(name)
        if topic is None or topic.symbol not in self.listings:
            return False
        feed = self.feed(topic.symbol)
        if self.faults.find("blocked", feed.pair):
            return False
        if name in session.topics:
            return True
        if self.enforce_limits and len(session.topics) >= _MAX_TOPICS:
            self.breach("topics")
            return False
        session.topics[name] = None
        if topic.kind != "silent":
            self._start(peer, feed, name, topic)
        return True

    def _start(self, peer: Peer, feed: Feed, name: str, topic: Topic) -> None:
        stream = feed.streams.get(name)
        if stream is None:
            stream = Stream(name, topic.kind, topic.interval_ms, topic.depth, is_delta=topic.kind == "depth")
            feed.streams[name] = stream
        if not stream.has_listeners:
            stream.sequence = -1
        if stream.is_delta and stream.window is None:
            stream.window = DeltaWindow(feed.instrument.sequence)
        stream.raw.add(peer)

    def _unsubscribe(self, peer: Peer, session: Session, names: list[str]) -> None:
        for name in names:
            topic = parse_topic(name)
            if topic is None or name not in session.topics:
                continue
            del session.topics[name]
            if topic.kind != "silent":
                self.leave(self.feed(topic.symbol).streams[name], peer)
            if not session.topics:
                session.bare_since_ms = self.mono_ms()

    # ── pushes, §5 and §6 ────────────────────────────────────────────────────────────────────────────────────────

    def publish(self, feed: Feed, half: HalfStep, now_ms: float, *, settle: bool, force: bool = False) -> None:
        streams = feed.listened()
        if not streams or self.faults.find("stall", feed.pair):
            return
        wall = self.wall_ms()
        for stream in streams:
            due = settle or force or stream.interval_ms < 100
            payload = self._payload(feed, stream, half, wall, due=due)
            if payload is not None:
                self.deliver(feed, stream, payload)

    def _payload(self, feed: Feed, stream: Stream, half: HalfStep, wall_ms: int, *, due: bool) -> bytes | None:
        """What a stream says now; None: nothing."""
        if stream.kind == "deals":
            return spot_text.deals(feed, stream, half.trades, wall_ms) if half.trades else None
        if not due:
            return None
        if stream.window is not None:
            delta = stream.window.take()
            return None if delta is None else spot_text.diff(feed, stream, self.distort(feed, delta), wall_ms)
        repeats = stream.kind == "bookTicker" and stream.interval_ms < 100  # the fast one says it again unchanged
        if stream.sequence == feed.instrument.sequence and not repeats:
            return None
        stream.sequence = feed.instrument.sequence
        if stream.kind == "limit":
            return spot_text.limit_depth(feed, stream, wall_ms)
        return spot_text.book_ticker(feed, stream, wall_ms)
