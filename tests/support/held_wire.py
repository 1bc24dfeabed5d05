"""A TCP proxy that can hold what a client sends, and lose its server: the network's part in a late write."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CHUNK = 65_536


class HeldWire:
    """`port` leads to the server. `replies` is all that the server has answered since `hold`."""

    def __init__(self, server_port: int) -> None:
        self.port = 0
        self.held = bytearray()  # sent by the client since `hold`, not yet by us
        self.replies = bytearray()
        self._server_port = server_port
        self._passing = asyncio.Event()
        self._passing.set()
        self._listener: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    def hold(self) -> None:
        """Let nothing of the client through until `release`."""
        self._passing.clear()
        self.held.clear()
        self.replies.clear()

    def release(self) -> None:
        """Let all that was held through, and what comes."""
        self._passing.set()

    async def listen(self) -> None:
        """On the port that it had before, if it had one."""
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """As if the server had died: connections are reset, new ones refused, until `listen`."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back_writer}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._upwards(reader, back_writer))
                group.create_task(self._downwards(back_reader, writer))
        finally:
            self._writers -= {writer, back_writer}
            writer.transport.abort()
            back_writer.transport.abort()

    async def _upwards(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Reading goes on while nothing passes: what the client sends after its first held word is held too."""
        waiting: asyncio.Queue[bytes] = asyncio.Queue()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._forward(waiting, writer))
            while data := await self._read(reader):
                if not self._passing.is_set():
                    self.held += data
                waiting.put_nowait(data)
            waiting.put_nowait(b"")

    async def _forward(self, waiting: "asyncio.Queue[bytes]", writer: asyncio.StreamWriter) -> None:
        while data := await waiting.get():
            await self._passing.wait()
            writer.write(data)
        await self._passing.wait()
        writer.transport.abort()

    async def _downwards(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await self._read(reader):
            self.replies += data
            writer.write(data)
        writer.transport.abort()

    @staticmethod
    async def _read(reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.read(CHUNK)
        except OSError:
            return b""


@asynccontextmanager
async def held_wire(server_port: int) -> AsyncIterator[HeldWire]:
    """A proxy to a port of 127.0.0.1, for the length of the block."""
    wire = HeldWire(server_port)
    await wire.listen()
    try:
        yield wire
    finally:
        wire.release()
        await wire.cut()
