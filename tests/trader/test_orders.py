"""Orders, what fills make of them, and their names."""

import pytest

from tests.support.trading import D, fill, order
from trader.orders import CLIENT_ID_LIMIT, OrderState, Side, client_order_id


def test_fills_lead_over_partial_to_filled() -> None:
    first = order(amount=D(3)).executed(fill(amount=D(1)))
    assert (first.state, first.remaining, first.working) == (OrderState.PARTIAL, 2, True)
    second = first.executed(fill(amount=D(2), trade_id="t2"))
    assert (second.state, second.remaining, second.working) == (OrderState.FILLED, 0, False)


@pytest.mark.parametrize("values", [{"amount": D(2)}, {"amount": D(0)}, {"client_id": "other"}, {"side": Side.SELL}])
def test_a_fill_that_does_not_fit_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        order().executed(fill(**values))


def test_client_ids_are_letters_and_digits_short_and_always_the_same() -> None:
    made = client_order_id("3f2a1c0000000000", 1234, 56789, 1234567)
    assert made == "f3f2a1ct1234e56789n1234567"
    assert made.isalnum()
    assert len(made) <= CLIENT_ID_LIMIT


def test_a_client_id_that_a_venue_would_cut_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than 32"):
        client_order_id("3f2a1c", 10**9, 10**9, 10**9)
