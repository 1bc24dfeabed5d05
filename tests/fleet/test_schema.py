"""The tables, on MariaDB and on SQLite."""

import asyncio
from decimal import Decimal

import pytest
import sqlalchemy as sa

from fleet.errors import FleetError, SchemaMissing
from fleet.schema import (
    DAEMON_STATE,
    METADATA,
    MONITORING,
    ORDERS,
    TRADE,
    TRADE_HISTORY,
    create_schema,
    database_ms,
    fleet_uuid,
)
from fleet.sql import engine_of, reading, writing
from fleet.tasks import TaskStore
from tests.support.trading import trade

FIRST_DRAFT_COLUMNS = {
    "MONITORING": "ID EXCHANGE_ID EXCHANGE_NAME MARKET_TYPE TRADE_PAIR_ID TRADE_PAIR DAEMON_PRIORITY ENABLED "
    "ORDERBOOK_DEPTH CREATED_AT UPDATED_AT",
    "TRADE": "ID EXCHANGE_ID EXCHANGE_NAME MARKET_TYPE TRADE_PAIR_ID TRADE_PAIR STRATEGY_ID STRATEGY_PARAMS "
    "DAEMON_PRIORITY ENABLED CREATED_AT UPDATED_AT",
    "TRADE_HISTORY": "ID DAEMON_ID EXCHANGE_ID TRADE_PAIR ORDER_ID SIDE PRICE AMOUNT COMMISSION STATUS EXECUTED_AT "
    "CREATED_AT",
    "DAEMON_STATE": "ID DAEMON_ID ROLE STATUS LAST_HEARTBEAT CONFIG CREATED_AT UPDATED_AT",
}

FIRST_DRAFT_MONITORING = """
SELECT
    EXCHANGE_ID, EXCHANGE_NAME, MARKET_TYPE, TRADE_PAIR_ID, TRADE_PAIR
FROM MONITORING
WHERE ENABLED = 1 AND DAEMON_PRIORITY > 0
ORDER BY DAEMON_PRIORITY DESC;
"""
FIRST_DRAFT_TRADE = """
SELECT
    EXCHANGE_ID, EXCHANGE_NAME, MARKET_TYPE, TRADE_PAIR_ID, TRADE_PAIR,
    STRATEGY_ID, STRATEGY_PARAMS
FROM TRADE
WHERE ENABLED = 1 AND DAEMON_PRIORITY > 0
ORDER BY DAEMON_PRIORITY DESC;
"""
FIRST_DRAFT_TABLE = """
CREATE TABLE MONITORING (
    ID INTEGER PRIMARY KEY {AUTO_INCREMENT},
    EXCHANGE_ID VARCHAR(50), EXCHANGE_NAME VARCHAR(100), MARKET_TYPE VARCHAR(20), TRADE_PAIR_ID INT,
    TRADE_PAIR VARCHAR(50), DAEMON_PRIORITY INT, ENABLED BOOLEAN, ORDERBOOK_DEPTH INT,
    CREATED_AT TIMESTAMP, UPDATED_AT TIMESTAMP)
"""


async def test_every_column_of_the_first_draft_is_there(any_engine) -> None:
    async with reading(any_engine) as connection:
        for table, names in FIRST_DRAFT_COLUMNS.items():
            found = await connection.run_sync(
                lambda c, t=table: [column["name"] for column in sa.inspect(c).get_columns(t)]
            )
            assert set(names.split()) <= set(found)


