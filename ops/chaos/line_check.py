"""PURE. One line of a history, entry by entry (invariants I1 and I2).

epoch       never falls, and somebody was granted it
n           goes on by one. Two exceptions, both visible: a grant found no cell (a flush, the first start), so the
            numbers start at its token, with a Reset or Snapshot; another server took over (a failover), so an n may
            come again under a higher epoch
sequence    the venue's, by the venue's own rule: no delta is missing or repeated between a Snapshot and the next
            Reset. Snapshots without a Reset before them are seams: they bring the whole book
"""

from collections import Counter, deque
from typing import NamedTuple

from books.events import Delta, Kind
from books.sequence import Relation, Sequencer, SequenceRule, State
from fleet.pair import Pair
from ops.chaos.grants import Grants
from ops.chaos.history import BOOK, Entry, Invariant, Line, Uncovered, Violation

REMEMBERED = 20_000  # entries a line: how far back a failover may fork, some minutes of a busy pair
_NOBODY = Pair("", "", "")
_SOME = {"1": "1"}


class _Stand(NamedTuple):
    """Where the venue's chain stood after entry `n`."""

    n: int
    state: State
    last: int | None
    known: bool
    is_reset: bool


class LineCheck:
    """Feed it the line's entries and the changes around them, in order. `violations` and `counts` are the result."""

    def __init__(self, line: Line, rule: SequenceRule | None, grants: Grants | None, silence_ms: float) -> None:
        self.line = line
        self.violations: list[Violation] = []
        self.counts: Counter[str] = Counter()
        self.uncovered: list[Uncovered] = []
        self._grants = grants
        self._silence_ms = silence_ms
        self._sequencer = Sequencer(rule) if rule is not None and line.kind == BOOK else None
        self._known = False  # whether the sequencer knows where the chain stands
        self._reset = False  # whether a Reset came last: only a Snapshot may follow
        self._last: Entry | None = None
        self._stands: deque[_Stand] = deque(maxlen=REMEMBERED)
        self._new_server = False
        self._overtaken = False

    def server_changed(self) -> None:
        """Another run id: what was accepted last may be gone."""
        self._new_server = self._last is not None

    def overtaken(self) -> None:
        """The recorder missed entries: a hole from here is its own."""
        self._overtaken = self._last is not None

    def entry(self, entry: Entry) -> None:
        """The next entry of the line."""
        self.counts["entries"] += 1
        self._check_epoch(entry)
        self._check_n(entry)
        if self._sequencer is not None:
            self._check_sequence(entry, self._sequencer)
        self._check_silence(entry)
        self._last = entry
        if self._sequencer is not None:
            self._stands.append(_Stand(entry.n, self._sequencer.state, self._sequencer.last, self._known, self._reset))

    def _fail(self, invariant: Invariant, text: str, *entries: Entry | None) -> None:
        shown = [str(entry) for entry in entries if entry is not None]
        self.violations.append(Violation(invariant, str(self.line), text, shown))

    # --- I1 -----------------------------------------------------------------------------------------------------------

    def _check_epoch(self, entry: Entry) -> None:
        last = self._last
        if last is not None and entry.epoch < last.epoch:
            self._fail(Invariant.EPOCHS, f"a write under {entry.epoch} came after one under {last.epoch}", last, entry)
        if last is None or entry.epoch != last.epoch:
            self.counts["epochs"] += 1
            if self._grants is not None and not self._grants.holders(self.line, entry.epoch):
                self._fail(Invariant.EPOCHS, f"nobody was granted token {entry.epoch}", entry)

    # --- I2: our numbers ----------------------------------------------------------------------------------------------

    def _check_n(self, entry: Entry) -> None:
        last = self._last
        if last is None:
            first = self._grants.first_numbers(self.line, entry.epoch) if self._grants is not None else set()
            if first and entry.n not in first:
                text = f"the line begins at n={entry.n}; by its grants it begins at {sorted(first)}"
                self._fail(Invariant.SEQUENCES, text, entry)
        elif entry.n > last.n + 1:
            self._jumped(entry, last)
        elif entry.n <= last.n:
            self._went_back(entry, last)
        self._new_server = self._overtaken = False

    def _jumped(self, entry: Entry, last: Entry) -> None:
        if self._grants is not None and self._grants.fresh_start(self.line, entry.n, last.epoch, entry.epoch):
            self.counts["restarts"] += 1
            if entry.t not in (Kind.RESET, Kind.SNAPSHOT) and self._sequencer is not None:
                self._fail(Invariant.SEQUENCES, "after a lost tail the line goes on without a Reset", last, entry)
            self._forget(is_reset=False)
        elif self._overtaken:
            self.counts["unrecorded"] += entry.n - last.n - 1
            self._forget(is_reset=False)
        else:
            self._fail(Invariant.SEQUENCES, f"n={last.n + 1}..{entry.n - 1} is missing", last, entry)
            self._forget(is_reset=False)  # told once: what follows is judged from here

    def _went_back(self, entry: Entry, last: Entry) -> None:
        if self._new_server and entry.epoch > last.epoch:
            self.counts["forks"] += 1
            self.counts["lost_in_failover"] += last.n - entry.n + 1
            self._return_to(entry.n - 1)
        else:
            self._fail(Invariant.SEQUENCES, f"n={entry.n} came again", last, entry)
            self._forget(is_reset=False)

    def _forget(self, *, is_reset: bool) -> None:
        self._known, self._reset = False, is_reset
        self._stands.clear()
        if self._sequencer is not None:
            self._sequencer.lost()

    def _return_to(self, n: int) -> None:
        while self._stands and self._stands[-1].n > n:
            self._stands.pop()
        if self._sequencer is None:
            return
        if not self._stands or self._stands[-1].n != n:
            self._forget(is_reset=False)
            return
        stand = self._stands[-1]
        self._sequencer.state, self._sequencer.last = stand.state, stand.last
        self._known, self._reset = stand.known, stand.is_reset

    # --- I2: the venue's ----------------------------------------------------------------------------------------------

    def _check_sequence(self, entry: Entry, chain: Sequencer) -> None:
        match entry.t:
            case Kind.RESET:
                self.counts["resets"] += 1
                chain.lost()
                self._known, self._reset = True, True
            case Kind.SNAPSHOT:
                self._snapshot(entry, chain)
            case Kind.DELTA:
                self._delta(entry, chain)

    def _snapshot(self, entry: Entry, chain: Sequencer) -> None:
        self.counts["snapshots"] += 1
        if self._known and not self._reset:
            self.counts["seams"] += 1
            back = chain.last is not None and entry.sequence is not None and entry.sequence < chain.last
            if back and entry.reason != "seam":
                text = f"a snapshot goes back from sequence {chain.last} to {entry.sequence} without a Reset"
                self._fail(Invariant.SEQUENCES, text, self._last, entry)
        chain.snapshot(entry.sequence)
        self._known, self._reset = True, False

    def _delta(self, entry: Entry, chain: Sequencer) -> None:
        self.counts["deltas"] += 1
        if self._reset:
            self._fail(
                Invariant.SEQUENCES, "a delta follows a Reset without a Snapshot between them", self._last, entry
            )
            self._reset = self._known = False
        if not self._known:
            chain.last, chain.state, self._known = entry.sequence, State.LIVE, True
            return
        relation = self._relation(entry, chain)
        if relation is Relation.OLD:
            self._fail(Invariant.SEQUENCES, f"sequence {entry.sequence} comes again at {chain.last}", self._last, entry)
        elif relation is Relation.GAP:
            text = f"between sequence {chain.last} and {entry.sequence} something is missing ({chain.rule.name})"
            self._fail(Invariant.SEQUENCES, text, self._last, entry)
        chain.state = State.LIVE
        if entry.sequence is not None:
            chain.last = entry.sequence

    @staticmethod
    def _relation(entry: Entry, chain: Sequencer) -> Relation:
        if chain.last is None:
            return Relation.NEXT
        delta = Delta(
            pair=_NOBODY, received_us=0, bids={} if entry.empty else _SOME, asks={}, sequence=entry.sequence,
            first_sequence=entry.first_sequence, previous_sequence=entry.previous_sequence,
        )  # fmt: skip
        judge = chain.rule.first if chain.state is State.BRIDGING else chain.rule.following
        return judge(chain.last, delta)

    # --- coverage -----------------------------------------------------------------------------------------------------

    def _check_silence(self, entry: Entry) -> None:
        last = self._last
        if last is None or self.line.kind != BOOK or last.t == Kind.RESET:  # a Reset declares what follows it
            return
        if entry.mono_ms - last.mono_ms > self._silence_ms:
            self.uncovered.append(Uncovered(self.line.label, last.mono_ms, entry.mono_ms))
