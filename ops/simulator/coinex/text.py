"""PURE. CoinEx's words: market data payloads as venues/coinex.md §5 and §6 show them, and the checksum of §5.3."""

import zlib
from collections.abc import Iterable, Sequence

from ops.simulator.feed import Feed

Levels = Sequence[tuple[int, int]]  # (ticks, lots), best first where a whole side is meant


def checksum(feed: Feed, bids: Levels, asks: Levels) -> int:
    """CRC32 of both sides best first, bids before asks: unsigned, as the venue sends it."""
    price, size = feed.price_text, feed.size_text
    return zlib.crc32(
        ":".join([f"{price(ticks)}:{size(lots)}" for side in (bids, asks) for ticks, lots in side]).encode()
    )


def levels(feed: Feed, side: Iterable[tuple[int, int]]) -> str:
    """Levels as a JSON array; a level that is gone has size "0"."""
    price, size = feed.price_text, feed.size_text
    inside = ",".join([f'["{price(ticks)}","{size(lots) if lots else feed.listing.zero}"]' for ticks, lots in side])
    return f"[{inside}]"


def depth(
    feed: Feed,
    bids: Levels,
    asks: Levels,
    *,
    is_full: bool,
    last: str,
    wall_ms: int,
    check: int,
    omit_empty: bool = False,
) -> str:
    """The `data` of `depth.update` and of the book that REST shows. `omit_empty`: a side without levels is left out."""
    sides = "".join(
        f'"{name}":{levels(feed, side)},' for name, side in (("asks", asks), ("bids", bids)) if side or not omit_empty
    )
    return (
        f'{{"market":"{feed.listing.id}","is_full":{"true" if is_full else "false"},"depth":{{{sides}"last":"{last}",'
        f'"updated_at":{wall_ms},"checksum":{check}}}}}'
    )


def bbo(feed: Feed, wall_ms: int) -> str:
    """The `data` of `bbo.update`."""
    bid, bid_lots, ask, ask_lots = feed.touch()
    price, size = feed.price_text, feed.size_text
    return (
        f'{{"market":"{feed.listing.id}","updated_at":{wall_ms},"best_bid_price":"{price(bid)}",'
        f'"best_bid_size":"{size(bid_lots)}","best_ask_price":"{price(ask)}","best_ask_size":"{size(ask_lots)}"}}'
    )


def deal(feed: Feed, deal_id: int, ticks: int, lots: int, wall_ms: int, *, taker_buys: bool) -> str:
    """One entry of a `deal_list`."""
    side = "buy" if taker_buys else "sell"
    return (
        f'{{"deal_id":{deal_id},"created_at":{wall_ms},"side":"{side}","price":"{feed.price_text(ticks)}",'
        f'"amount":"{feed.size_text(lots)}"}}'
    )


def deals(feed: Feed, newest_first: Iterable[str]) -> str:
    """The `data` of `deals.update`."""
    return f'{{"market":"{feed.listing.id}","deal_list":[{",".join(newest_first)}]}}'


def state(feed: Feed, last: str) -> str:
    """One market of `state.update`. The 24 h figures stand still in a generated market."""
    start = f"{feed.listing.price:g}"
    return (
        f'{{"market":"{feed.listing.id}","last":"{last}","open":"{start}","close":"{last}","high":"{start}",'
        f'"low":"{start}","volume":"0","volume_sell":"0","volume_buy":"0","value":"0","period":86400}}'
    )


def push(method: str, data: str) -> bytes:
    """A whole push."""
    return f'{{"method":"{method}","data":{data},"id":null}}'.encode()
