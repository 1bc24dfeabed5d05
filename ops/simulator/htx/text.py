"""PURE. HTX's words: market data payloads as venues/htx.md §5 and §6 show them. Sizes of swaps are contracts.

Numbers are JSON numbers. Spot prints doubles as Java does: a small one has an exponent (`5.33E-4`), a whole one a zero
(`2.0`). Swaps print plain decimals.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import lru_cache

from ops.simulator.feed import Feed
from ops.simulator.market import Trade
from ops.simulator.window import Delta

Levels = Iterable[tuple[int, int]]


@lru_cache(maxsize=65536)
def as_double(text: str) -> str:
    """A decimal as Java prints a double (§5.1: `9.486E-11`, `1.0E-8`)."""
    value = Decimal(text).normalize()
    exponent = value.adjusted()
    if not value:
        return "0.0"
    if -3 <= exponent < 7:
        plain = format(value, "f")
        return plain if "." in plain else f"{plain}.0"
    digits = "".join(map(str, value.as_tuple().digits))
    return f"{digits[0]}.{digits[1:] or '0'}E{exponent}"


def plain(text: str) -> str:
    """Swaps: as it is."""
    return text


def levels(feed: Feed, side: Levels, number: Callable[[str], str]) -> str:
    """Levels as a JSON array: [price, size]."""
    price, size = feed.price_text, feed.size_text
    return f"[{','.join([f'[{number(price(ticks))},{number(size(lots))}]' for ticks, lots in side])}]"


def push(topic: str, tick: str, wall_ms: int) -> str:
    """A push of either market."""
    return f'{{"ch":"{topic}","ts":{wall_ms},"tick":{tick}}}'


# --- spot -----------------------------------------------------------------------------------------------------------------


def mbp(feed: Feed, topic: str, delta: Delta, wall_ms: int, *, both_sides: bool) -> str:
    """`mbp.N`: what changed. 5 and 20 leave out a side without change, 150 and 400 never do (§5.1)."""
    sides = [
        f',"{name}":{levels(feed, side.items(), as_double)}'
        for name, side in (("bids", delta.bids), ("asks", delta.asks))
        if side or both_sides
    ]
    return push(topic, f'{{"seqNum":{delta.last},"prevSeqNum":{delta.previous}{"".join(sides)}}}', wall_ms)


def whole(feed: Feed, sequence: int, bids: Levels, asks: Levels) -> str:
    """The book as `mbp.refresh.N` pushes it and `req` answers it."""
    sides = f'"bids":{levels(feed, bids, as_double)},"asks":{levels(feed, asks, as_double)}'
    return f'{{"seqNum":{sequence},{sides}}}'


def spot_depth(feed: Feed, sequence: int, bids: Levels, asks: Levels, wall_ms: int) -> str:
    """The tick of `depth.step0`."""
    sides = f'"bids":{levels(feed, bids, as_double)},"asks":{levels(feed, asks, as_double)}'
    return f'{{{sides},"version":{sequence},"ts":{wall_ms}}}'


def spot_bbo(feed: Feed, wall_ms: int) -> str:
    """The tick of `bbo`."""
    bid, bid_lots, ask, ask_lots = (as_double(text) for text in _touch(feed))
    return (
        f'{{"seqId":{feed.instrument.sequence},"ask":{ask},"askSize":{ask_lots},"bid":{bid},"bidSize":{bid_lots},'
        f'"quoteTime":{wall_ms},"symbol":"{feed.listing.id}"}}'
    )


def spot_trade(feed: Feed, one: Trade, wall_ms: int) -> str:
    """A row of `trade.detail`. Its `id` exceeds 64 bits and is deprecated; `tradeId` is unique (§6)."""
    price, size = as_double(feed.price_text(one.price)), as_double(feed.size_text(sum(one.fills)))
    return (
        f'{{"id":{one.sequence}{one.last_id:015d},"ts":{wall_ms},"tradeId":{one.last_id},"amount":{size},'
        f'"price":{price},"direction":"{_side(one)}"}}'
    )


def spot_ticker(feed: Feed, wall_ms: int) -> str:
    """The tick of `ticker`. The 24 h figures stand still in a generated market."""
    bid, bid_lots, ask, ask_lots = (as_double(text) for text in _touch(feed))
    start = as_double(f"{feed.listing.price:f}")
    return (
        f'{{"open":{start},"high":{start},"low":{start},"close":{bid},"amount":0.0,"vol":0.0,"count":0,'
        f'"bid":{bid},"bidSize":{bid_lots},"ask":{ask},"askSize":{ask_lots},"lastPrice":{bid},"lastSize":{bid_lots}}}'
    )


def spot_detail(feed: Feed, wall_ms: int) -> str:
    """The tick of `detail`: the day, without best prices."""
    bid, start = as_double(feed.price_text(feed.touch()[0])), as_double(f"{feed.listing.price:f}")
    sequence = feed.instrument.sequence
    return (
        f'{{"id":{sequence},"low":{start},"high":{start},"open":{start},"close":{bid},"vol":0.0,"amount":0.0,'
        f'"version":{sequence},"count":0}}'
    )


# --- swaps ----------------------------------------------------------------------------------------------------------------


def high_freq(
    feed: Feed, topic: str, event: str, version: str, sequence: int, sides: tuple[Levels, Levels], wall_ms: int
) -> str:
    """`depth.size_N.high_freq`; `version` is the connection's, as JSON (§5.3)."""
    bids, asks = (levels(feed, side, plain) for side in sides)
    tick = (
        f'{{"asks":{asks},"bids":{bids},"ch":"{topic}","event":"{event}","id":{sequence},"mrid":{sequence},'
        f'"ts":{wall_ms},"version":{version}}}'
    )
    return f'{{"ch":"{topic}","tick":{tick},"ts":{wall_ms}}}'


