"""One connection to Redis, many commands in flight, replies in the order of the commands.

Everything a daemon writes to a node goes through one of these (redis-protocol.md §2.1): a flush can then never overtake
the deltas before it. Rules:

1. The order of commands is the order of the `send` (or `call`) calls. Those of one turn of the event loop leave in one
   write to the socket.
2. A broken connection fails every unanswered call with ConnectionLost. Nothing is ever sent twice.
3. Reconnecting is explicit (`connect`) and raises `generation`, so that an owner can see that its picture of what the
   server did is void. Behind Sentinels it asks them anew, and takes only a server that calls itself primary.
4. A server that answers READONLY is a primary no more: the connection is as good as broken, and is broken.

The socket is read by an asyncio.Protocol that feeds hiredis, not through redis-py's Connection: its read_response wants a
reader task with an owner and a timeout each, and a cancelled read costs the connection. A call takes 2.5 µs of client CPU
with 32 in flight (3.2 through redis-py's Connection). URL and TLS rules are redis-py's own, see redis_connection.
"""

import asyncio
from collections import deque
from typing import Any, cast

import hiredis
from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from fleet.errors import ConnectionLost, Unreachable
from fleet.redis_connection import SOCKET_TIMEOUT_S, Address, Finder, explain, finder, open_transport

MAX_IN_FLIGHT = 256  # unanswered commands on the socket; at ~50 µs each the last waits ~13 ms

_NOTHING = object()
_ERRORS: dict[str, type[RedisError]] = {
    "NOSCRIPT": NoScriptError,
    "READONLY": ReadOnlyError,
    "LOADING": BusyLoadingError,
    "OOM": OutOfMemoryError,
    "NOPERM": NoPermissionError,
    "NOAUTH": AuthenticationError,
    "WRONGPASS": AuthenticationError,
    "TRYAGAIN": TryAgainError,
    "CLUSTERDOWN": ClusterDownError,
    "MASTERDOWN": MasterDownError,
}
_REDIRECTIONS: dict[str, type[AskError]] = {"MOVED": MovedError, "ASK": AskError}  # made of what follows the word


def pack(*parts: str | int | bytes) -> bytes:
    """A command in the wire form that `send` takes."""
    packed: bytes = hiredis.pack_command(parts)  # type: ignore[arg-type, unused-ignore]  # its stub knows one word only
    return packed


def _reply_error(text: str) -> Exception:
    word, _, rest = text.partition(" ")
    if word in _REDIRECTIONS:
        return _REDIRECTIONS[word](rest)
    if "-READONLY " in text:  # Redis 6.2 tells errors of a script's commands in an ERR of its own
        return ReadOnlyError(text)
    return _ERRORS.get(word, ResponseError)(text)


def _heard(answer: asyncio.Future[Any]) -> None:
    if not answer.cancelled():
        answer.exception()


class _Wire(asyncio.Protocol):
    """One socket's life: bytes in, futures resolved in order. Never reused after it was lost."""

    def __init__(self, shown: str) -> None:
        self.shown = shown
        self.lost: ConnectionLost | None = None
        self._loop = asyncio.get_running_loop()
        self._replies = hiredis.Reader(notEnoughData=_NOTHING, replyError=_reply_error)
        self._transport: asyncio.Transport | None = None
        self._unanswered: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._backlog: deque[tuple[bytes, asyncio.Future[Any]]] = deque()
        self._unwritten: list[bytes] = []
        self._watch: asyncio.TimerHandle | None = None
        self._timeout_s = SOCKET_TIMEOUT_S
        self._max_in_flight = MAX_IN_FLIGHT
        self._closed: asyncio.Future[None] = self._loop.create_future()

    def limit(self, max_in_flight: int, timeout_s: float) -> None:
        self._max_in_flight, self._timeout_s = max_in_flight, timeout_s

    @property
    def in_flight(self) -> int:
        return len(self._unanswered) + len(self._backlog)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, packed: bytes) -> asyncio.Future[Any]:
        if self.lost is not None:
            raise self.lost
        future: asyncio.Future[Any] = self._loop.create_future()
        if len(self._unanswered) < self._max_in_flight:
            self._put(packed, future)
        else:
            self._backlog.append((packed, future))
        return future

    def _put(self, packed: bytes, future: asyncio.Future[Any]) -> None:
        if not self._unwritten:
            self._loop.call_soon(self._write)
        self._unwritten.append(packed)
        self._unanswered.append((future, self._loop.time()))
        if self._watch is None:
            self._watch = self._loop.call_later(self._timeout_s, self._check_oldest)

    def _write(self) -> None:
        packed, self._unwritten = self._unwritten, []
        if self.lost is None and packed and self._transport is not None:
            self._transport.write(packed[0] if len(packed) == 1 else b"".join(packed))

    def data_received(self, data: bytes) -> None:
        replies, unanswered = self._replies, self._unanswered
        replies.feed(data)
        try:
            while (reply := replies.gets()) is not _NOTHING:
                future, _ = unanswered.popleft()
                if future.done():  # its caller was cancelled; the command was carried out all the same
                    continue
                if isinstance(reply, ReadOnlyError):
                    self.abort("the server has become a replica; this was not carried out")
                    future.set_exception(self._broken())
                    return
                if isinstance(reply, Exception):
                    future.set_exception(reply)
                else:
                    future.set_result(reply)
        except (hiredis.ProtocolError, IndexError) as error:
            self.abort(f"what answers there is not a Redis ({error})")
            return
        while self._backlog and len(unanswered) < self._max_in_flight:
            packed, future = self._backlog.popleft()
            if not future.done():  # cancelled before it was sent: never sent
                self._put(packed, future)

    def _check_oldest(self) -> None:
        self._watch = None
        if not self._unanswered or self.lost is not None:
            return
        left_s = self._unanswered[0][1] + self._timeout_s - self._loop.time()
        if left_s > 0:
            self._watch = self._loop.call_later(left_s, self._check_oldest)
        else:
            self.abort(f"no answer within {self._timeout_s:g} s")

    def abort(self, why: str) -> None:
        """Break now, without waiting for the other side."""
        self._fail(why)
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(str(exc) if exc else "the server closed the connection")
        if not self._closed.done():
            self._closed.set_result(None)

    def _broken(self) -> ConnectionLost:
        return self.lost or ConnectionLost(f"{self.shown}: connection lost")

    async def closed(self) -> None:
        await asyncio.shield(self._closed)

    def _fail(self, why: str) -> None:
        if self.lost is not None:
            return
        if self._watch is not None:
            self._watch.cancel()
        waiting = [future for future, _ in self._unanswered] + [future for _, future in self._backlog]
        self._unanswered.clear()
        self._backlog.clear()
        self._unwritten.clear()
        self.lost = ConnectionLost(f"{self.shown}: connection lost: {why}")
        for future in waiting:
            if not future.done():
                future.set_exception(
                    ConnectionLost(f"{self.shown}: connection lost with {len(waiting)} commands unanswered: {why}")
                )


