"""PURE. Make before break: a connection that will end hands its pairs to its successor, one by one, without a Reset.

The successor subscribes the same pairs while the old connection goes on. Each pair moves at the first moment at which its
successor's book is no older than the book published so far:

    sequences comparable     the successor's delta that follows what the old one published is simply the next delta; equal
                             sequences move without a word; a successor that is ahead publishes Snapshot(seam)
    images                   a difference of two images is no delta to a third: equal sequences or Snapshot(seam)
    not comparable           Snapshot(seam), as soon as the successor is live
    old book not live        the successor's events as they are
    no book here             the first event of the successor
    trades                   of both connections while both are there, each id once: the one that hears it first tells it

What else the old connection says of a moved pair, and the successor of an unmoved one, is dropped.
"""

from collections.abc import Callable, Iterable

from books.events import Delta, Event, Snapshot, SnapshotReason, Trade
from books.sequence import Relation
from feeds.pair_feed import PairFeed
from feeds.venue import Bootstrap
from fleet.pair import Pair


class Handover:
    """Stands between two sessions and whoever takes their events. `moved(pair)` is called just before the first event of
    the pair that comes from the successor, `done()` when no pair is left to move."""

    def __init__(
        self,
        old: Callable[[Pair], PairFeed | None],
        new: Callable[[Pair], PairFeed | None],
        pairs: Iterable[Pair],
        *,
        comparable: bool,
        emit: Callable[[Pair, Event], None],
        moved: Callable[[Pair], None],
        done: Callable[[], None],
    ) -> None:
        self.waiting = set(pairs)
        self.seams = 0
        self._told: dict[Pair, int] = {}  # moved without a word at this sequence, which must not be told again
        self._trades: set[tuple[Pair, str]] = set()  # told since the handover began; it lasts seconds
        self._old = old
        self._new = new
        self._comparable = comparable
        self._emit = emit
        self._moved = moved
        self._done = done

    def __repr__(self) -> str:
        return f"<Handover {len(self.waiting)} pairs to move, {self.seams} seams>"

    def from_old(self, pair: Pair, event: Event) -> None:
        """An event of the connection that will end."""
        if type(event) is Trade:
            self._tell_trade(pair, event)
        elif pair in self.waiting:
            self._emit(pair, event)

    def from_new(self, pair: Pair, event: Event) -> None:
        """An event of its successor."""
        if type(event) is Trade:
            if pair in self.waiting and (self._old(pair) is None or self._new(pair) is None):
                self._move(pair)
            self._tell_trade(pair, event)
        elif pair not in self.waiting:
            # a snapshot and the delta that ends exactly there have one sequence: the pair moved at the first of them
            if not self._told or not isinstance(event, Delta) or self._told.pop(pair, None) != event.sequence:
                self._emit(pair, event)
        else:
            self._from_successor(pair, event)

    def _from_successor(self, pair: Pair, event: Event) -> None:
        """An event of a pair that has yet to move."""
        old, new = self._old(pair), self._new(pair)
        if new is None or old is None:
            self._move(pair)
            self._emit(pair, event)
        elif new.live and isinstance(event, Snapshot | Delta) and event.sequence == new.sequence:
            self._consider(pair, old, new, event)

    def lend(self, pair: Pair, wall_us: int) -> Snapshot | None:
        """The old connection's book of a pair that has yet to move, for the successor to splice its deltas to: they are of one
        chain. None where sequences are not comparable, or the old book is not to be trusted itself."""
        old = self._old(pair)
        if not self._comparable or pair not in self.waiting or old is None or not old.live or old.sequence is None:
            return None
        return _image(old, SnapshotReason.FIRST, wall_us)

    def forget(self, pair: Pair) -> None:
        """The pair is not wanted any more."""
        self.waiting.discard(pair)
        if not self.waiting:
            self._done()

    def settle(self, wall_us: int) -> None:
        """The old connection is about to go, ready or not: every pair moves. Call after it was closed, so that what was
        not live at the successor has had its Reset."""
        for pair in list(self.waiting):
            self._move(pair)
            new = self._new(pair)
            if new is not None and new.live:
                self._emit(pair, _image(new, SnapshotReason.RESYNC, wall_us))

    def _consider(self, pair: Pair, old: PairFeed, new: PairFeed, event: Snapshot | Delta) -> None:
        """`event` is the last of those put out together: the new book is exactly behind it."""
        if not old.live:
            self._move(pair)
            self._emit(pair, _image(new, SnapshotReason.RESYNC, event.received_us))
            return
        last, ahead = old.sequence, new.sequence
        if self._comparable and last is not None and ahead is not None:
            if ahead < last:
                return
            if ahead == last:
                self._told[pair] = last  # the same point of the same chain: nothing to say
                self._move(pair)
                return
            # what an image changes is relative to the image before it, on that connection alone
            images = new.channel.bootstrap is Bootstrap.IMAGES
            if not images and isinstance(event, Delta) and old.channel.rule.following(last, event) is Relation.NEXT:
                self._move(pair)
                self._emit(pair, event)
                return
        self._move(pair)
        self.seams += 1
        self._emit(pair, _image(new, SnapshotReason.SEAM, event.received_us))

    def _tell_trade(self, pair: Pair, trade: Trade) -> None:
        if trade.trade_id:
            if (pair, trade.trade_id) in self._trades:
                return
            self._trades.add((pair, trade.trade_id))
        self._emit(pair, trade)

    def _move(self, pair: Pair) -> None:
        self._moved(pair)
        self.forget(pair)


def _image(feed: PairFeed, reason: SnapshotReason, received_us: int) -> Snapshot:
    return Snapshot(
        pair=feed.pair,
        received_us=received_us,
        bids=dict(feed.book.bids),
        asks=dict(feed.book.asks),
        reason=reason,
        sequence=feed.sequence,
    )
