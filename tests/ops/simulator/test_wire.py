"""HTTP and websocket on one port, byte by byte where that matters."""

import asyncio
import json

from websockets.asyncio.client import connect

from ops.simulator import Simulator
from tests.support.waiting import wait_until


async def exchange(url: str, request: bytes, *, pieces: int = 1) -> bytes:
    """Send raw bytes, in `pieces`, and read until the server closes."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    size = -(-len(request) // pieces)
    for start in range(0, len(request), size):
        writer.write(request[start : start + size])
        await writer.drain()
        await asyncio.sleep(0)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_requests_arrive_in_pieces_or_pipelined() -> None:
    async with Simulator([("binance", "spot")], pairs=1) as simulator:
        url = simulator.endpoints[0]["rest_url"]
        ping = b"GET /api/v3/ping HTTP/1.1\r\nHost: x\r\n\r\n"
        last = b"GET /api/v3/time HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        for pieces in (1, 7):
            answer = await exchange(url, ping + ping + last, pieces=pieces)
            assert answer.count(b"HTTP/1.1 200 OK") == 3
            assert b"serverTime" in answer


async def test_what_is_no_http_is_refused() -> None:
    async with Simulator([("binance", "spot")], pairs=1) as simulator:
        url = simulator.endpoints[0]["rest_url"]
        assert (await exchange(url, b"nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400")
        huge = b"POST /_control HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n"
        assert (await exchange(url, huge)).startswith(b"HTTP/1.1 400")
        assert await exchange(url, b"x" * 70_000) == b""
        broken = b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        assert b" 400 " in (await exchange(url, broken)).split(b"\r\n")[0]


async def test_leaving_the_simulator_cuts_kept_alive_connections() -> None:
    async with Simulator([("binance", "spot")], pairs=1) as simulator:
        host, port = simulator.endpoints[0]["rest_url"].removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /api/v3/ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    try:
        await asyncio.wait_for(reader.read(), 5)
    except ConnectionResetError:
        pass  # a cut may be seen as a reset or as an end
    writer.close()


async def test_a_message_may_come_in_fragments() -> None:
    async with (
        Simulator([("binance", "spot")], pairs=1) as simulator,
        connect(simulator.endpoints[0]["ws_url"] + "/ws") as ws,
    ):
        await ws.send(['{"method":"LIST_', 'SUBSCRIPTIONS",', '"id":1}'])
        assert json.loads(await ws.recv()) == {"result": [], "id": 1}


async def test_a_client_that_does_not_read_is_dropped() -> None:
    async with Simulator([("okx", "spot")], pairs=20, rate=200) as simulator:
        served = simulator.venue("okx", "spot")
        ws = await connect(simulator.endpoints[0]["ws_url"] + "/ws/v5/public", max_queue=1)
        args = [{"channel": "books", "instId": f"{pair.replace('/', '-')}"} for pair in simulator.pairs]
        await ws.send(json.dumps({"op": "subscribe", "args": args}))
        for _ in range(60):  # each snapshot is some 20 kB; nothing is read after the first ones
            for op in ("unsubscribe", "subscribe"):
                await ws.send(json.dumps({"op": op, "args": args}))
        await wait_until(lambda: not served.statistics()["open"], "the venue to drop a client that does not read", 30)
        assert served.statistics()["limit_breaches"] == {"slow consumer": 1}
        ws.transport.abort()
        await ws.wait_closed()
