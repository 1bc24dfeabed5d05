"""STRATEGY_ID and STRATEGY_PARAMS turned into a strategy."""

import pytest

from fleet.errors import ConfigError
from trader.strategies import build


def test_the_parameters_of_the_first_draft_work() -> None:
    setup = build("grid", {"grid_step": 0.5, "order_size": 1.0})
    assert (setup.strategy.id, setup.strategy.order_size) == ("grid", 1)
    assert (setup.limits.max_order_size, setup.limits.max_position) == (1, 10)


def test_risk_and_paper_have_objects_of_their_own() -> None:
    setup = build("bbo", {"order_size": "0.1", "risk": {"max_position": "3"}, "paper": {"latency_ms": 0}})
    assert (setup.limits.max_position, setup.terms.latency_ms) == (3, 0)


@pytest.mark.parametrize(
    ("strategy", "params", "expected"),
    [
        ("gird", {}, "strategy 'gird' is unknown; known are bbo, grid; did you mean grid?"),
        ("grid", {"order_size": 1}, "strategy grid: grid_step is missing"),
        ("grid", {"grid_step": 0.5, "order_size": 0}, "order_size: Input should be greater than 0, got '0'"),
        ("grid", {"grid_step": "wide", "order_size": 1}, "expected a price step such as 0.5"),
        ("grid", {"grid_step": True, "order_size": 1}, "expected a price step such as 0.5"),
        ("grid", {"grid_step": "60%", "order_size": 1}, "more than 50% is no grid"),
        ("grid", {"grid_step": 1, "order_size": 1, "level": 3}, "unknown parameter level; known are grid_step"),
        ("grid", {"grid_step": 1, "order_size": 1, "risk": {"max": 1}}, "strategy grid risk: unknown parameter max"),
        ("bbo", {"order_size": "NaN"}, "order_size"),
        ("bbo", {"order_size": 1, "paper": 7}, "strategy bbo paper"),
    ],
)
def test_a_mistake_is_named(strategy: str, params: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(strategy, params)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
