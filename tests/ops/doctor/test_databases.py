"""What the doctor sees in SQL and in ClickHouse."""

import asynch
import pytest
from pydantic import SecretStr

from fleet import clock
from fleet.config import Settings
from fleet.schema import create_schema
from fleet.sql import engine_of, writing
from monitor.clickhouse import create_schema as create_history
from ops.doctor.databases import check_clickhouse, check_sql
from tests.support.databases import any_engine, any_url

__all__ = ["any_engine", "any_url"]


async def sql_checks(url: str | None, wall_ms=clock.wall_ms) -> dict[str, tuple[str, str, str]]:
    settings = Settings(database_url=SecretStr(url) if url else None)
    checks = await check_sql(settings, wall_ms, clock.mono_ms)
    return {check.name: (check.status.value, check.detail, check.mend) for check in checks}


async def history_checks(url: str | None) -> dict[str, tuple[str, str, str]]:
    checks = await check_clickhouse(Settings(clickhouse_url=SecretStr(url) if url else None))
    return {check.name: (check.status.value, check.detail, check.mend) for check in checks}


async def test_a_database_with_our_schema_is_well(any_url, any_engine):
    checks = await sql_checks(any_url)
    assert {name: check[0] for name, check in checks.items()} == {
        "sql": "ok", "sql schema": "ok", "sql rights": "ok", "sql clock": "ok",
    }  # fmt: skip


async def test_an_empty_database_names_fleet_init(any_url):
    checks = await sql_checks(any_url)
    assert checks["sql schema"][0] == "fail"
    assert "MONITORING" in checks["sql schema"][1]
    assert "fleet init" in checks["sql schema"][2]
    assert "fleet init" in checks["sql rights"][2]


async def test_a_missing_column_is_named(sqlite_url):
    engine = engine_of(sqlite_url)
    await create_schema(engine)
    async with writing(engine) as connection:
        await connection.exec_driver_sql("ALTER TABLE MONITORING DROP COLUMN CHANNELS")
    await engine.dispose()
    checks = await sql_checks(sqlite_url)
    assert (checks["sql schema"][0], "MONITORING.CHANNELS" in checks["sql schema"][1]) == ("fail", True)


async def test_a_user_who_may_only_read_fails_the_rights(mariadb_server, mariadb_url):
    engine = engine_of(mariadb_url)
    await create_schema(engine)
    await engine.dispose()
    database = mariadb_url.rpartition("/")[2]
    await mariadb_server.execute("CREATE USER IF NOT EXISTS 'reader'@'%' IDENTIFIED BY 'hidden-word'")
    await mariadb_server.execute(f"GRANT SELECT ON {database}.* TO 'reader'@'%'")
    checks = await sql_checks(f"mysql://reader:hidden-word@127.0.0.1:{mariadb_server.port}/{database}")
    assert checks["sql schema"][0] == "ok"
    assert checks["sql rights"][0] == "fail"
    assert "hidden-word" not in str(checks)


@pytest.mark.parametrize(("off_ms", "status"), [(2000, "warn"), (60_000, "fail")])
async def test_a_wrong_clock_is_seen(any_url, any_engine, off_ms, status):
    assert (await sql_checks(any_url, lambda: clock.wall_ms() - off_ms))["sql clock"][0] == status


async def test_a_database_that_is_not_there_is_one_check():
    checks = await sql_checks("mysql://u:hidden-word@127.0.0.1:1/fleet")
    assert list(checks) == ["sql"]
    assert checks["sql"][0] == "fail"
    assert "hidden-word" not in str(checks)


async def test_what_is_not_set_is_a_warning_that_says_what_is_lost():
    assert (await sql_checks(None))["sql"][:2] == ("warn", "FLEET_DATABASE_URL is not set: no tasks, no trading")
    assert (await history_checks(None))["clickhouse"][0] == "warn"


async def test_a_history_with_our_tables_is_well(clickhouse_url):
    await create_history(clickhouse_url)
    checks = await history_checks(clickhouse_url)
    assert {name: check[0] for name, check in checks.items()} == {"clickhouse": "ok", "clickhouse schema": "ok"}


async def test_missing_tables_of_history_name_fleet_init(clickhouse_url):
    status, detail, mend = (await history_checks(clickhouse_url))["clickhouse schema"]
    assert status == "fail"
    assert "orderbook_deltas" in detail
    assert "fleet init" in mend


async def test_a_table_that_would_store_retries_twice_is_found(clickhouse_url):
    await create_history(clickhouse_url)
    async with asynch.connect(clickhouse_url) as connection, connection.cursor() as cursor:
        await cursor.execute("SHOW CREATE TABLE bbo")
        [[text]] = await cursor.fetchall()
        await cursor.execute("DROP TABLE bbo SYNC")
        lines = text.replace("non_replicated_deduplication_window = 10000", "index_granularity = 8192")
        await cursor.execute(lines.split("index_granularity")[0] + "index_granularity = 8192")
    status, detail, mend = (await history_checks(clickhouse_url))["clickhouse schema"]
    assert status == "fail"
    assert "bbo: no deduplication window" in detail
    assert "MODIFY SETTING" in mend


async def test_a_clickhouse_that_is_not_there_is_one_check():
    checks = await history_checks("clickhouse://u:hidden-word@127.0.0.1:1/fleet")
    assert list(checks) == ["clickhouse"]
    assert checks["clickhouse"][0] == "fail"
    assert "hidden-word" not in str(checks)
