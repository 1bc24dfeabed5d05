# ruff: noqa: SIM300 - columns are upper case, which makes the rule take them for constants
"""A paper grid on simulated venues, through real daemons: what SQL says of it stays true whatever happens to the processes."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from fleet import clock
from fleet.pair import Pair
from fleet.schema import ORDERS, TRADE, TRADE_HISTORY
from fleet.sql import engine_of, reading, writing
from fleet.tasks import Task
from ops.simulator.simulator import Simulator
from tests.support.fleet_processes import Fleet
from tests.support.waiting import wait_until
from trader.report import pnl

# its paper fills need books only: one spliced by REST, one that begins with a snapshot, and one in contracts
SAMPLE = (("binance", "spot"), ("okx", "spot"), ("okx", "futures"))
PAIRS = [Pair("binance", "spot", "BTC/USDT"), Pair("okx", "spot", "ETH/USDT"), Pair("okx", "futures", "SOL/USDT")]
WORKING = {"INTENT", "OPEN", "PARTIAL"}
FILLS_S = 60.0
QUIET_MS = 1_000.0  # a trader looks at a live book many times in this

Row = Mapping[str, Any]


def grid(pair: Pair, **params: object) -> Task:
    """A narrow grid: the market crosses its lines every second or so."""
    values = {"grid_step": "0.005%", "order_size": "0.002", "levels": 5, "max_position": "1", **params}
    return Task(table="TRADE", pair=pair, strategy="grid", params=values)


class Desk:
    """A fleet that trades, and what its database says."""

    def __init__(self, fleet: Fleet, venues: Simulator, engine: AsyncEngine) -> None:
        self.fleet = fleet
        self.venues = venues
        self.engine = engine

    async def orders(self, *conditions: Any) -> Sequence[Row]:
        return await self._rows(ORDERS.select().where(*conditions).order_by(ORDERS.c.ID))

    async def fills(self) -> Sequence[Row]:
        return await self._rows(TRADE_HISTORY.select().order_by(TRADE_HISTORY.c.ID))

    async def working(self) -> Sequence[Row]:
        return await self.orders(ORDERS.c.STATE.in_(sorted(WORKING)))

    async def _rows(self, statement: Any) -> Sequence[Row]:
        async with reading(self.engine) as connection:
            return (await connection.execute(statement)).mappings().all()

    async def filled(self, least: int) -> None:
        """Wait for so many fills."""

        async def enough() -> bool:
            return len(await self.fills()) >= least

        await wait_until(enough, f"{least} fills\n{self.fleet.daemons}", FILLS_S, poll_s=0.1)

    async def placed(self, *conditions: Any, least: int = 1) -> Sequence[Row]:
        """Wait for orders like this."""

        async def enough() -> Sequence[Row]:
            found = await self.orders(*conditions)
            return found if len(found) >= least else []

        return await wait_until(enough, f"{least} orders\n{self.fleet.daemons}", FILLS_S, poll_s=0.1)

    async def change_params(self, task: Task, **params: object) -> None:
        """As an operator does in SQL: the row keeps its id."""
        text = json.dumps({**task.params, **params})
        async with writing(self.engine) as connection:
            await connection.execute(TRADE.update().where(TRADE.c.ID == task.id).values(STRATEGY_PARAMS=text))

    async def assert_true_to_itself(self) -> None:
        """No fill is lost or twice, every order's total is the sum of its fills, and no intent is missing."""
        async with reading(self.engine) as connection:  # one transaction: a trader may be at work
            orders = (await connection.execute(ORDERS.select().order_by(ORDERS.c.ID))).mappings().all()
            fills = (await connection.execute(TRADE_HISTORY.select())).mappings().all()
        assert set(Counter(row["VENUE_TRADE_ID"] for row in fills).values()) <= {1}
        of_orders: dict[str, list[Decimal]] = {}
        for row in fills:
            of_orders.setdefault(row["CLIENT_ORDER_ID"], []).append(row["AMOUNT"])
        assert set(of_orders) <= {row["CLIENT_ORDER_ID"] for row in orders}
        numbers: dict[tuple[str, str], list[int]] = {}
        for row in orders:
            assert row["FILLED"] == sum(of_orders.get(row["CLIENT_ORDER_ID"], []), Decimal(0)) <= row["AMOUNT"]
            assert (row["STATE"] == "FILLED") == (row["FILLED"] == row["AMOUNT"]), row
            parts = re.fullmatch(r"f\w{6}(t\d+)(e\d+)n(\d+)", row["CLIENT_ORDER_ID"])
            assert parts, row["CLIENT_ORDER_ID"]
            numbers.setdefault((parts[1], parts[2]), []).append(int(parts[3]))
        for line, seen in numbers.items():
            assert seen == list(range(1, len(seen) + 1)), line
        busy = Counter((row["TASK_ID"], row["SLOT"]) for row in orders if row["STATE"] in WORKING)
        assert set(busy.values()) <= {1}

    async def assert_positions_are_the_sums_of_fills(self) -> None:
        """`fleet trader pnl` against plain sums; nobody may be trading."""
        sums: dict[int, Decimal] = {}
        for row in await self.fills():
            signed = row["AMOUNT"] if row["SIDE"] == "buy" else -row["AMOUNT"]
            sums[row["TASK_ID"]] = sums.get(row["TASK_ID"], Decimal(0)) + signed
        assert {row["task"]: Decimal(row["position"]) for row in await pnl(self.engine)} == sums


