"""PURE. Grid: limit buys below the price, limit sells above, and after each fill the opposite order one step away.

Parameters (STRATEGY_PARAMS):

    grid_step    distance of the lines: price units (0.5 or "0.5") or a share of the price ("0.1%")
    order_size   amount of every order, base units
    levels       orders a side, 1 to 50 (default 5)
    max_position no more orders on the side that would go beyond, base units (default 2 × levels × order_size)
    price_tick   round prices of a "%" grid to this (default: 7 significant digits)

The lines stand still: line k is at k × step, or at (1 + share)^k. One line, the pivot, is free: buys stand on the lines
below it, sells on those above. A fill on a line makes that line the pivot, so the line it left gets the opposite order.
When the price leaves the grid, the grid follows. So orders and fills alone say where the grid stands.
"""

import math
from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from trader.money import plain
from trader.orders import Order, OrderState, Side
from trader.portfolio import Portfolio
from trader.strategy import Action, ActionKind, BookView, middle

_SIGNIFICANT = Context(prec=7, rounding=ROUND_HALF_EVEN)
_PRECISE = Context(prec=40)


class GridParams(BaseModel):
    """See the head of this file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    grid_step: str
    order_size: Decimal = Field(gt=0, allow_inf_nan=False)
    levels: int = Field(5, ge=1, le=50)
    max_position: Decimal | None = Field(None, gt=0, allow_inf_nan=False)
    price_tick: Decimal | None = Field(None, gt=0, allow_inf_nan=False)

    @field_validator("grid_step", mode="before")
    @classmethod
    def _step(cls, value: object) -> str:
        text = str(value).strip()
        try:
            number = Decimal(text.removesuffix("%"))
        except ArithmeticError:
            number = Decimal("NaN")
        if not number.is_finite() or number <= 0 or isinstance(value, bool):
            raise ValueError('expected a price step such as 0.5, or a share of the price such as "0.1%"')
        if text.endswith("%") and number > 50:
            raise ValueError("a step of more than 50% is no grid")
        return text


class _Lines:
    """Line number ↔ price."""

    def __init__(self, params: GridParams) -> None:
        self._tick = params.price_tick
        share = params.grid_step.endswith("%")
        number = Decimal(params.grid_step.removesuffix("%"))
        self._step = None if share else number
        self._ratio = 1 + number / 100 if share else Decimal(0)

    def price(self, line: int) -> Decimal:
        if self._step is not None:
            return self._step * line
        exact = _PRECISE.power(self._ratio, line)
        return _SIGNIFICANT.plus(exact) if self._tick is None else (exact / self._tick).to_integral_value() * self._tick

    def nearest(self, price: Decimal) -> int:
        if self._step is not None:
            return int((price / self._step).to_integral_value(ROUND_HALF_EVEN))
        return round(math.log(price) / math.log(self._ratio))


class GridStrategy:
    """See the head of this file."""

    id = "grid"

    def __init__(self, params: GridParams) -> None:
        self.params = params
        self.order_size = params.order_size
        self.exposure = params.max_position or params.order_size * params.levels * 2
        self.pivot: int | None = None
        self._lines = _Lines(params)
        self._around: tuple[int, list[tuple[str, Side]]] = (0, [])

    def restore(self, working: Sequence[Order], last_filled: Order | None) -> None:
        """The pivot lies between the highest buy and the lowest sell; if more than one line does, the last fill says."""
        buys = [int(order.slot) for order in working if order.side is Side.BUY and _is_line(order.slot)]
        sells = [int(order.slot) for order in working if order.side is Side.SELL and _is_line(order.slot)]
        filled = int(last_filled.slot) if last_filled is not None and _is_line(last_filled.slot) else None
        low = max(buys, default=None)
        high = min(sells, default=None)
        fits = filled is not None and (low is None or low < filled) and (high is None or filled < high)
        if fits:
            self.pivot = filled
        elif low is not None:
            self.pivot = low + 1
        elif high is not None:
            self.pivot = high - 1
        else:
            self.pivot = filled

    def on_executed(self, order: Order) -> None:
        """A wholly filled order frees its line: that is the pivot now."""
        if order.state is OrderState.FILLED and _is_line(order.slot):
            self.pivot = int(order.slot)

    def evaluate(self, book: BookView, portfolio: Portfolio) -> Sequence[Action]:
        """Cancel what stands where nothing should, place what is missing."""
        mid = middle(book.book)
        if mid is None:
            return [Action(ActionKind.NONE, reason="a side of the book is empty")]
        here = self._lines.nearest(mid)
        if self.pivot is None or abs(here - self.pivot) > self.params.levels:
            self.pivot = here
        wanted = self._wanted(self.pivot, portfolio.position)
        actions = [
            Action(ActionKind.CANCEL, slot, reason="outside the grid")
            for slot, order in portfolio.orders.items()
            if wanted.get(slot) is not order.side
        ]
        for slot, side in wanted.items():
            if slot not in portfolio.orders:
                price = self._lines.price(int(slot))
                kind = ActionKind.BUY if side is Side.BUY else ActionKind.SELL
                actions.append(Action(kind, slot, price, self.order_size, f"grid line {slot} at {plain(price)}"))
        return actions

    def _wanted(self, pivot: int, position: Decimal) -> dict[str, Side]:
        """Nearest lines first: where the position leaves room for some only, the far ones go without."""
        if self._around[0] != pivot or not self._around[1]:
            self._around = (pivot, self._lines_around(pivot))
        room = {
            Side.BUY: int((self.exposure - position) / self.order_size),
            Side.SELL: int((self.exposure + position) / self.order_size),
        }
        wanted: dict[str, Side] = {}
        for slot, side in self._around[1]:
            if room[side] > 0:
                room[side] -= 1
                wanted[slot] = side
        return wanted

    def _lines_around(self, pivot: int) -> list[tuple[str, Side]]:
        lines: list[tuple[str, Side]] = []
        for distance in range(1, self.params.levels + 1):
            if self._lines.price(pivot - distance) > 0:
                lines.append((str(pivot - distance), Side.BUY))
            lines.append((str(pivot + distance), Side.SELL))
        return lines


def _is_line(slot: str) -> bool:
    return slot.lstrip("-").isdecimal()
