"""Who optimises: one lease on the leader key, and a term that only grows.

The leader only improves the plan; without one the owners go on. What a leader writes is fenced by its term, so two members
that both believe to lead for a moment do no harm.
"""

import asyncio
import logging
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from fleet import scripts
from fleet.clock import MonoMs
from fleet.errors import FleetError
from fleet.keys import Keys
from fleet.logs import one_line

RESIGN_S = 1.0

log = logging.getLogger(__name__)


class Election:
    """Tries to lead as long as `run` runs. `term` and `leader` are the last ones heard of (0 and '' before)."""

    name = "election"

    def __init__(self, redis: Redis, keys: Keys, *, member: str, lease_ms: int, mono_ms: MonoMs) -> None:
        self.term = 0
        self.leader = ""
        self.failures = 0
        self._highest = 0
        self._redis = redis
        self._keys = keys
        self._member = member
        self._lease_ms = lease_ms
        self._mono_ms = mono_ms
        self._until_ms = 0.0
        self._aside = False
        self._vacant_since_ms: float | None = None
        self._woken = asyncio.Event()
        self._asking = asyncio.Lock()

    @property
    def member(self) -> str:
        """Who stands for election here."""
        return self._member

    @property
    def is_leader(self) -> bool:
        """Whether we lead, by our own clock: three quarters of the lease since the last proof was asked for."""
        return self.leader == self._member and self._mono_ms() < self._until_ms

    async def run(self) -> None:
        """Ask every quarter of a lease, for ever. Errors of Redis are told once an outage and survived."""
        while True:
            try:
                await self.ask()
            except (RedisError, FleetError, OSError) as error:
                if self.failures == 0:
                    log.warning("election: cannot ask Redis who leads: %s", one_line(error))
                self.failures += 1
            else:
                self.failures = 0
            try:
                async with asyncio.timeout(self._lease_ms / 4000):
                    await self._woken.wait()
            except TimeoutError:
                pass
            self._woken.clear()

    async def ask(self) -> bool:
        """Become or stay leader, or learn who is; whether we lead. Raises what the connection raises."""
        async with self._asking:
            if self._aside and not self.is_leader and not await self._nobody_else():
                return False
            sent_ms = self._mono_ms()
            answer = await scripts.elect(
                self._redis, self._keys, member=self._member, ttl_ms=self._lease_ms, floor=self._highest
            )
            if answer.leader == self._member:
                self._until_ms = sent_ms + self._lease_ms * 3 / 4
            if (answer.leader, answer.term) != (self.leader, self.term):
                log.info("election: %s leads, term %d", answer.leader, answer.term)
            self.leader, self.term = answer.leader, answer.term
            self._highest = max(self._highest, self.term)
            return self.is_leader

    async def _nobody_else(self) -> bool:
        """Whether the fleet has been without a leader for a whole lease: then one that stands aside is better than none."""
        sent_ms = self._mono_ms()
        held: Any = await self._redis.get(self._keys.leader())
        if held is None:
            self.leader = ""
            if self._vacant_since_ms is None:
                self._vacant_since_ms = sent_ms
            return sent_ms - self._vacant_since_ms >= self._lease_ms
        self._vacant_since_ms = None
        term, _, self.leader = bytes(held).decode().partition(" ")
        self.term = int(term)
        self._highest = max(self._highest, self.term)
        return False

    async def stand_aside(self) -> None:
        """Let another lead at once, and leave it to others from now on. Raises what the connection raises, and stands aside
        all the same."""
        self._aside = True
        await self.resign()

    def stand_again(self) -> None:
        """Undo `stand_aside`."""
        self._aside, self._vacant_since_ms = False, None
        self._woken.set()

    async def resign(self) -> None:
        """Let another lead at once. Does nothing when somebody else does. Raises what the connection raises, and TimeoutError
        where Redis is silent: a stop does not wait for it."""
        self._until_ms = 0.0
        async with asyncio.timeout(RESIGN_S), self._asking:  # an answer under way would make us leader again
            self._until_ms = 0.0
            if self.leader == self._member:
                value = scripts.lease_value(self.term, self._member)
                await scripts.release(self._redis, lease=self._keys.leader(), value=value)
                self.leader = ""
