"""PURE. A pair that somebody else publishes, kept warm here: its book is live, and what follows the published point is held.

The published point is the tail cell's venue sequence `u`. The line *covers* it when every delta behind `u` is held; then the
one who takes over publishes exactly those, and the stream goes on without a missing or repeated sequence (redis-protocol.md
§3). The chain begins at the snapshot our own book began with, and is cut behind `u` again and again: it stays as long as a
lease and a look.

    comparable, covered        the held deltas behind u; where our feed is behind u itself, what it brings up to u is dropped
    comparable, not covered    start over: Reset, then the whole book
    comparable, u unknown      the owner was resyncing, its Reset is out already: the whole book
    images, not comparable     Snapshot(seam) in place of what nobody can prove; equal images need no word
    the cell is behind what    a Redis failover lost a tail, which may hold a Reset or a Snapshot that nobody else speaks of, and
    was seen of it             history may have it: start over, whatever is held (not comparable: the seam is the whole book)
"""

from collections import deque
from typing import NamedTuple

from books.events import Bbo, Delta, Event, Reset, Snapshot, SnapshotReason, Trade
from books.sequence import Relation, SequenceRule
from feeds.source import Source, image
from fleet.cell import Cell
from fleet.pair import Pair

HELD_MOST = 20_000  # deltas: over two leases of the busiest pair; beyond it the oldest go, and coverage begins later
TRADES_MOST = 2_000


class Continuity(NamedTuple):
    """What proves that one connection's deltas follow another's. `comparable`: sequences are the same on every socket;
    `images`: deltas are differences of full images, relative to their own connection."""

    rule: SequenceRule
    comparable: bool
    images: bool


class Takeover(NamedTuple):
    """How a line goes on: publish `events`, then drop what comes up to the sequence `skip_to` (None: nothing)."""

    events: list[Event]
    skip_to: int | None = None


class WarmLine:
    """Feed it every event of the pair's feed. `start` None: there is no whole book."""

    __slots__ = ("_bbo", "_deltas", "_live", "_seen", "_trades", "continuity", "pair", "start")

    def __init__(self, pair: Pair, continuity: Continuity, source: Source) -> None:
        self.pair = pair
        self.continuity = continuity
        self.start: int | None = source.sequence
        self._live = source.book is not None
        self._deltas: deque[Delta] = deque()
        self._trades: deque[Trade] = deque(maxlen=TRADES_MOST)
        self._bbo: Bbo | None = None
        self._seen = (0, 0)  # token and n of the line, as last seen

    def __repr__(self) -> str:
        return (
            f"<WarmLine {self.pair} {'live' if self._live else 'no book'} from {self.start}, {len(self._deltas)} held>"
        )

    @property
    def live(self) -> bool:
        """Whether our own book is whole."""
        return self._live

    @property
    def held(self) -> int:
        """Deltas in memory."""
        return len(self._deltas)

    def add(self, event: Event) -> None:
        """The hot path of a standby."""
        if type(event) is Delta:
            if not self._live or not self.continuity.comparable or self.continuity.images:
                return  # nothing could be continued from it: the book alone counts
            self._deltas.append(event)
            if len(self._deltas) > HELD_MOST:
                self.start = self._deltas.popleft().sequence
        elif type(event) is Snapshot:
            self._deltas.clear()
            self._live, self.start = True, event.sequence
        elif type(event) is Reset:
            self._deltas.clear()
            self._live, self.start = False, None
        elif type(event) is Bbo:
            self._bbo = event
        elif type(event) is Trade:
            self._trades.append(event)

    def begin_at(self, published: int, deltas: list[Delta]) -> None:
        """A former owner's own events that were not taken: they are held from the published point on."""
        if self._live and self.continuity.comparable and not self.continuity.images:
            self.start = published
            self._deltas.extendleft(reversed(deltas))

    def saw(self, token: int, n: int) -> None:
        """The line stands there, or stood."""
        self._seen = max(self._seen, (token, n))

    def trim(self, cell: Cell | None) -> None:
        """Forget what is published by now."""
        if cell is not None:
            self.saw(cell.token, cell.n)
        published = _sequence(cell)
        if published is not None:
            while self._deltas and (self._deltas[0].sequence or 0) <= published:
                self.start = self._deltas.popleft().sequence

    def covers(self, cell: Cell | None) -> bool:
        """Whether taking over at this cell would need no Reset."""
        if not self._live or cell is None:
            return False
        if not self.continuity.comparable:
            return True
        if cell.n < self._seen[1]:
            return False
        published = _sequence(cell)
        return published is None or self.continuity.images or (self.start is not None and self.start <= published)

    def take_over(self, cell: Cell | None, source: Source, now_us: int) -> Takeover | None:
        """What to publish behind `cell`, as acquire found it; None: start over. `source` is our book after all events."""
        if source.book is None or not self.covers(cell):
            return None
        published, ours = _sequence(cell), source.sequence
        news: list[Event] = [] if self._bbo is None else [self._bbo]
        if not self.continuity.comparable:
            return Takeover([image(self.pair, source, SnapshotReason.SEAM, now_us), *news])
        if published is None:
            return Takeover([image(self.pair, source, SnapshotReason.TAKEOVER, now_us), *news])
        if self.continuity.images:
            same = ours == published
            return Takeover(news if same else [image(self.pair, source, SnapshotReason.SEAM, now_us), *news])
        rest: list[Event] = [delta for delta in self._deltas if (delta.sequence or 0) > published]
        if rest and not follows(self.continuity.rule, published, rest[0]):
            return Takeover([image(self.pair, source, SnapshotReason.SEAM, now_us), *news])
        behind = ours is not None and ours < published
        return Takeover([*rest, *news], published if behind else None)

    def trades_behind(self, cell: Cell | None) -> list[Trade]:
        """Trades held behind the last one published; none where that one was not seen here: no copy is made of a trade."""
        trades = list(self._trades)
        for index, trade in enumerate(trades):
            if cell is not None and trade.trade_id == cell.sequence:
                return trades[index + 1 :]
        return []


def follows(rule: SequenceRule, last: int, event: Event) -> bool:
    """Whether a delta links to `last`, be that a delta's sequence or a snapshot's."""
    return isinstance(event, Delta) and Relation.NEXT in (rule.following(last, event), rule.first(last, event))


def _sequence(cell: Cell | None) -> int | None:
    return int(cell.sequence) if cell is not None and cell.sequence.lstrip("-").isdigit() else None
