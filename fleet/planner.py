"""The leader's planner: looks at members, tasks and who serves what, plans anew when that changes, writes the plan.

A part that works only while its daemon leads. What it knows of the plan is what stands in Redis: a new leader reads that
first, and what it writes is refused when another leads meanwhile.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from fleet.clock import MonoMs
from fleet.deafness import Deafness
from fleet.election import Election
from fleet.errors import Fenced, FleetError
from fleet.heartbeat import MemberRecord, read_members
from fleet.keys import Keys
from fleet.logs import one_line
from fleet.orders import Edition, StoredPlan, next_edition
from fleet.plan import PAIRS_A_CONNECTION, Plan, PlanMember, PlanPair, current_loads, make_plan
from fleet.plan_store import TTL_MS, read_plan, read_revision, refresh_plan, write_plan
from fleet.replan import Cause, Replanning, Seen, gains, off_balance, takes_pairs
from fleet.scripts import lease_value
from fleet.serving import Serving, plan_member, plan_pairs, read_serving
from fleet.tasks import TaskSet

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.25
STATES_EVERY_MS = 2000.0  # what members say of their pairs, while nothing else calls for it
REFRESH_EVERY_MS = TTL_MS / 10


class TaskSource(Protocol):
    """Where tasks come from (fleet.tasks.TaskPoller)."""

    @property
    def last(self) -> TaskSet | None:
        """The last good reading; None before the first."""


class Planner:
    """`plans` counts those written, `refused` those that another leader's term kept out."""

    name = "planner"

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        election: Election,
        tasks: TaskSource,
        *,
        mono_ms: MonoMs,
        wall_ms: Callable[[], int],
        slots: Callable[[str], int] = lambda _: PAIRS_A_CONNECTION,
    ) -> None:
        self.plans = 0
        self.refused = 0
        self._redis = redis
        self._keys = keys
        self.election = election
        self._tasks = tasks
        self._mono_ms = mono_ms
        self._wall_ms = wall_ms
        self._slots = slots
        self._woken = asyncio.Event()
        self._asked = False
        self._term = 0  # under which the following is true; 0: we did not lead
        self._replanning = Replanning()
        self._deafness = Deafness()
        self._stored: StoredPlan | None = None
        self._serving = Serving({}, {})
        self._tasks_of: TaskSet | None = None
        self._pairs: list[PlanPair] = []
        self._wanted: dict[str, int] = {}
        self._states_at_ms: float | None = None
        self._refreshed_ms = 0.0

    def rebalance(self) -> None:
        """An operator asks for balance; obeyed if we lead."""
        self._asked = True
        self._woken.set()

    async def run(self) -> None:
        """Look four times a second, for ever. Errors of Redis are told once an outage and survived."""
        failing = False
        while True:
            try:
                await self.look()
                failing = False
            except Fenced as refusal:
                self.refused += 1
                self._term = 0
                log.warning("planner: %s", one_line(refusal))
            except (RedisError, FleetError, OSError, msgspec.DecodeError) as error:
                if not failing:
                    log.warning("planner waits: %s", one_line(error))
                failing = True
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._woken.wait()
            except TimeoutError:
                pass
            self._woken.clear()

    async def look(self) -> Cause | None:
        """One look, and a plan if something calls for one: the cause. Raises what Redis raises; Fenced when another leads."""
        asked, self._asked = self._asked, False
        if not self.election.is_leader:
            self._term = 0  # another's plan counts
            if asked:
                log.warning("asked to rebalance, and not the leader: ask %s", self.election.leader or "the next one")
            return None
        if (tasks := self._tasks.last) is None:
            self._asked = asked
            return None
        if self._term != self.election.term:
            await self._take_over()
        self._replanning.asked |= asked or self._asked
        self._asked = False
        # members before the plan: if Redis is emptied between the two, the plan is missing too, and we wait for them
        records = await read_members(self._redis, self._keys)
        if self._stored and await read_revision(self._redis, self._keys) != self._stored.head.revision:
            log.warning("the plan %s is gone from Redis", self._stored.head.revision)
            self._stored = await read_plan(self._redis, self._keys)
        members = {record.id: plan_member(record) for record in records if "feed" in record.roles}
        now_ms = self._mono_ms()
        if self._states_at_ms is None or now_ms - self._states_at_ms >= STATES_EVERY_MS or tasks is not self._tasks_of:
            await self._read_states(tasks, members)
        members |= await self._deaf(tasks, records, members)
        cause = self._replanning.due(self._seen(members), now_ms)
        if cause is not None:
            await self._read_states(tasks, members)
            await self._plan(cause, self._seen(members))
        elif self._stored and now_ms - self._refreshed_ms >= REFRESH_EVERY_MS:
            await self._refresh(self._stored)
        return cause

    async def _deaf(
        self, tasks: TaskSet, records: Sequence[MemberRecord], members: Mapping[str, PlanMember]
    ) -> dict[str, PlanMember]:
        """The members that do not reach a venue that others reach, so marked."""
        takers = [record for record in records if record.id in members and takes_pairs(members[record.id])]
        if self._deafness.news(takers, self._serving.hearing):
            await self._read_states(tasks, members)  # who heard the venue a moment ago may not hear it now
            self._deafness.bar(self._deafness.news(takers, self._serving.hearing), self._mono_ms())
        barred = self._deafness.barred(takers, self._mono_ms())
        return {name: members[name]._replace(deaf=groups) for name, groups in barred.items()}

    async def _take_over(self) -> None:
        self._stored = await read_plan(self._redis, self._keys)
        self._asked = self._asked or self._replanning.asked
        self._replanning = Replanning()
        self._states_at_ms = None
        self._term = self.election.term

    async def _read_states(self, tasks: TaskSet, members: Mapping[str, PlanMember]) -> None:
        planned = self._stored.orders if self._stored else {}
        self._serving = await read_serving(self._redis, self._keys, sorted(members), planned)
        self._pairs = plan_pairs(tasks, self._serving.rates)
        self._wanted = {pair.label: pair.priority for pair in self._pairs}
        self._tasks_of, self._states_at_ms = tasks, self._mono_ms()

    def _seen(self, members: Mapping[str, PlanMember]) -> Seen:
        named = self._stored.head.members if self._stored else {}
        takers = [name for name, member in members.items() if takes_pairs(member)]
        loads = current_loads(self._pairs, self._serving.owners)
        return Seen(
            members=members,
            wanted=self._wanted,
            planned=self._stored is not None
            and any(name in named or not any(one.plans for one in members.values()) for name in members),
            newcomers=any(name not in named for name in takers),
            idle=not set(takers) <= set(self._serving.owners.values()),
            strays=any(self._is_stray(label, owner, members) for label, owner in self._serving.owners.items()),
            off_balance=off_balance(members.values(), loads),
        )

    def _is_stray(self, label: str, owner: str, members: Mapping[str, PlanMember]) -> bool:
        if self._stored is None or label not in self._stored.orders:
            return False
        if (
            owner not in members or not members[owner].plans
        ):  # gone since its last beat was read, or of an older version
            return False
        told = self._stored.told.get(owner)
        return told is None or label not in told.orders

    async def _plan(self, cause: Cause, seen: Seen) -> None:
        # in a thread: a large plan takes some tenths of a second, and leases want renewal meanwhile
        plan, edition = await asyncio.to_thread(self._make, cause, seen)
        if cause is Cause.UNEVEN and not gains(seen.off_balance, plan):
            log.info("planner: the heaviest load is %.2f of the mean, and no plan gains enough", seen.off_balance)
        else:
            await self._write(cause, plan, edition)
        self._replanning.planned(seen, cause, self._mono_ms())

    def _make(self, cause: Cause, seen: Seen) -> tuple[Plan, Edition]:
        stored, owners = self._stored, self._serving.owners
        members: Sequence[PlanMember] = list(seen.members.values())
        before = stored.orders if stored else {}
        plan = make_plan(members, self._pairs, owners, before, balance=cause.balances, slots=self._slots)
        edition = next_edition(
            plan,
            stored,
            term=self._term,
            now_ms=self._wall_ms(),
            why=cause.value,
            asked=cause is Cause.ASKED,
            followers=[member.id for member in members if member.plans],
            serving={
                label: owner
                for label, owner in owners.items()
                # who drains a pair that has no place elsewhere is not told to let it go: it serves until somebody can
                if label in plan.orders or (label in self._wanted and takes_pairs(seen.members[owner]))
            },
        )
        return plan, edition

    async def _write(self, cause: Cause, plan: Plan, edition: Edition) -> None:
        head, leader = edition.stored.head, lease_value(self._term, self.election.member)
        self._term = 0  # unless all of it gets there: a half written plan must be read again before the next is made
        whole = await write_plan(
            self._redis, self._keys, leader=leader, edition=edition, unplaced=plan.unplaced, moves=plan.moves
        )
        self._term = head.term if whole else 0
        self._stored, self._refreshed_ms = edition.stored, self._mono_ms()
        self.plans += 1
        log.info(
            "plan %s (%s): %d pairs placed, %d without a place, %d moves",
            head.revision, cause.value, head.placed, head.unplaced, head.moved,
        )  # fmt: skip

    async def _refresh(self, stored: StoredPlan) -> None:
        leader = lease_value(self._term, self.election.member)
        self._refreshed_ms = self._mono_ms()
        if not await refresh_plan(self._redis, self._keys, leader=leader, members=list(stored.head.members)):
            log.warning("orders of the plan %s are gone from Redis", stored.head.revision)
            self._term = 0

    async def quiet(self) -> None:
        """Let another lead at once: our pairs leave under a leader that stays."""
        try:
            await self.election.stand_aside()
        except (RedisError, FleetError, OSError) as error:
            log.warning("resigning: %s; the leadership runs out by itself", one_line(error))

    async def stop(self, deadline_mono_ms: float) -> None:
        """Nothing to finish."""
