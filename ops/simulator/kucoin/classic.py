"""KuCoin's Classic sockets (venues/kucoin.md §2-§4, §5.2-§5.4): a token for the dial, text frames, snapshots over REST."""

from collections.abc import Callable
from typing import Any

import msgspec

from ops.simulator.feed import Feed
from ops.simulator.kucoin import classic_text
from ops.simulator.kucoin.dialect import Channel, Dialect, Kind, Owner, Session
from ops.simulator.market import Trade
from ops.simulator.window import Delta
from ops.simulator.wire import Peer

TOPICS_MOST = 300
SYMBOLS_MOST = 100  # of one request
_SPOT = {
    "/market/level2": Channel(Kind.DELTA),
    "/spotMarket/level1": Channel(Kind.TOUCH),
    "/market/ticker": Channel(Kind.TOUCH),
    "/spotMarket/level2Depth5": Channel(Kind.VIEW, depth=5),
    "/spotMarket/level2Depth50": Channel(Kind.VIEW, depth=50),
    "/market/snapshot": Channel(Kind.VIEW, interval_ms=2000),
    "/market/match": Channel(Kind.TRADES),
}
_FUTURES = {
    "/contractMarket/level2": Channel(Kind.DELTA),
    "/contractMarket/tickerV2": Channel(Kind.TOUCH),
    "/contractMarket/ticker": Channel(Kind.TOUCH),
    "/contractMarket/level2Depth5": Channel(Kind.VIEW, depth=5, repeats=True),
    "/contractMarket/level2Depth50": Channel(Kind.VIEW, depth=50, repeats=True),
    "/contractMarket/execution": Channel(Kind.TRADES),
}
_PRIVATE = (
    "/account/",
    "/spotMarket/tradeOrders",
    "/contractAccount/",
    "/contractMarket/tradeOrders",
    "/contract/position",
)


class Classic(Dialect):
    """Streams are named as their topics are, without the symbol."""

    binary = False
    messages_per_10_s = 100

    def __init__(self, owner: Owner) -> None:
        super().__init__(owner)
        self.channels = _SPOT if owner.market == "spot" else _FUTURES

    def welcome(self, session: Session) -> dict[str, Any]:
        return {"id": session.connect_id, "type": "welcome"}

    def silent(self, peer: Peer, session: Session) -> None:
        """§3: the client pings; what the server sends keeps nothing alive."""
        self.owner.breach("idle")
        self.owner.reply(peer, _error(None, 400, "ping timeout"))
        peer.close(1000, "Bye")

    # ── requests, §4 ─────────────────────────────────────────────────────────────────────────────────────────────

    def hear(self, peer: Peer, session: Session, data: bytes) -> None:
        owner = self.owner
        try:
            request = msgspec.json.decode(data)
        except msgspec.DecodeError:
            owner.reply(peer, _error(None, 400, "message is not JSON"))
            return
        id_ = request.get("id") if isinstance(request, dict) else None
        if owner.enforce_limits and not session.messages.allows(owner.mono_ms()):
            owner.breach("messages")
            owner.reply(peer, _error(id_, 509, "exceed max permits per second"))
        elif not isinstance(request, dict):
            owner.reply(peer, _error(None, 400, "message is not an object"))
        elif request.get("type") == "ping":
            owner.reply(peer, {"id": id_, "type": "pong", "timestamp": owner.wall_ms() * 1000})
        else:
            self._change(peer, session, request, id_)

    def _change(self, peer: Peer, session: Session, request: dict[str, Any], id_: Any) -> None:
        owner, kind = self.owner, request.get("type")
        stream, _, names = str(request.get("topic", "")).partition(":")
        symbols = [name for name in names.split(",") if name]
        trouble = self._trouble(session, request, stream, symbols)
        if trouble is not None:
            owner.reply(peer, _error(id_, *trouble))
            return
        if request.get("response"):
            wrong = kind == "subscribe" and owner.faults.take("wrong_ack")
            owner.reply(peer, {"id": f"{id_}0" if wrong else id_, "type": "ack"})
        act = owner.subscribe if kind == "subscribe" else owner.unsubscribe
        for symbol in symbols:
            act(peer, session, stream, symbol)

    def _trouble(
        self, session: Session, request: dict[str, Any], stream: str, symbols: list[str]
    ) -> tuple[int, str] | None:
        kind = request.get("type")
        if kind not in ("subscribe", "unsubscribe"):
            return 415, "type is not supported"
        if not stream:
            return 406, "topic is required"
        if request.get("privateChannel") or stream.startswith(_PRIVATE):
            return 403, "login is required"
        if stream not in self.channels:
            return 404, "topic does not exist"
        if not symbols:
            return 400, "topic is invalid"
        if len(symbols) > SYMBOLS_MOST:
            self.owner.breach("symbols")
            return 509, f"exceed max subscribe count of {SYMBOLS_MOST}"
        if kind == "subscribe" and len(session.topics | {(stream, symbol) for symbol in symbols}) > TOPICS_MOST:
            self.owner.breach("topics")
            return 509, f"exceed max subscription count of {TOPICS_MOST}"
        return None

    # ── market data, §5.2-§5.4 and §6 ────────────────────────────────────────────────────────────────────────────

    def first(self, feed: Feed, stream: str, sequence: int) -> str | None:
        """Books start with REST; other channels show what is."""
        return self.view(feed, stream) if self.channels[stream].kind in (Kind.TOUCH, Kind.VIEW) else None

    def deltas(self, feed: Feed, stream: str, delta: Delta, first: int) -> list[str]:
        wall_ms = self.owner.wall_ms()
        if self.owner.market == "futures":
            return classic_text.futures_changes(feed, first, delta, wall_ms)
        if delta.last > first and self.owner.faults.take("hidden_order", feed.pair):
            return [
                classic_text.hidden_change(feed, first, wall_ms),
                classic_text.spot_update(feed, first + 1, delta, wall_ms),
            ]
        return [classic_text.spot_update(feed, first, delta, wall_ms)]

    def view(self, feed: Feed, stream: str) -> str:
        wall_ms, depth = self.owner.wall_ms(), self.channels[stream].depth
        if depth:
            write = classic_text.spot_depth if self.owner.market == "spot" else classic_text.futures_depth
            return write(feed, stream, depth, wall_ms)
        if stream in _QUOTES:
            return _QUOTES[stream](feed, wall_ms)
        return _TICKERS[stream](feed, self.owner.last_trade(feed), wall_ms)

    def trades(self, feed: Feed, stream: str, trade: Trade) -> list[str]:
        write = classic_text.matches if self.owner.market == "spot" else classic_text.executions
        return write(feed, trade, self.owner.wall_ms())


_QUOTES: dict[str, Callable[[Feed, int], str]] = {
    "/spotMarket/level1": classic_text.level1,
    "/contractMarket/tickerV2": classic_text.ticker_v2,
}
_TICKERS: dict[str, Callable[[Feed, tuple[int, int, bool], int], str]] = {
    "/market/ticker": classic_text.spot_ticker,
    "/market/snapshot": classic_text.spot_snapshot,
    "/contractMarket/ticker": classic_text.futures_ticker,
}


def _error(id_: Any, code: int, text: str) -> dict[str, Any]:
    named = {} if id_ is None else {"id": id_}
    return {**named, "type": "error", "code": code, "data": text}
