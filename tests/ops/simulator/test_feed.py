"""Numbers on the wire are exact."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.simulator.feed import number_text


@pytest.mark.parametrize(
    "step,decimals,steps,text",
    [
        ("0.01", 8, 6_500_010, "65000.10000000"),
        ("0.10", 2, 650_011, "65001.10"),
        ("0.1", None, 842_100, "84210"),
        ("0.1", None, 842_102, "84210.2"),
        ("0.00000001", None, 41_000_000, "0.41"),
        ("1", 0, 350, "350"),
        ("1", None, 350, "350"),
        ("10", None, 7, "70"),
        ("0.001", 3, 1, "0.001"),
    ],
)
def test_numbers_look_as_the_venue_writes_them(step: str, decimals: int | None, steps: int, text: str) -> None:
    assert number_text(Decimal(step), decimals)(steps) == text


@given(st.sampled_from(["0.00000001", "0.01", "0.10", "1", "5", "100"]), st.integers(1, 10**14))
def test_no_number_loses_a_digit(step: str, steps: int) -> None:
    assert Decimal(number_text(Decimal(step), None)(steps)) == Decimal(step) * steps
    assert Decimal(number_text(Decimal(step), 8)(steps)) == Decimal(step) * steps
