"""The composition root of a daemon: one process, coordination and any of the roles feed, monitor, trader."""

import asyncio
import logging
import os
import random
import socket
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from books.wire import WIRE_VERSION
from feeds.ownership import Ownership
from feeds.role import FeedRole
from fleet import VERSION, clock
from fleet.config import Role, Settings
from fleet.connect_pace import Paces
from fleet.election import Election
from fleet.errors import ConfigError, FleetError
from fleet.evidence import open_evidence
from fleet.heartbeat import Heartbeat, MemberRecord, make_identity, read_members
from fleet.kept_connected import kept_connected
from fleet.keys import Keys
from fleet.layout import join_layout
from fleet.lease import Lease, LeaseKeeper, LossReason
from fleet.logs import one_line
from fleet.ordered_cluster import Ordered, ordered
from fleet.plan import PLAN_VERSION
from fleet.plan_store import read_orders
from fleet.planner import Planner
from fleet.redis_connection import connect, own_paces
from fleet.redis_url import is_cluster
from fleet.sql import engine as sql_engine
from fleet.supervisor import Part, Supervisor
from fleet.tasks import TaskPoller, TaskStore
from fleet.upkeep import Upkeep
from monitor.role import MonitorRole
from ops.planning import pairs_a_connection
from ops.prerequisites import prove
from trader.role import TraderRole

log = logging.getLogger(__name__)

# Connections of a daemon to one server. What reads the books (it waits there for news) and stores them has its own, so that
# it never keeps leases and plans waiting. Publishing and renewing take one each.
COMMANDS, READS = 4, 4
MOST_CONNECTIONS = COMMANDS + READS + 2
RENEWALS_OF_A_NODE = 8  # on a Cluster, where one connection to all would let a node that hangs delay the others
MEMBERS_EVERY_S = 0.5
PLAN_EVERY_S = 0.25
FAREWELL_S = 1.0  # a stop waits no longer for a Redis that is silent


class Coordination:
    """The part every daemon has: leases, heartbeat, election, tasks, and who else is there."""

    name = "coordination"

    def __init__(
        self, settings: Settings, redis: Redis, keys: Keys, poller: TaskPoller, roles: Sequence[Role], paces: Paces
    ) -> None:
        self.identity = make_identity(socket.gethostname(), os.getpid(), random.Random())
        self.leases = LeaseKeeper(
            redis,
            holder=self.identity,
            lease_ms=settings.lease_ms,
            mono_ms=clock.mono_ms,
            on_lost=self._on_lease_lost,
            renewals=lambda: _renewals(settings, paces),
        )
        self.election = Election(
            redis, keys, member=self.identity, lease_ms=settings.lease_ms, mono_ms=clock.mono_ms
        )  # fmt: skip
        self.heartbeat = Heartbeat(
            redis,
            keys,
            record=self._record,
            pair_states=self._pair_states,
            on_command=self._on_command,
            on_vanished=self._on_vanished,
        )
        self.feed: FeedRole | None = None
        self.supervisor: Supervisor | None = None
        self.planner: Planner | None = None
        self._settings = settings
        self._redis = redis
        self._keys = keys
        self._poller = poller
        self._roles = tuple(roles)
        self._started_ms = clock.wall_ms()
        self._version = VERSION
        self._members: list[MemberRecord] = []
        self._quiet = False
        self._draining = False
        self._commanded = asyncio.Queue[str]()
        self._rejoin = asyncio.Event()

    def feeders(self) -> list[str]:
        """Members that take pairs now, ourselves too once our beat was read back."""
        return [member.id for member in self._members if "feed" in member.roles and not member.quiet]

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.heartbeat.run(), name="heartbeat")
            group.create_task(self.leases.run(), name="leases")
            group.create_task(self.election.run(), name="election")
            group.create_task(self._poller.run(), name="tasks")
            group.create_task(self._watch_members(), name="members")
            group.create_task(self._obey(), name="commands")
            if self.feed is not None:
                group.create_task(self._follow_plan(self.feed.ownership), name="plan")

    async def _watch_members(self) -> None:
        failing = False
        while True:
            try:
                if self._rejoin.is_set():
                    await join_layout(self._redis, self._keys, WIRE_VERSION)
                    self._rejoin.clear()
                self._members = await read_members(self._redis, self._keys)
                if self.feed is not None:
                    self.feed.ears.ask(
                        {group for one in self._members if one.id != self.identity for group in one.deaf}
                    )
                failing = False
            except (RedisError, OSError) as error:
                if not failing:
                    log.warning("members: %s; the last known stay", one_line(error))
                failing = True
            await asyncio.sleep(MEMBERS_EVERY_S)

    async def _follow_plan(self, ownership: Ownership) -> None:
        """Tell the feed role what the leader plans for us. A plan that is gone (Redis was emptied) is followed until the next."""
        known: str | None = None
        while True:
            try:
                found = await read_orders(self._redis, self._keys, self.identity, known)
            except (RedisError, OSError, msgspec.DecodeError) as error:
                log.debug("plan: %s", one_line(error))  # the members' loop tells of outages
            else:
                known = known if found is None else found.revision
                if found is not None and found.revision:
                    ownership.plan(found.orders)
            await asyncio.sleep(PLAN_EVERY_S)

    def _record(self) -> MemberRecord:
        feed = self.feed
        return MemberRecord(
            id=self.identity,
            host=socket.gethostname(),
            pid=os.getpid(),
            roles=self._roles,
            capacity=self._settings.capacity if feed else 0,
            pairs=len(feed.ownership.owned) if feed else 0,
            rate=round(feed.rate, 1) if feed else 0.0,
            loop_stall_ms=round(self.leases.take_stall_ms(), 1),
            lag_ms=round(feed.publisher.take_worst_lag_ms(), 1) if feed else 0.0,
            version=self._version,
            started_ms=self._started_ms,
            egress=self._settings.egress,
            quiet=self._quiet or self._draining,
            plans=PLAN_VERSION,
            standby=self._settings.standby,
            deaf=feed.ears.deaf(clock.mono_ms()) if feed else {},
            reached=feed.ears.reached(clock.mono_ms()) if feed else (),
        )

    def _pair_states(self) -> Mapping[str, Any]:
        return {"pairs": self.feed.pair_states() if self.feed else {}}

    def _on_lease_lost(self, lease: Lease, reason: LossReason) -> None:
        if self.feed is not None:
            self.feed.ownership.on_lease_lost(lease, reason)

    def _on_command(self, command: str) -> None:
        if command == "stop" and self.supervisor is not None:
            self.supervisor.request_stop("asked to by a command")
        elif command == "rebalance" and self.planner is not None:
            self.planner.rebalance()
        elif command in {"drain", "undrain"}:
            self._commanded.put_nowait(command)
        else:
            log.warning("command %r is not known to this version", command)

    async def _obey(self) -> None:
        """Draining: take no more work and say so; the pairs leave by planned moves, the process stays."""
        while True:
            self._draining = await self._commanded.get() == "drain"
            log.info("draining: our pairs go to others" if self._draining else "taking work again")
            if self.feed is not None:
                self.feed.ownership.claiming = not (self._draining or self._quiet)
                self.feed.ownership.woken.set()
            try:
                if not self._draining:
                    self.election.stand_again()
                else:
                    await self.election.stand_aside()
            except (RedisError, FleetError, OSError) as error:
                log.warning("resigning: %s; the leadership runs out by itself", one_line(error))

    def _on_vanished(self) -> None:
        self._rejoin.set()

    async def quiet(self) -> None:
        """Say so at once, so that nobody counts on us and our heirs get ready."""
        self._quiet = True
        try:
            async with asyncio.timeout(FAREWELL_S):
                await self.heartbeat.beat()
        except (RedisError, FleetError, OSError) as error:
            log.warning("quiet: %s; the next beat says so", one_line(error))

    async def stop(self, deadline_mono_ms: float) -> None:
        """Let another lead, and take our record out."""
        try:
            await self.election.resign()
            async with asyncio.timeout(FAREWELL_S):
                await self.heartbeat.leave()
        except (RedisError, FleetError, OSError) as error:
            log.warning("leaving: %s; our record and leadership run out by themselves", one_line(error))


