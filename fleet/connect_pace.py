"""How often a client may try to connect to a server that is away: one attempt at a time, and a pause after a failure.

A daemon has many commands under way, each of which would connect anew when its connection breaks; and it is not alone. Without
a pace every command of every daemon knocks at a server that is down, or has just come back.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from redis.exceptions import ConnectionError as RedisConnectionError

from fleet.clock import MonoMs

PAUSE_LEAST_MS, PAUSE_MOST_MS = 700.0, 900.0  # so that a client is back within a second of the server's return


class ConnectPace:
    """Of all connections of one client to one server. `async with pace.attempt():` around connecting."""

    def __init__(self, *, mono_ms: MonoMs, rng: Random) -> None:
        self._mono_ms = mono_ms
        self._rng = rng
        self._not_before_ms = float("-inf")
        self._failure = ""
        self._attempting = asyncio.Lock()

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[None]:
        """Waits for an attempt that is under way; its failure is ours too. Raises redis-py's ConnectionError in a pause."""
        async with self._attempting:
            if (left_ms := self._not_before_ms - self._mono_ms()) > 0:
                raise RedisConnectionError(f"{self._failure} (tried again in {left_ms / 1000:.1f} s)")
            try:
                yield
            except Exception as error:
                self._failure = " ".join(str(error).split()) or type(error).__name__
                self._not_before_ms = self._mono_ms() + self._rng.uniform(PAUSE_LEAST_MS, PAUSE_MOST_MS)
                raise
