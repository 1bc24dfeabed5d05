"""A TCP proxy that spoils connections on purpose: `python -m ops.chaos.proxy --target HOST:PORT`, a process of its own.

It has any number of doors, each with a port, a target and a behaviour (ops/chaos/behaviour.py), so that one client can be
hurt alone. It prints one line of JSON with its control port on loopback; there, one JSON object a line is an order:

    {"do": "open", "door": NAME, "target": "HOST:PORT", "listen": "HOST", "port": 0, "listen_in": PID, "connect_in": PID}
    {"do": "behave", "door": NAME, "with": {"up_ms": 50}}     replaces the behaviour; without "door": of every door
    {"do": "cut", "door": NAME}                               resets the connections that there are
    {"do": "target", "door": NAME, "target": "HOST:PORT"}     for the connections to come
    {"do": "stats", "door": NAME}

and is answered by a line: the result, or {"error": TEXT}. It ends with SIGTERM, or after `--for` seconds.
"""

import argparse
import asyncio
import json
import signal
import sys
from random import Random
from typing import Any

import msgspec

from fleet import clock
from fleet.errors import ConfigError
from ops.chaos.behaviour import Behaviour
from ops.chaos.door import Address, Door

LOOPBACK = "127.0.0.1"
ORDER_BYTES = 1 << 20
MOST_S = 1800.0  # a proxy that was forgotten ends by itself


class ChaosProxy:
    """Doors by name, and the orders of whoever steers."""

    def __init__(self, seed: int, group: asyncio.TaskGroup) -> None:
        self.doors: dict[str, Door] = {}
        self._group = group
        self._steering: set[asyncio.StreamWriter] = set()
        self._seed = seed

    async def obey(self, order: dict[str, Any]) -> Any:
        """Carry an order out. Raises ConfigError or OSError for one that cannot be."""
        match order.get("do"):
            case "open":
                return await self._open(order)
            case "behave":
                behaviour = msgspec.convert(order.get("with", {}), Behaviour)
                for door in self._named(order):
                    await door.behave(behaviour)
                return {}
            case "cut":
                return {"cut": sum(door.cut() for door in self._named(order))}
            case "target":
                for door in self._named(order):
                    door.target = parse_address(str(order.get("target")))
                return {}
            case "stats":
                return {door.name: door.stats for door in self._named(order)}
        raise ConfigError(f"do={order.get('do')!r}: expected open, behave, cut, target or stats")

    async def _open(self, order: dict[str, Any]) -> dict[str, Any]:
        name = str(order["door"])
        if name in self.doors:
            raise ConfigError(f"door {name!r} is there already")
        door = Door(
            name,
            parse_address(str(order.get("target"))),
            listen=(str(order.get("listen", LOOPBACK)), int(order.get("port", 0))),
            listen_in=order.get("listen_in"),
            connect_in=order.get("connect_in"),
            group=self._group,
            rng=Random(f"{self._seed} {name}"),
            mono_ms=clock.mono_ms,
        )
        await door.open()
        self.doors[name] = door
        return {"host": door.address[0], "port": door.address[1]}

    def _named(self, order: dict[str, Any]) -> list[Door]:
        name = order.get("door")
        if name is None:
            return list(self.doors.values())
        if name not in self.doors:
            raise ConfigError(f"door {name!r}: there are {', '.join(self.doors) or 'none'}")
        return [self.doors[name]]

    def welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one who steers, until he hangs up."""
        self._steering.add(writer)
        self._group.create_task(self._steer(reader, writer), name="steered")

    async def _steer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(await self._answer(line))
                await writer.drain()
        except OSError:
            pass  # he hung up in the middle: the doors stay as they are
        finally:
            self._steering.discard(writer)
            writer.close()

    def hang_up(self) -> None:
        """End the conversations with those who steer."""
        for writer in self._steering:
            writer.transport.abort()

    async def _answer(self, line: bytes) -> bytes:
        try:
            answer = await self.obey(msgspec.json.decode(line, type=dict[str, Any]))
        except (ConfigError, msgspec.MsgspecError, OSError, KeyError, ValueError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        return msgspec.json.encode(answer) + b"\n"


def parse_address(text: str) -> Address:
    """HOST:PORT taken apart. Raises ConfigError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(f"{text!r}: expected HOST:PORT")
    return host, int(port)


async def _run(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with asyncio.TaskGroup() as group:
        group.create_task(_serve(options, group, stop), name="serve")


async def _serve(options: argparse.Namespace, group: asyncio.TaskGroup, stop: asyncio.Event) -> None:
    proxy = ChaosProxy(options.seed, group)
    control = await asyncio.start_server(proxy.welcome, LOOPBACK, 0, limit=ORDER_BYTES)
    announced: dict[str, Any] = {"control_port": control.sockets[0].getsockname()[1]}
    if options.target:
        announced |= await proxy.obey({"do": "open", "door": "main", "target": options.target, "port": options.port})
    print(json.dumps(announced), flush=True)
    try:
        async with asyncio.timeout(options.seconds):
            await stop.wait()
    except TimeoutError:
        print(f"ending after {options.seconds:g} s", file=sys.stderr)
    control.close()
    for door in proxy.doors.values():
        await door.close()
    proxy.hang_up()


def main() -> int:
    """Serve until SIGTERM or the end of the time; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m ops.chaos.proxy", description="A TCP proxy that spoils connections."
    )
    parser.add_argument("--target", metavar="HOST:PORT", help="open a door named main to it")
    parser.add_argument("--port", type=int, default=0, help="of the door main; 0 = any free one (default)")
    parser.add_argument("--seed", type=int, default=7, help="of the jitter (default 7)")
    parser.add_argument("--for", dest="seconds", type=float, default=MOST_S, help=f"at most (default {MOST_S:g} s)")
    options = parser.parse_args()
    try:
        asyncio.run(_run(options))
    except* (ConfigError, OSError) as errors:
        print(*errors.exceptions, sep="\n", file=sys.stderr)
        sys.exit(2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