def swap_depth(feed: Feed, topic: str, sequence: int, bids: Levels, asks: Levels, wall_ms: int) -> str:
    """The tick of `depth.step0`: `id` and `version` are seconds, several images share one (§5.4)."""
    sides = f'"bids":{levels(feed, bids, plain)},"asks":{levels(feed, asks, plain)}'
    seconds = wall_ms // 1000
    return f'{{"mrid":{sequence},"id":{seconds},{sides},"ts":{wall_ms},"version":{seconds},"ch":"{topic}"}}'


def swap_bbo(feed: Feed, topic: str, wall_ms: int, missing: str = "") -> str:
    """The tick of `bbo`; the side `missing` (bid or ask) is null, as on an empty book."""
    bid, bid_lots, ask, ask_lots = _touch(feed)
    sides = {"bid": f"[{bid},{bid_lots}]", "ask": f"[{ask},{ask_lots}]"}
    if missing:
        sides[missing] = "null"
    sequence = feed.instrument.sequence
    return (
        f'{{"mrid":{sequence},"id":{wall_ms // 1000},"bid":{sides["bid"]},"ask":{sides["ask"]},"ts":{wall_ms},'
        f'"version":{sequence},"ch":"{topic}"}}'
    )


def swap_trade(feed: Feed, one: Trade, wall_ms: int) -> str:
    """A row of `trade.detail`: `amount` in contracts, `quantity` in coins; the id exceeds 2^53 (§6)."""
    contracts = Decimal(feed.size_text(sum(one.fills)))
    coins = contracts * feed.listing.contract_value
    turnover = coins * Decimal(feed.price_text(one.price))
    return (
        f'{{"amount":{contracts:f},"quantity":{coins:f},"trade_turnover":{turnover:f},"ts":{wall_ms},'
        f'"id":{one.sequence * 10_000_000},"price":{feed.price_text(one.price)},"direction":"{_side(one)}"}}'
    )


def swap_detail(feed: Feed, wall_ms: int) -> str:
    """The tick of `detail`: the day, with best prices."""
    bid, bid_lots, ask, ask_lots = _touch(feed)
    start = f"{feed.listing.price:g}"
    return (
        f'{{"id":{wall_ms // 1000},"mrid":{feed.instrument.sequence},"open":{start},"close":{bid},"high":{start},'
        f'"low":{start},"amount":0,"vol":0,"trade_turnover":0,"count":0,"ask":[{ask},{ask_lots}],"bid":[{bid},{bid_lots}]}}'
    )


def trades(topic: str, rows: list[str], sequence: int, wall_ms: int) -> str:
    """`trade.detail` of either market."""
    return push(topic, f'{{"id":{sequence},"ts":{wall_ms},"data":[{",".join(rows)}]}}', wall_ms)


def _touch(feed: Feed) -> tuple[str, str, str, str]:
    bid, bid_lots, ask, ask_lots = feed.touch()
    price, size = feed.price_text, feed.size_text
    return price(bid), size(bid_lots), price(ask), size(ask_lots)


def _side(one: Trade) -> str:
    return "buy" if one.taker_buys else "sell"
