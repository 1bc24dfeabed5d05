"""PURE. The catalogues of MEXC: `exchangeInfo` of spot, `contract/detail` of contracts. Venue sheet `mexc`, sections 1 and 7."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec

from books.decimals import canonical, multiplied
from feeds.venue import Instrument, Instruments, InstrumentStatus, Refused, Undecodable
from fleet.errors import ConfigError
from fleet.pair import parse_pair

VENUE: Final = "mexc"
SETTLED_IN: Final = "USDT"
PERPETUAL: Final = 1  # futureType

_Digits = Annotated[int, msgspec.Meta(ge=0, le=38)]
_STATUSES: Final = {  # `status` of spot; ENABLED is how it was spelled in 2024
    "1": InstrumentStatus.TRADING,
    "ENABLED": InstrumentStatus.TRADING,
    "2": InstrumentStatus.HALTED,
    "3": InstrumentStatus.DELISTED,
}
_CLOSED: Final = 4  # tradeSideType: neither side may trade
_ENABLED: Final = 0  # state of a contract


class _Named(msgspec.Struct):
    symbol: str


class _SpotRow(msgspec.Struct, kw_only=True):
    """Steps are powers of ten; the two fields called precision are amounts (section 7.1)."""

    status: str
    baseAsset: str  # noqa: N815  # the venue's own words
    quoteAsset: str  # noqa: N815
    baseAssetPrecision: _Digits  # noqa: N815  # digits of amounts
    quoteAssetPrecision: _Digits  # noqa: N815  # digits of prices
    baseSizePrecision: str  # noqa: N815  # the least amount; 0: none
    quoteAmountPrecision: str  # noqa: N815  # the least notional; 0: none
    isSpotTradingAllowed: bool  # noqa: N815
    tradeSideType: int = 1  # noqa: N815


class _ContractRow(msgspec.Struct, kw_only=True):
    """Numbers of any JSON spelling: `_exact` has their text."""

    baseCoin: str  # noqa: N815
    quoteCoin: str  # noqa: N815
    settleCoin: str  # noqa: N815
    contractSize: Any  # noqa: N815  # base units of one contract
    priceUnit: Any  # noqa: N815
    volUnit: Any  # noqa: N815  # contracts
    minVol: Any  # noqa: N815  # contracts
    state: int
    apiAllowed: bool = True  # noqa: N815
    futureType: int = PERPETUAL  # noqa: N815


class _ExchangeInfo(msgspec.Struct):
    symbols: list[msgspec.Raw]


class _Detail(msgspec.Struct):
    success: bool
    code: int
    data: list[msgspec.Raw] | None = None


_spot_row: Final = msgspec.json.Decoder(_SpotRow)
_contract_row: Final = msgspec.json.Decoder(_ContractRow, float_hook=str)  # never through float


def parse_exchange_info(bodies: Sequence[bytes]) -> Instruments:
    """Raises Undecodable when a body is not exchangeInfo of spot. One unreadable row is refused alone."""

    def rows(body: bytes) -> list[msgspec.Raw]:
        return msgspec.json.decode(body, type=_ExchangeInfo).symbols

    return _parse("spot", bodies, rows, _read_spot)


def parse_detail(bodies: Sequence[bytes]) -> Instruments:
    """Raises Undecodable when a body is not contract/detail: errors come with HTTP 200 too (section 7.2)."""

    def rows(body: bytes) -> list[msgspec.Raw]:
        answer = msgspec.json.decode(body, type=_Detail)
        if not answer.success or answer.code != 0 or answer.data is None:
            raise Undecodable(f"{VENUE} futures: expected contracts, got an answer of code {answer.code}")
        return answer.data

    return _parse("futures", bodies, rows, _read_contract)


def _parse(
    market: str,
    bodies: Sequence[bytes],
    rows: Callable[[bytes], list[msgspec.Raw]],
    read: Callable[[str, msgspec.Raw], Instrument | Refused],
) -> Instruments:
    taken: list[Instrument] = []
    refused: list[Refused] = []
    for body in bodies:
        try:
            for raw in rows(body):
                symbol = msgspec.json.decode(raw, type=_Named).symbol
                try:
                    found = read(symbol, raw)
                except (ValueError, ConfigError) as error:
                    found = Refused(symbol, f"metadata that cannot be read: {' '.join(str(error).split())[:200]}")
                if isinstance(found, Instrument):
                    taken.append(found)
                else:
                    refused.append(found)
        except Undecodable:
            raise
        except (ValueError, RecursionError) as error:
            text = " ".join(str(error).split())[:200]
            raise Undecodable(f"{VENUE} {market}: no catalogue: {text}") from error
    return Instruments(taken, refused)


def _read_spot(symbol: str, raw: msgspec.Raw) -> Instrument:
    row = _spot_row.decode(raw)
    status = _STATUSES.get(row.status, InstrumentStatus.HALTED)
    may_trade = row.isSpotTradingAllowed and row.tradeSideType != _CLOSED
    if status is InstrumentStatus.TRADING and not may_trade:
        status = InstrumentStatus.HALTED
    lot = canonical(f"1E-{row.baseAssetPrecision}")
    least, notional = canonical(row.baseSizePrecision), canonical(row.quoteAmountPrecision)
    return Instrument(
        pair=parse_pair(VENUE, "spot", f"{row.baseAsset}/{row.quoteAsset}"),
        symbol=symbol,
        status=status,
        tick=canonical(f"1E-{row.quoteAssetPrecision}"),
        lot=lot,
        min_amount=lot if least == "0" else least,
        min_notional=None if notional == "0" else notional,
        contract_size=Decimal(1),
    )


def _exact(value: object) -> str:
    """A JSON number as canonical text: floats came as their own text, integers as integers. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"expected a number, got {str(value)[:40]}")
    return canonical(str(value))


def _read_contract(symbol: str, raw: msgspec.Raw) -> Instrument | Refused:
    row = _contract_row.decode(raw)
    if row.quoteCoin != row.settleCoin:
        return Refused(symbol, f"settled in {row.settleCoin[:20]}, not in its quote {row.quoteCoin[:20]}: inverse")
    if row.settleCoin != SETTLED_IN:
        return Refused(symbol, f"settled in {row.settleCoin[:20]}, not in {SETTLED_IN}")
    if row.futureType != PERPETUAL:
        return Refused(symbol, f"futureType {row.futureType}: not perpetual")
    size = Decimal(_exact(row.contractSize))
    if size == 0:
        raise ValueError("contractSize 0")
    open_to_us = row.state == _ENABLED and row.apiAllowed
    return Instrument(
        pair=parse_pair(VENUE, "futures", f"{row.baseCoin}/{row.quoteCoin}"),
        symbol=symbol,
        status=InstrumentStatus.TRADING if open_to_us else InstrumentStatus.HALTED,
        tick=_exact(row.priceUnit),
        lot=multiplied(_exact(row.volUnit), size),
        min_amount=multiplied(_exact(row.minVol), size),
        min_notional=None,  # the catalogue has no such field (section 7.2)
        contract_size=size,
    )
