"""Pairs that move from one connection to the next: no Reset, no lost delta, no wrong book."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from books.book import Book
from books.events import Bbo, Delta, Reset, ResetReason, Snapshot, SnapshotReason, Trade
from books.sequence import CONTIGUOUS, IMAGES, LINKED, RANGE_THEN_LINKED
from feeds.handover import Handover
from feeds.pair_feed import PairFeed
from feeds.venue import BookChannel, Bootstrap
from fleet.pair import Pair

PAIR = Pair("nowhere", "spot", "AAA/USD")


def delta(sequence: int, **levels) -> Delta:
    return Delta(
        pair=PAIR,
        received_us=1,
        bids=levels.get("bids", {str(sequence % 9 + 1): str(sequence)}),
        asks={},
        sequence=sequence,
        first_sequence=sequence,
        previous_sequence=sequence - 1,
    )


def book_at(sequence: int) -> Book:
    book = Book()
    for number in range(1, sequence + 1):
        book.apply(delta(number))
    return book


def snapshot(sequence: int) -> Snapshot:
    return Snapshot(
        pair=PAIR,
        received_us=1,
        bids=dict(book_at(sequence).bids),
        asks={"99": "1"},
        reason=SnapshotReason.FIRST,
        sequence=sequence,
    )


def image(sequence: int, bid: str) -> Snapshot:
    return Snapshot(
        pair=PAIR, received_us=1, bids={bid: "1"}, asks={"999": "1"}, reason=SnapshotReason.FIRST, sequence=sequence
    )


class Moving:
    """An old and a new feed of one pair, and what comes out of the handover between them."""

    def __init__(self, rule=LINKED, bootstrap=Bootstrap.IN_BAND, *, comparable: bool = True, with_book: bool = True):
        self.out: list = []
        self.moves: list[Pair] = []
        self.done = 0
        channel = BookChannel("full", rule, bootstrap)
        self.old, self.new = (PairFeed(PAIR, channel, random.Random(1)) for _ in range(2))
        feeds = (lambda _: self.old, lambda _: self.new) if with_book else (lambda _: None, lambda _: None)
        self.handover = Handover(
            *feeds,
            [PAIR],
            comparable=comparable,
            emit=lambda pair, event: self.out.append(event),
            moved=self.moves.append,
            done=self.finish,
        )

    def finish(self) -> None:
        self.done += 1

    def from_old(self, method: str, message) -> None:
        events: list = []
        getattr(self.old, method)(message, 1.0, events)
        for event in events:
            self.handover.from_old(PAIR, event)

    def from_new(self, method: str, message) -> None:
        events: list = []
        getattr(self.new, method)(message, 1.0, events)
        for event in events:
            self.handover.from_new(PAIR, event)

    def kinds(self) -> list:
        return [(type(event).__name__, event.sequence) for event in self.out]


def test_a_successor_that_is_behind_waits_and_then_goes_on_without_a_word():
    moving = Moving()
    moving.from_old("snapshot", snapshot(10))
    moving.from_old("delta", delta(11))
    moving.from_new("snapshot", snapshot(9))
    moving.from_new("delta", delta(10))
    assert moving.moves == []
    moving.from_new("delta", delta(11))
    assert (moving.moves, moving.done, moving.handover.seams) == ([PAIR], 1, 0)
    moving.from_old("delta", delta(12))
    moving.from_new("delta", delta(12))
    assert moving.kinds() == [("Snapshot", 10), ("Delta", 11), ("Delta", 12)]


def test_a_successors_snapshot_and_the_delta_that_ends_there_tell_nothing_twice():
    moving = Moving(RANGE_THEN_LINKED, Bootstrap.REST)
    moving.from_old("fetched", snapshot(10))
    moving.new.subscribed(0.0)
    moving.from_new("delta", delta(10))
    moving.from_new("fetched", snapshot(10))  # puts out Snapshot 10 and the kept Delta 10
    assert moving.moves == [PAIR]
    moving.from_new("delta", delta(11))
    assert moving.kinds() == [("Snapshot", 10), ("Delta", 11)]


def test_what_an_image_changes_is_never_taken_for_the_next_delta():
    moving = Moving(IMAGES, Bootstrap.IMAGES)
    moving.from_old("image", image(14, "100"))
    moving.from_old("image", image(15, "101"))
    moving.from_new("image", image(14, "100"))
    moving.from_new("image", image(16, "102"))  # its difference knows nothing of 101
    assert [type(event).__name__ for event in moving.out] == ["Snapshot", "Delta", "Snapshot"]
    book = Book()
    for event in moving.out:
        book.apply(event)
    assert dict(book.bids) == {"102": "1"}
    assert moving.out[-1].reason is SnapshotReason.SEAM


def test_a_delta_that_follows_is_simply_the_next():
    moving = Moving(CONTIGUOUS, Bootstrap.IN_BAND)
    moving.from_old("snapshot", snapshot(10))
    moving.from_new("snapshot", snapshot(8))
    wide = Delta(pair=PAIR, received_us=1, bids={"5": "7"}, asks={}, sequence=12, first_sequence=9)
    moving.from_new("delta", wide)
    assert moving.moves == [PAIR]
    assert moving.out[-1] is wide
    assert moving.handover.seams == 0


def test_a_live_book_is_lent_to_the_successor_while_its_pair_waits_and_sequences_compare():
    moving = Moving()
    assert moving.handover.lend(PAIR, 5) is None
    moving.from_old("snapshot", snapshot(10))
    lent = moving.handover.lend(PAIR, 5)
    assert lent is not None
    assert (lent.sequence, lent.received_us, dict(lent.bids)) == (10, 5, dict(snapshot(10).bids))
    moving.from_new("snapshot", lent)
    assert moving.moves == [PAIR]
    assert moving.handover.lend(PAIR, 5) is None
    apart = Moving(comparable=False)
    apart.from_old("snapshot", snapshot(10))
    assert apart.handover.lend(PAIR, 5) is None


def test_a_successor_that_is_ahead_publishes_a_seam():
    moving = Moving()
    moving.from_old("snapshot", snapshot(10))
    moving.from_new("snapshot", snapshot(15))
    assert moving.kinds() == [("Snapshot", 10), ("Snapshot", 15)]
    assert moving.out[-1].reason is SnapshotReason.SEAM
    assert moving.handover.seams == 1


def test_where_sequences_cannot_be_compared_there_is_always_a_seam():
    moving = Moving(comparable=False)
    moving.from_old("snapshot", snapshot(10))
    moving.from_new("snapshot", snapshot(3))
    assert moving.out[-1].reason is SnapshotReason.SEAM


def test_events_put_out_together_count_as_their_last():
    moving = Moving(CONTIGUOUS, Bootstrap.REST)
    moving.old.subscribed(0.0)
    moving.from_old("fetched", snapshot(13))
    for number in (11, 12, 13, 14):
        moving.new.delta(delta(number), 1.0, [])
    moving.from_new("fetched", snapshot(11))
    assert moving.kinds() == [("Snapshot", 13), ("Delta", 14)]


def test_a_pair_that_is_not_live_on_the_old_connection_moves_when_the_new_one_is():
    moving = Moving()
    moving.from_old("snapshot", snapshot(10))
    events: list = []
    moving.old.lost(ResetReason.DISCONNECT, 1, events)
    moving.handover.from_old(PAIR, events[0])
    moving.from_new("snapshot", snapshot(12))
    assert [type(event) for event in moving.out] == [Snapshot, Reset, Snapshot]
    assert moving.out[-1].reason is SnapshotReason.RESYNC


def trade(number: int) -> Trade:
    return Trade(pair=PAIR, received_us=1, price="1", amount="1", side="buy", trade_id=str(number))


def told_trades(moving: Moving) -> list[str]:
    return [event.trade_id for event in moving.out if isinstance(event, Trade)]


def test_trades_without_a_book_move_with_the_first_of_the_successor_and_each_is_told_once():
    moving = Moving(with_book=False)
    moving.handover.from_old(PAIR, trade(7))
    moving.handover.from_new(PAIR, trade(7))
    assert (moving.moves, moving.done) == ([PAIR], 1)
    moving.handover.from_old(PAIR, trade(8))
    moving.handover.from_new(PAIR, trade(8))
    assert told_trades(moving) == ["7", "8"]


def test_a_trade_that_only_one_of_two_connections_brings_is_told_whenever_the_book_moves():
    moving = Moving()
    moving.from_old("snapshot", snapshot(10))
    moving.handover.from_new(PAIR, trade(1))  # the successor is first, its book has yet to move
    moving.from_new("snapshot", snapshot(10))
    assert moving.moves == [PAIR]
    moving.handover.from_old(PAIR, trade(1))
    moving.handover.from_old(PAIR, trade(2))  # the old one is first, the book has moved
    moving.handover.from_new(PAIR, trade(2))
    assert told_trades(moving) == ["1", "2"]


def test_best_prices_of_the_successor_wait_for_its_book():
    moving = Moving()
    moving.from_old("snapshot", snapshot(10))
    moving.handover.from_new(PAIR, Bbo(pair=PAIR, received_us=1, bid="1", bid_amount="1", ask="2", ask_amount="1"))
    assert moving.kinds() == [("Snapshot", 10)]


@pytest.mark.parametrize("ready", [True, False])
def test_at_the_end_every_pair_moves_ready_or_not(ready):
    moving = Moving()
    moving.from_old("snapshot", snapshot(10))
    if ready:
        moving.new.snapshot(snapshot(9), 1.0, [])
    events: list = []
    moving.old.lost(ResetReason.DISCONNECT, 1, events)
    moving.handover.from_old(PAIR, events[0])
    moving.handover.settle(5)
    assert [type(event) for event in moving.out] == [Snapshot, Reset, Snapshot][: 3 if ready else 2]
    assert (moving.moves, moving.done) == ([PAIR], 1)


def test_a_pair_that_is_not_wanted_any_more_does_not_hold_the_handover():
    moving = Moving()
    moving.handover.forget(PAIR)
    assert moving.done == 1
    assert moving.moves == []


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["old", "new"]), max_size=60), st.integers(0, 20), st.sampled_from([LINKED, CONTIGUOUS])
)
def test_however_the_two_connections_interleave_the_reader_sees_one_right_book(turns, start, rule):
    moving = Moving(rule)
    moving.from_old("snapshot", snapshot(5))
    at = {"old": 5, "new": None}
    for turn in [*turns, *["new"] * 90]:
        if turn == "new" and at["new"] is None:
            at["new"] = start
            moving.from_new("snapshot", snapshot(start))
            continue
        at[turn] += 1
        (moving.from_old if turn == "old" else moving.from_new)("delta", delta(at[turn]))
    reader, sequence = Book(), None
    for event in moving.out:
        if isinstance(event, Delta):
            assert event.sequence == sequence + 1
        else:
            assert isinstance(event, Snapshot)
            assert sequence is None or event.sequence > sequence
        reader.apply(event)
        sequence = event.sequence
        assert dict(reader.bids) == dict(book_at(sequence).bids)
    assert moving.moves == [PAIR]
    assert sequence == at["new"]
