"""Books kept by hand from raw venue messages: the sheets' rules written down once more, without our product code."""

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection

Levels = dict[Decimal, Decimal]


class Gap(AssertionError):
    """The chain of ids is broken."""


class Crossed(AssertionError):
    """The best bid is not below the best ask."""


class RawBook:
    """One side is price -> size; `last` is the venue's id of the newest message inside."""

    def __init__(self) -> None:
        self.bids: Levels = {}
        self.asks: Levels = {}
        self.last: int | None = None

    def load(self, bids: list[list[str]], asks: list[list[str]], last: int) -> None:
        self.bids, self.asks, self.last = {}, {}, last
        self._put(self.bids, bids)
        self._put(self.asks, asks)

    def change(self, bids: list[list[str]], asks: list[list[str]], last: int) -> None:
        self._put(self.bids, bids)
        self._put(self.asks, asks)
        self.last = last
        if max(self.bids) >= min(self.asks):
            raise Crossed(f"{max(self.bids)} >= {min(self.asks)}")

    @staticmethod
    def _put(side: Levels, levels: list[list[str]]) -> None:
        for level in levels:
            price, size = Decimal(level[0]), Decimal(level[1])
            if size:
                side[price] = size
            else:
                side.pop(price, None)

    def as_text(self) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        """Both sides, best first."""
        return sorted(self.bids.items(), reverse=True), sorted(self.asks.items())


def exact(book: dict[str, Any]) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
    """A simulator's own book in the form of `RawBook.as_text`."""
    bids, asks = ([(Decimal(p), Decimal(q)) for p, q in book[side]] for side in ("bids", "asks"))
    return bids, asks


async def receive(ws: ClientConnection, wanted: Callable[[Any], Any], *, timeout_s: float = 10) -> Any:
    """The next JSON message for which `wanted` is true; others are passed over."""
    async with asyncio.timeout(timeout_s):
        while True:
            message = json.loads(await ws.recv())
            if wanted(message):
                return message


async def ask(ws: ClientConnection, request: dict[str, Any]) -> Any:
    """Send a Binance request and return its answer."""
    await ws.send(json.dumps(request))
    return await receive(
        ws, lambda m: m.get("id") == request.get("id") and ("result" in m or "error" in m or "code" in m)
    )


class BinanceBook(RawBook):
    """Rules of venues/binance.md §5.4. The connection must carry one raw diff stream and nothing else."""

    def __init__(self, ws: ClientConnection, rest_url: str, symbol: str, market: str) -> None:
        super().__init__()
        self.ws, self.symbol, self.market = ws, symbol, market
        self.url = rest_url + ("/api/v3/depth" if market == "spot" else "/fapi/v1/depth")
        self.refetched = 0
        self.duplicates = 0
        self._live = False

    async def snapshot(self) -> dict[str, Any]:
        async with httpx.AsyncClient() as http:
            answer = await http.get(self.url, params={"symbol": self.symbol, "limit": 1000})
        answer.raise_for_status()
        return dict(answer.json())

    async def bootstrap(self) -> None:
        first = json.loads(await self.ws.recv())
        while True:
            shot = await self.snapshot()
            if shot["lastUpdateId"] >= first["U"]:
                break
            self.refetched += 1
        self.load(shot["bids"], shot["asks"], shot["lastUpdateId"])
        self._live = False
        self._event(first)

    async def step(self) -> dict[str, Any]:
        """Receive and apply one diff. Raises Gap."""
        event = json.loads(await self.ws.recv())
        self._event(event)
        return dict(event)

    def _event(self, event: dict[str, Any]) -> None:
        assert self.last is not None
        spot = self.market == "spot"
        if event["u"] <= self.last if spot or self._live else event["u"] < self.last:
            self.duplicates += 1
            return
        if self._live:
            linked = event["U"] == self.last + 1 if spot else event["pu"] == self.last
        elif spot:
            linked = event["U"] <= self.last + 1 <= event["u"]
        else:
            linked = event["U"] <= self.last <= event["u"] or event["pu"] == self.last
        if not linked:
            raise Gap(f"{event['U']}..{event['u']} after {self.last}")
        self._live = True
        self.change(event["b"], event["a"], event["u"])


class OkxBook(RawBook):
    """Rules of venues/okx.md §5. The connection must carry one `books` subscription and nothing else."""

    def __init__(self, ws: ClientConnection, inst_id: str) -> None:
        super().__init__()
        self.ws, self.inst_id = ws, inst_id
        self.keepalives = 0
        self.duplicates = 0

    async def subscribe(self, op: str = "subscribe") -> dict[str, Any]:
        await self.ws.send(json.dumps({"op": op, "args": [{"channel": "books", "instId": self.inst_id}]}))
        return dict(await receive(self.ws, lambda m: m.get("event")))

    async def step(self) -> dict[str, Any]:
        """Receive and apply one frame. Raises Gap."""
        message = dict(await receive(self.ws, lambda m: "action" in m))
        row = message["data"][0]
        assert row["checksum"] == 0
        if message["action"] == "snapshot":
            assert row["prevSeqId"] == -1
            self.load(row["bids"], row["asks"], row["seqId"])
        elif row["seqId"] == self.last and row["prevSeqId"] != self.last:
            self.duplicates += 1
        elif row["prevSeqId"] != self.last:
            raise Gap(f"{row['prevSeqId']} after {self.last}")
        elif not row["bids"] and not row["asks"]:
            self.keepalives += 1
        else:
            self.change(row["bids"], row["asks"], row["seqId"])
        return message
