"""PURE. Join a book's hashes with its stream without a gap (redis-protocol.md §2.2).

A `Follower` holds one pair's book. `loaded` gives it the atomic read; `entry` the pair's stream entries in order, from the
loaded `id` on. Three rules decide (n is our own number of the event, unbroken within a pair):

    n ≤ held     drop, unless its epoch is higher: then history forked (a failover lost a tail) → rejoin
    n = held+1   apply
    n > held+1   entries are gone → rejoin, and say so

`audit` compares with the tail cell once a second, since a trimmed tail shows nothing in the stream of a quiet pair.
"""

from enum import StrEnum

from books.book import Book
from books.events import Bbo, Delta, Event, Reset, Snapshot, SnapshotReason
from books.loaded import LoadedBook
from fleet.cell import Cell
from fleet.pair import Pair


class Rejoin(StrEnum):
    """Why the hashes must be read again."""

    HOLE = "hole"  # entries are missing from the stream
    FORK = "fork"  # the same n again under a higher epoch
    BEHIND = "behind"  # the tail is ahead of us and its entries are gone
    UNKNOWN = "unknown"  # there were no hashes when we looked; somebody owns the pair now, so there may be


class Status(StrEnum):
    LIVE = "live"
    RESYNC = "resync"
    STALE = "stale"
    MISSING = "missing"


def entry_order(entry_id: str) -> tuple[int, int]:
    """A stream id as something that compares."""
    ms, _, seq = entry_id.partition("-")
    return int(ms), int(seq or 0)


class Follower:
    """One pair's book as the stream tells it. `book` may be used only while `status` is LIVE."""

    __slots__ = ("_trusted", "book", "epoch", "id", "lease_alive", "n", "pair", "received_us", "sequence", "venue_ms")

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.book = Book()
        self.n = 0
        self.epoch = 0
        self.id = "0-0"
        self.sequence: int | None = None
        self.venue_ms: int | None = None
        self.received_us = 0
        self.lease_alive = False
        self._trusted = Status.MISSING

    def __repr__(self) -> str:
        return f"<Follower {self.pair} {self.status} n={self.n} epoch={self.epoch}>"

    @property
    def status(self) -> Status:
        """LIVE: right now and owned. STALE: right when last heard of, its owner is gone."""
        if self._trusted is Status.LIVE and not self.lease_alive:
            return Status.STALE
        return self._trusted

    def loaded(self, found: LoadedBook) -> Snapshot | None:
        """Start over from an atomic read. The Snapshot(join) a user should see, None while there is no whole book."""
        self.n, self.epoch, self.id = found.n, found.epoch, found.id
        self.sequence, self.venue_ms, self.received_us = found.sequence, found.venue_ms, found.received_us
        self.lease_alive = found.lease_alive
        if found.status == "missing":
            # nothing published yet, or expired: the stream goes on after the cell, only a Snapshot will make a book
            self.book.clear()
            if found.cell is not None:
                self.n, self.epoch, self.id = found.cell.n, found.cell.token, found.cell.id
            self._trusted = Status.MISSING
            return None
        # `stale` may hide `resync`: the levels are a whole book only if there are any
        whole = found.status == "live" or (found.status == "stale" and bool(found.bids or found.asks))
        snapshot = Snapshot(
            pair=self.pair, bids=found.bids, asks=found.asks, reason=SnapshotReason.JOIN, sequence=found.sequence,
            venue_ms=found.venue_ms, received_us=found.received_us, epoch=found.epoch, n=found.n, id=found.id,
        )  # fmt: skip
        if not whole:
            self.book.clear()
            self._trusted = Status.RESYNC
            return None
        self.book.apply(snapshot)
        self._trusted = Status.LIVE
        return snapshot

    def entry(self, event: Event) -> Event | Rejoin | None:
        """The event if it is news to a user, None if it is known already, Rejoin if the hashes must be read again."""
        if event.n <= self.n:
            return Rejoin.FORK if event.epoch > self.epoch else None
        if event.n > self.n + 1:
            return Rejoin.HOLE
        if self._trusted is Status.MISSING and isinstance(event, Delta):
            return Rejoin.UNKNOWN
        self.n, self.epoch, self.id = event.n, max(event.epoch, self.epoch), event.id
        match event:
            case Delta():
                if self._trusted is not Status.LIVE:
                    return None  # deltas before the first Snapshot say nothing
                self.book.apply(event)
                self._stamp(event)
            case Snapshot():
                self.book.apply(event)
                self._trusted = Status.LIVE
                self.lease_alive = True
                self._stamp(event)
            case Reset():
                self.book.clear()
                self._trusted = Status.RESYNC
            case Bbo():
                self.received_us = event.received_us
            case _:
                pass
        return event

    def _stamp(self, event: Delta | Snapshot) -> None:
        self.sequence, self.venue_ms, self.received_us = event.sequence, event.venue_ms, event.received_us

    def audit(self, cell: Cell | None, lease_alive: bool, read_to: str) -> Rejoin | None:
        """Compare with the tail cell; `read_to` is the stream id up to which everything of the shard was read."""
        self.lease_alive = lease_alive
        if cell is None:
            return Rejoin.FORK if self.n else None  # flushed: whatever comes next starts a new numbering
        if self._trusted is Status.MISSING and lease_alive:
            return Rejoin.UNKNOWN
        if cell.n > self.n and entry_order(cell.id) <= entry_order(read_to):
            return Rejoin.BEHIND
        if cell.n < self.n or (cell.n == self.n and cell.id != self.id):
            return Rejoin.FORK  # a failover lost a tail; also where as many entries were written since as were lost
        return None
