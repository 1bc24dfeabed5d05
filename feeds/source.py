"""PURE. Where a line's book comes from."""

from typing import NamedTuple

from books.book import Book
from books.events import Snapshot, SnapshotReason
from fleet.pair import Pair


class Source(NamedTuple):
    """The book after every event given out so far (None: not whole), and its venue sequence."""

    book: Book | None
    sequence: int | None


NO_BOOK = Source(None, None)
EMPTY = Book()


def image(pair: Pair, source: Source, reason: SnapshotReason, now_us: int) -> Snapshot:
    """The whole book as an event."""
    book = source.book or EMPTY
    return Snapshot(
        pair=pair,
        bids=dict(book.bids),
        asks=dict(book.asks),
        reason=reason,
        sequence=source.sequence,
        received_us=now_us,
    )
