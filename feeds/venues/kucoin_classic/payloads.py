"""PURE. The market data of KuCoin's Classic sockets: one reader a channel. Source: venue sheet `kucoin`, sections 5.2-5.4 and 6.

A channel is the topic before its colon. Futures mix text and JSON numbers: numbers are read from their own text, exactly.
"""

from collections.abc import Callable
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar

import msgspec

from books.decimals import SPELLINGS, canonical, canonical_sides, spellings_times
from books.events import Bbo, Delta, Snapshot, SnapshotReason, Trade
from feeds.venue import BookMessage, Image, Instrument, Message, Undecodable
from feeds.venues.kucoin_rest import Rows, Sequence63, levels, millis, number_text, sequence_number

SPOT_LEVEL2: Final = "/market/level2"
SPOT_DEPTH50: Final = "/spotMarket/level2Depth50"
SPOT_BEST: Final = "/spotMarket/level1"
SPOT_TRADES: Final = "/market/match"
FUTURES_LEVEL2: Final = "/contractMarket/level2"
FUTURES_BEST: Final = "/contractMarket/tickerV2"
FUTURES_TRADES: Final = "/contractMarket/execution"

_NOTHING: Final = msgspec.Raw(b"null")
_HIDDEN: Final = "0"  # the price of a change of hidden orders: it has a sequence and changes nothing

Payload = TypeVar("Payload")


class Frame(msgspec.Struct, Generic[Payload], gc=False):
    """`{"topic", "type", "subject", "data"}` in any order. `topic` names the channel and mostly the symbol."""

    topic: str
    data: Payload
    subject: str = ""


class Origin(NamedTuple):
    """Where a payload came from."""

    topic: str
    subject: str
    instrument: Instrument
    received_us: int


class Reader(Generic[Payload]):
    """How the payload of a channel becomes a message."""

    __slots__ = ("decoder", "frame", "make")

    def __init__(self, payload: type[Payload], make: Callable[[Payload, Origin], Message]) -> None:
        self.frame = Frame[payload]  # type: ignore[valid-type]  # a type made at run time
        self.decoder = msgspec.json.Decoder(self.frame)
        self.make = make


# --- spot -------------------------------------------------------------------------------------------------------------------


_ChangedRows = list[tuple[str, str, str]]  # price, size, sequence


class _Changes(msgspec.Struct, gc=False):
    asks: _ChangedRows
    bids: _ChangedRows


class _Level2(msgspec.Struct, gc=False, rename={"first": "sequenceStart", "last": "sequenceEnd"}):
    first: Sequence63
    last: Sequence63
    changes: _Changes
    time: Sequence63 | None = None  # Unix ms; not before 2022


def _in_order(rows: _ChangedRows) -> list[tuple[str, str]]:
    return [(price, size) for price, size, _ in sorted(rows, key=lambda row: sequence_number(row[2]))]


def _spot_delta(data: _Level2, origin: Origin) -> Message:
    """Where a price has several rows they count in the order of their sequences. A range that ends before it starts has been
    seen (2023): the sequence rule judges it like any other."""
    bid_rows, ask_rows = data.changes.bids, data.changes.asks
    bids, asks = canonical_sides([row[:2] for row in bid_rows], [row[:2] for row in ask_rows])
    if len(bids) < len(bid_rows) or len(asks) < len(ask_rows):
        bids, asks = canonical_sides(_in_order(bid_rows), _in_order(ask_rows))
    bids.pop(_HIDDEN, None)
    asks.pop(_HIDDEN, None)
    delta = Delta(
        pair=origin.instrument.pair,
        received_us=origin.received_us,
        venue_ms=data.time,
        bids=bids,
        asks=asks,
        sequence=data.last,
        first_sequence=data.first,
    )
    return BookMessage(origin.topic, delta)


class _Level1(msgspec.Struct, gc=False):
    asks: list[str]  # price, size: flat
    bids: list[str]
    timestamp: Sequence63


def _spot_best(data: _Level1, origin: Origin) -> Message:
    bid, bid_amount = _side(data.bids)
    ask, ask_amount = _side(data.asks)
    return _bbo(origin, data.timestamp, None, (bid, bid_amount), (ask, ask_amount))


def _side(flat: list[str]) -> tuple[str, str]:
    if len(flat) not in (0, 2):
        raise ValueError(f"expected price and size, got {len(flat)} values")
    return (flat[0], flat[1]) if flat else ("", "")


class _Ticker(
    msgspec.Struct,
    gc=False,
    rename={"bid": "bestBid", "bid_size": "bestBidSize", "ask": "bestAsk", "ask_size": "bestAskSize"},
):
    sequence: str
    time: Sequence63  # Unix ms
    bid: str | None = None
    bid_size: str | None = None
    ask: str | None = None
    ask_size: str | None = None


def _spot_ticker(data: _Ticker, origin: Origin) -> Message:
    """Its sequence is that of the book."""
    best_bid, best_ask = (data.bid or "", data.bid_size or ""), (data.ask or "", data.ask_size or "")
    return _bbo(origin, data.time, sequence_number(data.sequence), best_bid, best_ask)


class _Match(msgspec.Struct, gc=False, rename={"trade_id": "tradeId"}):
    price: str
    size: str
    side: Literal["buy", "sell"]  # of the taker
    trade_id: str
    time: str  # Unix ns


