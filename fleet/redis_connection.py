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
from random import Random
from typing import Any, NamedTuple, TypeVar

import redis.asyncio
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from fleet import clock
from fleet.config import Settings, redact_url
from fleet.connect_pace import Paces
from fleet.errors import ConfigError, FleetError, Unreachable
from fleet.redis_cluster import ClusterClient
from fleet.redis_pool import BoundedPool
from fleet.redis_sockets import MENDED, OF_PRIMARY, SentinelPool, Sentinels
from fleet.redis_url import Form, HostPort, RedisUrl, parse_redis_url

CONNECT_TIMEOUT_S = 3.0  # below the lease time: a daemon that cannot connect must know it while it still has its leases
SOCKET_TIMEOUT_S = 5.0  # a healthy Redis answers within milliseconds; a fork or a full disk may take seconds
HEALTH_CHECK_S = 10  # a pooled connection idle for longer is proved by PING before it is used
MOST = 100  # connections of a client to one server, where its maker gives no other number
P = TypeVar("P", bound=asyncio.Protocol)


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


def own_paces() -> Paces:
    """For the clients of a process that share them."""
    return Paces(mono_ms=clock.mono_ms, rng=Random())


def connect(
    settings: Settings, *, name: str = "fleet", most: int = MOST, paces: Paces | None = None
) -> redis.asyncio.Redis:
    """A client with a pool; replies are bytes. It connects at its first command. Raises ConfigError for the URL.

    Behind Sentinels it talks to the primary of the moment; on a Cluster every command goes to the node of its key.
    `name` shows in CLIENT LIST. It has at most `most` connections to a server: a command that finds all in use waits for one.
    `paces`: shared by the clients of a process; None: its own.
    """
    url = parse_redis_url(settings.redis_url.get_secret_value())
    paces = paces or own_paces()
    match url.form:
        case Form.SERVER:
            return redis.asyncio.Redis.from_pool(_pool(url.url, name, most, paces))
        case Form.SENTINEL:
            return redis.asyncio.Redis.from_pool(_sentinel_pool(url, name, most, paces))
        case Form.CLUSTER:
            return ClusterClient(
                url.hosts, lambda at: redis.asyncio.Redis.from_pool(_pool(url.of_server(at), name, most, paces))
            )


def client_of_server(url: RedisUrl, at: HostPort, *, name: str = "fleet") -> redis.asyncio.Redis:
    """A pooled client of one server of a topology, whatever its role."""
    return redis.asyncio.Redis.from_pool(_pool(url.of_server(at), name))


def sentinels_of(url: RedisUrl, name: str) -> Sentinels:
    """Who asks the sentinels of a URL."""
    clients = [redis.asyncio.Redis.from_pool(_pool(url.of_sentinel(at), name)) for at in url.hosts]
    return Sentinels(clients, url.service, redact_url(url.url))


def address(url: str) -> Address:
    """Take a redis://, rediss:// or unix:// URL apart, by redis-py's rules. Raises ConfigError."""
    if parse_redis_url(url).form is not Form.SERVER:
        raise ConfigError(f"{redact_url(url)}: expected the URL of one server")
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


class Finder:
    """Where to connect to, asked before each connection: the one server of a URL, or whom the sentinels name.

    `last` is what was found last. `wants_primary`: what is found may be wrong, ROLE must be asked there.
    """

    def __init__(self, url: RedisUrl, name: str) -> None:
        if url.form is Form.CLUSTER:
            raise ConfigError(f"{redact_url(url.url)}: a Cluster has no one server; see fleet.ordered_cluster.ordered")
        self.wants_primary = url.form is Form.SENTINEL
        self._url = url
        self._name = name
        self.last = self._at(url.hosts[0]) if self.wants_primary else address(url.url)

    def _at(self, at: HostPort) -> Address:
        return address(self._url.of_server(at))._replace(shown=redact_url(self._url.url))

    async def find(self) -> Address:
        """Raises Unreachable."""
        if self.wants_primary:
            sentinels = sentinels_of(self._url, self._name)
            try:
                self.last = self._at(await sentinels.primary())
            finally:
                await sentinels.aclose()
        return self.last


def finder(url: str, name: str) -> Finder:
    """Who finds the server of a URL. Raises ConfigError."""
    return Finder(parse_redis_url(url), name)


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


def _pool(url: str, name: str, most: int = MOST, paces: Paces | None = None) -> BoundedPool:
    scheme = url.partition("://")[0]
    try:
        pool = BoundedPool.from_url(
            url,
            max_connections=most,
            patience_s=SOCKET_TIMEOUT_S,
            protocol=2,
            decode_responses=False,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=SOCKET_TIMEOUT_S,
            **({} if scheme == "unix" else {"socket_keepalive": True}),
            health_check_interval=HEALTH_CHECK_S,
            retry=Retry(NoBackoff(), 0),
            client_name=name,
            driver_info=None,  # no CLIENT SETINFO: a right more to ask for, and Redis 6.2 does not know it
        )
    except (ValueError, TypeError) as error:
        raise ConfigError(f"FLEET_REDIS_URL {redact_url(url)}: {error}") from error
    pool.connection_class = MENDED[pool.connection_class]
    pool.connection_kwargs["pace"] = (paces or own_paces()).of(url)
    return pool


def _sentinel_pool(url: RedisUrl, name: str, most: int, paces: Paces) -> SentinelPool:
    # redis-py's reading of the options; the address is found later
    plain = _pool(url.of_server(url.hosts[0]), name, most)
    return SentinelPool(
        sentinels_of(url, name),
        connection_class=OF_PRIMARY[plain.connection_class],
        max_connections=plain.max_connections,
        patience_s=SOCKET_TIMEOUT_S,
        **{**plain.connection_kwargs, "pace": paces.of(url.url)},
    )
