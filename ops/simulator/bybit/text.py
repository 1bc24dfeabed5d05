"""PURE. Bybit's words: topics and market data payloads as venues/bybit.md §4-§6 shows them, and tickers as recorded.

Keys stand in another order on spot than on linear sockets, as they do at the venue (§5.1).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ops.simulator.feed import Feed
from ops.simulator.market import Trade

FULL = 0  # as a depth: every level
_INTERVALS_MS = {1: 10, 50: 20, 200: 100, 1000: 200, FULL: 200}


@dataclass(frozen=True, slots=True)
class Topic:
    """What a topic means. `depth` only for kind `orderbook`."""

    kind: str  # orderbook, publicTrade, tickers
    symbol: str
    depth: int = FULL
    interval_ms: int = 0


def parse_topic(name: str, market: str) -> Topic | None:
    """The meaning of a topic that this simulator plays, or None. Every other depth is invalid (§4); `orderbook.full` is of
    spot only; `orderbook.rpi` is not played."""
    kind, _, rest = name.partition(".")
    if kind in ("publicTrade", "tickers") and rest:
        return Topic(kind, rest)
    depth_text, _, symbol = rest.partition(".")
    if kind != "orderbook" or not symbol:
        return None
    if depth_text == "full" and market == "spot":
        return Topic(kind, symbol, FULL, _INTERVALS_MS[FULL])
    if depth_text in ("1", "50", "200", "1000"):
        return Topic(kind, symbol, int(depth_text), _INTERVALS_MS[int(depth_text)])
    return None


def levels(feed: Feed, side: Iterable[tuple[int, int]]) -> str:
    """Levels as the inside of a JSON array."""
    price, size, zero = feed.price_text, feed.size_text, feed.listing.zero
    return ",".join([f'["{price(ticks)}","{size(lots) if lots else zero}"]' for ticks, lots in side])


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a book message is numbered with."""

    u: int  # of its topic
    seq: int  # of the engine


def book(
    feed: Feed,
    name: str,
    kind: str,
    sides: tuple[Iterable[tuple[int, int]], Iterable[tuple[int, int]]],
    numbers: Numbers,
    wall_ms: int,
) -> str:
    """A message of `orderbook.*`; `kind` is snapshot or delta, `sides` are bids and asks."""
    head = (
        f'"ts":{wall_ms},"type":"{kind}"' if feed.listing.kind == "spot" else f'"type":"{kind}","ts":{wall_ms}'
    )  # fmt: skip
    return (
        f'{{"topic":"{name}",{head},"data":{{"s":"{feed.listing.id}","b":[{levels(feed, sides[0])}],'
        f'"a":[{levels(feed, sides[1])}],"u":{numbers.u},"seq":{numbers.seq}}},"cts":{wall_ms - 3}}}'
    )


def rest_book(
    feed: Feed, bids: list[tuple[int, int]], asks: list[tuple[int, int]], numbers: Numbers, wall_ms: int
) -> str:
    """`result` of both REST books (§5.4, §5.5)."""
    return (
        f'{{"s":"{feed.listing.id}","b":[{levels(feed, bids)}],"a":[{levels(feed, asks)}],"ts":{wall_ms},'
        f'"u":{numbers.u},"seq":{numbers.seq},"cts":{wall_ms - 3}}}'
    )


def trades(feed: Feed, name: str, made: Sequence[Trade], wall_ms: int) -> str:
    """`publicTrade` (§6): every fill a row, several in one message. Ids are numbers on spot and UUIDs on linear."""
    spot = feed.listing.kind == "spot"
    rows = []
    for one in made:
        side = "Buy" if one.taker_buys else "Sell"
        for number, lots in enumerate(one.fills, one.first_id):
            id_ = f"{2_290_000_000_000_000_000 + number}" if spot else _uuid(number)
            tick = "" if spot else '"L":"PlusTick",'
            rows.append(
                f'{{"T":{wall_ms - 2},"s":"{feed.listing.id}","S":"{side}","v":"{feed.size_text(lots)}",'
                f'"p":"{feed.price_text(one.price)}",{tick}"i":"{id_}","BT":false,"RPI":false,"seq":{one.sequence}}}'
            )
    return f'{{"topic":"{name}","type":"snapshot","ts":{wall_ms},"data":[{",".join(rows)}]}}'


def ticker(feed: Feed, name: str, kind: str, last: tuple[int, int], wall_ms: int) -> str:
    """`tickers`: on linear a snapshot, then deltas; on spot snapshots without best prices. The 24 h figures stand still."""
    listing, price, size = feed.listing, feed.price_text, feed.size_text
    start = f"{listing.price:g}"
    day = (
        f'"lastPrice":"{price(last[0])}","highPrice24h":"{start}","lowPrice24h":"{start}","prevPrice24h":"{start}",'
        '"volume24h":"0","turnover24h":"0","price24hPcnt":"0"'
    )
    if listing.kind == "spot":
        data = f'"symbol":"{listing.id}",{day},"usdIndexPrice":"{start}"'
        head = f'"ts":{wall_ms},"type":"snapshot","cs":{feed.instrument.sequence}'
        return f'{{"topic":"{name}",{head},"data":{{{data}}}}}'
    bid, bid_lots, ask, ask_lots = feed.touch()
    touch = (
        f'"bid1Price":"{price(bid)}","bid1Size":"{size(bid_lots)}","ask1Price":"{price(ask)}",'
        f'"ask1Size":"{size(ask_lots)}"'
    )
    data = f'"symbol":"{listing.id}",{day},{touch}' if kind == "snapshot" else f'"symbol":"{listing.id}",{touch}'
    tail = f'"cs":{feed.instrument.sequence},"ts":{wall_ms}'
    return f'{{"topic":"{name}","type":"{kind}","data":{{{data}}},{tail}}}'


def _uuid(number: int) -> str:
    digits = f"{number:032x}"
    return f"{digits[:8]}-{digits[8:12]}-5b31-{digits[16:20]}-{digits[20:]}"
