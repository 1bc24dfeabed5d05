"""PURE. The frames of MEXC contracts: JSON text. Source: venue sheet `mexc`, sections 3-6.

Numbers are read as their own text, never through float: trailing zeros vary and exponents occur (`9.75E+4`). The channel
chooses the decoder wherever it stands in the frame (real frames end with it).
"""

import re
import zlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec

from books.decimals import SPELLINGS, spellings_times
from books.events import Bbo, Delta, Trade
from feeds.venue import (
    Ack,
    BookMessage,
    GoingAway,
    Instrument,
    Instruments,
    Message,
    Pong,
    Refusal,
    Undecodable,
    Unused,
)

DEPTH: Final = "depth"
BEST: Final = "depth.full"
DEALS: Final = "deal"
CHANNELS: Final = (DEPTH, BEST, DEALS)

_GZIP: Final = b"\x1f\x8b"
_MOST_BYTES: Final = 16 * 1024 * 1024  # unpacked
_WBITS_GZIP: Final = 31
_NO_SUCH: Final = re.compile(r"Contract +\[([^\]]{1,60})\] +not +exist", re.IGNORECASE)
_CLOSING: Final = "close the channel"
_OLD_CHANNEL_OF_RECORDERS: Final = "push.depth.snapshot"

_Millis = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Version = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Number = Any  # a JSON number: an int, or a float's own text
Rows = list[tuple[Number, Number, Number]]  # price, contracts, orders; in no order at all (section 5.3)


class _Depth(msgspec.Struct, gc=False):
    asks: Rows
    bids: Rows
    version: _Version
    begin: _Version = 0
    end: _Version = 0
    cts: _Millis | None = None


class _Deal(msgspec.Struct, gc=False, rename={"price": "p", "contracts": "v", "taker": "T", "at_ms": "t", "id": "i"}):
    price: Number
    contracts: Number
    taker: Literal[1, 2]
    at_ms: _Millis
    id: str | None = None


class _DepthPush(msgspec.Struct, gc=False, tag="push.depth", tag_field="channel"):
    symbol: str
    data: _Depth
    ts: _Millis | None = None


class _BestPush(msgspec.Struct, gc=False, tag="push.depth.full", tag_field="channel"):
    symbol: str
    data: _Depth
    ts: _Millis | None = None


class _DealPush(msgspec.Struct, gc=False, tag="push.deal", tag_field="channel"):
    symbol: str
    data: list[_Deal] | _Deal


_Push = _DepthPush | _BestPush | _DealPush
_push: Final = msgspec.json.Decoder(_Push, float_hook=str)
_PUSHES: Final = frozenset({"push.depth", "push.depth.full", "push.deal"})
_SIDES: Final = {1: "buy", 2: "sell"}


def topic_name(channel: str, symbol: str) -> str:
    """A topic is a channel of one contract: `depth:BTC_USDT`."""
    return f"{channel}:{symbol}"


def sides(bids: Rows, asks: Rows, contract_size: Decimal) -> tuple[dict[str, str], dict[str, str]]:
    """Levels in base units; of several rows for one price the last wins. Raises NotDecimal."""
    prices, amounts = SPELLINGS, spellings_times(contract_size)
    return (
        {prices[str(price)]: amounts[str(contracts)] for price, contracts, _ in bids},
        {prices[str(price)]: amounts[str(contracts)] for price, contracts, _ in asks},
    )


def decode(frame: str | bytes, received_us: int, instruments: Instruments) -> list[Message]:
    """Raises Undecodable, and nothing else."""
    try:
        if isinstance(frame, bytes):
            # announced for years and never seen: a binary frame would be gzip (section 2)
            frame = str(_unpacked(frame) if frame.startswith(_GZIP) else frame, "utf-8")
        try:
            push = _push.decode(frame)
        except msgspec.ValidationError as error:
            return _general(frame, error)
        return _read(push, received_us, instruments)
    except Undecodable:
        raise
    except (ValueError, RecursionError, zlib.error) as error:
        raise Undecodable(f"mexc futures: {' '.join(str(error).split())[:200]}") from error


def _unpacked(frame: bytes) -> bytes:
    unpacker = zlib.decompressobj(_WBITS_GZIP)
    data = unpacker.decompress(frame, _MOST_BYTES)
    if not unpacker.eof:
        raise ValueError(f"gzip that is cut, or unpacks to more than {_MOST_BYTES} bytes")
    return data


# --- pushes (sections 5.3 and 6) ------------------------------------------------------------------------------------------


def _read(push: _Push, received_us: int, instruments: Instruments) -> list[Message]:
    symbol = push.symbol
    instrument = instruments.find(symbol)
    if instrument is None:
        return [Unused(f"symbol {symbol[:40]}: {instruments.refused.get(symbol, 'not among the instruments')}")]
    if isinstance(push, _DepthPush):
        return [BookMessage(topic_name(DEPTH, symbol), _delta(push, instrument, received_us))]
    # the acknowledgement of the venue names no symbol: its data is one (section 4.2)
    if isinstance(push, _BestPush):
        return [Ack(None, topic_name(BEST, symbol), True), _bbo(push, instrument, received_us)]
    deals = push.data if isinstance(push.data, list) else [push.data]
    return [Ack(None, topic_name(DEALS, symbol), True), *(_trade(deal, instrument, received_us) for deal in deals)]


