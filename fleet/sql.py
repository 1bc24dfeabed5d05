"""SQL as transport: an engine from FLEET_DATABASE_URL, transactions, and errors for people.

`mysql://` (MySQL, MariaDB) goes over aiomysql, `sqlite:///FILE` over aiosqlite. The tables are in fleet/schema.py.
All code talks through `reading` and `writing`: they begin, commit, roll back, and turn driver errors into ours.
"""

import asyncio
import sqlite3
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiosqlite
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from fleet.cancellation import heeded
from fleet.config import Settings
from fleet.errors import ConfigError, FleetError, SchemaMissing, Unreachable

CONNECT_TIMEOUT_S = 5
LOCK_WAIT_S = 15  # SQLite: several daemons of one host write through one file
# a healthy server answers any statement of ours in milliseconds, a few times ten thousand rows within a second; as long as
# connecting may take, so that whoever asks every few seconds notices a server that hangs as soon as one that is dead
ANSWER_S = 5.0
# a load balancer or `wait_timeout` may cut idle connections: ours never get that old
_POOL_RECYCLE_S = 1800
_SQL_MODE = "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
_READ_ONLY = "fleet_read_only"


def engine(settings: Settings) -> AsyncEngine:
    """An engine for `settings.database_url`; nothing is connected yet. The caller disposes of it.

    Raises ConfigError where the url is missing or cannot be right.
    """
    if settings.database_url is None:
        raise ConfigError(
            "FLEET_DATABASE_URL is not set: expected mysql://user:password@host/database or sqlite:///FILE"
        )
    return engine_of(settings.database_url.get_secret_value())


def engine_of(url: str) -> AsyncEngine:
    """The same for a url. Raises ConfigError; its text never holds the password."""
    try:
        parsed = sa.make_url(url)
    except (SQLAlchemyError, ValueError):
        raise ConfigError(
            "FLEET_DATABASE_URL: not a url; expected mysql://user:password@host:port/database or sqlite:///FILE"
            " (write @ : / in a password as %40 %3A %2F)"
        ) from None
    if parsed.drivername == "mysql":
        return _mysql(parsed)
    if parsed.drivername == "sqlite":
        return _sqlite(parsed)
    raise ConfigError(f"FLEET_DATABASE_URL: expected mysql:// or sqlite:///, got {parsed.drivername}://")


def place(target: AsyncEngine | sa.URL) -> str:
    """Where the database is, for people, without user and password: `mysql://host:3306/fleet`."""
    url = target if isinstance(target, sa.URL) else target.url
    if url.get_backend_name() == "sqlite":
        return f"sqlite:///{url.database}"
    return f"mysql://{url.host or 'localhost'}:{url.port or 3306}/{url.database}"


def is_sqlite(target: AsyncEngine | AsyncConnection) -> bool:
    """SQLite means one host; everything else here is MySQL or MariaDB."""
    return target.dialect.name == "sqlite"


@asynccontextmanager
async def reading(target: AsyncEngine, *, bounded: bool = False) -> AsyncIterator[AsyncConnection]:
    """A transaction that only reads. Raises as `translated` does; `bounded`: Unreachable also where no statement is answered
    for ANSWER_S (SQLite: and a wait for a lock), and that connection is closed."""
    silent_s = ANSWER_S + LOCK_WAIT_S if is_sqlite(target) else ANSWER_S
    with translated(target):
        async with (
            heeded(),
            _answering(target, silent_s if bounded else None) as listen,
            target.connect() as connection,
        ):
            listen(connection)
            await connection.execution_options(**{_READ_ONLY: True})
            yield connection


@asynccontextmanager
async def writing(target: AsyncEngine, *, bounded: bool = False) -> AsyncIterator[AsyncConnection]:
    """A transaction that writes: committed at the end, rolled back by any error. Raises as `translated` does; `bounded`:
    Unreachable also where no statement is answered for ANSWER_S and a wait for a lock, and that connection is closed.

    If the connection breaks while COMMIT is under way, the error says nothing about whether it took effect.
    """
    silent_s = ANSWER_S + LOCK_WAIT_S if bounded else None
    with translated(target):
        async with heeded(), _answering(target, silent_s) as listen, target.begin() as connection:
            listen(connection)
            yield connection


