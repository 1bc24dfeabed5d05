"""PURE. `exchangeInfo` of Binance, spot and USDⓈ-M futures. Source: venue sheet `binance`, sections 1 and 7."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final, TypeVar

import msgspec

from books.decimals import canonical
from feeds.venue import Instrument, Instruments, InstrumentStatus, Refused, Undecodable
from feeds.venues.binance.frames import VENUE, one_line
from fleet.errors import ConfigError
from fleet.pair import parse_pair

CONTRACT: Final = Decimal(1)  # amounts are base units on both markets: a USDⓈ-M contract is one unit of its base


class Filter(msgspec.Struct, gc=False):
    """One of `filters[]`, whatever its kind; fields of other kinds are None."""

    filterType: str  # noqa: N815  # the venue's own word
    tickSize: str | None = None  # noqa: N815
    stepSize: str | None = None  # noqa: N815
    minQty: str | None = None  # noqa: N815
    minNotional: str | None = None  # noqa: N815  # spot
    notional: str | None = None  # futures


class SymbolRow(msgspec.Struct, kw_only=True):
    """What both markets say of a symbol."""

    symbol: str
    status: str
    baseAsset: str  # noqa: N815
    quoteAsset: str  # noqa: N815
    filters: list[Filter]


class _Named(msgspec.Struct):
    symbol: str


class _ExchangeInfo(msgspec.Struct):
    symbols: list[msgspec.Raw]


Row = TypeVar("Row", bound=SymbolRow)


def parse_exchange_info(
    market: str, bodies: Sequence[bytes], row_type: type[Row], judge: Callable[[Row], str | InstrumentStatus]
) -> Instruments:
    """`judge` says the status of a row, or in words why it is refused. One unreadable row is refused alone.

    Raises Undecodable when a body is not exchangeInfo.
    """
    taken: list[Instrument] = []
    refused: list[Refused] = []
    for body in bodies:
        try:
            rows = msgspec.json.decode(body, type=_ExchangeInfo).symbols
            for raw in rows:
                read = _read_row(market, raw, row_type, judge)
                (taken if isinstance(read, Instrument) else refused).append(read)  # type: ignore[arg-type]
        except (ValueError, RecursionError) as error:
            raise Undecodable(f"{VENUE} {market}: no exchangeInfo: {one_line(error)}") from error
    return Instruments(taken, refused)


def _read_row(
    market: str, raw: msgspec.Raw, row_type: type[Row], judge: Callable[[Row], str | InstrumentStatus]
) -> Instrument | Refused:
    symbol = msgspec.json.decode(raw, type=_Named).symbol
    try:
        row = msgspec.json.decode(raw, type=row_type)
        status = judge(row)
        if not isinstance(status, InstrumentStatus):
            return Refused(symbol, status)
        return _instrument(market, row, status)
    except (ValueError, ConfigError) as error:
        return Refused(symbol, f"metadata that cannot be read: {one_line(error)}")


def _instrument(market: str, row: SymbolRow, status: InstrumentStatus) -> Instrument:
    filters = {each.filterType: each for each in row.filters}
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL")
    least = None if notional is None else canonical(notional.minNotional or notional.notional or "0")
    return Instrument(
        pair=parse_pair(VENUE, market, f"{row.baseAsset}/{row.quoteAsset}"),
        symbol=row.symbol,
        status=status,
        tick=_required(filters, "PRICE_FILTER", "tickSize"),
        lot=_required(filters, "LOT_SIZE", "stepSize"),
        min_amount=_required(filters, "LOT_SIZE", "minQty"),
        min_notional=None if least == "0" else least,  # 0 disables a bound (sheet, section 7)
        contract_size=CONTRACT,
    )


def _required(filters: Mapping[str, Filter], kind: str, field: str) -> str:
    value: str | None = getattr(filters.get(kind), field, None)
    if value is None:
        raise ValueError(f"no {kind}.{field}")
    return canonical(value)
