"""PURE. What HTX spot and swaps say alike: books, trades, depth by REST. Source: venue sheet `htx`, sections 5 and 6."""

from collections.abc import Iterable
from typing import Final, Literal
from urllib.parse import quote

import msgspec

from books.decimals import SPELLINGS, canonical, canonical_sides, spellings_times
from books.events import Bbo, Snapshot, SnapshotReason, Trade
from feeds.venue import Instrument, Message, Undecodable, Unused
from feeds.venues.htx.frames import NOTHING, Id, Millis, Origin, is_missing, number, one_line, rows
from fleet.errors import ConfigError

Sides = tuple[dict[str, str], dict[str, str]]


def sides(instrument: Instrument, bids: msgspec.Raw, asks: msgspec.Raw) -> Sides:
    """Both canonical, amounts in base units; of several rows for one price the last wins. Raises ValueError."""
    if instrument.contract_size == 1:
        return canonical_sides(rows(bids), rows(asks))
    prices, amounts = SPELLINGS, spellings_times(instrument.contract_size)
    return (
        {prices[price]: amounts[size] for price, size in rows(bids)},
        {prices[price]: amounts[size] for price, size in rows(asks)},
    )


def snapshot(instrument: Instrument, received_us: int, venue_ms: int, sequence: int, levels: Sides) -> Snapshot:
    """A whole book; the reason is the session's to change."""
    return Snapshot(
        pair=instrument.pair,
        received_us=received_us,
        venue_ms=venue_ms,
        bids=levels[0],
        asks=levels[1],
        reason=SnapshotReason.FIRST,
        sequence=sequence,
    )


class DepthTick(msgspec.Struct, gc=False):
    """`depth.step0`, pushed or by REST: the book, unmerged. `mrid` only on swaps, where `version` is a time in seconds."""

    ts: Millis
    version: Id
    mrid: Id | None = None
    bids: msgspec.Raw = NOTHING
    asks: msgspec.Raw = NOTHING

    def order(self) -> int:
        """What images are ordered by (sections 5.2 and 5.4)."""
        return self.version if self.mrid is None else self.mrid

    def has_no_sides(self) -> bool:
        """Delisted contracts keep sending such messages (section 5.4)."""
        return is_missing(self.bids) and is_missing(self.asks)


class _RestDepth(msgspec.Struct):
    status: Literal["ok"]
    tick: DepthTick


_rest_depth: Final = msgspec.json.Decoder(_RestDepth)


def depth_path(path: str, parameter: str, instrument: Instrument) -> str:
    """Path and query of the book by REST, 150 levels."""
    return f"{path}?{parameter}={quote(instrument.symbol, safe='')}&type=step0"


def parse_depth(body: bytes, instrument: Instrument, received_us: int) -> Snapshot:
    """Answer of REST `market/depth`. Raises Undecodable."""
    try:
        tick = _rest_depth.decode(body).tick
        return snapshot(instrument, received_us, tick.ts, tick.order(), sides(instrument, tick.bids, tick.asks))
    except (ValueError, RecursionError) as error:
        raise Undecodable(f"{instrument.pair}: no depth: {one_line(error)}") from error


def best(
    origin: Origin, venue_ms: int, sequence: int | None, bid: tuple[str, str] | None, ask: tuple[str, str] | None
) -> Bbo:
    """Best prices from (price, size) as the venue spelled them; None, or a size of zero, is an empty side."""
    bid_price, bid_amount = _level(origin.instrument, bid)
    ask_price, ask_amount = _level(origin.instrument, ask)
    return Bbo(
        pair=origin.instrument.pair,
        received_us=origin.received_us,
        venue_ms=venue_ms,
        bid=bid_price,
        bid_amount=bid_amount,
        ask=ask_price,
        ask_amount=ask_amount,
        sequence=sequence,
    )


def _level(instrument: Instrument, level: tuple[str, str] | None) -> tuple[str, str]:
    if level is None:
        return "", ""
    price, amount = canonical(level[0]), spellings_times(instrument.contract_size)[level[1]]
    return ("", "") if amount == "0" else (price, amount)


class TradeRow(msgspec.Struct, gc=False, rename={"trade_id": "tradeId"}):
    """A trade. Ids exceed 64 bits (spot `id`) and 2^53 (swap `id`): they stay text (section 10).

    tradeId     spot: unique; its `id` is deprecated
    quantity    swap: coins, where `amount` counts contracts; missing before 2021
    """

    ts: Millis
    price: msgspec.Raw
    amount: msgspec.Raw
    direction: Literal["buy", "sell", ""]
    id: msgspec.Raw = NOTHING
    trade_id: msgspec.Raw = NOTHING
    quantity: msgspec.Raw = NOTHING


class TradeTick(msgspec.Struct, gc=False):
    """Fills of one instant; the first push of a subscription repeats the last trade, however old."""

    data: list[TradeRow]


def read_trade(row: TradeRow, trade_id: msgspec.Raw, amount: str, origin: Origin) -> Message:
    """`amount` is canonical, in base units. A print without side, price or amount is no trade. Raises ValueError."""
    if not row.direction:
        return Unused("trade that names no side")
    unique = number(trade_id)
    if not (unique.isdecimal() and len(unique) <= 40):
        raise ValueError(f"expected the id of a trade, got {unique[:40]!r}")
    price = canonical(number(row.price))
    if price == "0" or amount == "0":
        return Unused("trade of no price or no amount")
    return Trade(
        pair=origin.instrument.pair,
        received_us=origin.received_us,
        venue_ms=row.ts,
        price=price,
        amount=amount,
        side=row.direction,
        trade_id=unique,
    )


def unknown_depth(depth: str, known: Iterable[str]) -> ConfigError:
    """For a depth that no channel is kept for."""
    return ConfigError(f"depth {depth!r}: expected one of {', '.join(known)}")
