"""PURE. What CoinEx lists, spot and futures (venues/coinex.md §1). The ids of both are the same."""

from decimal import Decimal

from ops.simulator.catalogue import KNOWN, Kind, Listing, coin, digits

DELISTED_AT_MS = {"FTTUSDT": 1_700_000_000_000}  # still listed, and gone

# base | spot tick, lot | futures tick, lot. Amount steps, and price steps of spot, are powers of ten.
_TABLE = """
BTC   0.01        0.00000001  0.5         0.0001
ETH   0.01        0.00000001  0.01        0.001
SOL   0.0001      0.000001    0.01        0.01
BNB   0.0001      0.000001    0.01        0.01
XRP   0.000001    0.0001      0.0001      1
DOGE  0.000001    0.0001      0.00001     1
ADA   0.000001    0.0001      0.0001      1
TRX   0.000001    0.0001      0.00001     1
AVAX  0.0001      0.000001    0.001       0.1
LINK  0.0001      0.000001    0.001       0.1
DOT   0.0001      0.0001      0.001       0.1
LTC   0.01        0.000001    0.01        0.01
BCH   0.01        0.000001    0.01        0.01
UNI   0.0001      0.0001      0.001       0.1
ATOM  0.0001      0.0001      0.001       0.1
NEAR  0.0001      0.0001      0.001       1
APT   0.0001      0.0001      0.001       0.1
FIL   0.0001      0.0001      0.001       0.1
ARB   0.000001    0.0001      0.0001      1
SUI   0.0001      0.0001      0.0001      1
OP    0.000001    0.0001      0.0001      1
TON   0.0001      0.0001      0.001       1
ETC   0.0001      0.0001      0.005       0.1
XLM   0.000001    0.0001      0.00001     1
"""
_ROWS = tuple(tuple(line.split()[1:]) for line in _TABLE.strip().splitlines())
_SYNTHETIC = ("0.0001", "0.0001", "0.001", "0.1")


def listed(market: str, count: int) -> list[Listing]:
    """`count` trading pairs first, then what clients must refuse or not trade."""
    spot = market == "spot"
    rows = [_ROWS[number] if number < KNOWN else _SYNTHETIC for number in range(count)]
    steps = [(row[0], row[1]) if spot else (row[2], row[3]) for row in rows]
    kind: Kind = "spot" if spot else "linear"
    listings = [_listing(coin(n).base, "USDT", kind, tick, lot, coin(n).price) for n, (tick, lot) in enumerate(steps)]
    if spot:
        gone = [_listing("FTT", "USDT", "spot", "0.0001", "0.01", 1.2, trading=False)]
        return [*listings, _listing("LUNA", "USDT", "spot", "0.0001", "0.01", 0.4, trading=False), *gone]
    return [
        *listings,
        _listing("BTC", "USD", "inverse", "0.5", "1", 65000),
        _listing("LUNA", "USDT", "linear", "0.0001", "1", 0.4, trading=False),
    ]


def _listing(base: str, quote: str, kind: Kind, tick: str, lot: str, price: float, *, trading: bool = True) -> Listing:
    """Spot prices leave trailing zeros out, sizes never do (§5, and captured 2026-09)."""
    spot = kind == "spot"
    inverse = kind == "inverse"
    return Listing(
        id=f"{base}{quote}", pair=f"{base}/{quote}:{base}" if inverse else f"{base}/{quote}", kind=kind, base=base,
        quote=quote, settle="" if spot else base if inverse else quote, price=price, tick=Decimal(tick), lot=Decimal(lot),
        price_decimals=None if spot else digits(Decimal(tick)), size_decimals=8 if spot else digits(Decimal(lot)),
        zero="0", trading=trading,
    )  # fmt: skip