async def test_the_selects_of_the_first_draft_work_to_the_letter(any_engine) -> None:
    row = {"EXCHANGE_ID": "binance", "EXCHANGE_NAME": "Binance", "MARKET_TYPE": "spot", "TRADE_PAIR_ID": 7}
    grid = {"STRATEGY_ID": "grid", "STRATEGY_PARAMS": '{"grid_step": 0.5, "order_size": 1.0}'}
    async with writing(any_engine) as connection:
        for pair, enabled, priority in (
            ("LOW/USDT", 1, 1),
            ("HIGH/USDT", 1, 9),
            ("OFF/USDT", 0, 5),
            ("ZERO/USDT", 1, 0),
        ):
            mine = {"TRADE_PAIR": pair, "ENABLED": enabled, "DAEMON_PRIORITY": priority}
            await connection.execute(MONITORING.insert().values(row | mine))
            await connection.execute(TRADE.insert().values(row | mine | grid))
    async with reading(any_engine) as connection:
        monitoring = (await connection.exec_driver_sql(FIRST_DRAFT_MONITORING)).all()
        trade = (await connection.exec_driver_sql(FIRST_DRAFT_TRADE)).all()
    assert [tuple(found) for found in monitoring] == [
        ("binance", "Binance", "spot", 7, "HIGH/USDT"),
        ("binance", "Binance", "spot", 7, "LOW/USDT"),
    ]
    assert [found.TRADE_PAIR for found in trade] == ["HIGH/USDT", "LOW/USDT"]
    assert grid["STRATEGY_PARAMS"] == trade[0].STRATEGY_PARAMS


async def test_creating_again_keeps_rows_and_uuid(any_engine) -> None:
    before = await fleet_uuid(any_engine)
    async with writing(any_engine) as connection:
        await connection.execute(MONITORING.insert().values(TRADE_PAIR="BTC/USDT"))
    await create_schema(any_engine)
    assert await fleet_uuid(any_engine) == before
    assert len(before) == 32
    async with reading(any_engine) as connection:
        assert len((await connection.execute(MONITORING.select())).all()) == 1


async def test_many_may_create_at_once(any_url: str) -> None:
    engines = [engine_of(any_url) for _ in range(4)]
    await asyncio.gather(*(create_schema(engine) for engine in engines))
    assert len({await fleet_uuid(engine) for engine in engines}) == 1
    for engine in engines:
        await engine.dispose()


async def test_a_table_of_the_first_draft_gets_our_columns_and_keeps_its_rows(any_url: str) -> None:
    engine = engine_of(any_url)
    automatic = "" if any_url.startswith("sqlite") else "AUTO_INCREMENT"
    async with writing(engine) as connection:
        await connection.exec_driver_sql(FIRST_DRAFT_TABLE.format(AUTO_INCREMENT=automatic))
        await connection.exec_driver_sql("INSERT INTO MONITORING (TRADE_PAIR) VALUES ('BTC/USDT')")
    await create_schema(engine)
    async with reading(engine) as connection:
        [row] = (await connection.execute(MONITORING.select())).mappings()
    await engine.dispose()
    assert row["TRADE_PAIR"] == "BTC/USDT"
    assert row["CHANNELS"] is None


async def test_without_init_there_is_no_uuid(any_engine) -> None:
    async with writing(any_engine) as connection:
        await connection.exec_driver_sql("DELETE FROM FLEET")
    with pytest.raises(SchemaMissing, match="run `fleet init`"):
        await fleet_uuid(any_engine)


async def test_timestamps_are_kept_by_the_database(any_engine) -> None:
    async with writing(any_engine) as connection:
        await connection.execute(
            DAEMON_STATE.insert().values(
                DAEMON_ID="a", CREATED_AT=sa.text("'2001-01-01'"), UPDATED_AT=sa.text("'2001-01-01'")
            )
        )
        await connection.execute(MONITORING.insert().values(TRADE_PAIR="BTC/USDT"))
    async with writing(any_engine) as connection:
        await connection.execute(DAEMON_STATE.update().values(STATUS="running"))
    async with reading(any_engine) as connection:
        years = "SELECT CAST(CREATED_AT AS CHAR(4)), CAST(UPDATED_AT AS CHAR(4)) FROM "
        if any_engine.dialect.name == "sqlite":
            years = "SELECT substr(CREATED_AT, 1, 4), substr(UPDATED_AT, 1, 4) FROM "
        [created, updated] = (await connection.exec_driver_sql(years + "DAEMON_STATE")).one()
        [made, moved] = (await connection.exec_driver_sql(years + "MONITORING")).one()
    assert created == "2001"
    assert int(updated) > 2020
    assert int(made) > 2020
    assert int(moved) > 2020


