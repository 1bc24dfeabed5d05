"""The only module that builds Redis clients and knows their URLs, timeouts and errors.

Nothing here retries: a write whose answer was lost may have been carried out, and only its author knows what a second
one would do. Callers that may ask again (readers, renewals) do so themselves. Blocking reads must block for less than
SOCKET_TIMEOUT_S.

RESP2 on every connection: the same reply shapes from every server and redis-py version, and no push messages.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import redis.asyncio
from redis.asyncio.connection import Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from fleet.config import Settings, redact_url
from fleet.errors import ConfigError, FleetError, Unreachable

CONNECT_TIMEOUT_S = 3.0  # below the lease time: a daemon that cannot connect must know it while it still has its leases
SOCKET_TIMEOUT_S = 5.0  # a healthy Redis answers within milliseconds; a fork or a full disk may take seconds
HEALTH_CHECK_S = 10  # a pooled connection idle for longer is proved by PING before it is used
MIN_VERSION = (6, 2)  # XTRIM MINID

_LATER = ("redis+sentinel", "redis+cluster", "rediss+cluster")

P = TypeVar("P", bound=asyncio.Protocol)


class _KeepsCancellations:
    """redis-py writes inside asyncio.wait_for, which before Python 3.12 drops a cancellation that comes with the end of the
    write (gh-86296): the task would go on for ever. Here it is seen and raised after all."""

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        task = asyncio.current_task()
        before = task.cancelling() if task else 0
        if before:
            await asyncio.sleep(
                0
            )  # one that was asked for while the task ran is delivered here: inside it could be dropped
        await super().send_packed_command(command, check_health)  # type: ignore[misc]
        if task and task.cancelling() > before:
            await self.disconnect(nowait=True)  # type: ignore[attr-defined]  # the answer will not be read
            raise asyncio.CancelledError


class _Connection(_KeepsCancellations, Connection):
    pass


class _SSLConnection(_KeepsCancellations, SSLConnection):
    pass


class _UnixDomainSocketConnection(_KeepsCancellations, UnixDomainSocketConnection):
    pass


_CONNECTIONS: dict[type[Any], type[Any]] = {
    Connection: _Connection,
    SSLConnection: _SSLConnection,
    UnixDomainSocketConnection: _UnixDomainSocketConnection,
}


class Address(NamedTuple):
    """What a URL says. `shown` is for texts and holds no password."""

    shown: str
    host: str
    port: int
    path: str | None
    username: str | None
    password: str | None
    database: int
    tls: ssl.SSLContext | None


def connect(settings: Settings, *, name: str = "fleet") -> redis.asyncio.Redis:
    """A client with a pool; replies are bytes. It connects at its first command. Raises ConfigError for the URL.

    `name` shows in CLIENT LIST.
    """
    return redis.asyncio.Redis.from_pool(_pool(settings.redis_url.get_secret_value(), name))


def address(url: str) -> Address:
    """Take a redis://, rediss:// or unix:// URL apart, by redis-py's rules. Raises ConfigError."""
    connection: Any = _pool(url, "fleet").make_connection()  # type: ignore[no-untyped-call]
    is_unix = isinstance(connection, UnixDomainSocketConnection)
    return Address(
        shown=redact_url(url),
        host="" if is_unix else connection.host,
        port=0 if is_unix else int(connection.port),
        path=connection.path if is_unix else None,
        username=connection.username,
        password=connection.password,
        database=int(connection.db),
        tls=connection.ssl_context.get() if isinstance(connection, SSLConnection) else None,
    )


