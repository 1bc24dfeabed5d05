"""PURE. What contract pushes and books say: JSON as venues/mexc.md §5.3 and §6 show it. Sizes are contracts.

Numbers are spelled as the venue does it: trailing zeros come and go, and a price that ends in zeros may be written with an
exponent (`8.42E+4`).
"""

from collections.abc import Iterable
from typing import NamedTuple

from ops.simulator.feed import Feed
from ops.simulator.market import Trade
from ops.simulator.window import Delta


class Commit(NamedTuple):
    """One version of a book: one level's new size."""

    version: int
    is_bid: bool
    price: int  # ticks
    lots: int


def commits(first: int, last: int, bids: dict[int, int], asks: dict[int, int]) -> list[Commit]:
    """Versions `first` to `last`, one level each. A level that changed more than once is said more than once; deletions
    come first, so that no version shows a crossed book."""
    changes = [(is_bid, price, lots) for is_bid, side in ((True, bids), (False, asks)) for price, lots in side.items()]
    changes.sort(key=lambda change: change[2] != 0)
    again = last - first + 1 - len(changes)
    return [Commit(first + number, *change) for number, change in enumerate([changes[0]] * again + changes)]


def _number(text: str, lots: int) -> str:
    """A price as a JSON number, in one of the venue's spellings."""
    if "." in text:
        return f"{text}0" if lots % 3 == 0 else text
    zeros = len(text) - len(text.rstrip("0"))
    if not zeros:
        return text
    digits = text.rstrip("0")
    mantissa = f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits
    return f"{mantissa}E+{len(text) - 1}"


def levels(feed: Feed, side: Iterable[tuple[int, int]], *, spelled: bool = False) -> str:
    """Levels as the inside of a JSON array: [price, contracts, orders]. `spelled`: in the venue's many spellings."""
    price, size = feed.price_text, feed.size_text
    return ",".join(
        [
            f"[{_number(price(ticks), lots) if spelled else price(ticks)},{size(lots)},{1 + lots % 9 if lots else 0}]"
            for ticks, lots in side
        ]
    )


def _push(feed: Feed, channel: str, data: str, wall_ms: int) -> bytes:
    return f'{{"symbol":"{feed.listing.id}","data":{data},"channel":"push.{channel}","ts":{wall_ms}}}'.encode()


def merged(feed: Feed, delta: Delta, wall_ms: int) -> bytes:
    """`sub.depth`: what changed from `begin` to `end`, rows in no order."""
    rows = (
        f'"asks":[{levels(feed, delta.asks.items(), spelled=True)}],'
        f'"bids":[{levels(feed, delta.bids.items(), spelled=True)}]'
    )
    versions = f'"end":{delta.last},"begin":{delta.previous + 1},"version":{delta.last}'
    return _push(feed, "depth", f'{{"cts":{wall_ms - 5},{rows},{versions}}}', wall_ms)


def raw(feed: Feed, commit: Commit, wall_ms: int) -> bytes:
    """`sub.depth` with `compress` false: one version a frame, neither begin nor end."""
    row = levels(feed, [(commit.price, commit.lots)])
    asks, bids = ("", row) if commit.is_bid else (row, "")
    return _push(
        feed, "depth", f'{{"cts":{wall_ms - 5},"asks":[{asks}],"bids":[{bids}],"version":{commit.version}}}', wall_ms
    )


def full(feed: Feed, depth: int, wall_ms: int) -> bytes:
    """`sub.depth.full`: the whole window, sorted."""
    book = feed.instrument
    rows = f'"asks":[{levels(feed, book.asks.top(depth))}],"bids":[{levels(feed, book.bids.top(depth))}]'
    return _push(feed, "depth.full", f'{{"cts":{wall_ms - 5},{rows},"version":{book.sequence}}}', wall_ms)


def deals(feed: Feed, trades: Iterable[Trade], wall_ms: int) -> bytes:
    """`sub.deal`: one item a fill. `cts` is text here and a number elsewhere."""
    items = [
        f'{{"p":{feed.price_text(trade.price)},"v":{feed.size_text(lots)},"T":{1 if trade.taker_buys else 2},"O":3,"M":2,'
        f'"t":{wall_ms - 2},"i":"{trade.first_id + number}","cts":"{wall_ms - 2}"}}'
        for trade in trades
        for number, lots in enumerate(trade.fills)
    ]
    return _push(feed, "deal", f"[{','.join(items)}]", wall_ms)


def ticker(feed: Feed, last_price: int, wall_ms: int) -> bytes:
    """`sub.ticker`: best prices without amounts. The 24 h figures stand still in a generated market."""
    bid, _, ask, _ = feed.touch()
    price, start = feed.price_text, f"{feed.listing.price:g}"
    data = (
        f'{{"symbol":"{feed.listing.id}","lastPrice":{price(last_price)},"bid1":{price(bid)},"ask1":{price(ask)},'
        f'"riseFallRate":0,"fairPrice":{price(last_price)},"indexPrice":{price(last_price)},"volume24":0,"amount24":0,'
        f'"maxBidPrice":{start},"minAskPrice":{start},"lower24Price":{start},"high24Price":{start},"timestamp":{wall_ms}}}'
    )
    return _push(feed, "ticker", data, wall_ms)
