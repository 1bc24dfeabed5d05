"""MEXC's public contract socket as a server keeps it (venues/mexc.md §2-§6, §10).

One symbol a request, no request id; an acknowledgement names the channel and not the symbol. Who does not ping within 60 s
is cut, however much flows.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec

from ops.simulator.catalogue import Listing
from ops.simulator.faults import Misbehaviour
from ops.simulator.feed import Feed, Stream
from ops.simulator.market import HalfStep
from ops.simulator.mexc import contract_text, listing
from ops.simulator.mexc.common import MexcVenue
from ops.simulator.mexc.contract_rest import ContractRest
from ops.simulator.mexc.contract_text import Commit
from ops.simulator.venue import Timing, Venue
from ops.simulator.window import DeltaWindow
from ops.simulator.wire import Opcode, Peer, Request, Response

TIMING = {"keepalive_ms": 60_000.0, "lifetime_ms": 86_400_000.0}
_LAST_WORDS = "more than 60 seconds no response, close the channel"
_DEPTH, _RAW, _FULL, _DEALS, _TICKER = "depth", "depth.raw", "depth.full", "deal", "ticker"
_INTERVALS_MS = {_DEPTH: 200, _RAW: 0, _FULL: 300, _DEALS: 0, _TICKER: 2700}  # §4.2
_PLAYED = {_DEPTH: (_DEPTH, _RAW), _FULL: (_FULL,), _DEALS: (_DEALS,), _TICKER: (_TICKER,)}  # channel → kinds
_SILENT = ("tickers", "index.price", "fair.price", "funding.rate", "kline", "contract")  # acknowledged, not played here
_LIMITS = (5, 10, 20, 50)
_COMMITS_KEPT = 2000


def double_pong(venue: Venue) -> Misbehaviour:
    """Answer each ping twice. Seen by one client (§3)."""
    return venue.faults.add(Misbehaviour("double_pong"))


@dataclass(eq=False, slots=True)
class Session:
    """What the venue knows of one connection."""

    pinged_ms: float
    streams: dict[tuple[str, str], Stream] = field(default_factory=dict)  # (channel, contract) → what is listened to


class MexcContractPublic(MexcVenue):
    """MEXC perpetual contracts. Every change of a book is one version."""

    own_misbehaviours: ClassVar[Mapping[str, Callable[..., Misbehaviour]]] = {
        **MexcVenue.own_misbehaviours,
        "double_pong": double_pong,
    }
    jump = 0

    @staticmethod
    def listed(market: str, count: int) -> list[Listing]:
        return listing.listed(market, count)

    @staticmethod
    def timing_of(market: str) -> Timing:
        return Timing(**TIMING)

    def __init__(self, market: str, *args: Any, **options: Any) -> None:
        super().__init__(market, *args, **options)
        self._commits: dict[str, deque[Commit]] = {}
        self._last_prices: dict[str, int] = {}
        self._rest = ContractRest(self, self._kept_commits)

    def rest(self, request: Request) -> Response:
        return self._rest.answer(request)

    def rate_limited(self, status: int, retry_after_s: int) -> Response:
        return self._rest.limited(status, retry_after_s)

    # ── connections, §2 and §3 ───────────────────────────────────────────────────────────────────────────────────

    def refuse_websocket(self, request: Request) -> Response | None:
        return None if request.path == "/edge" else Response(404, b"", content_type="text/plain")

    def greet(self, peer: Peer, request: Request) -> None:
        peer.session = Session(self.mono_ms())

    def tend(self, peer: Peer, now_ms: float) -> None:
        """60 s after the last ping the socket is cut without a close frame, behind last words; and after 24 h."""
        timing, session = self.timing, peer.session
        if timing.lifetime_ms and peer.age_ms >= timing.lifetime_ms:
            peer.abort()
        elif timing.keepalive_ms and now_ms - session.pinged_ms >= timing.keepalive_ms:
            self.breach("ping")
            peer.send(msgspec.json.encode({"channel": "rs.error", "data": _LAST_WORDS, "ts": self.wall_ms()}))
            peer.abort()

    # ── requests, §4.2 ───────────────────────────────────────────────────────────────────────────────────────────

    def hear(self, peer: Peer, opcode: Opcode, data: bytes) -> None:
        if opcode not in (Opcode.TEXT, Opcode.BINARY):
            return
        try:
            request = msgspec.json.decode(data)
        except msgspec.DecodeError:
            return  # what it cannot read gets no reply
        method = request.get("method") if isinstance(request, dict) else None
        if method == "ping":
            self._pong(peer)
            return
        verb, _, channel = method.partition(".") if isinstance(method, str) else ("", "", "")
        if verb not in ("sub", "unsub") or channel not in (*_PLAYED, *_SILENT):
            return  # an unknown method gets no reply
        param = request.get("param")
        self._change(peer, verb == "sub", channel, param if isinstance(param, dict) else {})

    def _pong(self, peer: Peer) -> None:
        peer.session.pinged_ms = self.mono_ms()
        self.stats.pongs_received += 1
        now = self.wall_ms()
        for _ in range(2 if self.faults.find("double_pong") else 1):
            self.reply(peer, {"channel": "pong", "data": now, "ts": now})

    def _change(self, peer: Peer, subscribe: bool, channel: str, param: dict[str, Any]) -> None:
        if channel in _PLAYED:
            symbol = str(param.get("symbol", ""))
            if symbol not in self.listings or not self.listings[symbol].trading:
                self._error(peer, f"Contract [{symbol}] not exists")
                return
            limit = param.get("limit", 20)
            if channel == _FULL and limit not in _LIMITS:
                self._error(peer, "Parameter error!")
                return
        wrong = subscribe and self.faults.take("wrong_ack")
        named = "kline" if wrong else channel
        self.reply(
            peer, {"channel": f"rs.{'sub' if subscribe else 'unsub'}.{named}", "data": "success", "ts": self.wall_ms()}
        )
        if channel not in _PLAYED:
            return
        feed, key = self.feed(symbol), (channel, symbol)
        wanted = self._stream(feed, channel, param) if subscribe else None
        current = peer.session.streams.get(key)
        if current is wanted:
            return  # asked again: acknowledged again, and nothing is doubled
        if current is not None:
            del peer.session.streams[key]
            self.leave(current, peer)
        if wanted is not None:
            peer.session.streams[key] = wanted
            self._start(peer, feed, wanted)

    def _error(self, peer: Peer, text: str) -> None:
        self.reply(peer, {"channel": "rs.error", "data": text, "ts": self.wall_ms()})

    @staticmethod
    def _stream(feed: Feed, channel: str, param: dict[str, Any]) -> Stream:
        """A contract has one stream a channel and mode: merged or raw, and `depth.full` one a limit."""
        kind = _RAW if channel == _DEPTH and param.get("compress") is False else channel
        depth = int(param.get("limit", 20)) if kind == _FULL else 0
        name = f"{kind}.{depth}" if depth else kind
        stream = feed.streams.get(name)
        if stream is None:
            stream = Stream(name, kind, _INTERVALS_MS[kind], depth, is_delta=kind in (_DEPTH, _RAW))
            feed.streams[name] = stream
        return stream

    @staticmethod
    def _start(peer: Peer, feed: Feed, stream: Stream) -> None:
        if stream.is_delta and stream.window is None:
            stream.window = DeltaWindow(feed.instrument.sequence)
        if not stream.has_listeners:
            stream.sequence = -1
        stream.raw.add(peer)

    # ── pushes, §5.3 and §6 ──────────────────────────────────────────────────────────────────────────────────────

    def publish(self, feed: Feed, half: HalfStep, now_ms: float, *, settle: bool, force: bool = False) -> None:
        self._keep(feed, half)
        streams = feed.listened()
        if not streams or self.faults.find("stall", feed.pair):
            return
        wall = self.wall_ms()
        for stream in streams:
            if stream.kind == _DEALS:
                if half.trades:
                    self.deliver(feed, stream, contract_text.deals(feed, half.trades, wall))
            elif stream.kind == _RAW:
                self._publish_raw(feed, stream, wall)
            elif settle and _is_due(stream, now_ms, force=force):
                self._publish_due(feed, stream, wall)

    def _publish_raw(self, feed: Feed, stream: Stream, wall_ms: int) -> None:
        delta = stream.window.take() if stream.window is not None else None
        if delta is not None:
            for commit in contract_text.commits(delta.previous + 1, delta.last, delta.bids, delta.asks):
                self.deliver(feed, stream, contract_text.raw(feed, commit, wall_ms))

    def _publish_due(self, feed: Feed, stream: Stream, wall_ms: int) -> None:
        if stream.kind == _FULL:  # a whole book each time, changed or not
            self.deliver(feed, stream, contract_text.full(feed, stream.depth, wall_ms))
        elif stream.kind == _TICKER:
            last = self._last_prices.get(feed.listing.id, feed.instrument.bids.best)
            self.deliver(feed, stream, contract_text.ticker(feed, last, wall_ms))
        else:
            delta = stream.window.take() if stream.window is not None else None
            if delta is not None:
                self.deliver(feed, stream, contract_text.merged(feed, self.distort(feed, delta), wall_ms))

    def _keep(self, feed: Feed, half: HalfStep) -> None:
        """Remember what REST tells of the past."""
        if half.trades:
            self._last_prices[feed.listing.id] = half.trades[-1].price
        if half.first:
            kept = self._commits.setdefault(feed.listing.id, deque(maxlen=_COMMITS_KEPT))
            if kept and kept[-1].version + 1 != half.first:
                kept.clear()  # a change that was not told here (`advance`): what is kept must be one chain
            kept.extend(contract_text.commits(half.first, half.last, half.bids, half.asks))

    def _kept_commits(self, symbol: str) -> list[Commit]:
        return list(self._commits.get(symbol, ()))


def _is_due(stream: Stream, now_ms: float, *, force: bool) -> bool:
    """Whether a stream's interval is over. Contracts settle every 100 ms: slower streams skip some of those."""
    if force:
        return True
    if now_ms + 10 < stream.due_ms:
        return False
    stream.due_ms = max(stream.due_ms, now_ms - 100) + stream.interval_ms
    return True
