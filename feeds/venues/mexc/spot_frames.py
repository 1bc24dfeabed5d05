"""PURE. The frames of MEXC spot: protobuf pushes, and the text answers on the same socket.

Source: venue sheet `mexc`, sections 2-6. A frame of bytes may be either: websocket libraries hand text over as bytes, and
recordings hold both. The first byte tells: text is a JSON object or list, or the bare words LISTEN_KEY; a push is a protobuf
message, whose first byte is the tag of its first field, and neither `{`, `[` nor `I` is a tag of the schema.

The JSON view of a push (names of the schema, 64-bit numbers as text) is what recorders write down; it is read through the
same schema.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from google.protobuf import json_format
from google.protobuf.message import DecodeError

from books.decimals import SPELLINGS, canonical_sides
from books.events import Bbo, Delta, Snapshot, SnapshotReason, Trade
from feeds.venue import (
    Ack,
    BookMessage,
    Image,
    Instrument,
    Instruments,
    Message,
    Pong,
    Refusal,
    Undecodable,
    Unused,
)
from feeds.venues.mexc.schema import BODY, Wrapper

LISTEN_KEY: Final = "Invalid listen key"  # the one answer that is no JSON (section 4.1)
_TEXT_STARTS: Final = (b"{", b"[", LISTEN_KEY.encode())
_MOST_MS: Final = 2**53
_SIDES: Final = {1: "buy", 2: "sell"}  # tradeType, the taker's (section 2.1)
_TAKEN: Final = re.compile(r"Subscribed successful! *\[([^\]]*)\]")
_REFUSED: Final = re.compile(r"Not Subscribed successfully! *\[([^\]]*)\]")
_REASON: Final = re.compile(r"Reason *[:：] *(.*)", re.DOTALL)
_GENERATED: Final = "spot@public.aggre.depth.snapshot."
# Fields that only answers of REST have at their top. Recordings mix them among frames; a socket never does.
_REST_WORDS: Final = frozenset(
    {"lastUpdateId", "serverTime", "symbols", "symbol", "listenKey", "balances", "data", "id", "status", "rows", "tranId",
     "price", "subAccount", "subAccounts", "result", "successList"}
)  # fmt: skip


def decode(frame: str | bytes, received_us: int, instruments: Instruments) -> list[Message]:
    """Raises Undecodable, and nothing else."""
    try:
        if isinstance(frame, str):
            return _text(frame, received_us, instruments)
        if frame.startswith(_TEXT_STARTS):
            return _text(str(frame, "utf-8"), received_us, instruments)
        return _push(Wrapper.FromString(frame), received_us, instruments)
    except Undecodable:
        raise
    except (ValueError, RecursionError, DecodeError, json_format.Error) as error:
        raise Undecodable(f"mexc spot: {' '.join(str(error).split())[:200]}") from error


# --- pushes (sections 5.1, 5.2, 6) ----------------------------------------------------------------------------------------


def _push(push: Any, received_us: int, instruments: Instruments) -> list[Message]:
    if not push.channel:
        raise Undecodable("mexc spot: a push without a channel")
    body = push.WhichOneof(BODY)
    reader = _READERS.get(body)
    if reader is None:
        return [Unused(f"push of {body}" if body else "push without a body: nothing happened")]
    symbol = push.symbol
    if not symbol or f"@{symbol}" not in push.channel:
        raise Undecodable(f"mexc spot: channel {push.channel[:80]!r} carries symbol {symbol[:40]!r}")
    instrument = instruments.find(symbol)
    if instrument is None:
        return [Unused(f"symbol {symbol[:40]}: {instruments.refused.get(symbol, 'not among the instruments')}")]
    return reader(push, instrument, received_us)


def _version(text: str) -> int:
    """Versions are decimal text beyond 32 bits (section 5.1). Raises ValueError."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise ValueError(f"expected a version, got {text[:40]!r}")
    return int(text)


def _millis(value: int) -> int | None:
    """0 is what protobuf says for: not given. Raises ValueError."""
    if not 0 <= value <= _MOST_MS:
        raise ValueError(f"expected Unix milliseconds, got {value}")
    return value or None


def _levels(body: Any) -> tuple[dict[str, str], dict[str, str]]:
    return canonical_sides(
        [(level.price, level.quantity) for level in body.bids], [(level.price, level.quantity) for level in body.asks]
    )


def _delta(push: Any, instrument: Instrument, received_us: int) -> list[Message]:
    body = push.publicAggreDepths
    first, last = _version(body.fromVersion), _version(body.toVersion)
    if first > last:
        raise Undecodable(f"{instrument.pair}: depth from version {first} to {last}")
    bids, asks = _levels(body)
    delta = Delta(
        pair=instrument.pair,
        received_us=received_us,
        venue_ms=_millis(push.sendTime),
        bids=bids,
        asks=asks,
        sequence=last,
        first_sequence=first,
    )
    return [BookMessage(push.channel, delta)]


def _image(push: Any, instrument: Instrument, received_us: int) -> list[Message]:
    body = push.publicLimitDepths
    bids, asks = _levels(body)
    snapshot = Snapshot(
        pair=instrument.pair,
        received_us=received_us,
        venue_ms=_millis(push.sendTime),
        bids=bids,
        asks=asks,
        reason=SnapshotReason.FIRST,
        sequence=_version(body.version),
    )
    return [BookMessage(push.channel, Image(snapshot))]


