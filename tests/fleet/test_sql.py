"""Connections, transactions and errors of SQL, on a real MariaDB and on SQLite."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from fleet.config import load
from fleet.errors import ConfigError, FleetError, SchemaMissing, Unreachable
from fleet.schema import MONITORING, create_schema
from fleet.sql import engine, engine_of, place, reading, writing


async def the_error_of(url: str) -> FleetError:
    target = engine_of(url)
    try:
        with pytest.raises(FleetError) as caught:
            async with reading(target) as connection:
                await connection.execute(MONITORING.select())
    finally:
        await target.dispose()
    assert "\n" not in str(caught.value)
    return caught.value


async def test_a_wrong_password_is_named_without_showing_it(mariadb_url: str) -> None:
    error = await the_error_of(mariadb_url.replace(":secret@", ":hunter2@"))
    assert isinstance(error, Unreachable)
    assert "refused the login of user 'fleet'" in str(error)
    assert "FLEET_DATABASE_URL" in str(error)
    assert "hunter2" not in str(error)


async def test_an_unknown_database_says_create_it_or_fix_the_url(mariadb_url: str) -> None:
    error = await the_error_of(mariadb_url + "_nowhere")
    assert isinstance(error, Unreachable)
    assert "there is no database 'test_" in str(error)
    assert "create it" in str(error)
    assert "or fix FLEET_DATABASE_URL" in str(error)


async def test_a_refused_port_says_where_and_what_to_check(free_port) -> None:
    port = free_port()
    error = await the_error_of(f"mysql://fleet:secret@127.0.0.1:{port}/fleet")
    assert isinstance(error, Unreachable)
    assert f"mysql://127.0.0.1:{port}/fleet does not answer" in str(error)
    assert "secret" not in str(error)


async def test_an_unknown_host_does_not_answer() -> None:
    error = await the_error_of("mysql://fleet:secret@no-such-host.invalid/fleet")
    assert isinstance(error, Unreachable)
    assert "no-such-host.invalid" in str(error)


async def test_a_missing_table_says_run_fleet_init(any_url: str) -> None:
    error = await the_error_of(any_url)
    assert isinstance(error, SchemaMissing)
    assert str(error).startswith("table MONITORING is missing in ")
    assert str(error).endswith(": run `fleet init`")
    assert "secret" not in str(error)


async def test_a_missing_column_says_run_fleet_init(any_url: str) -> None:
    target = engine_of(any_url)
    async with writing(target) as connection:
        await connection.exec_driver_sql("CREATE TABLE MONITORING (ID INT)")
    await target.dispose()
    error = await the_error_of(any_url)
    assert isinstance(error, SchemaMissing)
    assert "EXCHANGE_ID" in str(error)


async def test_a_sqlite_file_in_a_missing_folder_names_the_folder(tmp_path: Path) -> None:
    error = await the_error_of(f"sqlite:///{tmp_path}/nowhere/fleet.db")
    assert isinstance(error, Unreachable)
    assert f"the folder {tmp_path}/nowhere does not exist" in str(error)


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "fleet.db").write_text("not a database, " * 100)
    error = await the_error_of(f"sqlite:///{tmp_path}/fleet.db")
    assert isinstance(error, Unreachable)
    assert "is no SQLite database" in str(error)


async def test_any_other_refusal_is_one_line(any_url: str) -> None:
    target = engine_of(any_url)
    with pytest.raises(FleetError, match="refused"):
        async with reading(target) as connection:
            await connection.execute(sa.text("SELECT\n1 +"))
    await target.dispose()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mysql://fleet:secret@host:3306", "expected a database at the end"),
        ("mysql://fleet:secret@host/db?sslmode=off", "unknown option sslmode"),
        ("mysql://fleet:secret@host/db?ssl_ca=/nowhere.pem", "ssl_ca=/nowhere.pem"),
        ("mysql://fleet:se/cret@host:x/db", "not a url"),
        ("sqlite://", "expected a file"),
        ("sqlite:///:memory:", "expected a file"),
        ("postgresql://fleet:secret@host/db", "expected mysql:// or sqlite://"),
    ],
)
def test_a_url_that_cannot_be_right_is_refused(url: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        engine_of(url)
    assert expected in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(ConfigError, match="FLEET_DATABASE_URL is not set"):
        engine(load(environ={}))


async def test_the_engine_comes_from_the_settings(sqlite_url: str) -> None:
    target = engine(load(environ={"FLEET_DATABASE_URL": sqlite_url}))
    await create_schema(target)
    assert place(target) == sqlite_url
    await target.dispose()


async def test_an_error_rolls_back_what_the_transaction_wrote(any_engine) -> None:
    async def write_and_fail() -> None:
        async with writing(any_engine) as connection:
            await connection.execute(MONITORING.insert().values(TRADE_PAIR="BTC/USDT"))
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        await write_and_fail()
    async with reading(any_engine) as connection:
        assert (await connection.execute(MONITORING.select())).all() == []


async def test_writers_of_one_row_wait_for_each_other(any_engine) -> None:
    """Read, add one, write, ten times at once: a lost update would show."""
    async with writing(any_engine) as connection:
        await connection.execute(MONITORING.insert().values(ID=1, DAEMON_PRIORITY=0))
    mine = MONITORING.c.ID.in_([1])

    async def add_one() -> None:
        async with writing(any_engine) as connection:
            priority = await connection.scalar(sa.select(MONITORING.c.DAEMON_PRIORITY).where(mine).with_for_update())
            await connection.execute(MONITORING.update().where(mine).values(DAEMON_PRIORITY=priority + 1))

    await asyncio.gather(*(add_one() for _ in range(10)))
    async with reading(any_engine) as connection:
        assert await connection.scalar(sa.select(MONITORING.c.DAEMON_PRIORITY)) == 10


async def test_mysql_is_strict_and_in_utc(mariadb_url: str) -> None:
    target = engine_of(mariadb_url)
    async with reading(target) as connection:
        [mode, zone] = (await connection.execute(sa.text("SELECT @@sql_mode, @@time_zone"))).one()
    await target.dispose()
    assert "STRICT_ALL_TABLES" in mode
    assert zone == "+00:00"


async def test_sqlite_writes_ahead_and_waits_for_locks(sqlite_url: str) -> None:
    target = engine_of(sqlite_url)
    async with reading(target) as connection:
        pragmas = [
            await connection.scalar(sa.text(f"PRAGMA {name}"))
            for name in ("journal_mode", "busy_timeout", "foreign_keys")
        ]
    await target.dispose()
    assert pragmas == ["wal", 15000, 1]


async def test_a_connection_cut_by_the_server_is_replaced(mariadb_url: str, mariadb_server) -> None:
    target = engine_of(mariadb_url)
    async with reading(target) as connection:
        number = await connection.scalar(sa.text("SELECT CONNECTION_ID()"))
    await mariadb_server.execute(f"KILL {number}")
    async with reading(target) as connection:
        assert await connection.scalar(sa.text("SELECT CONNECTION_ID()")) != number
    await target.dispose()


async def test_a_sqlite_connection_that_ends_in_the_middle_of_a_transaction_leaves_no_lock(sqlite_url: str) -> None:
    """As a cancellation ends it: at once, while a cursor is still alive somewhere in a traceback."""
    target = engine_of(sqlite_url)
    await create_schema(target)
    async with target.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        await driver.execute("BEGIN IMMEDIATE")
        cursor = await driver.execute("SELECT NAME FROM FLEET")
        await driver.stop()
        await connection.invalidate()
    async with asyncio.timeout(2), writing(target) as other:  # a lock would be waited for 5 s
        await other.execute(MONITORING.delete())
    del cursor
    await target.dispose()


@pytest.mark.parametrize("how", [reading, writing])
async def test_a_cancellation_that_the_client_forgot_is_raised(any_engine, how) -> None:
    """On Python 3.11 one of fifty is dropped between SQLAlchemy and aiomysql: who lost a lease would work on."""
    went_on = asyncio.Event()
    begun = asyncio.Event()

    async def work() -> None:
        async with how(any_engine):
            begun.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        went_on.set()

    task = asyncio.get_running_loop().create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not went_on.is_set()
