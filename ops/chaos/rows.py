"""PURE. Whether the rows of history are what the streams held: everything once, and what is missing or void said in a row.

Two orders tell it. The streams that survived say what must be there. The rows themselves, each line sorted by (epoch, n), say
what happened: where n goes on by one nothing did; where it jumps, a `gap` names what never came; where it falls back under a
higher epoch, a `fork` names what is void, because a Redis that lost a tail had its numbers written again. A number missing among
void ones is void itself (its batch was cut short, and the stream lost the rest): the fork names it too.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from ops.chaos.history import Line


class Key(NamedTuple):
    """An entry of a line, whatever stream or table it is in."""

    line: Line
    epoch: int
    n: int

    def __str__(self) -> str:
        return f"{self.line} epoch={self.epoch} n={self.n}"


class Row(NamedTuple):
    """What ClickHouse has of one entry: its stream id, in how many rows, and how many there should be."""

    key: Key
    id: str
    rows: int
    of: int


class Said(NamedTuple):
    """A row of feed_events about a line: `gap` or `fork`, entries from_n … to_n; `epoch`: of the entry that showed it."""

    kind: str
    line: Line
    from_n: int
    to_n: int
    epoch: int = 0


class Unsound(NamedTuple):
    """What is wrong, in words, and how many stored entries the streams lost (no fault: it is what the fork is for)."""

    violations: list[str]
    void: int


def judge(rows: Sequence[Row], said: Iterable[Said], streams: Mapping[Key, str], former: Iterable[Row] = ()) -> Unsound:
    """Hold history against the streams that stand now (id by entry); `former`: rows that were there before the fault."""
    told = list(said)
    found, stored = _once(rows)
    found += [
        f"{key} ({entry_id}) is in the stream and not in history"
        for key, entry_id in streams.items()
        if key not in stored
    ]
    found += [
        f"{key} was written twice: {stored[key]} in history, {entry_id} in the stream"
        for key, entry_id in streams.items()
        if stored.get(key, entry_id) != entry_id
    ]
    found += [
        f"{row.key} ({row.id}) was in history before and is not what it was"
        for row in former
        if stored.get(row.key) != row.id
    ]
    by_line: dict[Line, list[Key]] = defaultdict(list)
    for key in stored:
        by_line[key.line].append(key)
    for line, keys in by_line.items():
        found += _told(line, sorted(keys), [one for one in told if one.line == line])
    return Unsound(found, len(stored.keys() - streams.keys()))


def _once(rows: Sequence[Row]) -> tuple[list[str], dict[Key, str]]:
    found, stored = [], dict[Key, str]()
    for row in rows:
        if row.key in stored:
            found.append(f"{row.key} is stored twice: as {stored[row.key]} and as {row.id}")
        if row.rows != row.of:
            found.append(f"{row.key} ({row.id}) has {row.rows} rows in place of {row.of}")
        stored[row.key] = row.id
    return found, stored


def _told(line: Line, keys: Sequence[Key], told: Sequence[Said]) -> list[str]:
    found = []
    exact = {one._replace(epoch=0) for one in told}
    forks = [one for one in told if one.kind == "fork"]
    for before, key in pairwise(keys):
        if key.n == before.n + 1:
            continue
        kind, from_n, to_n = ("gap", before.n + 1, key.n - 1) if key.n > before.n else ("fork", key.n, before.n)
        due = Said(kind, line, from_n, to_n)
        is_void = kind == "gap" and any(
            one.epoch > key.epoch and one.from_n <= from_n and to_n <= one.to_n for one in forks
        )
        if due not in exact and not is_void:
            found.append(f"{key} comes after {before}, and no {due.kind} of {due.from_n} … {due.to_n} says so")
    return found
