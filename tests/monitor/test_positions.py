"""What the numbers of a pair say about the next entry (redis-protocol.md §2.3)."""

import pytest

from fleet.pair import Pair
from monitor.positions import NEWS, PERHAPS_STORED, Fork, Hole, Line, Placed, Position, Tracker

BOOK = Line("deltas", Pair("binance", "spot", "BTC/USDT"))
TRADES = Line("trades", BOOK.pair)


@pytest.mark.parametrize(
    ("epoch", "n", "expected"),
    [
        (100, 111, NEWS),
        (500, 111, NEWS),
        (100, 114, Placed(is_news=True, finding=Hole(111, 113, "hole"))),
        (500, 114, Placed(is_news=True, finding=Hole(111, 113, "hole"))),
        (100, 110, PERHAPS_STORED),
        (100, 103, PERHAPS_STORED),
        (99, 111, PERHAPS_STORED),
        (99, 120, PERHAPS_STORED),
        (500, 110, Placed(is_news=True, finding=Fork(110, 110))),
        (500, 108, Placed(is_news=True, finding=Fork(108, 110))),
        (500, 501, Placed(is_news=True, finding=Hole(111, 500, "flush"))),
    ],
)
def test_the_next_entry_is_judged_by_epoch_and_n(epoch, n, expected):
    assert Tracker({BOOK: Position(100, 110)}).place(BOOK, epoch, n) == expected


def test_a_line_without_a_position_begins_anywhere():
    tracker = Tracker({})
    assert tracker.place(BOOK, 5, 100) == NEWS
    assert tracker.place(BOOK, 5, 102).finding == Hole(101, 101, "hole")


def test_after_a_fork_the_new_branch_is_followed():
    tracker = Tracker({BOOK: Position(5, 10)})
    tracker.place(BOOK, 6, 8)
    assert tracker.place(BOOK, 6, 9) == NEWS
    assert tracker.place(BOOK, 5, 11) == PERHAPS_STORED


def test_an_entry_that_came_again_moves_nothing():
    tracker = Tracker({BOOK: Position(5, 10)})
    tracker.place(BOOK, 5, 7)
    assert tracker.place(BOOK, 5, 11) == NEWS


def test_trades_are_numbered_by_themselves():
    tracker = Tracker({BOOK: Position(5, 10)})
    assert tracker.place(TRADES, 5, 1) == NEWS


def test_looking_ahead_for_a_hole_moves_nothing():
    tracker = Tracker({BOOK: Position(5, 10)})
    assert not tracker.breaks([(BOOK, 5, 11), (BOOK, 5, 12), (TRADES, 5, 90)])
    assert tracker.breaks([(BOOK, 5, 11), (BOOK, 5, 13)])
    assert tracker.place(BOOK, 5, 11) == NEWS
