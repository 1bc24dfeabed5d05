"""Exact decimal text: one spelling for every number, and an error for everything else."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from books import decimals
from books.decimals import (
    SPELLINGS,
    NotDecimal,
    canonical,
    canonical_levels,
    canonical_sides,
    multiplied,
    spellings_times,
)

numbers = st.decimals(min_value=0, max_value=10**30, allow_nan=False, allow_infinity=False, places=18)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("65000.10000000", "65000.1"),
        ("0065000.10", "65000.1"),
        ("0.00000000", "0"),
        ("0", "0"),
        ("000", "0"),
        ("00.5", "0.5"),
        ("100", "100"),
        ("1000.0", "1000"),
        ("1E-7", "0.0000001"),
        ("9.75E+4", "97500"),
        ("1e5", "100000"),
        ("1.e2", "100"),
        ("0E-8", "0"),
        ("1" * 40 + "." + "3" * 40, "1" * 40 + "." + "3" * 40),
    ],
)
def test_every_number_has_one_spelling(text: str, expected: str) -> None:
    assert canonical(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "1.",
        ".5",
        "-1",
        "+1",
        "NaN",
        "inf",
        "1_000",
        "1,5",
        " 1",
        "1 ",
        "0x10",
        "1e",
        "1e100",
        "٣",
        "²",
        "1.²",
        "9" * 60,
    ],
)
def test_what_is_no_plain_number_is_an_error(text: str) -> None:
    with pytest.raises(NotDecimal):
        canonical(text)


@given(numbers)
def test_the_value_never_changes_and_spelling_twice_changes_nothing(number: Decimal) -> None:
    spelled = canonical(format(number, "f"))
    assert Decimal(spelled) == number
    assert canonical(spelled) == spelled


@given(numbers, st.integers(min_value=0, max_value=9))
def test_zeros_that_mean_nothing_make_no_difference(number: Decimal, zeros: int) -> None:
    text = format(number, ".18f")
    assert canonical("0" * zeros + text + "0" * zeros) == canonical(text)


@given(st.text(max_size=50))
def test_arbitrary_text_is_a_number_or_not_decimal(text: str) -> None:
    try:
        spelled = canonical(text)
    except NotDecimal:
        return
    assert Decimal(spelled) == Decimal(text)


@given(numbers, st.decimals(min_value=Decimal("1e-12"), max_value=10**9, places=12))
def test_a_product_is_exact(amount: Decimal, factor: Decimal) -> None:
    assert Fraction(multiplied(format(amount, "f"), factor)) == Fraction(amount) * Fraction(factor)


def test_a_product_keeps_digits_that_the_default_context_would_round_away() -> None:
    assert multiplied("1234567890123456789012345.123456789", Decimal("0.0001")) == "123456789012345678901.2345123456789"


def test_a_product_of_what_is_no_number_is_an_error() -> None:
    with pytest.raises(NotDecimal):
        multiplied("NaN", Decimal("0.1"))


def test_the_factor_one_shares_the_plain_spellings() -> None:
    assert spellings_times(Decimal(1)) is SPELLINGS
    assert spellings_times(Decimal("1.0")) is SPELLINGS


def test_the_last_row_of_a_price_wins_however_it_is_spelled() -> None:
    rows = [("100.10", "1"), ("100.2", "5"), ("100.1", "2.50")]
    assert canonical_levels(rows) == {"100.1": "2.5", "100.2": "5"}


def test_levels_of_what_is_no_number_are_an_error() -> None:
    with pytest.raises(NotDecimal):
        canonical_levels([("100", "-1")])


def test_spellings_are_forgotten_before_memory_grows_without_end() -> None:
    spelled = decimals._Spellings(10)
    for number in range(1000):
        assert spelled[f"{number}.50"] == f"{number}.5"
        assert len(spelled) <= 10
        assert len(spelled._before) <= 10


def test_what_is_asked_for_again_outlives_its_generation() -> None:
    spelled = decimals._Spellings(10)
    kept = spelled["0.10"]
    for number in range(1000):
        spelled[f"{number}.50"]
        if number % 5 == 0:
            assert spelled["0.10"] is kept
    assert "0.50" not in spelled
    assert "0.50" not in spelled._before


@pytest.mark.parametrize("spelled", [decimals._Spellings(), decimals._Products(Decimal(2))])
def test_what_nobody_asks_for_is_forgotten_after_two_generations(spelled: decimals._Spellings) -> None:
    kept = spelled["0.10"]
    spelled["7.50"]
    for number in range(2):
        decimals.new_generation()
        spelled[f"{number}.30"]
        assert spelled["0.10"] is kept
    assert not {"7.50"} & ({*spelled} | {*spelled._before})
    assert len(spelled) + len(spelled._before) <= 4


def test_a_failed_spelling_is_not_remembered() -> None:
    spelled = decimals._Spellings()
    with pytest.raises(NotDecimal):
        spelled["nonsense"]
    assert "nonsense" not in spelled


@pytest.mark.parametrize("text", ["1e99", "9" * 40 + "e1", "1e-41", "0." + "0" * 39 + "1e-2"])
def test_an_exponent_that_needs_more_digits_than_are_allowed_is_no_number(text: str) -> None:
    with pytest.raises(NotDecimal):
        canonical(text)


@pytest.mark.parametrize("long", ["7" * 41, "0." + "7" * 41])
def test_one_amount_of_too_many_digits_among_short_ones_is_found(long: str) -> None:
    rows = [(str(number), "1.5") for number in range(1, 50)]
    with pytest.raises(NotDecimal):
        canonical_sides([*rows, ("99", long)], [])
    canonical_sides([*rows, ("99", long[1:] if long[0] == "7" else long[:-1])], [])
