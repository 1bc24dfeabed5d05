"""All simulated venue-markets of one process: `async with Simulator(...) as sim`, or `serve` for the command line."""

import asyncio
import functools
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from fleet import clock
from fleet.errors import ConfigError
from ops.simulator import catalogue, control, registry
from ops.simulator.registry import VENUE_MARKETS
from ops.simulator.venue import PUMP_MS, Venue

_MAX_LAG_MS = 1000.0  # a pump that is later than this gives the lost turns up instead of running after them


class Simulator:
    """Venues on loopback that speak their real wire. A client uses the URLs of `endpoints` as its base URLs.

    `venues`: (venue, market) tuples; all that exist by default. `pairs`: how many trading pairs each lists. `rate`:
    mean number of book changes a second and pair, 10 at most by the venues' cadence of 100 ms; each pair has its own
    rate around it. `levels`: most levels on a side (fewer where a venue shows fewer). `seed`: the same seed, the same markets.
    `port`: 0 = free ports, else the first of consecutive ones. `enforce_limits`: keep the venues' limits on message
    and request rates, sizes and connects.
    """

    def __init__(
        self,
        venues: Sequence[tuple[str, str]] = VENUE_MARKETS,
        *,
        pairs: int = 20,
        rate: float = 5.0,
        seed: int = 7,
        host: str = "127.0.0.1",
        port: int = 0,
        levels: int = 400,
        enforce_limits: bool = True,
        wall_ms: clock.WallMs = clock.wall_ms,
        mono_ms: clock.MonoMs = clock.mono_ms,
    ) -> None:
        if not 0 < rate <= 1000:
            raise ConfigError(f"rate = {rate}: expected book changes a second and pair, above 0 and at most 1000")
        if not 25 <= levels <= 5000:
            raise ConfigError(f"levels = {levels}: expected 25 to 5000 levels a side")
        if len(set(venues)) != len(venues) or not venues:
            raise ConfigError(f"venues = {list(venues)}: expected different (venue, market) tuples, at least one")
        self.host = host
        self._port = port
        self._pairs = pairs
        self._mono_ms = mono_ms
        self._exits = AsyncExitStack()
        self._stopping = asyncio.Event()
        self._venues: dict[tuple[str, str], Venue] = {}
        for venue, market in venues:
            listed = registry.listings(venue, market, pairs)  # raises ConfigError for an unknown venue
            make = registry.find(venue, market)
            made = make(
                market, listed, rate=rate, seed=seed, levels=min(levels, make.most_levels),
                enforce_limits=enforce_limits, wall_ms=wall_ms, mono_ms=mono_ms,
            )  # fmt: skip
            self._venues[venue, market] = made
            made.control = functools.partial(control.answer, self._venues, made)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            for number, venue in enumerate(self._venues.values()):
                await venue.listen(self.host, self._port + number if self._port else 0)
                exits.push_async_callback(venue.shut)
            group = await exits.enter_async_context(asyncio.TaskGroup())
            group.create_task(self._pump(), name="simulator pump")
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        # The body's error is the caller's: the task group must not wrap it. A crash of the pump is raised here.
        await self._exits.__aexit__(None, None, None)

    def venue(self, venue: str, market: str) -> Venue:
        """One venue-market, to make it misbehave or to read its books. Raises ConfigError if it is not simulated."""
        if (venue, market) not in self._venues:
            raise ConfigError(f"{venue} {market} is not simulated; there are: {', '.join(map(' '.join, self._venues))}")
        return self._venues[venue, market]

    @property
    def pairs(self) -> list[str]:
        """The trading pairs quoted in USDT: those of every venue-market whose quote it is."""
        return catalogue.pairs(self._pairs)

    def pairs_of(self, venue: str, market: str) -> list[str]:
        """The trading pairs of one venue-market, BASE/QUOTE."""
        return registry.pairs(venue, market, self._pairs)

    @property
    def endpoints(self) -> list[dict[str, str]]:
        """Where each venue-market listens: venue, market, rest_url, ws_url, control_url."""
        return [
            {
                "venue": one.venue,
                "market": one.market,
                "rest_url": f"http://{self.host}:{one.port}",
                "ws_url": f"ws://{self.host}:{one.port}",
                "control_url": f"http://{self.host}:{one.port}/_control",
            }
            for one in self._venues.values()
        ]

    def statistics(self) -> list[dict[str, Any]]:
        """Counts of every venue-market since the start."""
        return [{"venue": one.venue, "market": one.market, **one.statistics()} for one in self._venues.values()]

    async def _pump(self) -> None:
        due = self._mono_ms()
        while not self._stopping.is_set():
            now = self._mono_ms()
            for venue in self._venues.values():
                venue.pump(now)
            due = max(due + PUMP_MS, now - _MAX_LAG_MS)
            await asyncio.sleep(max(0.0, due - self._mono_ms()) / 1000)


async def serve(
    venues: Sequence[tuple[str, str]], *, pairs: int, rate: float, seed: int, port: int, stop: asyncio.Event
) -> None:
    """Print the endpoints as one line of JSON, then serve until `stop`."""
    async with Simulator(venues or VENUE_MARKETS, pairs=pairs, rate=rate, seed=seed, port=port) as simulator:
        print(json.dumps(simulator.endpoints), flush=True)
        await stop.wait()
