"""PURE. Which entry of a stream is news, by the numbers of its pair (redis-protocol.md §2.3).

A line is what is numbered without a break: a pair within the deltas, or within the trades. For the position (epoch, n) of a
line and the next entry:

    n = last+1, epoch not lower     news
    n > last+1, epoch not lower     news, after a hole: entries last+1 … n-1 never came
    n ≤ last, epoch higher          news, after a fork: a Redis failover lost the tail n … last of the lower epoch
    anything else                   perhaps stored already (delivered again, or late): ask ClickHouse before storing it
    no position yet                 news
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from fleet.pair import Pair

HOLE = "hole"  # trimmed, or lost by Redis
FLUSH = "flush"  # Redis lost the numbering itself: n started anew from the token


class Position(NamedTuple):
    epoch: int
    n: int


class Line(NamedTuple):
    """`kind` is the stream's: deltas or trades."""

    kind: str
    pair: Pair


class Hole(NamedTuple):
    from_n: int
    to_n: int
    reason: str


class Fork(NamedTuple):
    from_n: int
    to_n: int


class Placed(NamedTuple):
    is_news: bool
    finding: Hole | Fork | None = None


NEWS = Placed(is_news=True)
PERHAPS_STORED = Placed(is_news=False)


class Tracker:
    """Positions of all lines of a lane. They start from what ClickHouse has and move only forward."""

    def __init__(self, stored: Mapping[Line, Position]) -> None:
        self._last: dict[Line, Position] = dict(stored)

    def __repr__(self) -> str:
        return f"<Tracker {len(self._last)} lines>"

    def place(self, line: Line, epoch: int, n: int) -> Placed:
        """Judge the next entry of a line and move on."""
        last = self._last.get(line)
        placed = _judge(last, epoch, n)
        if placed.is_news:
            self._last[line] = Position(epoch, n)
        return placed

    def breaks(self, entries: Iterable[tuple[Line, int, int]]) -> bool:
        """Whether `entries` (line, epoch, n) would show a hole; nothing moves."""
        ahead: dict[Line, Position] = {}
        for line, epoch, n in entries:
            placed = _judge(ahead.get(line) or self._last.get(line), epoch, n)
            if isinstance(placed.finding, Hole):
                return True
            if placed.is_news:
                ahead[line] = Position(epoch, n)
        return False


def _judge(last: Position | None, epoch: int, n: int) -> Placed:
    if last is None:
        return NEWS
    if epoch < last.epoch:
        return PERHAPS_STORED
    if n == last.n + 1:
        return NEWS
    if n > last.n:
        reason = FLUSH if epoch > last.epoch and n >= epoch else HOLE
        return Placed(is_news=True, finding=Hole(last.n + 1, n - 1, reason))
    if epoch > last.epoch:
        return Placed(is_news=True, finding=Fork(n, last.n))
    return PERHAPS_STORED
