"""Keeps a daemon's Ears up to date: looks at its connections, and knocks at venues that others do not reach."""

import asyncio
from collections.abc import Awaitable, Callable

from feeds.hearing import Ears
from fleet.clock import MonoMs

LOOK_EVERY_S = 0.5


class Scout:
    """`run` until cancelled.

    connections()    group → whether we hear it (feeds.market.Market.hears)
    knock(group)     whether anybody answers there; never raises but for cancellation
    """

    def __init__(
        self,
        ears: Ears,
        connections: Callable[[], dict[str, bool | None]],
        knock: Callable[[str], Awaitable[bool]],
        mono_ms: MonoMs,
    ) -> None:
        self._ears = ears
        self._connections = connections
        self._knock = knock
        self._mono_ms = mono_ms
        self._knocking: set[str] = set()

    async def run(self) -> None:
        """Look twice a second. A knock that waits for its answer keeps nothing else waiting."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._ears.connected(self._connections(), self._mono_ms())
                for name in self._ears.due(self._mono_ms()):
                    if name not in self._knocking:
                        self._knocking.add(name)
                        group.create_task(self._ask(name), name=f"knock at {name}")
                await asyncio.sleep(LOOK_EVERY_S)

    async def _ask(self, name: str) -> None:
        try:
            answered = await self._knock(name)
        finally:
            self._knocking.discard(name)
        self._ears.knocked(name, self._mono_ms(), answered=answered)
