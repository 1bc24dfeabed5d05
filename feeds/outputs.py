"""PURE. What a session wants done, beside the events it gives out. The link carries it out and decides nothing."""

from enum import StrEnum
from typing import TypeGuard

import msgspec

from books.events import Bbo, Delta, Event, Mark, Reset, Snapshot, Trade
from feeds.venue import RestRequest
from fleet.pair import Pair


class Send(msgspec.Struct, frozen=True):
    """Send this text frame."""

    text: str


class Ping(msgspec.Struct, frozen=True):
    """Send a websocket PING control frame: nothing came for a while, and the venue has no text for it."""


class Fetch(msgspec.Struct, frozen=True, eq=False):
    """GET a book snapshot and give the answer to `Session.snapshot` together with this very object."""

    pair: Pair
    request: RestRequest


class Reconnect(msgspec.Struct, frozen=True):
    """The connection is dead: close it and open another."""

    reason: str


class Replace(msgspec.Struct, frozen=True):
    """The connection will end soon (announced by the venue, or its lifetime): it still works, open its successor."""

    reason: str


class Sample(msgspec.Struct, frozen=True):
    """A message that could not be read, cut to `outputs.SAMPLE_BYTES`; only some of many are given out."""

    frame: bytes
    reason: str


class PairRefused(msgspec.Struct, frozen=True):
    """The venue will not give this pair; asking again would be refused again."""

    pair: Pair
    reason: str


class PairFault(msgspec.Struct, frozen=True, eq=False):
    """Something of ours failed for this pair alone: the session has dropped it, and its Reset is out. See feeds.quarantine.

    error    the exception, for the log; None: the book was lost again and again, `tried` by growing delays
    """

    pair: Pair
    reason: str
    error: BaseException | None = None
    tried: bool = False


SAMPLE_BYTES = 2000

Output = Event | Send | Ping | Fetch | Reconnect | Replace | Sample | PairRefused | PairFault


_IS_EVENT = {Snapshot, Delta, Reset, Mark, Bbo, Trade}


def is_event(output: Output) -> TypeGuard[Event]:
    """Whether an output is to be published, not carried out."""
    return type(output) in _IS_EVENT


class FailureKind(StrEnum):
    """Why a request got no body."""

    LIMITED = "limited"  # 429 or 418: everybody behind our address waits
    REFUSED = "refused"  # another 4xx: the request itself is wrong
    SERVER = "server"  # 5xx
    TIMEOUT = "timeout"
    NETWORK = "network"
    TOO_LARGE = "too large"


class Failure(msgspec.Struct, frozen=True):
    """A request that got no body. `retry_after_ms`: not before then, where the venue said so."""

    kind: FailureKind
    text: str
    retry_after_ms: int | None = None
