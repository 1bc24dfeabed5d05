"""Books held against the venue's, level by level."""

from decimal import Decimal

from ops.chaos.truth import difference

TRUTH = (
    {Decimal(100): Decimal(1), Decimal("99.5"): Decimal(2), Decimal(99): Decimal(3)},
    {Decimal(101): Decimal(4), Decimal(102): Decimal(5)},
)
OURS = ({"99.5": "2", "100": "1.0", "99": "3"}, {"101": "4", "102": "5"})


def test_the_same_levels_are_no_difference_however_they_are_spelled():
    assert difference(OURS, TRUTH, 50) == ""


def test_a_wrong_amount_is_named_with_both_words():
    told = difference((OURS[0], {"101": "4", "102": "6"}), TRUTH, 50)
    assert told == "asks differ in 1 of 2 levels, the best at 102: we have 6, the venue 5"


def test_a_level_too_many_and_one_too_few_are_seen():
    assert "the venue none" in difference(({**OURS[0], "100.5": "1"}, OURS[1]), TRUTH, 50)
    assert "we have none" in difference(({"100": "1", "99": "3"}, OURS[1]), TRUTH, 50)


def test_what_is_deeper_than_asked_does_not_count():
    wrong_below = ({"100": "1", "99.5": "2", "98": "7"}, OURS[1])
    assert difference(wrong_below, TRUTH, 2) == ""
    assert difference(wrong_below, TRUTH, 3) != ""
