"""What may be sent."""

from decimal import Decimal

import pytest

from tests.support.trading import BTC, D, fill, order
from trader.orders import Side
from trader.portfolio import Portfolio, portfolio_of
from trader.risk import RiskGate, RiskLimits

MID = D(100)


def gate(**limits: object) -> RiskGate:
    return RiskGate(RiskLimits(**limits).completed(D(1), D(3)))  # type: ignore[arg-type]


def ask(
    one: RiskGate,
    side: Side = Side.BUY,
    price: object = 100,
    amount: object = 1,
    portfolio: Portfolio | None = None,
    now_us: int = 0,
) -> str:
    """The refusal, empty if allowed."""
    allowed = one.allows(side, D(str(price)), D(str(amount)), MID, portfolio or Portfolio(BTC), now_us)
    return "" if allowed else one.last_refusal


def test_a_usual_order_is_allowed() -> None:
    one = gate()
    assert ask(one) == ""
    assert one.refused == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"amount": "1.1"}, "max_order_size 1"),
        ({"amount": 0}, "must be above 0"),
        ({"price": -1}, "must be above 0"),
        ({"amount": "0.1234567890123456789"}, "more digits than money has"),
        ({"price": "102.1"}, "beyond 200 bps of the middle 100"),
        ({"side": Side.SELL, "price": "97.9"}, "beyond 200 bps of the middle 100"),
    ],
)
def test_a_refusal_says_why_and_is_counted(arguments: dict[str, object], expected: str) -> None:
    one = gate()
    assert expected in ask(one, **arguments)  # type: ignore[arg-type]
    assert one.refused == 1
    assert sum(one.refusals.values()) == 1


def test_a_far_passive_price_is_no_danger() -> None:
    assert ask(gate(), price=50) == ""
    assert ask(gate(), side=Side.SELL, price=200) == ""


def test_working_orders_count_towards_the_position_as_if_filled() -> None:
    portfolio = portfolio_of(BTC, [fill(amount=D(1))], [order(amount=D("1.5"))])
    assert "could bring the position to 3.5, max_position is 3" in ask(gate(), portfolio=portfolio)
    assert ask(gate(), amount="0.5", portfolio=portfolio) == ""
    assert ask(gate(), side=Side.SELL, portfolio=portfolio) == ""


def test_a_short_position_is_limited_alike() -> None:
    portfolio = portfolio_of(BTC, [fill(side=Side.SELL, amount=D(3))])
    assert "max_position" in ask(gate(), side=Side.SELL, portfolio=portfolio)
    assert ask(gate(), side=Side.BUY, portfolio=portfolio) == ""


def test_an_order_that_only_reduces_may_be_larger_than_the_largest() -> None:
    portfolio = portfolio_of(BTC, [fill(amount=D(3))])
    assert ask(gate(), side=Side.SELL, amount=3, portfolio=portfolio) == ""
    assert "max_order_size" in ask(gate(), side=Side.SELL, amount="3.1", portfolio=portfolio)


def test_the_rate_is_limited_and_recovers_after_a_second() -> None:
    one = gate(max_orders_per_s=2)
    assert [ask(one, now_us=0), ask(one, now_us=500_000)] == ["", ""]
    assert "max_orders_per_s is 2" in ask(one, now_us=999_999)
    assert ask(one, now_us=1_000_000) == ""


def test_a_clock_set_back_does_not_block_orders() -> None:
    one = gate(max_orders_per_s=1)
    assert ask(one, now_us=10_000_000_000) == ""
    assert ask(one, now_us=5) == ""


def test_too_many_open_orders_are_refused() -> None:
    portfolio = portfolio_of(BTC, [], [order(amount=D("0.1"))])
    assert "max_open_orders is 1" in ask(gate(max_open_orders=1), portfolio=portfolio)


def test_only_a_live_and_fresh_book_is_traded_on() -> None:
    one = gate(max_book_age_ms=1000)
    assert one.book_refusal("live", 1000) == ""
    assert one.book_refusal("stale", 0) == "the book is stale"
    assert one.book_refusal("live", 1001) == "the book is 1.0 s old, the limit is 1.0 s"


def test_given_limits_come_before_the_strategys_own() -> None:
    limits = RiskLimits(max_order_size=Decimal(7)).completed(D(1), D(3))
    assert (limits.max_order_size, limits.max_position) == (7, 3)
