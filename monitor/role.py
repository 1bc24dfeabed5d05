"""The monitor role of a daemon: it holds lanes of history and works on them.

Every daemon with this role asks for every lane; one gets it, the others wait for its lease to end. A lane has a connection to
ClickHouse of its own, so lanes do not wait for one another. Losing a lane's lease cancels its work: the batch under way is ended
within half a lease; what was read and not acknowledged is pending for the next holder, who asks ClickHouse what of it is stored.

By its own clock a holder has ended three quarters and a half of a lease after its last renewal, so the next one waits one and a
half before it asks. A lease that ran out needs less; one that Redis forgot (flush, failover) was free at once, and nobody can
tell the two apart.
"""

import asyncio
import logging
from typing import NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError

from fleet.clock import MonoMs, WallMs, mono_ms, wall_ms
from fleet.config import Settings
from fleet.errors import ConfigError, FleetError, LeaseLost
from fleet.keys import Keys
from fleet.lease import Lease, LeaseKeeper, lane_target
from fleet.lease_hold import hold
from monitor.clickhouse import ClickHouse
from monitor.collector import Collector, Turn
from monitor.snapshots import SnapshotTaker
from monitor.stats import LaneStats, Outage

GRACE_LEASES = 0.5
WAIT_LEASES = 1.5
LANES = 4  # as many workers as can share the work; each is a few inserts a second

log = logging.getLogger(__name__)


class MonitorStatus(NamedTuple):
    """What `fleet status` shows of this daemon's history; counts are since the daemon started."""

    lanes: tuple[int, ...]  # held by this daemon
    rows: int  # inserted, snapshots included
    backlog: int  # entries in Redis and not in ClickHouse, of the lanes held
    lag_ms: int  # of the lane furthest behind
    last_insert_ms: int  # wall clock, 0: none yet
    undecodable: int
    gaps: int
    outage: str  # why nothing is stored now; empty: all is well


class MonitorRole:
    """A part of the daemon (fleet.supervisor.Part). `leases` is the daemon's keeper, run elsewhere."""

    name = "monitor"

    def __init__(
        self,
        settings: Settings,
        redis: Redis,
        keys: Keys,
        leases: LeaseKeeper,
        *,
        lanes: int = LANES,
        clock_mono_ms: MonoMs = mono_ms,
        clock_wall_ms: WallMs = wall_ms,
    ) -> None:
        """Raises ConfigError when no ClickHouse is configured or its URL cannot be one."""
        if settings.clickhouse_url is None:
            raise ConfigError(
                "FLEET_CLICKHOUSE_URL is not set: the monitor role needs it; or leave `monitor` out of FLEET_ROLES"
            )
        self._url = settings.clickhouse_url.get_secret_value()
        ClickHouse(self._url)  # a wrong URL is told now, not in every lane
        self._snapshot_ms = settings.snapshot_ms
        self._redis = redis
        self._keys = keys
        self._leases = leases
        self._lanes = range(min(lanes, keys.shards))
        self._mono_ms = clock_mono_ms
        self._wall_ms = clock_wall_ms
        self._working: dict[int, Collector] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._past = LaneStats(-1)  # what lanes did that are no longer held
        self._snapshot_rows = 0
        self._quiet = False

    def __repr__(self) -> str:
        return f"<MonitorRole lanes {sorted(self._working)}>"

    async def run(self) -> None:
        """Work on every lane that can be had, until cancelled or stopped. Survives Redis and ClickHouse going away."""
        async with asyncio.TaskGroup() as group:
            for lane in self._lanes:
                self._tasks[lane] = group.create_task(self._lane(lane), name=f"monitor: lane {lane}")

    async def quiet(self) -> None:
        """Ask for no more lanes."""
        self._quiet = True
        for lane, task in self._tasks.items():
            if lane not in self._working:
                task.cancel()

    async def stop(self, deadline_mono_ms: float) -> None:
        """Store what the streams hold now, acknowledge it and give the lanes back. With ClickHouse away entries wait in Redis."""
        await self.quiet()
        for collector in self._working.values():
            collector.finish()
        busy = [task for task in self._tasks.values() if not task.done()]
        if busy:
            await asyncio.wait(busy, timeout=max(0.0, deadline_mono_ms - self._mono_ms()) / 1000)

    @property
    def status(self) -> MonitorStatus:
        """Now."""
        now_ms = self._wall_ms()
        held = [collector.stats for collector in self._working.values()]
        every = [*held, self._past]
        return MonitorStatus(
            lanes=tuple(sorted(self._working)),
            rows=sum(sum(stats.rows.values()) for stats in every) + self._snapshot_rows,
            backlog=sum(stats.backlog for stats in held),
            lag_ms=max((stats.lag_ms(now_ms) for stats in held), default=0),
            last_insert_ms=max((stats.last_insert_ms for stats in every), default=0),
            undecodable=sum(stats.undecodable for stats in every),
            gaps=sum(stats.holes + stats.trimmed for stats in every),
            outage=next((stats.outage for stats in held if stats.outage), ""),
        )

    async def _lane(self, lane: int) -> None:
        outage = Outage(f"history lane {lane}, lease", self._mono_ms)
        while not self._quiet:
            try:
                async with hold(self._leases, lane_target(self._keys, lane)) as lease:
                    outage.over()
                    await self._work(lane, self._turn(lease))
            except LeaseLost as lost:
                log.warning("%s", lost)
            except (RedisError, FleetError, OSError) as error:
                await asyncio.sleep(outage.failed(error))

    def _turn(self, lease: Lease) -> Turn:
        grace_ms = GRACE_LEASES * self._leases.lease_ms
        return Turn(
            is_ours=lambda: self._mono_ms() < lease.deadline_mono_ms + grace_ms,
            grace_ms=grace_ms,
            wait_ms=WAIT_LEASES * self._leases.lease_ms,
        )

    async def _work(self, lane: int, turn: Turn) -> None:
        shards = [shard for shard in range(self._keys.shards) if shard % len(self._lanes) == lane]
        async with ClickHouse(self._url) as clickhouse:
            collector = Collector(
                lane, shards, redis=self._redis, keys=self._keys, clickhouse=clickhouse, turn=turn,
                clock_mono_ms=self._mono_ms,
            )  # fmt: skip
            taker = SnapshotTaker(
                f"lane {lane}", shards, self._snapshot_ms, redis=self._redis, keys=self._keys, clickhouse=clickhouse,
                clock_mono_ms=self._mono_ms, on_taken=self._count_snapshots,
            )  # fmt: skip
            if self._quiet:
                return
            self._working[lane] = collector
            log.info("history lane %d: %d shards", lane, len(shards))
            try:
                async with asyncio.TaskGroup() as group:
                    snapshots = group.create_task(taker.run(), name=f"monitor: snapshots of lane {lane}")
                    await collector.run()
                    snapshots.cancel()
            finally:
                del self._working[lane]
                self._past.add(collector.stats)

    def _count_snapshots(self, rows: int) -> None:
        self._snapshot_rows += rows
