"""PURE. What Hyperliquid lists, perpetuals (builder dexes included) and spot, and its tokens (venues/hyperliquid.md §1).

The venue has decimals of sizes and rules of prices, no tick. A generated market needs one: the finest step that is legal
around the price, 5 significant figures and no more decimals than the rule allows.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from ops.simulator.catalogue import KNOWN, Listing, coin, digits

MOST_DECIMALS = {"spot": 8, "futures": 6}
FIGURES = 5
FIRST_DEX = ""  # the name of the venue's own perpetuals
DEXES = {FIRST_DEX: 0, "xyz": 0, "km": 2}  # builder dex -> token of its collateral; the number of a dex is its place
SPOT_ASSET, BUILDER_ASSET = 10_000, 100_000

# base | szDecimals of the perpetual | of the spot token, if that is a bridged one | the index of its pair
_TABLE = """
BTC  5 5 UBTC 142
ETH  4 4 UETH 151
SOL  2 3 USOL 156
BNB  3 3
XRP  0 2
DOGE 0 1
ADA  0 1
TRX  0 1
AVAX 2 2
LINK 1 2
DOT  1 2
LTC  2 3
BCH  3 3
UNI  1 2
ATOM 2 2
NEAR 1 2
APT  2 2
FIL  1 2
ARB  1 1
SUI  1 2
OP   1 2
TON  1 2
ETC  2 2
XLM  0 1
"""
_ROWS = tuple(line.split() for line in _TABLE.strip().splitlines())


@dataclass(frozen=True, slots=True)
class Token:
    """A spot token. Its index is its place in the list of all of them."""

    name: str
    index: int
    size_decimals: int


# The last has a name that anybody may give.
USDC, PURR, USDH, JUNK = ODD = Token("USDC", 0, 8), Token("PURR", 1, 0), Token("USDH", 2, 2), Token("BTC", 3, 2)


def token(number: int) -> Token:
    """The spot token of the coin of that number."""
    base = coin(number).base
    _, _, decimals, *bridged = _ROWS[number] if number < KNOWN else (base, "1", "2")
    return Token(bridged[0] if bridged else base, len(ODD) + number, int(decimals))


def listed(market: str, count: int) -> list[Listing]:
    """`count` trading pairs first, then what is odd: dead markets, builder dexes, names that are taken."""
    if market == "spot":
        return [_spot(number) for number in range(count)] + [
            _listing("PURR/USDC", "PURR/USDC", "spot", SPOT_ASSET, 0.2, PURR.size_decimals, trading=False),
            _listing("@5", "BTC/USDC:@5", "spot", SPOT_ASSET + 5, 0.001, JUNK.size_decimals),
        ]
    return [_perpetual(number) for number in range(count)] + [
        _listing("LUNA", "LUNA/USDC", "futures", count, 0.4, 0, trading=False),
        _listing("xyz:TSLA", "XYZ-TSLA/USDC:USDC", "futures", BUILDER_ASSET + 10_000, 410, 3),
        _listing("km:US500", "KM-US500/USDH:USDH", "futures", BUILDER_ASSET + 20_000, 6900, 3),
    ]


def size_decimals(listing: Listing) -> int:
    """`szDecimals` of a listing: its own for a perpetual, of the base token on spot."""
    return digits(listing.lot)


def dex_of(listing: Listing) -> str:
    """The dex of a perpetual."""
    return listing.id.partition(":")[0] if ":" in listing.id else FIRST_DEX


def base_tokens(listings: Iterable[Listing]) -> dict[str, Token]:
    """The base token of every spot listing, by its id."""
    odd = {"PURR/USDC": PURR, "@5": JUNK}
    return {one.id: odd.get(one.id) or token(number) for number, one in enumerate(listings) if one.kind == "spot"}


def _spot(number: int) -> Listing:
    base, price = coin(number)
    _, _, _, *bridged = _ROWS[number] if number < KNOWN else (base, "1", "2")
    index = int(bridged[1]) if bridged else 300 + number
    return _listing(f"@{index}", f"{base}/USDC", "spot", SPOT_ASSET + index, price, token(number).size_decimals)


def _perpetual(number: int) -> Listing:
    base, price = coin(number)
    decimals = int(_ROWS[number][1]) if number < KNOWN else 1
    return _listing(base, f"{base}/USDC", "futures", number, price, decimals)


def _listing(
    id_: str, pair: str, market: str, asset: int, price: float, decimals: int, *, trading: bool = True
) -> Listing:
    base, quote = pair.partition(":")[0].split("/")
    return Listing(
        id=id_, pair=pair, kind="spot" if market == "spot" else "linear", base=base, quote=quote,
        settle="" if market == "spot" else quote, price=price, tick=_tick(market, price, decimals),
        lot=Decimal(1).scaleb(-decimals), price_decimals=None, size_decimals=None, zero="0", trading=trading, code=asset,
    )  # fmt: skip


def _tick(market: str, price: float, decimals: int) -> Decimal:
    """Legal up to a tenth above the price, where a generated market does not get."""
    first_figure = math.floor(math.log10(price * 1.1))
    exponent = max(first_figure - FIGURES + 1, decimals - MOST_DECIMALS[market])
    return Decimal(1).scaleb(min(0, exponent))
