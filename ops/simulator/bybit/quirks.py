"""Bybit's own misbehaviours (venues/bybit.md §5.2, §5.4, §10), beside those of `ops.simulator.misbehaviours`."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ops.simulator.faults import Misbehaviour

if TYPE_CHECKING:
    from ops.simulator.bybit.public import BybitPublic


def restart(venue: "BybitPublic", *, pair: str, in_deltas: bool = False) -> Misbehaviour:
    """The service behind a pair's books restarts: each topic sends `u` = 1 and counts on from there. Book topics send it
    in a snapshot, or (`in_deltas`) in a delta of their whole window; the full book in an empty delta. A real restart is
    one of all pairs, and its `u` may not be that of other connections."""
    venue.restart(venue.feed_of_pair(pair), in_deltas=in_deltas)
    return Misbehaviour("restart", active=False)


def resend(venue: "BybitPublic", *, pair: str) -> Misbehaviour:
    """Send a snapshot of a pair's books without being asked, in place of the next delta. Its `u` goes on; what the venue
    numbers such a snapshot with is not documented."""
    venue.resend(venue.feed_of_pair(pair))
    return Misbehaviour("resend", active=False)


def late_ack(venue: "BybitPublic", *, count: int = 1) -> Misbehaviour:
    """The next `count` subscriptions have their data before their acknowledgement. Some do anyhow."""
    return venue.faults.add(Misbehaviour("late_ack", left=count))


OWN: dict[str, Callable[..., Misbehaviour]] = {"restart": restart, "resend": resend, "late_ack": late_ack}
