"""Frames that could not be read, kept for debugging: the newest few of each venue × market, in Redis, for a day."""

import asyncio
import logging

from redis.asyncio import Redis
from redis.exceptions import RedisError

from fleet.keys import Keys
from fleet.logs import one_line

log = logging.getLogger(__name__)

KEPT = 20
LIFE_S = 24 * 3600


class SampleKeeper:
    """Takes samples synchronously, writes them from its own loop. `taken` counts all."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self.taken = 0
        self._redis = redis
        self._keys = keys
        self._waiting: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(maxsize=100)

    def add(self, venue: str, market: str, frame: bytes, reason: str) -> None:
        """Keep a frame. When too many come at once, later ones are only counted."""
        self.taken += 1
        log.warning("%s %s: a frame could not be read: %s", venue, market, reason)
        if not self._waiting.full():
            self._waiting.put_nowait((self._keys.samples(venue, market), reason.encode() + b"\n" + frame))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            key, text = await self._waiting.get()
            try:
                async with self._redis.pipeline(transaction=True) as pipe:
                    pipe.lpush(key, text)
                    pipe.ltrim(key, 0, KEPT - 1)
                    pipe.expire(key, LIFE_S)
                    await pipe.execute()
            except (RedisError, OSError) as error:
                log.warning("a sample was not kept: %s", one_line(error))