@asynccontextmanager
async def _answering(target: AsyncEngine, silent_s: float | None) -> AsyncIterator[Callable[[AsyncConnection], None]]:
    """A block in which the server may be silent for so long at most; each statement's answer begins the time anew.

    The end of the time cancels what waits, as a task is cancelled: SQLAlchemy closes a connection on which that happens.
    """
    timeout, loop = asyncio.timeout(silent_s), asyncio.get_running_loop()

    def answered(*_: object) -> None:
        if silent_s is not None and not timeout.expired():
            timeout.reschedule(loop.time() + silent_s)

    try:
        async with timeout:
            yield lambda connection: event.listen(connection.sync_connection, "after_cursor_execute", answered)
    except TimeoutError as error:
        if not timeout.expired():
            raise
        raise Unreachable(
            f"{place(target)} does not answer: expected it within {silent_s:g} s, and nothing came; "
            "does the server hang, is its disk full, does somebody hold a lock?"
        ) from error


@contextmanager
def translated(target: AsyncEngine) -> Iterator[None]:
    """Turn errors of the driver into ours, one line each, never with the password.

    Raises Unreachable (no answer, no such host, login refused, no such database, file not to be opened or locked),
    SchemaMissing (table or column missing), FleetError (any other refusal of the server).
    """
    try:
        yield
    except DBAPIError as error:
        raise explained(error.orig or error, target.url) from error
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        raise explained(error, target.url) from error
    except RuntimeError as error:
        # aiomysql says so only when the server asks for this kind of login
        if "cryptography" not in str(error):
            raise
        raise Unreachable(
            f"{place(target)}: its login (caching_sha2_password) needs a package: pip install 'aiomysql[rsa]'"
        ) from error


def explained(error: BaseException, url: sa.URL) -> FleetError:
    """What a driver's error means."""
    where = place(url)
    said = _one_line(error, url)
    if url.get_backend_name() == "sqlite":
        return _explained_sqlite(said, where, url)
    return _explained_mysql(error, said, where, url)


def _explained_mysql(error: BaseException, said: str, where: str, url: sa.URL) -> FleetError:
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    match number:
        case 1045 | 1698 | 1251:
            return Unreachable(
                f"{where} refused the login of user {url.username!r}: check the user and password in FLEET_DATABASE_URL"
            )
        case 1044 | 1142 | 1143 | 1227:
            return Unreachable(f"{where}: user {url.username!r} lacks a right: {said}; GRANT it")
        case 1049:
            return Unreachable(
                f"{where}: there is no database {url.database!r}: create it (CREATE DATABASE {url.database}) "
                "or fix FLEET_DATABASE_URL"
            )
        case 1146:
            return SchemaMissing(f"table {_missing_table(said)} is missing in {where}: run `fleet init`")
        case 1054:
            return SchemaMissing(f"a column is missing in {where} ({said}): run `fleet init`")
        case 2003 | 2005:
            cause = error.__cause__ or error.__context__
            why = _one_line(cause, url) if isinstance(cause, OSError) and str(cause) else said
            return Unreachable(f"{where} does not answer ({why}): is the server up, are host and port right?")
        case 2002 | 2006 | 2013 | 2014 | 2055 | 1053 | 1927 | 1040 | 1203:
            return Unreachable(f"{where}: connection lost or refused ({said})")
        case 1205 | 1213:
            return Unreachable(f"{where}: another transaction was in the way ({said}); it is tried again")
    if isinstance(error, OSError | TimeoutError) or type(error).__name__ == "InterfaceError":
        return Unreachable(f"{where} does not answer ({said or type(error).__name__})")
    return FleetError(f"{where} refused: {said}")


def _explained_sqlite(said: str, where: str, url: sa.URL) -> FleetError:
    low = said.lower()
    if "no such table" in low:
        return SchemaMissing(f"table {said.rpartition(':')[2].strip()} is missing in {where}: run `fleet init`")
    if "no such column" in low or "has no column" in low:
        return SchemaMissing(f"a column is missing in {where} ({said}): run `fleet init`")
    if "unable to open" in low:
        folder = Path(url.database or "").absolute().parent
        why = f"may this user write in {folder}?" if folder.is_dir() else f"the folder {folder} does not exist"
        return Unreachable(f"{where} cannot be opened: {why}")
    if "locked" in low or "busy" in low:
        return Unreachable(f"{where} is locked by another process for more than {LOCK_WAIT_S} s")
    if "readonly" in low or "disk i/o" in low or "full" in low:
        return Unreachable(f"{where}: {said}: check the disk and the rights of the file")
    if "not a database" in low or "malformed" in low:
        return Unreachable(f"{where} is no SQLite database ({said}): fix FLEET_DATABASE_URL or restore the file")
    return FleetError(f"{where} refused: {said}")


