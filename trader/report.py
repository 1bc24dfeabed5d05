"""What `fleet trader orders|fills|pnl` show: read from SQL, by any process, whoever trades."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from fleet.pair import Pair
from fleet.schema import ACCOUNT_LEASE, ORDERS, TRADE_HISTORY, database_ms
from fleet.sql import reading
from trader.ledger import fill_of_row, history_rows
from trader.money import plain
from trader.orders import WORKING
from trader.portfolio import Portfolio


async def orders(engine: AsyncEngine, *, limit: int = 100, working: bool = False) -> list[dict[str, Any]]:
    """The newest orders first; `working`: only those still at work. Raises Unreachable, SchemaMissing."""
    statement = ORDERS.select().order_by(ORDERS.c.ID.desc()).limit(limit)
    if working:
        statement = statement.where(ORDERS.c.STATE.in_(sorted(WORKING)))
    async with reading(engine, bounded=True) as connection:
        rows = (await connection.execute(statement)).mappings().all()
    return [
        {
            "client_id": row["CLIENT_ORDER_ID"],
            "task": row["TASK_ID"],
            "account": row["ACCOUNT"],
            "venue": row["EXCHANGE_ID"],
            "market": row["MARKET_TYPE"],
            "pair": row["TRADE_PAIR"],
            "side": row["SIDE"],
            "price": plain(row["PRICE"]),
            "amount": plain(row["AMOUNT"]),
            "filled": plain(row["FILLED"]),
            "state": row["STATE"],
            "slot": row["SLOT"],
            "reason": row["REASON"],
            "epoch": row["EPOCH"],
            "placed_us": row["PLACED_US"],
        }
        for row in rows
    ]


async def fills(engine: AsyncEngine, *, limit: int = 100) -> list[dict[str, Any]]:
    """The newest fills first. Raises Unreachable, SchemaMissing."""
    statement = TRADE_HISTORY.select().order_by(TRADE_HISTORY.c.ID.desc()).limit(limit)
    async with reading(engine, bounded=True) as connection:
        rows = (await connection.execute(statement)).mappings().all()
    shown = []
    for row in rows:
        fill = fill_of_row(row)
        shown.append(
            {
                "trade_id": fill.trade_id,
                "client_id": fill.client_id,
                "task": row["TASK_ID"],
                "account": row["ACCOUNT"],
                "venue": row["EXCHANGE_ID"],
                "market": row["MARKET_TYPE"],
                "pair": row["TRADE_PAIR"],
                "side": fill.side.value,
                "price": plain(fill.price),
                "amount": plain(fill.amount),
                "commission": plain(fill.commission),
                "commission_asset": fill.commission_asset,
                "executed_us": fill.executed_us,
            }
        )
    return shown


async def pnl(engine: AsyncEngine) -> list[dict[str, Any]]:
    """Position, realised profit and commission of every task and pair that ever traded, from all fills."""
    held: dict[tuple[int, str, Pair], Portfolio] = {}
    async with reading(engine, bounded=True) as connection:
        async for row in history_rows(connection):
            pair = Pair(row["EXCHANGE_ID"], row["MARKET_TYPE"], row["TRADE_PAIR"])
            key = (row["TASK_ID"], row["ACCOUNT"], pair)
            held.setdefault(key, Portfolio(pair)).apply(fill_of_row(row))
    return [
        {
            "task": task,
            "account": account,
            **pair._asdict(),
            "position": plain(portfolio.position),
            "average": None if portfolio.average is None else plain(portfolio.average),
            "cash": plain(portfolio.cash),
            "realised": plain(portfolio.realised),
            "commission": plain(portfolio.commission),
            "fills": portfolio.fills,
        }
        for (task, account, pair), portfolio in sorted(held.items())
    ]


async def owners(engine: AsyncEngine) -> list[dict[str, Any]]:
    """Who owns which account, and for how long still (ms, by the database's clock; below 0: nobody)."""
    async with reading(engine, bounded=True) as connection:
        left = (ACCOUNT_LEASE.c.EXPIRES_MS - database_ms(connection)).label("LEFT_MS")
        lease = ACCOUNT_LEASE.c
        rows = await connection.execute(
            sa.select(lease.ACCOUNT, lease.HOLDER, lease.EPOCH, left).order_by(lease.ACCOUNT)
        )
        return [
            {"account": account, "holder": holder, "epoch": epoch, "expires_in_ms": left_ms}
            for account, holder, epoch, left_ms in rows
        ]
