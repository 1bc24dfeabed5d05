"""What one daemon does for all, whoever leads: cut the streams behind their readers, mirror the members to SQL.

If two do it for a moment, or nobody does for a while, nothing is lost: trimming never passes a living reader group before the
hard cap, and DAEMON_STATE is a mirror.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncEngine

from fleet.daemon_state import DaemonState, write_daemon_states
from fleet.election import Election
from fleet.errors import FleetError
from fleet.heartbeat import MemberRecord, read_members
from fleet.keys import Keys
from fleet.logs import one_line
from fleet.scripts import trim

log = logging.getLogger(__name__)

PERIOD_S = 5.0
RETAIN_MS = 60_000  # readers without a group (traders, `fleet watch`) may fall this far behind before they must rejoin


class Upkeep:
    """A part that works only while its daemon leads. `capped` counts streams cut before their readers had them."""

    name = "upkeep"

    def __init__(
        self, redis: Redis, keys: Keys, election: Election, engine: AsyncEngine | None, *, stream_maxlen: int
    ) -> None:
        self.trimmed = 0
        self.capped = 0
        self._redis = redis
        self._keys = keys
        self._election = election
        self._engine = engine
        self._stream_maxlen = stream_maxlen
        self._failing: set[str] = set()

    async def run(self) -> None:
        """Every few seconds, for ever. Errors are told once an outage and survived."""
        while True:
            await asyncio.sleep(PERIOD_S)
            if self._election.is_leader:
                await self._survive("trimming", self.trim)
                if self._engine is not None:
                    await self._survive("DAEMON_STATE", self.mirror)

    async def trim(self) -> None:
        """Cut every stream. Passing the hard cap is told: entries went that a reader still needed."""
        for shard in range(self._keys.shards):
            for stream in (self._keys.deltas(shard), self._keys.trades(shard)):
                cut = await trim(self._redis, stream=stream, retain_ms=RETAIN_MS, maxlen=self._stream_maxlen)
                self.trimmed += cut.removed
                if cut.capped_at is not None:
                    self.capped += 1
                    log.error(
                        "%s: longer than FLEET_STREAM_MAXLEN=%d, cut up to %s although a reader had not acknowledged it",
                        stream,
                        self._stream_maxlen,
                        cut.capped_at,
                    )

    async def mirror(self) -> None:
        """Write the living members to DAEMON_STATE; whoever is gone becomes `stopped`."""
        if self._engine is None:
            return
        members = await read_members(self._redis, self._keys)
        seconds, _ = await self._redis.time()
        await write_daemon_states(self._engine, [_state(member, int(seconds) * 1000) for member in members])

    async def _survive(self, what: str, act: Callable[[], Awaitable[None]]) -> None:
        try:
            await act()
        except (RedisError, FleetError, OSError) as error:
            if what not in self._failing:
                log.warning("%s: %s", what, one_line(error))
            self._failing.add(what)
        else:
            self._failing.discard(what)

    async def quiet(self) -> None:
        """Nothing to refuse."""

    async def stop(self, deadline_mono_ms: float) -> None:
        """Nothing to finish."""


def _state(member: MemberRecord, now_ms: int) -> DaemonState:
    return DaemonState(
        daemon_id=member.id,
        roles=member.roles,
        last_heartbeat_ms=now_ms,
        status="stopping" if member.quiet else "running",
        config={
            "host": member.host,
            "pid": member.pid,
            "capacity": member.capacity,
            "pairs": member.pairs,
            "version": member.version,
            "egress": member.egress,
        },
    )
