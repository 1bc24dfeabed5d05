"""PURE. An event as a stream entry, and back.

An entry has plain fields, to read in redis-cli and to skip without decoding — `k` VENUE:MARKET:PAIR, `t` kind,
`n` our number, `e` epoch — and one msgpack array `d`. Bids and asks stand first in `d`: publish.lua takes them from there
(second and third place) to patch the book's hashes. The first place is the version; an unknown one is refused, never guessed.

    snapshot  [1, bids, asks, venue_ms, received_us, sequence, reason]
    delta     [1, bids, asks, venue_ms, received_us, sequence, first_sequence, previous_sequence]
    reset     [1, nil, nil, venue_ms, received_us, reason]
    mark      [1, nil, nil, venue_ms, received_us]
    bbo       [1, [bid, amount], [ask, amount], venue_ms, received_us, sequence]
    trade     [1, price, amount, venue_ms, received_us, side, trade_id]
"""

from collections.abc import Mapping
from typing import Any

import msgpack
import msgspec

from books.events import (
    KIND_OF,
    Bbo,
    Delta,
    Event,
    Kind,
    Mark,
    Reset,
    ResetReason,
    Snapshot,
    SnapshotReason,
    Trade,
)
from fleet.errors import ConfigError
from fleet.pair import Pair, parse_label

WIRE_VERSION = 1

_pack = msgspec.msgpack.Encoder().encode  # the same bytes as msgpack's in two thirds of the time; this is the hot path


class WireError(ValueError):
    """An entry that is not of this wire version, or not an entry at all."""


def encode(event: Event) -> tuple[Kind, bytes]:
    """The `t` and `d` of an entry; `k`, `n` and `e` are added by publish.lua, which knows them for certain."""
    match event:
        case Delta():
            rest: list[Any] = [event.sequence, event.first_sequence, event.previous_sequence]
            first: Any = event.bids
            second: Any = event.asks
        case Snapshot():
            first, second, rest = event.bids, event.asks, [event.sequence, event.reason.value]
        case Bbo():
            first, second = (event.bid, event.bid_amount), (event.ask, event.ask_amount)
            rest = [event.sequence]
        case Trade():
            first, second, rest = event.price, event.amount, [event.side, event.trade_id]
        case Reset():
            first, second, rest = None, None, [event.reason.value]
        case Mark():
            first, second, rest = None, None, []
    payload = _pack([WIRE_VERSION, first, second, event.venue_ms, event.received_us, *rest])
    return KIND_OF[type(event)], payload


def decode(stream_id: bytes | str, fields: Mapping[bytes, bytes]) -> Event:
    """The event of a stream entry as redis-py returns it (bytes). Raises WireError with what was seen."""
    try:
        pair = parse_label(fields[b"k"].decode())
        kind = Kind(fields[b"t"].decode())
        n, epoch = int(fields[b"n"]), int(fields[b"e"])
        payload = msgpack.unpackb(fields[b"d"], strict_map_key=True)
        if not isinstance(payload, list) or not payload or payload[0] != WIRE_VERSION:
            seen = payload[0] if isinstance(payload, list) and payload else payload
            raise WireError(f"entry {stream_id!r}: wire version {str(seen)[:20]!r}, this program reads {WIRE_VERSION}")
        entry_id = stream_id.decode() if isinstance(stream_id, bytes) else stream_id
        return _event(kind, payload, pair, epoch, n, entry_id)
    except WireError:
        raise
    except (ConfigError, KeyError, ValueError, IndexError, TypeError, msgpack.UnpackException) as error:
        raise WireError(f"entry {stream_id!r} is not ours: {type(error).__name__}: {str(error)[:100]}") from error


def _event(kind: Kind, d: list[Any], pair: Pair, epoch: int, n: int, entry_id: str) -> Event:
    common: dict[str, Any] = {
        "pair": pair, "venue_ms": d[3], "received_us": d[4], "epoch": epoch, "n": n, "id": entry_id,
    }  # fmt: skip
    if kind in {Kind.DELTA, Kind.SNAPSHOT} and not (isinstance(d[1], dict) and isinstance(d[2], dict)):
        raise WireError(f"entry {entry_id!r}: bids and asks are no maps")
    match kind:
        case Kind.DELTA:
            return Delta(bids=d[1], asks=d[2], sequence=d[5], first_sequence=d[6], previous_sequence=d[7], **common)
        case Kind.SNAPSHOT:
            return Snapshot(bids=d[1], asks=d[2], sequence=d[5], reason=SnapshotReason(d[6]), **common)
        case Kind.RESET:
            return Reset(reason=ResetReason(d[5]), **common)
        case Kind.MARK:
            return Mark(**common)
        case Kind.BBO:
            return Bbo(bid=d[1][0], bid_amount=d[1][1], ask=d[2][0], ask_amount=d[2][1], sequence=d[5], **common)
        case Kind.TRADE:
            return Trade(price=d[1], amount=d[2], side=d[5], trade_id=d[6], **common)
