"""Reads books as a user would, at a steady pace, and notes what was promised: status, age, and whether it was true."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from redis.asyncio import Redis
from redis.exceptions import RedisError

from books.loaded import LoadedBook
from books.store import load_book
from fleet.clock import MonoMs
from fleet.keys import Keys
from fleet.pair import Pair
from ops.chaos.history import Reading

ANSWER_S = 1.0  # whoever reads books has given up by then: no promise was made

Sink = Callable[[Sequence[Reading]], object]
Wrong = Callable[[LoadedBook], Awaitable[str]]  # where a live book differs from the venue's, in words; '': nowhere


class Probe:
    """`readings` were got, `failures` were not (Redis was away): who gets no book is promised nothing."""

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        pairs: Sequence[Pair],
        sink: Sink,
        *,
        mono_ms: MonoMs,
        wrong: Wrong | None = None,
    ) -> None:
        self.readings = 0
        self.failures = 0
        self._redis = redis
        self._keys = keys
        self._pairs = tuple(pairs)
        self._sink = sink
        self._mono_ms = mono_ms
        self._wrong = wrong

    async def run(self, every_s: float) -> None:
        """One round over all pairs each `every_s`, until cancelled."""
        while True:
            started_ms = self._mono_ms()
            await self.round()
            await asyncio.sleep(max(0.0, every_s - (self._mono_ms() - started_ms) / 1000))

    async def round(self) -> None:
        """Read every pair once."""
        for pair in self._pairs:
            await self.read(pair)

    async def read(self, pair: Pair) -> Reading | None:
        """Read one pair and note it; None when Redis did not answer. Raises what `wrong` raises."""
        try:
            async with asyncio.timeout(ANSWER_S):
                book = await load_book(self._redis, self._keys, pair)
        except (RedisError, OSError, TimeoutError):
            self.failures += 1
            return None
        now_ms = self._mono_ms()
        wrong = await self._wrong(book) if book.live and self._wrong is not None else ""
        reading = Reading(
            mono_ms=now_ms, label=pair.label, status=book.status, age_ms=book.age_ms, n=book.n, epoch=book.epoch,
            lease_alive=book.lease_alive, wrong=wrong,
        )  # fmt: skip
        self.readings += 1
        self._sink([reading])
        return reading
