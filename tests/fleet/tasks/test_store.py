"""The task tables on MariaDB and on SQLite."""

import asyncio
from pathlib import Path

import pytest

from fleet.errors import ConfigError
from fleet.pair import Pair
from fleet.schema import MONITORING, TRADE
from fleet.sql import writing
from fleet.tasks import Problem, Task, TaskStore

BTC = Pair("binance", "spot", "BTC/USDT")
ETH = Pair("okx", "futures", "ETH/USDT")


async def test_tasks_come_back_as_they_were_added(any_engine) -> None:
    store = TaskStore(any_engine)
    tasks = [
        Task("MONITORING", BTC, depth="full", priority=2, channels=frozenset({"book", "trades"})),
        Task("TRADE", ETH, depth="bbo", strategy="grid", params={"grid_step": 0.5, "order_size": 1.0}, account="main"),
    ]
    added = await store.add(tasks)
    assert all(task.id > 0 for task in added)
    found = await store.fetch()
    assert (list(found.tasks), found.problems) == (added, ())
    assert [task.identity for task in added] == [task.identity for task in tasks]


async def test_adding_the_same_again_adds_nothing(any_engine) -> None:
    store = TaskStore(any_engine)
    first = await store.add([Task("MONITORING", BTC)])
    again = await store.add([Task("MONITORING", BTC), Task("MONITORING", BTC), Task("MONITORING", BTC, depth="20")])
    assert again[:2] == first * 2
    assert len((await store.all()).tasks) == 2


async def test_the_same_task_added_by_many_at_once_is_one(any_engine) -> None:
    store = TaskStore(any_engine)
    await asyncio.gather(*(store.add([Task("TRADE", BTC, strategy="grid")]) for _ in range(6)))
    assert len((await store.all()).tasks) == 1


async def test_a_new_task_must_not_bring_an_id(any_engine) -> None:
    with pytest.raises(ConfigError, match="gets its id from SQL"):
        await TaskStore(any_engine).add([Task("MONITORING", ETH), Task("MONITORING", BTC, id=3)])
    assert (await TaskStore(any_engine).all()).tasks == ()


async def test_fetch_takes_enabled_rows_with_a_priority_highest_first(any_engine) -> None:
    store = TaskStore(any_engine)
    await store.add(
        [
            Task("MONITORING", BTC, priority=1),
            Task("MONITORING", ETH, priority=9),
            Task("MONITORING", BTC, enabled=False),
            Task("MONITORING", ETH, priority=0),
        ]
    )
    assert [task.priority for task in (await store.fetch()).tasks] == [9, 1]
    assert len((await store.all()).tasks) == 4


async def test_bad_rows_are_reported_and_the_others_stand(any_engine) -> None:
    good = {"EXCHANGE_ID": " Binance ", "MARKET_TYPE": "SPOT", "TRADE_PAIR": "btc/usdt"}
    bad = [{"MARKET_TYPE": "margin"}, {"TRADE_PAIR": "BTCUSDT"}, {"ORDERBOOK_DEPTH": 30}, {"CHANNELS": "candles"}]
    bad += [{"EXCHANGE_ID": None}]
    async with writing(any_engine) as connection:
        for number, change in enumerate([{}, *bad], start=1):
            await connection.execute(MONITORING.insert().values(good | change | {"ID": number}))
        trade = good | {"STRATEGY_ID": "grid", "STRATEGY_PARAMS": "[1]"}
        await connection.execute(TRADE.insert().values(trade | {"ID": 1}))
        await connection.execute(TRADE.insert().values(trade | {"ID": 2, "STRATEGY_PARAMS": None, "MODE": "real"}))
    found = await TaskStore(any_engine).fetch()
    assert [(task.pair, task.depth) for task in found.tasks] == [(BTC, "50")]
    reasons = {(problem.table, problem.id): problem.reason for problem in found.problems}
    assert "market 'margin'" in reasons["MONITORING", 2]
    assert "pair 'BTCUSDT'" in reasons["MONITORING", 3]
    assert "depth '30'" in reasons["MONITORING", 4]
    assert "channel 'candles'" in reasons["MONITORING", 5]
    assert "venue ''" in reasons["MONITORING", 6]
    assert "expected a JSON object" in reasons["TRADE", 1]
    assert "mode 'real'" in reasons["TRADE", 2]


async def test_broken_json_in_one_row_spoils_no_other(sqlite_url: str) -> None:
    """SQLite does not check JSON, so such rows can be there."""
    from fleet.schema import create_schema
    from fleet.sql import engine_of

    engine = engine_of(sqlite_url)
    await create_schema(engine)
    row = {"EXCHANGE_ID": "binance", "MARKET_TYPE": "spot", "TRADE_PAIR": "BTC/USDT", "STRATEGY_ID": "grid"}
    async with writing(engine) as connection:
        await connection.execute(TRADE.insert().values(row | {"STRATEGY_PARAMS": "{broken"}))
        await connection.execute(TRADE.insert().values(row | {"STRATEGY_PARAMS": "{}"}))
    found = await TaskStore(engine).fetch()
    await engine.dispose()
    assert [task.id for task in found.tasks] == [2]
    [problem] = found.problems
    assert problem == Problem("TRADE", 1, problem.reason)
    assert str(problem).startswith("TRADE row 1: params: not JSON")


async def test_rows_are_removed_by_id_and_by_pair(any_engine) -> None:
    store = TaskStore(any_engine)
    [one, *_] = await store.add([Task("MONITORING", BTC), Task("MONITORING", ETH), Task("TRADE", ETH, strategy="grid")])
    assert await store.remove("MONITORING", one.id, 999) == 1
    assert await store.remove_pair(ETH) == 2
    assert (await store.all()).tasks == ()


async def test_removing_a_pair_finds_rows_written_by_hand(any_engine) -> None:
    async with writing(any_engine) as connection:
        row = {"EXCHANGE_ID": "Binance", "MARKET_TYPE": "Spot", "TRADE_PAIR": "btc/usdt"}
        await connection.execute(MONITORING.insert().values(row))
    assert await TaskStore(any_engine).remove_pair(BTC) == 1


async def test_a_row_can_be_switched_off_and_on(any_engine) -> None:
    store = TaskStore(any_engine)
    [task] = await store.add([Task("MONITORING", BTC)])
    assert await store.set_enabled("MONITORING", task.id, enabled=False)
    assert (await store.fetch()).tasks == ()
    assert await store.set_enabled("MONITORING", task.id, enabled=True)
    assert len((await store.fetch()).tasks) == 1
    assert not await store.set_enabled("MONITORING", 999, enabled=True)


async def test_a_file_is_imported_whole_or_not_at_all(any_engine, tmp_path: Path) -> None:
    store = TaskStore(any_engine)
    path = tmp_path / "tasks.csv"
    path.write_text("venue,market,pair\nbinance,spot,BTC/USDT\nbinance,spot,wrong\n")
    with pytest.raises(ConfigError, match="line 3"):
        await store.import_file(path)
    assert (await store.all()).tasks == ()
    path.write_text("venue,market,pair\nbinance,spot,BTC/USDT\n")
    assert len(await store.import_file(path)) == 1
    assert len(await store.import_file(path)) == 1
    assert len((await store.all()).tasks) == 1
