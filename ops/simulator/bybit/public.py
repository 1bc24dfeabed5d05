"""Bybit's public side, spot or linear, as a server keeps it (venues/bybit.md §2-§6, §10).

Every book topic counts its own messages, for all connections alike (`books`). A snapshot for a newcomer first tells those
who listen already what happened since, so that it stands for a message of their chain. What the sheet does not state is
chosen here: the text of a refusal for too many characters, the close code of an idle connection.
"""

import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec

from ops.simulator.bybit import listing, quirks
from ops.simulator.bybit import text as bybit_text
from ops.simulator.bybit.books import BookTopic
from ops.simulator.bybit.rest import BybitRest, system_busy, too_frequent
from ops.simulator.bybit.text import FULL, Topic, parse_topic
from ops.simulator.catalogue import Listing
from ops.simulator.faults import Misbehaviour
from ops.simulator.feed import Feed, Stream
from ops.simulator.limits import SlidingLimit
from ops.simulator.market import HalfStep
from ops.simulator.venue import Timing, Venue
from ops.simulator.window import DeltaWindow
from ops.simulator.wire import Opcode, Peer, Request, Response

TIMING = {"idle_ms": 600_000.0, "keepalive_ms": 3_000.0}
_PATHS = {"spot": "/v5/public/spot", "futures": "/v5/public/linear"}
_CONNECTS, _CONNECTS_WINDOW_MS = 500, 300_000.0
CONNECTIONS = 1000  # of one address
_SPOT_ARGS = 10  # in a request
ARGS_CHARACTERS = 21_000  # of everything subscribed on a connection
_LATE_ACKS = 0.25  # share of subscriptions whose data comes before the acknowledgement
_BEST = 1


@dataclass(eq=False, slots=True)
class Session:
    """What the venue knows of one connection."""

    conn_id: str
    topics: dict[str, None] = field(default_factory=dict)

    @property
    def characters(self) -> int:
        """Of all topics subscribed."""
        return sum(map(len, self.topics))


