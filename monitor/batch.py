"""PURE. What goes to ClickHouse together, and what may be acknowledged once it is there.

A batch is cut by weight (levels), so that no insert holds the event loop for long. Each table's part is one block whose token
is a digest of the very entries in it: the same token always means the same rows. A stream id alone names no entry for that: a
Redis that was emptied or failed over, to a clock that is behind, gives ids again that the streams had before.

What the entries show (a gap, a fork) is a block of its own and goes first: once the rows are there, nobody finds it any more.
"""

from hashlib import blake2b
from typing import NamedTuple

from monitor.rows import Noted, Prepared, TableRows, note_values
from monitor.schema import EVENTS, TABLES, Table

MAX_WEIGHT = 10_000  # levels: ~15 ms of our CPU, of which the client's serialisation is one stretch
MAX_ENTRIES = 2_000
FINDINGS = "findings"  # a part of feed_events


class Block(NamedTuple):
    """One insert."""

    rows: TableRows
    token: str


class Batch:
    """Rows by table and entries to acknowledge by stream."""

    def __init__(self) -> None:
        self._rows: dict[str, TableRows] = {}
        self._digests: dict[str, blake2b] = {}
        self.acknowledge: dict[str, list[str]] = {}
        self.entries = 0
        self._weight = 0

    def __repr__(self) -> str:
        return f"<Batch {self.entries} entries, {', '.join(map(repr, self._rows.values())) or 'no rows'}>"

    @property
    def full(self) -> bool:
        """Whether it should be stored before more is added."""
        return self._weight >= MAX_WEIGHT or self.entries >= MAX_ENTRIES

    def add(self, stream: str, entry_id: str, prepared: Prepared) -> None:
        """The rows of an entry's event."""
        rows = self._rows_of(prepared.table.name, prepared.table, f"{stream} {entry_id} {prepared.name}")
        rows.extend(prepared.rows, prepared.values)
        self._weight += prepared.weight

    def note(self, note: Noted) -> None:
        """A row of our own in feed_events, in place of an entry's."""
        self._rows_of(EVENTS.name, EVENTS, _source(note)).extend(1, note_values(note))

    def finding(self, note: Noted) -> None:
        """A row of our own in feed_events, beside those of the entry that shows it."""
        self._rows_of(FINDINGS, EVENTS, _source(note)).extend(1, note_values(note))

    def done(self, stream_key: str, entry_id: str) -> None:
        """The entry may be acknowledged once this batch is stored: its rows are in it, or it needs none."""
        self.acknowledge.setdefault(stream_key, []).append(entry_id)
        self.entries += 1

    def blocks(self) -> list[Block]:
        """The inserts, in order."""
        names = [name for name in (FINDINGS, *(table.name for table in TABLES)) if name in self._rows]
        return [Block(self._rows[name], f"{name} {self._digests[name].hexdigest()}") for name in names]

    def _rows_of(self, part: str, table: Table, source: str) -> TableRows:
        rows = self._rows.get(part)
        if rows is None:
            rows = self._rows[part] = TableRows(table)
            self._digests[part] = blake2b(digest_size=16)
        self._digests[part].update(f"{source}\n".encode())
        return rows


def _source(note: Noted) -> str:
    return f"{note.stream} {note.id} {note.kind} {note.pair.label} {note.epoch} {note.n} {note.from_n} {note.to_n}"
