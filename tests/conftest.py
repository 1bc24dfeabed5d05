"""Real servers for the tests, started on first use, on free ports, and gone with the session.

Session-wide servers are shared and emptied for each test; `own_…` gives a test a private server that it may hurt.
A missing server fails the test with the mend: it is never skipped silently.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asynch
import pytest
import pytest_asyncio
import redis.asyncio

from ops.embedded.clickhouse import EmbeddedClickHouse
from ops.embedded.errors import ServerMissingError
from ops.embedded.mariadb import MariaDB
from ops.embedded.process import free_port as choose_free_port
from ops.embedded.redis import EmbeddedRedis
from ops.embedded.server import EmbeddedServer
from tests.support.leaks import find_leaked_keys
from tests.support.redis_cluster import RedisCluster, start_cluster
from tests.support.redis_failover import FailoverPair, start_failover
from tests.support.redis_sentinel import SentinelSetup, start_sentinel
from tests.support.waiting import wait_until as wait_until_true

REPOSITORY = Path(__file__).resolve().parent.parent

# A test run is its own world: it must not find the developer's servers. These two are settings of the tests.
KEPT_SETTINGS = {"FLEET_RECORDED", "FLEET_CHAOS_SCALE"}

OwnRedis = Callable[..., Awaitable[EmbeddedRedis]]
OwnCluster = Callable[..., Awaitable[RedisCluster]]
OwnSentinel = Callable[..., Awaitable[SentinelSetup]]
OwnFailover = Callable[[], Awaitable[FailoverPair]]
OwnMariaDB = Callable[[], Awaitable[MariaDB]]
OwnClickHouse = Callable[[], Awaitable[EmbeddedClickHouse]]


def pytest_configure(config: pytest.Config) -> None:
    """Declare our markers and forget the developer's own FLEET_ settings."""
    config.addinivalue_line("markers", "leaks_keys(why): the test leaves Redis keys without an expiry on purpose")
    for name in [name for name in os.environ if name.startswith("FLEET_") and name not in KEPT_SETTINGS]:
        del os.environ[name]


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name a parameter of raw bytes by its argument: its own text may differ between two workers (gzip writes the time)."""
    return argname if isinstance(val, bytes) else None


async def begin(stack: AsyncExitStack, server: EmbeddedServer) -> None:
    """Start a server that ends with the stack; a missing program fails the test with the mend."""
    try:
        await stack.enter_async_context(server)
    except ServerMissingError as missing:
        pytest.fail(f"{missing} For the tests: make setup-servers", pytrace=False)


def new_name() -> str:
    """A database name that no other test has."""
    return f"test_{secrets.token_hex(6)}"


async def clickhouse_execute(url: str, statement: str) -> None:
    """Run one statement on a ClickHouse."""
    async with asynch.connect(url) as connection, connection.cursor() as cursor:
        await cursor.execute(statement)


@pytest.fixture(scope="session")
def server_directory() -> Iterator[Path]:
    """A short path (unix sockets allow ~100 characters) for the servers' files, removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix="fleet-test-"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def new_directory(server_directory: Path) -> Iterator[Callable[[str], Path]]:
    """A function that makes a fresh directory for a private server, removed with the test."""
    made: list[Path] = []

    def make(name: str) -> Path:
        made.append(Path(tempfile.mkdtemp(prefix=f"{name}-", dir=server_directory)))
        return made[-1]

    yield make
    for directory in made:
        shutil.rmtree(directory)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def redis_server(server_directory: Path) -> AsyncIterator[EmbeddedRedis]:
    """The session's redis-server: `.url`, `.pid`. To pause or kill a server take `own_redis`."""
    server = EmbeddedRedis(server_directory / "redis")
    async with AsyncExitStack() as stack:
        await begin(stack, server)
        yield server


