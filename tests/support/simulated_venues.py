"""The venue simulator as a process of its own, steered through its control endpoint."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

from feeds import venues as known_venues
from fleet.pair import Pair
from ops.embedded.process import ServerProcess
from ops.simulator.registry import listings
from tests.support.commands import REPOSITORY

# of all that there is, what whole daemons are tried on: splices and images, contracts, gzip, protobuf; every venue's own books
# are proved in tests/conformance
SAMPLE = ("binance", "okx", "htx:spot", "mexc:spot")
READY_S = 20.0
LISTED = 8  # pairs of each venue-market

Levels = dict[Decimal, Decimal]


class SimulatedVenues:
    """`settings` point a daemon to it; `misbehave` and `misbehaving` take the simulator's own names."""

    def __init__(self, process: ServerProcess) -> None:
        self._process = process
        self.endpoints: list[dict[str, str]] = []

    async def announced(self) -> bool:
        """Whether it has printed its endpoints."""
        first = self._process.tail().partition("\n")[0] if self._process.log.exists() else ""
        if first.endswith("]"):
            self.endpoints = json.loads(first)
        return bool(self.endpoints)

    @property
    def settings(self) -> dict[str, str]:
        found = {}
        for end in self.endpoints:
            name = f"FLEET_VENUES__{end['venue'].upper()}__{end['market'].upper()}__"
            found |= {name + "REST_URL": end["rest_url"], name + "WS_URL": end["ws_url"]}
        return found

    async def misbehave(self, venue: str, market: str, action: str, **options: Any) -> None:
        await self._post({"venue": venue, "market": market, "action": action, **options})

    @asynccontextmanager
    async def misbehaving(self, venue: str, market: str, action: str, **options: Any) -> AsyncIterator[None]:
        """Until the end of the block."""
        await self.misbehave(venue, market, action, **options)
        try:
            yield
        finally:
            await self._post({"venue": venue, "market": market, "action": action, "end": True, **options})

    @asynccontextmanager
    async def frozen(self) -> AsyncIterator[None]:
        """All markets stand still after telling everything; heartbeats go on."""
        for end in self.endpoints:
            await self.misbehave(end["venue"], end["market"], "freeze_market")
        try:
            yield
        finally:
            for end in self.endpoints:
                await self._post({**_place(end), "action": "freeze_market", "end": True})

    async def book(self, pair: Pair, depth: str = "50") -> tuple[int, Levels, Levels]:
        """The exact book as far as the channel of that depth shows it: the venue's sequence, bids and asks in base units."""
        query = {"venue": pair.venue, "market": pair.market, "pair": pair.pair}
        async with httpx.AsyncClient() as http:
            answer = await http.get(f"{self._control(pair.venue, pair.market)}/book", params=query)
        answer.raise_for_status()
        shown = answer.json()
        size = next(one for one in listings(pair.venue, pair.market, LISTED) if one.pair == pair.pair).contract_value
        bids, asks = ({Decimal(p): Decimal(q) * size for p, q in shown[side]} for side in ("bids", "asks"))
        window = known_venues.find(pair.venue, pair.market).book_channel(depth).depth
        most = int(window) if window.isdecimal() else None
        best_bids, best_asks = sorted(bids, reverse=True)[:most], sorted(asks)[:most]
        return shown["sequence"], {p: bids[p] for p in best_bids}, {p: asks[p] for p in best_asks}

    async def _post(self, order: dict[str, Any]) -> None:
        async with httpx.AsyncClient() as http:
            answer = await http.post(self._control(order["venue"], order["market"]), json=order)
        assert answer.status_code == 200, answer.text

    def _control(self, venue: str, market: str) -> str:
        return next(
            end["control_url"] for end in self.endpoints if (end["venue"], end["market"]) == (venue, market)
        )  # fmt: skip


def _place(end: dict[str, str]) -> dict[str, str]:
    return {"venue": end["venue"], "market": end["market"]}


@asynccontextmanager
async def simulated_venues(folder: Path, *, rate: float = 8.0) -> AsyncIterator[SimulatedVenues]:
    """SAMPLE on free ports."""
    folder.mkdir(parents=True, exist_ok=True)
    arguments = [sys.executable, "-m", "ops.simulator", *SAMPLE, "--pairs", str(LISTED), "--rate", str(rate)]
    process = ServerProcess("venue simulator", arguments, directory=REPOSITORY, log=folder / "simulator.log")
    process.start()
    try:
        venues = SimulatedVenues(process)
        await process.wait_ready(venues.announced, READY_S)
        yield venues
    finally:
        await process.stop(5.0)