async def open_transport(to: Address, protocol: Callable[[], P]) -> P:
    """Open a socket (TLS where the address says so) for a protocol of ours. Raises Unreachable."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            if to.path is not None:
                _, wire = await loop.create_unix_connection(protocol, to.path)
            else:
                _, wire = await loop.create_connection(protocol, to.host, to.port, ssl=to.tls)
    except (OSError, TimeoutError) as error:
        raise explain(error, to.shown) from error
    return wire


async def check(client: redis.asyncio.Redis, settings: Settings) -> str:
    """Prove that the server answers and can carry a fleet; returns its version.

    Raises Unreachable (no answer, login refused) or ConfigError (too old, may evict).
    """
    shown = redact_url(settings.redis_url.get_secret_value())
    try:
        await client.ping()
        version = str((await client.info("server"))["redis_version"])
        policy = await _eviction_policy(client)
    except (RedisError, OSError, UnicodeDecodeError, KeyError) as error:
        raise explain(error, shown) from error
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_VERSION:
        raise ConfigError(f"{shown}: Redis {version}, need 6.2 or newer (or Valkey)")
    if policy != "noeviction":
        raise ConfigError(
            f"{shown}: maxmemory-policy is {policy}, books and leases could be evicted; "
            "run: redis-cli config set maxmemory-policy noeviction"
        )
    return version


async def _eviction_policy(client: redis.asyncio.Redis) -> str:
    try:
        answer: dict[Any, Any] = await client.config_get("maxmemory-policy")
        policy = answer.get("maxmemory-policy", answer.get(b"maxmemory-policy", ""))
    except (NoPermissionError, ResponseError):  # an ACL, or a provider that hides CONFIG
        policy = (await client.info("memory"))["maxmemory_policy"]
    return policy.decode() if isinstance(policy, bytes) else str(policy)


def explain(error: BaseException, shown: str) -> FleetError:
    """One line for people about an error of redis-py or the socket. `shown` is the redacted URL."""
    causes = _causes(error)
    text = " ".join(str(error).split())
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return Unreachable(f"{shown}: TLS failed ({text}); check rediss:// against redis://, and ssl_ca_certs")
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return Unreachable(f"{shown}: the host name is unknown; check FLEET_REDIS_URL and DNS")
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return Unreachable(f"{shown}: connection refused; is redis-server running there?")
    if any(isinstance(cause, FileNotFoundError) for cause in causes):
        return Unreachable(f"{shown}: no such socket; is redis-server running there?")
    if isinstance(error, AuthenticationError) or text.startswith(("NOAUTH", "WRONGPASS")) or "NOAUTH" in text:
        return Unreachable(f"{shown}: login refused; check user and password in FLEET_REDIS_URL")
    if isinstance(error, NoPermissionError):
        return Unreachable(f"{shown}: the user lacks a permission: {text}")
    if isinstance(error, RedisTimeoutError | TimeoutError):
        return Unreachable(f"{shown}: no answer within {SOCKET_TIMEOUT_S:g} s; is it paused, overloaded or firewalled?")
    if isinstance(error, UnicodeDecodeError | KeyError) or _is_gibberish(error):
        return Unreachable(f"{shown}: what answers there is not a Redis")
    if isinstance(error, RedisConnectionError | OSError):
        return Unreachable(f"{shown}: {text}")
    return Unreachable(f"{shown}: unexpected answer: {text[:200]}")


def _is_gibberish(error: BaseException) -> bool:
    return type(error).__name__ in {"InvalidResponse", "ProtocolError"}


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in found:
        found.append(cause)
        cause = cause.__cause__ or cause.__context__
    return found


def _pool(url: str, name: str) -> ConnectionPool:
    scheme = url.partition("://")[0]
    if scheme in _LATER:
        raise ConfigError(f"FLEET_REDIS_URL: {scheme}:// comes with a later version; use redis:// or rediss://")
    try:
        pool = ConnectionPool.from_url(
            url,
            protocol=2,
            decode_responses=False,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=SOCKET_TIMEOUT_S,
            **({} if scheme == "unix" else {"socket_keepalive": True}),
            health_check_interval=HEALTH_CHECK_S,
            retry=Retry(NoBackoff(), 0),
            client_name=name,
        )
    except (ValueError, TypeError) as error:
        raise ConfigError(f"FLEET_REDIS_URL {redact_url(url)}: {error}") from error
    pool.connection_class = _CONNECTIONS[pool.connection_class]
    return pool