def _renewals(settings: Settings, paces: Paces) -> AbstractAsyncContextManager[Redis | Ordered]:
    url = settings.redis_url.get_secret_value()
    if is_cluster(url):
        return connect(settings, name="fleet-leases", most=RENEWALS_OF_A_NODE, paces=paces)
    return kept_connected(ordered(url, name="fleet-leases"), paces.of(url), "renewing leases")


def chosen_roles(settings: Settings) -> tuple[Role, ...]:
    """The roles asked for; where none were asked for, those whose servers are configured. Raises ConfigError."""
    if settings.database_url is None:
        raise ConfigError(
            "FLEET_DATABASE_URL is not set: tasks come from there; for one host, sqlite:///fleet.db is enough"
        )
    if "roles" in settings.model_fields_set or settings.clickhouse_url is not None:
        return settings.roles
    log.warning("FLEET_CLICKHOUSE_URL is not set: no history is kept (the monitor role is left out)")
    return tuple(role for role in settings.roles if role != "monitor")


async def daemon(settings: Settings) -> int:
    """Run one daemon until SIGTERM; the exit code. Raises FleetError for what keeps it from starting."""
    roles = chosen_roles(settings)
    for name in settings.without_effect():
        log.warning("%s is set, and has no effect in this version", name)
    async with AsyncExitStack() as stack:
        paces = own_paces()
        redis = connect(settings, name="fleet", most=COMMANDS, paces=paces)
        stack.push_async_callback(redis.aclose)
        readers = connect(settings, name="fleet-readers", most=READS, paces=paces)
        stack.push_async_callback(readers.aclose)
        engine = sql_engine(settings)
        stack.push_async_callback(engine.dispose)
        keys, store = Keys(settings.namespace, settings.shards), TaskStore(engine)
        await prove(settings, redis, store)
        poller = TaskPoller(store, settings.tasks_poll_ms)
        coordination = Coordination(settings, redis, keys, poller, roles, paces)
        evidence = open_evidence(
            settings.evidence_dir, coordination.identity, wall_ms=clock.wall_ms, mono_ms=clock.mono_ms
        )
        stack.callback(evidence.close)
        parts: list[Part] = []
        if "feed" in roles:
            coordination.feed = FeedRole(
                settings,
                redis,
                keys,
                coordination.leases,
                poller,
                members=coordination.feeders,
                rng=random.Random(),
                evidence=evidence,
                paces=paces,
            )
            parts.append(coordination.feed)
        if "trader" in roles:
            parts.append(TraderRole(settings, readers, keys, engine, poller, member=coordination.identity))
        if "monitor" in roles:
            parts.append(MonitorRole(settings, readers, keys, coordination.leases))
        coordination.planner = Planner(
            redis,
            keys,
            coordination.election,
            poller,
            mono_ms=clock.mono_ms,
            wall_ms=clock.wall_ms,
            slots=pairs_a_connection,
        )
        parts.append(coordination.planner)
        parts.append(Upkeep(redis, keys, coordination.election, engine, stream_maxlen=settings.stream_maxlen))
        parts.append(coordination)
        supervisor = coordination.supervisor = Supervisor(parts, mono_ms=clock.mono_ms)
        log.info("daemon %s: %s", coordination.identity, ", ".join(roles))
        return await supervisor.run()
