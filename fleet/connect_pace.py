"""How often a process may try to connect to a server that is away: one attempt at a time, and a pause after a failure.

A daemon has several clients and many commands under way, each of which would connect anew when its connection breaks; and it is
not alone. Without a pace every command of every daemon knocks at a server that is down, or has just come back.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from redis.exceptions import ConnectionError as RedisConnectionError

from fleet.clock import MonoMs

FIRST_PAUSE_MS = (700.0, 900.0)  # a server that is started anew is back soon
PAUSE_MS = (1000.0, 1300.0)  # so that a process, and its next beat, are back within two seconds of the server's return


class Paused(RedisConnectionError):
    """Not tried: an attempt failed a moment ago, or another one is under way."""


class ConnectPace:
    """Of all connections of one process to one server, in whichever thread. `async with pace.attempt():` around connecting."""

    def __init__(self, *, mono_ms: MonoMs, rng: Random) -> None:
        self._mono_ms = mono_ms
        self._rng = rng
        self._not_before_ms = float("-inf")
        self._failures = 0
        self._failure = ""
        self._attempting: dict[asyncio.AbstractEventLoop, asyncio.Lock] = {}

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[None]:
        """Waits for an attempt that is under way in this loop; its failure is ours too. Raises Paused in a pause."""
        async with self._attempting.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
            if self._failures:
                if (left_ms := self._not_before_ms - self._mono_ms()) > 0:
                    raise Paused(f"{self._failure} (tried again in {left_ms / 1000:.1f} s)")
                self._pause()  # for the other threads, and for those behind us if this one is cancelled
            try:
                yield
            except Exception as error:
                self._failures += 1
                self._failure = " ".join(str(error).split()) or type(error).__name__
                self._pause()
                raise
            self._failures = 0

    def _pause(self) -> None:
        self._not_before_ms = self._mono_ms() + self._rng.uniform(*(FIRST_PAUSE_MS if self._failures < 2 else PAUSE_MS))


class Paces:
    """The paces of one process, by server (its URL)."""

    def __init__(self, *, mono_ms: MonoMs, rng: Random) -> None:
        self._mono_ms = mono_ms
        self._rng = rng
        self._of: dict[str, ConnectPace] = {}

    def of(self, url: str) -> ConnectPace:
        return self._of.setdefault(url, ConnectPace(mono_ms=self._mono_ms, rng=self._rng))
