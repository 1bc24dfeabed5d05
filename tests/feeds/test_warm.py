"""A pair kept warm: what is held, and how the stream goes on from it."""

import pytest

from books.book import Book
from books.events import Bbo, Delta, Event, Reset, ResetReason, Snapshot, SnapshotReason, Trade
from books.sequence import CONTIGUOUS, IMAGES, LINKED
from feeds import warm as warm_module
from feeds.source import NO_BOOK, Source
from feeds.warm import Continuity, Takeover, WarmLine
from fleet.cell import Cell
from fleet.pair import Pair

PAIR = Pair("somewhere", "spot", "BTC/USDT")
COMPARABLE = Continuity(CONTIGUOUS, comparable=True, images=False)


def cell(sequence: str) -> Cell:
    return Cell(7, 100, sequence, "5-1")


def snapshot(sequence: int | None) -> Snapshot:
    return Snapshot(
        pair=PAIR, received_us=1, bids={"1": "1"}, asks={"2": "1"}, reason=SnapshotReason.FIRST, sequence=sequence
    )


def delta(sequence: int | None, first: int | None = None, previous: int | None = None) -> Delta:
    first = sequence if first is None else first
    return Delta(
        pair=PAIR, received_us=1, bids={"1": str(sequence)}, asks={}, sequence=sequence, first_sequence=first,
        previous_sequence=previous,
    )  # fmt: skip


def trade(name: str) -> Trade:
    return Trade(pair=PAIR, received_us=1, price="1", amount="1", side="buy", trade_id=name)


class Feed:
    """A warm line and the book beside it."""

    def __init__(self, continuity: Continuity = COMPARABLE, *events: Event) -> None:
        self.book = Book()
        self.sequence: int | None = None
        self.live = False
        self.line = WarmLine(PAIR, continuity, NO_BOOK)
        self.hear(*events)

    def hear(self, *events: Event) -> None:
        for event in events:
            if isinstance(event, Snapshot | Delta | Reset):
                self.book.apply(event)
                self.sequence = None if isinstance(event, Reset) else event.sequence
                self.live = not isinstance(event, Reset)
            self.line.add(event)

    def take_over(self, found: Cell | None) -> Takeover | None:
        return self.line.take_over(found, Source(self.book, self.sequence) if self.live else NO_BOOK, 9)


def told(takeover: Takeover | None) -> list[tuple[str, int | None]]:
    assert takeover is not None
    return [
        (event.reason.value if isinstance(event, Snapshot) else type(event).__name__.lower(), getattr(event, "sequence", None))
        for event in takeover.events
    ]  # fmt: skip


def test_exactly_the_deltas_behind_the_published_point_are_told() -> None:
    feed = Feed(COMPARABLE, snapshot(10), delta(11), delta(12), delta(13))
    assert told(feed.take_over(cell("11"))) == [("delta", 12), ("delta", 13)]
    assert told(feed.take_over(cell("10"))) == [("delta", 11), ("delta", 12), ("delta", 13)]
    assert told(feed.take_over(cell("13"))) == []


def test_a_feed_that_is_behind_tells_nothing_and_skips_up_to_the_published_point() -> None:
    assert Feed(COMPARABLE, snapshot(10), delta(11)).take_over(cell("15")) == Takeover([], 15)


def test_a_hole_before_our_first_book_is_not_covered() -> None:
    feed = Feed(COMPARABLE, snapshot(10), delta(11))
    assert not feed.line.covers(cell("9"))
    assert feed.take_over(cell("9")) is None


def test_a_book_that_is_not_whole_covers_nothing() -> None:
    feed = Feed(COMPARABLE, snapshot(10), delta(11), Reset(pair=PAIR, received_us=1, reason=ResetReason.GAP))
    assert not feed.line.covers(cell("11"))
    assert feed.take_over(cell("11")) is None
    feed.hear(snapshot(20))
    assert not feed.line.covers(cell("11"))  # coverage begins anew
    assert told(feed.take_over(cell("20"))) == []


def test_nothing_published_yet_or_flushed_is_not_continued() -> None:
    assert Feed(COMPARABLE, snapshot(10)).take_over(None) is None


def test_an_owner_that_was_resyncing_is_followed_by_the_whole_book_without_another_reset() -> None:
    assert told(Feed(COMPARABLE, snapshot(10), delta(11)).take_over(cell("-"))) == [("takeover", 11)]


