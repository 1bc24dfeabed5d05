"""PURE. What each simulated venue lists: ids, ticks, lots and contract sizes as the venues state them.

The same pairs trade on every venue-market. Beside them each market lists what a client must refuse by name: a symbol
that does not trade, a dated future, an inverse contract (venues/binance.md §1, venues/okx.md §1).
"""

import random
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from fleet.errors import ConfigError

Kind = Literal["spot", "linear", "inverse", "dated"]

VENUE_MARKETS: tuple[tuple[str, str], ...] = (
    ("binance", "spot"),
    ("binance", "futures"),
    ("okx", "spot"),
    ("okx", "futures"),
)
DATED_EXPIRY_MS = 1_798_185_600_000  # 2026-12-25 08:00 UTC, the end of every "261225" contract


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One instrument as its venue lists it. Prices and sizes are in venue units: contracts for OKX derivatives."""

    id: str
    pair: str  # BASE/QUOTE, or the unified id of what is neither spot nor a linear perpetual
    kind: Kind
    base: str
    quote: str
    settle: str  # empty on spot
    price: float  # where the generated market starts
    tick: Decimal
    lot: Decimal
    price_decimals: int | None  # digits on the wire; None = as few as needed
    size_decimals: int | None
    zero: str  # how the wire says that a level is gone
    contract_value: Decimal = Decimal(1)  # base coin a contract (quote coin when inverse)
    trading: bool = True
    code: int = 0  # OKX instIdCode

    @property
    def lot_value(self) -> float:
        """What one lot is worth, in quote currency, at the starting price."""
        worth = float(self.lot * self.contract_value)
        return worth if self.kind == "inverse" else worth * self.price


# base, price | Binance spot tick, lot | Binance futures tick, lot | OKX spot tick, lot | OKX swap tick, ctVal, lot
_TABLE = """
BTC  65000  0.01    0.00001  0.10     0.001  0.1     0.00000001  0.1     0.01  0.01
ETH  3400   0.01    0.0001   0.01     0.001  0.01    0.000001    0.01    0.1   0.01
SOL  180    0.01    0.001    0.0100   0.01   0.01    0.000001    0.01    1     0.01
BNB  620    0.01    0.001    0.010    0.01   0.1     0.000001    0.1     0.01  1
XRP  2.1    0.0001  0.1      0.0001   0.1    0.0001  0.000001    0.0001  100   0.01
DOGE 0.18   0.00001 1        0.000010 1      0.00001 0.000001    0.00001 1000  0.01
ADA  0.62   0.0001  0.1      0.00010  1      0.0001  0.000001    0.0001  100   0.1
TRX  0.24   0.0001  0.1      0.00001  1      0.00001 0.000001    0.00001 1000  0.01
AVAX 28     0.01    0.01     0.0010   1      0.01    0.000001    0.01    1     0.1
LINK 16     0.01    0.01     0.001    0.01   0.001   0.000001    0.001   1     0.1
DOT  5.2    0.001   0.01     0.001    0.1    0.001   0.000001    0.001   1     0.1
LTC  92     0.01    0.001    0.01     0.001  0.01    0.000001    0.01    1     0.1
BCH  480    0.1     0.001    0.01     0.001  0.1     0.000001    0.1     0.1   0.1
UNI  8.4    0.001   0.01     0.0010   1      0.001   0.000001    0.001   1     1
ATOM 5.8    0.001   0.01     0.001    0.01   0.001   0.000001    0.001   1     1
NEAR 3.1    0.001   0.1      0.001    1      0.001   0.000001    0.001   10    0.1
APT  7.3    0.001   0.01     0.001    0.1    0.001   0.000001    0.001   1     0.1
FIL  3.6    0.001   0.01     0.001    0.1    0.001   0.000001    0.001   0.1   1
ARB  0.48   0.0001  0.1      0.0001   0.1    0.0001  0.000001    0.0001  10    0.1
SUI  2.6    0.0001  0.1      0.0001   0.1    0.0001  0.000001    0.0001  1     1
OP   1.05   0.001   0.01     0.0001   0.1    0.0001  0.000001    0.0001  1     1
TON  3.9    0.001   0.01     0.0001   0.1    0.001   0.000001    0.001   1     1
ETC  22     0.01    0.01     0.001    0.01   0.01    0.000001    0.01    10    0.1
XLM  0.29   0.0001  1        0.00001  1      0.0001  0.000001    0.0001  100   0.1
"""
_ROWS = tuple(tuple(line.split()) for line in _TABLE.strip().splitlines())


def _row(number: int) -> tuple[str, ...]:
    if number < len(_ROWS):
        return _ROWS[number]
    name = f"SIM{number:03d}"
    price = f"{10 ** random.Random(name).uniform(-0.5, 3):.3f}"  # by name: the same in every market and for every seed
    return (name, price, "0.001", "0.01", "0.001", "0.1", "0.001", "0.000001", "0.001", "10", "0.1")


def pairs(count: int) -> list[str]:
    """The first `count` pairs, BASE/USDT; beyond the known coins the names are synthetic (SIM024/USDT …)."""
    if count < 1:
        raise ConfigError(f"pairs = {count}: expected at least 1")
    return [f"{_row(number)[0]}/USDT" for number in range(count)]


def listings(venue: str, market: str, count: int) -> list[Listing]:
    """Everything that `venue` lists on `market`: `count` trading pairs first, then what clients must refuse.

    Raises ConfigError for a venue-market that has no simulator.
    """
    if (venue, market) not in VENUE_MARKETS:
        known = ", ".join(f"{v} {m}" for v, m in VENUE_MARKETS)
        raise ConfigError(f"no simulator for {venue} {market}; there are: {known}")
    pairs(count)
    build = {
        ("binance", "spot"): _binance_spot,
        ("binance", "futures"): _binance_futures,
        ("okx", "spot"): _okx_spot,
        ("okx", "futures"): _okx_swap,
    }[venue, market]
    traded = [build(number) for number in range(count)]
    return traded + _oddities(venue, market)


def _binance_spot(number: int) -> Listing:
    base, price, tick, lot, *_ = _row(number)
    return Listing(
        id=f"{base}USDT", pair=f"{base}/USDT", kind="spot", base=base, quote="USDT", settle="", price=float(price),
        tick=Decimal(tick), lot=Decimal(lot), price_decimals=8, size_decimals=8, zero="0.00000000",
    )  # fmt: skip


def _binance_futures(number: int) -> Listing:
    row = _row(number)
    base, price, tick, lot = row[0], row[1], Decimal(row[4]), Decimal(row[5])
    return Listing(
        id=f"{base}USDT", pair=f"{base}/USDT", kind="linear", base=base, quote="USDT", settle="USDT",
        price=float(price), tick=tick, lot=lot, price_decimals=_digits(tick), size_decimals=_digits(lot), zero="0",
    )  # fmt: skip


def _okx_spot(number: int) -> Listing:
    row = _row(number)
    return _okx_listing(f"{row[0]}-USDT", f"{row[0]}/USDT", "spot", number, row[6], row[7])


def _okx_swap(number: int) -> Listing:
    row = _row(number)
    return _okx_listing(f"{row[0]}-USDT-SWAP", f"{row[0]}/USDT", "linear", number, row[8], row[10], contract=row[9])


def _okx_listing(
    id_: str,
    pair: str,
    kind: Kind,
    number: int,
    tick: str,
    lot: str,
    *,
    quote: str = "USDT",
    settle: str = "",
    contract: str = "1",
    price: str = "",
    trading: bool = True,
) -> Listing:
    return Listing(
        id=id_, pair=pair, kind=kind, base=pair.split("/", maxsplit=1)[0], quote=quote,
        settle=settle or ("" if kind == "spot" else quote), price=float(price or _row(number)[1]), tick=Decimal(tick),
        lot=Decimal(lot), price_decimals=None, size_decimals=None, zero="0", contract_value=Decimal(contract),
        trading=trading, code=10_000_000_000 + number * 7 + len(id_),
    )  # fmt: skip


def _oddities(venue: str, market: str) -> list[Listing]:
    if (venue, market) == ("binance", "spot"):
        halted = _binance_spot(0)
        return [
            _renamed(halted, id="LUNAUSDT", pair="LUNA/USDT", base="LUNA", price=0.4, tick="0.0001", lot="0.01"),
            # ids may hold letters beyond ASCII (venues/binance.md §1)
            _renamed(
                halted, id="币安人生USDT", pair="币安人生/USDT", base="币安人生", price=0.1, tick="0.0001", lot="1"
            ),
        ]
    if venue == "binance":
        perpetual = _binance_futures(0)
        dated = _renamed(perpetual, id="BTCUSDT_261225", pair="BTC/USDT:USDT-261225", kind="dated", trading=True)
        return [dated, _renamed(perpetual, id="LUNAUSDT", pair="LUNA/USDT", base="LUNA", price=0.4, tick="0.0001")]
    if market == "spot":
        return [_okx_listing("LUNA-USDT", "LUNA/USDT", "spot", 900, "0.0001", "0.01", price="0.4", trading=False)]
    return [
        _okx_listing("BTC-USD-SWAP", "BTC/USD:BTC", "inverse", 901, "0.1", "1", quote="USD", settle="BTC",
                     contract="100", price="65000"),
        _okx_listing("BTC-USDT-261225", "BTC/USDT:USDT-261225", "dated", 902, "0.1", "0.01", contract="0.01",
                     price="65400"),
        _okx_listing("LUNA-USDT-SWAP", "LUNA/USDT", "linear", 903, "0.0001", "1", contract="1", price="0.4",
                     trading=False),
    ]  # fmt: skip


def _renamed(
    listing: Listing,
    *,
    id: str,  # noqa: A002 - the field's name
    pair: str,
    base: str = "BTC",
    kind: Kind | None = None,
    price: float = 65400.0,
    tick: str = "",
    lot: str = "",
    trading: bool = False,
) -> Listing:
    new_tick = Decimal(tick) if tick else listing.tick
    fixed = listing.price_decimals if listing.kind == "spot" else _digits(new_tick)
    return Listing(
        id=id, pair=pair, kind=kind or listing.kind, base=base, quote=listing.quote, settle=listing.settle,
        price=price, tick=new_tick, lot=Decimal(lot) if lot else listing.lot, price_decimals=fixed,
        size_decimals=listing.size_decimals, zero=listing.zero, trading=trading,
    )  # fmt: skip


def _digits(step: Decimal) -> int:
    return max(0, -int(step.as_tuple().exponent))
