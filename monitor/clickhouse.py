"""The only ClickHouse client: native protocol through `asynch`, one connection, one query at a time.

Blocks go column by column (10,000 rows of history: ~25 ms, about half of it our CPU) and carry a deduplication token: a
retry of the same block under the same token leaves one copy, whatever became of the first attempt.

After anything but a refusal of the server the connection is thrown away and the next call opens a new one: asynch
leaves a connection half-usable after a failed reconnect.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self
from urllib.parse import unquote, urlsplit, urlunsplit

from asynch.errors import ClickHouseException, ServerException
from asynch.proto.connection import Connection
from asynch.proto.utils.dsn import DSNError, parse_dsn

from fleet.cancellation import heeding
from fleet.errors import ConfigError, FleetError, SchemaMissing, Unreachable
from monitor.schema import TABLES

CONNECT_TIMEOUT_S = 5.0
QUERY_TIMEOUT_S = 30.0  # an insert takes ~10 ms; merges and a slow disk may hold one for seconds

# server error codes, src/Common/ErrorCodes.cpp
_NO_SUCH_COLUMN, _UNKNOWN_IDENTIFIER, _UNKNOWN_TABLE, _UNKNOWN_DATABASE = 16, 47, 60, 81
_LOGIN_CODES = {192, 193, 194, 516}  # unknown user, wrong password, password required, authentication failed
_SCHEMA_CODES = {_NO_SUCH_COLUMN, _UNKNOWN_TABLE, _UNKNOWN_DATABASE}

_make_connection: Callable[..., Any] = Connection

# asynch warns of every refused connection; we report an outage ourselves, once
logging.getLogger("asynch.proto.connection").setLevel(logging.ERROR)


class Refused(FleetError):
    """ClickHouse answered with an error that is neither a missing table nor a refused login."""


class External(NamedTuple):
    """A table sent with a query. `structure`: (column, type); `rows`: tuples."""

    structure: Sequence[tuple[str, str]]
    rows: Sequence[tuple[Any, ...]]


class ClickHouse:
    """One connection, opened when first needed and again after a failure. Calls queue up behind one another.

    Every call may raise Unreachable (no answer, refused login), SchemaMissing (run `fleet init`) or Refused.
    No text of an error holds the password.
    """

    def __init__(self, url: str, *, query_timeout_s: float = QUERY_TIMEOUT_S) -> None:
        """`clickhouse://user:password@host:9000/database` (clickhouses:// with TLS). Raises ConfigError."""
        self._options = _options(url)
        self._timeout_s = query_timeout_s
        self._connection: Any = None  # asynch.proto.connection.Connection; its stubs leave out what it has
        self._lock = asyncio.Lock()
        self.database: str = self._options.get("database", "default")
        self._shown = _address(url)

    def __repr__(self) -> str:
        return f"<ClickHouse {self._shown} {'open' if self._connection else 'closed'}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_failure: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; a later call would open it again."""
        async with self._lock:
            await self._drop()

    async def execute(self, statement: str) -> None:
        """Run a statement that answers nothing."""
        await self._run(statement)

    async def query(
        self, statement: str, values: Mapping[str, Any] | None = None, tables: Mapping[str, External] | None = None
    ) -> list[tuple[Any, ...]]:
        """The rows of a SELECT. `values` fill `%(name)s`, escaped; `tables` can be read by their names."""
        external = [
            {"name": name, "structure": list(table.structure), "data": list(table.rows)}
            for name, table in (tables or {}).items()
        ]
        rows = await self._run(statement, dict(values) if values else None, external_tables=external or None)
        return list(rows)

    async def insert(self, table: str, columns: Sequence[str], data: Sequence[list[Any]], token: str) -> None:
        """Insert one block, column by column, whole or not at all within a partition. `token` names its content."""
        statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES"
        settings = {
            "insert_deduplicate": 1,
            "insert_deduplication_token": token,
            "async_insert": 0,  # an answer must mean that the rows are in their table
        }
        await self._run(statement, list(data), columnar=True, settings=settings)

    async def _run(self, statement: str, arguments: Any = None, **options: Any) -> Any:
        async with self._lock:
            try:
                async with asyncio.timeout(self._timeout_s):
                    connection = await heeding(self._open())
                    answer = await heeding(connection.execute(statement, arguments, **options))
                    if connection.is_query_executing:
                        # asynch reads one packet after an insert; if the end was not among it, the outcome is unknown
                        raise Unreachable(f"ClickHouse {self._shown}: the end of an answer did not come; asking again")
                    return answer
            except ServerException as error:
                raise self._explained(error) from None
            except BaseException as error:
                # unknown state, also after a cancellation
                await self._drop()
                if isinstance(error, ClickHouseException | OSError | EOFError | TimeoutError | IndexError):
                    raise self._unreachable(error) from None
                raise

    async def _open(self) -> Any:
        if self._connection is None:
            connection: Any = _make_connection(**self._options)
            await connection.connect()
            self._connection = connection
        return self._connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and connection.connected:
            try:
                async with asyncio.timeout(1):
                    await connection.disconnect()
            except (OSError, TimeoutError, ClickHouseException):
                pass  # it is being thrown away

    def _explained(self, error: ServerException) -> FleetError:
        text = " ".join(str(error.message).removeprefix("DB::Exception: ").split())[:300]
        if error.code in _LOGIN_CODES:
            user = self._options.get("user", "default")
            return Unreachable(
                f"ClickHouse {self._shown} refuses the login of user {user!r}; check user and password in FLEET_CLICKHOUSE_URL"
            )
        if error.code in _SCHEMA_CODES or (error.code == _UNKNOWN_IDENTIFIER and "column" in text.lower()):
            return SchemaMissing(f"ClickHouse {self._shown}: {text}; run `fleet init`")
        return Refused(f"ClickHouse {self._shown} refused (code {error.code}): {text}")

    def _unreachable(self, error: BaseException) -> Unreachable:
        cause = error.__cause__ or error
        if isinstance(error, TimeoutError) or isinstance(cause, TimeoutError):
            why = "no answer in time; is it overloaded or stopped?"
        elif isinstance(cause, ConnectionRefusedError):
            why = "connection refused; does it run, and is this its native port (9000)?"
        elif type(error).__name__ == "UnexpectedPacketFromServerError":
            why = "answers in another protocol; give its native port (9000), not its HTTP port"
        else:
            why = " ".join(str(cause).split())[:200] or type(cause).__name__
        return Unreachable(f"ClickHouse {self._shown}: {why}")


async def create_schema(url: str) -> list[str]:
    """Make the database of the URL and every table that is missing; safe to repeat. Returns the tables' names."""
    database = _options(url).get("database", "default")
    if database != "default":
        parts = urlsplit(url)
        async with ClickHouse(urlunsplit(parts._replace(path="/default"))) as server:
            quoted = database.replace("\\", "\\\\").replace("`", "\\`")
            await server.execute(f"CREATE DATABASE IF NOT EXISTS `{quoted}`")
    async with ClickHouse(url) as client:
        for table in TABLES:
            await client.execute(table.create)
    return [table.name for table in TABLES]


async def check_schema(client: ClickHouse) -> None:
    """Raise SchemaMissing with the names of the tables and columns that history needs and this database lacks."""
    rows = await client.query("SELECT table, name FROM system.columns WHERE database = currentDatabase()")
    there = {(str(table), str(name)) for table, name in rows}
    lacking: list[str] = []
    for table in TABLES:
        absent = [name for name in table.names if (table.name, name) not in there]
        if len(absent) == len(table.names):
            lacking.append(table.name)
        elif absent:
            lacking.append(f"{table.name}.{', '.join(absent)}")
    if lacking:
        raise SchemaMissing(f"ClickHouse database {client.database} lacks {', '.join(lacking)}; run `fleet init`")


def _options(url: str) -> dict[str, Any]:
    try:
        options: dict[str, Any] = parse_dsn(url)
    except (DSNError, ValueError):
        # the text of either may quote the url
        raise ConfigError("FLEET_CLICKHOUSE_URL: expected clickhouse://user:password@host:9000/database") from None
    options.setdefault("connect_timeout", CONNECT_TIMEOUT_S)
    return options


def _address(url: str) -> str:
    parts = urlsplit(url)
    return f"{unquote(parts.hostname or '127.0.0.1')}:{parts.port or (9440 if parts.scheme == 'clickhouses' else 9000)}"
