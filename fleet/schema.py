"""Every SQL table, in one place. Names and columns of the first draft are kept (upper case), ours are added.

Timestamps are UTC and kept by the database. Money is exact: DECIMAL(38,18), on SQLite decimal text.

    MONITORING     what to watch                          TRADE_HISTORY  every fill, once
    TRADE          what to trade                          ORDERS         every order's intent and state
    DAEMON_STATE   the fleet's members, for people        ACCOUNT_LEASE  who owns a trading account
    FLEET          key and value: uuid, halt
"""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateColumn
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

from fleet.errors import SchemaMissing, Unreachable
from fleet.exact import MONEY_DIGITS, MONEY_PLACES, fits_money
from fleet.sql import is_sqlite, place, reading, writing

_SCHEMA_LOCK_S = 60


class Money(TypeDecorator[Decimal]):
    """Exact decimals. A value that does not fit is refused, never rounded."""

    impl = sa.Numeric
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        exact = sa.String(64) if dialect.name == "sqlite" else mysql.DECIMAL(MONEY_DIGITS, MONEY_PLACES)
        return dialect.type_descriptor(exact)

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if not fits_money(value):
            raise ValueError(f"{value}: expected at most 20 digits before and {MONEY_PLACES} after the point")
        return format(value, "f") if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, _dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)


class JsonText(UserDefinedType[str]):
    """A JSON column read and written as text: broken JSON in one row must not spoil the reading of the others."""

    cache_ok = True

    def get_col_spec(self, **_options: Any) -> str:
        return "JSON"


class UpdatedAt(UserDefinedType[object]):
    """A timestamp that the database itself moves with every update (on SQLite by a trigger)."""

    cache_ok = True

    def get_col_spec(self, **_options: Any) -> str:
        return "TIMESTAMP DEFAULT CURRENT_TIMESTAMP"


@compiles(UpdatedAt, "mysql", "mariadb")
def _updated_at_mysql(_type: UpdatedAt, _compiler: object, **_options: object) -> str:
    return "TIMESTAMP NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP"


METADATA = sa.MetaData()
# ids of orders and trades differ by case on some venues
_EXACT_TEXT: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
_PLAIN_TEXT: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4"}
_TIMESTAMP_US = sa.TIMESTAMP().with_variant(mysql.TIMESTAMP(fsp=6), "mysql", "mariadb")


_TRIGGER = """
CREATE TRIGGER IF NOT EXISTS "{table}_UPDATED" AFTER UPDATE ON "{table}" WHEN NEW."UPDATED_AT" IS OLD."UPDATED_AT"
BEGIN UPDATE "{table}" SET "UPDATED_AT" = CURRENT_TIMESTAMP WHERE rowid = NEW.rowid; END
"""


def _id() -> sa.Column[Any]:
    return sa.Column("ID", sa.Integer, primary_key=True, autoincrement=True)


def _created_at() -> sa.Column[Any]:
    return sa.Column("CREATED_AT", sa.TIMESTAMP, server_default=sa.text("CURRENT_TIMESTAMP"))


MONITORING = sa.Table(
    "MONITORING",
    METADATA,
    _id(),
    sa.Column("EXCHANGE_ID", sa.String(50)),
    sa.Column("EXCHANGE_NAME", sa.String(100)),
    sa.Column("MARKET_TYPE", sa.String(20)),
    sa.Column("TRADE_PAIR_ID", sa.Integer),
    sa.Column("TRADE_PAIR", sa.String(50)),
    sa.Column("DAEMON_PRIORITY", sa.Integer, server_default=sa.text("1")),
    sa.Column("ENABLED", sa.Boolean, server_default=sa.text("1")),
    sa.Column("ORDERBOOK_DEPTH", sa.Integer, server_default=sa.text("50"), comment="20, 50, 1 = bbo, 0 = full"),
    sa.Column(
        "CHANNELS", sa.String(50), comment="book, bbo, trades; comma separated; empty: book, with depth bbo also bbo"
    ),
    _created_at(),
    sa.Column("UPDATED_AT", UpdatedAt),
    sqlite_autoincrement=True,  # an id never comes again: fills and orders carry it
    **_PLAIN_TEXT,
)

