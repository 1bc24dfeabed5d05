"""One door of the chaos proxy: a listener, its target, its behaviour, and the connections through it.

A listener, or the sockets towards the target, may stand in the network namespace of another process (`pid`): a socket
belongs to the namespace it was made in, so ours is changed for just that moment (ops/chaos/namespaces.py).
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from fleet.clock import MonoMs
from ops.chaos.behaviour import Behaviour, Direction, release_ms
from ops.chaos.entering import made_in

CHUNK = 65_536
WAITING_MOST = 1 << 20  # bytes of one direction that wait for their time; then its sender is made to wait
CONNECT_S = 10.0
TIMES_KEPT = 20_000

Address = tuple[str, int]
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: close() sends RST


class Door:
    """`open` it, change `behaviour` by `behave`, `close` it. Connections are tasks of `group`; counts stand in `stats`."""

    def __init__(
        self,
        name: str,
        target: Address,
        *,
        listen: Address,
        listen_in: int | None,
        connect_in: int | None,
        group: asyncio.TaskGroup,
        rng: Random,
        mono_ms: MonoMs,
    ) -> None:
        self.name = name
        self.target = target
        self.address = listen
        self.behaviour = Behaviour()
        self.accepted = self.unreached = 0
        self.passed: dict[Direction, int] = {"up": 0, "down": 0}
        self._listen_in = listen_in
        self._connect_in = connect_in
        self._group = group
        self._rng = rng
        self._mono_ms = mono_ms
        self._since_ms = mono_ms()
        self._passing = asyncio.Event()
        self._passing.set()
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._accepted_at_ms: deque[float] = deque(maxlen=TIMES_KEPT)

    async def open(self) -> None:
        """Listen. Raises OSError."""
        if self._server is None:
            listener = made_in(self._listen_in, lambda: _listener(self.address))
            self.address = listener.getsockname()[:2]
            self._server = await asyncio.start_server(self._welcome, sock=listener, limit=CHUNK)

    async def close(self) -> None:
        """Listen no more, and cut what there is."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self.cut()

    async def behave(self, behaviour: Behaviour) -> None:
        """From now on. Raises OSError when the door is to be opened again and its port is gone."""
        self.behaviour, self._since_ms = behaviour, self._mono_ms()
        if behaviour.frozen:
            self._passing.clear()
        else:
            self._passing.set()
        if behaviour.refuse:
            await self.close()
        else:
            await self.open()

    def cut(self) -> int:
        """Reset every connection; how many there were."""
        found = list(self._connections)
        for connection in found:
            connection.reset()
        return len(found)

    @property
    def stats(self) -> dict[str, Any]:
        """accepted, open, unreached (the target refused), up and down (bytes), accepted_at_ms (monotonic)."""
        return {
            "accepted": self.accepted,
            "open": len(self._connections),
            "unreached": self.unreached,
            "up": self.passed["up"],
            "down": self.passed["down"],
            "accepted_at_ms": list(self._accepted_at_ms),
        }

    def release_ms(self, direction: Direction, last_ms: float) -> float:
        """When bytes that came just now may pass."""
        return release_ms(self.behaviour, direction, self._mono_ms(), last_ms, self._since_ms, self._rng)

    async def pass_at(self, at_ms: float) -> None:
        """Wait until then, and as long as nothing passes."""
        if (left_ms := at_ms - self._mono_ms()) > 0:
            await asyncio.sleep(left_ms / 1000)
        await self._passing.wait()

    def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._accepted_at_ms.append(self._mono_ms())
        connection = _Connection(self, (reader, writer))
        self._connections.add(connection)
        connection.task = self._group.create_task(connection.run(self._reach), name=f"{self.name} {self.accepted}")
        connection.task.add_done_callback(lambda _: self._connections.discard(connection))

    async def _reach(self) -> Stream:
        await self._passing.wait()
        target = made_in(self._connect_in, lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        target.setblocking(False)
        target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            async with asyncio.timeout(CONNECT_S):
                await asyncio.get_running_loop().sock_connect(target, self.target)
        except BaseException:
            self.unreached += 1
            target.close()
            raise
        return await asyncio.open_connection(sock=target, limit=CHUNK)


class _Connection:
    """One client and its own socket to the target."""

    def __init__(self, door: Door, client: Stream) -> None:
        self._door = door
        self._client = client
        self._server: Stream | None = None
        self._broken = door.behaviour.swallow  # bytes are lost: nothing that comes later would make sense
        self.task: asyncio.Task[None] | None = None

    async def run(self, reach: Callable[[], Awaitable[Stream]]) -> None:
        """Until both directions have ended, or one side is gone."""
        try:
            if self._broken:
                while await self._client[0].read(CHUNK):
                    pass
                return
            self._server = await reach()
            async with asyncio.TaskGroup() as group:
                for direction, source, sink in (
                    ("up", self._client[0], self._server[1]),
                    ("down", self._server[0], self._client[1]),
                ):
                    flow = _Flow(self._door, self, direction, source, sink)  # type: ignore[arg-type]
                    group.create_task(flow.read(), name=f"{self._door.name}: read {direction}")
                    group.create_task(flow.write(), name=f"{self._door.name}: write {direction}")
        except* (OSError, TimeoutError):
            self.reset()  # one side is gone: so is the other
        finally:
            for stream in (self._client, self._server):
                if stream is not None:
                    stream[1].close()

    def lose(self) -> bool:
        """Whether bytes are to be thrown away."""
        self._broken = self._broken or self._door.behaviour.swallow
        return self._broken

    def reset(self) -> None:
        """RST to both sides, at once."""
        for stream in (self._client, self._server):
            if stream is not None and not stream[1].transport.is_closing():
                stream[1].get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                stream[1].transport.abort()
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()


class _Flow:
    """One direction of a connection: bytes wait here for their time."""

    def __init__(
        self,
        door: Door,
        connection: _Connection,
        direction: Direction,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
    ) -> None:
        self._door, self._connection, self._direction = door, connection, direction
        self._source, self._sink = source, sink
        self._waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WAITING_MOST // CHUNK)
        self._passed = 0

    async def read(self) -> None:
        last_ms = 0.0
        while True:
            data = await self._source.read(CHUNK)
            last_ms = self._door.release_ms(self._direction, last_ms)
            await self._waiting.put((last_ms, data))
            if not data:
                return

    async def write(self) -> None:
        while True:
            at_ms, data = await self._waiting.get()
            await self._door.pass_at(at_ms)
            if not data:
                if not self._connection.lose() and self._sink.can_write_eof():
                    self._sink.write_eof()
                return
            if self._connection.lose():
                continue
            most = self._door.behaviour.cut_after_bytes
            if self._direction == "down" and most is not None and self._passed + len(data) >= most:
                self._send(data[: max(0, most - self._passed)])
                await self._sink.drain()
                raise ConnectionResetError("cut after so many bytes")
            self._send(data)
            await self._sink.drain()

    def _send(self, data: bytes) -> None:
        self._sink.write(data)
        self._passed += len(data)
        self._door.passed[self._direction] += len(data)


def _listener(address: Address) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # refused for a while, then back on its port
        listener.bind(address)
        listener.listen(128)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener
