"""Hyperliquid's public side, perpetuals or spot, as a server keeps it (venues/hyperliquid.md §2-§6).

Every message of `l2Book` is the whole book; one clock pushes those of all coins together, with the same `time`, changed or
not. `bbo` and `trades` follow the market. A coin that does not exist closes the socket without a word. Candles and the
streams of users are not simulated: their types are unknown here.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec

from ops.simulator.catalogue import Listing
from ops.simulator.faults import Misbehaviour
from ops.simulator.feed import Feed, Stream
from ops.simulator.hyperliquid import listing, subscriptions, text
from ops.simulator.hyperliquid.misbehaviours import delist, mute
from ops.simulator.hyperliquid.rest import HyperliquidRest
from ops.simulator.hyperliquid.subscriptions import Forbidden, Malformed, Subscription
from ops.simulator.limits import SlidingLimit
from ops.simulator.market import HalfStep
from ops.simulator.venue import Timing, Venue
from ops.simulator.wire import Opcode, Peer, Request, Response

SOCKETS, CONNECTS, SUBSCRIPTIONS, MESSAGES = 10, 30, 1000, 2000  # of one address; the second and the last a minute
REPLAYED = 30  # trades that a subscription begins with
_MINUTE_MS = 60_000.0
_BUSY = Response(429, b"", content_type="text/plain")  # the sheet names no status for too many sockets


@dataclass(slots=True, kw_only=True)
class Cadence:
    """How often the clocks push, in ms, not finer than 100; `hurry` and tests shorten them."""

    book_ms: float = 5360
    fast_ms: float = 540
    context_ms: float = 1000
    mids_ms: float = 5000
    block_ms: float = 70  # at most one `bbo` a block and coin


@dataclass(eq=False, slots=True)
class Session:
    """What the venue knows of one connection."""

    subscribed: set[Subscription] = field(default_factory=set)
    sent: int = 0  # frames, when last looked at
    sent_ms: float = 0.0  # when they had changed


@dataclass(eq=False, slots=True)
class Address:
    """What the venue counts of one client address."""

    connects: SlidingLimit = field(default_factory=lambda: SlidingLimit(CONNECTS, _MINUTE_MS))
    messages: SlidingLimit = field(default_factory=lambda: SlidingLimit(MESSAGES, _MINUTE_MS))


class HyperliquidPublic(Venue):
    """One Hyperliquid market. A real host serves both, and counts its limits for both together."""

    venue = "hyperliquid"
    quote = "USDC"
    most_levels = 400  # that there are; 20 of them are shown
    own_misbehaviours: ClassVar[Mapping[str, Callable[..., Misbehaviour]]] = {"mute": mute, "delist": delist}

    @staticmethod
    def listed(market: str, count: int) -> list[Listing]:
        return listing.listed(market, count)

    @staticmethod
    def timing_of(market: str) -> Timing:
        """§3: closed 60 s after the last frame FROM here; nobody pings but the client."""
        return Timing(idle_ms=60_000)

    def __init__(self, market: str, *args: Any, **options: Any) -> None:
        super().__init__(market, *args, **options)
        self.cadence = Cadence()
        self._rest = HyperliquidRest(self)
        self.withdrawn = self._rest.withdrawn  # coins that exist no more
        self._addresses: dict[str, Address] = {}
        self._asked: dict[str, Subscription] = {}  # by name of the stream
        self._pushed_ms: dict[str, float] = {}  # by clock
        self._told: dict[str, tuple[int, int, int, int]] = {}  # the touch that a `bbo` stream told last
        self._recent: dict[str, deque[str]] = {}  # trades of a coin
        self._mids: set[Peer] = set()
        self._time_ms = 0

    def hurry(self) -> None:
        self.cadence = Cadence(book_ms=200, fast_ms=100, context_ms=100, mids_ms=100)

    def rest(self, request: Request) -> Response:
        return self._rest.answer(request)

    def rate_limited(self, status: int, retry_after_s: int) -> Response:
        """There is neither Retry-After nor 418 (§7.6)."""
        return self._rest.limited()

    def book(self, pair: str) -> dict[str, Any]:
        """The exact book as far as anybody can see it: 20 levels a side, none of a dead market."""
        shown = super().book(pair)
        depth = text.DEPTH if self.feed_of_pair(pair).listing.trading else 0
        return {**shown, "bids": shown["bids"][:depth], "asks": shown["asks"][:depth]}

    # ── connections, §2 and §3 ───────────────────────────────────────────────────────────────────────────────────

    def _address(self, remote_ip: str) -> Address:
        return self._addresses.setdefault(remote_ip, Address())

    def refuse_websocket(self, request: Request) -> Response | None:
        if request.path != "/ws":
            return Response(404, b"", content_type="text/plain")
        if not self.enforce_limits:
            return None
        if sum(peer.remote_ip == request.remote_ip for peer in self.peers) >= SOCKETS:
            self.breach("sockets")
            return _BUSY
        if not self._address(request.remote_ip).connects.allows(self.mono_ms()):
            self.breach("connects")
            return _BUSY
        return None

    def greet(self, peer: Peer, request: Request) -> None:
        peer.session = Session(sent_ms=self.mono_ms())

    def closed(self, peer: Peer) -> None:
        super().closed(peer)
        self._mids.discard(peer)

    def tend(self, peer: Peer, now_ms: float) -> None:
        session: Session = peer.session
        if peer.frames_sent != session.sent:
            session.sent, session.sent_ms = peer.frames_sent, now_ms
        elif self.timing.idle_ms and now_ms - session.sent_ms >= self.timing.idle_ms:
            self.breach("idle")
            peer.abort()

    # ── requests, §4 ─────────────────────────────────────────────────────────────────────────────────────────────

    def hear(self, peer: Peer, opcode: Opcode, data: bytes) -> None:
        if opcode not in (Opcode.TEXT, Opcode.BINARY):
            return
        if self.enforce_limits and not self._address(peer.remote_ip).messages.allows(self.mono_ms()):
            self.breach("messages")
            self._error(peer, f"Cannot send more than {MESSAGES} messages per minute.")
            return
        try:
            said = msgspec.json.decode(data)
            method = said.get("method") if isinstance(said, dict) else None
            if method == "ping":
                self.stats.pongs_received += 1
                self.send_later(peer, b'{"channel":"pong"}')
            elif method in ("subscribe", "unsubscribe"):
                self._change(peer, str(method), subscriptions.read(said.get("subscription")))
            else:
                raise Malformed
        except (msgspec.DecodeError, Malformed):
            echo = data[:1000].decode(errors="replace")
            self._error(peer, f"Error parsing JSON into valid websocket request: {echo}")
        except Forbidden:
            peer.abort()

    def _error(self, peer: Peer, words: str) -> None:
        self.reply(peer, {"channel": "error", "data": words})

    def _change(self, peer: Peer, method: str, asked: Subscription) -> None:
        """Raises Forbidden for a coin that does not exist."""
        if asked.coin and (asked.coin not in self.listings or asked.coin in self.withdrawn):
            raise Forbidden
        session: Session = peer.session
        if (asked in session.subscribed) is (method == "subscribe"):
            self._error(peer, f"Already {method}d: {asked.echo()}")
            return
        if method == "subscribe" and self.enforce_limits and self._subscriptions(peer.remote_ip) >= SUBSCRIPTIONS:
            self.breach("subscriptions")
            self._error(peer, f"Cannot subscribe to more than {SUBSCRIPTIONS} channels.")
            return
        wrong = method == "subscribe" and self.faults.take("wrong_ack")
        echo = asked.echo(f"X{asked.coin}" if wrong else None)
        answer = text.push("subscriptionResponse", f'{{"method":"{method}","subscription":{echo}}}')
        self.send_later(peer, answer)
        if method == "subscribe":
            session.subscribed.add(asked)
            self._start(peer, asked)
        else:
            session.subscribed.discard(asked)
            self.stop(peer, asked)

    def _subscriptions(self, remote_ip: str) -> int:
        """Over all sockets of an address."""
        return sum(len(peer.session.subscribed) for peer in self.peers if peer.remote_ip == remote_ip)

    # ── streams, §4-§6 ───────────────────────────────────────────────────────────────────────────────────────────

    def _start(self, peer: Peer, asked: Subscription) -> None:
        """The first snapshot, and those that follow."""
        if asked.kind == "allMids":
            self._first(peer, "", self._mids_message())
            self._mids.add(peer)
            return
        feed = self.feed(asked.coin)
        stream = feed.streams.get(asked.name)
        if stream is None:
            stream = feed.streams[asked.name] = Stream(asked.name, asked.kind, is_delta=asked.kind == "l2Book")
            self._asked[asked.name] = asked
        if asked.kind == "bbo":
            if stream.has_listeners:
                self._tell_touch(feed, stream, self.mono_ms(), at_once=True)
            self._told[stream.name] = feed.touch()
        self._first(peer, feed.pair, self._view(feed, asked, self._now()))
        stream.raw.add(peer)

    def stop(self, peer: Peer, asked: Subscription) -> None:
        """No more of it to this client."""
        if asked.kind == "allMids":
            self._mids.discard(peer)
        elif (stream := self.feed(asked.coin).streams.get(asked.name)) is not None:
            self.leave(stream, peer)

    def _first(self, peer: Peer, pair: str, payload: bytes) -> None:
        for out in self.faults.outgoing(pair, "", payload, is_delta=False) if payload else ():
            self.push_later(peer, out)

    def _now(self) -> int:
        """The time of the newest block: it never goes back."""
        self._time_ms = max(self._time_ms, self.wall_ms())
        return self._time_ms

    def _view(self, feed: Feed, asked: Subscription, time_ms: int) -> bytes:
        """What a stream shows now, its first message; empty: nothing."""
        if asked.kind == "l2Book":
            _, bids, asks = feed.instrument.book_at_now()
            if self.faults.take("crossed", feed.pair):
                bids = [(asks[0][0] + 1, 1), *bids]
            return text.push("l2Book", text.book(feed, bids, asks, time_ms, asked.flavour))
        if asked.kind == "bbo":
            return text.push("bbo", text.bbo(feed, time_ms))
        if asked.kind == "activeAssetCtx":
            channel = "activeSpotAssetCtx" if self.market == "spot" else asked.kind
            return text.push(channel, f'{{"coin":"{asked.coin}","ctx":{text.context(feed)}}}')
        recent = self._recent.get(asked.coin)
        return text.push("trades", f"[{','.join(recent)}]") if recent else b""

    def _mids_message(self) -> bytes:
        return text.push("allMids", msgspec.json.encode({"mids": self._rest.mids()}).decode())

    def publish(self, feed: Feed, half: HalfStep, now_ms: float, *, settle: bool, force: bool = False) -> None:
        rows = text.trades(feed, half.trades, self._now()) if half.trades else []
        if rows:
            self._recent.setdefault(feed.listing.id, deque(maxlen=REPLAYED)).extend(rows)
        streams = feed.listened()
        if not streams or self.faults.find("stall", feed.pair):
            return
        for stream in streams:
            if stream.kind == "trades" and rows:
                self.deliver(feed, stream, text.push("trades", f"[{','.join(rows)}]"))
            elif stream.kind == "bbo":
                self._tell_touch(feed, stream, now_ms, at_once=force)
            elif stream.kind == "l2Book" and force:
                self.deliver(feed, stream, self._view(feed, self._asked[stream.name], self._now()))

    def _tell_touch(self, feed: Feed, stream: Stream, now_ms: float, *, at_once: bool) -> None:
        """Only what changed, and once a block."""
        touch = feed.touch()
        if touch == self._told.get(stream.name) or (now_ms - stream.sent_ms < self.cadence.block_ms and not at_once):
            return
        self._told[stream.name], stream.sent_ms = touch, now_ms
        self.deliver(feed, stream, text.push("bbo", text.bbo(feed, self._now())))

    def tend_streams(self, now_ms: float) -> None:
        """The clocks. They tick on while the market is frozen."""
        cadence = self.cadence
        books, fast = self._ticks("book", cadence.book_ms, now_ms), self._ticks("fast", cadence.fast_ms, now_ms)
        contexts = self._ticks("context", cadence.context_ms, now_ms)
        time_ms = self._now()
        for feed in self.feeds():
            for stream in feed.listened():
                asked = self._asked[stream.name]
                if asked.kind == "bbo" and not self.faults.find("stall", feed.pair):
                    self._tell_touch(feed, stream, now_ms, at_once=False)
                elif (contexts and asked.kind == "activeAssetCtx") or (
                    asked.kind == "l2Book" and (fast if asked.flavour.fast else books)
                ):
                    self.deliver(feed, stream, self._view(feed, asked, time_ms))
        if self._ticks("mids", cadence.mids_ms, now_ms) and self._mids:
            self.fan_out(self.push_frame(self._mids_message()), self._mids)

    def _ticks(self, clock: str, interval_ms: float, now_ms: float) -> bool:
        """Whether it is time again; a clock that is late by less than its interval does not drift."""
        due_ms = self._pushed_ms.setdefault(clock, now_ms) + interval_ms
        if now_ms < due_ms:
            return False
        self._pushed_ms[clock] = max(due_ms, now_ms - interval_ms)
        return True
