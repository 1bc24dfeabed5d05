"""PURE. Hyperliquid's words: market data payloads as venues/hyperliquid.md §4-§6 show them. Sizes are base units.

Numbers are decimal text with at least one decimal ("84143.0", "0.1428"), times are block times in Unix ms.
"""

from collections.abc import Iterable, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import NamedTuple

from ops.simulator.feed import Feed
from ops.simulator.market import Trade

DEPTH, FAST_DEPTH = 20, 5
Side = Sequence[tuple[int, int]]  # (ticks, lots), best first
_TID = 0x2545F4914F6CD  # odd: a one-to-one shuffle of 50-bit numbers
_BUYER, _SELLER = "0x9aa589355bf745db9784c8ef3c646360f11b58af", "0x8269c0a4f5f1a14582e0aa46856a234893c41970"


class Flavour(NamedTuple):
    """Which book of a coin: full precision, `fast`, or coarse (`figures`, and a step of `mantissa` in the last one)."""

    fast: bool = False
    figures: int | None = None
    mantissa: int | None = None


def number(text: str) -> str:
    """At least one decimal."""
    return text if "." in text else f"{text}.0"


def price(feed: Feed, ticks: int) -> str:
    """A price on the wire."""
    return number(feed.price_text(ticks))


def size(feed: Feed, lots: int) -> str:
    """A size on the wire."""
    return number(feed.size_text(lots))


def level(feed: Feed, ticks: int, lots: int) -> str:
    """A level with its number of orders."""
    return f'{{"px":"{price(feed, ticks)}","sz":"{size(feed, lots)}","n":{1 + lots % 9}}}'


def book(feed: Feed, bids: Side, asks: Side, time_ms: int, flavour: Flavour) -> str:
    """The whole book as `l2Book` of REST and the `data` of the channel. A delisted coin has none."""
    if not feed.listing.trading:
        bids = asks = ()
    depth = FAST_DEPTH if flavour.fast else DEPTH
    if flavour.figures is None:
        sides = [",".join(level(feed, *one) for one in side[:depth]) for side in (bids, asks)]
    else:
        sides = [_coarse(feed, bids, flavour, ROUND_FLOOR), _coarse(feed, asks, flavour, ROUND_CEILING)]
    fast = ',"fast":true' if flavour.fast else ""
    return f'{{"coin":"{feed.listing.id}","time":{time_ms},"levels":[[{sides[0]}],[{sides[1]}]]{fast}}}'


def _coarse(feed: Feed, side: Side, flavour: Flavour, rounding: str) -> str:
    """Levels of `figures` significant figures, away from the spread, sizes added up."""
    buckets: dict[Decimal, tuple[int, int]] = {}
    for ticks, lots in side:
        exact = ticks * feed.listing.tick
        step = Decimal(flavour.mantissa or 1).scaleb(exact.adjusted() - (flavour.figures or 0) + 1)
        bucket = (exact / step).to_integral_value(rounding) * step
        known, orders = buckets.get(bucket, (0, 0))
        buckets[bucket] = (known + lots, orders + 1)
    return ",".join(
        f'{{"px":"{number(f"{bucket.normalize():f}")}","sz":"{size(feed, lots)}","n":{orders}}}'
        for bucket, (lots, orders) in list(buckets.items())[:DEPTH]
    )


def bbo(feed: Feed, time_ms: int) -> str:
    """The `data` of `bbo`."""
    bid, bid_lots, ask, ask_lots = feed.touch()
    sides = f"{level(feed, bid, bid_lots)},{level(feed, ask, ask_lots)}" if feed.listing.trading else "null,null"
    return f'{{"coin":"{feed.listing.id}","time":{time_ms},"bbo":[{sides}]}}'


def trades(feed: Feed, all_of: Iterable[Trade], time_ms: int) -> list[str]:
    """Every fill as an element of `trades`; those of one taker share the transaction's hash."""
    rows = []
    for one in all_of:
        side = "B" if one.taker_buys else "A"
        for number_, lots in enumerate(one.fills):
            tid = (one.first_id + number_) * _TID % 2**50
            rows.append(
                f'{{"coin":"{feed.listing.id}","side":"{side}","px":"{price(feed, one.price)}","sz":"{size(feed, lots)}",'
                f'"time":{time_ms},"hash":"0x{one.last_id:064x}","tid":{tid},"users":["{_BUYER}","{_SELLER}"]}}'
            )
    return rows


def context(feed: Feed) -> str:
    """The `ctx` of an asset. What a generated market has no notion of stands still."""
    middle, start = mid(feed), number(f"{feed.listing.price:f}".rstrip("0").rstrip("."))
    if feed.listing.kind == "spot":
        return (
            f'{{"prevDayPx":"{start}","dayNtlVlm":"0.0","markPx":"{middle}","midPx":"{middle}",'
            f'"circulatingSupply":"1000000.0","coin":"{feed.listing.id}"}}'
        )
    bid, _, ask, _ = feed.touch()
    return (
        f'{{"funding":"0.0000125","openInterest":"1000.0","prevDayPx":"{start}","dayNtlVlm":"0.0","premium":"0.0",'
        f'"oraclePx":"{middle}","markPx":"{middle}","midPx":"{middle}",'
        f'"impactPxs":["{price(feed, bid)}","{price(feed, ask)}"]}}'
    )


def mid(feed: Feed) -> str:
    """The middle of the touch."""
    bid, _, ask, _ = feed.touch()
    return number(f"{((bid + ask) * feed.listing.tick / 2).normalize():f}")


def push(channel: str, data: str) -> bytes:
    """A message of the socket."""
    return f'{{"channel":"{channel}","data":{data}}}'.encode()
