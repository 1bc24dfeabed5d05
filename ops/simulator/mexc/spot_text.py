"""PURE. What spot pushes say: `PushDataV3ApiWrapper` messages as venues/mexc.md §2.1, §5 and §6 show them.

Depths are spelled with all their decimals, best prices and deals without trailing zeros, as the real frames are.
"""

from collections.abc import Iterable

from ops.simulator.feed import Feed, Stream
from ops.simulator.market import Trade
from ops.simulator.mexc.protobuf import integer, message, repeated, text
from ops.simulator.window import Delta

_LIMIT_DEPTHS, _AGGRE_DEPTHS, _AGGRE_DEALS, _AGGRE_BOOK_TICKER = 303, 313, 314, 315


def wrapper(channel: str, symbol: str, wall_ms: int, body: bytes = b"") -> bytes:
    """The envelope; `body` is the finished field of the oneof, or nothing."""
    return text(1, channel) + text(3, symbol) + integer(6, wall_ms) + body


def _levels(feed: Feed, side: Iterable[tuple[int, int]]) -> list[bytes]:
    price, size, zero = feed.price_text, feed.size_text, feed.listing.zero
    return [text(1, price(ticks)) + text(2, size(lots) if lots else zero) for ticks, lots in side]


def _event_type(channel: str, symbol: str) -> str:
    """The channel without its symbol, and without the depth behind it."""
    return channel[: channel.rindex(f"@{symbol}")]


def diff(feed: Feed, stream: Stream, delta: Delta, wall_ms: int) -> bytes:
    """§5.1: every version since the frame before is inside."""
    symbol = feed.listing.id
    body = repeated(1, _levels(feed, delta.asks.items())) + repeated(2, _levels(feed, delta.bids.items()))
    body += text(3, _event_type(stream.name, symbol)) + text(4, str(delta.previous + 1)) + text(5, str(delta.last))
    return wrapper(stream.name, symbol, wall_ms, message(_AGGRE_DEPTHS, body + integer(6, wall_ms - 4)))


def limit_depth(feed: Feed, stream: Stream, wall_ms: int) -> bytes:
    """§5.2: a full replacement."""
    book, symbol = feed.instrument, feed.listing.id
    body = repeated(1, _levels(feed, book.asks.top(stream.depth))) + repeated(
        2, _levels(feed, book.bids.top(stream.depth))
    )
    body += text(3, _event_type(stream.name, symbol)) + text(4, str(book.sequence)) + integer(5, wall_ms - 4)
    return wrapper(stream.name, symbol, wall_ms, message(_LIMIT_DEPTHS, body))


def book_ticker(feed: Feed, stream: Stream, wall_ms: int) -> bytes:
    """§5.2: the best level of each side."""
    bid, bid_lots, ask, ask_lots = feed.touch()
    body = text(1, _short(feed.price_text(bid))) + text(2, _short(feed.size_text(bid_lots)))
    body += text(3, _short(feed.price_text(ask))) + text(4, _short(feed.size_text(ask_lots)))
    body += text(5, str(feed.instrument.sequence)) + integer(6, wall_ms - 4)
    return wrapper(stream.name, feed.listing.id, wall_ms, message(_AGGRE_BOOK_TICKER, body))


def deals(feed: Feed, stream: Stream, trades: Iterable[Trade], wall_ms: int) -> bytes:
    """§6: a batch, one item a fill."""
    items = [
        text(1, _short(feed.price_text(trade.price)))
        + text(2, _short(feed.size_text(lots)))
        + integer(3, 1 if trade.taker_buys else 2)
        + integer(4, wall_ms - 2)
        + text(5, f"{trade.first_id + number}X0_{trade.first_id + number + 1}X0")
        for trade in trades
        for number, lots in enumerate(trade.fills)
    ]
    body = repeated(1, items) + text(2, _event_type(stream.name, feed.listing.id))
    return wrapper(stream.name, feed.listing.id, wall_ms, message(_AGGRE_DEALS, body))


def _short(number: str) -> str:
    return number.rstrip("0").rstrip(".") if "." in number else number