TRADE = sa.Table(
    "TRADE",
    METADATA,
    _id(),
    sa.Column("EXCHANGE_ID", sa.String(50)),
    sa.Column("EXCHANGE_NAME", sa.String(100)),
    sa.Column("MARKET_TYPE", sa.String(20)),
    sa.Column("TRADE_PAIR_ID", sa.Integer),
    sa.Column("TRADE_PAIR", sa.String(50)),
    sa.Column("STRATEGY_ID", sa.String(100)),
    sa.Column("STRATEGY_PARAMS", JsonText),
    sa.Column("DAEMON_PRIORITY", sa.Integer, server_default=sa.text("1")),
    sa.Column("ENABLED", sa.Boolean, server_default=sa.text("1")),
    sa.Column("DEPTH", sa.Integer, server_default=sa.text("20"), comment="20, 50, 1 = bbo, 0 = full"),
    sa.Column("ACCOUNT", sa.String(100), server_default=sa.text("'paper'")),
    sa.Column("MODE", sa.String(10), server_default=sa.text("'paper'"), comment="paper or live"),
    _created_at(),
    sa.Column("UPDATED_AT", UpdatedAt),
    sqlite_autoincrement=True,  # an id never comes again: fills and orders carry it
    **_PLAIN_TEXT,
)

DAEMON_STATE = sa.Table(
    "DAEMON_STATE",
    METADATA,
    _id(),
    sa.Column("DAEMON_ID", sa.String(100), unique=True),
    sa.Column("ROLE", sa.String(50)),
    sa.Column("STATUS", sa.String(50)),
    sa.Column("LAST_HEARTBEAT", sa.TIMESTAMP),
    sa.Column("CONFIG", JsonText),
    _created_at(),
    sa.Column("UPDATED_AT", UpdatedAt),
    **_PLAIN_TEXT,
)

FLEET = sa.Table(
    "FLEET",
    METADATA,
    sa.Column("NAME", sa.String(50), primary_key=True),
    sa.Column("VALUE", sa.String(500), nullable=False),
    sa.Column("UPDATED_AT", UpdatedAt),
    **_EXACT_TEXT,
)

ACCOUNT_LEASE = sa.Table(
    "ACCOUNT_LEASE",
    METADATA,
    sa.Column("ACCOUNT", sa.String(100), primary_key=True),
    sa.Column("HOLDER", sa.String(100), nullable=False),
    sa.Column("EPOCH", sa.BigInteger, nullable=False, comment="grows with every acquisition, never falls"),
    sa.Column("EXPIRES_MS", sa.BigInteger, nullable=False, comment="Unix ms by this database's clock"),
    _created_at(),
    sa.Column("UPDATED_AT", UpdatedAt),
    **_EXACT_TEXT,
)

ORDERS = sa.Table(
    "ORDERS",
    METADATA,
    _id(),
    sa.Column("CLIENT_ORDER_ID", sa.String(36), nullable=False, unique=True),
    sa.Column("TASK_ID", sa.Integer, nullable=False, index=True),
    sa.Column("ACCOUNT", sa.String(100), nullable=False),
    sa.Column("EPOCH", sa.BigInteger, nullable=False),
    sa.Column("DAEMON_ID", sa.String(100), nullable=False),
    sa.Column("EXCHANGE_ID", sa.String(50), nullable=False),
    sa.Column("MARKET_TYPE", sa.String(20), nullable=False),
    sa.Column("TRADE_PAIR", sa.String(50), nullable=False),
    sa.Column("MODE", sa.String(10), nullable=False),
    sa.Column("SIDE", sa.String(10), nullable=False),
    sa.Column("PRICE", Money, nullable=False),
    sa.Column("AMOUNT", Money, nullable=False),
    sa.Column("FILLED", Money, nullable=False),
    sa.Column("STATE", sa.String(20), nullable=False, index=True),
    sa.Column("SLOT", sa.String(64), nullable=False, comment="the strategy's own name of the order"),
    sa.Column("REASON", sa.String(200), nullable=False),
    sa.Column("ORDER_ID", sa.String(100), comment="the venue's"),
    sa.Column("PLACED_US", sa.BigInteger, nullable=False, comment="wall clock of the daemon, Unix µs"),
    _created_at(),
    sa.Column("UPDATED_AT", UpdatedAt),
    **_EXACT_TEXT,
)

