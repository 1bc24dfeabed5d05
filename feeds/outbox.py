"""PURE. What one pair still has to publish, and what it stands on (redis-protocol.md §2).

An outbox is a line of numbered events: `n` is proposed here and verified by publish.lua against the tail cell. It has three
states:

    CLOSED    no token: events are kept (bounded), nothing is sent
    OPEN      we hold a token: `take` gives the next batch, at most one is in flight
    DOUBTFUL  an answer was lost or refused: nothing is sent until a new token was acquired

After an unclear answer the batch in flight stays in front. The cell read by the next `acquire` says how much of it arrived,
so it is continued exactly. Where somebody else wrote before us the line goes on from what was held of the pair meanwhile
(feeds.warm); what cannot be continued starts over with Reset + Snapshot.
"""

from enum import StrEnum
from typing import NamedTuple

from books.book import Book
from books.events import Bbo, Delta, Event, Levels, Mark, Reset, ResetReason, Snapshot, SnapshotReason
from books.sequence import SequenceRule
from feeds.chain import Chain
from feeds.source import EMPTY, Source, image
from feeds.warm import WarmLine, follows
from fleet.cell import Cell
from fleet.pair import Pair

CONFLATE_AT = 1000  # events: some seconds of a busy pair; beyond it one snapshot is cheaper than all of them


