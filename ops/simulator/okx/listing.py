"""PURE. What OKX lists, spot and swaps (venues/okx.md §1)."""

from decimal import Decimal

from ops.simulator.catalogue import KNOWN, Kind, Listing, coin

# base | spot tick, lot | swap tick, ctVal, lot
_TABLE = """
BTC   0.1         0.00000001  0.1         0.01        0.01
ETH   0.01        0.000001    0.01        0.1         0.01
SOL   0.01        0.000001    0.01        1           0.01
BNB   0.1         0.000001    0.1         0.01        1
XRP   0.0001      0.000001    0.0001      100         0.01
DOGE  0.00001     0.000001    0.00001     1000        0.01
ADA   0.0001      0.000001    0.0001      100         0.1
TRX   0.00001     0.000001    0.00001     1000        0.01
AVAX  0.01        0.000001    0.01        1           0.1
LINK  0.001       0.000001    0.001       1           0.1
DOT   0.001       0.000001    0.001       1           0.1
LTC   0.01        0.000001    0.01        1           0.1
BCH   0.1         0.000001    0.1         0.1         0.1
UNI   0.001       0.000001    0.001       1           1
ATOM  0.001       0.000001    0.001       1           1
NEAR  0.001       0.000001    0.001       10          0.1
APT   0.001       0.000001    0.001       1           0.1
FIL   0.001       0.000001    0.001       0.1         1
ARB   0.0001      0.000001    0.0001      10          0.1
SUI   0.0001      0.000001    0.0001      1           1
OP    0.0001      0.000001    0.0001      1           1
TON   0.001       0.000001    0.001       1           1
ETC   0.01        0.000001    0.01        10          0.1
XLM   0.0001      0.000001    0.0001      100         0.1
"""
_ROWS = tuple(tuple(line.split()[1:]) for line in _TABLE.strip().splitlines())
_SYNTHETIC = ("0.001", "0.000001", "0.001", "10", "0.1")


def _row(number: int) -> tuple[str, ...]:
    return _ROWS[number] if number < KNOWN else _SYNTHETIC


def listed(market: str, count: int) -> list[Listing]:
    """`count` trading pairs first, then what clients must refuse."""
    if market == "spot":
        return [_spot(number) for number in range(count)] + [
            _listing("LUNA-USDT", "LUNA/USDT", "spot", 900, "0.0001", "0.01", price="0.4", trading=False)
        ]
    return [_swap(number) for number in range(count)] + [
        _listing("BTC-USD-SWAP", "BTC/USD:BTC", "inverse", 901, "0.1", "1", quote="USD", settle="BTC",
                 contract="100", price="65000"),
        _listing("BTC-USDT-261225", "BTC/USDT:USDT-261225", "dated", 902, "0.1", "0.01", contract="0.01",
                 price="65400"),
        _listing("LUNA-USDT-SWAP", "LUNA/USDT", "linear", 903, "0.0001", "1", contract="1", price="0.4",
                 trading=False),
    ]  # fmt: skip


def _spot(number: int) -> Listing:
    base, row = coin(number).base, _row(number)
    return _listing(f"{base}-USDT", f"{base}/USDT", "spot", number, row[0], row[1])


def _swap(number: int) -> Listing:
    base, row = coin(number).base, _row(number)
    return _listing(f"{base}-USDT-SWAP", f"{base}/USDT", "linear", number, row[2], row[4], contract=row[3])


def _listing(
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
        settle=settle or ("" if kind == "spot" else quote), price=float(price or coin(number).price), tick=Decimal(tick),
        lot=Decimal(lot), price_decimals=None, size_decimals=None, zero="0", contract_value=Decimal(contract),
        trading=trading, code=10_000_000_000 + number * 7 + len(id_),
    )  # fmt: skip
