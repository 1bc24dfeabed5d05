"""PURE. CoinEx's metadata, and whether the venue is open at all. Source: venue sheet `coinex`, sections 1 and 7.2.

Four answers, in the order of CHECKS and the list of markets: `/ping`, `/time`, `/maintain/info`, `/X/market`. The first three
stand before everything else because the venue announced its end: a maintenance that goes on, or an answer that is an error,
makes loading fail with its reason. The time is the venue's own, for this module reads no clock.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Final, TypeVar

import msgspec

from books.decimals import canonical
from feeds.venue import Instrument, Instruments, InstrumentStatus, Refused, Undecodable
from fleet.errors import ConfigError
from fleet.pair import parse_pair

VENUE: Final = "coinex"
CHECKS: Final = ("/v2/ping", "/v2/time", "/v2/maintain/info")
SCOPES: Final = {"spot": "SPOT", "futures": "PERPETUAL"}  # market → what a maintenance calls it
WHOLE_SITE: Final = "ALL_SITE"

_T = TypeVar("_T")
_Millis = Annotated[int, msgspec.Meta(ge=0, le=10**15)]
_Places = Annotated[int, msgspec.Meta(ge=0, le=30)]


class _Answer(msgspec.Struct):
    code: int
    data: msgspec.Raw = msgspec.Raw(b"null")
    message: str = ""


class _Ping(msgspec.Struct):
    result: str


class _Time(msgspec.Struct):
    timestamp: _Millis


class _Maintenance(msgspec.Struct):
    """`protect_duration_…` is the time after it in which orders are restricted; market data are not."""

    started_at: _Millis
    ended_at: _Millis
    scope: list[str]


class _Row(msgspec.Struct, kw_only=True):
    """Newer fields may be missing; then they say nothing."""

    market: str
    base_ccy: str
    quote_ccy: str
    base_ccy_precision: _Places
    quote_ccy_precision: _Places
    min_amount: str
    tick_size: str = ""
    contract_type: str = ""
    status: str = "online"
    is_market_available: bool = True
    is_api_trading_available: bool = True
    delisted_at: _Millis = 0


class _Named(msgspec.Struct):
    market: str


def parse(market: str, bodies: Sequence[bytes]) -> Instruments:
    """With the answers of CHECKS before the list of markets, or lists alone (recordings).

    One unreadable row is refused alone. Raises Undecodable when the venue is not open, or a body is not what it must be.
    """
    checks = bodies[:-1] if len(bodies) == len(CHECKS) + 1 else ()
    try:
        now_ms = _open_at(market, checks) if checks else None
        rows = [raw for body in bodies[len(checks) :] for raw in _data(market, body, list[msgspec.Raw])]
        read = [_read_row(market, raw, now_ms) for raw in rows]
    except Undecodable:
        raise
    except (ValueError, RecursionError) as error:
        raise Undecodable(f"{VENUE} {market}: no metadata: {' '.join(str(error).split())[:200]}") from error
    return Instruments(
        [row for row in read if isinstance(row, Instrument)], [row for row in read if isinstance(row, Refused)]
    )


def _data(market: str, body: bytes, kind: type[_T]) -> _T:
    """`data` of an answer. Errors come with HTTP 200 and a code other than 0 (section 7)."""
    answer = msgspec.json.decode(body, type=_Answer)
    if answer.code != 0:
        raise Undecodable(f"{VENUE} {market}: the venue answered with code {answer.code}: {answer.message[:100]}")
    return msgspec.json.decode(answer.data, type=kind)


def _open_at(market: str, checks: Sequence[bytes]) -> int:
    """The venue's time, Unix ms. Raises Undecodable while a maintenance of this market goes on."""
    ping, time, maintain = checks
    _data(market, ping, _Ping)
    now_ms = _data(market, time, _Time).timestamp
    for planned in _data(market, maintain, list[_Maintenance]):
        concerned = WHOLE_SITE in planned.scope or SCOPES[market] in planned.scope
        if concerned and planned.started_at <= now_ms < planned.ended_at:
            minutes = -(-(planned.ended_at - now_ms) // 60_000)
            raise Undecodable(f"{VENUE} {market}: the venue is in maintenance for {minutes} more minutes")
    return now_ms


def _read_row(market: str, raw: msgspec.Raw, now_ms: int | None) -> Instrument | Refused:
    symbol = msgspec.json.decode(raw, type=_Named).market
    try:
        row = msgspec.json.decode(raw, type=_Row)
        if market == "futures" and row.contract_type != "linear":
            return Refused(symbol, f"contract type {row.contract_type[:20] or '(none)'}: not linear")
        return _instrument(market, row, now_ms)
    except (ValueError, ConfigError) as error:
        return Refused(symbol, f"metadata that cannot be read: {str(error)[:200]}")


def _instrument(market: str, row: _Row, now_ms: int | None) -> Instrument:
    step = canonical(f"1E-{row.base_ccy_precision}")
    tick = canonical(f"1E-{row.quote_ccy_precision}" if market == "spot" else row.tick_size)
    return Instrument(
        pair=parse_pair(VENUE, market, f"{row.base_ccy}/{row.quote_ccy}"),  # linear ones settle in their quote
        symbol=row.market,
        status=_status(row, now_ms),
        tick=tick,
        lot=step,
        min_amount=canonical(row.min_amount),
        min_notional=None,  # the venue has none
        contract_size=Decimal(1),  # amounts are base units
    )


def _status(row: _Row, now_ms: int | None) -> InstrumentStatus:
    """`delisted_at` may lie ahead; without the venue's time it counts as past."""
    if row.delisted_at and (now_ms is None or row.delisted_at <= now_ms):
        return InstrumentStatus.DELISTED
    trading = row.status == "online" and row.is_market_available and row.is_api_trading_available
    return InstrumentStatus.TRADING if trading else InstrumentStatus.HALTED
