"""redis-py's connections with what they lack: no cancellation gets lost, a broken socket is always a ConnectionError; behind
Sentinels, only a primary is talked to."""

import asyncio
import weakref
from collections.abc import Sequence
from typing import Any

import redis.asyncio
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from fleet.connect_pace import ConnectPace
from fleet.errors import Unreachable
from fleet.logs import one_line
from fleet.redis_pool import BoundedPool
from fleet.redis_url import HostPort

SENTINEL_TIMEOUT_S = 1.0  # one that answers later is not waited for: the others know as much


class NotConnected(RedisConnectionError):
    """No connection could be opened: nothing was sent, so that it may be asked of another server."""


class _Mended:
    """redis-py writes inside asyncio.wait_for, which before Python 3.12 drops a cancellation that comes with the end of the
    write (gh-86296): the task would go on for ever. Here it is seen and raised after all.

    uvloop answers a write to a socket that was reset a moment ago with RuntimeError, which redis-py passes on as it is; nobody
    takes that for an outage. Here it becomes the ConnectionError that it is.

    `pace`: all connections of a process connect by it (fleet.connect_pace); None: whenever they like."""

    def __init__(self, *, pace: ConnectPace | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._pace = pace
        self._within_attempt = False

    async def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        if self._pace is None or self._within_attempt or self.is_connected:  # type: ignore[attr-defined]
            await self._connect_once(check_health, retry_socket_connect)
            return
        async with self._pace.attempt():
            self._within_attempt = True  # a handshake that breaks may connect once more from within
            try:
                await self._connect_once(check_health, retry_socket_connect)
                await self._prove()
            finally:
                self._within_attempt = False

    async def _prove(self) -> None:
        """A server that is loading its data takes connections: that is no reason for each command to open one."""
        me: Any = self
        await me.send_command("PING", check_health=False)
        await me.read_response()

    async def _connect_once(self, check_health: bool, retry_socket_connect: bool) -> None:
        try:
            await super().connect_check_health(check_health, retry_socket_connect)  # type: ignore[misc]
        except RedisConnectionError as error:
            if type(error) is not RedisConnectionError:
                raise  # a login refused, a server that is loading
            raise NotConnected(*error.args) from error

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        task = asyncio.current_task()
        before = task.cancelling() if task else 0
        if before:
            await asyncio.sleep(
                0
            )  # one that was asked for while the task ran is delivered here: inside it could be dropped
        try:
            await super().send_packed_command(command, check_health)  # type: ignore[misc]
        except RuntimeError as error:
            await self.disconnect(nowait=True)  # type: ignore[attr-defined]
            raise RedisConnectionError(f"the connection was lost before the command was sent: {error}") from error
        if task and task.cancelling() > before:
            await self.disconnect(nowait=True)  # type: ignore[attr-defined]  # the answer will not be read
            raise asyncio.CancelledError


class _Plain(_Mended, Connection):
    pass


class _TLS(_Mended, SSLConnection):
    pass


class _Unix(_Mended, UnixDomainSocketConnection):
    pass


MENDED: dict[type[Any], type[Any]] = {
    Connection: _Plain,
    SSLConnection: _TLS,
    UnixDomainSocketConnection: _Unix,
}


class Sentinels:
    """Asks sentinels who the primary of a service is. `clients`: a pooled client of each."""

    def __init__(self, clients: Sequence[redis.asyncio.Redis], service: str, shown: str) -> None:
        self.service = service
        self.shown = shown
        self._clients = tuple(clients)

    async def primary(self) -> HostPort:
        """The address that most of the answering sentinels name. Raises Unreachable."""
        asked = [self._ask(client) for client in self._clients]
        answers = await asyncio.gather(*asked)
        named = [answer for answer in answers if isinstance(answer, HostPort)]
        if not named:
            raise Unreachable(
                f"{self.shown}: no sentinel names a primary: {'; '.join(dict.fromkeys(map(str, answers)))}"
            )
        return max(named, key=named.count)

    async def _ask(self, client: redis.asyncio.Redis) -> HostPort | str:
        try:
            async with asyncio.timeout(SENTINEL_TIMEOUT_S):
                answer: Any = await client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service)  # type: ignore[no-untyped-call]
        except TimeoutError:
            return f"no answer within {SENTINEL_TIMEOUT_S:g} s"
        except (RedisError, OSError) as error:
            return one_line(error)
        if answer is None:
            return f"{self.service!r} is not known there; the service is the name after `sentinel monitor`"
        return HostPort(answer[0].decode(), int(answer[1]))

    async def replicas(self) -> list[HostPort]:
        """The replicas, by the first sentinel that answers; none where none does."""
        for client in self._clients:
            try:
                async with asyncio.timeout(SENTINEL_TIMEOUT_S):
                    rows: Any = await client.execute_command("SENTINEL", "REPLICAS", self.service)  # type: ignore[no-untyped-call]
            except (RedisError, OSError, TimeoutError):
                continue
            found = [dict(zip(row[::2], row[1::2], strict=True)) for row in rows]
            return [HostPort(row[b"ip"].decode(), int(row[b"port"])) for row in found]
        return []

    async def aclose(self) -> None:
        await asyncio.gather(*(client.aclose() for client in self._clients))


class SentinelPool(BoundedPool):
    """Connections to the primary of a service, wherever it is now."""

    def __init__(self, sentinels: Sentinels, **options: Any) -> None:
        super().__init__(**options)
        self.sentinels = sentinels
        self.primary: HostPort | None = None
        self.connection_kwargs["of_pool"] = weakref.proxy(self)

    async def find(self) -> HostPort:
        """Ask who is primary. When it is another than before, idle connections to the former are closed."""
        found = await self.sentinels.primary()
        if found != self.primary:
            self.primary = found
            await self.disconnect(inuse_connections=False)
        return found

    async def aclose(self) -> None:
        await super().aclose()
        await self.sentinels.aclose()


class _OfPrimary(_Mended):
    """Connects to whom the sentinels name, and only if he calls himself primary: they may not have heard of it yet."""

    def __init__(self, *, of_pool: SentinelPool, **options: Any) -> None:
        self._of_pool = of_pool
        super().__init__(**options)

    async def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        me: Any = self
        if me.is_connected:
            return
        try:
            me.host, me.port = await self._of_pool.find()
        except Unreachable as error:
            raise RedisConnectionError(str(error)) from error
        await super().connect_check_health(check_health, retry_socket_connect)
        await me.send_command("ROLE", check_health=False)
        role = await me.read_response()
        if role[0] != b"master":
            await me.disconnect(nowait=True)
            raise RedisConnectionError(
                f"{me.host}:{me.port} is {role[0].decode()}, and the sentinels name it as primary yet"
            )

    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)  # type: ignore[misc]
        except ResponseError as error:
            # Redis 6.2 tells errors of a script's commands in an ERR of its own
            if not isinstance(error, ReadOnlyError) and "-READONLY " not in str(error):
                raise
            await self.disconnect(nowait=True)  # type: ignore[attr-defined]
            raise RedisConnectionError("the primary has become a replica; nothing was written") from error


class _PlainOfPrimary(_OfPrimary, Connection):
    pass


class _TLSOfPrimary(_OfPrimary, SSLConnection):
    pass


OF_PRIMARY: dict[type[Any], type[Any]] = {_Plain: _PlainOfPrimary, _TLS: _TLSOfPrimary}
