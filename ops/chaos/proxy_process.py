"""The chaos proxy as a child process, seen from who steers it.

async with Proxy(folder, seed=7) as proxy:
    port = await proxy.open("daemon-0", server.port)
    await proxy.behave("daemon-0", up_ms=50, down_ms=50)
    await proxy.cut("daemon-0")
"""

import asyncio
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from ops.chaos.behaviour import Behaviour
from ops.embedded.process import ServerProcess

ROOT = Path(__file__).parents[2]
READY_S = 20.0
STOP_S = 5.0
ANSWER_S = 20.0
LOOPBACK = "127.0.0.1"


class DoorStats(msgspec.Struct, frozen=True):
    """What passed a door since it was opened.

    accepted         connections taken
    open             of these, still there
    unreached        of these, the target could not be reached
    up, down         bytes
    accepted_at_ms   when each came, by fleet.clock.mono_ms
    """

    accepted: int
    open: int
    unreached: int
    up: int
    down: int
    accepted_at_ms: list[float]

    def most_within(self, window_ms: float, *, after_ms: float = 0.0, before_ms: float = float("inf")) -> int:
        """The most connections that came within any `window_ms` of the time asked about."""
        times = [at_ms for at_ms in self.accepted_at_ms if after_ms <= at_ms < before_ms]
        most = first = 0
        for last, at_ms in enumerate(times):
            while at_ms - times[first] >= window_ms:
                first += 1
            most = max(most, last - first + 1)
        return most


class Proxy:
    """See the head of this file. Doors are named by the caller; a door of None means all of them.

    Orders raise RuntimeError with the proxy's own words when it refuses, ServerStartError when it does not come up.
    """

    def __init__(self, folder: Path, *, seed: int = 7) -> None:
        self._process = ServerProcess(
            "chaos proxy",
            [sys.executable, "-m", "ops.chaos.proxy", "--seed", str(seed)],
            directory=ROOT,
            log=folder / "proxy.log",
        )
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._asking = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._process.start()
        try:
            await self._process.wait_ready(self._announced, READY_S)
            port = msgspec.json.decode(self._first_line())["control_port"]
            self._stream = await asyncio.open_connection(LOOPBACK, port, limit=1 << 22)
        except BaseException:
            await self._process.kill()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream[1].close()
        await self._process.stop(STOP_S)

    def _first_line(self) -> str:
        return self._process.tail().partition("\n")[0]

    async def _announced(self) -> bool:
        return self._first_line().endswith("}")

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    async def open(
        self,
        door: str,
        port: int,
        host: str = LOOPBACK,
        *,
        listen: str = LOOPBACK,
        listen_in: int | None = None,
        connect_in: int | None = None,
    ) -> int:
        """A new door to host:port; its own port. `listen_in`, `connect_in`: the process in whose network the listener,
        or the sockets towards the target, are made."""
        answer = await self._order(
            {
                "do": "open", "door": door, "target": f"{host}:{port}", "listen": listen,
                "listen_in": listen_in, "connect_in": connect_in,
            }
        )  # fmt: skip
        return int(answer["port"])

    async def behave(self, door: str | None = None, **behaviour: Any) -> None:
        """From now on so and no more otherwise; nothing given: as if the proxy were not there."""
        wanted = msgspec.to_builtins(Behaviour(**behaviour))
        await self._order({"do": "behave", "door": door, "with": wanted})

    async def cut(self, door: str | None = None) -> int:
        """Reset the connections that there are; how many."""
        return int((await self._order({"do": "cut", "door": door}))["cut"])

    async def target(self, door: str | None, port: int, host: str = LOOPBACK) -> None:
        """Where the connections to come are led to. Those that there are stay where they are."""
        await self._order({"do": "target", "door": door, "target": f"{host}:{port}"})

    async def stats(self, door: str) -> DoorStats:
        """What passed a door."""
        return msgspec.convert((await self._order({"do": "stats", "door": door}))[door], DoorStats)

    async def _order(self, order: dict[str, Any]) -> dict[str, Any]:
        if self._stream is None:
            raise RuntimeError("the proxy was not started")
        reader, writer = self._stream
        async with self._asking, asyncio.timeout(ANSWER_S):
            writer.write(msgspec.json.encode(order) + b"\n")
            await writer.drain()
            line = await reader.readline()
        answer: dict[str, Any] = msgspec.json.decode(line) if line else {"error": f"it ended: {self._process.tail()}"}
        if "error" in answer:
            raise RuntimeError(f"chaos proxy: {order['do']}: {answer['error']}")
        return answer
