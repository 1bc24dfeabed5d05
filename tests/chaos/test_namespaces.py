"""Cables that can be pulled: real network namespaces. Skipped, in so many words, where this machine allows none."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from ops.chaos.namespaces import Island, why_not
from ops.chaos.proxy_process import Proxy
from tests.support.waiting import wait_until

# asks PORT at HOST for an echo, over and over, and says what came
ASKING = """
import socket, sys
host, port = sys.argv[1], int(sys.argv[2])
number = 0
while True:
    number += 1
    try:
        with socket.create_connection((host, port), timeout=0.3) as wire:
            wire.sendall(b"%d" % number)
            answer = wire.recv(100)
        print("heard" if answer == b"%d" % number else "nothing", flush=True)
    except OSError as error:
        print("lost", flush=True)
"""


@pytest.fixture
async def island(tmp_path: Path):
    if reason := await why_not():
        pytest.skip(reason)
    async with Island(tmp_path, ("redis", "venues")) as island:
        yield island


class Asking:
    """A process inside that asks again and again."""

    def __init__(self, island: Island, host: str, port: int) -> None:
        self.words: list[str] = []
        self._command = island.command((sys.executable, "-c", ASKING, host, str(port)))

    async def __aenter__(self):
        self._process = await asyncio.create_subprocess_exec(*self._command, stdout=asyncio.subprocess.PIPE)
        self._reading = asyncio.get_running_loop().create_task(self._read())
        return self

    async def __aexit__(self, *_):
        self._process.kill()
        await self._process.wait()
        await self._reading

    async def _read(self):
        while line := await self._process.stdout.readline():
            self.words.append(line.decode().strip())

    async def next_is(self, word: str) -> None:
        """Wait until three answers in a row are so."""
        start = len(self.words)
        await wait_until(lambda: self.words[start:][-3:] == [word] * 3, f"three times {word!r}: {self.words[-5:]}", 20)


async def echo(reader, writer):
    writer.write(await reader.read(100))
    await writer.drain()
    writer.close()


async def test_each_cable_is_cut_alone_and_healed(island, tmp_path):
    async with Proxy(tmp_path) as proxy, await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        redis_port = await island.lead("redis", proxy, "redis", port)
        venue_port = await island.lead_to_loopback("venues", proxy, "venue", port)
        async with (
            Asking(island, island.outside("redis"), redis_port) as redis,
            Asking(island, "127.0.0.1", venue_port) as venue,
        ):
            await redis.next_is("heard")
            await venue.next_is("heard")
            await island.pull("redis")
            await redis.next_is("lost")
            await venue.next_is("heard")
            await island.plug("redis")
            await island.pull("venues")
            await redis.next_is("heard")
            await venue.next_is("lost")
            await island.plug("venues")
            await venue.next_is("heard")


async def test_nothing_of_an_island_is_left_and_nothing_of_it_was_in_the_main_network(tmp_path):
    if reason := await why_not():
        pytest.skip(reason)
    before = sorted(os.listdir("/sys/class/net"))
    async with Island(tmp_path, ("redis",)) as island:
        holders = [island._inside.pid, island._outside.pid]
        assert sorted(os.listdir("/sys/class/net")) == before
        assert len({os.readlink(f"/proc/{pid}/ns/net") for pid in (*holders, os.getpid())}) == 3
    assert not [pid for pid in holders if Path(f"/proc/{pid}").exists()]
    assert sorted(os.listdir("/sys/class/net")) == before


async def test_a_machine_without_the_tools_says_so_in_one_line(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert await why_not() == ("network namespaces need ip, unshare, nsenter, sleep (packages iproute2 and util-linux)")
