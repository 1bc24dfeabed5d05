"""PURE. What `fleet bench recovery` was told of the books, the figures made of it, and the invariants they have to keep.

Times are monotonic milliseconds; `p50` is the lower median, `worst` the largest of the runs.
"""

import statistics
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from books.book import Book
from books.events import Delta, Event, Reset, Snapshot, SnapshotReason
from books.sequence import Relation, SequenceRule
from fleet.pair import Pair

Marks = dict[Pair, int]
Levels = dict[Decimal, Decimal]


# ── what was told ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Told(NamedTuple):
    """One event of a pair. `messages`: how many messages of its book the pair had had, counted at a Reset only."""

    at_ms: float
    messages: int
    event: Event


class Witness:
    """Follows the events of every pair as a reader would. `marks()` names a moment; what came since is asked by it."""

    def __init__(self) -> None:
        self.told: dict[Pair, list[Told]] = {}
        self.books: dict[Pair, Book] = {}
        self.refused: dict[Pair, str] = {}

    def event(self, pair: Pair, told: Told) -> None:
        """The next event of a pair."""
        self.told.setdefault(pair, []).append(told)
        if isinstance(told.event, Snapshot | Delta | Reset):
            self.books.setdefault(pair, Book()).apply(told.event)

    def marks(self) -> Marks:
        """How many events each pair had until now."""
        return {pair: len(events) for pair, events in self.told.items()}

    def since(self, pair: Pair, marks: Marks) -> list[Told]:
        """The pair's events since then."""
        return self.told.get(pair, [])[marks.get(pair, 0) :]

    def resets(self, pair: Pair, marks: Marks) -> list[Told]:
        """Its Resets since then."""
        return [told for told in self.since(pair, marks) if isinstance(told.event, Reset)]

    def seams(self, pair: Pair, marks: Marks) -> int:
        """How often it was told its book anew because its connection changed."""
        events = (told.event for told in self.since(pair, marks))
        return sum(isinstance(event, Snapshot) and event.reason is SnapshotReason.SEAM for event in events)

    def live_again(self, pair: Pair, marks: Marks) -> float | None:
        """When the first Snapshot behind the first Reset since then came; None: not yet."""
        reset = False
        for told in self.since(pair, marks):
            if isinstance(told.event, Reset):
                reset = True
            elif reset and isinstance(told.event, Snapshot):
                return told.at_ms
        return None


def breaks(events: Sequence[Event], rule: SequenceRule) -> Iterator[int]:
    """Numbers of the deltas that do not follow what was told before them, by the channel's own rule."""
    last: int | None = None
    live = bridging = False
    for number, event in enumerate(events):
        if isinstance(event, Snapshot):
            last, live, bridging = event.sequence, True, True
        elif isinstance(event, Reset):
            live = False
        elif isinstance(event, Delta):
            if not live:
                yield number
            elif last is not None and event.sequence is not None:
                relate = rule.first if bridging else rule.following
                if relate(last, event) is not Relation.NEXT:
                    yield number
            last, bridging = event.sequence, False


def differs(book: Book, told: Book, truth: Sequence[Levels], most: int | None) -> bool:
    """Whether a book, or what its events make, is not the venue's in its best `most` levels a side (None: all)."""
    if (book.bids, book.asks) != (told.bids, told.asks):
        return True
    for ours, whole, sign in ((book.bids, truth[0], -1), (book.asks, truth[1], 1)):
        window = dict(sorted(whole.items(), key=lambda level, sign=sign: sign * level[0])[:most])  # type: ignore[misc]
        if {Decimal(price): Decimal(amount) for price, amount in ours.items()} != window:
            return True
    return False


# ── figures ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Spread(msgspec.Struct, frozen=True):
    """Some runs in two numbers."""

    p50: float
    worst: float


def spread(values: Sequence[float]) -> Spread | None:
    """None: there were no runs."""
    return Spread(round(statistics.median_low(values), 1), round(max(values), 1)) if values else None


