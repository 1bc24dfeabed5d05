"""What a plan is made of, as read from Redis: who serves what, how many messages come, who takes part."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from redis.asyncio import Redis

from fleet.heartbeat import MemberRecord
from fleet.keys import Keys
from fleet.pair import Pair
from fleet.plan import Order, PlanMember, PlanPair
from fleet.tasks import TaskSet

READ_MEMBERS = 100  # pair states a round trip
LIVE = "live"  # what a member says of a pair whose book is whole


class Serving(NamedTuple):
    """Who serves what: label → owner, label → messages a second, group → members with a live book of it."""

    owners: dict[str, str]
    rates: dict[str, float]
    hearing: Mapping[str, frozenset[str]] = {}


def plan_member(record: MemberRecord) -> PlanMember:
    """A member as the plan sees it."""
    return PlanMember(record.id, record.host, record.capacity, record.quiet, record.plans)


def plan_pairs(tasks: TaskSet, rates: Mapping[str, float]) -> list[PlanPair]:
    """The wanted pairs, with their measured rates."""
    return [
        PlanPair(label, group_of(wanted.pair), rates.get(label), wanted.priority)
        for wanted in tasks.wanted
        for label in [wanted.pair.label]
    ]


def group_of(pair: Pair) -> str:
    """Pairs of one group may share a connection."""
    return f"{pair.venue}:{pair.market}"


def group_of_label(label: str) -> str:
    """The same, of a label."""
    return ":".join(label.split(":", 2)[:2])


async def read_serving(redis: Redis, keys: Keys, members: Sequence[str], planned: Mapping[str, Order]) -> Serving:
    """Who says that it serves what. Of two that say so of a pair, the one that the plan names first counts."""
    owners: dict[str, str] = {}
    rates: dict[str, float] = {}
    hearing: dict[str, set[str]] = {}
    for at in range(0, len(members), READ_MEMBERS):
        asked = members[at : at + READ_MEMBERS]
        for member, text in zip(asked, await redis.mget([keys.pair_state(name) for name in asked]), strict=True):
            said: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any]) if text else {}
            for label, state in said.get("pairs", {}).items():
                if state.get("state") == LIVE:
                    hearing.setdefault(group_of_label(label), set()).add(member)
                if state.get("role", "owner") != "owner":
                    continue
                other = owners.get(label)
                order = planned.get(label, ())
                if other is not None and _rank(order, other) <= _rank(order, member):
                    continue
                owners[label] = member
                rates[label] = float(state.get("rate", 0.0))
    return Serving(owners, rates, {group: frozenset(members) for group, members in hearing.items()})


def _rank(order: Order, member: str) -> int:
    return order.index(member) if member in order else len(order)
