"""KuCoin's Pro sockets (venues/kucoin.md §2-§4, §5.1): no token, binary frames of JSON, books that start in band."""

from typing import Any

import msgspec

from ops.simulator.feed import Feed
from ops.simulator.kucoin import pro_text
from ops.simulator.kucoin.dialect import Channel, Dialect, Kind, Session
from ops.simulator.kucoin.rest import PING_INTERVAL_MS
from ops.simulator.market import Trade
from ops.simulator.window import Delta
from ops.simulator.wire import Peer

TOPICS_MOST = 600
BOOK_DEPTH = 500
_SILENT = ("kline", "mark-price", "funding-fee")  # acknowledged; this simulator has no such data
_BAD = "invalid request data"


class Pro(Dialect):
    """Streams are `obu/DEPTH`, `trade` and `ticker`."""

    binary = True
    messages_per_10_s = 300
    channels = {  # noqa: RUF012 - a constant
        f"obu/{pro_text.INCREMENTS}": Channel(Kind.DELTA),
        "obu/increment": Channel(Kind.DELTA),
        "obu/1": Channel(Kind.TOUCH, depth=1),
        "obu/5": Channel(Kind.VIEW, depth=5, repeats=True),
        "obu/50": Channel(Kind.VIEW, depth=50, repeats=True),
        "ticker": Channel(Kind.TOUCH),
        "trade": Channel(Kind.TRADES),
    }

    def welcome(self, session: Session) -> dict[str, Any]:
        return {"sessionId": session.connect_id, "message": "welcome", "pingInterval": PING_INTERVAL_MS}

    def silent(self, peer: Peer, session: Session) -> None:
        """§3: only a socket without any subscription is closed."""
        if not session.topics:
            self.owner.breach("idle")
            peer.close(1000, "Bye")

    # ── requests, §4 ─────────────────────────────────────────────────────────────────────────────────────────────

    def hear(self, peer: Peer, session: Session, data: bytes) -> None:
        owner, now_ms = self.owner, self.owner.mono_ms()
        if owner.enforce_limits and not session.messages.allows(now_ms):
            owner.breach("messages")
            peer.close(1008, "message rate")  # the sheet does not say what happens; nothing milder would be noticed
            return
        try:
            request = msgspec.json.decode(data)
        except msgspec.DecodeError:
            return  # no reply
        if not isinstance(request, dict):
            return
        id_ = request.get("id")
        if request.get("type") == "ping":
            if owner.enforce_limits and not session.pings.allows(now_ms):
                owner.breach("pings")
                peer.abort()
                return
            owner.reply(peer, {"type": "pong", "id": id_, "ts": owner.wall_ms() * 1_000_000})
            return
        action = str(request.get("action", "")).upper()
        refusal = self._trouble(session, action, request)
        if refusal is not None:
            owner.reply(peer, {"id": id_, "result": False, **refusal})
            return
        wrong = action == "SUBSCRIBE" and owner.faults.take("wrong_ack")
        result: bool | str = "true" if owner.faults.find("text_results") else True
        owner.reply(peer, {"id": f"{id_}0" if wrong else id_, "result": result})
        for symbol in _symbols(request):
            act = owner.subscribe if action == "SUBSCRIBE" else owner.unsubscribe
            act(peer, session, _stream(request), symbol)

    def _trouble(self, session: Session, action: str, request: dict[str, Any]) -> dict[str, str] | None:
        channel, symbols = request.get("channel"), _symbols(request)
        if action not in ("SUBSCRIBE", "UNSUBSCRIBE") or not symbols:
            return {"message": _BAD}
        if _stream(request) not in self.channels and channel not in _SILENT:
            return {"message": _BAD}
        if request.get("tradeType") != self.owner.market.upper():
            kind = str(request.get("tradeType", "")).lower()
            name = str(channel).capitalize()
            return {"reason": f'topic {name} type = "public_{kind}" not allowed in current environment'}
        if "symbols" in request and channel != "ticker":
            return {"reason": f"symbols are not supported for topic {channel}"}
        if action == "SUBSCRIBE" and len(session.topics) + len(symbols) > TOPICS_MOST:
            self.owner.breach("topics")
            return {"reason": f"exceeds the maximum of {TOPICS_MOST} topics"}
        return None

    # ── market data, §5.1 and §6 ─────────────────────────────────────────────────────────────────────────────────

    def first(self, feed: Feed, stream: str, sequence: int) -> str | None:
        """A snapshot; `increment` has none (deprecated for it)."""
        if stream == "obu/increment" or self.channels[stream].kind is Kind.TRADES:
            return None
        if self.channels[stream].kind is Kind.DELTA:
            return pro_text.snapshot(feed, _depth(stream), BOOK_DEPTH, sequence, self.owner.wall_ms())
        return self.view(feed, stream)

    def deltas(self, feed: Feed, stream: str, delta: Delta, first: int) -> list[str]:
        return [pro_text.delta(feed, _depth(stream), first, delta, self.owner.wall_ms())]

    def view(self, feed: Feed, stream: str) -> str:
        wall_ms = self.owner.wall_ms()
        if stream == "ticker":
            return pro_text.ticker(feed, self.owner.last_trade(feed), wall_ms)
        most, sequence = self.channels[stream].depth, feed.instrument.sequence
        return pro_text.snapshot(feed, _depth(stream), most, sequence, wall_ms)

    def trades(self, feed: Feed, stream: str, trade: Trade) -> list[str]:
        return pro_text.trades(feed, trade, self.owner.wall_ms())


def _depth(stream: str) -> str:
    return stream.partition("/")[2]


def _stream(request: dict[str, Any]) -> str:
    channel = str(request.get("channel"))
    return f"{channel}/{request.get('depth', '')}" if channel == "obu" else channel


def _symbols(request: dict[str, Any]) -> list[str]:
    """`symbol`, or the list that `ticker` takes."""
    many = request.get("symbols", [request.get("symbol")])
    return [str(symbol) for symbol in many if symbol] if isinstance(many, list) else []