class Loss(msgspec.Struct, frozen=True):
    """One lost book message: how many later messages of the pair passed before the one that showed it (0: the next showed
    it), and how long it took from the loss to the Reset and to the Snapshot behind it."""

    pair: str
    reason: str
    messages: int
    reset_ms: float
    live_ms: float


class Losses(msgspec.Struct):
    """All runs. `resets` counts those of the pairs concerned: one a run; `unseen` names pairs whose loss never showed."""

    runs: list[Loss] = []
    resets: int = 0
    unseen: list[str] = []
    messages: Spread | None = None
    reset_ms: Spread | None = None
    live_ms: Spread | None = None

    def add(self, loss: Loss) -> None:
        """One run more."""
        self.runs.append(loss)
        self.messages = spread([run.messages for run in self.runs])
        self.reset_ms = spread([run.reset_ms for run in self.runs])
        self.live_ms = spread([run.live_ms for run in self.runs])


class Planned(msgspec.Struct, frozen=True):
    """The replacement of every connection. `missed` counts deltas told that do not follow the one before, `moved_ms` the time
    until the last pair was on its new connection (looked at every 5 ms)."""

    connections: int
    resets: int
    missed: int
    seams: int
    moved_ms: float


class MarketFigures(msgspec.Struct, kw_only=True):
    """One venue × market. None: not measured, because of `error`, or (lost) because of `lost_because`.

    hurried      the venue speaks every few seconds, its simulator as often as it can
    disturbed    Resets of pairs that nobody had hurt
    strays       deltas told outside of the replacement that do not follow the one before
    breaches     limits of the venue that were broken, by name
    """

    venue: str
    market: str
    depth: str
    bootstrap: str
    hurried: bool
    pairs: int
    bootstrap_ms: float | None = None
    duplicates: int | None = None
    duplicate_resets: int | None = None
    lost: Losses | None = None
    lost_because: str = ""
    planned: Planned | None = None
    disturbed: int = 0
    strays: int = 0
    equal: int | None = None
    unequal: list[str] = []
    breaches: dict[str, int] = {}
    error: str = ""
    violations: list[str] = []


def violations(seen: MarketFigures) -> list[str]:
    """What ought to hold on every venue and did not, in words."""
    found = [f"broke off: {seen.error}"] if seen.error else []
    if seen.duplicate_resets:
        found.append(f"{seen.duplicate_resets} resets by {seen.duplicates} duplicated messages")
    if seen.lost is not None:
        found += [f"the loss of a message of {pair} was never noticed" for pair in seen.lost.unseen]
        if seen.lost.resets > len(seen.lost.runs):
            found.append(f"{seen.lost.resets} resets for {len(seen.lost.runs)} lost messages")
    if seen.planned is not None and seen.planned.resets:
        found.append(f"{seen.planned.resets} resets by the planned replacement")
    if seen.planned is not None and seen.planned.missed:
        found.append(f"{seen.planned.missed} times something is missing behind the planned replacement")
    if seen.disturbed:
        found.append(f"{seen.disturbed} resets of pairs that were not hurt")
    if seen.strays:
        found.append(f"{seen.strays} deltas were told that do not follow")
    if seen.unequal:
        found.append(f"the books of {', '.join(seen.unequal)} differ from the venue's")
    found += [f"{count} × beyond the venue's limit: {name}" for name, count in sorted(seen.breaches.items())]
    return found


def report(runs: int, rate: float, markets: Sequence[MarketFigures]) -> dict[str, Any]:
    """Everything as plain data; `violations` of all markets, each with its name."""
    return {
        "name": "recovery",
        "runs": runs,
        "rate": rate,
        "markets": [msgspec.to_builtins(seen) for seen in markets],
        "violations": [f"{seen.venue} {seen.market}: {text}" for seen in markets for text in seen.violations],
    }
