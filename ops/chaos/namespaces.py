"""A network of its own for a process, with cables that can be pulled one by one. Linux, as root.

    async with Island(folder, ("redis", "venues")) as island:
        port = await island.lead("redis", proxy, "redis", server.port)          # inside: island.outside("redis"):port
        daemon = fleet.start_daemon(command=island.command(DAEMON), ...)
        await island.pull("redis")                                              # what is on the way is lost, in silence
        await island.plug("redis")

Two namespaces an island, `inside` and `outside`, joined by a veth pair a cable. Both are anonymous: each is held by a sleeping
process that dies with us, and ends with it, the cables too. Nothing of it has a name in the system or an interface in
its main network, so a killed test leaves nothing behind and nobody else can reach in. The main network is reached through
the chaos proxy, whose listeners it makes `outside` (ops/chaos/entering.py).
"""

import asyncio
import os
import shutil
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from fleet.errors import FleetError
from ops.chaos.proxy_process import LOOPBACK, Proxy
from ops.embedded.process import ServerProcess

MOST_S = 1800  # an island that was forgotten sinks by itself
READY_S = 10.0
COMMAND_S = 10.0
STOP_S = 0.2  # a sleeping first process of no namespace ends at once
TOOLS = ("ip", "unshare", "nsenter", "sleep")


class NoNamespaces(FleetError):
    """This machine does not let us make network namespaces."""


async def why_not() -> str:
    """Why there can be no islands on this machine, in one line; empty when there can."""
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"network namespaces need {', '.join(missing)} (packages iproute2 and util-linux)"
    try:
        await _run("unshare", "-n", "ip", "link", "add", "cable", "type", "veth")
    except NoNamespaces as refused:
        return f"network namespaces need root (CAP_SYS_ADMIN and CAP_NET_ADMIN) on Linux: {refused}"
    return ""


class Island:
    """See the head of this file. `async with` raises NoNamespaces where they cannot be."""

    def __init__(self, folder: Path, cables: Sequence[str], *, name: str = "island") -> None:
        self.name = name
        self._cables = tuple(cables)
        self._inside = _Holder(f"{name}-inside", folder)
        self._outside = _Holder(f"{name}-outside", folder)
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            await exits.enter_async_context(self._inside)
            await exits.enter_async_context(self._outside)
            for holder in (self._inside, self._outside):
                await holder.ip("link", "set", "lo", "up")
            for number, cable in enumerate(self._cables):
                await self._lay(number, cable)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.__aexit__(None, None, None)

    async def _lay(self, number: int, cable: str) -> None:
        await self._outside.ip(
            "link", "add", cable, "type", "veth", "peer", "name", cable, "netns", str(self._inside.pid)
        )
        for holder, end in ((self._outside, 1), (self._inside, 2)):
            await holder.ip("addr", "add", f"198.18.{number}.{end}/30", "dev", cable)
            await holder.ip("link", "set", cable, "up")

    def outside(self, cable: str) -> str:
        """The address at the far end of a cable."""
        return f"198.18.{self._cables.index(cable)}.1"

    def command(self, command: Sequence[str]) -> tuple[str, ...]:
        """The command that runs this one inside; it keeps its process number."""
        return (str(shutil.which("nsenter")), f"--net=/proc/{self._inside.pid}/ns/net", *command)

    async def lead(self, cable: str, proxy: Proxy, door: str, port: int) -> int:
        """Make a port of the main network's loopback reachable at the far end of a cable, through a door; its port there."""
        return await proxy.open(door, port, listen=self.outside(cable), listen_in=self._outside.pid)

    async def lead_to_loopback(self, cable: str, proxy: Proxy, door: str, port: int) -> int:
        """The same, and on by a second door to a port of the loopback inside: for clients that want loopback."""
        far = await self.lead(cable, proxy, door, port)
        inside = self._inside.pid
        return await proxy.open(
            f"{door}, inside", far, self.outside(cable), listen=LOOPBACK, listen_in=inside, connect_in=inside
        )

    async def pull(self, cable: str) -> None:
        """Cut: packets are lost without a word, in both directions; connections stay open at both ends."""
        await self._outside.ip("link", "set", cable, "down")

    async def plug(self, cable: str) -> None:
        """Heal."""
        await self._outside.ip("link", "set", cable, "up")


class _Holder(ServerProcess):
    """A sleeping process in a network namespace of its own, which lives as long as it does."""

    def __init__(self, name: str, folder: Path) -> None:
        command = [str(shutil.which("unshare")), "-n", str(shutil.which("sleep")), str(MOST_S)]
        super().__init__(name, command, directory=folder, log=folder / f"{name}.log")

    async def __aenter__(self) -> Self:
        if reason := await why_not():
            raise NoNamespaces(reason)
        self.start()
        try:
            await self.wait_ready(self._apart, READY_S)
        except BaseException:
            await self.kill()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop(STOP_S)

    async def _apart(self) -> bool:
        try:
            # while the launcher still starts it is in our own
            return os.readlink(f"/proc/{self.pid}/ns/net") != os.readlink("/proc/self/ns/net")
        except FileNotFoundError:
            return False

    async def ip(self, *words: str) -> None:
        """`ip WORDS` in here. Raises NoNamespaces with what it said."""
        await _run("nsenter", f"--net=/proc/{self.pid}/ns/net", "ip", *words)


async def _run(*words: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(COMMAND_S):
            said, _ = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise NoNamespaces(f"{' '.join(words)}: {said.decode(errors='replace').strip()}")
