"""fleet/backoff.py."""

from itertools import islice
from random import Random

from fleet.backoff import CAP_S, delays


def test_delays_double_to_the_cap_and_stay_there() -> None:
    ceilings = [min(CAP_S, 2.0**attempt) for attempt in range(12)]
    for delay, ceiling in zip(islice(delays(Random(1)), 12), ceilings, strict=True):
        assert ceiling / 2 <= delay <= ceiling


def test_two_daemons_do_not_come_back_in_step() -> None:
    assert list(islice(delays(Random(1)), 5)) != list(islice(delays(Random(2)), 5))


def test_a_new_generator_starts_anew() -> None:
    first = delays(Random(1))
    list(islice(first, 10))
    assert next(first) > 100
    assert next(delays(Random(1))) <= 1
