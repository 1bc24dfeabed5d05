"""Who optimises: one lease on the leader key, and a term that only grows.

The leader only improves the plan; without one the owners go on. What a leader writes is fenced by its term, so two members
that both believe to lead for a moment do no harm.
"""

import asyncio
import logging

from redis.exceptions import RedisError

from fleet import scripts
from fleet.clock import MonoMs
from fleet.errors import FleetError
from fleet.keys import Keys
from fleet.logs import one_line

log = logging.getLogger(__name__)


class Election:
    """Tries to lead as long as `run` runs. `term` and `leader` are the last ones heard of (0 and '' before)."""

    name = "election"

    def __init__(self, redis: scripts.Connection, keys: Keys, *, member: str, lease_ms: int, mono_ms: MonoMs) -> None:
        self.term = 0
        self.leader = ""
        self.failures = 0
        self._redis = redis
        self._keys = keys
        self._member = member
        self._lease_ms = lease_ms
        self._mono_ms = mono_ms
        self._until_ms = 0.0

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
            await asyncio.sleep(self._lease_ms / 4000)

    async def ask(self) -> bool:
        """Become or stay leader, or learn who is; whether we lead. Raises what the connection raises."""
        sent_ms = self._mono_ms()
        answer = await scripts.elect(self._redis, self._keys, member=self._member, ttl_ms=self._lease_ms)
        if answer.leader == self._member:
            self._until_ms = sent_ms + self._lease_ms * 3 / 4
        if (answer.leader, answer.term) != (self.leader, self.term):
            log.info("election: %s leads, term %d", answer.leader, answer.term)
        self.leader, self.term = answer.leader, answer.term
        return self.is_leader

    async def resign(self) -> None:
        """Let another lead at once. Does nothing when somebody else does. Raises what the connection raises."""
        self._until_ms = 0.0
        if self.leader == self._member:
            value = scripts.lease_value(self.term, self._member)
            await scripts.release(self._redis, lease=self._keys.leader(), value=value)
            self.leader = ""