class OrderedConnection:
    """See the head of this file. `name` shows in CLIENT LIST. Raises ConfigError for a URL that cannot be right."""

    def __init__(
        self,
        url: str,
        *,
        name: str = "fleet-ordered",
        max_in_flight: int = MAX_IN_FLIGHT,
        reply_timeout_s: float = SOCKET_TIMEOUT_S,
    ) -> None:
        self.generation = 0
        self.name = name
        self._finder: Finder = finder(url, name)
        self._to: Address = self._finder.last
        self._max_in_flight = max_in_flight
        self._reply_timeout_s = reply_timeout_s
        self._wire: _Wire | None = None
        self._connecting = asyncio.Lock()

    def __repr__(self) -> str:
        state = "connected" if self.connected else "down"
        return f"<OrderedConnection {self._to.shown} {state}, generation {self.generation}, {self.in_flight} in flight>"

    @property
    def connected(self) -> bool:
        return self._wire is not None and self._wire.lost is None

    @property
    def in_flight(self) -> int:
        """Commands sent or waiting to be sent, and not answered."""
        return self._wire.in_flight if self._wire is not None else 0

    async def connect(self) -> None:
        """Connect and log in, once; at once when connected already. Raises Unreachable; waiting is the caller's."""
        async with self._connecting:
            if self.connected:
                return
            self._to = await self._finder.find()
            wire = await open_transport(self._to, lambda: _Wire(self._to.shown))
            wire.limit(self._max_in_flight, self._reply_timeout_s)
            try:
                await self._log_in(wire)
            except BaseException as error:
                wire.abort("login failed")
                await wire.closed()
                if isinstance(error, Exception) and not isinstance(error, Unreachable):
                    raise explain(error, self._to.shown) from error
                raise
            self._wire = wire
            self.generation += 1

    async def _log_in(self, wire: _Wire) -> None:
        to, answers = self._to, []
        if to.password is not None:
            credentials = (to.username, to.password) if to.username else (to.password,)
            answers.append(wire.send(pack("AUTH", *credentials)))
        if to.database:
            answers.append(wire.send(pack("SELECT", to.database)))
        answers.append(wire.send(pack("CLIENT", "SETNAME", self.name)))
        answers.append(wire.send(pack("PING")))
        if self._finder.wants_primary:
            answers.append(wire.send(pack("ROLE")))
        try:
            for answer in answers:
                await answer
            if self._finder.wants_primary and answers[-1].result()[0] != b"master":
                raise Unreachable(
                    f"{to.shown}: {to.host}:{to.port} is a replica, and the sentinels name it as primary yet"
                )
        finally:
            for answer in answers:
                answer.add_done_callback(_heard)  # the first error is the one to tell; the others are its echoes

    def send(self, packed: bytes) -> asyncio.Future[Any]:
        """Put a packed command in order now; the future is its reply. Raises ConnectionLost when not connected.

        A cancelled future does not take the command back once it is on the socket.
        """
        if self._wire is None:
            raise ConnectionLost(f"{self._to.shown}: not connected yet")
        return self._wire.send(packed)

    async def call(self, packed: bytes) -> Any:
        """Send and wait. Raises ResponseError (an answer that is an error), or ConnectionLost (outcome unknown)."""
        return await self.send(packed)

    async def close(self) -> None:
        """Close; unanswered calls fail with ConnectionLost. `connect` may be called again."""
        if self._wire is not None:
            self._wire.abort("closed by us")
            await self._wire.closed()
