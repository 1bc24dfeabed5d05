"""PURE. What MEXC lists, spot and perpetual contracts (venues/mexc.md §1, §7)."""

from decimal import Decimal

from ops.simulator.catalogue import KNOWN, Kind, Listing, coin, digits

# base | spot digits of prices, of amounts | contract priceUnit, contractSize
_TABLE = """
BTC   2  8   0.1       0.0001
ETH   2  5   0.01      0.01
SOL   2  3   0.01      0.1
BNB   2  4   0.01      0.01
XRP   4  2   0.0001    10
DOGE  5  2   0.00001   100
ADA   4  2   0.0001    10
TRX   5  2   0.00001   10
AVAX  3  3   0.001     0.1
LINK  3  3   0.001     0.1
DOT   4  2   0.0001    1
LTC   2  3   0.01      0.1
BCH   2  4   0.01      0.01
UNI   3  2   0.001     1
ATOM  3  2   0.001     1
NEAR  3  2   0.001     1
APT   3  2   0.001     1
FIL   3  2   0.001     0.1
ARB   4  2   0.0001    1
SUI   4  2   0.0001    1
OP    4  2   0.0001    1
TON   3  2   0.001     1
ETC   3  2   0.001     0.1
XLM   5  2   0.00001   10
"""
_ROWS = tuple(tuple(line.split()[1:]) for line in _TABLE.strip().splitlines())
_SYNTHETIC = ("4", "2", "0.001", "1")


def _row(number: int) -> tuple[str, ...]:
    return _ROWS[number] if number < KNOWN else _SYNTHETIC


def listed(market: str, count: int) -> list[Listing]:
    """`count` trading pairs first, then what clients must refuse or show as halted."""
    if market == "spot":
        return [*(_spot(number) for number in range(count)), _spot_of("LUNA", 0.4, "4", "2", trading=False)]
    return [
        *(_contract(number) for number in range(count)),
        _contract_of("BTC_USDC", "BTC", "USDC", "USDC", 65000, "0.1", "0.0001"),
        _contract_of("BTC_USD", "BTC", "USD", "BTC", 65000, "0.1", "100", kind="inverse"),
        _contract_of("LUNA_USDT", "LUNA", "USDT", "USDT", 0.4, "0.0001", "1", trading=False),
    ]


def _spot(number: int) -> Listing:
    base, price = coin(number)
    price_digits, amount_digits, *_ = _row(number)
    return _spot_of(base, price, price_digits, amount_digits)


def _spot_of(base: str, price: float, price_digits: str, amount_digits: str, *, trading: bool = True) -> Listing:
    """Steps are powers of ten (§7.1); a deleted level is 0 with all its decimals (§5.1)."""
    tick, lot = Decimal(1).scaleb(-int(price_digits)), Decimal(1).scaleb(-int(amount_digits))
    return Listing(
        id=f"{base}USDT", pair=f"{base}/USDT", kind="spot", base=base, quote="USDT", settle="", price=price, tick=tick,
        lot=lot, price_decimals=digits(tick), size_decimals=digits(lot), zero=f"{Decimal(0).scaleb(-int(amount_digits)):f}",
        trading=trading,
    )  # fmt: skip


def _contract(number: int) -> Listing:
    base, price = coin(number)
    unit, size = _row(number)[2:]
    return _contract_of(f"{base}_USDT", base, "USDT", "USDT", price, unit, size)


def _contract_of(
    id_: str,
    base: str,
    quote: str,
    settle: str,
    price: float,
    unit: str,
    size: str,
    *,
    kind: Kind = "linear",
    trading: bool = True,
) -> Listing:
    pair = f"{base}/{quote}" if kind == "linear" else f"{base}/{quote}:{settle}"
    return Listing(
        id=id_, pair=pair, kind=kind, base=base, quote=quote, settle=settle, price=price, tick=Decimal(unit),
        lot=Decimal(1), price_decimals=None, size_decimals=None, zero="0", contract_value=Decimal(size), trading=trading,
        code=10 + len(id_) + int(price),
    )  # fmt: skip
