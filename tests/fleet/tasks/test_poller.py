"""Following the task tables: changes only, and the last good state while SQL is away."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import sqlalchemy as sa

from fleet import sql
from fleet.daemon_state import write_daemon_states
from fleet.errors import Unreachable
from fleet.pair import Pair
from fleet.schema import create_schema
from fleet.sql import engine_of, reading
from fleet.tasks import Task, TaskPoller, TaskSet, TaskStore

BTC = Pair("binance", "spot", "BTC/USDT")
ETH = Pair("okx", "futures", "ETH/USDT")


@asynccontextmanager
async def running(poller: TaskPoller) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(poller.run(), name="poller")
        yield
        task.cancel()


async def test_changes_are_told_and_nothing_else(any_engine, wait_until) -> None:
    store = TaskStore(any_engine)
    seen: list[TaskSet] = []
    poller = TaskPoller(store, 20, seen.append)
    async with running(poller):
        await wait_until(lambda: len(seen) == 1, "the first reading")
        assert seen[0].tasks == ()
        before = poller.stats.polls
        await wait_until(lambda: poller.stats.polls >= before + 3, "three more readings")
        assert len(seen) == 1
        added = await store.add([Task("MONITORING", BTC)])
        await wait_until(lambda: len(seen) == 2, "the change")
        assert list(seen[1].tasks) == added
        await store.remove_pair(BTC)
        await wait_until(lambda: len(seen) == 3, "the removal")
        assert seen[2].tasks == ()


async def test_wake_reads_at_once(any_engine, wait_until) -> None:
    store = TaskStore(any_engine)
    poller = TaskPoller(store, 60_000)
    async with running(poller):
        await wait_until(lambda: poller.stats.polls == 1, "the first reading")
        await store.add([Task("MONITORING", BTC)])
        poller.wake()
        await wait_until(lambda: poller.last and poller.last.tasks, "the task, long before a minute")


async def test_a_late_listener_gets_the_last_reading_and_may_leave(any_engine, wait_until) -> None:
    store = TaskStore(any_engine)
    poller = TaskPoller(store, 20)
    async with running(poller):
        await wait_until(lambda: poller.last is not None, "the first reading")
        seen: list[TaskSet] = []
        leave = poller.subscribe(seen.append)
        assert seen == [poller.last]
        leave()
        await store.add([Task("MONITORING", BTC)])
        await wait_until(lambda: poller.last and poller.last.tasks, "the task")
        assert len(seen) == 1


async def test_the_last_tasks_stay_while_sql_is_away_and_an_outage_is_logged_once(
    own_mariadb, wait_until, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "fleet.tasks.poller")
    server = await own_mariadb()
    await server.execute("CREATE DATABASE fleet")
    engine = engine_of(server.database_url("fleet"))
    await create_schema(engine)
    store = TaskStore(engine)
    added = await store.add([Task("MONITORING", BTC)])
    seen: list[TaskSet] = []
    poller = TaskPoller(store, 20, seen.append)
    async with running(poller):
        await wait_until(lambda: seen, "the first reading")
        await server.kill()
        await wait_until(lambda: poller.stats.failures >= 2, "two failed readings", 60)
        assert list(poller.last.tasks) == added
        assert len(seen) == 1
        assert poller.stats.outages == 1
        assert poller.stats.away_since_ms is not None
        await server.restart()
        await wait_until(lambda: poller.stats.away_since_ms is None, "SQL to answer again", 30)
        assert len(seen) == 1
        await store.add([Task("MONITORING", ETH)])
        await wait_until(lambda: len(seen) == 2, "the new task")
    await engine.dispose()
    away, back = [record.getMessage() for record in caplog.records]
    assert "the last good tasks stay in force" in away
    assert "answers again" in back
    assert "secret" not in caplog.text


async def test_a_database_that_hangs_is_told_as_one_that_is_dead_and_keeps_no_connection(
    own_mariadb, wait_until, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "ANSWER_S", 0.5)
    caplog.set_level(logging.WARNING, "fleet.tasks.poller")
    server = await own_mariadb()
    await server.execute("CREATE DATABASE fleet")
    engine = engine_of(server.database_url("fleet"))
    await create_schema(engine)
    store = TaskStore(engine)
    added = await store.add([Task("MONITORING", BTC)])
    poller = TaskPoller(store, 20)
    async with running(poller):
        await wait_until(lambda: poller.last is not None, "the first reading")
        server.pause()
        try:
            await wait_until(lambda: poller.stats.failures >= 2, "two failed readings", 60)
            with pytest.raises(Unreachable, match=r"^mysql://.* does not answer: expected it within"):
                await store.all()
            monkeypatch.setattr(sql, "LOCK_WAIT_S", 0)
            with pytest.raises(Unreachable, match="does not answer: expected it within"):
                await write_daemon_states(engine, [])  # whoever mirrors members there has streams to cut as well
        finally:
            server.resume()
        assert poller.last is not None
        assert list(poller.last.tasks) == added
        await wait_until(lambda: poller.stats.away_since_ms is None, "SQL to answer again", 30)
        await store.add([Task("MONITORING", ETH)])
        await wait_until(lambda: poller.last and len(poller.last.tasks) == 2, "the new task", 30)
    assert isinstance(engine.pool, sa.QueuePool)
    assert engine.pool.checkedout() == 0

    async def connected() -> int:
        async with reading(engine) as connection:
            of_ours = sa.text("SELECT COUNT(*) FROM information_schema.processlist WHERE db = 'fleet'")
            return int(await connection.scalar(of_ours) or 0)

    pooled = engine.pool.checkedin()
    await wait_until(lambda: _at_most(connected, pooled), "no connection but those of the pool", 30)
    await engine.dispose()
    away = [record.getMessage() for record in caplog.records if "the last good tasks" in record.getMessage()]
    assert re.search(r"does not answer: expected it within 0.5 s, and nothing came; does the server hang", away[0])
    assert "secret" not in caplog.text


async def _at_most(count: Callable[[], Awaitable[int]], most: int) -> bool:
    return await count() <= most


async def test_a_missing_schema_is_waited_out(sqlite_url: str, wait_until) -> None:
    engine = engine_of(sqlite_url)
    poller = TaskPoller(TaskStore(engine), 20)
    async with running(poller):
        await wait_until(lambda: "run `fleet init`" in poller.stats.last_error, "the failure")
        assert poller.last is None
        await create_schema(engine)
        await wait_until(lambda: poller.last is not None, "a reading")
    await engine.dispose()


async def test_a_bad_row_is_logged_once(any_engine, wait_until, caplog: pytest.LogCaptureFixture) -> None:
    from fleet.schema import MONITORING
    from fleet.sql import writing

    async with writing(any_engine) as connection:
        await connection.execute(MONITORING.insert().values(EXCHANGE_ID="binance", MARKET_TYPE="spot", TRADE_PAIR="x"))
    poller = TaskPoller(TaskStore(any_engine), 20)
    async with running(poller):
        await wait_until(lambda: poller.stats.polls >= 3, "three readings")
    assert [record.getMessage() for record in caplog.records if "MONITORING row 1" in record.getMessage()] == [
        "tasks: MONITORING row 1: pair 'X': expected BASE/QUOTE, such as BTC/USDT; the row is left out until it is mended"
    ]


async def test_a_listener_that_fails_ends_the_run(any_engine) -> None:
    def fail(_found: TaskSet) -> None:
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        await TaskPoller(TaskStore(any_engine), 20, fail).run()


async def test_a_scheduler_that_falls_silent_does_not_stop_the_polling(
    any_engine, wait_until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes by the wall clock, which may be set back by an hour."""

    async def silent(_poller: TaskPoller) -> None:
        return

    monkeypatch.setattr(TaskPoller, "_tick", silent)
    poller = TaskPoller(TaskStore(any_engine), 20)
    async with running(poller):
        await wait_until(lambda: poller.stats.polls >= 3, "readings without the scheduler")
