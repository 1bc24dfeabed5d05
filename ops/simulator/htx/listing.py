"""PURE. What HTX lists, spot and linear swaps (venues/htx.md §1)."""

from decimal import Decimal

from ops.simulator.catalogue import KNOWN, Kind, Listing, coin

MAJORS = ("btcusdt", "ethusdt")  # those whose `mbp.5` and `mbp.20` exist

# base | spot tick, lot | swap tick, coins a contract
_TABLE = """
BTC   0.01      0.000001  0.1       0.001
ETH   0.01      0.0001    0.01      0.01
SOL   0.0001    0.0001    0.0001    1
BNB   0.01      0.0001    0.01      0.1
XRP   0.00001   0.01      0.0001    10
DOGE  0.000001  0.01      0.00001   100
ADA   0.000001  0.0001    0.000001  10
TRX   0.000001  0.01      0.00001   100
AVAX  0.0001    0.0001    0.0001    1
LINK  0.0001    0.01      0.0001    1
DOT   0.0001    0.0001    0.0001    1
LTC   0.01      0.0001    0.01      0.1
BCH   0.01      0.0001    0.01      0.1
UNI   0.0001    0.0001    0.0001    1
ATOM  0.0001    0.01      0.0001    1
NEAR  0.0001    0.0001    0.0001    10
APT   0.0001    0.0001    0.0001    1
FIL   0.0001    0.0001    0.0001    0.1
ARB   0.0001    0.0001    0.0001    1
SUI   0.0001    0.0001    0.0001    1
OP    0.0001    0.01      0.0001    1
TON   0.0001    0.0001    0.0001    1
ETC   0.0001    0.0001    0.0001    10
XLM   0.000001  0.0001    0.00001   100
"""
_ROWS = tuple(tuple(line.split()[1:]) for line in _TABLE.strip().splitlines())
_SYNTHETIC = ("0.0001", "0.0001", "0.0001", "10")


def _row(number: int) -> tuple[str, ...]:
    return _ROWS[number] if number < KNOWN else _SYNTHETIC


def listed(market: str, count: int) -> list[Listing]:
    """`count` trading pairs first, then what clients must refuse, or list as halted."""
    if market == "spot":
        return [_spot(number) for number in range(count)] + [
            _listing("lunausdt", "LUNA/USDT", "spot", "0.0001", "0.01", price="0.4", trading=False)
        ]
    return [_swap(number) for number in range(count)] + [
        _listing("BTC-USDT-261225", "BTC/USDT:USDT-261225", "dated", "0.1", "1", contract="0.001", price="65400"),
        _listing("LUNA-USDT", "LUNA/USDT", "linear", "0.0001", "1", contract="1", price="0.4", trading=False),
    ]


def _spot(number: int) -> Listing:
    base, row = coin(number).base, _row(number)
    return _listing(f"{base.lower()}usdt", f"{base}/USDT", "spot", row[0], row[1], price=str(coin(number).price))


def _swap(number: int) -> Listing:
    base, row = coin(number).base, _row(number)
    price = str(coin(number).price)
    return _listing(f"{base}-USDT", f"{base}/USDT", "linear", row[2], "1", contract=row[3], price=price)


def _listing(
    id_: str, pair: str, kind: Kind, tick: str, lot: str, *, price: str, contract: str = "1", trading: bool = True
) -> Listing:
    return Listing(
        id=id_, pair=pair, kind=kind, base=pair.split("/", maxsplit=1)[0], quote="USDT",
        settle="" if kind == "spot" else "USDT", price=float(price), tick=Decimal(tick), lot=Decimal(lot),
        price_decimals=None, size_decimals=None, zero="0", contract_value=Decimal(contract), trading=trading,
    )  # fmt: skip