def _delta(push: _DepthPush, instrument: Instrument, received_us: int) -> Delta:
    """A merged frame says begin and end, a raw one only its version (section 5.3)."""
    depth = push.data
    first, last = depth.begin or depth.version, depth.end or depth.version
    if first > last:
        raise Undecodable(f"{instrument.pair}: depth from version {first} to {last}")
    bids, asks = sides(depth.bids, depth.asks, instrument.contract_size)
    return Delta(
        pair=instrument.pair,
        received_us=received_us,
        venue_ms=push.ts if depth.cts is None else depth.cts,
        bids=bids,
        asks=asks,
        sequence=last,
        first_sequence=first,
    )


def _top(rows: Rows, contract_size: Decimal) -> tuple[str, str]:
    """The best level: these frames are sorted. No rows, or nothing at the price: an empty side."""
    for price, contracts, _ in rows[:1]:
        amount = spellings_times(contract_size)[str(contracts)]
        if amount != "0":
            return SPELLINGS[str(price)], amount
    return "", ""


def _bbo(push: _BestPush, instrument: Instrument, received_us: int) -> Bbo:
    depth = push.data
    bid, bid_amount = _top(depth.bids, instrument.contract_size)
    ask, ask_amount = _top(depth.asks, instrument.contract_size)
    return Bbo(
        pair=instrument.pair,
        received_us=received_us,
        venue_ms=push.ts if depth.cts is None else depth.cts,
        bid=bid,
        bid_amount=bid_amount,
        ask=ask,
        ask_amount=ask_amount,
        sequence=depth.version,
    )


def _trade(deal: _Deal, instrument: Instrument, received_us: int) -> Message:
    if deal.id is None:
        return Unused("deal without an id (before 2025)")
    price, amount = SPELLINGS[str(deal.price)], spellings_times(instrument.contract_size)[str(deal.contracts)]
    if price == "0" or amount == "0":
        return Unused("deal of no price or no amount")
    return Trade(
        pair=instrument.pair,
        received_us=received_us,
        venue_ms=deal.at_ms,
        price=price,
        amount=amount,
        side=_SIDES[deal.taker],
        trade_id=deal.id,
    )


# --- everything else (sections 3 and 4.2) ---------------------------------------------------------------------------------


def _general(text: str, error: msgspec.ValidationError) -> list[Message]:
    """What is none of our pushes, or is one with a wrong shape (`error` says which)."""
    value = msgspec.json.decode(text)
    if isinstance(value, list):
        return [Unused("list: rows of an answer of REST")]
    if not isinstance(value, dict):
        raise Undecodable(f"mexc futures: expected a JSON object, got {type(value).__name__}")
    channel = value.get("channel")
    if isinstance(channel, str):
        if channel in _PUSHES:
            raise Undecodable(f"mexc futures: {channel}: {' '.join(str(error).split())[:200]}")
        return _answer(channel, value)
    if "method" in value:
        return [Unused("a request, not an answer")]
    if "code" in value and ("success" in value or "data" in value):
        return [Unused("answer of REST")]
    raise Undecodable(f"mexc futures: neither a push nor an answer: {sorted(value)[:8]}")


def _answer(channel: str, value: Mapping[str, Any]) -> list[Message]:
    if channel == "pong":
        return [Pong()]
    if channel == "rs.error":
        return _error(str(value.get("data", ""))[:200])
    for prefix, subscribed in (("rs.sub.", True), ("rs.unsub.", False)):
        if channel.startswith(prefix):
            # documented answers name the symbol, real ones do not: then the first data must do
            param = value.get("param")
            symbol = param.get("symbol") if isinstance(param, dict) else None
            topic = topic_name(channel.removeprefix(prefix), symbol) if isinstance(symbol, str) else None
            kind = "" if topic is not None else channel.removeprefix(prefix)
            return [Ack(None, topic, subscribed, kind)]
    if channel == _OLD_CHANNEL_OF_RECORDERS:
        return [Unused("snapshot generated by a recorder")]
    return [Unused(f"channel {channel[:40]}")]


def _error(text: str) -> list[Message]:
    """Errors name the contract in prose only, and not the channel: what does not exist has no channel at all."""
    if _CLOSING in text:
        return [GoingAway(text)]
    unknown = _NO_SUCH.search(text)
    if unknown is None:
        return [Refusal(None, None, "rs.error", text, fatal_topic=False)]
    return [Refusal(None, topic_name(channel, unknown[1]), "rs.error", text, fatal_topic=True) for channel in CHANNELS]