def test_deltas_that_do_not_link_to_the_published_one_are_replaced_by_a_seam() -> None:
    linked = Continuity(LINKED, comparable=True, images=False)
    feed = Feed(linked, snapshot(10), delta(14, previous=10), delta(18, previous=14))
    assert told(feed.take_over(cell("14"))) == [("delta", 18)]
    assert told(feed.take_over(cell("16"))) == [("seam", 18)]


def test_sequences_that_are_not_comparable_make_a_seam_and_hold_nothing() -> None:
    feed = Feed(Continuity(CONTIGUOUS, comparable=False, images=False), snapshot(10), delta(11))
    assert feed.line.held == 0
    assert feed.line.covers(cell("999"))
    assert told(feed.take_over(cell("999"))) == [("seam", 11)]


def test_images_make_a_seam_unless_both_stand_at_the_same_one() -> None:
    feed = Feed(Continuity(IMAGES, comparable=True, images=True), snapshot(10), delta(12))
    assert told(feed.take_over(cell("12"))) == []
    assert told(feed.take_over(cell("11"))) == [("seam", 12)]


def test_the_newest_best_prices_come_along() -> None:
    bbo = Bbo(pair=PAIR, received_us=1, bid="1", bid_amount="1", ask="2", ask_amount="1")
    assert told(Feed(COMPARABLE, snapshot(10), bbo).take_over(cell("10"))) == [("bbo", None)]


def test_what_is_published_is_forgotten_and_stays_covered() -> None:
    feed = Feed(COMPARABLE, snapshot(10), *(delta(number) for number in range(11, 50)))
    feed.line.trim(cell("40"))
    assert feed.line.held == 9
    assert told(feed.take_over(cell("47"))) == [("delta", 48), ("delta", 49)]
    assert not feed.line.covers(cell("39"))


def test_a_cell_that_went_back_is_not_continued_until_somebody_has_written_behind_it() -> None:
    """A failover lost what stood there: with it perhaps a Reset, which is in history, and whose Snapshot is not."""
    feed = Feed(COMPARABLE, snapshot(10))
    feed.line.trim(Cell(8, 102, "10", "6-0"))
    for found in (Cell(7, 100, "10", "5-1"), Cell(8, 101, "10", "5-2"), Cell(9, 100, "10", "5-1")):
        assert not feed.line.covers(found)
        assert feed.take_over(found) is None
    feed.line.trim(Cell(7, 100, "10", "5-1"))
    assert not feed.line.covers(Cell(7, 100, "10", "5-1")), "the new server has not heard of token 8"
    feed.line.trim(Cell(9, 101, "10", "7-0"))
    assert told(feed.take_over(Cell(9, 101, "10", "7-0"))) == []


def test_a_cell_that_went_back_is_followed_by_the_whole_book_where_sequences_are_not_comparable() -> None:
    feed = Feed(Continuity(CONTIGUOUS, comparable=False, images=False), snapshot(10))
    feed.line.saw(8, 102)
    assert told(feed.take_over(cell("10"))) == [("seam", 10)]


def test_memory_is_bounded_and_coverage_moves_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_module, "HELD_MOST", 3)
    feed = Feed(COMPARABLE, snapshot(10), *(delta(number) for number in range(11, 17)))
    assert feed.line.held == 3
    assert not feed.line.covers(cell("12"))
    assert told(feed.take_over(cell("13"))) == [("delta", 14), ("delta", 15), ("delta", 16)]


def test_a_line_that_begins_with_a_live_book_covers_from_there() -> None:
    book = Book()
    book.apply(snapshot(10))
    line = WarmLine(PAIR, COMPARABLE, Source(book, 10))
    assert line.covers(cell("10"))
    assert not line.covers(cell("9"))


def test_trades_behind_the_last_published_one_are_told_once() -> None:
    feed = Feed(COMPARABLE, trade("a"), trade("b"), trade("c"))
    assert [one.trade_id for one in feed.line.trades_behind(cell("a"))] == ["b", "c"]
    assert [one.trade_id for one in feed.line.trades_behind(cell("b"))] == ["c"]


def test_no_copy_is_made_of_trades_whose_predecessor_was_not_seen() -> None:
    feed = Feed(COMPARABLE, trade("b"), trade("c"))
    assert feed.line.trades_behind(cell("a")) == []
    assert feed.line.trades_behind(None) == []
