"""PURE. `GET /api/v5/public/instruments` of OKX. Source: venue sheet `okx`, sections 1 and 7."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

import msgspec

from books.decimals import canonical, multiplied
from feeds.venue import Instrument, Instruments, InstrumentStatus, Refused, Undecodable
from fleet.errors import ConfigError
from fleet.pair import parse_pair

VENUE: Final = "okx"
TYPES: Final = {"spot": "SPOT", "futures": "SWAP"}  # market → instType


class _Row(msgspec.Struct, kw_only=True):
    """Everything is text, and empty text means: does not apply. Fields that a version lacks are read as empty."""

    instId: str  # noqa: N815  # the venue's own words
    instType: str  # noqa: N815
    state: str = ""
    baseCcy: str = ""  # noqa: N815  # empty for swaps
    quoteCcy: str = ""  # noqa: N815  # empty for swaps
    settleCcy: str = ""  # noqa: N815
    instFamily: str = ""  # noqa: N815  # BASE-QUOTE; called uly before 2023-06
    uly: str = ""
    ruleType: str = ""  # noqa: N815
    ctType: str = ""  # noqa: N815
    ctVal: str = ""  # noqa: N815
    ctMult: str = ""  # noqa: N815
    ctValCcy: str = ""  # noqa: N815
    tickSz: str = ""  # noqa: N815
    lotSz: str = ""  # noqa: N815
    minSz: str = ""  # noqa: N815


class _Named(msgspec.Struct):
    instId: str  # noqa: N815


class _Answer(msgspec.Struct):
    code: str
    data: list[msgspec.Raw]


def parse(market: str, bodies: Sequence[bytes]) -> Instruments:
    """One unreadable row is refused alone. Raises Undecodable when a body is no list of instruments."""
    taken: list[Instrument] = []
    refused: list[Refused] = []
    for body in bodies:
        try:
            answer = msgspec.json.decode(body, type=_Answer)
            if answer.code != "0":
                raise Undecodable(f"{VENUE} {market}: expected instruments, got an error of code {answer.code[:20]}")
            for raw in answer.data:
                read = _read_row(market, raw)
                if isinstance(read, Instrument):
                    taken.append(read)
                else:
                    refused.append(read)
        except Undecodable:
            raise
        except (ValueError, RecursionError) as error:
            raise Undecodable(f"{VENUE} {market}: no list of instruments: {str(error)[:200]}") from error
    return Instruments(taken, refused)


def _read_row(market: str, raw: msgspec.Raw) -> Instrument | Refused:
    symbol = msgspec.json.decode(raw, type=_Named).instId
    try:
        row = msgspec.json.decode(raw, type=_Row)
        reason = _refusal(market, row)
        return _instrument(market, row) if reason is None else Refused(symbol, reason)
    except (ValueError, ConfigError) as error:
        return Refused(symbol, f"metadata that cannot be read: {str(error)[:200]}")


def _currencies(row: _Row) -> tuple[str, str]:
    """Base and quote: of a swap from its family, for its own fields are empty (section 1)."""
    if row.instType == "SPOT":
        return row.baseCcy, row.quoteCcy
    base, _, quote = (row.instFamily or row.uly).partition("-")
    return base, quote


def _refusal(market: str, row: _Row) -> str | None:
    """Why we do not take an instrument, None if we do: spot, and linear perpetuals settled in their quote."""
    if row.ruleType == "xperp":
        return "X-Perp: a dated contract that behaves like a perpetual"
    if row.instType != TYPES[market]:
        return f"instType {row.instType[:20]}: not {TYPES[market]}"
    base, quote = _currencies(row)
    if not base or not quote:
        return "names no base and quote"
    if market == "spot":
        return None
    if row.ctType != "linear":
        return f"contract type {row.ctType[:20] or '(none)'}: not linear"
    if row.settleCcy != quote:
        return f"settled in {row.settleCcy[:20]}, not in its quote {quote[:20]}"
    if row.ctValCcy != base:
        return f"contract value in {row.ctValCcy[:20]}, not in its base {base[:20]}"
    return None


def _instrument(market: str, row: _Row) -> Instrument:
    base, quote = _currencies(row)
    # canonical first: Decimal would take signs and NaN
    size = Decimal(1) if market == "spot" else Decimal(multiplied(row.ctVal, Decimal(canonical(row.ctMult))))
    if size == 0:
        raise ValueError(f"contract size {row.ctVal} × {row.ctMult}")
    return Instrument(
        pair=parse_pair(VENUE, market, f"{base}/{quote}"),
        symbol=row.instId,
        status=InstrumentStatus.TRADING if row.state == "live" else InstrumentStatus.HALTED,
        tick=canonical(row.tickSz),
        lot=multiplied(row.lotSz, size),
        min_amount=multiplied(row.minSz, size),
        min_notional=None,  # OKX has none (section 1)
        contract_size=size,
    )
