"""PURE. What Bybit lists, spot and linear (venues/bybit.md §1)."""

from decimal import Decimal

from ops.simulator.catalogue import KNOWN, Kind, Listing, coin, digits

# base | spot tick, basePrecision | linear tick, qtyStep
_TABLE = """
BTC   0.1         0.000001    0.10        0.001
ETH   0.01        0.00001     0.01        0.01
SOL   0.01        0.001       0.010       0.1
BNB   0.1         0.0001      0.10        0.01
XRP   0.0001      0.01        0.0001      0.1
DOGE  0.00001     0.1         0.00001     1
ADA   0.0001      0.01        0.0001      1
TRX   0.0001      0.01        0.00001     1
AVAX  0.01        0.001       0.001       0.1
LINK  0.001       0.001       0.001       0.1
DOT   0.001       0.001       0.0001      0.1
LTC   0.01        0.00001     0.01        0.1
BCH   0.1         0.001       0.10        0.01
UNI   0.001       0.001       0.001       0.1
ATOM  0.001       0.001       0.001       0.1
NEAR  0.001       0.01        0.001       0.1
APT   0.001       0.01        0.0001      0.01
FIL   0.001       0.001       0.001       0.1
ARB   0.0001      0.01        0.0001      0.1
SUI   0.0001      0.01        0.00010     10
OP    0.0001      0.01        0.0001      0.1
TON   0.001       0.01        0.0001      0.1
ETC   0.01        0.01        0.001       0.1
XLM   0.0001      0.1         0.00001     1
"""
_ROWS = tuple(tuple(line.split()[1:]) for line in _TABLE.strip().splitlines())
_SYNTHETIC = ("0.001", "0.01", "0.001", "0.1")


def _row(number: int) -> tuple[str, ...]:
    return _ROWS[number] if number < KNOWN else _SYNTHETIC


def listed(market: str, count: int) -> list[Listing]:
    """`count` trading pairs first, then what clients must refuse or only look at."""
    if market == "spot":
        return [_spot(number) for number in range(count)] + [
            _listing("LUNAUSDT", "LUNA/USDT", "spot", "0.0001", "0.01", price=0.4, trading=False)
        ]
    return [_linear(number) for number in range(count)] + [
        _listing("BTCUSDT-25DEC26", "BTC/USDT:USDT-261225", "dated", "0.50", "0.001", price=65400.0),
        _listing("BTCPERP", "BTC/USDC:USDC", "linear", "0.10", "0.001", price=65000.0, quote="USDC"),
        _listing("BTCUSD", "BTC/USD:BTC", "inverse", "0.10", "1", price=65000.0, quote="USD", settle="BTC"),
        _listing("LUNAUSDT", "LUNA/USDT", "linear", "0.0001", "1", price=0.4, trading=False),
    ]


def _spot(number: int) -> Listing:
    base, price = coin(number)
    tick, lot, *_ = _row(number)
    return _listing(f"{base}USDT", f"{base}/USDT", "spot", tick, lot, price=price)


def _linear(number: int) -> Listing:
    base, price = coin(number)
    tick, lot = _row(number)[2:]
    return _listing(f"{base}USDT", f"{base}/USDT", "linear", tick, lot, price=price)


def _listing(
    id_: str,
    pair: str,
    kind: Kind,
    tick: str,
    lot: str,
    *,
    price: float,
    quote: str = "USDT",
    settle: str = "",
    trading: bool = True,
) -> Listing:
    """Spot spells numbers as short as they are, derivatives with the digits of their steps (§5.1)."""
    spot, steps = kind == "spot", (Decimal(tick), Decimal(lot))
    return Listing(
        id=id_, pair=pair, kind=kind, base=pair.split("/", maxsplit=1)[0], quote=quote,
        settle=settle or ("" if spot else quote), price=price, tick=steps[0], lot=steps[1],
        price_decimals=None if spot else digits(steps[0]), size_decimals=None if spot else digits(steps[1]), zero="0",
        trading=trading,
    )  # fmt: skip