class Phase(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    DOUBTFUL = "doubtful"


class Batch(NamedTuple):
    """One line of a publish call; the fields of fleet.scripts.PublishLine that a pair knows of itself."""

    token: int
    n: int  # last published before this batch
    based_on: int | None  # n the hashes must stand at; None: this batch brings the whole book
    levels: tuple[Levels, Levels] | None  # the whole book after this batch, where the hashes cannot be patched
    sequence: str
    fields: list[str]
    entries: list[str | bytes]
    oldest_us: int = 0  # when the frame of the oldest event arrived; 0 in a flush without events


class Outbox:
    """Events of one line: a pair's book line, or (trades=True) its trades line, which has no hashes."""

    __slots__ = (
        "_bbo", "_conflated", "_hash_n", "_in_flight", "_pending", "_rule", "_seam_due", "_sequence", "_skip_to", "_static",
        "_told", "_trusted", "conflations", "dropped_trades", "is_trades", "n", "pair", "phase", "published", "seams", "token",
    )  # fmt: skip

    def __init__(self, pair: Pair, *, owner: str, depth: str, trades: bool = False) -> None:
        self.pair = pair
        self.is_trades = trades
        self.phase = Phase.CLOSED
        self.token = 0
        self.n = 0
        self.published = 0
        self.conflations = 0
        self.dropped_trades = 0
        self.seams = 0
        self._static: list[str] = ["owner", owner, "depth", depth]
        self._pending = Chain()
        self._in_flight = Chain()
        self._sequence = "-"
        self._told = "-"  # the venue's at our last n
        self._hash_n: int | None = None
        self._trusted = False  # whether the book is whole after everything taken so far
        self._conflated = False
        self._bbo: Bbo | None = None
        self._skip_to: int | None = None  # published by our predecessor up to here, and our feed is not there yet
        self._rule: SequenceRule | None = None
        self._seam_due = False  # what we have does not follow what is published: the whole book is due

    def __repr__(self) -> str:
        return f"<Outbox {self.pair} {self.phase} n={self.n} {len(self._pending)} waiting, {len(self._in_flight)} sent>"

    @property
    def flushed(self) -> bool:
        """Whether the hashes are ours: written under this token, at our last n."""
        return self.phase is Phase.OPEN and self._hash_n is not None

    @property
    def waiting(self) -> int:
        """Events not yet accepted."""
        return len(self._pending) + len(self._in_flight)

    def add(self, event: Event) -> None:
        """Queue an event. Past the bound a book line conflates (one Reset + Snapshot instead); trades drop the oldest."""
        if self._conflated and isinstance(event, Delta | Snapshot | Mark):
            return
        if self._skip_to is not None and self._is_known(event):
            return
        if self._seam_due and isinstance(event, Delta | Snapshot | Reset):
            if isinstance(event, Delta):
                return  # the book carries it
            self._seam_due = False
        self._pending.add(event)
        if type(event) is Bbo:
            self._bbo = event
        elif type(event) is Snapshot and event.reason is SnapshotReason.SEAM:
            self.seams += 1  # our own move from connection to connection
        if len(self._pending) > CONFLATE_AT:
            if self.is_trades:
                self.dropped_trades += CONFLATE_AT // 2
                self._pending = self._pending.without_first(CONFLATE_AT // 2)
            else:
                self.conflations += 1
                self._conflated = True
                self._pending = Chain()

    def _is_known(self, event: Event) -> bool:
        """Whether our predecessor has published it. The first delta beyond ends the skipping; if it does not follow what is
        published, the whole book stands in for it (a seam)."""
        last = self._skip_to
        if isinstance(event, Mark):
            return True
        if isinstance(event, Bbo) or last is None:
            return False
        if isinstance(event, Delta) and event.sequence is not None and event.sequence <= last:
            self._skip_to = last if event.sequence < last else None
            return True
        self._skip_to = None
        self._seam_due = isinstance(event, Delta) and (self._rule is None or not follows(self._rule, last, event))
        return self._seam_due

    def granted(
        self, token: int, n: int, before: Cell | None, source: Source, now_us: int, warm: WarmLine | None = None
    ) -> None:
        """We own the line under `token`; `before` is the cell as acquire found it, `n` where numbering goes on. `warm`: what
        was held of the pair while another published it."""
        unanswered, self._in_flight = self._in_flight, Chain()
        if (
            self.phase is Phase.DOUBTFUL
            and before is not None
            and self.n <= before.n <= self.n + len(unanswered)
            and (before.token == self.token or self._stands_at(before, unanswered))
        ):
            unanswered = unanswered.without_first(before.n - self.n)
            unanswered.extend(self._pending)
            self._pending = unanswered
        elif self.is_trades:
            # whether they arrived cannot be known: a loss is counted, not a copy made
            self.dropped_trades += len(unanswered)
            for trade in [] if warm is None else warm.trades_behind(before):
                self._pending.add(trade)
        elif not self._take_over(before, source, now_us, warm):
            self._start_over(before, source, now_us)
        self.token, self.n = token, n
        self._sequence = self._told = before.sequence if before is not None else "-"
        self._hash_n = None
        self.phase = Phase.OPEN

    def _stands_at(self, before: Cell, unanswered: Chain) -> bool:
        """Whether the line is exactly where our own events leave it, although another token was there: an acquire of ours that
        was executed late or unheard, or a successor that never wrote."""
        told = unanswered.sequence_after(before.n - self.n) or self._told
        return before.sequence != "-" and before.sequence == told

    def unpublished(self) -> tuple[int, list[Delta]] | None:
        """The venue sequence published last, and the deltas behind it that nobody said were taken; None: not to be said."""
        if not self._told.isdigit() or self._conflated or self._seam_due or self._skip_to is not None:
            return None
        sent, waiting = self._in_flight.deltas(self.pair), self._pending.deltas(self.pair)
        return None if sent is None or waiting is None else (int(self._told), sent + waiting)

    def _take_over(self, before: Cell | None, source: Source, now_us: int, warm: WarmLine | None) -> bool:
        """Go on where our predecessor stopped; False: that cannot be proved."""
        how = None if warm is None else warm.take_over(before, source, now_us)
        if how is None or warm is None:
            return False
        self._pending = Chain()
        self._conflated = self._seam_due = False
        for event in how.events:
            self._pending.add(event)
            self.seams += type(event) is Snapshot and event.reason is SnapshotReason.SEAM
        self._trusted = True  # the hashes may be written, even without news
        self._skip_to, self._rule = how.skip_to, warm.continuity.rule
        return True

    def _start_over(self, before: Cell | None, source: Source, now_us: int) -> None:
        """Somebody may have written since: the reader is told, and gets the whole book as soon as we have one."""
        self._pending = Chain()
        self._conflated = self._seam_due = False
        self._skip_to = None
        if before is not None or self.published:
            self._pending.add(Reset(pair=self.pair, received_us=now_us, reason=ResetReason.TAKEOVER))
        if source.book is not None:
            self._pending.add(image(self.pair, source, SnapshotReason.TAKEOVER, now_us))

    def doubt(self) -> None:
        """The connection broke or the script refused: send nothing until granted anew."""
        if self.phase is Phase.OPEN:
            self.phase = Phase.DOUBTFUL

    def close(self) -> None:
        """Ownership is gone: forget what waits."""
        self.phase = Phase.CLOSED
        self._pending, self._in_flight = Chain(), Chain()
        self._trusted = self._conflated = self._seam_due = False
        self._hash_n = self._skip_to = None

    def drop(self) -> None:
        """`take` failed: forget what waits, it cannot be published. The next thing told is that the book is void."""
        self._pending, self._in_flight = Chain(), Chain()
        self._conflated = not self.is_trades
        self._seam_due, self._skip_to = False, None

    def take(self, source: Source, now_us: int) -> Batch | None:
        """The next batch, None when nothing is due or one is in flight. While our feed is behind what is published, our book is
        no book to show: the hashes stay as our predecessor left them, which is right."""
        if self.phase is not Phase.OPEN or len(self._in_flight) or self._skip_to is not None:
            return None
        if self._conflated:
            self._end_conflation(source, now_us)
        if self._seam_due and source.book is not None:
            self._seam_due = False
            self.seams += 1
            self._pending.add(image(self.pair, source, SnapshotReason.SEAM, now_us))
        chain = self._pending
        repair = self._hash_n is None and self._trusted and not self.is_trades
        if not len(chain) and not repair:
            return None
        self._in_flight, self._pending = chain, Chain()
        if self.is_trades:
            self._sequence = chain.sequence or self._sequence
            return Batch(self.token, self.n, None, None, self._sequence, [], chain.entries, chain.oldest_us)
        if chain.trusted is not None:
            self._trusted = chain.trusted
        if chain.sequence is not None:
            self._sequence = chain.sequence
        book = source.book or EMPTY
        based_on = None if chain.whole else self._hash_n
        levels = None if chain.whole or based_on is not None else (book.bids, book.asks)
        fields = self._fields(chain, book)
        return Batch(self.token, self.n, based_on, levels, self._sequence, fields, chain.entries, chain.oldest_us)

    def _end_conflation(self, source: Source, now_us: int) -> None:
        waited, self._pending, self._conflated = self._pending, Chain(), False
        self._pending.add(Reset(pair=self.pair, received_us=now_us, reason=ResetReason.CONFLATED))
        self._pending.extend(waited)
        if source.book is not None:
            self._pending.add(image(self.pair, source, SnapshotReason.RESYNC, now_us))

    def _fields(self, chain: Chain, book: Book) -> list[str]:
        bid = book.best_bid() or ("", "")
        ask = book.best_ask() or ("", "")
        fields = [
            "status", "live" if self._trusted else "resync",
            "bid", bid[0], "bid_amount", bid[1], "ask", ask[0], "ask_amount", ask[1],
        ]  # fmt: skip
        if len(chain):
            venue_ms = "" if chain.venue_ms is None else str(chain.venue_ms)
            fields += ("received_us", str(chain.newest_us), "venue_ms", venue_ms)
        if self._bbo is not None:
            bbo = self._bbo
            fields += ("bbo_bid", bbo.bid, "bbo_bid_amount", bbo.bid_amount)
            fields += ("bbo_ask", bbo.ask, "bbo_ask_amount", bbo.ask_amount)
            fields += ("bbo_received_us", str(bbo.received_us))
            self._bbo = None
        if self._hash_n is None:
            fields += self._static
        return fields

    def accepted(self, *, hash_patched: bool) -> None:
        """The batch in flight was appended; `hash_patched` False is the verdict REWRITE."""
        self._told = self._in_flight.sequence or self._told
        self.n += len(self._in_flight)
        self.published += len(self._in_flight)
        self._in_flight = Chain()
        self._hash_n = self.n if hash_patched else None

    def hash_gone(self) -> None:
        """The hashes expired (verdict GONE of a touch): the next flush is a rewrite."""
        self._hash_n = None
