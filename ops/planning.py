"""A plan as the leader would make it now, for commands: made from what stands in Redis and SQL, written nowhere."""

from typing import NamedTuple

from redis.asyncio import Redis

from feeds.pool import PAIRS_PER_CONNECTION
from feeds.venues import VENUES
from fleet.deafness import Deafness
from fleet.heartbeat import MemberRecord, read_members
from fleet.keys import Keys
from fleet.orders import StoredPlan
from fleet.plan import Plan, PlanPair, current_loads, make_plan
from fleet.plan_store import read_plan
from fleet.replan import takes_pairs
from fleet.serving import Serving, plan_member, plan_pairs, read_serving
from fleet.tasks import TaskSet


class Circumstances(NamedTuple):
    """What a plan is made of. `members`: those that feed."""

    members: tuple[MemberRecord, ...]
    pairs: tuple[PlanPair, ...]
    serving: Serving
    stored: StoredPlan | None

    @property
    def loads(self) -> dict[str, float]:
        """What each member carries now, as Plan.loads."""
        return current_loads(self.pairs, self.serving.owners)

    def plan(self) -> Plan:
        """The balanced plan for this."""
        deafness, takers = Deafness(), [one for one in self.members if takes_pairs(plan_member(one))]
        deafness.bar(deafness.news(takers, self.serving.hearing), 0.0)
        deaf = deafness.barred(takers, 0.0)
        return make_plan(
            [plan_member(member)._replace(deaf=deaf.get(member.id, ())) for member in self.members],
            self.pairs,
            self.serving.owners,
            self.stored.orders if self.stored else {},
            slots=pairs_a_connection,
        )


def pairs_a_connection(group: str) -> int:
    """How many pairs of a `venue:market` share a connection; ours where the venue has no limit or is not known."""
    venue, _, market = group.partition(":")
    known = VENUES.get((venue, market))
    return PAIRS_PER_CONNECTION if known is None else min(PAIRS_PER_CONNECTION, known.limits.pairs_per_connection)


async def read_circumstances(redis: Redis, keys: Keys, tasks: TaskSet) -> Circumstances:
    """Read them. Errors of redis-py pass through."""
    members = tuple(record for record in await read_members(redis, keys) if "feed" in record.roles)
    stored = await read_plan(redis, keys)
    serving = await read_serving(redis, keys, [member.id for member in members], stored.orders if stored else {})
    return Circumstances(members, tuple(plan_pairs(tasks, serving.rates)), serving, stored)
