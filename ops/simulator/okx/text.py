"""PURE. OKX's words: market data payloads as venues/okx.md §5 and §6 show them. Sizes of derivatives are contracts."""

from collections.abc import Iterable

from ops.simulator.feed import Feed
from ops.simulator.market import Trade
from ops.simulator.window import Delta


def levels(feed: Feed, side: Iterable[tuple[int, int]]) -> str:
    """Levels as the inside of a JSON array: [price, size, "0", order count]."""
    price, size = feed.price_text, feed.size_text
    return ",".join([f'["{price(ticks)}","{size(lots)}","0","{1 + lots % 9 if lots else 0}"]' for ticks, lots in side])


def snapshot(feed: Feed, sequence: int, wall_ms: int, depth: int) -> str:
    """First message of `books`: the whole window, `prevSeqId` -1."""
    book = feed.instrument
    sides = f'"asks":[{levels(feed, book.asks.top(depth))}],"bids":[{levels(feed, book.bids.top(depth))}]'
    return (
        f'{{"arg":{argument("books", feed)},"action":"snapshot","data":[{{{sides},"ts":"{wall_ms}","checksum":0,'
        f'"prevSeqId":-1,"seqId":{sequence}}}]}}'
    )


def update(feed: Feed, delta: Delta, wall_ms: int) -> str:
    """A delta of `books`; the checksum is 0 since 2026-06-23. An empty delta is the keepalive."""
    sides = f'"asks":[{levels(feed, delta.asks.items())}],"bids":[{levels(feed, delta.bids.items())}]'
    return (
        f'{{"arg":{argument("books", feed)},"action":"update","data":[{{{sides},"ts":"{wall_ms}","checksum":0,'
        f'"prevSeqId":{delta.previous},"seqId":{delta.last}}}]}}'
    )


def bbo(feed: Feed, wall_ms: int) -> str:
    """`bbo-tbt`: the best level of each side."""
    book = feed.instrument
    sides = f'"asks":[{levels(feed, book.asks.top(1))}],"bids":[{levels(feed, book.bids.top(1))}]'
    return f'{{"arg":{argument("bbo-tbt", feed)},"data":[{{{sides},"ts":"{wall_ms}","seqId":{book.sequence}}}]}}'


def books5(feed: Feed, wall_ms: int) -> str:
    """`books5`: a full replacement; its rows carry the instrument."""
    book = feed.instrument
    sides = f'"asks":[{levels(feed, book.asks.top(5))}],"bids":[{levels(feed, book.bids.top(5))}]'
    return (
        f'{{"arg":{argument("books5", feed)},"data":[{{{sides},"instId":"{feed.listing.id}","ts":"{wall_ms}",'
        f'"seqId":{book.sequence}}}]}}'
    )


def ticker(feed: Feed, last: tuple[int, int], inst_type: str, wall_ms: int) -> str:
    """`tickers`: best prices and the last trade, (ticks, lots). The 24 h figures stand still in a generated market."""
    bid, bid_lots, ask, ask_lots = feed.touch()
    price, size = feed.price_text, feed.size_text
    start = f"{feed.listing.price:g}"
    return (
        f'{{"arg":{argument("tickers", feed)},"data":[{{"instType":"{inst_type}","instId":"{feed.listing.id}",'
        f'"last":"{price(last[0])}","lastSz":"{size(last[1])}","askPx":"{price(ask)}","askSz":"{size(ask_lots)}",'
        f'"bidPx":"{price(bid)}","bidSz":"{size(bid_lots)}","open24h":"{start}","high24h":"{start}",'
        f'"low24h":"{start}","volCcy24h":"0","vol24h":"0","sodUtc0":"{start}","sodUtc8":"{start}","ts":"{wall_ms}"}}]}}'
    )


def trade(feed: Feed, one: Trade, wall_ms: int) -> str:
    """`trades`: the fills of one taker at one price, `tradeId` of the last."""
    side = "buy" if one.taker_buys else "sell"
    return (
        f'{{"arg":{argument("trades", feed)},"data":[{{"instId":"{feed.listing.id}","tradeId":"{one.last_id}",'
        f'"px":"{feed.price_text(one.price)}","sz":"{feed.size_text(sum(one.fills))}","side":"{side}",'
        f'"ts":"{wall_ms}","count":"{len(one.fills)}","source":"0","seqId":{one.sequence}}}]}}'
    )


def argument(channel: str, feed: Feed) -> str:
    """The `arg` of a push."""
    return f'{{"channel":"{channel}","instId":"{feed.listing.id}"}}'
