"""A delta window merges half steps into one message."""

from ops.simulator.market import HalfStep
from ops.simulator.window import Delta, DeltaWindow


def test_a_window_merges_and_links() -> None:
    window = DeltaWindow(10)
    window.merge(HalfStep(12, 15, {100: 3}, {105: 1}))
    window.merge(HalfStep())
    window.merge(HalfStep(17, 20, {100: 0, 99: 2}, {}))
    assert window.take() == Delta(12, 20, 10, {100: 0, 99: 2}, {105: 1})
    assert window.take() is None
    window.merge(HalfStep(25, 25, {98: 1}, {}))
    assert window.take() == Delta(25, 25, 20, {98: 1}, {})


def test_a_window_without_changes_gives_nothing() -> None:
    window = DeltaWindow(10)
    window.merge(HalfStep())
    assert window.take() is None
    assert window.previous == 10
