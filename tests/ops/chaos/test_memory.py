"""How much memory a process uses, and the slope of many samples."""

import os

import pytest

from fleet.errors import FleetError
from ops.chaos.memory import resident_mb, slope_per_hour


def test_a_straight_line_has_its_slope():
    assert slope_per_hour([(second, 100 + second / 60) for second in range(0, 600, 10)]) == pytest.approx(60)


def test_noise_around_a_level_has_no_slope_worth_naming():
    assert abs(slope_per_hour([(second, 100 + second % 2) for second in range(3600)])) < 1


def test_one_moment_has_no_slope():
    with pytest.raises(ValueError, match="no slope"):
        slope_per_hour([(1.0, 2.0)])


def test_our_own_memory_can_be_read_and_that_of_no_process_cannot():
    assert 5 < resident_mb(os.getpid()) < 10_000
    with pytest.raises(FleetError, match="cannot be read"):
        resident_mb(0)
