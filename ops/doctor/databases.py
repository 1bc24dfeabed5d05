"""SQL and ClickHouse: reachable, version, schema, rights, clock."""

import re
from collections.abc import Awaitable, Callable

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from fleet import clock, sql
from fleet.config import Settings
from fleet.errors import FleetError
from fleet.schema import METADATA, MONITORING, TRADE, database_ms
from monitor.clickhouse import ClickHouse, check_schema
from monitor.schema import TABLES
from ops.doctor.check import Check, by_limits, fail, failed, ok, warn

MYSQL = (8, 0)
MARIADB = (10, 5)
SQLITE = (3, 35)
CLICKHOUSE = (22, 8)  # deduplication tokens on plain MergeTree, projections
SKEW_WARN_MS, SKEW_FAIL_MS = 500, 5000


async def check_sql(settings: Settings, wall_ms: clock.WallMs, mono_ms: clock.MonoMs) -> list[Check]:
    """The database of tasks and of trading truth."""
    if settings.database_url is None:
        return [
            warn("sql", "FLEET_DATABASE_URL is not set: no tasks, no trading", "set it to mysql://… or sqlite:///FILE")
        ]
    try:
        engine = sql.engine(settings)
    except FleetError as error:
        return [failed("sql", error)]
    try:
        version = await _sql_version(engine)
        checks = [_sql_server(engine, version)]
        for name, check in (("sql schema", _sql_schema), ("sql rights", _sql_rights)):
            checks.append(await _guarded(name, check, engine))
        checks.append(await _sql_clock(engine, wall_ms, mono_ms))
        return checks
    except FleetError as error:
        return [failed("sql", error)]
    finally:
        await engine.dispose()


async def _guarded(name: str, check: Callable[[AsyncEngine], Awaitable[Check]], engine: AsyncEngine) -> Check:
    try:
        return await check(engine)
    except FleetError as error:
        return failed(name, error)


async def _sql_version(engine: AsyncEngine) -> str:
    version = sa.func.sqlite_version() if sql.is_sqlite(engine) else sa.func.version()
    async with sql.reading(engine, bounded=True) as connection:
        return str(await connection.scalar(sa.select(version)))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _sql_server(engine: AsyncEngine, version: str) -> Check:
    kind, least = ("MariaDB", MARIADB) if "mariadb" in version.lower() else ("MySQL", MYSQL)
    if sql.is_sqlite(engine):
        kind, least = "SQLite", SQLITE
    needed = ".".join(map(str, least))
    if _numbers(version) < least:
        return fail("sql", f"{kind} {version}", f"need {kind} {needed} or newer")
    more = " (one host only; several hosts need MySQL or MariaDB)" if kind == "SQLite" else ""
    return ok("sql", f"{kind} {version} at {sql.place(engine)}{more}")


async def _sql_schema(engine: AsyncEngine) -> Check:
    async with sql.reading(engine, bounded=True) as connection:
        lacking = await connection.run_sync(_lacking)
    if lacking:
        return fail("sql schema", f"missing: {', '.join(lacking)}", "run `fleet init`")
    return ok("sql schema", f"{len(METADATA.tables)} tables")


def _lacking(connection: sa.Connection) -> list[str]:
    inspector = sa.inspect(connection)
    there = {name.lower(): name for name in inspector.get_table_names()}
    lacking: list[str] = []
    for name, table in sorted(METADATA.tables.items()):
        if name.lower() not in there:
            lacking.append(name)
            continue
        columns = {column["name"].upper() for column in inspector.get_columns(there[name.lower()])}
        lacking += [f"{name}.{column.name}" for column in table.columns if column.name.upper() not in columns]
    return lacking


async def _sql_rights(engine: AsyncEngine) -> Check:
    """Statements that touch no row; the server checks the rights all the same."""
    async with sql.writing(engine, bounded=True) as connection:
        for table in (MONITORING, TRADE):
            await connection.execute(table.update().where(sa.false()).values(ENABLED=True))
            await connection.execute(table.delete().where(sa.false()))
            column = table.c.EXCHANGE_ID
            nothing = sa.select(column).where(sa.false())
            await connection.execute(table.insert().from_select([column.name], nothing, include_defaults=False))
    return ok("sql rights", "may read, insert, update and delete tasks")


async def _sql_clock(engine: AsyncEngine, wall_ms: clock.WallMs, mono_ms: clock.MonoMs) -> Check:
    sent_wall, sent = wall_ms(), mono_ms()
    async with sql.reading(engine, bounded=True) as connection:
        server_ms = int(await connection.scalar(sa.select(database_ms(engine))) or 0)
    skew = server_ms - (sent_wall + (mono_ms() - sent) / 2)
    return by_limits(
        "sql clock", abs(skew), SKEW_WARN_MS, SKEW_FAIL_MS, f"{skew:+.0f} ms against this host", "run NTP on both hosts"
    )


async def check_clickhouse(settings: Settings) -> list[Check]:
    """The database of history."""
    name = "clickhouse"
    if settings.clickhouse_url is None:
        mend = "set FLEET_CLICKHOUSE_URL=clickhouse://user:password@host:9000/database"
        return [warn(name, "FLEET_CLICKHOUSE_URL is not set: no history is recorded", mend)]
    try:
        client = ClickHouse(settings.clickhouse_url.get_secret_value())
    except FleetError as error:
        return [failed(name, error)]
    async with client:
        try:
            [(version,)] = await client.query("SELECT version()")
        except FleetError as error:
            return [failed(name, error)]
        if _numbers(str(version)) < CLICKHOUSE:
            server = fail(name, f"ClickHouse {version}", f"need {'.'.join(map(str, CLICKHOUSE))} or newer")
        else:
            server = ok(name, f"ClickHouse {version}, database {client.database}")
        try:
            await check_schema(client)
            schema = await _windows(client)
        except FleetError as error:
            schema = failed("clickhouse schema", error)
    return [server, schema]


async def _windows(client: ClickHouse) -> Check:
    """Without the window a plain MergeTree ignores deduplication tokens: a retry would store rows twice."""
    rows = await client.query("SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()")
    engines = {str(table): str(engine) for table, engine in rows}
    without = [
        table.name for table in TABLES
        if "non_replicated_deduplication_window" not in (full := engines[table.name]) and "Replicated" not in full
    ]  # fmt: skip
    if without:
        return fail(
            "clickhouse schema",
            f"{', '.join(without)}: no deduplication window, a retried block would be stored twice",
            f"ALTER TABLE {without[0]} MODIFY SETTING non_replicated_deduplication_window = 10000",
        )
    return ok("clickhouse schema", f"{len(TABLES)} tables")