def _missing_table(said: str) -> str:
    # Table 'database.NAME' doesn't exist
    parts = said.split("'")
    return parts[1].rpartition(".")[2] if len(parts) > 1 else said


def _one_line(error: BaseException, url: sa.URL) -> str:
    text = str(error.args[1]) if len(error.args) > 1 and isinstance(error.args[0], int) else str(error)
    line = " ".join(text.split())
    if url.password:
        line = line.replace(str(url.password), "***")
    return line[:300]


def _mysql(url: sa.URL) -> AsyncEngine:
    if not url.database:
        raise ConfigError(
            "FLEET_DATABASE_URL: expected a database at the end: mysql://user:password@host:port/database"
        )
    arguments: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT_S, "charset": "utf8mb4"}
    # NO_BACKSLASH_ESCAPES and friends of the server's own would change what our text means
    arguments["init_command"] = (
        f"SET SESSION sql_mode = '{_SQL_MODE}', time_zone = '+00:00', innodb_lock_wait_timeout = {LOCK_WAIT_S}"
    )
    for name, value in url.query.items():
        arguments |= _mysql_option(name, str(value))
    return create_async_engine(
        url.set(drivername="mysql+aiomysql", query={}),
        connect_args=arguments,
        pool_pre_ping=True,
        pool_recycle=_POOL_RECYCLE_S,
        # a compare-and-set must see what is committed, not a snapshot of the past
        isolation_level="READ COMMITTED",
        hide_parameters=True,
    )


def _mysql_option(name: str, value: str) -> dict[str, Any]:
    match name, value:
        case "ssl", "true":
            return {"ssl": ssl.create_default_context()}
        case "ssl_ca", path:
            try:
                return {"ssl": ssl.create_default_context(cafile=path)}
            except OSError as error:
                raise ConfigError(f"FLEET_DATABASE_URL: ssl_ca={path}: {error.strerror or error}") from None
        case "unix_socket", path:
            return {"unix_socket": path}
        case "charset", "utf8mb4":
            return {}
    raise ConfigError(
        f"FLEET_DATABASE_URL: unknown option {name}={value[:40]}; expected ssl=true, ssl_ca=FILE, unix_socket=PATH"
    )


class _SqliteConnection(sqlite3.Connection):
    """Its end is the end of its transaction.

    sqlite3 closes a connection only once its last cursor is collected. After a cancellation cursors live on in tracebacks, and
    with them the write lock of a transaction that nobody can end any more.
    """

    def close(self) -> None:
        """Roll back, then close. Safe to repeat."""
        try:
            self.rollback()
        except sqlite3.ProgrammingError:
            pass  # it is closed already
        finally:
            super().close()


def _sqlite(url: sa.URL) -> AsyncEngine:
    if not url.database or url.database == ":memory:":
        raise ConfigError("FLEET_DATABASE_URL: expected a file, sqlite:///relative.db or sqlite:////absolute/path.db")
    file = url.database

    async def connect() -> aiosqlite.Connection:
        connection = aiosqlite.connect(file, timeout=LOCK_WAIT_S, factory=_SqliteConnection)
        connection._thread.daemon = (
            True  # as SQLAlchemy's own creator does: a forgotten connection must not hold the exit up
        )
        try:
            return await connection
        except BaseException:
            # its thread still has an answer to give; a loop that closes first would make that a traceback on stderr
            await asyncio.to_thread(connection._thread.join)
            raise

    made = create_async_engine(url.set(drivername="sqlite+aiosqlite"), async_creator=connect, hide_parameters=True)

    @event.listens_for(made.sync_engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        # the driver must not begin transactions by itself: it would begin them too late for a compare-and-set
        connection.isolation_level = None
        try:
            cursor = connection.cursor()
            for pragma in (f"busy_timeout = {LOCK_WAIT_S * 1000}", "foreign_keys = ON"):
                cursor.execute(f"PRAGMA {pragma}")
            try:
                cursor.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                # SQLite does not wait here: another connection is switching a new file, and the mode is the file's
                if "locked" not in str(error):
                    raise
            cursor.close()
        except BaseException:
            # nobody else knows of it yet, and it has a thread of its own
            connection.close()
            raise

    @event.listens_for(made.sync_engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # a reader that turns writer fails at once when somebody wrote between; so writers lock from the start
        read_only = connection.get_execution_options().get(_READ_ONLY, False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return made