TRADE_HISTORY = sa.Table(
    "TRADE_HISTORY",
    METADATA,
    _id(),
    sa.Column("DAEMON_ID", sa.String(100)),
    sa.Column("EXCHANGE_ID", sa.String(50)),
    sa.Column("TRADE_PAIR", sa.String(50)),
    sa.Column("ORDER_ID", sa.String(100)),
    sa.Column("SIDE", sa.String(10)),
    sa.Column("PRICE", Money),
    sa.Column("AMOUNT", Money),
    sa.Column("COMMISSION", Money),
    sa.Column("STATUS", sa.String(50), comment="of the order after this fill: open, filled"),
    sa.Column("EXECUTED_AT", _TIMESTAMP_US),
    _created_at(),
    sa.Column("MARKET_TYPE", sa.String(20)),
    sa.Column("ACCOUNT", sa.String(100)),
    sa.Column("MODE", sa.String(10)),
    sa.Column("TASK_ID", sa.Integer, index=True),
    sa.Column("CLIENT_ORDER_ID", sa.String(36)),
    sa.Column("VENUE_TRADE_ID", sa.String(100)),
    sa.Column("COMMISSION_ASSET", sa.String(20)),
    sa.Column("EPOCH", sa.BigInteger),
    sa.UniqueConstraint("CLIENT_ORDER_ID", "VENUE_TRADE_ID", name="ONE_FILL_ONCE"),
    **_EXACT_TEXT,
)


async def create_schema(engine: AsyncEngine) -> None:
    """Create what is missing: tables, columns of ours in tables of the first draft, the fleet's uuid.

    Safe to repeat and to run from several hosts at once. Existing rows and columns are not touched.
    """
    async with writing(engine) as connection, _one_at_a_time(connection):
        await connection.run_sync(METADATA.create_all)
        await connection.run_sync(_add_columns)
        if is_sqlite(connection):
            await connection.run_sync(_add_triggers)
        await put_if_absent(connection, "uuid", uuid.uuid4().hex)


async def fleet_uuid(engine: AsyncEngine) -> str:
    """The identity of the fleet this database belongs to. Raises SchemaMissing where `fleet init` has not run."""
    async with reading(engine, bounded=True) as connection:
        found = await connection.scalar(sa.select(FLEET.c.VALUE).where(FLEET.c.NAME == "uuid"))
    if found is None:
        raise SchemaMissing(f"the fleet's uuid is missing in table FLEET of {place(engine)}: run `fleet init`")
    return str(found)


async def put_if_absent(connection: AsyncConnection, name: str, value: str) -> None:
    """Set a FLEET value unless it is set."""
    if is_sqlite(connection):
        await connection.execute(sqlite.insert(FLEET).values(NAME=name, VALUE=value).on_conflict_do_nothing())
    else:
        kept = mysql.insert(FLEET).values(NAME=name, VALUE=value).on_duplicate_key_update(NAME=FLEET.c.NAME)
        await connection.execute(kept)


def database_ms(target: AsyncEngine | AsyncConnection) -> sa.ColumnElement[int]:
    """The database's clock as Unix ms: the only clock that leases of several hosts may be compared by."""
    text = (
        "CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)"
        if is_sqlite(target)
        else "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)"
    )
    return sa.literal_column(text, sa.BigInteger)


@asynccontextmanager
async def _one_at_a_time(connection: AsyncConnection) -> AsyncIterator[None]:
    # MySQL's DDL is in no transaction, so two `fleet init` must not interleave; SQLite's writers lock anyway
    if is_sqlite(connection):
        yield
        return
    if await connection.scalar(sa.text("SELECT GET_LOCK('fleet_schema', :wait_s)"), {"wait_s": _SCHEMA_LOCK_S}) != 1:
        raise Unreachable(f"another `fleet init` has held this database for {_SCHEMA_LOCK_S} s: try again")
    try:
        yield
    finally:
        await connection.execute(sa.text("DO RELEASE_LOCK('fleet_schema')"))


def _add_columns(connection: sa.Connection) -> None:
    quote = connection.dialect.identifier_preparer.quote
    inspector = sa.inspect(connection)
    for table in METADATA.sorted_tables:
        present = {column["name"].upper() for column in inspector.get_columns(table.name)}
        for column in table.columns:
            if column.name not in present:
                definition = CreateColumn(column).compile(dialect=connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {quote(table.name)} ADD COLUMN {definition}")


def _add_triggers(connection: sa.Connection) -> None:
    for table in METADATA.sorted_tables:
        if "UPDATED_AT" in table.c:
            connection.exec_driver_sql(_TRIGGER.format(table=table.name))
