"""Venue limits shared through Redis by everybody behind one egress address (lua/budget.lua)."""

import asyncio
import logging
from typing import NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError

from feeds.venue import Limits
from fleet.errors import FleetError
from fleet.keys import Keys
from fleet.logs import one_line
from fleet.scripts import record_ban, spend

log = logging.getLogger(__name__)

REDIS_RETRY_S = 1.0
SHARE = 0.9  # of the venue's limit: its windows are not ours, and its count of our requests may lead our own


class Rate(NamedTuple):
    """A token bucket: at most `capacity` at once, `refill_per_s` for ever."""

    capacity: float
    refill_per_s: float


def rate_of(limits: Limits, what: str) -> Rate:
    """The bucket of `rest` (weight a minute) or `connect` (sockets)."""
    if what == "rest":
        # a full bucket and a window's refill together must not exceed a window's share; of a minute two thirds at once,
        # because most of it is spent at the start, on snapshots; of shorter windows less, since they come again soon
        window_s = limits.rest_window_ms / 1000
        most = limits.rest_weight_per_minute * SHARE * window_s / 60
        at_once = most * (2 / 3 if window_s >= 60 else 1 / 4)
        return Rate(at_once, (most - at_once) / window_s)
    # one at a time: a burst and what flows in behind it would be more in one second than the venue allows
    return Rate(1.0, limits.connects_per_s * SHARE)


class SharedBudget:
    """Takes and bans by name, `VENUE:MARKET:rest` or `VENUE:MARKET:connect`. `waits` counts requests that had to wait."""

    def __init__(self, redis: Redis, keys: Keys, egress: str, limits: dict[str, Limits]) -> None:
        self.waits = 0
        self._redis = redis
        self._keys = keys
        self._egress = egress
        self._limits = limits

    def _rate(self, name: str) -> Rate:
        venue_market, _, what = name.rpartition(":")
        return rate_of(self._limits[venue_market], what)

    async def take(self, name: str, cost: float) -> None:
        """Wait until `cost` may be spent, and spend it. While Redis is away nobody may spend."""
        rate = self._rate(name)
        bucket = self._keys.budget(self._egress, name)
        told = False
        while True:
            try:
                refused = await spend(
                    self._redis,
                    bucket=bucket,
                    capacity=max(rate.capacity, cost),
                    refill_per_s=rate.refill_per_s,
                    cost=cost,
                )
            except (RedisError, FleetError, OSError) as error:
                if not told:
                    log.warning(
                        "budget %s: Redis does not answer, nothing is asked of the venue: %s", name, one_line(error)
                    )
                told = True
                await asyncio.sleep(REDIS_RETRY_S)
                continue
            if refused is None:
                return
            self.waits += 1
            if refused.banned and not told:
                log.warning("budget %s: the venue has banned us for another %.1f s", name, refused.wait_ms / 1000)
                told = True
            await asyncio.sleep(max(1, refused.wait_ms) / 1000)

    async def ban(self, name: str, ms: int) -> None:
        """Nobody behind this address may spend for `ms`. Told to Redis as well as can be: a lost word costs one more 429."""
        rate = self._rate(name)
        try:
            await record_ban(
                self._redis,
                bucket=self._keys.budget(self._egress, name),
                capacity=rate.capacity,
                refill_per_s=rate.refill_per_s,
                ban_ms=ms,
            )
        except (RedisError, FleetError, OSError) as error:
            log.warning("budget %s: the ban of %d ms could not be shared: %s", name, ms, one_line(error))
