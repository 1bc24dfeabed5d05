"""PURE. Symbols and contracts of HTX. Source: venue sheet `htx`, section 1."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final, Literal

import msgspec

from books.decimals import canonical
from feeds.venue import Instrument, Instruments, InstrumentStatus, Refused, Undecodable
from feeds.venues.htx.frames import NOTHING, VENUE, is_missing, number, one_line
from fleet.errors import ConfigError
from fleet.pair import parse_pair

SETTLED: Final = "USDT"
# Coins whose code at HTX means another coin elsewhere (section 1; the names are those of ccxt 4.5). Codes of the venue.
RENAMED: Final = {
    "NGL": "GFNGL",
    "GET": "THEMIS",
    "GTC": "GAMECOM",
    "HIT": "HITCHAIN",
    "PNT": "PENTA",
    "SBTC": "SUPERBITCOIN",
    "SOUL": "SOULSAVER",
    "BIFI": "BITCOINFILE",
}
_SPOT_STATES: Final = {"online": InstrumentStatus.TRADING, "offline": InstrumentStatus.DELISTED}
_CONTRACT_STATES: Final = {1: InstrumentStatus.TRADING, 0: InstrumentStatus.DELISTED}
_MOST_DIGITS: Final = 40


class _Answer(msgspec.Struct):
    status: Literal["ok"]
    data: list[msgspec.Raw]


class _SymbolRow(msgspec.Struct, rename="kebab"):
    """Fields that a version lacks are None."""

    symbol: str
    base_currency: str
    quote_currency: str
    state: str
    price_precision: int
    amount_precision: int
    api_trading: str = "enabled"
    min_order_value: msgspec.Raw = NOTHING
    limit_order_min_order_amt: msgspec.Raw = NOTHING
    min_order_amt: msgspec.Raw = NOTHING  # what it was called before


class _ContractRow(msgspec.Struct):
    """Without `business_type` before 2021-12: only swaps were there."""

    contract_code: str
    contract_size: msgspec.Raw
    price_tick: msgspec.Raw
    contract_status: int
    business_type: str = "swap"


class _Symbol(msgspec.Struct):
    symbol: str


class _Contract(msgspec.Struct):
    contract_code: str


_answer: Final = msgspec.json.Decoder(_Answer)


def parse_symbols(bodies: Sequence[bytes]) -> Instruments:
    """`GET /v1/common/symbols`. Raises Undecodable when a body is none."""
    return _parse("spot", bodies, lambda raw: msgspec.json.decode(raw, type=_Symbol).symbol, _read_symbol)


def parse_contracts(bodies: Sequence[bytes]) -> Instruments:
    """`GET /linear-swap-api/v1/swap_contract_info`. Raises Undecodable when a body is none."""
    return _parse("futures", bodies, lambda raw: msgspec.json.decode(raw, type=_Contract).contract_code, _read_contract)


def _parse(
    market: str,
    bodies: Sequence[bytes],
    name: Callable[[msgspec.Raw], str],
    read: Callable[[msgspec.Raw], Instrument | Refused],
) -> Instruments:
    """One unreadable row is refused alone."""
    taken: list[Instrument] = []
    refused: list[Refused] = []
    for body in bodies:
        try:
            for raw in _answer.decode(body).data:
                symbol = name(raw)
                try:
                    row = read(raw)
                except (ValueError, ConfigError) as error:
                    row = Refused(symbol, f"metadata that cannot be read: {one_line(error)}")
                if isinstance(row, Instrument):
                    taken.append(row)
                else:
                    refused.append(row)
        except (ValueError, RecursionError) as error:
            raise Undecodable(f"{VENUE} {market}: no metadata: {one_line(error)}") from error
    return Instruments(taken, refused)


def _read_symbol(raw: msgspec.Raw) -> Instrument | Refused:
    row = msgspec.json.decode(raw, type=_SymbolRow)
    lot = _step(row.amount_precision)
    least = row.min_order_amt if is_missing(row.limit_order_min_order_amt) else row.limit_order_min_order_amt
    worth = None if is_missing(row.min_order_value) else canonical(number(row.min_order_value))
    status = _SPOT_STATES.get(row.state, InstrumentStatus.HALTED)  # suspend, pre-online, and words to come
    if status is InstrumentStatus.TRADING and row.api_trading != "enabled":
        status = InstrumentStatus.HALTED
    return Instrument(
        pair=parse_pair(VENUE, "spot", f"{_coin(row.base_currency)}/{_coin(row.quote_currency)}"),
        symbol=row.symbol,
        status=status,
        tick=_step(row.price_precision),
        lot=lot,
        min_amount=lot if is_missing(least) else canonical(number(least)),
        min_notional=None if worth == "0" else worth,
        contract_size=Decimal(1),
    )


def _read_contract(raw: msgspec.Raw) -> Instrument | Refused:
    row = msgspec.json.decode(raw, type=_ContractRow)
    base, dash, quote = row.contract_code.partition("-")
    if row.business_type != "swap" or "-" in quote:
        return Refused(row.contract_code, f"{row.business_type[:20]}: a dated contract, not a perpetual swap")
    if not dash or quote != SETTLED:
        return Refused(row.contract_code, f"settled in {quote[:20] or '(nothing)'}, not in {SETTLED}")
    size = canonical(number(row.contract_size))
    if size == "0":
        raise ValueError("a contract of size 0")
    return Instrument(
        pair=parse_pair(VENUE, "futures", f"{_coin(base)}/{quote}"),
        symbol=row.contract_code,
        status=_CONTRACT_STATES.get(row.contract_status, InstrumentStatus.HALTED),  # 2 to 8: not now
        tick=canonical(number(row.price_tick)),
        lot=size,  # sizes are whole contracts, at least one
        min_amount=size,
        min_notional=None,
        contract_size=Decimal(size),
    )


def _coin(code: str) -> str:
    code = code.upper()
    return RENAMED.get(code, code)


def _step(digits: int) -> str:
    """10^-digits. Raises ValueError."""
    if not 0 <= digits <= _MOST_DIGITS:
        raise ValueError(f"expected 0 to {_MOST_DIGITS} digits, got {digits}")
    return canonical(f"1E-{digits}")
