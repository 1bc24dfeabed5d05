"""PURE. The payloads that Binance spot and USDⓈ-M futures share. Source: venue sheet `binance`, sections 5 and 6.

Venue times: a trade has the engine's (`T`, when it happened), everything else the event's (`E`), where there is one.
"""

from collections.abc import Iterable
from typing import Annotated, Final, Literal
from urllib.parse import quote

import msgspec

from books.decimals import canonical, canonical_levels
from books.events import Bbo, Snapshot, SnapshotReason, Trade
from feeds.venue import Instrument, Instruments, Message, Undecodable, Unused
from feeds.venues.binance.frames import VENUE, Origin, one_line
from fleet.errors import ConfigError
from fleet.pair import Pair

Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Millis = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Rows = list[tuple[str, str]]


USD_MARGINED: Final = (None, 1)  # `st` of the merged futures feed; 2 is coin-margined (section 5.2). Spot has none


def refused(symbol: str, st: int | None, instruments: Instruments) -> Unused:
    """A message of an instrument we do not take, with the reason."""
    if st not in USD_MARGINED:
        return Unused(f"st {st}: not USDⓈ-margined")
    return Unused(f"symbol {symbol[:40]}: {instruments.refused.get(symbol, 'not among the instruments')}")


def check_symbol(origin: Origin, symbol: str) -> None:
    """Raises Undecodable when stream and payload name different symbols."""
    if origin.symbol != symbol and origin.symbol is not None:
        raise Undecodable(f"{VENUE}: stream {origin.topic[:60]} carries symbol {symbol[:40]}")


class DepthBody(msgspec.Struct, gc=False, rename={"sequence": "lastUpdateId", "event_ms": "E"}):
    """Answer of REST `depth`; also the payload of the spot partial depth stream. The time only on futures."""

    sequence: Id
    bids: Rows
    asks: Rows
    event_ms: Millis | None = None


_depth_body: Final = msgspec.json.Decoder(DepthBody)


def body_snapshot(body: DepthBody, pair: Pair, received_us: int) -> Snapshot:
    """Both levels and time as the venue says them; the reason is the session's to change."""
    return Snapshot(
        pair=pair,
        received_us=received_us,
        venue_ms=body.event_ms,
        bids=canonical_levels(body.bids),
        asks=canonical_levels(body.asks),
        reason=SnapshotReason.FIRST,
        sequence=body.sequence,
    )


def parse_depth(body: bytes, instrument: Instrument, received_us: int) -> Snapshot:
    """Answer of REST `depth` (sheet, section 5). Raises Undecodable."""
    try:
        return body_snapshot(_depth_body.decode(body), instrument.pair, received_us)
    except (ValueError, RecursionError) as error:
        raise Undecodable(f"{instrument.pair}: no depth snapshot: {one_line(error)}") from error


class BookTicker(
    msgspec.Struct,
    gc=False,
    rename={
        "sequence": "u",
        "symbol": "s",
        "bid": "b",
        "bid_amount": "B",
        "ask": "a",
        "ask_amount": "A",
        "event_ms": "E",
    },
):
    """Best prices. Spot says neither event nor time, futures both."""

    sequence: Id
    symbol: str
    bid: str
    bid_amount: str
    ask: str
    ask_amount: str
    e: Literal["bookTicker"] | None = None
    event_ms: Millis | None = None
    st: int | None = None


def read_best(ticker: BookTicker, origin: Origin) -> list[Message]:
    """A side whose amount is zero is empty: Binance sends zeros for it."""
    check_symbol(origin, ticker.symbol)
    instrument = origin.instruments.find(ticker.symbol)
    if instrument is None or ticker.st not in USD_MARGINED:
        return [refused(ticker.symbol, ticker.st, origin.instruments)]
    bid, bid_amount = canonical(ticker.bid), canonical(ticker.bid_amount)
    ask, ask_amount = canonical(ticker.ask), canonical(ticker.ask_amount)
    if bid_amount == "0":
        bid = bid_amount = ""
    if ask_amount == "0":
        ask = ask_amount = ""
    return [
        Bbo(
            pair=instrument.pair,
            received_us=origin.received_us,
            venue_ms=ticker.event_ms,
            bid=bid,
            bid_amount=bid_amount,
            ask=ask,
            ask_amount=ask_amount,
            sequence=ticker.sequence,
        )
    ]


class TradePrint(
    msgspec.Struct,
    gc=False,
    rename={
        "symbol": "s",
        "price": "p",
        "amount": "q",
        "engine_ms": "T",
        "buyer_is_maker": "m",
        "raw_id": "t",
        "aggregate_id": "a",
        "kind": "X",
    },
):
    """`trade` (one fill) and `aggTrade` (the fills of one taker at one price). `kind`: only raw futures trades."""

    e: Literal["trade", "aggTrade"]
    symbol: str
    price: str
    amount: str
    engine_ms: Millis
    buyer_is_maker: bool
    raw_id: int | None = None
    aggregate_id: int | None = None
    kind: str | None = None
    st: int | None = None


def read_trade(trade: TradePrint, origin: Origin) -> list[Message]:
    """Insurance-fund and similar prints, and prints of nothing, are no public trades (section 6)."""
    check_symbol(origin, trade.symbol)
    instrument = origin.instruments.find(trade.symbol)
    if instrument is None or trade.st not in USD_MARGINED:
        return [refused(trade.symbol, trade.st, origin.instruments)]
    trade_id = trade.raw_id if trade.e == "trade" else trade.aggregate_id
    if trade_id is None:
        return [Unused(f"{trade.e} without an id (an old version)")]
    if trade.kind not in (None, "MARKET"):
        return [Unused(f"trade of kind {trade.kind[:40]}")]
    price, amount = canonical(trade.price), canonical(trade.amount)
    if price == "0" or amount == "0":
        return [Unused("trade of no price or no amount")]
    return [
        Trade(
            pair=instrument.pair,
            received_us=origin.received_us,
            venue_ms=trade.engine_ms,
            price=price,
            amount=amount,
            side="sell" if trade.buyer_is_maker else "buy",  # m: the buyer was the maker, so the taker sold
            trade_id=str(trade_id),
        )
    ]


def depth_path(base: str, instrument: Instrument, limit: int) -> str:
    """Path and query of REST `depth`; symbols may hold letters beyond ASCII (sheet, section 1)."""
    return f"{base}/depth?symbol={quote(instrument.symbol, safe='')}&limit={limit}"


def unknown_depth(depth: str, known: Iterable[str]) -> ConfigError:
    """For a depth that no channel is kept for."""
    return ConfigError(f"depth {depth!r}: expected one of {', '.join(known)}")
