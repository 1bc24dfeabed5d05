"""CoinEx's public side, spot or futures, as a server keeps it (venues/coinex.md §2-§6).

Books start in band: a subscription brings an image, then deltas of the window that was asked for, and an image each minute.
Listeners of one window share it: what it gathered is told to them before a newcomer gets his image. Nothing has a number;
the checksum in every message is over what listeners must hold by then.
"""

import gzip
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import msgspec

from ops.simulator.catalogue import Listing
from ops.simulator.coinex import listing, quirks
from ops.simulator.coinex import text as coinex_text
from ops.simulator.coinex.rest import DEPTHS, CoinExRest
from ops.simulator.coinex.streams import Deals, Depth
from ops.simulator.coinex.trades import Trades
from ops.simulator.feed import Feed, Stream
from ops.simulator.limits import SlidingLimit
from ops.simulator.market import HalfStep
from ops.simulator.venue import Timing, Venue
from ops.simulator.wire import Opcode, Peer, Request, Response, binary_frame, text_frame

# §3: nothing is published. A socket that said nothing was seen to be cut after 60 s (2026-09); it counts what clients say.
TIMING = {"idle_ms": 60_000.0, "keepalive_ms": 60_000.0}  # keepalive: an image of every book
PUSH_MS = 200.0
STATE_MS = 1000.0
_EARLY_MS = 15.0  # the pump is a little off its beat: what is due this soon is due now
_LONGEST_LIST = 1000  # about 1420 entries made the real server cut the socket
_REQUESTS, _REQUESTS_WINDOW_MS = 10, 1000.0  # nothing is published; the sheet advises this pace
_NAMED_ONLY = ("depth", "bbo")  # `[]` is every market elsewhere
_KINDS = ("depth", "bbo", "deals", "state", "index")
_PRIVATE = ("order", "user_deals", "balance", "position", "stop")

BAD_ARGUMENT: Final = 20001, "invalid parameters"
UNKNOWN_METHOD: Final = 30002, "unknown method"  # as recorded in 2026-09; the documentation has 20002
NOT_SIGNED_IN: Final = 21001, "require auth"
SIGNATURE_WRONG: Final = 21002, "Signature Incorrect"
TOO_FAST: Final = 23002, "too many requests"


@dataclass(eq=False, slots=True)
class Session:
    """What the venue knows of one connection."""

    requests: SlidingLimit
    heard_ms: float
    muted: bool = False
    subscribed: dict[str, dict[str, str]] = field(default_factory=dict)  # kind → market → key of its stream


