"""PURE. How a pair is wanted, and how it stands, for showing."""

import msgspec

from feeds.pair_feed import PairFeed
from fleet.pair import Pair


class Wanted(msgspec.Struct, frozen=True):
    """How a pair is wanted. `priority`: 0 for pairs that are traded, 1 for others, 2 for those kept warm."""

    depth: str
    channels: frozenset[str]
    priority: int


class PairState(msgspec.Struct, frozen=True, kw_only=True):
    """A pair as an operator sees it. `state`: waiting, syncing, live, refused or quarantine; `reason` says why it is not live,
    or what else is to be known (halted, delisted)."""

    pair: Pair
    state: str
    reason: str
    shortfall: str | None
    connection: str
    sequence: int | None
    messages: int
    rate_per_s: float
    gaps: int
    resyncs: int
    crossed: int
    silences: int
    checksums: int = 0


def state_of(pair: Pair, state: str, reason: str, connection: str, feed: PairFeed | None) -> PairState:
    """A pair with what its feed has counted."""
    if feed is None:
        return PairState(
            pair=pair, state=state, reason=reason, shortfall=None, connection=connection, sequence=None, messages=0,
            rate_per_s=0.0, gaps=0, resyncs=0, crossed=0, silences=0,
        )  # fmt: skip
    return PairState(
        pair=pair,
        state=state,
        reason=reason,
        shortfall=feed.channel.shortfall,
        connection=connection,
        sequence=feed.sequence,
        messages=feed.messages,
        rate_per_s=round(feed.rhythm.rate_per_s, 2),
        gaps=feed.gaps,
        resyncs=feed.resyncs,
        crossed=feed.crossed,
        silences=feed.silences,
        checksums=feed.checksums,
    )
