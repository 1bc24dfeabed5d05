"""PURE. When to plan anew, and how far: what has changed since the last plan decides. Times are monotonic milliseconds.

MISSING    there is no plan (flushed, expired), or only of members that are gone: wait until those that start together have
           seen each other, then place what nobody serves
FIRST      the same, and somebody who takes pairs serves none: balance, for those who looked first have claimed it all
TAKEOVER   we have just become leader: keep everything where it is, place what has no home
GONE       a member has vanished, gone quiet or changed what it can take: place its pairs, move no others
DEAF       a member has not reached a venue for a while that others reach (fleet.deafness): its pairs of it go to those,
           no others; that it reaches it again moves nothing
JOINED     a member takes pairs that did not: balance, so that it gets its share
TASKS      other pairs are wanted: place the new ones, move no others
STRAY      somebody serves a pair that its orders do not name: tell it
ASKED      an operator asked for balance
UNEVEN     loads have been out of balance for a while: balance, if that gains enough
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from fleet.plan import Plan, PlanMember

SETTLE_MS = 1500.0  # longer than a beat: nobody that lives is missing after this
UNEVEN = 1.25  # the highest load as a multiple of the mean
UNEVEN_FOR_MS = 60_000.0  # a burst is no reason
OWN_EVERY_MS = 300_000.0  # between two plans that nothing but the load called for
GAIN = 0.10  # of the mean load, that the highest must fall by such a plan


class Cause(StrEnum):
    FIRST = "there was no plan"
    MISSING = "the plan was gone"
    TAKEOVER = "a new leader"
    GONE = "a member went"
    DEAF = "a member does not reach a venue that others reach"
    JOINED = "a member joined"
    TASKS = "other pairs are wanted"
    STRAY = "a pair was served by somebody who had no order for it"
    ASKED = "asked for"
    UNEVEN = "the load was uneven"

    @property
    def balances(self) -> bool:
        """Whether pairs that have a home may be moved."""
        return self in (Cause.FIRST, Cause.JOINED, Cause.ASKED, Cause.UNEVEN)


class Seen(NamedTuple):
    """What the leader sees now.

    members      that feed, by id
    wanted       label → priority
    planned      a plan stands in Redis, and somebody of it lives
    newcomers    somebody who takes pairs is not named in it
    idle         somebody who takes pairs serves none
    strays       somebody serves a pair without an order for it
    off_balance  the highest load as a multiple of the mean
    """

    members: Mapping[str, PlanMember]
    wanted: Mapping[str, int]
    planned: bool
    newcomers: bool
    idle: bool
    strays: bool
    off_balance: float


class Replanning:
    """Remembers what the last plan was made of, and since when things wait. One for each time we lead."""

    def __init__(self) -> None:
        self.asked = False
        self._members: Mapping[str, PlanMember] | None = None
        self._wanted: Mapping[str, int] = {}
        self._settling_since_ms: float | None = None
        self._settling: frozenset[str] = frozenset()
        self._uneven_since_ms: float | None = None
        self._own_at_ms: float | None = None

    def due(self, seen: Seen, now_ms: float) -> Cause | None:
        """Why to plan now; None: nothing calls for it."""
        if not seen.planned:
            if not self._settled(seen, now_ms):
                return None
            return Cause.FIRST if seen.idle else Cause.MISSING
        self._settling_since_ms = None
        if self.asked:
            return Cause.ASKED
        if seen.newcomers:
            return Cause.JOINED
        if self._members is None:
            return Cause.TAKEOVER
        if (cause := self._of_members(seen.members)) is not None:
            return cause
        if seen.wanted != self._wanted:
            return Cause.TASKS
        if seen.strays:
            return Cause.STRAY
        return self._of_load(seen.off_balance, now_ms)

    def planned(self, seen: Seen, cause: Cause, now_ms: float) -> None:
        """A plan was made of what was seen, and written (or found to gain too little: UNEVEN)."""
        self._members, self._wanted = seen.members, seen.wanted
        if cause is Cause.ASKED:
            self.asked = False
        if cause in (Cause.ASKED, Cause.UNEVEN):
            self._own_at_ms = now_ms
        if cause.balances:
            self._uneven_since_ms = None

    def _settled(self, seen: Seen, now_ms: float) -> bool:
        """Nothing is planned on half of the members: they must be the same for a while."""
        names = frozenset(seen.members)
        if self._settling_since_ms is None or names != self._settling:
            self._settling_since_ms, self._settling = now_ms, names
        return bool(names) and now_ms - self._settling_since_ms >= SETTLE_MS

    def _of_members(self, members: Mapping[str, PlanMember]) -> Cause | None:
        known = self._members = {
            name: member._replace(deaf=tuple(group for group in member.deaf if group in members[name].deaf))
            if name in members
            else member
            for name, member in (self._members or {}).items()
        }  # what is reached again is no cause
        if members == known:
            return None
        if {name: member._replace(deaf=()) for name, member in members.items()} == {
            name: member._replace(deaf=()) for name, member in known.items()
        }:
            return Cause.DEAF
        grown = any(_places(member) > _places(known.get(name)) for name, member in members.items())
        return Cause.JOINED if grown else Cause.GONE

    def _of_load(self, off_balance: float, now_ms: float) -> Cause | None:
        if off_balance <= UNEVEN:
            self._uneven_since_ms = None
            return None
        if self._uneven_since_ms is None:
            self._uneven_since_ms = now_ms
        if now_ms - self._uneven_since_ms < UNEVEN_FOR_MS:
            return None
        if self._own_at_ms is not None and now_ms - self._own_at_ms < OWN_EVERY_MS:
            return None
        return Cause.UNEVEN


def gains(before: float, plan: Plan) -> bool:
    """Whether a plan lowers the highest load enough to be worth its moves; `before` as Plan.off_balance."""
    return before - plan.off_balance >= GAIN


def off_balance(members: Iterable[PlanMember], loads: Mapping[str, float]) -> float:
    """The highest load as a multiple of the mean, among those that take pairs."""
    known = [loads.get(member.id, 0.0) for member in members if takes_pairs(member)]
    total = sum(known)
    return max(known) * len(known) / total if total else 1.0


def takes_pairs(member: PlanMember) -> bool:
    """Whether a plan may give it anything."""
    return _places(member) > 0


def _places(member: PlanMember | None) -> int:
    return 0 if member is None or member.quiet or member.plans == 0 else member.capacity
