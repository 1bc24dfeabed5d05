"""PURE. What a task holds: the sum of its fills, and its working orders.

The position is relative to what the account held when the task began: on spot a negative position means that
much of the account's own holding was sold.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from fleet.pair import Pair
from trader.money import EXACT, ZERO, minus, plus, storable, times
from trader.orders import Fill, Order, Side


@dataclass
class Portfolio:
    """`cash` is the quote flow of all fills without commission; `cost` the signed cost of the present position."""

    pair: Pair
    position: Decimal = ZERO
    cash: Decimal = ZERO
    cost: Decimal = ZERO
    realised: Decimal = ZERO
    commission: Decimal = ZERO
    fills: int = 0
    orders: dict[str, Order] = field(default_factory=dict)

    def apply(self, fill: Fill) -> None:
        """Take one fill in; average cost decides what is realised."""
        signed = fill.amount if fill.side is Side.BUY else minus(ZERO, fill.amount)
        value = times(fill.price, signed)
        self.cash = minus(self.cash, value)
        self.commission = plus(self.commission, fill.commission)
        self.fills += 1
        before, after = self.position, plus(self.position, signed)
        self.position = after
        if before * signed >= 0:
            self.cost = plus(self.cost, value)
            return
        # the part that closes leaves at average cost; what goes beyond zero opens at the fill's price
        closing = min(signed.copy_abs(), before.copy_abs())
        share = EXACT.divide(closing, before.copy_abs())
        released = storable(times(self.cost, share)) if share != 1 else self.cost
        proceeds = times(fill.price, closing if before > 0 else minus(ZERO, closing))
        self.realised = plus(self.realised, minus(proceeds, released))
        self.cost = minus(self.cost, released) if signed.copy_abs() <= before.copy_abs() else times(fill.price, after)

    @property
    def average(self) -> Decimal | None:
        """Average price of the position; None when there is none."""
        return storable(EXACT.divide(self.cost, self.position)) if self.position else None

    def profit(self, mid: Decimal) -> Decimal:
        """Realised and unrealised together, after commission, in quote."""
        return minus(plus(self.cash, times(self.position, mid)), self.commission)

    def working(self, side: Side) -> Decimal:
        """What the working orders of a side would still add if all were filled."""
        total = ZERO
        for order in self.orders.values():
            if order.side is side:
                total = plus(total, order.remaining)
        return total

    def keep(self, order: Order) -> None:
        """Remember a working order in its slot, forget one that is done."""
        if order.working:
            self.orders[order.slot] = order
        else:
            held = self.orders.get(order.slot)
            if held is not None and held.client_id == order.client_id:
                del self.orders[order.slot]


def portfolio_of(pair: Pair, fills: Iterable[Fill], orders: Iterable[Order] = ()) -> Portfolio:
    """The portfolio after these fills, with these orders."""
    portfolio = Portfolio(pair)
    for fill in fills:
        portfolio.apply(fill)
    for order in orders:
        portfolio.keep(order)
    return portfolio
