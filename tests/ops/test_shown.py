"""Numbers and ages in columns."""

import pytest

from ops import shown


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "-"), (0, "0ms"), (999, "999ms"), (1000, "1.0s"), (9949, "9.9s"), (9960, "10s"), (119_000, "119s"),
        (120_000, "2m"), (7_199_000, "120m"), (7_200_000, "2.0h"), (36_000_000, "10h"), (360_000_000, "4d"),
    ],
)  # fmt: skip
def test_an_age_is_short_and_has_a_unit(ms, text):
    assert shown.age(ms) == text


@pytest.mark.parametrize("exponent", range(13))
def test_no_age_and_no_rate_is_wider_than_its_column(exponent):
    for digit in (1, 4, 9.99):
        number = digit * 10**exponent
        assert len(shown.age(number)) <= 5 or exponent > 10
        assert len(shown.rate(number)) <= 5 or exponent > 6
        assert len(shown.count(int(number))) <= 5 or exponent > 9


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (0.34, "0.3"), (47.2, "47"), (9999, "9999"), (12_345, "12k")])
def test_a_rate_has_the_digits_that_matter(value, text):
    assert shown.rate(value) == text


def test_an_epoch_is_cut_from_the_left():
    assert shown.epoch(1763826000123) == "1763826000123"
    assert shown.epoch(1763826000123, 5) == "…0123"
    assert shown.epoch(None) == "-"


def test_a_member_is_shown_without_its_nonce():
    assert shown.member("host:12:abc") == "host:12"
    assert shown.member("odd") == "odd"
    assert shown.member(None) == "-"
    assert shown.member("") == "-"
