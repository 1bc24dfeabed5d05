"""PURE. Market data payloads of KuCoin's Pro sockets, as venues/kucoin.md §5.1 and §6 show them. Sizes of futures are lots."""

from collections.abc import Iterable

from ops.simulator.feed import Feed
from ops.simulator.market import Trade
from ops.simulator.window import Delta

INCREMENTS = "increment@10ms"


def levels(feed: Feed, side: Iterable[tuple[int, int]]) -> str:
    """Levels as the inside of a JSON array: [price, size], both text."""
    price, size = feed.price_text, feed.size_text
    return ",".join([f'["{price(ticks)}","{size(lots)}"]' for ticks, lots in side])


def snapshot(feed: Feed, depth: str, most: int, sequence: int, wall_ms: int) -> str:
    """A whole view: `O` == `C`."""
    book = feed.instrument
    sides = f'"a":[{levels(feed, book.asks.top(most))}],"b":[{levels(feed, book.bids.top(most))}]'
    return _book(feed, depth, "snapshot", sides, sequence, sequence, wall_ms)


def delta(feed: Feed, depth: str, first: int, one: Delta, wall_ms: int) -> str:
    """Changed levels of `increment@10ms` and `increment`; a size of 0 deletes."""
    sides = f'"a":[{levels(feed, one.asks.items())}],"b":[{levels(feed, one.bids.items())}]'
    return _book(feed, depth, "delta", sides, first, one.last, wall_ms)


def _book(feed: Feed, depth: str, kind: str, sides: str, first: int, last: int, wall_ms: int) -> str:
    body = f'{sides},"s":"{feed.listing.id}","C":{last},"M":{wall_ms}000000,"O":{first}'
    return f'{{"T":"obu.{trade_type(feed)}","dp":"{depth}","t":"{kind}","P":{wall_ms}671676,"d":{{{body}}}}}'


def ticker(feed: Feed, last: tuple[int, int, bool], wall_ms: int) -> str:
    """`ticker`: best prices and the last trade, (ticks, lots, the taker bought)."""
    bid, bid_lots, ask, ask_lots = feed.touch()
    price, size = feed.price_text, feed.size_text
    return (
        f'{{"T":"ticker.{trade_type(feed)}","P":{wall_ms}794005,"d":{{"b":"{price(bid)}","B":"{size(bid_lots)}",'
        f'"a":"{price(ask)}","A":"{size(ask_lots)}","l":"{price(last[0])}","q":"{size(last[1])}",'
        f'"S":"{"BUY" if last[2] else "SELL"}","E":{feed.instrument.sequence},"M":{wall_ms}000000,'
        f'"s":"{feed.listing.id}"}}}}'
    )


def trades(feed: Feed, one: Trade, wall_ms: int) -> list[str]:
    """`trade`: one frame a fill. Its counter is not the book's."""
    side = "buy" if one.taker_buys else "sell"
    return [
        f'{{"T":"trade.{trade_type(feed)}","P":{wall_ms}704171,"d":{{"E":{one.first_id + n},"M":{wall_ms}000000,'
        f'"S":"{side}","p":"{feed.price_text(one.price)}","q":"{feed.size_text(lots)}","s":"{feed.listing.id}",'
        f'"ti":"{one.first_id + n}"}}}}'
        for n, lots in enumerate(one.fills)
    ]


def trade_type(feed: Feed) -> str:
    """SPOT or FUTURES."""
    return "SPOT" if feed.listing.kind == "spot" else "FUTURES"