def order(**values: object) -> dict[str, object]:
    return {
        "CLIENT_ORDER_ID": "c1",
        "TASK_ID": 1,
        "ACCOUNT": "paper",
        "EPOCH": 1,
        "DAEMON_ID": "d",
        "EXCHANGE_ID": "binance",
        "MARKET_TYPE": "spot",
        "TRADE_PAIR": "BTC/USDT",
        "MODE": "paper",
        "SIDE": "buy",
        "PRICE": Decimal(1),
        "AMOUNT": Decimal(1),
        "FILLED": Decimal(0),
        "STATE": "INTENT",
        "SLOT": "",
        "REASON": "",
        "PLACED_US": 0,
        **values,
    }


async def test_money_comes_back_exactly(any_engine) -> None:
    amounts = [Decimal("0.000000000000000001"), Decimal("12345678901234567890.123456789012345678"), Decimal("-0.1")]
    async with writing(any_engine) as connection:
        for amount in amounts:
            await connection.execute(TRADE_HISTORY.insert().values(AMOUNT=amount))
    async with reading(any_engine) as connection:
        found = (await connection.scalars(sa.select(TRADE_HISTORY.c.AMOUNT).order_by(TRADE_HISTORY.c.ID))).all()
    assert found == amounts


@pytest.mark.parametrize("amount", ["0.0000000000000000001", "100000000000000000000", "NaN", "Infinity"])
async def test_money_that_would_be_rounded_is_refused(any_engine, amount: str) -> None:
    with pytest.raises(FleetError, match="at most 20 digits before and 18 after"):
        async with writing(any_engine) as connection:
            await connection.execute(ORDERS.insert().values(**order(PRICE=Decimal(amount))))


async def test_one_fill_is_stored_once(any_engine) -> None:
    fill = {"CLIENT_ORDER_ID": "c1", "VENUE_TRADE_ID": "t1"}
    async with writing(any_engine) as connection:
        await connection.execute(TRADE_HISTORY.insert().values(fill))
    with pytest.raises(FleetError, match=r"(?i)duplicate|unique"):
        async with writing(any_engine) as connection:
            await connection.execute(TRADE_HISTORY.insert().values(fill))


async def test_ids_differ_by_case(any_engine) -> None:
    async with writing(any_engine) as connection:
        await connection.execute(TRADE_HISTORY.insert().values(CLIENT_ORDER_ID="c1", VENUE_TRADE_ID="a"))
        await connection.execute(TRADE_HISTORY.insert().values(CLIENT_ORDER_ID="c1", VENUE_TRADE_ID="A"))


async def test_the_database_has_a_clock_in_unix_ms(any_engine) -> None:
    async with reading(any_engine) as connection:
        first = await connection.scalar(sa.select(database_ms(connection)))
        unix_s = "strftime('%s','now')" if any_engine.dialect.name == "sqlite" else "UNIX_TIMESTAMP()"
        second = int(await connection.scalar(sa.text(f"SELECT {unix_s}")))
    assert abs(first - second * 1000) < 2000


def test_every_table_has_upper_case_names() -> None:
    for table in METADATA.sorted_tables:
        assert table.name.isupper()
        assert all(column.name.isupper() for column in table.columns)


async def test_the_id_of_a_removed_task_never_comes_again(any_url: str) -> None:
    """Orders and fills carry a task's id: a later task must not inherit them."""
    engine = engine_of(any_url)
    await create_schema(engine)
    store = TaskStore(engine)
    [first] = await store.add([trade(0)])
    await store.remove("TRADE", first.id)
    [second] = await store.add([trade(0)])
    await engine.dispose()
    assert second.id > first.id
