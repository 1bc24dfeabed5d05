"""PURE. `allPerpMetas` and `spotMeta` of Hyperliquid. Source: venue sheet `hyperliquid`, section 1.

Names. A coin of a builder dex (`xyz:TSLA`) is the base XYZ-TSLA; a perpetual is quoted and settled in the collateral of its
dex, a token of `spotMeta` (0 is USDC). Bridged tokens carry the economic name of what they stand for (ECONOMIC): the same
pair then has the same name on every venue, and ccxt, which trades it, calls it so too. Upper case is ours (`kPEPE` is the
base KPEPE); what is sent is `Instrument.symbol`, in the venue's own case. Of two instruments with one name the canonical one
is taken, else the bridged one, else the older one; the other is refused by name.

Steps. The venue has no tick: a price has at most 6 (spot: 8) - szDecimals decimals AND at most 5 significant figures, but
integers are always legal. `tick` is the first bound alone, the finest step that any price of the pair can have: it depends on
nothing that moves. At a price of 84,143 BTC (tick 0.1) in truth steps by 1. Whoever makes orders rounds to 5 figures too.

An amount of a `k` coin (kPEPE) counts thousands of tokens; that is its unit of trade, and `contract_size` is 1 everywhere.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Annotated, Final, NamedTuple

import msgspec

from feeds.venue import Instrument, Instruments, InstrumentStatus, Refused, Undecodable
from fleet.errors import ConfigError
from fleet.pair import Pair, parse_pair

VENUE: Final = "hyperliquid"
MOST_DECIMALS: Final = {"futures": 6, "spot": 8}
MIN_NOTIONAL: Final = "10"  # quote units
# Section 1 spells BTC, ETH, SOL and USDT; what the other three stand for is in ccxt 4.5.90, `spotCurrencyMapping`.
ECONOMIC: Final = {"UBTC": "BTC", "UETH": "ETH", "USOL": "SOL", "UBONK": "BONK", "UFART": "FARTCOIN", "UPUMP": "PUMP",
                   "USDT0": "USDT"}  # fmt: skip
USDC: Final = 0  # index of the token

_Index = Annotated[int, msgspec.Meta(ge=0, le=10**9)]
_Decimals = Annotated[int, msgspec.Meta(ge=0, le=18)]


class _Token(msgspec.Struct):
    name: str
    index: _Index
    szDecimals: _Decimals  # noqa: N815  # the venue's own words


class _SpotPair(msgspec.Struct):
    name: str
    index: _Index
    tokens: tuple[_Index, _Index]
    isCanonical: bool = False  # noqa: N815


class _Perpetual(msgspec.Struct):
    name: str
    szDecimals: _Decimals  # noqa: N815
    isDelisted: bool | None = None  # noqa: N815  # absent or null: it is not


class _Named(msgspec.Struct):
    name: str


class _Meta(msgspec.Struct):
    """The answer to `meta`, an element of `allPerpMetas`, or (with `tokens`) the answer to `spotMeta`."""

    universe: list[msgspec.Raw]
    collateralToken: _Index = USDC  # noqa: N815
    tokens: list[msgspec.Raw] | None = None


_metas: Final = msgspec.json.Decoder(list[_Meta | None] | _Meta)


class _Candidate(NamedTuple):
    """An instrument that may share its pair with another; the least `rank` is taken."""

    rank: tuple[bool, bool, int]
    instrument: Instrument


def parse(market: str, bodies: Sequence[bytes]) -> Instruments:
    """Answers to `meta` or `allPerpMetas`, and to `spotMeta`, in any order. One unreadable row is refused alone.

    Raises Undecodable when a body is none of these, or none of them lists what the market trades.
    """
    perpetuals: list[_Meta] = []
    spots: list[_Meta] = []
    try:
        for body in bodies:
            answer = _metas.decode(body)
            for meta in answer if isinstance(answer, list) else [answer]:
                if meta is not None:  # a dex that is no more
                    (perpetuals if meta.tokens is None else spots).append(meta)
        tokens = _tokens(spots)
        if market == "spot":
            refused, candidates = _spot(spots, tokens)
        else:
            refused, candidates = _futures(perpetuals, tokens)
    except (ValueError, RecursionError) as error:
        raise Undecodable(f"{VENUE} {market}: no metadata: {' '.join(str(error).split())[:200]}") from error
    if not (spots if market == "spot" else perpetuals):
        raise Undecodable(f"{VENUE} {market}: nothing here lists what it trades")
    return Instruments(_distinct(candidates, refused), refused)


def _distinct(candidates: Iterable[_Candidate], refused: list[Refused]) -> list[Instrument]:
    """One instrument a pair; the others are refused."""
    taken: dict[Pair, Instrument] = {}
    for _, instrument in sorted(candidates, key=lambda candidate: candidate.rank):
        known = taken.setdefault(instrument.pair, instrument)
        if known is not instrument:
            refused.append(Refused(instrument.symbol, f"{instrument.pair.pair} is the name of {known.symbol} too"))
    return list(taken.values())


def _tokens(spots: Iterable[_Meta]) -> dict[int, _Token]:
    """By index. A row that cannot be read is left out: its pairs are refused for want of it."""
    found: dict[int, _Token] = {}
    for meta in spots:
        for raw in meta.tokens or ():
            try:
                token = msgspec.json.decode(raw, type=_Token)
            except ValueError:
                continue
            found[token.index] = token
    return found


def _spot(metas: Iterable[_Meta], tokens: dict[int, _Token]) -> tuple[list[Refused], list[_Candidate]]:
    refused: list[Refused] = []
    candidates: list[_Candidate] = []
    for meta in metas:
        for raw in meta.universe:
            symbol = msgspec.json.decode(raw, type=_Named).name
            try:
                row = msgspec.json.decode(raw, type=_SpotPair)
                symbol = row.name if "/" in row.name else f"@{row.index}"
                base, quote = (tokens.get(index) for index in row.tokens)
                if base is None or quote is None:
                    refused.append(Refused(symbol, f"of tokens {row.tokens}, not all of which can be read"))
                    continue
                instrument = _instrument("spot", symbol, _economic(base.name), _economic(quote.name), base.szDecimals)
            except (ValueError, ConfigError) as error:
                refused.append(_unreadable(symbol, error))
                continue
            candidates.append(_Candidate((not row.isCanonical, base.name not in ECONOMIC, row.index), instrument))
    return refused, candidates


def _futures(metas: Iterable[_Meta], tokens: dict[int, _Token]) -> tuple[list[Refused], list[_Candidate]]:
    refused: list[Refused] = []
    candidates: list[_Candidate] = []
    for meta in metas:
        collateral = tokens.get(meta.collateralToken)
        quote = "USDC" if meta.collateralToken == USDC else None if collateral is None else _economic(collateral.name)
        for raw in meta.universe:
            symbol = msgspec.json.decode(raw, type=_Named).name
            if quote is None:
                refused.append(Refused(symbol, f"settled in token {meta.collateralToken}, which has no name"))
                continue
            try:
                row = msgspec.json.decode(raw, type=_Perpetual)
                base = row.name.replace(":", "-")
                instrument = _instrument("futures", symbol, base, quote, row.szDecimals, delisted=bool(row.isDelisted))
            except (ValueError, ConfigError) as error:
                refused.append(_unreadable(symbol, error))
                continue
            candidates.append(_Candidate((bool(row.isDelisted), False, len(candidates)), instrument))
    return refused, candidates


def _instrument(
    market: str, symbol: str, base: str, quote: str, size_decimals: int, *, delisted: bool = False
) -> Instrument:
    lot = _step(size_decimals)
    return Instrument(
        pair=parse_pair(VENUE, market, f"{base}/{quote}"),
        symbol=symbol,
        status=InstrumentStatus.DELISTED if delisted else InstrumentStatus.TRADING,
        tick=_step(max(0, MOST_DECIMALS[market] - size_decimals)),
        lot=lot,
        min_amount=lot,
        min_notional=MIN_NOTIONAL,
        contract_size=Decimal(1),
    )


def _step(decimals: int) -> str:
    """10^-decimals."""
    return f"0.{'1'.rjust(decimals, '0')}" if decimals else "1"


def _economic(token: str) -> str:
    return ECONOMIC.get(token, token)


def _unreadable(symbol: str, error: Exception) -> Refused:
    return Refused(symbol, f"metadata that cannot be read: {' '.join(str(error).split())[:200]}")