class BybitPublic(Venue):
    """One Bybit market. `market` is spot or futures (linear)."""

    venue = "bybit"
    jump = 8
    most_levels = 1000
    own_misbehaviours: ClassVar[Mapping[str, Callable[..., Misbehaviour]]] = quirks.OWN

    @staticmethod
    def listed(market: str, count: int) -> list[Listing]:
        return listing.listed(market, count)

    @staticmethod
    def timing_of(market: str) -> Timing:
        return Timing(**TIMING)

    def __init__(self, market: str, *args: Any, **options: Any) -> None:
        super().__init__(market, *args, **options)
        self._rest = BybitRest(self, self._settled)
        self._connects: dict[str, SlidingLimit] = {}
        self._random = random.Random(f"{self._seed}/bybit/{market}")
        self._books: dict[tuple[str, int], BookTopic] = {}  # by listing id and depth
        self._last_trades: dict[str, tuple[int, int]] = {}  # listing id -> (ticks, lots)

    def rest(self, request: Request) -> Response:
        return self._rest.answer(request)

    def rate_limited(self, status: int, retry_after_s: int) -> Response:
        """429 is the venue's own trouble; whoever is over the limit of an address gets 403. No header says how long."""
        return system_busy(self.wall_ms()) if status == 429 else too_frequent()

    # ── connections ──────────────────────────────────────────────────────────────────────────────────────────────

    def refuse_websocket(self, request: Request) -> Response | None:
        if request.path != _PATHS[self.market]:
            return Response(404, b"", content_type="text/plain")
        if not self.enforce_limits:
            return None
        limit = self._connects.setdefault(request.remote_ip, SlidingLimit(_CONNECTS, _CONNECTS_WINDOW_MS))
        if not limit.allows(self.mono_ms()):
            self.breach("connects")
            return too_frequent()
        if sum(peer.remote_ip == request.remote_ip for peer in self.peers) >= CONNECTIONS:
            self.breach("connections")
            return too_frequent()
        return None

    def greet(self, peer: Peer, request: Request) -> None:
        peer.session = Session(str(uuid.UUID(int=self._random.getrandbits(128), version=4)))

    def tend(self, peer: Peer, now_ms: float) -> None:
        """§2: cut after 10 min without a ping and without data."""
        if self.timing.idle_ms and peer.is_open and peer.idle_ms >= self.timing.idle_ms:
            self.breach("idle")
            peer.close(1001, "idle")

    # ── requests, §3 and §4 ──────────────────────────────────────────────────────────────────────────────────────

    def hear(self, peer: Peer, opcode: Opcode, data: bytes) -> None:
        if opcode not in (Opcode.TEXT, Opcode.BINARY):
            return
        try:
            request = msgspec.json.decode(data)
        except msgspec.DecodeError:
            request = None
        if not isinstance(request, dict) or request.get("op") not in ("ping", "subscribe", "unsubscribe"):
            op = request.get("op", "") if isinstance(request, dict) else ""
            echo = {"op": op, "args": None}
            session: Session = peer.session
            error = {"success": False, "ret_msg": "error:invalid op", "conn_id": session.conn_id, "request": echo}
            self.reply(peer, error)
        elif request["op"] == "ping":
            self._pong(peer, request)
        else:
            self._change(peer, request)

    def _pong(self, peer: Peer, request: dict[str, Any]) -> None:
        """§3: its op is `ping`, and only linear repeats the id."""
        self.stats.pongs_received += 1
        pong: dict[str, Any] = {"success": True, "ret_msg": "pong", "conn_id": peer.session.conn_id}
        if self.market != "spot" and request.get("req_id"):
            pong["req_id"] = request["req_id"]
        self.reply(peer, {**pong, "op": "ping"})

    def _change(self, peer: Peer, request: dict[str, Any]) -> None:
        """All of a request is carried out, or nothing."""
        session: Session = peer.session
        op, args = request["op"], request.get("args")
        names = args if isinstance(args, list) else []
        trouble = self._trouble(session, op, names)
        if trouble is not None:
            self._answer(peer, request, success=False, text=trouble)
            return
        if op == "unsubscribe":
            for name in names:
                self._unsubscribe(peer, session, name)
            self._answer(peer, request, success=True)
            return
        wrong = self.faults.take("wrong_ack")
        answered = {**request, "req_id": f"{request.get('req_id', '')}-other"} if wrong else request
        late = self.faults.take("late_ack") or self._random.random() < _LATE_ACKS
        if not late:
            self._answer(peer, answered, success=True)
        for name in names:
            self._subscribe(peer, session, name)
        if late:
            self._answer(peer, answered, success=True)

    def _answer(self, peer: Peer, request: dict[str, Any], *, success: bool, text: str = "") -> None:
        if success and self.market == "spot":
            text = str(request["op"])
        numbers = {"conn_id": peer.session.conn_id, "req_id": str(request.get("req_id", ""))}
        self.reply(peer, {"success": success, "ret_msg": text, **numbers, "op": request["op"]})

    def _trouble(self, session: Session, op: str, names: list[Any]) -> str | None:
        """What is wrong with a request; the first thing found."""
        if not names or not all(isinstance(name, str) for name in names):
            return "error:invalid args"
        if self.market == "spot" and self.enforce_limits and len(names) > _SPOT_ARGS:
            self.breach("args")
            return f"args size >{_SPOT_ARGS}"
        asked: set[str] = set()
        for name in names:
            topic = parse_topic(name, self.market)
            if topic is None:
                return f"error:handler not found,topic:{name}"
            if topic.symbol not in self.listings:
                return f"Invalid symbol :[{topic.symbol}]" if self.market == "spot" else _not_found(name)
            if op == "subscribe" and (name in session.topics or name in asked):
                return f"error:already subscribed,topic:{name}"
            asked.add(name)
        characters = session.characters + sum(map(len, names))
        if op == "subscribe" and self.enforce_limits and characters > ARGS_CHARACTERS:
            self.breach("args characters")
            return f"error:args characters >{ARGS_CHARACTERS}"
        return None

    # ── topics, §5 ───────────────────────────────────────────────────────────────────────────────────────────────

    def _subscribe(self, peer: Peer, session: Session, name: str) -> None:
        topic = parse_topic(name, self.market)
        if topic is None:
            raise AssertionError(f"{name}: _trouble lets no such topic pass")
        session.topics[name] = None
        feed = self.feed(topic.symbol)
        stream = feed.streams.get(name)
        if stream is None:
            is_delta = topic.kind == "orderbook" and topic.depth != _BEST
            stream = Stream(name, topic.kind, topic.interval_ms, topic.depth, is_delta=is_delta)
            feed.streams[name] = stream
        first = self._first(feed, stream, topic)
        stream.raw.add(peer)
        for payload in [] if first is None else self.faults.outgoing(feed.pair, "", first.encode(), is_delta=False):
            self.push_later(peer, payload)

    def _first(self, feed: Feed, stream: Stream, topic: Topic) -> str | None:
        """What a newcomer is told at once; nothing of trades and of the full book."""
        now, wall = self.mono_ms(), self.wall_ms()
        if topic.kind == "tickers":
            return bybit_text.ticker(feed, stream.name, "snapshot", self._last_trade(feed), wall)
        if topic.kind != "orderbook":
            return None
        if stream.is_delta and stream.window is None:
            stream.window = DeltaWindow(feed.instrument.sequence)
        book = self._settled(feed, topic.depth)
        if not stream.has_listeners:
            stream.sent_ms = now
        if topic.depth == FULL:
            return None
        self.stats.snapshots += 1
        return self._snapshot_text(book, stream.name)

    def _unsubscribe(self, peer: Peer, session: Session, name: str) -> None:
        session.topics.pop(name, None)
        topic = parse_topic(name, self.market)
        stream = self.feed(topic.symbol).streams.get(name) if topic is not None else None
        if stream is not None:
            self.leave(stream, peer)

    def _book(self, feed: Feed, depth: int) -> BookTopic:
        key = feed.listing.id, depth
        book = self._books.get(key)
        if book is None:
            start = random.Random(f"{self._seed}/{self.market}/{feed.listing.id}/{depth}").randrange(10**5, 10**7)
            book = self._books[key] = BookTopic(feed, depth, start)
        return book

    def _settled(self, feed: Feed, depth: int) -> BookTopic:
        """The book topic of a depth, after telling its listeners all that happened."""
        book = self._book(feed, depth)
        stream = feed.streams.get(_book_name(feed, depth))
        if stream is None or not stream.has_listeners:
            book.advance(None if stream is None else stream.window)
        elif depth == _BEST:
            self._push_best(feed, stream, self.mono_ms())
        else:
            self._push_delta(feed, stream, self.mono_ms())
        return book

    # ── publishing ───────────────────────────────────────────────────────────────────────────────────────────────

    def publish(self, feed: Feed, half: HalfStep, now_ms: float, *, settle: bool, force: bool = False) -> None:
        if half.trades:
            last = half.trades[-1]
            self._last_trades[feed.listing.id] = (last.price, sum(last.fills))
        streams = feed.listened()
        touched = feed.touch_changed()
        if not streams or self.faults.find("stall", feed.pair):
            return
        wall = self.wall_ms()
        for stream in streams:
            if stream.kind == "publicTrade":
                if half.trades:
                    self.deliver(feed, stream, bybit_text.trades(feed, stream.name, half.trades, wall).encode())
            elif stream.kind == "tickers":
                if touched:
                    kind = "snapshot" if self.market == "spot" else "delta"
                    payload = bybit_text.ticker(feed, stream.name, kind, self._last_trade(feed), wall)
                    self.deliver(feed, stream, payload.encode())
            elif stream.depth == _BEST:
                self._push_best(feed, stream, now_ms)
            elif force or _is_due(stream, now_ms, settle=settle):
                self._push_delta(feed, stream, now_ms)

    def tend_streams(self, now_ms: float) -> None:
        """§5.3: the best prices are told again after 3 s without change, with the same u."""
        if not self.timing.keepalive_ms:
            return
        for feed in self.feeds():
            for stream in feed.listened():
                if stream.depth == _BEST and now_ms - stream.sent_ms >= self.timing.keepalive_ms:
                    self._send_best(feed, stream, now_ms)

    def restart(self, feed: Feed, *, in_deltas: bool) -> None:
        """The service of an instrument's books restarts; `quirks.restart` says what is told."""
        for depth in (_BEST, 50, 200, 1000, FULL):
            stream = feed.streams.get(_book_name(feed, depth))
            book = self._book(feed, depth)
            book.restart(None if stream is None else stream.window)
            if stream is None or not stream.has_listeners:
                continue
            if depth == FULL:
                payload = bybit_text.book(feed, stream.name, "delta", ([], []), book.numbers, self.wall_ms())
            elif in_deltas and depth != _BEST:
                payload = bybit_text.book(feed, stream.name, "delta", book.window(), book.numbers, self.wall_ms())
            else:
                payload = self._snapshot_text(book, stream.name)
            self.fan_out(self.push_frame(payload.encode()), stream.raw)

    def resend(self, feed: Feed) -> None:
        """Send the snapshots of an instrument's books without being asked, in place of the next deltas."""
        for stream in feed.listened():
            if stream.is_delta and stream.depth != FULL:
                book = self._book(feed, stream.depth)
                book.advance(stream.window)
                self.fan_out(self.push_frame(self._snapshot_text(book, stream.name).encode()), stream.raw)

    def _push_delta(self, feed: Feed, stream: Stream, now_ms: float) -> None:
        book = self._book(feed, stream.depth)
        delta = book.advance(stream.window)
        if delta is not None:
            delta = self.distort(feed, delta)
            stream.sent_ms = now_ms
            sides = delta.bids.items(), delta.asks.items()
            payload = bybit_text.book(feed, stream.name, "delta", sides, book.numbers, self.wall_ms())
            self.deliver(feed, stream, payload.encode())

    def _push_best(self, feed: Feed, stream: Stream, now_ms: float) -> None:
        if self._book(feed, _BEST).advance(None) is not None:
            self._send_best(feed, stream, now_ms)

    def _send_best(self, feed: Feed, stream: Stream, now_ms: float) -> None:
        stream.sent_ms = now_ms
        self.deliver(feed, stream, self._snapshot_text(self._book(feed, _BEST), stream.name).encode())

    def _snapshot_text(self, book: BookTopic, name: str) -> str:
        return bybit_text.book(
            book.feed, name, "snapshot", (book.bids.items(), book.asks.items()), book.numbers, self.wall_ms()
        )  # fmt: skip

    def _last_trade(self, feed: Feed) -> tuple[int, int]:
        return self._last_trades.get(feed.listing.id) or (feed.instrument.bids.best, 1)


def _not_found(name: str) -> str:
    return f"error:handler not found,topic:{name}"


def _book_name(feed: Feed, depth: int) -> str:
    return f"orderbook.{'full' if depth == FULL else depth}.{feed.listing.id}"


def _is_due(stream: Stream, now_ms: float, *, settle: bool) -> bool:
    """Instruments move twice in 100 ms: a topic of 20 ms tells each half, slower ones whole intervals."""
    if stream.interval_ms < 100:
        return True
    if not settle or (stream.interval_ms > 100 and now_ms + 10 < stream.due_ms):
        return False
    stream.due_ms = max(stream.due_ms, now_ms - 100) + stream.interval_ms
    return True