def _best(price: str, amount: str) -> tuple[str, str]:
    """An empty side comes as absent fields, which are empty text (section 2.2)."""
    if not price and not amount:
        return "", ""
    spelled = SPELLINGS[price], SPELLINGS[amount]
    return ("", "") if spelled[1] == "0" else spelled


def _bbo(push: Any, instrument: Instrument, received_us: int) -> list[Message]:
    body = push.publicAggreBookTicker
    bid, bid_amount = _best(body.bidPrice, body.bidQuantity)
    ask, ask_amount = _best(body.askPrice, body.askQuantity)
    return [
        Bbo(
            pair=instrument.pair,
            received_us=received_us,
            venue_ms=_millis(push.sendTime),
            bid=bid,
            bid_amount=bid_amount,
            ask=ask,
            ask_amount=ask_amount,
            sequence=_version(body.version) if body.version else None,  # none before 2026-06-17
        )
    ]


def _trades(push: Any, instrument: Instrument, received_us: int) -> list[Message]:
    return [_trade(deal, instrument, received_us) for deal in push.publicAggreDeals.deals]


def _trade(deal: Any, instrument: Instrument, received_us: int) -> Message:
    side = _SIDES.get(deal.tradeType)
    if side is None:
        raise Undecodable(f"{instrument.pair}: deal of tradeType {deal.tradeType}")
    price, amount = SPELLINGS[deal.price], SPELLINGS[deal.quantity]
    if not deal.tradeId:
        return Unused("deal without a tradeId (before 2026-06-17)")
    if price == "0" or amount == "0":
        return Unused("deal of no price or no amount")
    return Trade(
        pair=instrument.pair,
        received_us=received_us,
        venue_ms=_millis(deal.time),
        price=price,
        amount=amount,
        side=side,
        trade_id=deal.tradeId,
    )


_Reader = Callable[[Any, Instrument, int], list[Message]]
_READERS: Final[Mapping[str | None, _Reader]] = {
    "publicAggreDepths": _delta,
    "publicAggreBookTicker": _bbo,
    "publicAggreDeals": _trades,
    "publicLimitDepths": _image,
}

# --- text (sections 3 and 4.1) --------------------------------------------------------------------------------------------


def _text(text: str, received_us: int, instruments: Instruments) -> list[Message]:
    if text.startswith(LISTEN_KEY):
        return [Refusal(None, None, "", LISTEN_KEY, fatal_topic=False)]
    value = msgspec.json.decode(text)
    if isinstance(value, list):
        name = value[0] if value and isinstance(value[0], str) else ""
        old = name.startswith(("push.", "rs."))
        return [Unused(f"event {name[:40]} of the JSON socket of v2" if old else "list: rows of an answer of REST")]
    if not isinstance(value, dict):
        raise Undecodable(f"mexc spot: expected a JSON object, got {type(value).__name__}")
    channel = value.get("channel")
    if isinstance(channel, str):
        return _named(channel, value, received_us, instruments)
    if "code" in value and isinstance(value.get("msg"), str) and "data" not in value:
        return _answer(value, value["msg"])
    if "c" in value and "d" in value:
        return [Unused(f"channel {_old_name(value['c'])} of the JSON socket, switched off on 2025-08-04")]
    if "method" in value:
        return [Unused("a request, not an answer")]
    if not value or not _REST_WORDS.isdisjoint(value):
        return [Unused("answer of REST")]
    raise Undecodable(f"mexc spot: neither a push nor an answer: {sorted(value)[:8]}")


def _old_name(channel: object) -> str:
    """`spot@public.deals.v3.api@ETHUSDT` → `public.deals.v3.api`."""
    parts = str(channel).split("@")
    return parts[1][:40] if len(parts) > 1 else str(channel)[:40]


def _named(channel: str, value: dict[str, Any], received_us: int, instruments: Instruments) -> list[Message]:
    """A text frame with a channel: the JSON view of a push, or a frame of the socket of v2."""
    if not channel.startswith("spot@"):
        return [Unused(f"channel {channel[:40]} of the JSON socket of v2")]
    if channel.startswith(_GENERATED):
        return [Unused("snapshot generated by a recorder")]
    return _push(json_format.ParseDict(value, Wrapper(), ignore_unknown_fields=True), received_us, instruments)


def _answer(value: Mapping[str, Any], text: str) -> list[Message]:
    """A code of 0 says nothing: only the text tells what was refused (section 4.1)."""
    request_id = None if value.get("id") is None else str(value["id"])[:64]
    if value["code"] != 0:
        return [Refusal(request_id, None, str(value["code"])[:20], text[:200], fatal_topic=False)]
    if text.upper() == "PONG":
        return [Pong()]
    if text.startswith("spot@"):
        return [Ack(request_id, topic, None) for topic in _topics(text)]
    refused, reason = _REFUSED.search(text), _REASON.search(text)
    taken = _TAKEN.search(text)
    if refused is None and taken is None:
        return [Unused(f"answer that names no topic: {text[:80]}")]
    why = " ".join((reason.group(1) if reason else "refused without a reason").split())[:200]
    messages: list[Message] = [Ack(request_id, topic, True) for topic in _topics(taken.group(1) if taken else "")]
    # retired, unknown or one too many: asked again it would be refused again, and we never ask for too many
    messages += [
        Refusal(request_id, topic, "0", why, fatal_topic=True) for topic in _topics(refused.group(1) if refused else "")
    ]
    return messages


def _topics(text: str) -> list[str]:
    """`a,b` and `a, b` alike."""
    return [topic for part in text.split(",") if (topic := part.strip())]
