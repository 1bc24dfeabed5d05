"""PURE. What KuCoin lists, spot and futures (venues/kucoin.md §1). Bitcoin is XBT on futures."""

from decimal import Decimal

from ops.simulator.catalogue import KNOWN, Kind, Listing, coin

PRE_MARKET = "NEWUSDTM"  # trades against an index of its own: clients must refuse it

# base | spot tick, lot | futures tick, multiplier (base coins a lot)
_TABLE = """
BTC   0.1         0.00000001  0.1         0.001
ETH   0.01        0.0000001   0.01        0.01
SOL   0.001       0.0001      0.001       0.1
BNB   0.01        0.0001      0.01        0.01
XRP   0.00001     0.0001      0.0001      10
DOGE  0.00001     0.0001      0.00001     100
ADA   0.0001      0.0001      0.0001      10
TRX   0.0001      0.0001      0.00001     100
AVAX  0.001       0.0001      0.001       0.1
LINK  0.0001      0.0001      0.001       0.1
DOT   0.0001      0.0001      0.001       1
LTC   0.01        0.000001    0.01        0.1
BCH   0.01        0.0001      0.05        0.01
UNI   0.0001      0.0001      0.001       1
ATOM  0.0001      0.0001      0.001       0.1
NEAR  0.0001      0.0001      0.001       0.1
APT   0.0001      0.0001      0.001       0.1
FIL   0.0001      0.0001      0.001       0.1
ARB   0.0001      0.0001      0.0001      1
SUI   0.0001      0.0001      0.0001      1
OP    0.0001      0.0001      0.0001      1
TON   0.0001      0.0001      0.0001      0.1
ETC   0.0001      0.0001      0.001       0.1
XLM   0.00001     0.0001      0.00001     10
"""
_ROWS = tuple(tuple(line.split()[1:]) for line in _TABLE.strip().splitlines())
_SYNTHETIC = ("0.001", "0.0001", "0.001", "1")


def _row(number: int) -> tuple[str, ...]:
    return _ROWS[number] if number < KNOWN else _SYNTHETIC


def listed(market: str, count: int) -> list[Listing]:
    """`count` trading pairs first, then what clients must refuse."""
    if market == "spot":
        return [_spot(number) for number in range(count)] + [
            _listing("LUNA-USDT", "LUNA/USDT", "spot", "0.4", "0.0001", "0.01", trading=False)
        ]
    return [_perpetual(number) for number in range(count)] + [
        _listing("XBTUSDCM", "BTC/USDC", "linear", "65000", "0.1", "1", quote="USDC", contract="0.0001"),
        _listing("XBTUSDM", "BTC/USD:BTC", "inverse", "65000", "0.1", "1", quote="USD", settle="XBT"),
        _listing("XBTMZ26", "BTC/USD:BTC-261225", "dated", "65400", "1", "1", quote="USD", settle="XBT"),
        _listing(PRE_MARKET, "NEW/USDT", "linear", "1.5", "0.001", "1"),
        _listing("LUNAUSDTM", "LUNA/USDT", "linear", "0.4", "0.0001", "1", trading=False),
    ]


def _spot(number: int) -> Listing:
    (base, price), row = coin(number), _row(number)
    return _listing(f"{base}-USDT", f"{base}/USDT", "spot", str(price), row[0], row[1])


def _perpetual(number: int) -> Listing:
    (base, price), row = coin(number), _row(number)
    id_ = "XBTUSDTM" if base == "BTC" else f"{base}USDTM"
    return _listing(id_, f"{base}/USDT", "linear", str(price), row[2], "1", contract=row[3])


def _listing(
    id_: str,
    pair: str,
    kind: Kind,
    price: str,
    tick: str,
    lot: str,
    *,
    quote: str = "USDT",
    settle: str = "",
    contract: str = "1",
    trading: bool = True,
) -> Listing:
    return Listing(
        id=id_, pair=pair, kind=kind, base=pair.split("/", maxsplit=1)[0], quote=quote,
        settle=settle or ("" if kind == "spot" else quote), price=float(price), tick=Decimal(tick), lot=Decimal(lot),
        price_decimals=None, size_decimals=None, zero="0", contract_value=Decimal(contract), trading=trading,
    )  # fmt: skip
