"""Figures, limits, violations; the worst of several runs."""

import pytest

from ops.chaos.result import Result, report


def result(seed: int = 1, **more: object) -> Result:
    return Result(name="kill", scale="small", seed=seed, **more)


def test_of_a_figure_measured_twice_the_worse_one_stays():
    one = result()
    for value in (3.0, 7.0, 5.0):
        one.measure("reowned_ms", value, 10)
    assert one.figures == {"reowned_ms": 7.0}
    assert one.passed


def test_a_figure_beyond_its_limit_fails_the_run():
    one = result()
    one.measure("reowned_ms", 10.1, 10)
    assert not one.passed
    assert one.exceeded == ["reowned_ms = 10.1, limit 10"]


def test_a_figure_and_its_limit_are_compared_to_the_same_tenth():
    found = result()
    found.measure("a", 1.0989, 1.0996)
    assert found.figures["a"] == found.limits["a"] == 1.1
    assert found.passed


def test_a_limit_without_a_figure_fails_the_run():
    assert result(limits={"live_again_ms": 7000}).exceeded == ["live_again_ms was not measured (limit 7000)"]


def test_a_violation_fails_the_run_whatever_the_figures():
    assert not result(violations=["two writers"]).passed


def test_a_figure_without_a_limit_is_only_told():
    one = result()
    one.measure("seams", 9)
    assert one.passed


def test_a_report_shows_the_worst_of_all_runs_and_every_violation_with_its_seed():
    first, second = result(1), result(2, violations=["two writers"])
    first.measure("reowned_ms", 4000, 5000)
    second.measure("reowned_ms", 4500, 5000)
    second.measure("seams", 1)
    shown = report([first, second])
    assert shown["worst"] == {"reowned_ms": 4500, "seams": 1}
    assert shown["limits"] == {"reowned_ms": 5000}
    assert shown["violations"] == ["seed 2: two writers"]
    assert (shown["passed"], shown["runs"], shown["seeds"]) == (False, 2, [1, 2])


def test_a_report_passes_when_every_run_did():
    assert report([result(1), result(2)])["passed"] is True


def test_no_run_is_no_report():
    with pytest.raises(ValueError, match="no run"):
        report([])
