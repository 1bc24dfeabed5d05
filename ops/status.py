"""PURE. What an operator sees of a fleet: who leads, who lives, who owns what, and how each pair stands.

The one read model of `fleet status`, `fleet top` and the API. `ops.observer` fills it from Redis; the views only draw it.
Ages are differences of Redis TIME, read in the same batch as what they are the age of.
"""

from typing import Any

import msgspec

from fleet.pair import Pair

LIVE = "live"
MISSING = "missing"
QUARANTINE = "quarantine"  # it failed, and its owner holds it until it is tried again
REFUSED = "refused"  # the venue cannot serve the pair as asked

# worst first: what an operator has to look at comes before what is well
_RANK = {REFUSED: 0, MISSING: 1, "stale": 2, QUARANTINE: 3, "waiting": 4, "syncing": 5, "resync": 5, LIVE: 9}
_UNKNOWN_RANK = 6  # a state added by a newer daemon: shown between the known troubles and the live


class MemberStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One daemon, by its own last beat."""

    id: str  # host:pid:nonce
    host: str
    pid: int
    roles: tuple[str, ...]
    pairs: int  # pairs it owns
    rate: float  # messages/s of all its pairs
    loop_stall_ms: float  # worst stall of its event loop since the beat before
    version: str
    beat_age_ms: int
    quiet: bool = False  # draining or stopping: it takes no more work
    deaf: dict[str, int] = {}  # venue:market → for how many ms it has not reached it


class PairStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One pair: its book in Redis, and what the members say of it. None: nobody knows."""

    venue: str
    market: str
    pair: str
    owner: str | None
    epoch: int | None  # fencing token of the owner
    status: str  # live, resync, stale, missing; or the state a member gives for a pair without a book
    sequence: int | None  # the venue's
    age_ms: int | None  # since the owner last proved the book fresh
    rate: float  # messages/s
    gaps: int
    resyncs: int = 0
    checksums: int = 0  # checksums of the venue that did not agree with the book
    seams: int = 0  # books told whole by its owner because two connections' sequences do not compare: nothing is lost
    n: int | None = None
    depth: str = ""
    best_bid: str = ""
    best_ask: str = ""
    reason: str | None = None  # why the pair is not served as asked

    @property
    def key(self) -> Pair:
        """The identity of the pair."""
        return Pair(self.venue, self.market, self.pair)

    @property
    def live(self) -> bool:
        """Whether the book may be used now."""
        return self.status == LIVE

    @property
    def trouble(self) -> int:
        """Rank of the status for sorting, worst first."""
        return _RANK.get(self.status, _UNKNOWN_RANK)


class FleetStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The fleet at one moment."""

    leader: str | None
    term: int | None
    now_ms: int  # Redis TIME of the read
    members: tuple[MemberStatus, ...]
    pairs: tuple[PairStatus, ...]

    @property
    def live_pairs(self) -> int:
        """How many pairs have a live book."""
        return sum(pair.live for pair in self.pairs)

    @property
    def rate(self) -> float:
        """Messages/s of all members."""
        return sum(member.rate for member in self.members)

    def find(self, pair: Pair) -> PairStatus | None:
        """The status of one pair; None if nobody knows the pair."""
        return next((status for status in self.pairs if status.key == pair), None)

    def to_json(self) -> dict[str, Any]:
        """Plain values, the shape of `fleet status --json`."""
        shown: dict[str, Any] = msgspec.to_builtins(self)
        return shown
