"""PURE. Why a pair is where it is: what is known of it, and what follows from that, in sentences.

`ops.explainer` fills it from Redis and SQL; `fleet explain` prints it.
"""

from typing import Any

import msgspec

from fleet.pair import Pair


class WantedBy(msgspec.Struct, frozen=True, kw_only=True):
    """A task that asks for the pair, or would if it were on."""

    table: str
    id: int
    depth: str
    priority: int
    enabled: bool
    strategy: str


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A member that feeds, or one that the order names and that is gone.

    rank       in the order: 0 is the planned owner; None: not named
    state      serving, warm …: what it says it is to the pair, empty: nothing
    condition  `takes pairs`, `quiet`, `full`, `of a version without plans`, `gone`
    load       messages a second with the base cost of each pair, as the plan counts
    seams      books that it told whole where two connections' sequences do not compare; None: it does not say
    deaf_ms    for how long it has not reached the pair's venue; None: it says nothing of the kind
    """

    id: str
    rank: int | None
    condition: str
    pairs: int
    capacity: int
    load: float
    role: str = ""
    state: str = ""
    reason: str | None = None
    rate: float = 0.0
    gaps: int = 0
    resyncs: int = 0
    seams: int | None = None
    deaf_ms: int | None = None


class PlannedMove(msgspec.Struct, frozen=True, kw_only=True):
    """A move of a plan, newest first in a list."""

    at_ms: int
    from_: str = msgspec.field(name="from")
    to: str
    why: str
    revision: str


class SeenReset(msgspec.Struct, frozen=True, kw_only=True):
    """A reset among the newest entries of the pair's stream."""

    at_ms: int
    reason: str
    epoch: int


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one pair. Times are Unix ms, durations ms; None: there is none.

    owner, epoch, lease_ms   of the lease, as Redis holds it
    offer, offer_ms          to whom the owner offers it, and for how long
    order                    the plan's: planned owner, heirs
    plan, term, plan_why     revision of the plan, its leader's term, what it was made for
    """

    venue: str
    market: str
    pair: str
    now_ms: int
    tasks: tuple[WantedBy, ...]
    owner: str | None
    epoch: int | None
    lease_ms: int | None
    offer: str | None
    offer_ms: int | None
    plan: str | None
    term: int | None
    plan_ms: int | None
    plan_why: str | None
    leader: str | None
    order: tuple[str, ...]
    unplaced: str | None
    candidates: tuple[Candidate, ...]
    status: str
    age_ms: int | None
    n: int | None
    moves: tuple[PlannedMove, ...]
    resets: tuple[SeenReset, ...]

    @property
    def known(self) -> bool:
        """Whether anybody has anything to do with the pair."""
        said = any(one.role for one in self.candidates)
        return bool(self.tasks or self.owner or self.order or self.unplaced or said or self.n)

    @property
    def wanted(self) -> bool:
        """Whether a task asks for it."""
        return any(task.enabled and task.priority > 0 for task in self.tasks)

    @property
    def effective(self) -> str | None:
        """Who ought to serve it now: the first of the order that lives and takes pairs."""
        able = {one.id for one in self.candidates if one.condition in {"takes pairs", "full"}}
        return next((name for name in self.order if name in able), None)

    def to_json(self) -> dict[str, Any]:
        """Plain values, the shape of `fleet explain --json`."""
        shown: dict[str, Any] = msgspec.to_builtins(self)
        return {**shown, "wanted": self.wanted, "why": self.why()}

    @property
    def key(self) -> Pair:
        """The identity of the pair."""
        return Pair(self.venue, self.market, self.pair)

    def why(self) -> list[str]:
        """Sentences, the most important first."""
        told = [self._of_owner(), *self._of_plan()]
        if not self.wanted:
            told.insert(0, self._of_tasks())
        if self.offer:
            told.append(
                f"{self.owner or 'its last owner'} offers it to {self.offer}, which takes it as soon as it is in sync"
            )
        told += [
            f"{one.id} has not reached {self.venue} {self.market} for {one.deaf_ms // 1000} s: "
            "pairs go to others as soon as one of them is seen to reach it"
            for one in self.candidates
            if one.deaf_ms is not None
        ]
        told += [
            f"{one.id} says: {one.state}{f', {one.reason}' if one.reason else ''}"
            for one in self.candidates
            if one.reason or one.state not in {"", "live"}
        ]
        return told

    def _of_tasks(self) -> str:
        if not self.tasks:
            return "no task asks for it: nobody need serve it"
        off = " and ".join(
            f"{task.table} row {task.id} " + ("has no priority above 0" if task.enabled else "is not enabled")
            for task in self.tasks
        )
        return f"it is not wanted: {off}"

    def _of_owner(self) -> str:
        if self.owner is None:
            return "nobody holds its lease" + (f": {self.unplaced}" if self.unplaced else "")
        left = f", {self.lease_ms / 1000:.1f} s of its lease are left" if self.lease_ms is not None else ""
        gone = next((one.condition == "gone" for one in self.candidates if one.id == self.owner), True)
        return f"{self.owner} {'held it and is gone' if gone else 'serves it'} (token {self.epoch}{left})"

    def _of_plan(self) -> list[str]:
        if self.plan is None:
            return ["there is no plan: " + ("its leader has not made one yet" if self.leader else "nobody leads")]
        if not self.order:
            if self.owner is not None and self.unplaced:
                return [self.unplaced]
            return [] if self.unplaced or not self.wanted else [f"plan {self.plan} does not know it yet"]
        condition = {one.id: one.condition for one in self.candidates}
        planned, effective = self.order[0], self.effective
        told = []
        if effective == self.owner:
            told.append("the plan wants it there" if planned == effective else f"it is the first heir left: {planned} is "
                        f"{condition.get(planned, 'gone')}")  # fmt: skip
        elif effective is None:
            told.append("nobody whom the plan names lives and takes pairs: the leader must plan anew")
        elif self.owner is None:
            told.append(f"the plan wants it at {effective}, which has not taken it yet")
        else:
            told.append(f"the plan wants it at {effective}: the move is under way, or {effective} is not in sync yet")
        if self.moves:
            told.append(f"last planned move: from {self.moves[0].from_} to {self.moves[0].to}: {self.moves[0].why}")
        return told
