"""PURE. Binance's words: stream names and market data payloads, as venues/binance.md §2, §4-§6 shows them."""

import re
from dataclasses import dataclass

from ops.simulator.feed import Feed
from ops.simulator.market import Trade
from ops.simulator.window import Delta

MARKET_ROUTE, PUBLIC_ROUTE = "market", "public"
_WELL_FORMED = re.compile(r"[^@\s]+(@[A-Za-z0-9_]+){1,2}|![A-Za-z]+(@[A-Za-z0-9]+){0,2}")
_DEPTH = re.compile(r"depth(5|10|20)?(?:@(100|500)ms)?")
_BARE_MS = {"spot": 1000, "futures": 250}  # speed of a depth stream that names none (§5.3)


@dataclass(frozen=True, slots=True)
class StreamName:
    """What a stream name means. `depth` 0 = the diff stream, for kind `depth`."""

    symbol: str  # lower case
    kind: str  # bookTicker, depth, partial, trade, aggTrade
    interval_ms: int
    depth: int
    route: str


def is_well_formed(name: str) -> bool:
    """Whether the venue acknowledges such a name; data it need not have."""
    return _WELL_FORMED.fullmatch(name) is not None


def parse_stream(name: str, market: str) -> StreamName | None:
    """The meaning of a stream that this simulator plays, or None: acknowledged, and silent for ever."""
    symbol, _, what = name.partition("@")
    if what in ("bookTicker", "trade"):
        return StreamName(symbol, what, 0, 0, PUBLIC_ROUTE)
    if what == "aggTrade":
        return StreamName(symbol, what, 0, 0, MARKET_ROUTE)
    match = _DEPTH.fullmatch(what)
    if match is None or (match[2] == "500" and market == "spot"):
        return None
    depth = int(match[1] or 0)
    return StreamName(symbol, "partial" if depth else "depth", int(match[2] or _BARE_MS[market]), depth, PUBLIC_ROUTE)


def _side(feed: Feed, levels: "list[tuple[int, int]] | dict[int, int]") -> str:
    price, size, zero = feed.price_text, feed.size_text, feed.listing.zero
    items = levels.items() if isinstance(levels, dict) else levels
    return ",".join([f'["{price(ticks)}","{size(lots) if lots else zero}"]' for ticks, lots in items])


class SpotText:
    """Spot payloads."""

    def book_ticker(self, feed: Feed, wall_ms: int) -> str:
        """§5.1: no event type, no time."""
        bid, bid_lots, ask, ask_lots = feed.touch()
        price, size = feed.price_text, feed.size_text
        return (
            f'{{"u":{feed.instrument.sequence},"s":"{feed.listing.id}","b":"{price(bid)}","B":"{size(bid_lots)}",'
            f'"a":"{price(ask)}","A":"{size(ask_lots)}"}}'
        )

    def diff(self, feed: Feed, delta: Delta, wall_ms: int) -> str:
        """§5.1, §5.4: `U` is the `u` of the message before, plus 1."""
        return (
            f'{{"e":"depthUpdate","E":{wall_ms},"s":"{feed.listing.id}","U":{delta.previous + 1},"u":{delta.last},'
            f'"b":[{_side(feed, delta.bids)}],"a":[{_side(feed, delta.asks)}]}}'
        )

    def partial(self, feed: Feed, depth: int, previous: int, wall_ms: int) -> str:
        """§5.1: a full replacement without symbol or time."""
        book = feed.instrument
        return (
            f'{{"lastUpdateId":{book.sequence},"bids":[{_side(feed, book.bids.top(depth))}],'
            f'"asks":[{_side(feed, book.asks.top(depth))}]}}'
        )

    def snapshot(self, feed: Feed, sequence: int, bids: str, asks: str, wall_ms: int) -> str:
        """REST depth, §5.1."""
        return f'{{"lastUpdateId":{sequence},"bids":[{bids}],"asks":[{asks}]}}'

    def trades(self, feed: Feed, trade: Trade, wall_ms: int) -> list[str]:
        """§6: one message a fill."""
        return [
            f'{{"e":"trade","E":{wall_ms},"s":"{feed.listing.id}","t":{trade.first_id + n},'
            f'"p":"{feed.price_text(trade.price)}","q":"{feed.size_text(lots)}","T":{wall_ms - 1},'
            f'"m":{_maker(trade)},"M":true}}'
            for n, lots in enumerate(trade.fills)
        ]

    def agg_trade(self, feed: Feed, trade: Trade, wall_ms: int) -> str:
        """The fills of one taker at one price."""
        return (
            f'{{"e":"aggTrade","E":{wall_ms},"s":"{feed.listing.id}","a":{trade.last_id},'
            f'"p":"{feed.price_text(trade.price)}","q":"{feed.size_text(sum(trade.fills))}","f":{trade.first_id},'
            f'"l":{trade.last_id},"T":{wall_ms - 1},"m":{_maker(trade)},"M":true}}'
        )


