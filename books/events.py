"""PURE. What happens to a pair. Frozen; never changed once made; units in the names.

Levels are mappings of canonical decimal text, price → amount; amount `0` deletes the level (in a Delta).
Futures amounts are base units. Fields common to all:

    pair          venue, market, BASE/QUOTE
    venue_ms      the venue's own event time, Unix ms; None where the venue gives none
    received_us   our wall clock when the frame arrived, Unix µs
    epoch         fencing token of the writer; 0 until read back from a stream
    n             our number of the event within its pair; 0 until read back from a stream
    id            stream id; empty until read back from a stream
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from fleet.pair import Pair

Levels = Mapping[str, str]


class Kind(StrEnum):
    """The `t` of a stream entry."""

    SNAPSHOT = "snapshot"
    DELTA = "delta"
    RESET = "reset"
    MARK = "mark"
    BBO = "bbo"
    TRADE = "trade"


class SnapshotReason(StrEnum):
    FIRST = "first"
    RESYNC = "resync"
    TAKEOVER = "takeover"
    SEAM = "seam"
    JOIN = "join"  # made by a reader from the hashes; never in a stream


class ResetReason(StrEnum):
    GAP = "gap"
    CHECKSUM = "checksum"
    CROSSED = "crossed"
    SILENCE = "silence"
    DISCONNECT = "disconnect"
    TAKEOVER = "takeover"
    CONFLATED = "conflated"
    UNSUBSCRIBED = "unsubscribed"
    RELEASED = "released"


class _Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    pair: Pair
    received_us: int
    venue_ms: int | None = None
    epoch: int = 0
    n: int = 0
    id: str = ""


class Snapshot(_Event, frozen=True, kw_only=True, gc=False):
    """The whole book as of `sequence`. Replaces everything."""

    bids: Levels
    asks: Levels
    reason: SnapshotReason
    sequence: int | None = None


class Delta(_Event, frozen=True, kw_only=True, gc=False):
    """Levels that changed. `sequence` is the venue's last id in it, `first_sequence` its first where the venue says so,
    `previous_sequence` the id it follows where the venue says so. None: the venue has no such number."""

    bids: Levels
    asks: Levels
    sequence: int | None = None
    first_sequence: int | None = None
    previous_sequence: int | None = None


class Reset(_Event, frozen=True, kw_only=True, gc=False):
    """The book is not to be trusted until the next Snapshot."""

    reason: ResetReason


class Mark(_Event, frozen=True, kw_only=True, gc=False):
    """The pair is alive and unchanged: proof of coverage for quiet pairs."""


class Bbo(_Event, frozen=True, kw_only=True, gc=False):
    """Best bid and offer of a dedicated channel, faster than the book. Empty text: that side is empty."""

    bid: str
    bid_amount: str
    ask: str
    ask_amount: str
    sequence: int | None = None


class Trade(_Event, frozen=True, kw_only=True, gc=False):
    """A public trade; `side` is the taker's: `buy` or `sell`. `trade_id` is the venue's own."""

    price: str
    amount: str
    side: str
    trade_id: str


Event = Snapshot | Delta | Reset | Mark | Bbo | Trade
BookEvent = Snapshot | Delta | Reset

KIND_OF: dict[type, Kind] = {
    Snapshot: Kind.SNAPSHOT,
    Delta: Kind.DELTA,
    Reset: Kind.RESET,
    Mark: Kind.MARK,
    Bbo: Kind.BBO,
    Trade: Kind.TRADE,
}
