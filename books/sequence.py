"""PURE. How venue sequence numbers prove that a book is whole. Rules and transitions are tables; code is look-up.

Two rules of this file: whatever decides if a delta is applied stands here; and nothing here knows a venue, a book or a clock.

A rule says how a delta stands to the last sequence applied (`Relation`). The relation and the state give the next state
and the action (`TRANSITIONS`). A pair is in one of three states:

    AWAITING   no snapshot: deltas are kept (bootstrap by REST) or dropped (bootstrap in band)
    BRIDGING   snapshot applied, no delta yet: the first one has its own rule at some venues
    LIVE       every delta links to the one before

Relations:  OLD wholly known already · NEXT links · ALIVE says only that nothing changed · GAP something is missing
"""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from books.events import Delta


class State(StrEnum):
    AWAITING = "awaiting"
    BRIDGING = "bridging"
    LIVE = "live"


class Relation(StrEnum):
    OLD = "old"
    NEXT = "next"
    ALIVE = "alive"
    GAP = "gap"


class Action(StrEnum):
    KEEP = "keep"  # wait for the snapshot
    IGNORE = "ignore"
    APPLY = "apply"
    MARK = "mark"
    RESYNC = "resync"


TRANSITIONS: dict[tuple[State, Relation], tuple[State, Action]] = {
    (State.AWAITING, Relation.OLD): (State.AWAITING, Action.KEEP),
    (State.AWAITING, Relation.NEXT): (State.AWAITING, Action.KEEP),
    (State.AWAITING, Relation.ALIVE): (State.AWAITING, Action.KEEP),
    (State.AWAITING, Relation.GAP): (State.AWAITING, Action.KEEP),
    (State.BRIDGING, Relation.OLD): (State.BRIDGING, Action.IGNORE),
    (State.BRIDGING, Relation.NEXT): (State.LIVE, Action.APPLY),
    (State.BRIDGING, Relation.ALIVE): (State.BRIDGING, Action.MARK),
    (State.BRIDGING, Relation.GAP): (State.AWAITING, Action.RESYNC),
    (State.LIVE, Relation.OLD): (State.LIVE, Action.IGNORE),
    (State.LIVE, Relation.NEXT): (State.LIVE, Action.APPLY),
    (State.LIVE, Relation.ALIVE): (State.LIVE, Action.MARK),
    (State.LIVE, Relation.GAP): (State.AWAITING, Action.RESYNC),
}

Relate = Callable[[int, Delta], Relation]


class SequenceRule(NamedTuple):
    """How the deltas of a channel link. `first` judges the first delta after a snapshot, `following` all later ones."""

    name: str
    first: Relate
    following: Relate


def _contiguous(last: int, delta: Delta) -> Relation:
    """first..last of a delta number every change: OLD if all known, GAP if one is skipped, else NEXT (overlap is fine)."""
    if delta.sequence is None or delta.first_sequence is None:
        return Relation.GAP  # no number, no proof
    if delta.sequence <= last:
        return Relation.OLD
    return Relation.GAP if delta.first_sequence > last + 1 else Relation.NEXT


def _bridge_by_range(last: int, delta: Delta) -> Relation:
    """The snapshot's id lies within the delta, or the delta names it as its predecessor."""
    if delta.sequence is None or delta.first_sequence is None:
        return Relation.GAP  # no number, no proof
    if delta.sequence < last:
        return Relation.OLD
    return Relation.NEXT if delta.first_sequence <= last or delta.previous_sequence == last else Relation.GAP


def _linked(last: int, delta: Delta) -> Relation:
    """Each delta names the id it follows; ids jump, and may fall at a venue's restart: only the link counts."""
    if delta.sequence is None:
        return Relation.GAP
    if delta.previous_sequence != last:
        # seen before (the same event of a second connection): its end is not ahead of us
        known = delta.previous_sequence is not None and delta.previous_sequence < last and delta.sequence <= last
        return Relation.OLD if known else Relation.GAP
    if delta.sequence == last and not delta.bids and not delta.asks:
        return Relation.ALIVE
    return Relation.NEXT


def _rising(last: int, delta: Delta) -> Relation:
    """Differences of full images, made by us: nothing can be missing, only old."""
    return Relation.OLD if delta.sequence is not None and delta.sequence < last else Relation.NEXT


CONTIGUOUS = SequenceRule("contiguous", _contiguous, _contiguous)
RANGE_THEN_LINKED = SequenceRule("range then linked", _bridge_by_range, _linked)
LINKED = SequenceRule("linked", _linked, _linked)
CONTIGUOUS_THEN_LINKED = SequenceRule("contiguous, then linked", _contiguous, _linked)
IMAGES = SequenceRule("images", _rising, _rising)


class Sequencer:
    """The state of one pair's chain. Feed it deltas and snapshots in order; do what it answers."""

    __slots__ = ("last", "rule", "state")

    def __init__(self, rule: SequenceRule) -> None:
        self.rule = rule
        self.state = State.AWAITING
        self.last: int | None = None

    def __repr__(self) -> str:
        return f"<Sequencer {self.rule.name} {self.state} at {self.last}>"

    def delta(self, delta: Delta) -> Action:
        """Judge the next delta. On RESYNC the pair is AWAITING again: its book must not be shown."""
        if self.state is State.AWAITING or self.last is None:
            relation = Relation.NEXT
        elif self.state is State.BRIDGING:
            relation = self.rule.first(self.last, delta)
        else:
            relation = self.rule.following(self.last, delta)
        self.state, action = TRANSITIONS[self.state, relation]
        if action is Action.APPLY and delta.sequence is not None:
            self.last = delta.sequence
        return action

    def snapshot(self, sequence: int | None) -> None:
        """A snapshot was applied: deltas link to `sequence` from here on (None: the venue has no numbers)."""
        self.last = sequence
        self.state = State.LIVE if sequence is None else State.BRIDGING

    def bridges(self, sequence: int, first_kept: Delta | None) -> bool:
        """Whether a fetched snapshot reaches the oldest delta kept; if not, fetch again and keep the deltas."""
        return first_kept is None or self.rule.first(sequence, first_kept) is not Relation.GAP

    def lost(self) -> None:
        """The connection or the book is not to be trusted: wait for a snapshot."""
        self.state = State.AWAITING
        self.last = None
