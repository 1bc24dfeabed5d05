"""The simulated venues of a chaos run: a child process, steered and asked for the truth through its control endpoint."""

import asyncio
import json
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from feeds import venues
from fleet.config import PREFIX
from fleet.pair import Pair
from ops.chaos.scale import Place
from ops.embedded.process import ServerProcess
from ops.simulator import registry

READY_S = 60.0
STOP_S = 5.0
SIDES = ("bids", "asks")

Levels = dict[Decimal, Decimal]


class SimulatedMarkets:
    """`environ` points a daemon to them. `process` is theirs, to be paused or killed."""

    def __init__(self, places: Sequence[Place], *, pairs_each: int, rate: float, seed: int, folder: Path) -> None:
        self.places = tuple(places)
        self.endpoints: list[dict[str, str]] = []
        arguments = [
            sys.executable, "-m", "ops.simulator", *map(":".join, self.places),
            "--pairs", str(pairs_each), "--rate", str(rate), "--seed", str(seed),
        ]  # fmt: skip
        self.process = ServerProcess(
            "venue simulator", arguments, directory=Path(__file__).parents[2], log=folder / "venues.log"
        )
        self._http = httpx.AsyncClient(timeout=20.0)
        self._sizes = {
            (*place, listing.pair): listing.contract_value
            for place in self.places
            for listing in registry.listings(*place, pairs_each)
        }

    async def __aenter__(self) -> Self:
        self.process.start()
        try:
            await self.process.wait_ready(self._announced, READY_S)
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def _end(self) -> None:
        await self.process.stop(STOP_S)
        await self._http.aclose()

    async def _announced(self) -> bool:
        first = self.process.log.read_text().partition("\n") if self.process.log.exists() else ("", "", "")
        if first[1]:  # a whole line
            self.endpoints = json.loads(first[0])
        return bool(self.endpoints)

    @property
    def environ(self) -> dict[str, str]:
        """Settings that point a daemon to these venues; those that are off by default are turned on."""
        found: dict[str, str] = {}
        for end in self.endpoints:
            name = f"{PREFIX}VENUES__{end['venue'].upper()}__{end['market'].upper()}__"
            found |= {name + "REST_URL": end["rest_url"], name + "WS_URL": end["ws_url"]}
            if venues.find(end["venue"], end["market"]).traits.off_because is not None:
                found[name + "ENABLED"] = "true"
        return found

    # ── steering ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def misbehave(self, place: Place, action: str, **options: Any) -> None:
        """Switch a misbehaviour of ops.simulator.misbehaviours on. Raises httpx.HTTPStatusError for what cannot be."""
        await self._post({"venue": place[0], "market": place[1], "action": action, **options})

    async def behave(self, place: Place, action: str, **options: Any) -> None:
        """Switch it off again."""
        await self._post({"venue": place[0], "market": place[1], "action": action, "end": True, **options})

    async def freeze(self) -> None:
        """Every market tells all that has happened and stands still; heartbeats go on."""
        await asyncio.gather(*(self.misbehave(place, "freeze_market") for place in self.places))

    async def thaw(self) -> None:
        """The markets move again."""
        await asyncio.gather(*(self.behave(place, "freeze_market") for place in self.places))

    async def stats(self) -> dict[Place, dict[str, Any]]:
        """Counts of every market since the start: ops.simulator.venue.Stats."""
        answer = await self._http.get(f"{self.endpoints[0]['control_url']}/stats")
        answer.raise_for_status()
        return {(row["venue"], row["market"]): row for row in answer.json()}

    async def truth(self, pair: Pair) -> tuple[Levels, Levels]:
        """The venue's exact bids and asks at this moment, all of them, amounts in base units."""
        query = {"venue": pair.venue, "market": pair.market, "pair": pair.pair}
        answer = await self._http.get(f"{self._control(pair.venue, pair.market)}/book", params=query)
        answer.raise_for_status()
        shown, size = answer.json(), self._sizes[pair.venue, pair.market, pair.pair]
        bids, asks = ({Decimal(p): Decimal(q) * size for p, q in shown[side]} for side in SIDES)
        return bids, asks

    async def _post(self, order: dict[str, Any]) -> None:
        answer = await self._http.post(self._control(order["venue"], order["market"]), json=order)
        answer.raise_for_status()

    def _control(self, venue: str, market: str) -> str:
        return next(
            end["control_url"] for end in self.endpoints if (end["venue"], end["market"]) == (venue, market)
        )  # fmt: skip
