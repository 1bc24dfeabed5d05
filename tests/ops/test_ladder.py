"""A book for people."""

import pytest
from rich.console import Console

from books.loaded import LoadedBook
from fleet.pair import Pair
from ops import ladder

BIDS = {"9": "1", "10": "2", "9.5": "4"}
ASKS = {"11": "1", "100": "3", "10.5": "0.25"}


def text_of(what, width: int = 80) -> list[str]:
    console = Console(width=width, height=30, color_system=None)
    with console.capture() as captured:
        console.print(what)
    return [line.rstrip() for line in captured.get().splitlines()]


def test_levels_are_sorted_as_numbers_not_as_text():
    assert [price for price, _ in ladder.bids_best_first(BIDS)] == ["10", "9.5", "9"]
    assert [price for price, _ in ladder.asks_best_first(ASKS)] == ["10.5", "11", "100"]
    assert ladder.bids_best_first(BIDS, 1) == [("10", "2")]


def test_prices_too_close_for_floats_are_still_in_order():
    near = {"0.12345678901234567891": "1", "0.12345678901234567892": "1"}
    assert ladder.bids_best_first(near)[0][0].endswith("92")
    assert ladder.asks_best_first(near)[0][0].endswith("91")


def test_the_spread_is_exact():
    assert ladder.spread_text("10", "10.5") == "spread 0.5 (487.80 bps)   mid 10.25"


def test_decimal_points_stand_in_one_column():
    assert ladder.aligned(["10", "9.5", "100.25"]) == ["10.00", "9.50", "100.25"]


@pytest.mark.parametrize(
    ("share", "right", "left"),
    [(0, "    ", "    "), (1, "████", "████"), (0.5, "  ██", "██  "), (1 / 16, "    ", "▎   "), (2, "████", "████")],
)
def test_a_bar_fills_its_share_of_the_width(share, right, left):
    assert ladder.bar(share, 4, from_right=True) == right
    assert ladder.bar(share, 4, from_right=False) == left


@pytest.mark.parametrize("width", [80, 120])
def test_a_ladder_fits_its_width_and_shows_the_best_first(width):
    book = LoadedBook(
        pair=Pair("okx", "spot", "A/B"), status="live", now_ms=10_000, lease_alive=True, cell=None, bids=BIDS, asks=ASKS
    )
    lines = text_of(ladder.ladder(book, 2, width), width)
    assert lines[0].startswith("spread 0.5")
    assert max(map(len, lines)) <= width
    assert len(lines) == 4
    first, second = lines[2].split(), lines[3].split()
    assert [first[i].removesuffix(".00") for i in (1, 2, 3, 4)] == ["2", "10.0", "10.5", "0.25"]
    assert "9.5" in second
    assert "11.0" in second


def test_one_empty_side_is_said():
    book = LoadedBook(pair=Pair("okx", "spot", "A/B"), status="live", now_ms=1, lease_alive=True, cell=None, bids=BIDS)
    assert text_of(ladder.ladder(book, 5, 80))[0] == "one side of the book is empty"