class CoinExPublic(Venue):
    """One CoinEx market. `market` is spot or futures."""

    venue = "coinex"
    jump = 0
    most_levels = DEPTHS[-1]
    checksums = True
    own_misbehaviours: ClassVar[Mapping[str, Any]] = quirks.OWN

    @staticmethod
    def listed(market: str, count: int) -> list[Listing]:
        return listing.listed(market, count)

    @staticmethod
    def timing_of(market: str) -> Timing:
        return Timing(**TIMING)

    def __init__(self, market: str, *args: Any, **options: Any) -> None:
        super().__init__(market, *args, **options)
        self._trades = Trades()
        self._rest = CoinExRest(self, self._trades)

    def rest(self, request: Request) -> Response:
        return self._rest.answer(request)

    def rate_limited(self, status: int, retry_after_s: int) -> Response:
        """No status tells it and no header says for how long (§7.3)."""
        return self._rest.limited()

    def push_frame(self, payload: bytes) -> bytes:
        """§2: every message is a binary frame with one gzip member, answers too."""
        if self.faults.find("text_frames") is not None:
            return text_frame(payload)
        return binary_frame(gzip.compress(payload, compresslevel=1, mtime=0))

    # ── connections ──────────────────────────────────────────────────────────────────────────────────────────────

    def refuse_websocket(self, request: Request) -> Response | None:
        if request.path != f"/v2/{self.market}":
            return Response(404, b"", content_type="text/plain")
        if self.faults.find("maintenance") is not None:
            return Response(503, b"", content_type="text/plain")
        return None

    def greet(self, peer: Peer, request: Request) -> None:
        peer.session = Session(SlidingLimit(_REQUESTS, _REQUESTS_WINDOW_MS), self.mono_ms())

    def tend(self, peer: Peer, now_ms: float) -> None:
        """§3: who says nothing for a minute is cut, without a close frame."""
        if self.timing.idle_ms and now_ms - peer.session.heard_ms >= self.timing.idle_ms:
            self.breach("idle")
            peer.abort()

    # ── requests, §4 ─────────────────────────────────────────────────────────────────────────────────────────────

    def hear(self, peer: Peer, opcode: Opcode, data: bytes) -> None:
        if opcode is Opcode.PING:
            self._ignore_ping(peer)
        if opcode not in (Opcode.TEXT, Opcode.BINARY):
            return
        session: Session = peer.session
        session.heard_ms = self.mono_ms()
        try:
            request = msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError):
            request = None
        if not isinstance(request, dict) or type(request.get("id")) is not int:
            self._refuse(peer, None, BAD_ARGUMENT)
            return
        id_: int = request["id"]
        if self.enforce_limits and not session.requests.allows(session.heard_ms):
            self.breach("requests")
            self._refuse(peer, id_, TOO_FAST)
            return
        method, params = request.get("method"), request.get("params")
        kind, _, verb = str(method).rpartition(".")
        if method == "server.ping":
            self.stats.pongs_received += 1
            self.reply(peer, {"id": id_, "code": 0, "data": {"result": "pong"}, "message": "OK"})
        elif method == "server.time":
            self.reply(peer, {"id": id_, "code": 0, "data": {"timestamp": self.wall_ms()}, "message": "OK"})
        elif method == "server.sign":
            self._refuse(peer, id_, SIGNATURE_WRONG)
        elif verb not in ("subscribe", "unsubscribe") or kind not in (*_KINDS, *_PRIVATE):
            self._refuse(peer, id_, UNKNOWN_METHOD)
        elif kind in _PRIVATE:
            self._refuse(peer, id_, NOT_SIGNED_IN)
        else:
            markets = params.get("market_list") if isinstance(params, dict) else None
            if not isinstance(markets, list):
                self._refuse(peer, id_, BAD_ARGUMENT)
            elif len(markets) > _LONGEST_LIST:
                self.breach("list")
                peer.abort()
            elif verb == "subscribe":
                self._subscribe(peer, kind, markets, id_)
            else:
                self._acknowledge(peer, id_)
                self._unsubscribe(peer, kind, markets)

    @staticmethod
    def _ignore_ping(peer: Peer) -> None:
        """§3: the server does not answer RFC pings. The protocol has queued a pong by now: it is taken away unsent."""
        if peer._protocol is not None:
            peer._protocol.data_to_send()

    def _acknowledge(self, peer: Peer, id_: int) -> None:
        self.reply(peer, {"id": id_, "code": 0, "message": "OK"})

    def _refuse(self, peer: Peer, id_: int | None, reason: tuple[int, str]) -> None:
        self.reply(peer, {"id": id_, "code": reason[0], "message": reason[1]})

    def _subscribe(self, peer: Peer, kind: str, entries: list[Any], id_: int) -> None:
        """A list that is malformed fails as a whole."""
        wanted = self._wanted(kind, entries)
        if wanted is None:
            self._refuse(peer, id_, BAD_ARGUMENT)
            return
        self._acknowledge(peer, id_ + 1_000_000 if self.faults.take("wrong_ack") else id_)
        session: Session = peer.session
        known = session.subscribed.setdefault(kind, {})
        adds = self.faults.find("subscriptions_add") is not None
        for market in [market for market in known if market in wanted or not adds]:
            self._leave(peer, kind, market)
        for market, (limit, is_full) in wanted.items():
            if not session.muted:
                known[market] = self._start(peer, self.feed(market), kind, limit, is_full)

    def _wanted(self, kind: str, entries: list[Any]) -> dict[str, tuple[int, bool]] | None:
        """Market → (levels, images only); None for what is no such list. Unknown markets are left out, if that is legal."""
        wanted: dict[str, tuple[int, bool]] = {}
        for entry in entries:
            if kind != "depth":
                name, limit, merge, is_full = entry, 0, "0", False
            elif isinstance(entry, list) and len(entry) == 4:
                name, limit, merge, is_full = entry
            else:
                return None
            # merge other than "0" (raw prices) is a feature of the venue that is not simulated
            if not isinstance(name, str) or merge != "0" or not isinstance(is_full, bool):
                return None
            if kind == "depth" and limit not in DEPTHS:
                return None
            wanted[name] = (limit, is_full)
        if not entries:
            return None if kind in _NAMED_ONLY else dict.fromkeys(self.listings, (0, False))
        if self.faults.find("strict_markets") is not None and not wanted.keys() <= self.listings.keys():
            return None
        return {name: asked for name, asked in wanted.items() if name in self.listings}

    def _unsubscribe(self, peer: Peer, kind: str, entries: list[Any]) -> None:
        """Names only: tuples have no effect (§10). None named: all of that kind."""
        known = peer.session.subscribed.get(kind, {})
        for market in [market for market in known if market in entries or not entries]:
            self._leave(peer, kind, market)

    def unsubscribe_all(self, peer: Peer) -> None:
        """End every subscription of a connection, without a word."""
        for kind in peer.session.subscribed:
            self._unsubscribe(peer, kind, [])

    def _leave(self, peer: Peer, kind: str, market: str) -> None:
        key = peer.session.subscribed[kind].pop(market)
        self.leave(self.feed(market).streams[key], peer)

    # ── channels, §5 and §6 ──────────────────────────────────────────────────────────────────────────────────────

    def _start(self, peer: Peer, feed: Feed, kind: str, limit: int, is_full: bool) -> str:
        """Join a stream; what it begins with goes to the newcomer alone. The stream's key."""
        key = f"depth.{limit}.{is_full}" if kind == "depth" else kind
        stream = feed.streams.get(key) or self._new_stream(feed, kind, key, limit, is_full)
        feed.streams[key] = stream
        now, wall = self.mono_ms(), self.wall_ms()
        if not stream.has_listeners:
            stream.due_ms, stream.sent_ms = now + PUSH_MS, now
        if isinstance(stream, Depth):
            if stream.has_listeners:
                self._push_changes(feed, stream, now, wall)
            else:
                stream.look(feed)
            self.stats.snapshots += 1
            first = self._image(feed, stream, wall)
        elif isinstance(stream, Deals):
            if not stream.has_listeners:
                stream.waiting.clear()
            first = coinex_text.deals(feed, self._trades.recent(feed))
        else:
            first = self._view(feed, kind, wall)
        self._send(feed, stream, first, (peer,))
        stream.raw.add(peer)
        return key

    @staticmethod
    def _new_stream(feed: Feed, kind: str, key: str, limit: int, is_full: bool) -> Stream:
        name = f"{feed.listing.id}@{key}"  # one of its own: deltas that wait behind their successor are kept by it
        if kind == "depth":
            return Depth(name, kind, depth=limit, is_delta=not is_full, is_full=is_full)
        return Deals(name, kind) if kind == "deals" else Stream(name, kind)

    def _send(self, feed: Feed, stream: Stream, data: str, peers: Iterable[Peer]) -> None:
        """A push that is no delta."""
        payload = coinex_text.push(f"{stream.kind}.update", data)
        for out in self.faults.outgoing(feed.pair, stream.name, payload, is_delta=False):
            self.fan_out(self.push_frame(out), peers)

    def _image(self, feed: Feed, stream: Depth, wall_ms: int) -> str:
        bids, asks = stream.best_bids(), stream.best_asks()
        return coinex_text.depth(
            feed, bids, asks, is_full=True, last=self._trades.last_price(feed), wall_ms=wall_ms, check=self._check(feed, stream)
        )  # fmt: skip

    def _check(self, feed: Feed, stream: Depth) -> int:
        check = coinex_text.checksum(feed, stream.best_bids(), stream.best_asks())
        return (check + 1) % 2**32 if self.faults.take("bad_checksum", feed.pair) else check

    def _view(self, feed: Feed, kind: str, wall_ms: int) -> str:
        """What a channel without deltas shows now."""
        if kind == "bbo":
            return coinex_text.bbo(feed, wall_ms)
        last = self._trades.last_price(feed)
        if kind == "state":
            return f'{{"state_list":[{coinex_text.state(feed, last)}]}}'
        return f'{{"market":"{feed.listing.id}","index_price":"{last}","mark_price":"{last}"}}'

    def publish(self, feed: Feed, half: HalfStep, now_ms: float, *, settle: bool, force: bool = False) -> None:
        streams = feed.listened()
        wall = self.wall_ms()
        new_deals = self._trades.take(feed, half, wall)
        touched = feed.touch_changed()
        for stream in streams:
            if isinstance(stream, Deals):
                stream.waiting += new_deals
        if self.faults.find("stall", feed.pair):
            return
        for stream in streams:
            if stream.kind == "bbo":
                if touched:
                    self._send(feed, stream, self._view(feed, "bbo", wall), stream.raw)
            elif settle and (force or now_ms >= stream.due_ms - _EARLY_MS):
                stream.due_ms = now_ms + (PUSH_MS if stream.kind in ("depth", "deals") else STATE_MS)
                self._push_due(feed, stream, now_ms, wall)

    def _push_due(self, feed: Feed, stream: Stream, now_ms: float, wall_ms: int) -> None:
        if isinstance(stream, Depth):
            self._push_changes(feed, stream, now_ms, wall_ms)
        elif isinstance(stream, Deals):
            if stream.waiting:
                newest_first = reversed(stream.waiting)
                self._send(feed, stream, coinex_text.deals(feed, newest_first), stream.raw)
                stream.waiting.clear()
        else:
            self._send(feed, stream, self._view(feed, stream.kind, wall_ms), stream.raw)

    def _push_changes(self, feed: Feed, stream: Depth, now_ms: float, wall_ms: int) -> None:
        """Tell the listeners of a window what changed in it, if anything did."""
        delta = stream.changes(feed)
        if delta is None:
            return
        if stream.is_full:
            self._push_image(feed, stream, now_ms, wall_ms)
            return
        delta = self.distort(feed, delta)
        stream.tell(delta)
        data = coinex_text.depth(
            feed, list(delta.bids.items()), list(delta.asks.items()), is_full=False, last=self._trades.last_price(feed),
            wall_ms=wall_ms, check=self._check(feed, stream), omit_empty=self.faults.find("missing_side") is not None,
        )  # fmt: skip
        self.deliver(feed, stream, coinex_text.push("depth.update", data))

    def _push_image(self, feed: Feed, stream: Depth, now_ms: float, wall_ms: int) -> None:
        stream.sent_ms = now_ms
        stream.look(feed)
        self._send(feed, stream, self._image(feed, stream, wall_ms), stream.raw)

    def tend_streams(self, now_ms: float) -> None:
        """§5.1: an image of every book each minute, changed or not."""
        if not self.timing.keepalive_ms:
            return
        wall = self.wall_ms()
        for feed, stream in self._windows():
            if now_ms - stream.sent_ms >= self.timing.keepalive_ms and not self.faults.find("stall", feed.pair):
                self._push_image(feed, stream, now_ms, wall)

    def _windows(self) -> Iterator[tuple[Feed, Depth]]:
        for feed in self.feeds():
            for stream in feed.listened():
                if isinstance(stream, Depth):
                    yield feed, stream