class FuturesText(SpotText):
    """USDT-margined payloads: times, `pu`, and since 2026-06-30 `ps` and `st` (§5.2)."""

    def book_ticker(self, feed: Feed, wall_ms: int) -> str:
        """§5.2."""
        bid, bid_lots, ask, ask_lots = feed.touch()
        price, size = feed.price_text, feed.size_text
        return (
            f'{{"e":"bookTicker","u":{feed.instrument.sequence},{_symbol(feed)},"b":"{price(bid)}",'
            f'"B":"{size(bid_lots)}","a":"{price(ask)}","A":"{size(ask_lots)}","T":{wall_ms - 3},"E":{wall_ms},"st":1}}'
        )

    def diff(self, feed: Feed, delta: Delta, wall_ms: int) -> str:
        """§5.2, §5.4: the chain is `pu`; `U` jumps."""
        return (
            f'{{"e":"depthUpdate","E":{wall_ms},"T":{wall_ms - 3},{_symbol(feed)},"U":{delta.first},"u":{delta.last},'
            f'"pu":{delta.previous},"b":[{_side(feed, delta.bids)}],"a":[{_side(feed, delta.asks)}],"st":1}}'
        )

    def partial(self, feed: Feed, depth: int, previous: int, wall_ms: int) -> str:
        """§5.2: a full replacement in the shape of a diff."""
        book = feed.instrument
        return (
            f'{{"e":"depthUpdate","E":{wall_ms},"T":{wall_ms - 3},{_symbol(feed)},"U":{max(previous, 0) + 1},'
            f'"u":{book.sequence},"pu":{max(previous, 0)},"b":[{_side(feed, book.bids.top(depth))}],'
            f'"a":[{_side(feed, book.asks.top(depth))}],"st":1}}'
        )

    def snapshot(self, feed: Feed, sequence: int, bids: str, asks: str, wall_ms: int) -> str:
        """REST depth, §5.2."""
        times = f'"E":{wall_ms},"T":{wall_ms - 3}'
        return f'{{"lastUpdateId":{sequence},{times},"bids":[{bids}],"asks":[{asks}]}}'

    def trades(self, feed: Feed, trade: Trade, wall_ms: int) -> list[str]:
        """§6: undocumented, with `X`."""
        return [
            f'{{"e":"trade","E":{wall_ms},"T":{wall_ms - 1},"s":"{feed.listing.id}","t":{trade.first_id + n},'
            f'"p":"{feed.price_text(trade.price)}","q":"{feed.size_text(lots)}","X":"MARKET","m":{_maker(trade)},'
            f'"st":1}}'
            for n, lots in enumerate(trade.fills)
        ]

    def agg_trade(self, feed: Feed, trade: Trade, wall_ms: int) -> str:
        """§6; no RPI fills here, so `nq` equals `q`."""
        size = feed.size_text(sum(trade.fills))
        return (
            f'{{"e":"aggTrade","E":{wall_ms},"s":"{feed.listing.id}","a":{trade.last_id},'
            f'"p":"{feed.price_text(trade.price)}","q":"{size}","nq":"{size}","f":{trade.first_id},'
            f'"l":{trade.last_id},"T":{wall_ms - 1},"m":{_maker(trade)},"st":1}}'
        )


def levels(feed: Feed, side: list[tuple[int, int]]) -> str:
    """Levels as the inside of a JSON array."""
    return _side(feed, side)


def _maker(trade: Trade) -> str:
    return "false" if trade.taker_buys else "true"


def _symbol(feed: Feed) -> str:
    listing = feed.listing
    return f'"s":"{listing.id}","ps":"{listing.base}{listing.quote}"'
