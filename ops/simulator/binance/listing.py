"""PURE. What Binance lists, spot and USDT-margined futures (venues/binance.md §1)."""

from decimal import Decimal

from ops.simulator.catalogue import KNOWN, Kind, Listing, coin, digits

# base | spot tick, lot | futures tick, lot
_TABLE = """
BTC   0.01        0.00001     0.10        0.001
ETH   0.01        0.0001      0.01        0.001
SOL   0.01        0.001       0.0100      0.01
BNB   0.01        0.001       0.010       0.01
XRP   0.0001      0.1         0.0001      0.1
DOGE  0.00001     1           0.000010    1
ADA   0.0001      0.1         0.00010     1
TRX   0.0001      0.1         0.00001     1
AVAX  0.01        0.01        0.0010      1
LINK  0.01        0.01        0.001       0.01
DOT   0.001       0.01        0.001       0.1
LTC   0.01        0.001       0.01        0.001
BCH   0.1         0.001       0.01        0.001
UNI   0.001       0.01        0.0010      1
ATOM  0.001       0.01        0.001       0.01
NEAR  0.001       0.1         0.001       1
APT   0.001       0.01        0.001       0.1
FIL   0.001       0.01        0.001       0.1
ARB   0.0001      0.1         0.0001      0.1
SUI   0.0001      0.1         0.0001      0.1
OP    0.001       0.01        0.0001      0.1
TON   0.001       0.01        0.0001      0.1
ETC   0.01        0.01        0.001       0.01
XLM   0.0001      1           0.00001     1
"""
_ROWS = tuple(tuple(line.split()[1:]) for line in _TABLE.strip().splitlines())
_SYNTHETIC = ("0.001", "0.01", "0.001", "0.1")


def _row(number: int) -> tuple[str, ...]:
    return _ROWS[number] if number < KNOWN else _SYNTHETIC


def listed(market: str, count: int) -> list[Listing]:
    """`count` trading pairs first, then what clients must refuse."""
    if market == "spot":
        return [_spot(number) for number in range(count)] + _spot_oddities()
    return [_futures(number) for number in range(count)] + _futures_oddities()


def _spot(number: int) -> Listing:
    base, price = coin(number)
    tick, lot, *_ = _row(number)
    return Listing(
        id=f"{base}USDT", pair=f"{base}/USDT", kind="spot", base=base, quote="USDT", settle="", price=price,
        tick=Decimal(tick), lot=Decimal(lot), price_decimals=8, size_decimals=8, zero="0.00000000",
    )  # fmt: skip


def _futures(number: int) -> Listing:
    base, price = coin(number)
    tick, lot = (Decimal(step) for step in _row(number)[2:])
    return Listing(
        id=f"{base}USDT", pair=f"{base}/USDT", kind="linear", base=base, quote="USDT", settle="USDT",
        price=price, tick=tick, lot=lot, price_decimals=digits(tick), size_decimals=digits(lot), zero="0",
    )  # fmt: skip


def _spot_oddities() -> list[Listing]:
    halted = _spot(0)
    return [
        _renamed(halted, id="LUNAUSDT", pair="LUNA/USDT", base="LUNA", price=0.4, tick="0.0001", lot="0.01"),
        # ids may hold letters beyond ASCII (venues/binance.md §1)
        _renamed(halted, id="币安人生USDT", pair="币安人生/USDT", base="币安人生", price=0.1, tick="0.0001", lot="1"),
    ]


def _futures_oddities() -> list[Listing]:
    perpetual = _futures(0)
    dated = _renamed(perpetual, id="BTCUSDT_261225", pair="BTC/USDT:USDT-261225", kind="dated", trading=True)
    return [dated, _renamed(perpetual, id="LUNAUSDT", pair="LUNA/USDT", base="LUNA", price=0.4, tick="0.0001")]


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
    fixed = listing.price_decimals if listing.kind == "spot" else digits(new_tick)
    return Listing(
        id=id, pair=pair, kind=kind or listing.kind, base=base, quote=listing.quote, settle=listing.settle,
        price=price, tick=new_tick, lot=Decimal(lot) if lot else listing.lot, price_decimals=fixed,
        size_decimals=listing.size_decimals, zero=listing.zero, trading=trading,
    )  # fmt: skip
