"""In which words history's book differs from that of Redis, and that equal ones do not."""

import msgspec
import pytest

from books.loaded import LoadedBook
from fleet.pair import Pair
from monitor.history import Rebuilt
from ops.chaos.book_comparison import difference

BOOK = LoadedBook(
    pair=Pair("somewhere", "spot", "BTC/USDT"), status="live", now_ms=1, lease_alive=True, cell=None,
    bids={"1": "5"}, asks={"2": "5", "3": "5"}, n=7, epoch=4, owner="me",
)  # fmt: skip


def test_equal_books_do_not_differ() -> None:
    assert difference(BOOK, Rebuilt({"1": "5"}, {"2": "5", "3": "5"}, 7)) == ""


@pytest.mark.parametrize(
    ("rebuilt", "words"),
    [
        (None, "history has no snapshot"),
        (Rebuilt({"1": "5"}, {"2": "5", "3": "5"}, 8), "n=7 u=None of me (cell None), history n=8"),
        (Rebuilt({}, {"2": "5", "3": "6"}, 7), "1 of 1 bids differ, as 1: 5 / None (Redis / history); 1 of 2 asks differ, as 3"),
        (Rebuilt({"0": "1", "1": "5"}, {"2": "5", "3": "5"}, 7), "1 of 1 bids differ, as 0: None / 1"),
    ],
)  # fmt: skip
def test_what_differs_is_named(rebuilt: Rebuilt | None, words: str) -> None:
    assert words in difference(BOOK, rebuilt)


def test_a_book_that_is_not_live_is_none_to_compare_with() -> None:
    book = msgspec.structs.replace(BOOK, status="stale")
    assert "not live" in difference(book, Rebuilt({"1": "5"}, {"2": "5", "3": "5"}, 7))
