"""One simulated venue-market on one port: connections, the pump that moves its markets, misbehaviours, counts.

What differs between venues (words, rules, limits) is in the subclasses, one module a venue side. The pump runs every
20 ms and moves each instrument on its own phase, so that eighty books do not all speak in the same instant; an
instrument that nobody listens to or asks for sleeps.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import msgspec

from fleet.clock import MonoMs, WallMs
from fleet.errors import ConfigError
from ops.simulator.catalogue import Listing
from ops.simulator.faults import ANY_PAIR, Faults, Misbehaviour
from ops.simulator.feed import Feed, Stream
from ops.simulator.lateness import Lateness
from ops.simulator.market import HalfStep, SimulatedInstrument
from ops.simulator.misbehaviours import misbehave
from ops.simulator.stats import Stats
from ops.simulator.window import Delta
from ops.simulator.wire import Opcode, Peer, Request, Response, text_frame

PUMP_MS = 20
_PHASES = 5  # 5 x 20 ms = one interval of 100 ms
_QUOTE_LAG = 2  # pump turns between the two halves of an interval
_AWAKE_MS = 60_000.0  # a book that REST asked for keeps moving this long
_UNAVAILABLE = Response(503, b'{"msg":"Service Unavailable."}')
_REMEMBERED = 20_000  # requests, the newest ones
_MAX_BACKLOG = 16 * 1024 * 1024  # bytes unread by a client before the venue drops it


@dataclass(slots=True, kw_only=True)
class Timing:
    """Every delay that a venue enforces, in ms; 0 = the venue has none. Tests shorten them."""

    ping_interval_ms: float = 0
    pong_timeout_ms: float = 0
    lifetime_ms: float = 0
    idle_ms: float = 0
    keepalive_ms: float = 0


class Venue(ABC):
    """A venue-market that listens. Made and run by `Simulator`."""

    venue: str
    market: str
    quote = "USDT"  # of the pairs that every venue lists
    jump = 4  # the largest step of its counter beyond one an update
    most_levels = 5000  # a side, that its deepest channel shows
    checksums = False  # whether its book messages carry one
    own_misbehaviours: ClassVar[Mapping[str, Callable[..., Misbehaviour]]] = {}  # beside those of `misbehaviours`

    def __init__(
        self,
        market: str,
        listings: Iterable[Listing],
        *,
        rate: float,
        seed: int,
        levels: int,
        enforce_limits: bool,
        wall_ms: WallMs,
        mono_ms: MonoMs,
    ) -> None:
        self.listings = {listing.id: listing for listing in listings}
        self.market = market
        self.timing = self.timing_of(market)
        self.enforce_limits = enforce_limits
        self.wall_ms = wall_ms
        self.mono_ms = mono_ms
        self.faults = Faults()
        self.stats = Stats()
        self.lateness = Lateness()
        self.requests: deque[tuple[int, str, int]] = deque(maxlen=_REMEMBERED)  # (Unix ms, what, HTTP status; 0: cut)
        self.peers: set[Peer] = set()
        self.frozen = False
        self.port = 0
        self.control: Callable[[Request], Response] | None = None  # answers /_control; set by the simulator
        self._rate, self._seed, self._levels = rate, seed, levels
        self._feeds: dict[str, Feed] = {}
        self._dirty: set[Peer] = set()
        self._connections: set[Peer] = set()  # plain HTTP ones too
        self._turn = 0
        self._listener: asyncio.Server | None = None

    # ── for tests and tools ──────────────────────────────────────────────────────────────────────────────────────

    def misbehave(self, name: str, **options: Any) -> Misbehaviour:
        """Switch a misbehaviour of `misbehaviours` on; usable as a context manager. Raises ConfigError."""
        return misbehave(self, name, options)

    def behave(self, name: str, pair: str = ANY_PAIR) -> int:
        """Switch off every misbehaviour of that name (of that pair, if one is given); how many there were."""
        return self.faults.end("drop" if name == "gap" else name, pair)

    def advance(self, feed: Feed) -> None:
        """Make a book differ from what it is now; listeners learn it with the next message."""
        feed.merge(feed.instrument.skip())

    def feed_of_pair(self, pair: str) -> Feed:
        """The feed of a pair, BASE/QUOTE. Raises ConfigError for a pair that is not listed."""
        for listing in self.listings.values():
            if listing.pair == pair:
                return self.feed(listing.id)
        raise ConfigError(f"pair {pair!r}: {self.venue} {self.market} of this simulator does not list it")

    def instrument(self, pair: str) -> SimulatedInstrument:
        """The generated market of a pair. Raises ConfigError for a pair that is not listed."""
        return self.feed_of_pair(pair).instrument

    def book(self, pair: str) -> dict[str, Any]:
        """The exact book at this moment in venue text and venue units: {"sequence", "bids", "asks"}."""
        feed = self.feed_of_pair(pair)
        sequence, bids, asks = feed.instrument.book_at_now()
        return {"sequence": sequence, "bids": self.levels_text(feed, bids), "asks": self.levels_text(feed, asks)}

    def statistics(self) -> dict[str, Any]:
        """Counts since the start, as plain data."""
        self.stats.open = len(self.peers)
        return asdict(self.stats)

    def freeze(self) -> None:
        """Stop the generated market, after telling every listener all that has happened until now."""
        self.frozen = True
        now = self.mono_ms()
        for feed in self._feeds.values():
            self.publish(feed, HalfStep(), now, settle=True, force=True)
        self._flush()

    # ── the pump ─────────────────────────────────────────────────────────────────────────────────────────────────

    def pump(self, now_ms: float) -> None:
        """Move the markets whose turn it is and send what that gives. `now_ms` is monotonic."""
        self._turn += 1
        self.lateness.turned(now_ms)
        interval, phase = divmod(self._turn, _PHASES)
        for feed in self._feeds.values():
            if self.frozen or not feed.listing.trading:
                continue
            if feed.phase == phase and (feed.awake_until_ms > now_ms or feed.listened()):
                half = feed.instrument.trade_half(interval)
                feed.merge(half)
                self.publish(feed, half, now_ms, settle=False)
            elif (feed.phase + _QUOTE_LAG) % _PHASES == phase and (feed.awake_until_ms > now_ms or feed.listened()):
                half = feed.instrument.quote_half()
                feed.merge(half)
                self.publish(feed, half, now_ms, settle=True)
        if phase == 0:
            self.tend_streams(now_ms)
            for peer in list(self.peers):
                self._check_backlog(peer)
                self.tend(peer, now_ms)
        self._flush()

    def feed(self, listing_id: str) -> Feed:
        """The feed of a listed id, made at its first use."""
        feed = self._feeds.get(listing_id)
        if feed is None:
            seed = f"{self._seed}/{self.venue}/{self.market}/{listing_id}"
            listing = self.listings[listing_id]
            instrument = SimulatedInstrument(listing, seed=seed, rate=self._rate, levels=self._levels, jump=self.jump)
            feed = self._feeds[listing_id] = Feed(listing, instrument, phase=len(self._feeds) % _PHASES)
        return feed

    def snapshot(self, feed: Feed) -> tuple[int, list[tuple[int, int]], list[tuple[int, int]]]:
        """The book that REST shows: the exact one, or an old one while `stale_snapshot` is on."""
        self.stats.snapshots += 1
        feed.awake_until_ms = self.mono_ms() + _AWAKE_MS
        stale = self.faults.take("stale_snapshot", feed.pair)
        if stale is not None:
            old: tuple[int, list[tuple[int, int]], list[tuple[int, int]]] = stale.options["book"]
            return old
        return feed.instrument.book_at_now()

    def deliver(self, feed: Feed, stream: Stream, payload: bytes) -> None:
        """Queue a message to all who listen, or what the misbehaviours make of it."""
        for out in self.faults.outgoing(feed.pair, stream.name, payload, is_delta=stream.is_delta):
            if stream.raw:
                self.fan_out(self.push_frame(out), stream.raw)
            if stream.combined:
                self.fan_out(self.push_frame(self.wrap(stream, out)), stream.combined)

    def distort(self, feed: Feed, delta: Delta) -> Delta:
        """Cross the book inside a delta while `crossed` is on, and heal it in the next one."""
        return self.faults.distort(feed, delta)

    @staticmethod
    def levels_text(feed: Feed, levels: Iterable[tuple[int, int]]) -> list[list[str]]:
        """Levels as [[price, size], …] in the venue's text."""
        price, size = feed.price_text, feed.size_text
        return [[price(ticks), size(lots)] for ticks, lots in levels]

    # ── the server side of wire.Peer ─────────────────────────────────────────────────────────────────────────────

    async def listen(self, host: str, port: int) -> None:
        """Open the port; 0 = any free one."""
        self._listener = await asyncio.get_running_loop().create_server(lambda: Peer(self), host, port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Close the port and every connection."""
        if self._listener is not None:
            self._listener.close()
            for peer in list(self._connections):
                peer.abort()
            await self._listener.wait_closed()

    def connected(self, peer: Peer) -> None:
        """A client connected, for HTTP or a websocket."""
        self._connections.add(peer)

    def disconnected(self, peer: Peer) -> None:
        """Its connection is gone."""
        self._connections.discard(peer)

    def answer(self, request: Request) -> Response | None:
        """One REST request; None = cut the connection."""
        if self.control is not None and request.path.startswith("/_control"):
            return self.control(request)
        refused = self.faults.find("refuse")
        if refused is not None:
            response: Response | None = None if refused.options["hard"] else _UNAVAILABLE
        else:
            limited = self.faults.find("rate_limit")
            response = self.rate_limited(**limited.options) if limited else self.rest(request)
        status = str(response.status) if response else "cut"
        self.stats.requests[status] = self.stats.requests.get(status, 0) + 1
        self._remember("?".join([request.path, *map("=".join, request.query.items())]), response)
        return response

    def admit(self, peer: Peer, request: Request) -> Response | None:
        """Whether a websocket may open; a response refuses it (status 0 = cut)."""
        refused = self.faults.find("refuse")
        response = (Response(0, b"") if refused.options["hard"] else _UNAVAILABLE) if refused else None
        response = response or self.refuse_websocket(request)
        if response is not None:
            self.stats.connects_refused += 1
        self._remember("websocket", response or Response(101, b""))
        return response

    def _remember(self, what: str, response: Response | None) -> None:
        self.requests.append((self.wall_ms(), what, response.status if response else 0))

    def opened(self, peer: Peer, request: Request) -> None:
        """A websocket opened."""
        self.stats.connects += 1
        self.peers.add(peer)
        slow = self.faults.find("slow")
        peer.delay_s = slow.options["delay_ms"] / 1000 if slow else 0.0
        self.greet(peer, request)
        self._flush()

    def received(self, peer: Peer, opcode: Opcode, data: bytes) -> None:
        """A whole message or a control frame arrived."""
        self.stats.messages_received += 1
        self.hear(peer, opcode, data)
        self._flush()

    def closed(self, peer: Peer) -> None:
        """A websocket is gone."""
        self.peers.discard(peer)
        self._dirty.discard(peer)
        for feed in self._feeds.values():
            for stream in feed.streams.values():
                self.leave(stream, peer)

    def leave(self, stream: Stream, peer: Peer) -> None:
        """Stop a stream for one listener; the last one closes its delta window."""
        stream.raw.discard(peer)
        stream.combined.discard(peer)
        if not stream.has_listeners:
            stream.window = None

    def breach(self, what: str) -> None:
        """Count a broken limit."""
        self.stats.breached(what, late=self.lateness.late(self.mono_ms()))

    def reply(self, peer: Peer, message: Any) -> None:
        """Send a JSON message to one client, behind what is queued for it."""
        self.send_later(peer, msgspec.json.encode(message))

    def send_later(self, peer: Peer, payload: bytes) -> None:
        """Send a finished answer to one client, behind what is queued for it."""
        self.fan_out(self.answer_frame(payload), (peer,))

    def push_later(self, peer: Peer, payload: bytes) -> None:
        """Send finished market data to one client, behind what is queued for it."""
        self.fan_out(self.push_frame(payload), (peer,))

    def fan_out(self, frame: bytes, peers: Iterable[Peer]) -> None:
        """Queue an encoded frame to some clients."""
        for peer in peers:
            peer.queue(frame)
            self._dirty.add(peer)

    # ── what most venues leave as it is ──────────────────────────────────────────────────────────────────────────

    def push_frame(self, payload: bytes) -> bytes:
        """Market data as a frame of the wire: text, unless the venue compresses or sends binary."""
        return text_frame(payload)

    def answer_frame(self, payload: bytes) -> bytes:
        """An answer to a request as a frame of the wire."""
        return self.push_frame(payload)

    def wrap(self, stream: Stream, payload: bytes) -> bytes:
        """The payload as combined streams carry it; most venues have none."""
        return payload

    def hurry(self) -> None:  # noqa: B027 - a hook
        """Send what the venue sends every few seconds as often as the pump allows, for tests that would only wait for it."""

    def tend_streams(self, now_ms: float) -> None:  # noqa: B027 - a hook
        """Keepalives of streams, every 100 ms; most venues have none."""

    def announce_shutdown(self) -> None:  # noqa: B027 - a hook
        """Tell every client that the server is about to go down; most venues do not."""

    # ── what a venue must say ────────────────────────────────────────────────────────────────────────────────────

    @staticmethod
    @abstractmethod
    def listed(market: str, count: int) -> list[Listing]:
        """`count` trading pairs first (those of `catalogue.pairs`, quoted in `quote`), then what clients must refuse."""

    @staticmethod
    @abstractmethod
    def timing_of(market: str) -> Timing:
        """The delays that the venue enforces."""

    @abstractmethod
    def rest(self, request: Request) -> Response:
        """Answer a REST request by the venue's sheet."""

    @abstractmethod
    def rate_limited(self, status: int, retry_after_s: int) -> Response:
        """The venue's answer to a client over its limit."""

    @abstractmethod
    def refuse_websocket(self, request: Request) -> Response | None:
        """A refusal (wrong path, too many connects), or None."""

    @abstractmethod
    def greet(self, peer: Peer, request: Request) -> None:
        """Set `peer.session`; start the streams that the URL names."""

    @abstractmethod
    def hear(self, peer: Peer, opcode: Opcode, data: bytes) -> None:
        """Act on a client's message or control frame."""

    @abstractmethod
    def publish(self, feed: Feed, half: HalfStep, now_ms: float, *, settle: bool, force: bool = False) -> None:
        """Deliver what half an interval did. `settle`: the interval is complete, delta windows that are due close;
        `force`: all of them do."""

    @abstractmethod
    def tend(self, peer: Peer, now_ms: float) -> None:
        """Heartbeats and deadlines of one connection, every 100 ms."""

    # ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

    def feeds(self) -> Iterable[Feed]:
        """The feeds in use."""
        return self._feeds.values()

    def _flush(self) -> None:
        if self._dirty:
            for peer in self._dirty:
                before = peer.frames_sent
                peer.flush()
                self.stats.messages_sent += peer.frames_sent - before
            self._dirty.clear()

    def _check_backlog(self, peer: Peer) -> None:
        if peer.backlog > _MAX_BACKLOG:
            self.breach("slow consumer")
            peer.abort()
