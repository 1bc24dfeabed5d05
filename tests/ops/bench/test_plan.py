"""`fleet bench plan` on a small fleet: what its figures must say whatever the machine."""

from tests.support.commands import assert_one_line, run_fleet


def test_the_figures_of_a_plan() -> None:
    figures = run_fleet("bench", "plan", "--daemons", "20", "--planned-pairs", "800", "--json").json
    assert (figures["name"], figures["daemons"], figures["pairs"]) == ("plan", 20, 800)
    assert figures["again_moves"] == 0
    assert 1.0 <= figures["load_max_of_mean"] < 1.5
    assert 0.8 <= figures["join_moves_of_ideal"] <= 1.1
    assert 0.8 <= figures["leave_moves_of_ideal"] <= 1.1
    assert all(figures[f"{name}_ms"] >= 0 for name in ("first", "again", "other_rates", "join", "leave"))
    assert "cores" in figures["machine"]


def test_options_of_other_benches_are_refused() -> None:
    assert_one_line(run_fleet("bench", "plan", "--runs", "3"), 2, "--runs", "recovery")
    assert_one_line(run_fleet("bench", "--daemons", "3"), 2, "--daemons", "plan")
