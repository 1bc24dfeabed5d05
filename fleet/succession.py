"""PURE. What a member is to a pair, from the plan's order and from who is there. No leader is asked.

The plan gives an order per pair: the planned owner, then its heirs. Members that are gone or take no more work (draining,
stopping) are passed over, so a crash, a drain and a stop promote the first heir at every member alike. Pairs of which a member
knows no order are ranked by `fleet.assignment`, after a long grace: so a fleet comes up without a plan.
"""

from collections.abc import Collection, Sequence
from enum import StrEnum

from fleet.assignment import ranking

GRACE_LEASES = 3  # how many lease times a free pair that is in nobody's plan is left alone
GRACE_SHARE = 4  # a quarter of the lease for each candidate before us


class Duty(StrEnum):
    """What a member does for a pair that it does not own."""

    OWN = "own"  # it is to be ours: warm up, take it when offered or free
    STANDBY = "standby"  # keep it warm for the case that its owner dies
    HEIR = "heir"  # take it when it is free and nobody before us did
    NONE = "none"


def present_order(order: Sequence[str], present: Collection[str]) -> tuple[str, ...]:
    """The order without those who are gone or quiet."""
    return tuple(member for member in order if member in present)


def duty(order: Sequence[str], me: str, present: Collection[str], *, standby: bool) -> Duty:
    """Ours for one pair. `standby`: whether first heirs keep pairs warm."""
    left = present_order(order, present)
    if me not in left:
        return Duty.NONE
    place = left.index(me)
    if place == 0:
        return Duty.OWN
    return Duty.STANDBY if standby and place == 1 else Duty.HEIR


def wait_ms(order: Sequence[str], me: str, present: Collection[str], last_holder: str | None, lease_ms: int) -> float:
    """How long a free lease is left to the candidates before us; the last holder had it for a whole lease time and is none."""
    left = [member for member in present_order(order, present) if member != last_holder or member == me]
    return left.index(me) * lease_ms / GRACE_SHARE if me in left else float("inf")


def unplanned_wait_ms(label: str, me: str, present: Collection[str], lease_ms: int, *, planned: bool) -> float:
    """The same for a pair of which we know no order; `planned`: whether there is a plan at all, which may give it to others."""
    place = ranking(label, {*present, me}).index(me)
    return place * lease_ms / GRACE_SHARE + (GRACE_LEASES * lease_ms if planned else 0.0)
