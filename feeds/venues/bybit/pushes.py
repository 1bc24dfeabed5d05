"""PURE. Payloads of Bybit, pushed and by REST, and what they become. Source: venue sheet `bybit`, sections 5 and 6.

`market_data` has the table of topics and the rules of books.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from books.decimals import canonical, canonical_sides
from books.events import Bbo, Delta, Snapshot, SnapshotReason, Trade
from feeds.venue import Instrument, Instruments, Message, Unused

RESTARTED: Final = 1  # the `u` after a restart of the service

_Number = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
_Millis = Annotated[int, msgspec.Meta(ge=0, le=10**15)]
_Rows = list[tuple[str, str]]


class _Book(msgspec.Struct, gc=False, rename={"symbol": "s", "bids": "b", "asks": "a", "update": "u", "made_ms": "ts"}):
    """`data` of a push, and `result` of REST, which has the times inside."""

    symbol: str
    bids: _Rows
    asks: _Rows
    update: _Number
    seq: _Number | None = None  # older than version 5
    made_ms: _Millis | None = None
    cts: _Millis | None = None


class BookPush(msgspec.Struct, gc=False):
    """`orderbook.*`. `ts` is when the gateway built it, `cts` the time of the book's state in the matching engine."""

    type: Literal["snapshot", "delta"]
    ts: _Millis
    data: _Book
    cts: _Millis | None = None  # recordings of before have none

    @property
    def engine_ms(self) -> int:
        """The nearest to it that the venue says."""
        return self.ts if self.cts is None else self.cts


class _Trade(
    msgspec.Struct,
    gc=False,
    rename={
        "engine_ms": "T",
        "symbol": "s",
        "side": "S",
        "amount": "v",
        "price": "p",
        "trade_id": "i",
        "is_block": "BT",
    },
):
    """A row of `publicTrade`; the side is the taker's."""

    engine_ms: _Millis
    symbol: str
    side: Literal["Buy", "Sell"]
    amount: str
    price: str
    trade_id: str
    is_block: bool = False


class TradePush(msgspec.Struct, gc=False):
    """`publicTrade.*`: up to 1024 trades."""

    data: list[_Trade]


class AnyPush(msgspec.Struct, gc=False):
    """A push that nobody uses."""

    data: msgspec.Raw = msgspec.Raw(b"null")


class _RestBook(msgspec.Struct):
    retCode: Literal[0]  # noqa: N815  # the venue's own word
    result: _Book


# Lax: the documentation does not agree with itself whether a time is a number or its text.
book_push: Final = msgspec.json.Decoder(BookPush, strict=False)
trade_push: Final = msgspec.json.Decoder(TradePush, strict=False)
any_push: Final = msgspec.json.Decoder(AnyPush)
rest_book: Final = msgspec.json.Decoder(_RestBook, strict=False)
PUSH: Final = '{"topic":"'


class Name(NamedTuple):
    """`orderbook.50.BTCUSDT` → kind `orderbook`, depth `50`, symbol `BTCUSDT`."""

    kind: str
    depth: str
    symbol: str


@lru_cache(maxsize=8192)
def split_topic(topic: str) -> Name:
    """Take a topic apart; what has another form is of a kind that nobody uses."""
    kind, _, rest = topic.partition(".")
    if kind == "publicTrade":
        return Name(kind, "", rest)
    if kind == "orderbook":
        depth, _, symbol = rest.partition(".")
        if depth == "full" or (depth.isascii() and depth.isdecimal()):
            return Name(kind, depth, symbol)
        return Name(f"orderbook.{depth}", "", symbol)
    return Name(kind, "", rest)


def _best(rows: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """An empty side is no level, or a level of nothing."""
    for price, size in rows[:1]:
        amount = canonical(size)
        if amount != "0":
            return canonical(price), amount
    return "", ""


def read_best(push: BookPush, instrument: Instrument, received_us: int) -> Bbo:
    """`orderbook.1`, numbered by seq. Raises NotDecimal, as the following do."""
    bid, bid_amount = _best(push.data.bids)
    ask, ask_amount = _best(push.data.asks)
    return Bbo(
        pair=instrument.pair,
        received_us=received_us,
        venue_ms=push.engine_ms,
        bid=bid,
        bid_amount=bid_amount,
        ask=ask,
        ask_amount=ask_amount,
        sequence=push.data.seq,
    )


def read_snapshot(book: _Book, venue_ms: int | None, instrument: Instrument, received_us: int) -> Snapshot:
    """A pushed snapshot, or the answer of REST; the reason is the session's to change."""
    bids, asks = canonical_sides(book.bids, book.asks)
    return Snapshot(
        pair=instrument.pair,
        received_us=received_us,
        venue_ms=venue_ms,
        bids=bids,
        asks=asks,
        reason=SnapshotReason.FIRST,
        sequence=book.update,
    )


def read_delta(push: BookPush, instrument: Instrument, received_us: int) -> Delta:
    """A delta; one of a restart proves nothing and nothing follows it (`market_data` says why)."""
    bids, asks = canonical_sides(push.data.bids, push.data.asks)
    update = push.data.update
    restarted = update == RESTARTED
    return Delta(
        pair=instrument.pair,
        received_us=received_us,
        venue_ms=push.engine_ms,
        bids=bids,
        asks=asks,
        sequence=0 if restarted else update,
        first_sequence=None if restarted else update,
    )


def read_trade(row: _Trade, name: Name, instrument: Instrument, received_us: int) -> Message:
    """Block trades are made away from the book, and not counted (section 6)."""
    if row.symbol != name.symbol:
        return Unused("trades by base coin (options)")
    if row.is_block:
        return Unused("block trade")
    price, amount = canonical(row.price), canonical(row.amount)
    if price == "0" or amount == "0":
        return Unused("trade of no price or no amount")
    return Trade(
        pair=instrument.pair,
        received_us=received_us,
        venue_ms=row.engine_ms,
        price=price,
        amount=amount,
        side="buy" if row.side == "Buy" else "sell",
        trade_id=row.trade_id,
    )


def unknown_symbol(symbol: str, instruments: Instruments) -> Unused:
    """A symbol that we refused, or that the metadata does not name."""
    return Unused(f"symbol {symbol[:40]}: {instruments.refused.get(symbol, 'not among the instruments')}")


def one_line(error: BaseException) -> str:
    """What a library has to say, short enough for a log."""
    return " ".join(str(error).split())[:200] or type(error).__name__
