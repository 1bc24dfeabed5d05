"""The grid: where its orders stand and how it moves."""

from dataclasses import replace
from itertools import pairwise

import pytest

from tests.support.trading import BTC, D, View, fill, order
from trader.orders import OrderState, Side
from trader.portfolio import Portfolio
from trader.strategies.grid import GridParams, GridStrategy
from trader.strategy import ActionKind


def grid(**params: object) -> GridStrategy:
    return GridStrategy(GridParams(**{"grid_step": "1", "order_size": "1", "levels": 2} | params))  # type: ignore[arg-type]


def act(strategy: GridStrategy, price: object, portfolio: Portfolio) -> list[tuple[str, str, str]]:
    """Ask, and let the portfolio have what was asked for."""
    actions = strategy.evaluate(View().around(price), portfolio)
    for action in actions:
        if action.kind is ActionKind.CANCEL:
            del portfolio.orders[action.slot]
        else:
            side = Side(action.kind.value)
            portfolio.keep(order(client_id=action.slot, slot=action.slot, side=side, price=action.price))
    return [(action.kind.value, action.slot, format(action.price, "f")) for action in actions]


def execute(strategy: GridStrategy, portfolio: Portfolio, slot: str) -> None:
    held = portfolio.orders[slot]
    portfolio.apply(fill(side=held.side, price=held.price, amount=held.amount))
    done = replace(held, filled=held.amount, state=OrderState.FILLED)
    portfolio.keep(done)
    strategy.on_executed(done)


def test_it_buys_below_and_sells_above_nearest_first() -> None:
    assert act(grid(), 100, Portfolio(BTC)) == [
        ("buy", "99", "99"),
        ("sell", "101", "101"),
        ("buy", "98", "98"),
        ("sell", "102", "102"),
    ]


def test_nothing_is_done_twice() -> None:
    strategy, portfolio = grid(), Portfolio(BTC)
    act(strategy, 100, portfolio)
    assert act(strategy, 100.3, portfolio) == []


def test_a_fill_is_answered_by_the_opposite_order_one_step_away() -> None:
    strategy, portfolio = grid(), Portfolio(BTC)
    act(strategy, 100, portfolio)
    execute(strategy, portfolio, "99")
    assert act(strategy, 99, portfolio) == [("cancel", "102", "0"), ("sell", "100", "100"), ("buy", "97", "97")]
    execute(strategy, portfolio, "100")
    assert ("buy", "99", "99") in act(strategy, 100, portfolio)
    assert portfolio.realised == 1


def test_a_partial_fill_moves_nothing() -> None:
    strategy, portfolio = grid(), Portfolio(BTC)
    act(strategy, 100, portfolio)
    strategy.on_executed(replace(portfolio.orders["99"], filled=D("0.5"), state=OrderState.PARTIAL))
    assert act(strategy, 100, portfolio) == []


def test_it_follows_a_price_that_left_the_grid() -> None:
    strategy, portfolio = grid(), Portfolio(BTC)
    act(strategy, 100, portfolio)
    actions = act(strategy, 110, portfolio)
    assert [one for one in actions if one[0] == "cancel"] == [
        ("cancel", slot, "0") for slot in ("99", "101", "98", "102")
    ]
    assert set(portfolio.orders) == {"108", "109", "111", "112"}


def test_it_stops_the_side_whose_position_is_full() -> None:
    strategy, portfolio = grid(max_position="1"), Portfolio(BTC)
    assert [slot for _, slot, _ in act(strategy, 100, portfolio)] == ["99", "101"]
    execute(strategy, portfolio, "99")
    assert {slot for slot, held in portfolio.orders.items() if held.side is Side.BUY} == set()
    act(strategy, 99, portfolio)
    assert {held.side for held in portfolio.orders.values()} == {Side.SELL}


def test_lines_that_are_not_above_zero_are_left_out() -> None:
    assert [slot for _, slot, _ in act(grid(levels=3), "1.2", Portfolio(BTC))] == ["2", "3", "4"]


def test_a_share_of_the_price_makes_geometric_lines() -> None:
    strategy, portfolio = grid(grid_step="1%"), Portfolio(BTC)
    act(strategy, 65000, portfolio)
    prices = sorted(held.price for held in portfolio.orders.values())
    ratios = [upper / lower for lower, upper in pairwise(prices)]
    for ratio, expected in zip(ratios, ("1.01", "1.0201", "1.01"), strict=True):
        assert abs(ratio - D(expected)) < D("0.0001")
    assert prices[1] < 65000 < prices[2]


def test_a_price_tick_rounds_the_lines() -> None:
    strategy, portfolio = grid(grid_step="0.7%", price_tick="0.5"), Portfolio(BTC)
    act(strategy, 65000, portfolio)
    assert all(held.price % D("0.5") == 0 for held in portfolio.orders.values())


def test_orders_and_fills_alone_bring_it_back() -> None:
    """Whatever happened, a new grid restored from SQL's view wants what the old one wanted."""
    strategy, portfolio = grid(levels=3), Portfolio(BTC)
    last = None
    act(strategy, 100, portfolio)
    for slot in ("99", "98", "99", "100", "101"):
        last = replace(portfolio.orders[slot], state=OrderState.FILLED)
        execute(strategy, portfolio, slot)
        before = grid(levels=3)
        before.restore(list(portfolio.orders.values()), last)
        assert before.pivot == strategy.pivot
        act(strategy, slot, portfolio)
        after = grid(levels=3)
        after.restore(list(portfolio.orders.values()), last)
        assert after.pivot == strategy.pivot
        assert after.evaluate(View().around(slot), portfolio) == []


def test_without_a_fill_the_orders_alone_bring_it_back() -> None:
    strategy, portfolio = grid(), Portfolio(BTC)
    act(strategy, 100, portfolio)
    again = grid()
    again.restore(list(portfolio.orders.values()), None)
    assert again.evaluate(View().around(100.9), portfolio) == []


def test_an_empty_side_of_the_book_is_waited_out() -> None:
    [action] = grid().evaluate(View().show({"99": "1"}, {}), Portfolio(BTC))
    assert (action.kind, action.reason) == (ActionKind.NONE, "a side of the book is empty")


@pytest.mark.parametrize("step", ["0.1%", "0.5", 0.5, 1])
def test_steps_may_be_written_as_prices_or_shares(step: object) -> None:
    assert GridParams(grid_step=step, order_size=1.0).order_size == 1  # type: ignore[arg-type]
