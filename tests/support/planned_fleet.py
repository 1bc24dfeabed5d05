"""Members of a fleet as their beats show them, tasks in memory, planners on them: a real Redis, and a clock moved by hand."""

import msgspec
import redis.asyncio

from fleet import scripts
from fleet.election import Election
from fleet.heartbeat import MemberRecord
from fleet.keys import Keys
from fleet.pair import Pair
from fleet.planner import Planner
from fleet.replan import Cause
from fleet.tasks import Task, TaskSet

LEASE_MS = 4000
BEAT_TTL_MS = 60_000


class Clock:
    """Monotonic milliseconds, moved by hand."""

    now_ms = 1_000_000.0

    def __call__(self) -> float:
        return self.now_ms

    def wall(self) -> int:
        return int(self.now_ms)


class Tasks:
    """What fleet.tasks.TaskPoller is to a planner."""

    last: TaskSet | None = None


class PlannedFleet:
    """`join`, `serve`, `leave` change what Redis shows of members; `planner()` makes one that stands for election."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.redis = client
        self.keys = Keys("test", 2)
        self.clock = Clock()
        self.tasks = Tasks()
        self.elections: dict[str, Election] = {}
        self._records: dict[str, MemberRecord] = {}

    def want(self, count: int, **fields: object) -> list[str]:
        """Ask for so many pairs; their labels."""
        pairs = [Pair("okx", "spot", f"P{number:04d}/USDT") for number in range(count)]
        tasks = [Task(table="MONITORING", pair=pair, **fields) for pair in pairs]  # type: ignore[arg-type]
        self.tasks.last = TaskSet(tuple(tasks))
        return [pair.label for pair in pairs]

    async def join(self, *members: str, **fields: object) -> None:
        """Members beat for the first time, or say something new of themselves."""
        for member in members:
            usual = {
                "id": member,
                "host": member.split(":")[0],
                "pid": 1,
                "roles": ("feed",),
                "capacity": 500,
                "plans": 1,
            }
            known = self._records.get(member)
            values = (msgspec.structs.asdict(known) if known else usual) | fields
            self._records[member] = MemberRecord(**values)  # type: ignore[arg-type]
            await self.serve(member, {})

    async def serve(self, member: str, rates: dict[str, float], role: str = "owner", state: str = "") -> None:
        """The member beats, and says that it serves these pairs (label → messages a second)."""
        pairs = {label: {"rate": rate, "role": role, "state": state} for label, rate in rates.items()}
        await scripts.beat(
            self.redis, self.keys, member=member, ttl_ms=BEAT_TTL_MS,
            record=msgspec.json.encode(self._records[member]).decode(),
            pair_state=msgspec.json.encode({"pairs": pairs}).decode(),
        )  # fmt: skip

    async def leave(self, member: str) -> None:
        """Its record expires."""
        del self._records[member]
        await self.redis.zrem(self.keys.members(), member)
        await self.redis.delete(self.keys.member(member), self.keys.pair_state(member))

    def planner(self, member: str) -> Planner:
        election = Election(self.redis, self.keys, member=member, lease_ms=LEASE_MS, mono_ms=self.clock)
        self.elections[member] = election
        return Planner(self.redis, self.keys, election, self.tasks, mono_ms=self.clock, wall_ms=self.clock.wall)

    async def look(self, planner: Planner, later_ms: float = 0.0) -> Cause | None:
        """Some time passes, the member asks who leads, and its planner looks."""
        self.clock.now_ms += later_ms
        await planner.election.ask()
        return await planner.look()

    async def first_plan(self, planner: Planner) -> None:
        """Look until everybody has settled and the first plan is written."""
        await self.look(planner)
        assert await self.look(planner, 1500.0) in (Cause.FIRST, Cause.MISSING)
