# ruff: noqa: SIM300 - columns are upper case, which makes the rule take them for constants
"""The truth about orders and fills, in SQL. Every write is one transaction that begins with the fence.

intents   committed BEFORE an order is given to the gateway: after a crash nothing was sent that is not written here
fill      the fill and the order's new state in one transaction, under a unique key: neither lost nor twice
load      working orders and all fills: from them alone a new owner goes on
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from fleet.errors import FleetError
from fleet.pair import Pair
from fleet.schema import ORDERS, TRADE_HISTORY
from fleet.sql import reading, writing
from fleet.tasks import Task
from trader.lease import AccountLease, fence
from trader.orders import WORKING, Fill, Order, OrderState, Side

PAGE_ROWS = 5_000
_WORKING = sorted(WORKING)


class Halted(FleetError):
    """Trading is halted: nothing was written, nothing may be sent."""


@dataclass(frozen=True)
class TaskRecord:
    """All that SQL knows of a task, oldest first. `last_filled` is the order whose last fill came last."""

    working: tuple[Order, ...]
    fills: tuple[Fill, ...]
    last_filled: Order | None


class Ledger:
    """Writes under one account's lease. All methods raise Fenced when the account has a new owner, Unreachable when SQL
    does not answer, also where it hangs: what is in SQL is then to be read again, since a COMMIT may have taken effect
    unseen. That means a lease anew: its lock waits for a transaction of ours that the server still works on."""

    def __init__(self, engine: AsyncEngine, lease: AccountLease) -> None:
        self.lease = lease
        self._engine = engine

    async def load(self, task: Task) -> TaskRecord:
        """What SQL holds of the task on this account and pair."""
        async with writing(self._engine, bounded=True) as connection:
            # under the lock: a transaction of the former owner that is still under way ends first
            await fence(connection, self.lease)
            rows = await connection.execute(
                ORDERS.select().where(*_of_task(ORDERS, task, _WORKING)).order_by(ORDERS.c.ID)
            )
            working = tuple(_order(row) for row in rows.mappings())
            history = [row async for row in history_rows(connection, *_of_task(TRADE_HISTORY, task))]
            last = next((row["CLIENT_ORDER_ID"] for row in reversed(history) if row["STATUS"] == "filled"), None)
            last_filled = await _find(connection, last) if last else None
        return TaskRecord(working, tuple(fill_of_row(row) for row in history), last_filled)

    async def orphans(self, tasks: Iterable[Task]) -> list[Order]:
        """Working orders of the account that belong to none of its tasks as they are now."""
        known = {(task.id, task.pair, task.mode) for task in tasks}
        async with reading(self._engine, bounded=True) as connection:
            mine = (ORDERS.c.ACCOUNT == self.lease.account, ORDERS.c.STATE.in_(_WORKING))
            rows = (await connection.execute(ORDERS.select().where(*mine).order_by(ORDERS.c.ID))).mappings().all()
        orders = [_order(row) for row in rows]
        return [order for order in orders if (order.task_id, order.pair, order.mode) not in known]

    async def intents(self, orders: Sequence[Order]) -> None:
        """Write orders down before they are sent; all or none. Raises Halted where a halt stands in SQL."""
        async with writing(self._engine, bounded=True) as connection:
            row = await fence(connection, self.lease, unexpired=True)
            if row.halted:
                self.lease.halted = row.halted
                raise Halted(f"trading is halted: {row.halted}")
            await connection.execute(ORDERS.insert(), [self._row_of(order) for order in orders])

    async def opened(self, orders: Sequence[Order]) -> None:
        """The venue has them (`venue_id` is its name of them)."""
        async with writing(self._engine, bounded=True) as connection:
            await fence(connection, self.lease)
            for order in orders:
                await connection.execute(
                    ORDERS.update()
                    .where(ORDERS.c.CLIENT_ORDER_ID == order.client_id, ORDERS.c.STATE == OrderState.INTENT)
                    .values(STATE=OrderState.OPEN, ORDER_ID=order.venue_id or order.client_id)
                )

    async def ended(self, orders: Sequence[Order], state: OrderState, reason: str) -> None:
        """Cancelled or rejected; an order that ended otherwise before keeps its state."""
        async with writing(self._engine, bounded=True) as connection:
            await fence(connection, self.lease)
            await connection.execute(
                ORDERS.update()
                .where(
                    ORDERS.c.CLIENT_ORDER_ID.in_([order.client_id for order in orders]), ORDERS.c.STATE.in_(_WORKING)
                )
                .values(STATE=state, REASON=reason[:200])
            )

    async def fill(self, fill: Fill) -> Order | None:
        """Store a fill and what it makes of its order; the order after it, or None if the fill was known already.

        Raises FleetError for a fill of an order that is not in SQL, or of more than remains of it.
        """
        async with writing(self._engine, bounded=True) as connection:
            await fence(connection, self.lease)
            known = sa.select(TRADE_HISTORY.c.ID).where(
                TRADE_HISTORY.c.CLIENT_ORDER_ID == fill.client_id, TRADE_HISTORY.c.VENUE_TRADE_ID == fill.trade_id
            )
            if await connection.scalar(known) is not None:
                return None
            order = await _find(connection, fill.client_id)
            if order is None:
                raise FleetError(f"fill {fill.trade_id} is of order {fill.client_id}, which is not in ORDERS")
            try:
                order = order.executed(fill)
            except ValueError as error:
                raise FleetError(f"fill {fill.trade_id} does not fit: {error}") from None
            await connection.execute(TRADE_HISTORY.insert().values(self._history_of(order, fill)))
            await connection.execute(
                ORDERS.update()
                .where(ORDERS.c.CLIENT_ORDER_ID == fill.client_id)
                .values(FILLED=order.filled, STATE=order.state)
            )
        return order

    def _row_of(self, order: Order) -> dict[str, Any]:
        return {
            "CLIENT_ORDER_ID": order.client_id,
            "TASK_ID": order.task_id,
            "ACCOUNT": order.account,
            "EPOCH": order.epoch,
            "DAEMON_ID": self.lease.holder,
            "EXCHANGE_ID": order.pair.venue,
            "MARKET_TYPE": order.pair.market,
            "TRADE_PAIR": order.pair.pair,
            "MODE": order.mode,
            "SIDE": order.side,
            "PRICE": order.price,
            "AMOUNT": order.amount,
            "FILLED": order.filled,
            "STATE": order.state,
            "SLOT": order.slot,
            "REASON": order.reason[:200],
            "PLACED_US": order.placed_us,
        }

    def _history_of(self, order: Order, fill: Fill) -> dict[str, Any]:
        return {
            "DAEMON_ID": self.lease.holder,
            "EXCHANGE_ID": order.pair.venue,
            "MARKET_TYPE": order.pair.market,
            "TRADE_PAIR": order.pair.pair,
            "ACCOUNT": order.account,
            "MODE": order.mode,
            "TASK_ID": order.task_id,
            "EPOCH": self.lease.epoch,
            "ORDER_ID": order.venue_id or order.client_id,
            "CLIENT_ORDER_ID": order.client_id,
            "VENUE_TRADE_ID": fill.trade_id,
            "SIDE": fill.side,
            "PRICE": fill.price,
            "AMOUNT": fill.amount,
            "COMMISSION": fill.commission,
            "COMMISSION_ASSET": fill.commission_asset,
            "STATUS": "filled" if order.state is OrderState.FILLED else "open",
            "EXECUTED_AT": datetime.fromtimestamp(fill.executed_us / 1_000_000, UTC).replace(tzinfo=None),
        }


async def history_rows(
    connection: AsyncConnection, *conditions: sa.ColumnElement[bool]
) -> AsyncIterator[sa.RowMapping]:
    """Rows of TRADE_HISTORY, oldest first. By pages: of any number of fills, each answer is there within ANSWER_S."""
    last = 0
    while True:
        page = TRADE_HISTORY.select().where(*conditions, TRADE_HISTORY.c.ID > last).order_by(TRADE_HISTORY.c.ID)
        rows = (await connection.execute(page.limit(PAGE_ROWS))).mappings().all()
        for row in rows:
            yield row
        if len(rows) < PAGE_ROWS:
            return
        last = rows[-1]["ID"]


def _of_task(table: sa.Table, task: Task, states: Sequence[str] = ()) -> list[sa.ColumnElement[bool]]:
    conditions = [
        table.c.TASK_ID == task.id,
        table.c.ACCOUNT == task.account,
        table.c.EXCHANGE_ID == task.pair.venue,
        table.c.MARKET_TYPE == task.pair.market,
        table.c.TRADE_PAIR == task.pair.pair,
        table.c.MODE == task.mode,
    ]
    return [*conditions, table.c.STATE.in_(states)] if states else conditions


async def _find(connection: AsyncConnection, client_id: str) -> Order | None:
    row = (await connection.execute(ORDERS.select().where(ORDERS.c.CLIENT_ORDER_ID == client_id))).mappings().first()
    return None if row is None else _order(row)


def _order(row: sa.RowMapping) -> Order:
    return Order(
        client_id=row["CLIENT_ORDER_ID"],
        task_id=row["TASK_ID"],
        account=row["ACCOUNT"],
        epoch=row["EPOCH"],
        pair=Pair(row["EXCHANGE_ID"], row["MARKET_TYPE"], row["TRADE_PAIR"]),
        mode=row["MODE"],
        side=Side(row["SIDE"]),
        price=row["PRICE"],
        amount=row["AMOUNT"],
        filled=row["FILLED"],
        state=OrderState(row["STATE"]),
        slot=row["SLOT"],
        reason=row["REASON"],
        venue_id=row["ORDER_ID"] or "",
        placed_us=row["PLACED_US"],
    )


def fill_of_row(row: sa.RowMapping) -> Fill:
    """A Fill of a row of TRADE_HISTORY."""
    return Fill(
        client_id=row["CLIENT_ORDER_ID"],
        trade_id=row["VENUE_TRADE_ID"],
        side=Side(row["SIDE"]),
        price=row["PRICE"],
        amount=row["AMOUNT"],
        commission=row["COMMISSION"],
        commission_asset=row["COMMISSION_ASSET"] or "",
        executed_us=round(row["EXECUTED_AT"].replace(tzinfo=UTC).timestamp() * 1_000_000),
    )
