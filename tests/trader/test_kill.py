"""kill -9: a trader process dies at any moment, the next one goes on from SQL."""

import asyncio
import random
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa

from fleet.schema import ORDERS, TRADE_HISTORY, create_schema
from fleet.sql import engine_of, reading
from fleet.tasks import TaskStore
from tests.support.trading import trade

CHILD = Path(__file__).resolve().parent.parent / "support" / "trader_child.py"
LEASE_MS = 1000


async def count(engine) -> int:
    async with reading(engine) as connection:
        return int(await connection.scalar(sa.select(sa.func.count()).select_from(TRADE_HISTORY)) or 0)


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_killed_trader_loses_and_repeats_nothing(any_url: str, wait_until, seed: int) -> None:
    chance = random.Random(seed)
    engine = engine_of(any_url)
    await create_schema(engine)
    await TaskStore(engine).add([trade(0)])
    for life in range(3):
        before = await count(engine)
        child = await asyncio.create_subprocess_exec(
            sys.executable, str(CHILD), any_url, str(LEASE_MS), str(seed + life)
        )
        try:
            goal = before + chance.randint(3, 12)

            async def traded(goal: int = goal) -> bool:
                return await count(engine) >= goal

            await wait_until(traded, f"life {life} to reach {goal} fills", 60)
        finally:
            child.send_signal(signal.SIGKILL)
            await child.wait()
    async with reading(engine) as connection:
        orders = (await connection.execute(ORDERS.select())).mappings().all()
        history = (await connection.execute(TRADE_HISTORY.select())).mappings().all()
    assert max(Counter((row["CLIENT_ORDER_ID"], row["VENUE_TRADE_ID"]) for row in history).values()) == 1
    for row in orders:
        filled = sum(one["AMOUNT"] for one in history if one["CLIENT_ORDER_ID"] == row["CLIENT_ORDER_ID"])
        assert row["FILLED"] == filled <= row["AMOUNT"]
        assert (row["STATE"] == "FILLED") == (filled == row["AMOUNT"])
    working = [row["SLOT"] for row in orders if row["STATE"] in {"INTENT", "OPEN", "PARTIAL"}]
    assert len(working) == len(set(working))
    # a life that a busy machine stalled past its lease has taken a new epoch by itself: more are right, fewer are not
    assert len({row["EPOCH"] for row in history}) >= 3
    await engine.dispose()
