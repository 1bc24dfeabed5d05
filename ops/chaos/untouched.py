"""PURE. What others felt of a daemon's death: which pairs were its own, which were not, and what was told of those.

A pair is the victim's own from the kill on if, read once the process was gone, its lease named the victim; and until another
has told something of its book: the first image or delta under a token above the one that the victim held. Its owner's death is
what hurt it, and a Reset until then is the one that says so. Should whoever took it over die before it has told anything, the
pair is still an orphan. Every other pair is untouched, also one that was about to move to the victim or had just left it: no
Reset of its book is excused, whatever the reason.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from books.events import Kind
from ops.chaos.chains import stream_ms
from ops.chaos.history import Entry

TOLD = (Kind.SNAPSHOT, Kind.DELTA)
NOBODY = -1  # below every token


class Kill(NamedTuple):
    """A daemon was killed. `wall_ms`: right before, by the clock of Redis; `held`: the token of every lease that named it
    right after, by label."""

    wall_ms: int
    held: Mapping[str, int]


class Told(NamedTuple):
    """`entries` between two moments, and the longest time without one, ms: an entry to the next, or to either end."""

    entries: int
    silent_ms: float


class Round(NamedTuple):
    """From one kill to the next. `untouched`, `traded`: labels, the latter those of them of which trades were told at any time;
    `resets`: Resets that nobody's death explains, of any pair; the deltas and the trades of all untouched pairs together."""

    untouched: frozenset[str]
    traded: frozenset[str]
    resets: tuple[Entry, ...]
    deltas: Told
    trades: Told


def rounds(
    books: Mapping[str, Sequence[Entry]], trades: Mapping[str, Sequence[Entry]], kills: Iterable[Kill], until_ms: float
) -> list[Round]:
    """A round for each kill, the last one ends at `until_ms`. `books`, `trades`: by label, the whole lines of every pair."""
    kills = sorted(kills, key=lambda kill: kill.wall_ms)
    ends = [*(kill.wall_ms for kill in kills[1:]), until_ms]
    seen = [_seen(label, book, kills, until_ms) for label, book in books.items()]
    found = []
    for index, (kill, end_ms) in enumerate(zip(kills, ends, strict=True)):
        spared = [one for one in seen if one.untouched[index]]
        traded = [one.label for one in spared if trades.get(one.label)]
        trades_ms = (stream_ms(entry.id) for label in traded for entry in trades[label])
        found.append(
            Round(
                untouched=frozenset(one.label for one in spared),
                traded=frozenset(traded),
                resets=tuple(entry for one in seen for entry in one.resets[index]),
                deltas=told((at_ms for one in spared for at_ms in one.deltas_ms[index]), kill.wall_ms, end_ms),
                trades=told(trades_ms, kill.wall_ms, end_ms),
            )
        )
    return found


def told(times_ms: Iterable[float], from_ms: float, to_ms: float) -> Told:
    """Of entries that Redis took at these times, those between the two moments."""
    times = sorted(at_ms for at_ms in times_ms if from_ms <= at_ms <= to_ms)
    return Told(len(times), max(later - earlier for earlier, later in itertools.pairwise([from_ms, *times, to_ms])))


class _Seen:
    """One pair, round by round."""

    def __init__(self, label: str, count: int) -> None:
        self.label = label
        self.untouched: list[bool] = []
        self.resets: list[list[Entry]] = [[] for _ in range(count)]
        self.deltas_ms: list[list[int]] = [[] for _ in range(count)]


def _seen(label: str, book: Sequence[Entry], kills: Sequence[Kill], until_ms: float) -> _Seen:
    found = _Seen(label, len(kills))
    told_by = 0  # the highest token under which something was told of the book so far
    hurt = NOBODY  # the highest token that a victim held when it died
    coming = iter(kills)
    kill = next(coming, None)
    for entry in book:
        at_ms = stream_ms(entry.id)
        if at_ms > until_ms:
            break
        while kill is not None and kill.wall_ms <= at_ms:
            hurt = max(hurt, kill.held.get(label, NOBODY))
            found.untouched.append(told_by > hurt)
            kill = next(coming, None)
        index = len(found.untouched) - 1
        if entry.t in TOLD:
            told_by = max(told_by, entry.epoch)
        if index >= 0 and entry.t == Kind.DELTA:
            found.deltas_ms[index].append(at_ms)
        elif index >= 0 and entry.t == Kind.RESET and told_by > hurt:
            found.resets[index].append(entry)
    while kill is not None:
        hurt = max(hurt, kill.held.get(label, NOBODY))
        found.untouched.append(told_by > hurt)
        kill = next(coming, None)
    return found