def _spot_trade(data: _Match, origin: Origin) -> Message:
    return Trade(
        pair=origin.instrument.pair,
        received_us=origin.received_us,
        venue_ms=millis(data.time),
        price=canonical(data.price),
        amount=canonical(data.size),
        side=data.side,
        trade_id=data.trade_id,
    )


# --- futures ----------------------------------------------------------------------------------------------------------------


class _Change(msgspec.Struct, gc=False):
    sequence: Sequence63
    change: str  # price,side,size
    timestamp: Sequence63  # Unix ms


def _futures_delta(data: _Change, origin: Origin) -> Message:
    """One level a frame, and its sequence is exactly one more than the one before."""
    price, side, size = data.change.split(",")
    level = {SPELLINGS[price]: spellings_times(origin.instrument.contract_size)[size]}
    if side not in ("buy", "sell"):
        raise ValueError(f"expected a change of side buy or sell, got {side[:20]!r}")
    delta = Delta(
        pair=origin.instrument.pair,
        received_us=origin.received_us,
        venue_ms=data.timestamp,
        bids=level if side == "buy" else {},
        asks=level if side == "sell" else {},
        sequence=data.sequence,
        first_sequence=data.sequence,
    )
    return BookMessage(origin.topic, delta)


class _TickerV2(
    msgspec.Struct,
    gc=False,
    rename={"bid": "bestBidPrice", "bid_size": "bestBidSize", "ask": "bestAskPrice", "ask_size": "bestAskSize"},
):
    ts: Sequence63  # Unix ns
    bid: msgspec.Raw = _NOTHING
    bid_size: msgspec.Raw = _NOTHING
    ask: msgspec.Raw = _NOTHING
    ask_size: msgspec.Raw = _NOTHING
    sequence: Sequence63 | None = None  # missing in examples of the venue's documentation


def _futures_best(data: _TickerV2, origin: Origin) -> Message:
    bid, ask = (_optional(data.bid), _optional(data.bid_size)), (_optional(data.ask), _optional(data.ask_size))
    return _bbo(origin, millis(data.ts), data.sequence, bid, ask)


def _optional(raw: msgspec.Raw) -> str:
    text = number_text(raw)
    return "" if text == "null" else text


class _Execution(msgspec.Struct, gc=False, rename={"trade_id": "tradeId"}):
    price: msgspec.Raw  # a number until about 2023
    size: msgspec.Raw
    side: Literal["buy", "sell"]  # of the taker
    trade_id: str
    ts: Sequence63  # Unix ns


def _futures_trade(data: _Execution, origin: Origin) -> Message:
    return Trade(
        pair=origin.instrument.pair,
        received_us=origin.received_us,
        venue_ms=millis(data.ts),
        price=canonical(number_text(data.price)),
        amount=spellings_times(origin.instrument.contract_size)[number_text(data.size)],
        side=data.side,
        trade_id=data.trade_id,
    )


# --- both -------------------------------------------------------------------------------------------------------------------


class _Depth(msgspec.Struct, gc=False):
    asks: Rows
    bids: Rows
    timestamp: Sequence63 | None = None  # Unix ms
    ts: Sequence63 | None = None  # futures: Unix ms, in examples Unix ns
    sequence: Sequence63 | None = None  # futures only


def _depth(data: _Depth, origin: Origin) -> Message:
    """Every push is a full view of the best levels. `sn` beside it is a time, no sequence, and is not read."""
    at = data.ts if data.timestamp is None else data.timestamp
    if at is None:
        raise Undecodable(f"{origin.instrument.pair}: depth without a time")
    snapshot = Snapshot(
        pair=origin.instrument.pair,
        received_us=origin.received_us,
        venue_ms=at if at < 10**15 else millis(at),
        bids=levels(data.bids, origin.instrument.contract_size),
        asks=levels(data.asks, origin.instrument.contract_size),
        reason=SnapshotReason.FIRST,
        sequence=data.sequence,
    )
    return BookMessage(origin.topic, Image(snapshot))


def _bbo(origin: Origin, venue_ms: int, sequence: int | None, bid: tuple[str, str], ask: tuple[str, str]) -> Bbo:
    """A side without a price or an amount is empty."""
    amounts = spellings_times(origin.instrument.contract_size)
    best = [
        (canonical(price), amounts[size]) if price and size and canonical(size) != "0" else ("", "")
        for price, size in (bid, ask)
    ]
    return Bbo(
        pair=origin.instrument.pair,
        received_us=origin.received_us,
        venue_ms=venue_ms,
        bid=best[0][0],
        bid_amount=best[0][1],
        ask=best[1][0],
        ask_amount=best[1][1],
        sequence=sequence,
    )


READERS: Final[dict[str, dict[str, Reader[Any]]]] = {
    "spot": {
        SPOT_LEVEL2: Reader(_Level2, _spot_delta),
        "/spotMarket/level2Depth5": Reader(_Depth, _depth),
        SPOT_DEPTH50: Reader(_Depth, _depth),
        SPOT_BEST: Reader(_Level1, _spot_best),
        "/market/ticker": Reader(_Ticker, _spot_ticker),
        SPOT_TRADES: Reader(_Match, _spot_trade),
    },
    "futures": {
        FUTURES_LEVEL2: Reader(_Change, _futures_delta),
        "/contractMarket/level2Depth5": Reader(_Depth, _depth),
        "/contractMarket/level2Depth50": Reader(_Depth, _depth),
        FUTURES_BEST: Reader(_TickerV2, _futures_best),
        FUTURES_TRADES: Reader(_Execution, _futures_trade),
    },
}
