"""A load of book deltas: Binance-spot wire, a fixed workload, every run the same.

`python -m ops.bench.load PORT PAIRS MESSAGES_PER_PAIR [PACED_PER_PAIR]`: about 630 bytes and 25 level changes a message. The
first line on stdout is `ready`. Data starts a while after the subscription, so that whoever measures sees the beginning; first
MESSAGES_PER_PAIR as fast as the client reads, then, after a rest, PACED_PER_PAIR at PACED_PER_S. The last message of each part
adds a bid of 9 at price 1 to every pair.
"""

import asyncio
import json
import random
import sys
from http import HTTPStatus
from urllib.parse import urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response

START_DELAY_S = 2.5  # by then every pair has its snapshot
REST_S = 1.0
PACED_PER_S = 2000.0  # what a daemon of 400 busy pairs hears
PACE_S = 0.005
FRAMES_A_WRITE = 50
UNREAD_BYTES = 1 << 18
IDS_A_MESSAGE = 30
FIRST_MS = 1_700_000_000_000


def symbols(pairs: int) -> list[str]:
    """Bases A000, A001, … quoted in USDT."""
    return [f"A{number:03d}" for number in range(pairs)]


def _levels(rng: random.Random, sign: int) -> list[list[str]]:
    changes = []
    for _ in range(rng.randint(2, 20)):
        price = 60_000.0 + sign * 0.01 * (1 + int(rng.expovariate(1 / 80)))
        amount = 0.0 if rng.random() < 0.4 else rng.random() * 3
        changes.append([f"{price:.2f}", f"{amount:.5f}"])
    return changes


def workload(pairs: int, per_pair: int, first: int = 0) -> list[bytes]:
    """Websocket frames, combined-stream form, pairs in turn; `first`: how many messages a pair has had before."""
    rng = random.Random(7 + first)
    frames = []
    for index in range(first, first + per_pair):
        for base in symbols(pairs):
            bids, asks = _levels(rng, -1), _levels(rng, 1)
            if index == first + per_pair - 1:
                bids.append(["1.00", "9.00000"])
            data = {
                "e": "depthUpdate", "E": FIRST_MS + index * 100, "s": f"{base}USDT", "U": index * IDS_A_MESSAGE + 1,
                "u": (index + 1) * IDS_A_MESSAGE, "b": bids, "a": asks,
            }  # fmt: skip
            text = json.dumps({"stream": f"{base.lower()}usdt@depth@100ms", "data": data}, separators=(",", ":"))
            frames.append(Frame(Opcode.TEXT, text.encode()).serialize(mask=False))
    return frames


def _exchange_info(pairs: int) -> dict[str, object]:
    filters = [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
        {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
        {"filterType": "NOTIONAL", "minNotional": "5"},
    ]
    rows = [
        {
            "symbol": f"{base}USDT", "status": "TRADING", "baseAsset": base, "quoteAsset": "USDT",
            "isSpotTradingAllowed": True, "filters": filters,
        }
        for base in symbols(pairs)
    ]  # fmt: skip
    return {"symbols": rows}


class Load:
    """The server. Every client that subscribes gets the whole workload."""

    def __init__(self, pairs: int, per_pair: int, paced_per_pair: int = 0) -> None:
        self._info = _exchange_info(pairs)
        self._frames = workload(pairs, per_pair)
        self._paced = workload(pairs, paced_per_pair, per_pair)

    async def serve(self, port: int) -> Server:
        """Listen on loopback."""
        return await serve(
            self._handle, "127.0.0.1", port, process_request=self._http, compression=None, ping_interval=None
        )  # fmt: skip

    def _http(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return None
        path = urlsplit(request.path).path
        body: object = self._info if path.endswith("/exchangeInfo") else {}
        if path.endswith("/depth"):
            body = {"lastUpdateId": 0, "bids": [["59990.00", "1.00000"]], "asks": [["60010.00", "1.00000"]]}
        data = json.dumps(body).encode()
        headers = Headers([("Content-Type", "application/json"), ("Content-Length", str(len(data)))])
        return Response(HTTPStatus.OK, "OK", Headers([*headers.raw_items(), ("Connection", "close")]), data)

    async def _handle(self, connection: ServerConnection) -> None:
        async with asyncio.TaskGroup() as group:
            playing = None
            async for text in connection:
                request = json.loads(text)
                await connection.send(json.dumps({"result": None, "id": request.get("id")}))
                if playing is None and request.get("method") == "SUBSCRIBE":
                    playing = group.create_task(self._play(connection), name="load")
            if playing is not None:
                playing.cancel()

    async def _play(self, connection: ServerConnection) -> None:
        await asyncio.sleep(START_DELAY_S)
        for first in range(0, len(self._frames), FRAMES_A_WRITE):
            connection.transport.write(b"".join(self._frames[first : first + FRAMES_A_WRITE]))
            while connection.transport.get_write_buffer_size() > UNREAD_BYTES:  # noqa: ASYNC110 - a buffer's level
                await asyncio.sleep(0.0005)
        await self._pace(connection)

    async def _pace(self, connection: ServerConnection) -> None:
        await asyncio.sleep(REST_S)
        loop = asyncio.get_running_loop()
        started, sent = loop.time(), 0
        while sent < len(self._paced):
            due = min(len(self._paced), int((loop.time() - started) * PACED_PER_S))
            connection.transport.write(b"".join(self._paced[sent:due]))
            sent = due
            await asyncio.sleep(PACE_S)


async def main(port: int, pairs: int, per_pair: int, paced_per_pair: int = 0) -> None:
    """Serve until killed."""
    await Load(pairs, per_pair, paced_per_pair).serve(port)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:5])))
