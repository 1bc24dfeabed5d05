"""PURE. What a run leaves behind for the check: entries of the streams, facts of the daemons, readings, venue requests.

Times: `mono_ms` is fleet.clock.mono_ms of one host, `at` the wall clock in Unix ms (for people). The order of `tape` is
the order in which Redis had it, as the recorder read it; every other order is by time or does not count.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

BOOK, TRADES = "book", "trades"


class Line(msgspec.Struct, frozen=True, order=True):
    """One line of numbers: a pair's book line or its trades line."""

    label: str
    kind: str = BOOK

    def __str__(self) -> str:
        return self.label if self.kind == BOOK else f"{self.label} (trades)"


class Entry(msgspec.Struct, frozen=True, tag_field="type", tag="entry"):
    """A stream entry. `t`, `n`, `epoch` as in books.wire; sequences are the venue's, None where it has none.

    reason   of a snapshot or reset
    empty    a delta without levels
    """

    label: str
    line: str
    id: str
    t: str
    n: int
    epoch: int
    sequence: int | None = None
    first_sequence: int | None = None
    previous_sequence: int | None = None
    reason: str = ""
    empty: bool = False
    received_us: int = 0
    mono_ms: float = 0.0

    @property
    def of(self) -> Line:
        """The line it belongs to."""
        return Line(self.label, self.line)

    def __str__(self) -> str:
        what = f"{self.t} {self.reason}".strip()
        return f"{self.id} n={self.n} epoch={self.epoch} {what} sequence={self.sequence}"


class Server(msgspec.Struct, frozen=True, tag_field="type", tag="server"):
    """From here on entries come from the server with this run id: the first one, a restart, or a failover."""

    run_id: str
    mono_ms: float = 0.0


class Overtaken(msgspec.Struct, frozen=True, tag_field="type", tag="overtaken"):
    """Trimming removed `missing` entries of a stream after `after_id` before the recorder had read them."""

    stream: str
    after_id: str
    missing: int
    labels: Sequence[str] = ()  # the pairs seen in that stream so far
    mono_ms: float = 0.0


class Remade(msgspec.Struct, frozen=True, tag_field="type", tag="remade"):
    """A stream began anew on a server (a flush, an empty restart, a failover)."""

    stream: str
    mono_ms: float = 0.0


class ReadToEnd(msgspec.Struct, frozen=True, tag_field="type", tag="read to end"):
    """All streams were read to their ends after `mono_ms`: what was accepted before is on the tape, or is gone."""

    mono_ms: float = 0.0


Note = Entry | Server | Overtaken | Remade | ReadToEnd


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """A line of fleet.evidence; which fields are set depends on `fact`."""

    at: int
    mono_ms: float
    fact: str
    member: str
    pair: str = ""
    line: str = BOOK
    token: int = 0
    n: int = 0
    n_first: int = 0
    n_last: int = 0
    sequence: str = "-"
    verdict: str = ""
    cell_before: str | None = None
    cell: str | None = None
    reason: str = ""
    facts: int = 0

    @property
    def of(self) -> Line:
        """The line it speaks of."""
        return Line(self.pair, self.line)

    def __str__(self) -> str:
        more = {
            "granted": f"n={self.n}, cell before: {self.cell_before}",
            "accepted": f"n={self.n_first}..{self.n_last}",
            "refused": f"n={self.n} {self.verdict}, cell: {self.cell}",
        }.get(self.fact, self.reason)
        return f"{self.member} {self.fact} token={self.token} {more}".rstrip()


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader got. `wrong`: where the book differed from the venue's, in words; empty: nowhere, or not compared."""

    mono_ms: float
    label: str
    status: str
    age_ms: float | None = None
    n: int = 0
    epoch: int = 0
    lease_alive: bool = False
    wrong: str = ""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request as the simulated venue saw it. `kind`: `rest` or `connect`. `cost` in the venue's unit of weight."""

    mono_ms: float
    at: int
    venue: str
    market: str
    kind: str = "rest"
    path: str = ""
    cost: float = 1.0
    status: int = 200
    ban_ms: float = 0.0  # the answer forbids everything for so long (Retry-After of a 418 or 429)


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """At most `most` (cost) of `kind` in `window_ms`; `aligned`: in windows of the wall clock, else in any window.

    ban_grace_ms   requests that were under way when a ban was answered are nobody's fault
    """

    venue: str
    market: str
    kind: str = "rest"
    most: float
    window_ms: float
    aligned: bool = False
    ban_grace_ms: float = 250.0


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of one run. `torn`: files with an unreadable line where none may be, in words."""

    tape: Sequence[Note]
    facts: Sequence[Fact] = ()
    readings: Sequence[Reading] = ()
    asked: Sequence[Asked] = ()
    torn: Sequence[str] = ()


class Invariant(StrEnum):
    """What must hold on every history (research: reliability, the invariants)."""

    EPOCHS = "I1"  # one writer at a time: tokens grow, every accepted write is under a token granted to one member
    SEQUENCES = "I2"  # no number and no venue sequence is missing or repeated undeclared
    FRESH = "I3"  # no reader got a book called live that was old, unowned or wrong
    BUDGETS = "I6"  # requests to a venue stay within its budget and out of its bans
    RECORD = "record"  # the record itself is whole: without that the others prove nothing


class Violation(msgspec.Struct, frozen=True):
    """`shown`: the entries, facts or requests that prove it."""

    invariant: Invariant
    subject: str
    text: str
    shown: Sequence[str] = ()

    def __str__(self) -> str:
        proof = "".join(f"\n    {one}" for one in self.shown)
        return f"{self.invariant} {self.subject}: {self.text}{proof}"


class Uncovered(msgspec.Struct, frozen=True):
    """A stretch in which a live pair had neither data nor Mark nor declared gap."""

    label: str
    from_ms: float
    to_ms: float

    @property
    def length_ms(self) -> float:
        return self.to_ms - self.from_ms


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the check found. `figures`: counts and worst values, units in the names."""

    violations: Sequence[Violation]
    figures: Mapping[str, float]
    uncovered: Sequence[Uncovered] = ()

    @property
    def sound(self) -> bool:
        return not self.violations
