"""A failover that loses the newest writes, on purpose and exactly: two servers behind one address.

pair = await own_failover()
pair.url                    the address clients are given; it stays the same
await pair.stop_copying()   from now on the replica hears nothing more: what is written is the tail that will be lost
await pair.fail_over()      the primary is killed, the replica serves at the same address; every connection is cut
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Self

from ops.embedded.redis import EmbeddedRedis
from tests.support.redis_nodes import ask, linked
from tests.support.waiting import wait_until

READY_S = 20.0


class Switch:
    """An address on loopback that leads to one server, and to another when told."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *ended: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._server.wait_closed()

    def cut(self) -> None:
        """Break every connection."""
        for writer in self._open:
            writer.transport.abort()

    def point_to(self, port: int) -> None:
        """Lead there from now on; connections to the former server are cut."""
        self._target = port
        self.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self._open.add(writer)
        try:
            onward_reader, onward = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            self._open.discard(writer)
            self._serving.discard(task)
            return
        self._open.add(onward)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, onward))
                group.create_task(_copy(onward_reader, writer))
        finally:
            for one in (writer, onward):
                one.transport.abort()
                self._open.discard(one)
            self._serving.discard(task)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


class FailoverPair:
    """`primary` serves at `url`, `replica` copies it."""

    def __init__(self, primary: EmbeddedRedis, replica: EmbeddedRedis, switch: Switch) -> None:
        self.primary = primary
        self.replica = replica
        self.switch = switch

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.switch.port}/0"

    async def stop_copying(self) -> None:
        """The replica keeps what it has: everything acknowledged before this call."""
        written = (await ask(self.primary, "INFO", "replication"))["master_repl_offset"]

        async def has_it() -> bool:
            return bool((await ask(self.replica, "INFO", "replication"))["slave_repl_offset"] >= written)

        await wait_until(has_it, "a replica that has all so far", READY_S)
        await ask(self.replica, "REPLICAOF", "NO", "ONE")

    async def fail_over(self) -> None:
        """The primary crashes; the other serves in its place, without what came after `stop_copying`."""
        await self.primary.kill()
        await ask(self.replica, "REPLICAOF", "NO", "ONE")
        self.primary, self.replica = self.replica, self.primary
        self.switch.point_to(self.primary.port)


async def start_failover(
    stack: AsyncExitStack,
    begin: Callable[[AsyncExitStack, EmbeddedRedis], Any],
    new_directory: Callable[[str], Path],
) -> FailoverPair:
    """Both servers and the address end with the stack."""
    primary = EmbeddedRedis(new_directory("redis"), settings={"repl-diskless-sync-delay": "0"})
    await begin(stack, primary)
    replica = EmbeddedRedis(
        new_directory("redis"),
        settings={"repl-diskless-sync-delay": "0", "replicaof": f"127.0.0.1 {primary.port}"},
    )
    await begin(stack, replica)
    await wait_until(lambda: linked(replica), "a replica in step", READY_S, poll_s=0.02)
    switch = await stack.enter_async_context(Switch(primary.port))
    return FailoverPair(primary, replica, switch)
