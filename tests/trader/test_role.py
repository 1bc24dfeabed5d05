"""The trader role of one or more daemons, on real SQL and a scripted market."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from fleet.clock import mono_ms, wall_us
from fleet.config import load
from fleet.schema import create_schema
from fleet.sql import engine_of
from fleet.tasks import Task, TaskPoller, TaskStore
from ops.embedded.mariadb import MariaDB
from tests.support.trading import BTC, ScriptedMarket, trade
from trader import report
from trader.lease import halt, resume
from trader.role import TraderRole

GRID = trade(0)
OwnSQL = tuple[MariaDB, AsyncEngine]


@pytest.fixture
def market() -> ScriptedMarket:
    script = ScriptedMarket(wall_us)
    script.move(100)
    return script


def make(engine: AsyncEngine, market: ScriptedMarket, member: str = "a", lease_ms: int = 3000) -> TraderRole:
    settings = load({"lease_ms": lease_ms, "tasks_poll_ms": 100}, environ={})
    poller = TaskPoller(TaskStore(engine), settings.tasks_poll_ms)
    return TraderRole(settings, None, None, engine, poller, member=member, follow=market.follow)  # type: ignore[arg-type]


@asynccontextmanager
async def running(*roles: TraderRole) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        pollers = [group.create_task(role._poller.run(), name="poller") for role in roles]
        parts = [group.create_task(role.run(), name="role") for role in roles]
        try:
            yield
        finally:
            for task in (*pollers, *parts):
                task.cancel()


def account(role: TraderRole) -> dict:
    accounts = role.stats()["accounts"]
    return dict(accounts[0]) if accounts else {"state": "none", "why": "", "tasks": []}


def task_state(role: TraderRole) -> dict:
    tasks = account(role)["tasks"]
    return dict(tasks[0]) if tasks else {}


async def add(engine: AsyncEngine, *tasks: Task) -> list[Task]:
    return await TaskStore(engine).add(tasks)


@pytest.fixture
async def own_sql(own_mariadb) -> AsyncIterator[OwnSQL]:
    """A database to hurt, which asks for a grid."""
    server = await own_mariadb()
    await server.execute("CREATE DATABASE fleet")
    engine = engine_of(server.database_url("fleet"))
    await create_schema(engine)
    await add(engine, GRID)
    yield server, engine
    await engine.dispose()


async def test_a_task_is_traded_and_its_totals_show(any_engine, market: ScriptedMarket, wait_until) -> None:
    await add(any_engine, GRID)
    role = make(any_engine, market)
    async with running(role):
        await wait_until(lambda: role.stats()["orders"] == 4, "the grid")
        market.move("98.9")
        await wait_until(lambda: role.stats()["fills"] == 1, "a fill")
        await wait_until(lambda: task_state(role)["position"] == "1", "the position")
        assert account(role)["state"] == "trading"
        shown = task_state(role)
        assert (shown["state"], shown["pair"], shown["strategy"]) == ("trading", "BTC/USDT", "grid")
    [filled] = await report.fills(any_engine)
    assert (filled["side"], filled["price"]) == ("buy", "99")


async def test_the_second_daemon_stands_by_and_takes_over_when_the_first_stops(
    any_engine, market: ScriptedMarket, wait_until
) -> None:
    await add(any_engine, GRID)
    first, second = make(any_engine, market, "first"), make(any_engine, market, "second")
    async with running(first):
        await wait_until(lambda: account(first)["state"] == "trading", "the first to trade")
        async with running(second):
            await wait_until(lambda: account(second)["why"] == "first owns the account", "the second to stand by")
            market.move("98.9")
            await wait_until(lambda: first.stats()["fills"] == 1, "a fill by the first")
            former = account(first)["epoch"]
            await first.quiet()
            await first.stop(mono_ms() + 10_000)
            await wait_until(lambda: account(second)["state"] == "trading", "the second to trade")
            assert account(second)["epoch"] > former
            assert task_state(second)["position"] == "1"
            market.move("100.1")
            await wait_until(lambda: second.stats()["fills"] == 1, "a fill by the second")
    assert {one["task"] for one in await report.fills(any_engine)} == {1}
    [held] = await report.pnl(any_engine)
    assert (held["position"], held["realised"], held["fills"]) == ("0", "1", 2)


async def test_tasks_come_change_and_go_live(any_engine, market: ScriptedMarket, wait_until) -> None:
    store = TaskStore(any_engine)
    role = make(any_engine, market)
    async with running(role):
        [task] = await add(any_engine, GRID)
        await wait_until(lambda: role.stats()["orders"] == 4, "the new task's grid")
        await store.set_enabled("TRADE", task.id, enabled=False)
        await wait_until(lambda: role.stats()["accounts"] == [], "the account to be left")
        assert await report.orders(any_engine, working=True) == []
        [owner] = await report.owners(any_engine)
        assert owner["expires_in_ms"] < 0
        await store.set_enabled("TRADE", task.id, enabled=True)
        await wait_until(lambda: account(role)["state"] == "trading", "the task again")
        await store.remove("TRADE", task.id)
        wider = trade(0, params=GRID.params | {"levels": 3})
        await store.add([wider])
        await wait_until(lambda: task_state(role).get("working") == 6, "the wider grid")
        assert len(await report.orders(any_engine, working=True)) == 6


async def test_changed_parameters_replace_the_orders(any_engine, market: ScriptedMarket, wait_until) -> None:
    from fleet.schema import TRADE
    from fleet.sql import writing

    await add(any_engine, GRID)
    role = make(any_engine, market)
    async with running(role):
        await wait_until(lambda: role.stats()["orders"] == 4, "the grid")
        market.move("98.9")
        await wait_until(lambda: task_state(role).get("position") == "1", "a position")
        async with writing(any_engine) as connection:
            params = '{"grid_step": "2", "order_size": "1", "levels": 1, "paper": {"latency_ms": 0}}'
            await connection.execute(TRADE.update().values(STRATEGY_PARAMS=params))
        await wait_until(lambda: task_state(role).get("orders") == 2, "the new grid")
        assert task_state(role)["position"] == "1"
    assert len(await report.orders(any_engine, working=True)) == 2


async def test_live_is_refused_and_a_wrong_task_is_named_while_others_trade(
    any_engine, market: ScriptedMarket, wait_until
) -> None:
    live = trade(0, mode="live", account="main")
    wrong = trade(0, strategy="gird")
    await add(any_engine, GRID, live, wrong)
    role = make(any_engine, market)
    async with running(role):
        await wait_until(lambda: role.stats()["orders"] == 4, "the good task's grid")
        [refused] = role.stats()["refused_tasks"]
        assert (refused["mode"], refused["why"]) == (
            "live",
            "live trading comes with a later version; set MODE to paper",
        )
        states = {one["strategy"]: one for one in account(role)["tasks"]}
        assert states["grid"]["state"] == "trading"
        assert states["gird"]["state"] == "refused"
        assert "did you mean grid?" in states["gird"]["why"]
    assert {one["account"] for one in await report.owners(any_engine)} == {"paper"}


async def test_a_stale_book_stops_orders_and_a_live_one_lets_them_go_on(
    any_engine, market: ScriptedMarket, wait_until
) -> None:
    await add(any_engine, GRID)
    market.views[BTC].status = "stale"
    role = make(any_engine, market)
    async with running(role):
        await wait_until(lambda: task_state(role).get("why") == "the book is stale", "the hold")
        assert role.stats()["orders"] == 0
        market.views[BTC].status = "live"
        market.tell()
        await wait_until(lambda: role.stats()["orders"] == 4, "the grid")


async def test_a_halt_cancels_and_stops_and_resume_goes_on(any_engine, market: ScriptedMarket, wait_until) -> None:
    await add(any_engine, GRID)
    role = make(any_engine, market)
    async with running(role):
        await wait_until(lambda: task_state(role).get("working") == 4, "the grid")
        await halt(any_engine, "strange prices")
        await wait_until(lambda: account(role)["state"] == "halted", "the halt")
        await wait_until(lambda: task_state(role).get("working") == 0, "the orders to be cancelled")
        assert account(role)["why"] == "strange prices"
        assert await report.orders(any_engine, working=True) == []
        await resume(any_engine)
        await wait_until(lambda: task_state(role).get("working") == 4, "the grid again")


async def test_quiet_places_nothing_new_and_still_writes_fills(any_engine, market: ScriptedMarket, wait_until) -> None:
    await add(any_engine, GRID)
    role = make(any_engine, market)
    async with running(role):
        await wait_until(lambda: task_state(role).get("working") == 4, "the grid")
        await role.quiet()
        market.move("98.9")
        await wait_until(lambda: role.stats()["fills"] == 1, "the fill")
        assert task_state(role)["why"] == "stopping"
        assert role.stats()["orders"] == 4


async def test_without_sql_nothing_is_sent_and_with_it_trading_goes_on(
    own_sql: OwnSQL, market: ScriptedMarket, wait_until
) -> None:
    server, engine = own_sql
    role = make(engine, market)
    async with running(role):
        await wait_until(lambda: task_state(role).get("working") == 4, "the grid")
        await server.kill()
        market.move("98.9")
        await wait_until(lambda: account(role)["state"] == "waiting", "the outage to be noticed", 30)
        assert account(role)["sql_failures"] > 0
        assert role.stats()["fills"] == 0
        assert "secret" not in account(role)["why"]
        market.move("100")
        await server.restart()
        await wait_until(lambda: account(role)["state"] == "trading", "trading again", 30)
        market.move("98.9")
        await wait_until(lambda: role.stats()["fills"] == 1, "the fill, once")
        await wait_until(lambda: task_state(role).get("position") == "1", "the position")
    [held] = await report.pnl(engine)
    assert held["fills"] == 1


async def test_a_database_that_hangs_costs_the_lease_and_what_was_under_way_is_not_doubled(
    own_sql: OwnSQL, market: ScriptedMarket, wait_until
) -> None:
    server, engine = own_sql
    role = make(engine, market, lease_ms=2000)
    async with running(role):
        await wait_until(lambda: task_state(role).get("working") == 4, "the grid", 30)
        epoch, fenced = account(role)["epoch"], account(role)["fenced"]
        server.pause()
        try:
            market.move("98.9")  # a fill to be written: nobody knows whether it was
            # SQL itself is given up after 20 s only, the lease is safe for 1.5
            await wait_until(lambda: account(role)["fenced"] > fenced, "the lease to be lost", 15)
            assert role.stats()["fills"] == 0
            assert account(role)["state"] == "waiting"
        finally:
            server.resume()
        await wait_until(lambda: account(role)["epoch"] > epoch, "a lease anew", 60)
        await wait_until(lambda: task_state(role).get("position") == "1", "the position", 60)
    written = await report.orders(engine)
    assert len({one["client_id"] for one in written}) == len(written)
    [held] = await report.pnl(engine)
    assert held["fills"] == 1


async def test_a_role_that_never_ran_stops_at_once(any_engine, market: ScriptedMarket) -> None:
    await make(any_engine, market).stop(mono_ms() + 60_000)
