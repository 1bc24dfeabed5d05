"""Positions and profit from fills."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tests.support.trading import BTC, D, fill, order
from trader.orders import OrderState, Side
from trader.portfolio import Portfolio, portfolio_of

money = st.decimals(min_value="0.000000000000000001", max_value="12345678901234567890", places=18)
fills = st.lists(
    st.builds(
        lambda side, price, amount, paid: fill(side=side, price=price, amount=amount, commission=paid),
        st.sampled_from(Side),
        money,
        money,
        st.decimals(min_value=0, max_value=10, places=18),
    ),
    max_size=20,
)


@given(fills)
def test_the_position_is_the_exact_sum_of_all_fills(given_fills) -> None:
    portfolio = portfolio_of(BTC, given_fills)
    units = [int(format(one.amount, "f").replace(".", "")) * one.side.sign for one in given_fills]
    assert portfolio.position == Decimal(f"{sum(units)}E-18")
    assert portfolio.fills == len(given_fills)


@given(fills)
def test_a_closed_position_has_realised_its_whole_cash_flow(given_fills) -> None:
    portfolio = portfolio_of(BTC, given_fills)
    if portfolio.position:
        side = Side.SELL if portfolio.position > 0 else Side.BUY
        portfolio.apply(fill(side=side, price=D(5), amount=portfolio.position.copy_abs()))
    assert portfolio.position == 0
    assert portfolio.cost == 0
    # shares of a cost are rounded to 18 places, once a fill at most
    assert abs(portfolio.realised - portfolio.cash) <= Decimal("1E-18") * len(given_fills)


def test_buying_twice_and_selling_realises_against_the_average() -> None:
    portfolio = portfolio_of(BTC, [fill(price=D(100)), fill(price=D(110))])
    assert portfolio.average == 105
    portfolio.apply(fill(side=Side.SELL, price=D(120), commission=D("0.5")))
    assert (portfolio.position, portfolio.realised, portfolio.average) == (1, 15, 105)
    assert portfolio.profit(D(120)) == 15 + 15 - D("0.5")


def test_selling_through_zero_opens_a_short_at_the_new_price() -> None:
    portfolio = portfolio_of(BTC, [fill(price=D(100)), fill(side=Side.SELL, price=D(110), amount=D(3))])
    assert (portfolio.position, portfolio.realised, portfolio.average) == (-2, 10, 110)
    portfolio.apply(fill(price=D(100), amount=D(2)))
    assert (portfolio.position, portfolio.realised, portfolio.average) == (0, 30, None)


def test_working_orders_are_kept_by_slot_until_they_end() -> None:
    portfolio = Portfolio(BTC)
    portfolio.keep(order(amount=D(3), filled=D(1), state=OrderState.PARTIAL))
    portfolio.keep(order(client_id="c2", slot="101", side=Side.SELL))
    assert (portfolio.working(Side.BUY), portfolio.working(Side.SELL)) == (2, 1)
    portfolio.keep(order(state=OrderState.FILLED))
    assert list(portfolio.orders) == ["101"]


def test_the_end_of_an_old_order_does_not_free_the_slot_of_a_new_one() -> None:
    portfolio = Portfolio(BTC)
    portfolio.keep(order(client_id="new"))
    portfolio.keep(order(client_id="old", state=OrderState.CANCELLED))
    assert portfolio.orders["99"].client_id == "new"
