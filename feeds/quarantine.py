"""PURE. A pair that fails costs itself alone: it is held, tried again after growing pauses, and shown with its reason.

A fault is an exception of ours while a message of that pair was worked on (sequence, book, outbox), or a book that was lost
again and again (`feeds.pair_feed`: gap, checksum, crossed). Rules of this file:

1. Everything that changes a pair's state stands in TRANSITIONS; an event that a state does not list changes nothing: a pair
   that is held already may still be told of by another of its connections.
2. SUSPECT and QUARANTINED are held: not subscribed, nothing of it is applied. Its lease is kept, so nobody else gets the fault.
3. After TRIES tries the pauses are those of a quarantine: they grow from QUARANTINE_FIRST_MS to QUARANTINE_MOST_MS, for ever.
   A book that was lost again and again has had its tries: it is quarantined at once.
4. A pair that has been on trial for SETTLED_MS without a fault is healthy, and what was is forgotten.
"""

import random
from enum import StrEnum

from fleet.pair import Pair

TRIES = 3
RETRY_FIRST_MS = 1_000.0
QUARANTINE_FIRST_MS = 15_000.0
QUARANTINE_MOST_MS = 300_000.0
SETTLED_MS = 60_000.0
TEXT_MOST = 300
LOSSES_MOST = 4  # of a book in one row, …
LOSSES_LEAST_MS = 4_000.0  # … over at least so long
LOSS_LEAST_MS = 500.0


class State(StrEnum):
    HEALTHY = "healthy"
    SUSPECT = "suspect"
    TRIAL = "trial"
    QUARANTINED = "quarantined"


class Event(StrEnum):
    FAULT = "fault"  # and tries are left
    LAST_FAULT = "last fault"  # no try is left
    DUE = "due"  # the pause is over
    SETTLED = "settled"  # no fault for SETTLED_MS


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.HEALTHY: {Event.FAULT: State.SUSPECT, Event.LAST_FAULT: State.QUARANTINED},
    State.SUSPECT: {Event.DUE: State.TRIAL},
    State.TRIAL: {
        Event.FAULT: State.SUSPECT,
        Event.LAST_FAULT: State.QUARANTINED,
        Event.SETTLED: State.HEALTHY,
    },
    State.QUARANTINED: {Event.DUE: State.TRIAL},
}
HELD = frozenset({State.SUSPECT, State.QUARANTINED})


class _Case:
    """One pair that has failed. `due_ms`: when it is tried again, or (on trial) when it is healthy."""

    __slots__ = ("due_ms", "faults", "reason", "state")

    def __init__(self) -> None:
        self.state = State.HEALTHY
        self.faults = 0
        self.reason = ""
        self.due_ms = 0.0


class Ward:
    """The failed pairs of one venue × market, of all its connections. Times are monotonic ms.

    faults    counted since it was made
    """

    def __init__(self, rng: random.Random) -> None:
        self.faults = 0
        self._cases: dict[Pair, _Case] = {}
        self._rng = rng

    def __repr__(self) -> str:
        return f"<Ward {len(self._cases)} pairs, {self.faults} faults>"

    def state(self, pair: Pair) -> State:
        """Where a pair stands."""
        case = self._cases.get(pair)
        return State.HEALTHY if case is None else case.state

    def holds(self, pair: Pair) -> bool:
        """Whether nothing may be asked or applied for a pair now."""
        return bool(self._cases) and self.state(pair) in HELD

    def fault(self, pair: Pair, reason: str, now_ms: float, *, tried: bool = False) -> bool:
        """A pair failed; `tried`: more than once already. Whether it is held from now on, and was not before."""
        case = self._cases.setdefault(pair, _Case())
        last = tried or case.faults >= TRIES
        after = TRANSITIONS[case.state].get(Event.LAST_FAULT if last else Event.FAULT)
        if after is None:
            return False
        self.faults += 1
        case.faults = max(case.faults + 1, TRIES + 1) if tried else case.faults + 1
        case.state, case.reason = after, reason[:TEXT_MOST]
        case.due_ms = now_ms + self._pause_ms(case)
        return True

    def due(self, now_ms: float) -> list[Pair]:
        """The pairs whose pause is over: they are on trial from now on. Who has stood the trial is forgotten."""
        tried: list[Pair] = []
        for pair, case in list(self._cases.items()):
            if now_ms < case.due_ms:
                continue
            if case.state in HELD:
                case.state = TRANSITIONS[case.state][Event.DUE]
                case.due_ms = now_ms + SETTLED_MS
                tried.append(pair)
            else:
                case.state = TRANSITIONS[case.state][Event.SETTLED]
                del self._cases[pair]
        return tried

    def forget(self, pair: Pair) -> None:
        """The pair is not wanted any more."""
        self._cases.pop(pair, None)

    def words(self, pair: Pair, now_ms: float) -> str | None:
        """For people: why a pair is held, and when it is tried again; None while it is not held."""
        case = self._cases.get(pair)
        if case is None or case.state not in HELD:
            return None
        left_s = max(0.0, case.due_ms - now_ms) / 1000
        again = f"try {case.faults} of {TRIES}" if case.state is State.SUSPECT else "tried again"
        return f"{case.state}, {again} in {left_s:.0f} s: {case.reason}"

    def _pause_ms(self, case: _Case) -> float:
        """Doubling, each shortened at random by up to half."""
        if case.state is State.SUSPECT:
            pause = RETRY_FIRST_MS * 2.0 ** (case.faults - 1)
        else:
            beyond = min(case.faults - TRIES - 1, 16)
            pause = min(QUARANTINE_FIRST_MS * 2.0**beyond, QUARANTINE_MOST_MS)
        return pause * (0.5 + self._rng.random() / 2)


class Losses:
    """A book that is lost again and again, without being live for long in between. `poison` says so, once it is too often.

    Counted are losses at least LOSS_LEAST_MS apart: a venue whose every message is a whole book may lose ten in a second.
    """

    __slots__ = ("_counted_ms", "_first_ms", "_losses", "poison")

    def __init__(self) -> None:
        self.poison = ""
        self._losses = 0
        self._first_ms = self._counted_ms = 0.0

    def lost(self, reason: str, now_ms: float) -> None:
        """The book was lost, for `reason`."""
        if not self._losses:
            self._first_ms = now_ms
        elif now_ms - self._counted_ms < LOSS_LEAST_MS:
            return
        self._losses, self._counted_ms = self._losses + 1, now_ms
        lasted_ms = now_ms - self._first_ms
        if self._losses >= LOSSES_MOST and lasted_ms >= LOSSES_LEAST_MS:
            self.poison = f"lost {self._losses} times in {lasted_ms / 1000:.0f} s, last for {reason}"

    def settled(self) -> None:
        """The book was live for long."""
        self._losses = 0


def fault_text(error: BaseException) -> str:
    """An exception of our own for people: what, and where in the code."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    file = "" if trace is None else trace.tb_frame.f_code.co_filename.replace("\\", "/").rpartition("/")[2]
    where = "" if trace is None else f" ({file}:{trace.tb_lineno})"
    text = " ".join(str(error).split())
    return f"a fault of our own: {type(error).__name__}{': ' if text else ''}{text[:200]}{where}"
