"""The chaos proxy with real sockets: what it lets through, what it keeps back, what it breaks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import pytest

from fleet import clock
from ops.chaos.behaviour import Behaviour, release_ms
from ops.chaos.proxy_process import Proxy

END_S = 10.0


class Echo:
    """A server that answers every chunk with itself; `said` is what it got."""

    def __init__(self) -> None:
        self.said = b""
        self.connections = 0
        self.port = 0

    async def serve(self, reader, writer):
        self.connections += 1
        try:
            while data := await reader.read(65_536):
                self.said += data
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # the proxy resets connections on purpose
        finally:
            writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    echo = Echo()
    async with await asyncio.start_server(echo.serve, "127.0.0.1", 0) as server:
        echo.port = server.sockets[0].getsockname()[1]
        yield echo


@pytest.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[Proxy]:
    async with Proxy(tmp_path, seed=1) as proxy:
        yield proxy
    assert "Traceback" not in (said := (tmp_path / "proxy.log").read_text()), said


@pytest.fixture
async def connect() -> AsyncIterator:
    async with AsyncExitStack() as stack:

        async def connect(port: int):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
            return reader, writer

        yield connect


async def say(stream, words: bytes) -> bytes:
    reader, writer = stream
    writer.write(words)
    async with asyncio.timeout(END_S):
        return await reader.readexactly(len(words))


async def broken(stream) -> bool:
    """Whether the connection ends: reset, or closed."""
    try:
        async with asyncio.timeout(END_S):
            return await stream[0].read(1) == b""
    except ConnectionError:
        return True


def still(stream) -> asyncio.Future:
    return asyncio.wait_for(stream[0].read(1), 0.15)


async def test_bytes_pass_unchanged_and_in_order_through_delays_and_stalls(proxy, echo, connect):
    stream = await connect(await proxy.open("a", echo.port))
    await proxy.behave("a", up_ms=5, up_jitter_ms=5, down_ms=5, down_jitter_ms=5, stall_ms=20, stall_every_ms=60)
    sent = b"".join(number.to_bytes(4, "big") * 50 for number in range(2000))
    for at in range(0, len(sent), 40_000):
        stream[1].write(sent[at : at + 40_000])
        await asyncio.sleep(0.01)
    async with asyncio.timeout(END_S):
        assert await stream[0].readexactly(len(sent)) == sent
    stats = await proxy.stats("a")
    assert (stats.accepted, stats.open, stats.up, stats.down) == (1, 1, len(sent), len(sent))


async def test_an_answer_comes_no_sooner_than_both_delays_together(proxy, echo, connect):
    stream = await connect(await proxy.open("a", echo.port))
    await proxy.behave("a", up_ms=60, down_ms=40)
    asked_ms = clock.mono_ms()
    assert await say(stream, b"hello") == b"hello"
    assert clock.mono_ms() - asked_ms >= 99


async def test_a_frozen_door_loses_nothing(proxy, echo, connect):
    port = await proxy.open("a", echo.port)
    old = await connect(port)
    assert await say(old, b"one") == b"one"
    await proxy.behave("a", frozen=True)
    new = await connect(port)
    old[1].write(b"two")
    new[1].write(b"new")
    with pytest.raises(TimeoutError):
        await still(old)
    assert (echo.said, echo.connections) == (b"one", 1)
    await proxy.behave("a")
    async with asyncio.timeout(END_S):
        assert await old[0].readexactly(3) == b"two"
        assert await new[0].readexactly(3) == b"new"


async def test_a_half_open_connection_takes_everything_and_never_works_again(proxy, echo, connect):
    port = await proxy.open("a", echo.port)
    old = await connect(port)
    assert await say(old, b"one") == b"one"
    await proxy.behave("a", swallow=True)
    new = await connect(port)
    for stream in (old, new):
        stream[1].write(b"lost")
        with pytest.raises(TimeoutError):
            await still(stream)
    await proxy.behave("a")
    old[1].write(b"lost too")
    with pytest.raises(TimeoutError):
        await still(old)
    assert await say(await connect(port), b"two") == b"two"
    assert echo.said == b"onetwo"


async def test_a_cut_resets_the_connections_that_there_are_and_no_others(proxy, echo, connect):
    port, other_port = await proxy.open("a", echo.port), await proxy.open("b", echo.port)
    stream, other = await connect(port), await connect(other_port)
    assert await say(stream, b"one") == await say(other, b"one")
    assert await proxy.cut("a") == 1
    assert await broken(stream)
    assert await say(other, b"two") == b"two", "the other client's door was hurt too"
    assert await say(await connect(port), b"three") == b"three"
    assert (await proxy.stats("a")).accepted == 2


async def test_a_connection_is_cut_after_just_so_many_bytes(proxy, echo, connect):
    stream = await connect(await proxy.open("a", echo.port))
    await proxy.behave("a", cut_after_bytes=7)
    stream[1].write(b"0123456789")
    came = b""
    try:
        async with asyncio.timeout(END_S):
            while data := await stream[0].read(100):
                came += data
    except ConnectionError:
        pass
    assert b"0123456".startswith(came)  # a reset may overtake the last of them
    assert (await proxy.stats("a")).down == 7


async def test_a_refusing_door_is_closed_and_opens_again_on_its_port(proxy, echo, connect):
    port = await proxy.open("a", echo.port)
    stream = await connect(port)
    assert await say(stream, b"one") == b"one"
    await proxy.behave("a", refuse=True)
    assert await broken(stream)
    with pytest.raises(ConnectionRefusedError):
        await connect(port)
    await proxy.behave("a")
    assert await say(await connect(port), b"two") == b"two"


async def test_new_connections_go_to_the_new_target_and_old_ones_stay(proxy, echo, connect):
    second = Echo()
    async with await asyncio.start_server(second.serve, "127.0.0.1", 0) as server:
        port = await proxy.open("a", echo.port)
        old = await connect(port)
        assert await say(old, b"old") == b"old"
        await proxy.target("a", server.sockets[0].getsockname()[1])
        new = await connect(port)
        assert await say(new, b"new") == b"new"
        assert await say(old, b"old") == b"old"
        assert (echo.said, second.said) == (b"oldold", b"new")
        await proxy.cut()


async def test_connects_to_a_target_that_is_gone_are_counted(proxy, free_port, connect):
    port = await proxy.open("a", free_port())
    for _ in range(3):
        try:
            assert await broken(await connect(port))
        except ConnectionResetError:
            pass  # before the connect was even told of
    stats = await proxy.stats("a")
    assert (stats.accepted, stats.unreached) == (3, 3)
    assert stats.most_within(60_000) == 3
    assert stats.most_within(60_000, after_ms=clock.mono_ms()) == 0


async def test_an_order_that_cannot_be_right_is_refused_in_words(proxy, echo):
    await proxy.open("a", echo.port)
    with pytest.raises(RuntimeError, match="there already"):
        await proxy.open("a", echo.port)
    with pytest.raises(RuntimeError, match=r"door 'b': there are a"):
        await proxy.cut("b")
    with pytest.raises(ValueError, match="longer period"):
        await proxy.behave("a", stall_ms=5, stall_every_ms=5)


async def test_the_end_of_a_stream_is_passed_on(proxy, echo, connect):
    reader, writer = await connect(await proxy.open("a", echo.port))
    writer.write(b"last")
    writer.write_eof()
    async with asyncio.timeout(END_S):
        assert await reader.read() == b"last"


def test_bytes_never_overtake_and_wait_for_the_end_of_a_stall():
    behaviour = Behaviour(up_ms=10, up_jitter_ms=10, stall_ms=50, stall_every_ms=200)
    rng, last_ms, seen = Random(3), 0.0, []
    for now_ms in range(0, 1000, 3):
        last_ms = release_ms(behaviour, "up", now_ms, last_ms, 0.0, rng)
        seen.append(last_ms)
        assert last_ms >= now_ms
        assert last_ms % 200 < 150 or last_ms % 200 == pytest.approx(0, abs=1e-6)
    assert seen == sorted(seen)
    again = Random(3)
    assert release_ms(behaviour, "up", 0, 0.0, 0.0, again) == seen[0], "the same seed, the same delays"
    assert release_ms(Behaviour(), "down", 5.0, 0.0, 0.0, rng) == 5.0