@pytest.fixture
def desk(redis_server, redis_url: str, tmp_path: Path) -> Callable[..., object]:
    """`async with desk(tasks) as d:` the tables made and the tasks stored with their ids in `d.tasks`; no daemon yet."""

    @asynccontextmanager
    async def make(*tasks: Task) -> AsyncIterator[tuple[Desk, list[Task]]]:
        async with Simulator(SAMPLE, pairs=3, rate=10) as venues:
            database = f"sqlite:///{tmp_path / 'fleet.db'}"
            environment = {"FLEET_DATABASE_URL": database, "FLEET_ROLES": "feed,trader", "FLEET_BOOK_TTL_MS": "10000"}
            for end in venues.endpoints:
                name = f"FLEET_VENUES__{end['venue'].upper()}__{end['market'].upper()}__"
                environment |= {name + "REST_URL": end["rest_url"], name + "WS_URL": end["ws_url"]}
            fleet, engine = Fleet(redis_server, environment, tmp_path), engine_of(database)
            try:
                await fleet.prepare([])
                yield Desk(fleet, venues, engine), await fleet.tasks.add(tasks)
            finally:
                await fleet.close()
                await engine.dispose()

    return make


async def test_killed_daemons_lose_and_repeat_no_fill_and_no_order(desk) -> None:
    async with desk(*map(grid, PAIRS)) as (d, _):
        for _ in range(3):
            daemon = d.fleet.daemon()
            await d.filled(len(await d.fills()) + 3)
            await daemon.kill()
            await d.assert_true_to_itself()
        last = d.fleet.daemon()
        epoch = max(row["EPOCH"] for row in await d.orders())
        await d.placed(ORDERS.c.EPOCH > epoch)
        last.terminate()
        assert await last.ended() == 0, last
        await d.assert_true_to_itself()
        await d.assert_positions_are_the_sums_of_fills()
        assert max(row["EPOCH"] for row in await d.orders()) >= 4  # each had a lease of its own
        left = await d.working()
        assert left, "a stopped trader leaves its working orders to the next one"


async def test_a_changed_row_is_traded_anew_and_a_removed_one_is_cancelled(desk) -> None:
    async with desk(grid(PAIRS[0])) as (d, [task]):
        daemon = d.fleet.daemon(FLEET_LEASE_MS="20000")  # which a busy machine can keep
        await d.placed(least=5)
        await d.change_params(task, order_size="0.004")
        await d.placed(ORDERS.c.AMOUNT == Decimal("0.004"))
        assert {row["AMOUNT"] for row in await d.working()} == {Decimal("0.004")}
        assert [row for row in await d.orders() if row["REASON"] == "the task was changed"]
        assert await d.fleet.tasks.remove("TRADE", task.id) == 1

        async def none_works() -> bool:
            return not await d.working()

        await wait_until(none_works, "the removed task's orders to be cancelled", 20, poll_s=0.1)
        assert [row for row in await d.orders() if row["REASON"] == "the task was removed"]
        await d.assert_true_to_itself()
        assert daemon.code is None, daemon
        assert {row["EPOCH"] for row in await d.orders()} == {1}, daemon  # nothing was lost and taken up again


async def test_no_order_is_placed_on_a_book_that_stands_still(desk) -> None:
    task = grid(PAIRS[0], risk={"max_book_age_ms": 1000})
    async with desk(task) as (d, [task]):
        feed, _ = d.fleet.daemon(FLEET_ROLES="feed"), d.fleet.daemon(FLEET_ROLES="trader")
        await d.placed(least=5)
        with d.venues.venue("binance", "spot").misbehave("stall", pair=task.pair.pair):
            await _older_than(d, task.pair, 1_200)
            await d.change_params(task, order_size="0.004")  # a live book would now get ten new orders
            await _cancelled_and_nothing_new(d, Decimal("0.004"))
        await d.placed(ORDERS.c.AMOUNT == Decimal("0.004"))
        await feed.kill()
        await _stale(d, task.pair)
        await d.change_params(task, order_size="0.006")
        await _cancelled_and_nothing_new(d, Decimal("0.006"))
        d.fleet.daemon(FLEET_ROLES="feed")
        await d.placed(ORDERS.c.AMOUNT == Decimal("0.006"))
        await d.assert_true_to_itself()


async def _older_than(d: Desk, pair: Pair, age_ms: float) -> None:
    async def old() -> bool:
        return clock.wall_us() - (await d.fleet.book(pair)).received_us > age_ms * 1000

    await wait_until(old, f"the last message of {pair} to be {age_ms} ms old", 10)


async def _stale(d: Desk, pair: Pair) -> None:
    async def stale() -> bool:
        return not (await d.fleet.book(pair)).live

    await wait_until(stale, f"{pair} to be stale", 10)


async def _cancelled_and_nothing_new(d: Desk, amount: Decimal) -> None:
    """The changed task's old orders go, and for a while no order of the new size comes."""

    async def none_works() -> bool:
        return not await d.working()

    await wait_until(none_works, "the changed task's orders to be cancelled", 20, poll_s=0.05)
    until_ms = clock.mono_ms() + QUIET_MS
    while clock.mono_ms() < until_ms:
        assert not await d.orders(ORDERS.c.AMOUNT == amount), "an order on a book that stands still"
        await asyncio.sleep(0.05)
