"""PURE. KuCoin's public REST, which both generations of its sockets stand on. Source: venue sheet `kucoin`, sections 1, 5, 7.

request                                             | shape                                     | becomes
----------------------------------------------------|-------------------------------------------|------------
spot `GET /api/v2/symbols` (weight 4)               | data[]: symbol, increments, enableTrading | instruments
futures `GET /api/v1/contracts/active` (3)          | data[]: type, multiplier, status; NUMBERS | instruments
spot `GET /api/v1/market/orderbook/level2_100` (4)  | data: sequence as text, 100 levels a side | snapshot
futures `GET /api/v1/level2/snapshot` (3)           | data: sequence, about 1000 levels; ts ns  | snapshot

No venue of its own: the packages `kucoin` and `kucoin_classic` import it, and never one another. Futures answers hold JSON
numbers; they are read from their own text, never through a float. Bitcoin is XBT on futures only.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Final, Literal
from urllib.parse import quote

import msgspec

from books.decimals import SPELLINGS, canonical, multiplied, spellings_times
from books.events import Snapshot, SnapshotReason
from feeds.venue import Instrument, Instruments, InstrumentStatus, Refused, RestRequest, Undecodable
from fleet.errors import ConfigError
from fleet.pair import parse_pair

SUCCESS: Final = "200000"
SNAPSHOT_LEVELS: Final = {"spot": "100", "futures": "1000"}  # a side
REST_URLS: Final = {"spot": "https://api.kucoin.com", "futures": "https://api-futures.kucoin.com"}
# The public pool is 2000 in 30 s and address, for both markets and both generations together (section 7): a quarter each.
REST_WINDOW_MS: Final = 30_000
REST_WEIGHT_PER_MINUTE: Final = 1000

_PERPETUAL: Final = "FFWCSX"
_TICK_FIELDS: Final = {"spot": "priceIncrement", "futures": "tickSize"}
_FUTURES_STATUS: Final = {
    "Open": InstrumentStatus.TRADING,
    "BeingSettled": InstrumentStatus.DELISTED,
    "Settled": InstrumentStatus.DELISTED,
    "Closed": InstrumentStatus.DELISTED,
}  # Init, Paused, CancelOnly and words to come: halted

Rows = list[tuple[msgspec.Raw, msgspec.Raw]]
Sequence63 = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


def number_text(raw: msgspec.Raw | bytes) -> str:
    """The text of a JSON number, or of text that holds one: `29641.0` and `"29641.0"` → `29641.0`. Raises ValueError."""
    text = str(bytes(raw), "utf-8")
    return text[1:-1] if len(text) > 1 and text[0] == '"' else text


def levels(rows: Rows, contract_size: Decimal) -> dict[str, str]:
    """Both canonical, amounts in base units; of several rows for one price the last wins. Raises ValueError."""
    prices, amounts = SPELLINGS, spellings_times(contract_size)
    return {prices[number_text(price)]: amounts[number_text(size)] for price, size in rows}


def millis(nanos: int | str) -> int:
    """Unix ns, a number or text, as Unix ms. Raises ValueError."""
    if isinstance(nanos, str):
        if not (nanos.isascii() and nanos.isdecimal() and len(nanos) <= 19):
            raise ValueError(f"expected Unix nanoseconds, got {nanos[:40]!r}")
        nanos = int(nanos)
    return nanos // 1_000_000


def one_line(error: BaseException) -> str:
    """What a library has to say, short enough for a log."""
    return " ".join(str(error).split())[:200] or type(error).__name__


# --- metadata ---------------------------------------------------------------------------------------------------------------


class _Answer(msgspec.Struct):
    code: str
    data: list[msgspec.Raw]


class _Named(msgspec.Struct):
    symbol: str


class _SpotRow(msgspec.Struct, kw_only=True):
    symbol: str
    baseCurrency: str  # noqa: N815  # the venue's own words
    quoteCurrency: str  # noqa: N815
    baseMinSize: str  # noqa: N815
    baseIncrement: str  # noqa: N815
    priceIncrement: str  # noqa: N815
    enableTrading: bool  # noqa: N815
    minFunds: str | None = None  # noqa: N815  # not in version 1


class _FuturesRow(msgspec.Struct, kw_only=True):
    symbol: str
    type: str
    baseCurrency: str  # noqa: N815
    quoteCurrency: str  # noqa: N815
    settleCurrency: str  # noqa: N815
    isInverse: bool  # noqa: N815
    multiplier: msgspec.Raw
    lotSize: msgspec.Raw  # noqa: N815
    tickSize: msgspec.Raw  # noqa: N815
    status: str
    marketStage: str | None = None  # noqa: N815  # not before 2025


_spot_row: Final = msgspec.json.Decoder(_SpotRow)
_futures_row: Final = msgspec.json.Decoder(_FuturesRow)


def instruments_request(market: str) -> RestRequest:
    """Everything the market lists, in one answer."""
    return RestRequest("/api/v2/symbols", 4) if market == "spot" else RestRequest("/api/v1/contracts/active", 3)


def parse_instruments(venue: str, market: str, bodies: Sequence[bytes]) -> Instruments:
    """One unreadable row is refused alone. Raises Undecodable when a body is no list of instruments of the market."""
    taken: list[Instrument] = []
    refused: list[Refused] = []
    for body in bodies:
        try:
            answer = msgspec.json.decode(body, type=_Answer)
            if answer.code != SUCCESS:
                raise Undecodable(f"{venue} {market}: expected instruments, got an error of code {answer.code[:20]}")
            field = _TICK_FIELDS[market].encode()
            if answer.data and field not in body:
                raise Undecodable(f"{venue} {market}: expected rows with {field.decode()}")
            for raw in answer.data:
                read = _read_row(venue, market, raw)
                if isinstance(read, Instrument):
                    taken.append(read)
                else:
                    refused.append(read)
        except Undecodable:
            raise
        except (ValueError, RecursionError) as error:
            raise Undecodable(f"{venue} {market}: no list of instruments: {one_line(error)}") from error
    return Instruments(taken, refused)


def _read_row(venue: str, market: str, raw: msgspec.Raw) -> Instrument | Refused:
    symbol = msgspec.json.decode(raw, type=_Named).symbol
    try:
        if market == "spot":
            return _spot(venue, _spot_row.decode(raw))
        row = _futures_row.decode(raw)
        reason = _refusal(row)
        return _perpetual(venue, row) if reason is None else Refused(symbol, reason)
    except (ValueError, ConfigError) as error:
        return Refused(symbol, f"metadata that cannot be read: {one_line(error)}")


def _spot(venue: str, row: _SpotRow) -> Instrument:
    """Base and quote, not the symbol: BCHSV-USDT trades BSV (section 1)."""
    return Instrument(
        pair=parse_pair(venue, "spot", f"{row.baseCurrency}/{row.quoteCurrency}"),
        symbol=row.symbol,
        status=InstrumentStatus.TRADING if row.enableTrading else InstrumentStatus.HALTED,
        tick=canonical(row.priceIncrement),
        lot=canonical(row.baseIncrement),
        min_amount=canonical(row.baseMinSize),
        min_notional=canonical(row.minFunds) if row.minFunds else None,
        contract_size=Decimal(1),
    )


def _refusal(row: _FuturesRow) -> str | None:
    """Why a contract is not taken, None if it is: linear perpetuals that are settled in USDT and trade."""
    if row.type != _PERPETUAL:
        return f"contract type {row.type[:20]}: no perpetual"
    if row.isInverse:
        return "inverse: contracts are worth quote currency"
    if row.settleCurrency != "USDT" or row.quoteCurrency != "USDT":
        return f"quoted in {row.quoteCurrency[:20]}, settled in {row.settleCurrency[:20]}: not in USDT"
    if row.marketStage == "PRE_MARKET":
        return "pre-market: trades against an index of its own"
    return None


def _perpetual(venue: str, row: _FuturesRow) -> Instrument:
    size = Decimal(canonical(number_text(row.multiplier)))  # canonical first: Decimal would take signs and NaN
    if size == 0:
        raise ValueError("a contract of size 0")
    base = "BTC" if row.baseCurrency == "XBT" else row.baseCurrency
    lot = multiplied(number_text(row.lotSize), size)
    return Instrument(
        pair=parse_pair(venue, "futures", f"{base}/{row.quoteCurrency}"),
        symbol=row.symbol,
        status=_FUTURES_STATUS.get(row.status, InstrumentStatus.HALTED),
        tick=canonical(number_text(row.tickSize)),
        lot=lot,
        min_amount=lot,
        min_notional=None,  # KuCoin's futures have none but the lot
        contract_size=size,
    )


# --- books ------------------------------------------------------------------------------------------------------------------


class _SpotBook(msgspec.Struct):
    time: Sequence63
    sequence: str
    bids: Rows
    asks: Rows


class _FuturesBook(msgspec.Struct):
    sequence: Sequence63
    ts: Sequence63
    bids: Rows
    asks: Rows


class _SpotAnswer(msgspec.Struct):
    code: Literal["200000"]
    data: _SpotBook


class _FuturesAnswer(msgspec.Struct):
    code: Literal["200000"]
    data: _FuturesBook


_spot_book: Final = msgspec.json.Decoder(_SpotAnswer)
_futures_book: Final = msgspec.json.Decoder(_FuturesAnswer)


def sequence_number(text: str) -> int:
    """A sequence that comes as text. Raises ValueError."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise ValueError(f"expected a sequence, got {text[:40]!r}")
    return int(text)


