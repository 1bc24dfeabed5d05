"""PURE. What goes to ClickHouse together, and what may be acknowledged once it is there.

A batch is cut by weight (levels), so that no insert holds the event loop for long. Each table's part is one block whose token
is a digest of the very entries in it: the same token always means the same rows.
"""

from hashlib import blake2b
from typing import NamedTuple

from monitor.rows import Noted, Prepared, TableRows, note_values
from monitor.schema import EVENTS, TABLES, Table

MAX_WEIGHT = 10_000  # levels: ~15 ms of our CPU, of which the client's serialisation is one stretch
MAX_ENTRIES = 2_000


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
        self._rows_of(prepared.table, f"{stream} {entry_id}").extend(prepared.rows, prepared.values)
        self._weight += prepared.weight

    def note(self, note: Noted) -> None:
        """A row of our own in feed_events."""
        self._rows_of(EVENTS, f"{note.stream} {note.id} {note.kind} {note.from_n}").extend(1, note_values(note))

    def done(self, stream_key: str, entry_id: str) -> None:
        """The entry may be acknowledged once this batch is stored: its rows are in it, or it needs none."""
        self.acknowledge.setdefault(stream_key, []).append(entry_id)
        self.entries += 1

    def blocks(self) -> list[Block]:
        """The inserts, in order."""
        names = [table.name for table in TABLES if table.name in self._rows]
        return [Block(self._rows[name], f"{name} {self._digests[name].hexdigest()}") for name in names]

    def _rows_of(self, table: Table, source: str) -> TableRows:
        rows = self._rows.get(table.name)
        if rows is None:
            rows = self._rows[table.name] = TableRows(table)
            self._digests[table.name] = blake2b(digest_size=16)
        self._digests[table.name].update(f"{source}\n".encode())
        return rows
