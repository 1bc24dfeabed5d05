"""The BBO strategy."""

from tests.support.trading import BTC, D, View, fill, order
from trader.orders import Side
from trader.portfolio import Portfolio, portfolio_of
from trader.strategies.bbo import BboParams, BboStrategy


def bbo(**params: object) -> BboStrategy:
    return BboStrategy(BboParams(**{"order_size": "1"} | params))  # type: ignore[arg-type]


def said(strategy: BboStrategy, view: View, portfolio: Portfolio) -> list[tuple[str, str, str]]:
    return [(one.kind.value, one.slot, str(one.price)) for one in strategy.evaluate(view, portfolio)]


def test_it_joins_both_best_prices() -> None:
    found = said(bbo(), View().show({"99": "1"}, {"101": "1"}), Portfolio(BTC))
    assert found == [("buy", "bid", "99"), ("sell", "ask", "101")]


def test_an_order_at_the_best_price_stays_and_one_that_strayed_is_cancelled() -> None:
    portfolio = portfolio_of(BTC, [], [order(slot="bid", price=D(99)), order(slot="ask", side=Side.SELL, price=D(105))])
    assert said(bbo(), View().show({"99": "1"}, {"101": "1"}), portfolio) == [("cancel", "ask", "0")]


def test_a_spread_too_small_is_not_quoted() -> None:
    portfolio = portfolio_of(BTC, [], [order(slot="bid", price=D(99))])
    view = View().show({"99": "1"}, {"101": "1"})
    assert said(bbo(min_spread_bps="201"), view, portfolio) == [("cancel", "bid", "0")]
    assert len(said(bbo(min_spread_bps="200"), view, Portfolio(BTC))) == 2


def test_a_full_position_quotes_one_side() -> None:
    portfolio = portfolio_of(BTC, [fill(amount=D(2))])
    view = View().show({"99": "1"}, {"101": "1"})
    assert said(bbo(max_position="2"), view, portfolio) == [("sell", "ask", "101")]


def test_an_empty_side_is_waited_out() -> None:
    assert said(bbo(), View().show({}, {"101": "1"}), Portfolio(BTC)) == [("none", "", "0")]
