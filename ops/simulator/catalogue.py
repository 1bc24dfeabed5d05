"""PURE. What simulated venues have in common: the coins that trade on every one of them, and how a listing is described.

What a venue makes of a coin (id, tick, lot, contract size) is in its own `listing` module; each market also lists what a
client must refuse by name: a symbol that does not trade, a dated future, an inverse contract.
"""

import random
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, NamedTuple

from fleet.errors import ConfigError

Kind = Literal["spot", "linear", "inverse", "dated"]

DATED_EXPIRY_MS = 1_798_185_600_000  # 2026-12-25 08:00 UTC, the end of every "261225" contract


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One instrument as its venue lists it. Prices and sizes are in venue units: contracts where the venue counts them."""

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
    code: int = 0  # a number beside the id, where the venue has one

    @property
    def lot_value(self) -> float:
        """What one lot is worth, in quote currency, at the starting price."""
        worth = float(self.lot * self.contract_value)
        return worth if self.kind == "inverse" else worth * self.price


class Coin(NamedTuple):
    """What trades everywhere, and about where its price starts."""

    base: str
    price: float


_TABLE = """
BTC  65000
ETH  3400
SOL  180
BNB  620
XRP  2.1
DOGE 0.18
ADA  0.62
TRX  0.24
AVAX 28
LINK 16
DOT  5.2
LTC  92
BCH  480
UNI  8.4
ATOM 5.8
NEAR 3.1
APT  7.3
FIL  3.6
ARB  0.48
SUI  2.6
OP   1.05
TON  3.9
ETC  22
XLM  0.29
"""
_COINS = tuple(Coin(base, float(price)) for base, price in (line.split() for line in _TABLE.strip().splitlines()))
KNOWN = len(_COINS)


def coin(number: int) -> Coin:
    """The coin of that number; from KNOWN on the names are synthetic (SIM024 …)."""
    if number < KNOWN:
        return _COINS[number]
    name = f"SIM{number:03d}"
    return Coin(name, float(f"{10 ** random.Random(name).uniform(-0.5, 3):.3f}"))  # by name: the same in every market


def pairs(count: int, quote: str = "USDT") -> list[str]:
    """The first `count` pairs, BASE/QUOTE."""
    if count < 1:
        raise ConfigError(f"pairs = {count}: expected at least 1")
    return [f"{coin(number).base}/{quote}" for number in range(count)]


def digits(step: Decimal) -> int:
    """Decimal places of a step."""
    return max(0, -int(step.as_tuple().exponent))
