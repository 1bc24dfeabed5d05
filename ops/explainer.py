"""Redis and SQL → an Explanation of one pair. Nothing is written."""

from collections.abc import Sequence
from typing import Any

import msgspec
from redis.asyncio import Redis

from books.events import Kind, Reset
from books.store import load_book
from books.wire import decode
from fleet.heartbeat import MemberRecord
from fleet.keys import Keys
from fleet.pair import Pair
from fleet.plan_store import read_moves, read_why_unplaced
from fleet.replan import takes_pairs
from fleet.serving import group_of_label, plan_member
from fleet.tasks import TaskSet
from ops.explanation import Candidate, Explanation, PlannedMove, SeenReset, WantedBy
from ops.planning import Circumstances, read_circumstances


class _Said(msgspec.Struct, frozen=True):
    """What a member says of its pairs."""

    pairs: dict[str, dict[str, Any]] = {}


ENTRIES = 500  # of the shard's stream, newest first, looked through for resets
MOVES_SHOWN = 5


async def explain_pair(redis: Redis, keys: Keys, tasks: TaskSet, pair: Pair) -> Explanation:
    """Everything about one pair. `tasks` with those that are off. Errors of redis-py pass through."""
    found = await read_circumstances(redis, keys, tasks)
    label = pair.label
    order = found.stored.orders.get(label, ()) if found.stored else ()
    pipe = redis.pipeline(transaction=False)
    for key in (keys.lease(pair), keys.offer(pair)):
        pipe.get(key)
        pipe.pttl(key)
    pipe.get(keys.leader())
    lease, lease_ms, offer, offer_ms, leader = await pipe.execute()
    token, _, owner = lease.decode().partition(" ") if lease else ("", "", "")
    named = [*order, *([owner] if owner and owner not in order else [])]
    book = await load_book(redis, keys, pair)
    head = found.stored.head if found.stored else None
    return Explanation(
        **pair._asdict(),
        now_ms=book.now_ms,
        tasks=tuple(
            WantedBy(
                table=task.table, id=task.id, depth=task.depth, priority=task.priority, enabled=task.enabled,
                strategy=task.strategy,
            )
            for task in tasks.tasks
            if task.pair == pair
        ),
        owner=owner or None,
        epoch=int(token) if token else None,
        lease_ms=max(0, lease_ms) if lease else None,
        offer=offer.decode() if offer else None,
        offer_ms=max(0, offer_ms) if offer else None,
        plan=head.revision if head else None,
        term=head.term if head else None,
        plan_ms=head.written_ms if head else None,
        plan_why=head.why if head else None,
        leader=leader.decode().partition(" ")[2] if leader else None,
        order=order,
        unplaced=await read_why_unplaced(redis, keys, label),
        candidates=tuple(await _candidates(redis, keys, found, label, named, order)),
        status=book.status,
        age_ms=book.age_ms,
        n=book.n or None,
        moves=tuple(
            PlannedMove(at_ms=move.at_ms, from_=move.from_, to=move.to, why=move.why, revision=move.revision)
            for move in (await read_moves(redis, keys, label=label))[:MOVES_SHOWN]
        ),
        resets=tuple(await _resets(redis, keys, pair)),
    )  # fmt: skip


async def _candidates(
    redis: Redis, keys: Keys, found: Circumstances, label: str, named: Sequence[str], order: Sequence[str]
) -> list[Candidate]:
    """Those that the order names, in its order, then who else feeds, the least loaded first."""
    loads, records = found.loads, {record.id: record for record in found.members}
    others = sorted(set(records).difference(named), key=lambda name: (loads.get(name, 0.0), name))
    shown = []
    names = [*named, *others]
    texts: Any = await redis.mget([keys.pair_state(name) for name in names]) if names else []
    for name, text in zip(names, texts, strict=True):
        record = records.get(name)
        said = msgspec.json.decode(text, type=_Said).pairs.get(label, {}) if text else {}
        shown.append(
            Candidate(
                id=name,
                rank=order.index(name) if name in order else None,
                condition=_condition(record),
                pairs=record.pairs if record else 0,
                capacity=record.capacity if record else 0,
                load=round(loads.get(name, 0.0), 2),
                role=said.get("role", "owner") if said else "",
                state=said.get("state") or "",
                reason=said.get("reason"),
                rate=said.get("rate", 0.0),
                gaps=said.get("gaps", 0),
                resyncs=said.get("resyncs", 0),
                seams=said.get("seams"),
                deaf_ms=record.deaf.get(group_of_label(label)) if record else None,
            )
        )
    return shown


def _condition(record: MemberRecord | None) -> str:
    if record is None:
        return "gone"
    if record.quiet:
        return "quiet"
    if not record.plans:
        return "of a version without plans"
    if not takes_pairs(plan_member(record)):
        return "without capacity"
    return "full" if record.pairs >= record.capacity else "takes pairs"


async def _resets(redis: Redis, keys: Keys, pair: Pair) -> list[SeenReset]:
    label, kind = pair.label.encode(), Kind.RESET.value.encode()
    entries: Any = await redis.xrevrange(keys.deltas(keys.shard(pair)), count=ENTRIES)
    resets = []
    for entry_id, fields in entries:
        if fields.get(b"k") == label and fields.get(b"t") == kind:
            event = decode(entry_id, fields)
            if isinstance(event, Reset):
                at_ms = int(entry_id.decode().partition("-")[0])
                resets.append(SeenReset(at_ms=at_ms, reason=event.reason.value, epoch=int(fields[b"e"])))
    return resets