def book_request(market: str, instrument: Instrument) -> RestRequest:
    """The deepest book that needs no signature (section 5)."""
    symbol = quote(instrument.symbol, safe="")
    if market == "spot":
        return RestRequest(f"/api/v1/market/orderbook/level2_100?symbol={symbol}", 4)
    return RestRequest(f"/api/v1/level2/snapshot?symbol={symbol}", 3)


def parse_book(market: str, body: bytes, instrument: Instrument, received_us: int) -> Snapshot:
    """Raises Undecodable when the body is no book of the market. Spot says its time in ms, futures in ns."""
    try:
        data: _SpotBook | _FuturesBook
        if market == "spot":
            data = _spot_book.decode(body).data
            venue_ms, sequence = data.time, sequence_number(data.sequence)
        else:
            data = _futures_book.decode(body).data
            venue_ms, sequence = millis(data.ts), data.sequence
        return Snapshot(
            pair=instrument.pair,
            received_us=received_us,
            venue_ms=venue_ms,
            bids=levels(data.bids, instrument.contract_size),
            asks=levels(data.asks, instrument.contract_size),
            reason=SnapshotReason.FIRST,
            sequence=sequence,
        )
    except (ValueError, RecursionError) as error:
        raise Undecodable(f"{instrument.pair}: no book: {one_line(error)}") from error