@pytest.fixture
async def redis_url(redis_server: EmbeddedRedis, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The URL of a real redis-server, empty and without scripts.

    After the test no key of ours may be left without an expiry unless `fleet.keys` calls it permanent; a test that
    means to leave one says why: `@pytest.mark.leaks_keys("…")`.
    """
    async with redis.asyncio.Redis.from_url(redis_server.url) as client:
        await client.flushall()
        await client.script_flush()
        yield redis_server.url
        if request.node.get_closest_marker("leaks_keys") is None:
            leaked = await find_leaked_keys(client)
            assert not leaked, f"keys without an expiry that are not permanent (fleet/keys.py): {', '.join(leaked)}"


@pytest.fixture(name="redis")
async def redis_client(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of the real, empty redis-server; answers are bytes."""
    client = redis.asyncio.Redis.from_url(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def own_redis(new_directory: Callable[[str], Path]) -> AsyncIterator[OwnRedis]:
    """`await own_redis({"appendonly": "yes"})`: a private server for `.kill()`, `.pause()`, `.restart()`."""
    async with AsyncExitStack() as stack:

        async def start(settings: Mapping[str, str] | None = None, **options: object) -> EmbeddedRedis:
            server = EmbeddedRedis(new_directory("redis"), settings=settings, **options)
            await begin(stack, server)
            return server

        yield start


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cluster_server(server_directory: Path) -> AsyncIterator[RedisCluster]:
    """The session's Redis Cluster, three primaries. To move slots or kill nodes take `own_cluster`."""

    def directory(name: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=server_directory))

    async with AsyncExitStack() as stack:
        yield await start_cluster(stack, begin, directory)


@pytest.fixture
async def cluster(cluster_server: RedisCluster) -> RedisCluster:
    """A real Redis Cluster, empty and without scripts: `.url`, `.node_of(key)`."""
    await cluster_server.empty()
    return cluster_server


@pytest.fixture
async def own_cluster(new_directory: Callable[[str], Path]) -> AsyncIterator[OwnCluster]:
    """`await own_cluster(replicas=1)`: a private cluster, whose nodes may be killed and whose slots may be moved."""
    async with AsyncExitStack() as stack:

        async def start(**options: Any) -> RedisCluster:
            return await start_cluster(stack, begin, new_directory, **options)

        yield start


@pytest.fixture
async def own_sentinel(new_directory: Callable[[str], Path]) -> AsyncIterator[OwnSentinel]:
    """`await own_sentinel()`: a private primary, replica and three sentinels: `.primary.kill()`, `.promoted()`."""
    async with AsyncExitStack() as stack:

        async def start(**options: Any) -> SentinelSetup:
            return await start_sentinel(stack, begin, new_directory, **options)

        yield start


@pytest.fixture
async def own_failover(new_directory: Callable[[str], Path]) -> AsyncIterator[OwnFailover]:
    """`await own_failover()`: a primary and a replica behind one address, for a failover that loses a tail."""
    async with AsyncExitStack() as stack:

        async def start() -> FailoverPair:
            return await start_failover(stack, begin, new_directory)

        yield start


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def mariadb_server(server_directory: Path) -> AsyncIterator[MariaDB]:
    """The session's MariaDB: `.url`, `.pid`. To pause or kill a server take `own_mariadb`."""
    server = MariaDB(server_directory / "mariadb")
    async with AsyncExitStack() as stack:
        await begin(stack, server)
        yield server


@pytest.fixture
async def mariadb_url(mariadb_server: MariaDB) -> AsyncIterator[str]:
    """The URL of a fresh MariaDB database, dropped after the test."""
    database = new_name()
    await mariadb_server.execute(f"CREATE DATABASE {database}")
    yield mariadb_server.database_url(database)
    await mariadb_server.execute(f"DROP DATABASE {database}")


@pytest.fixture
async def own_mariadb(new_directory: Callable[[str], Path]) -> AsyncIterator[OwnMariaDB]:
    """`await own_mariadb()`: a private server; `.database_url("test")` after `.execute("CREATE DATABASE test")`."""
    async with AsyncExitStack() as stack:

        async def start() -> MariaDB:
            server = MariaDB(new_directory("mariadb"))
            await begin(stack, server)
            return server

        yield start


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def clickhouse_server(server_directory: Path) -> AsyncIterator[EmbeddedClickHouse]:
    """The session's ClickHouse: `.url`, `.pid`. To pause or kill a server take `own_clickhouse`."""
    server = EmbeddedClickHouse(server_directory / "clickhouse")
    async with AsyncExitStack() as stack:
        await begin(stack, server)
        yield server


@pytest.fixture
async def clickhouse_url(clickhouse_server: EmbeddedClickHouse) -> AsyncIterator[str]:
    """The URL of a fresh ClickHouse database, dropped after the test."""
    database = new_name()
    await clickhouse_execute(clickhouse_server.url, f"CREATE DATABASE {database}")
    yield clickhouse_server.url.removesuffix("/default") + f"/{database}"
    await clickhouse_execute(clickhouse_server.url, f"DROP DATABASE {database} SYNC")


@pytest.fixture
async def own_clickhouse(new_directory: Callable[[str], Path]) -> AsyncIterator[OwnClickHouse]:
    """`await own_clickhouse()`: a private server for `.kill()`, `.pause()`, `.restart()`; its rows survive."""
    async with AsyncExitStack() as stack:

        async def start() -> EmbeddedClickHouse:
            server = EmbeddedClickHouse(new_directory("clickhouse"))
            await begin(stack, server)
            return server

        yield start


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'fleet.db'}"


@pytest.fixture
def wait_until() -> Callable[..., Awaitable[object]]:
    """`await wait_until(predicate, "what should become true", timeout_s=10)`; see tests/support/waiting.py."""
    return wait_until_true


@pytest.fixture
def free_port() -> Callable[[], int]:
    """`free_port()`: a port of 127.0.0.1 that nobody listened on a moment ago."""
    return choose_free_port


@pytest.fixture(scope="session")
def recorded() -> Path:
    """The folder of recorded venue messages (its INDEX.md says what is in it): FLEET_RECORDED, or ../shared/recorded
    beside the checkout. Without it the test is skipped; under CI=true it fails.
    """
    folder = Path(os.environ.get("FLEET_RECORDED") or REPOSITORY.parent / "shared" / "recorded")
    if not (folder / "INDEX.md").is_file():
        message = f"no recorded venue messages in {folder}: set FLEET_RECORDED to their folder"
        if os.environ.get("CI", "").lower() in {"1", "true"}:
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    return folder
