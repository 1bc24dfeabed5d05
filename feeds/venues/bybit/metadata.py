"""PURE. `GET /v5/market/instruments-info` of Bybit. Source: venue sheet `bybit`, sections 1, 7 and 10.

Symbols are never taken apart: `BTCPERP` names no quote, `1000PEPEUSDT` has its multiplier in the base, where it stays.
Sizes of linear contracts are base units already.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from books.decimals import canonical
from feeds.venue import Instrument, Instruments, InstrumentStatus, Refused, Undecodable
from feeds.venues.bybit.answers import VENUE
from fleet.errors import ConfigError
from fleet.pair import parse_pair

CATEGORIES: Final = {"spot": "spot", "futures": "linear"}  # market → category
PAGE: Final = 1000  # rows, the most that may be asked for
_DEFAULT_PAGE: Final = 500
_STATUSES: Final = {"Trading": InstrumentStatus.TRADING, "Closed": InstrumentStatus.DELISTED}
_SETTLED_IN: Final = "USDT"


class _Lots(msgspec.Struct, rename="camel"):
    """Spot has the first and `minOrderAmt`, linear the others."""

    base_precision: str = ""
    qty_step: str = ""
    min_order_qty: str = ""
    min_order_amt: str = ""
    min_notional_value: str = ""


class _Prices(msgspec.Struct, rename="camel"):
    tick_size: str = ""


class _PreListing(msgspec.Struct, rename="camel"):
    cur_auction_phase: str = ""


class _Row(msgspec.Struct, kw_only=True, rename="camel"):
    symbol: str
    status: str
    base_coin: str
    quote_coin: str
    lot_size_filter: _Lots
    price_filter: _Prices
    contract_type: str = ""  # not on spot
    options_type: str = ""
    settle_coin: str = ""  # not on spot
    pre_listing_info: _PreListing | None = None


class _Named(msgspec.Struct):
    symbol: str


class _Result(msgspec.Struct, rename="camel"):
    list: list[msgspec.Raw]
    category: str | None = None
    next_page_cursor: str | None = None


class _Answer(msgspec.Struct, rename="camel"):
    ret_code: int
    ret_msg: str = ""
    result: msgspec.Raw = msgspec.Raw(b"{}")


def parse(market: str, bodies: Sequence[bytes]) -> Instruments:
    """One unreadable row is refused alone. Raises Undecodable when a body is no list of instruments, or not a whole one."""
    taken: list[Instrument] = []
    refused: list[Refused] = []
    for body in bodies:
        try:
            for raw in _rows(market, body):
                read = _read_row(market, raw)
                if isinstance(read, Instrument):
                    taken.append(read)
                else:
                    refused.append(read)
        except Undecodable:
            raise
        except (ValueError, RecursionError) as error:
            text = " ".join(str(error).split())[:200]
            raise Undecodable(f"{VENUE} {market}: no list of instruments: {text}") from error
    return Instruments(taken, refused)


def _rows(market: str, body: bytes) -> list[msgspec.Raw]:
    answer = msgspec.json.decode(body, type=_Answer)
    if answer.ret_code != 0:
        raise Undecodable(f"{VENUE} {market}: expected instruments, got {answer.ret_code}: {answer.ret_msg[:100]}")
    result = msgspec.json.decode(answer.result, type=_Result)
    if result.category not in (None, CATEGORIES[market]):
        raise Undecodable(f"{VENUE} {market}: expected category {CATEGORIES[market]}, got {result.category[:40]}")
    return result.list


def next_cursor(body: bytes) -> str | None:
    """Where the next page begins; None if this was the last: it is not full, whatever its cursor says (500 rows are full
    if the limit was not heeded), or says so. Raises Undecodable."""
    try:
        result = msgspec.json.decode(msgspec.json.decode(body, type=_Answer).result, type=_Result)
    except (ValueError, RecursionError) as error:
        raise Undecodable(f"{VENUE}: no page of instruments: {' '.join(str(error).split())[:200]}") from error
    full = bool(result.list) and len(result.list) % _DEFAULT_PAGE == 0
    return (result.next_page_cursor or None) if full else None


def _read_row(market: str, raw: msgspec.Raw) -> Instrument | Refused:
    symbol = msgspec.json.decode(raw, type=_Named).symbol
    try:
        row = msgspec.json.decode(raw, type=_Row)
        reason = _refusal(market, row)
        return _instrument(market, row) if reason is None else Refused(symbol, reason)
    except (ValueError, ConfigError) as error:
        return Refused(symbol, f"metadata that cannot be read: {str(error)[:200]}")


def _refusal(market: str, row: _Row) -> str | None:
    """Why we do not take an instrument, None if we do: spot, and perpetuals whose quote and settlement are USDT."""
    if row.options_type:
        return "option"
    if market == "spot":
        return f"contract type {row.contract_type[:40]}: not spot" if row.contract_type else None
    if row.contract_type == "LinearFutures":
        return "contract type LinearFutures: dated"
    if row.contract_type != "LinearPerpetual":
        return f"contract type {row.contract_type[:40] or '(none)'}: not a linear perpetual"
    if row.settle_coin != _SETTLED_IN:
        return f"settled in {row.settle_coin[:20] or '(nothing)'}, not in {_SETTLED_IN}"
    if row.quote_coin != row.settle_coin:
        return f"settled in {row.settle_coin[:20]}, not in its quote {row.quote_coin[:20]}"
    return None


def _status(row: _Row) -> InstrumentStatus:
    """A contract before its launch trades in its last phase; unknown words of a growing list mean: does not trade."""
    if row.pre_listing_info is not None and row.pre_listing_info.cur_auction_phase == "ContinuousTrading":
        return InstrumentStatus.TRADING
    return _STATUSES.get(row.status, InstrumentStatus.HALTED)


def _instrument(market: str, row: _Row) -> Instrument:
    lots = row.lot_size_filter
    spot = market == "spot"
    lot = canonical(lots.base_precision if spot else lots.qty_step)
    notional = lots.min_order_amt if spot else lots.min_notional_value
    return Instrument(
        pair=parse_pair(VENUE, market, f"{row.base_coin}/{row.quote_coin}"),
        symbol=row.symbol,
        status=_status(row),
        tick=canonical(row.price_filter.tick_size),
        lot=lot,
        min_amount=lot if spot else canonical(lots.min_order_qty),  # spot does not check its minOrderQty any more
        min_notional=canonical(notional) if notional else None,
        contract_size=Decimal(1),
    )
