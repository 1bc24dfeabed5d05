"""One task at work: look for fills, ask the strategy, ask risk, write the intent, then place.

All memory here is a copy of SQL. Whatever goes wrong with a write, the engine is thrown away and built anew from SQL:
no path tries to mend memory.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeVar

from fleet.clock import MonoMs, mono_ms
from fleet.errors import Fenced
from fleet.tasks import Task
from trader.ledger import Ledger, TaskRecord
from trader.money import BPS, storable, times
from trader.orders import Fill, Order, OrderState, Side, client_order_id
from trader.paper import PaperVenue
from trader.portfolio import Portfolio, portfolio_of
from trader.risk import RiskGate
from trader.strategies import Setup
from trader.strategy import Action, ActionKind, BookView, middle

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

# a refused order is not asked for again sooner, so that a limit that is reached does not refuse a thousand times a second
_REFUSED_PAUSE_US = 1_000_000
_CLOSE_SLOT = "close"
_KIND_SIDE = {ActionKind.BUY: Side.BUY, ActionKind.SELL: Side.SELL}


@dataclass
class TaskStats:
    """Counted since this owner took over; `hold` says why nothing is placed just now."""

    orders: int = 0
    fills: int = 0
    cancels: int = 0
    hold: str = ""


class TaskEngine:
    """Built from a task and its record in SQL; `step` with every new book."""

    def __init__(
        self, task: Task, setup: Setup, record: TaskRecord, ledger: Ledger, fleet_uuid: str, *, clock: MonoMs = mono_ms
    ) -> None:
        self.task = task
        self.strategy = setup.strategy
        self.gate = RiskGate(setup.limits)
        self.portfolio: Portfolio = portfolio_of(task.pair, record.fills, record.working)
        self.stats = TaskStats()
        self._ledger = ledger
        self._fleet_uuid = fleet_uuid
        self._clock = clock
        self._numbers = ledger.lease.numbers
        self._paused_us: dict[str, int] = {}
        self._broken = ""
        self._venue = PaperVenue(setup.terms)
        counts: dict[str, int] = {}
        for fill in record.fills:
            counts[fill.client_id] = counts.get(fill.client_id, 0) + 1
        for order in record.working:
            self._venue.place(order, counts.get(order.client_id, 0))
        self._ask(lambda: self.strategy.restore(record.working, record.last_filled))

    async def step(self, view: BookView, heard_us: int, now_us: int, hold: str = "") -> None:
        """One look at the book. `heard_us`: when the pair was last heard of; `hold`: why nothing new may be placed.

        Raises Fenced, Halted, Unreachable: the engine is of no use after that.
        """
        refusal = self.gate.book_refusal(view.status, (now_us - heard_us) / 1000)
        if refusal:
            self.stats.hold = refusal
            return
        for fill in self._venue.look(view.book, now_us):
            await self._executed(fill)
        self.stats.hold = hold or self._broken
        if self._broken:
            await self.cancel_all(self._broken)
        # the book went on while fills were written
        if self.stats.hold or view.status != "live":
            return
        actions = self._ask(lambda: self.strategy.evaluate(view, self.portfolio))
        if actions:
            await self._act(actions, view, now_us)

    async def cancel_all(self, reason: str) -> None:
        """Cancel every working order of the task."""
        await self._cancel(list(self.portfolio.orders.values()), reason)

    async def _executed(self, fill: Fill) -> None:
        order = await self._ledger.fill(fill)
        if order is None:
            return
        self.portfolio.apply(fill)
        self.portfolio.keep(order)
        self.stats.fills += 1
        self._ask(lambda: self.strategy.on_executed(order))

    def _ask(self, question: Callable[[], Answer]) -> Answer | None:
        try:
            return question()
        except Exception as error:
            self._broken = f"the strategy failed: {type(error).__name__}: {error}; change the task to try again"
            log.exception("TRADE row %d (%s): %s", self.task.id, self.task.pair, self._broken)
            return None

    async def _act(self, actions: Sequence[Action], view: BookView, now_us: int) -> None:
        cancels = {action.slot: action.reason for action in actions if action.kind is ActionKind.CANCEL}
        for reason in set(cancels.values()):
            named = [slot for slot, why in cancels.items() if why == reason]
            await self._cancel([self.portfolio.orders[slot] for slot in named if slot in self.portfolio.orders], reason)
        self.stats.hold = next((action.reason for action in actions if action.kind is ActionKind.NONE), "")
        # read after the cancels were written: the book may have moved on
        mid = middle(view.book) if view.status == "live" else None
        if mid is not None:
            await self._place(self._allowed(actions, view, mid, now_us))

    def _allowed(self, actions: Iterable[Action], view: BookView, mid: Decimal, now_us: int) -> list[Order]:
        orders: list[Order] = []
        planned = replace(self.portfolio, orders=dict(self.portfolio.orders))
        for action in actions:
            order = self._order(action, view, now_us)
            if order is None or order.slot in planned.orders:
                continue
            if self._paused_us.get(order.slot, now_us) > now_us:
                continue
            self._paused_us.pop(order.slot, None)
            if self.gate.allows(order.side, order.price, order.amount, mid, planned, now_us):
                orders.append(order)
                planned.keep(order)
                self._numbers[self.task.id] = self._next_number  # only an order that is placed takes its number
            else:
                self._paused_us[order.slot] = now_us + _REFUSED_PAUSE_US
        return orders

    def _order(self, action: Action, view: BookView, now_us: int) -> Order | None:
        if action.kind is ActionKind.CLOSE:
            return self._closing(action, view, now_us)
        side = _KIND_SIDE.get(action.kind)
        if side is None:
            return None
        return self._new(side, action.price, action.amount, action.slot, action.reason, now_us)

    def _closing(self, action: Action, view: BookView, now_us: int) -> Order | None:
        position = self.portfolio.position
        side = Side.SELL if position > 0 else Side.BUY
        best = view.book.best_bid() if side is Side.SELL else view.book.best_ask()
        if not position or best is None:
            return None
        # half the collar: deep enough to be filled at once, never refused for its price
        price = times(Decimal(best[0]), 1 + side.sign * self.gate.limits.collar_bps / BPS / 2)
        return self._new(side, storable(price), position.copy_abs(), _CLOSE_SLOT, action.reason, now_us)

    @property
    def _next_number(self) -> int:
        return self._numbers.get(self.task.id, 0) + 1

    def _new(self, side: Side, price: Decimal, amount: Decimal, slot: str, reason: str, now_us: int) -> Order:
        lease = self._ledger.lease
        return Order(
            client_id=client_order_id(self._fleet_uuid, self.task.id, lease.epoch, self._next_number),
            task_id=self.task.id,
            account=lease.account,
            epoch=lease.epoch,
            pair=self.task.pair,
            mode=self.task.mode,
            side=side,
            price=price,
            amount=amount,
            slot=slot or side.value,
            reason=reason,
            placed_us=now_us,
        )

    async def _place(self, orders: list[Order]) -> None:
        if not orders:
            return
        await self._ledger.intents(orders)
        if not self._ledger.lease.safe(self._clock()):
            raise Fenced(f"the lease of account {self._ledger.lease.account!r} ran out before its orders could be sent")
        for order in orders:
            self._venue.place(order)
        await self._ledger.opened(orders)
        for order in orders:
            self.portfolio.keep(replace(order, state=OrderState.OPEN, venue_id=order.client_id))
        self.stats.orders += len(orders)

    async def _cancel(self, orders: list[Order], reason: str) -> None:
        if not orders:
            return
        for order in orders:
            self._venue.cancel(order.client_id)
        await self._ledger.ended(orders, OrderState.CANCELLED, reason)
        for order in orders:
            self.portfolio.keep(replace(order, state=OrderState.CANCELLED))
        self.stats.cancels += len(orders)
