"""PURE. BBO: joins the best bid and the best ask with one order each, while the spread pays for it.

Parameters (STRATEGY_PARAMS):

    order_size      amount of every order, base units
    max_position    stops quoting the side that would go beyond, base units (default 5 × order_size)
    min_spread_bps  quotes only while the spread is at least this, 1/100 of a percent (default 0)
    requote_bps     an order this near to the best price is left alone (default 1)

It holds no state: its orders are in the slots `bid` and `ask`, its position is in the portfolio.
"""

from collections.abc import Sequence
from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field

from trader.money import BPS
from trader.orders import Order, Side
from trader.portfolio import Portfolio
from trader.strategy import Action, ActionKind, BookView


class BboParams(BaseModel):
    """See the head of this file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    order_size: Decimal = Field(gt=0, allow_inf_nan=False)
    max_position: Decimal | None = Field(None, gt=0, allow_inf_nan=False)
    min_spread_bps: Decimal = Field(Decimal(0), ge=0, allow_inf_nan=False)
    requote_bps: Decimal = Field(Decimal(1), ge=0, allow_inf_nan=False)


class BboStrategy:
    """See the head of this file."""

    id = "bbo"

    def __init__(self, params: BboParams) -> None:
        self.params = params
        self.order_size = params.order_size
        self.exposure = params.max_position or params.order_size * 5

    def restore(self, working: Sequence[Order], last_filled: Order | None) -> None:
        """Nothing to restore."""

    def on_executed(self, order: Order) -> None:
        """Nothing to remember."""

    def evaluate(self, book: BookView, portfolio: Portfolio) -> Sequence[Action]:
        """Keep one order at each best price, cancel one that strayed."""
        bid, ask = book.book.best_bid(), book.book.best_ask()
        if bid is None or ask is None:
            return [Action(ActionKind.NONE, reason="a side of the book is empty")]
        low, high = Decimal(bid[0]), Decimal(ask[0])
        pays = (high - low) * 2 * BPS >= self.params.min_spread_bps * (high + low)
        actions: list[Action] = []
        actions += self._quote("bid", Side.BUY, low, pays, portfolio)
        actions += self._quote("ask", Side.SELL, high, pays, portfolio)
        return actions

    def _quote(self, slot: str, side: Side, price: Decimal, pays: bool, portfolio: Portfolio) -> list[Action]:
        order = portfolio.orders.get(slot)
        room = portfolio.position * side.sign + self.order_size <= self.exposure
        if order is not None:
            if pays and room and abs(order.price - price) * BPS <= self.params.requote_bps * price:
                return []
            return [Action(ActionKind.CANCEL, slot, reason="the best price moved" if pays and room else "not quoting")]
        if not pays or not room:
            return []
        kind = ActionKind.BUY if side is Side.BUY else ActionKind.SELL
        return [Action(kind, slot, price, self.order_size, f"joins the best {slot}")]
