"""The plan in Redis: the leader writes it fenced by its term, every member reads what concerns itself.

A head says which plan counts; each member's orders are a text of their own. Only texts that changed are written, and the head
comes last, with the revision of every text: a reader that finds another revision keeps what it has until the head follows.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from redis.asyncio import Redis

from fleet import scripts
from fleet.errors import Fenced
from fleet.keys import Keys
from fleet.orders import Edition, MemberPlan, PlanHead, StoredPlan, parse_orders
from fleet.plan import Move, Order

TTL_MS = 600_000  # a plan outlives its leader: heirs act on it alone
MOVES_KEPT = 1000
CALL_BYTES = 200_000  # of one call, so that no script holds Redis up
CALL_KEYS = 200
CALL_LABELS = 1000  # unplaced pairs and moves a call
READ_MEMBERS = 100  # orders a round trip

KEEP, DELETE = "=", "-"  # in place of a text: see lua/write_plan.lua

_MEMBER = "member "  # of fields of the head


class PastMove(msgspec.Struct, frozen=True, kw_only=True):
    """A move of a plan, kept for people. `at_ms` is Unix ms."""

    label: str
    from_: str = msgspec.field(name="from")
    to: str
    why: str
    at_ms: int
    revision: str


async def write_plan(
    redis: Redis, keys: Keys, *, leader: str, edition: Edition, unplaced: Mapping[str, str], moves: Sequence[Move]
) -> bool:
    """Write a plan. `leader`: `term member` of the caller. False when a text that was to be kept was gone: write all of them.

    Raises Fenced when another leads; what was written until then does not count.
    """
    head = edition.stored.head
    parts: dict[str, str] = dict.fromkeys(head.members, KEEP)
    parts |= dict.fromkeys(edition.gone, DELETE) | dict(edition.texts)
    rows = [text for label in sorted(unplaced) for text in (label, unplaced[label])]
    told = [
        msgspec.json.encode(
            PastMove(label=m.label, from_=m.from_, to=m.to, why=m.why, at_ms=head.written_ms, revision=head.revision)
        ).decode()
        for m in moves[-MOVES_KEPT:]
    ]
    none: list[str] = []
    calls = [(chunk, none, none) for chunk in _chunks(parts)]
    calls += [({}, rows[at : at + 2 * CALL_LABELS], none) for at in range(0, len(rows), 2 * CALL_LABELS)]
    calls += [({}, none, told[at : at + CALL_LABELS]) for at in range(0, len(told), CALL_LABELS)]
    absent = await _call(redis, keys, leader, {}, (True, none, none, none))
    for chunk, reasons, lines in calls:
        absent += await _call(redis, keys, leader, chunk, (False, none, reasons, lines))
    await _call(redis, keys, leader, {}, (False, _head_fields(head), none, none))
    return absent == 0


async def refresh_plan(redis: Redis, keys: Keys, *, leader: str, members: Sequence[str]) -> bool:
    """Let the plan live for another TTL_MS; False when some of it is gone: write it anew. Raises Fenced."""
    absent = 0
    for chunk in _chunks(dict.fromkeys(members, KEEP)):
        absent += await _call(redis, keys, leader, chunk, (False, [], [], []))
    return absent == 0


async def _call(redis: Redis, keys: Keys, leader: str, texts: Mapping[str, str], rows: scripts.PlanRows) -> int:
    absent = await scripts.write_plan(
        redis, keys, leader=leader, ttl_ms=TTL_MS, retain=MOVES_KEPT, rows=rows, texts=texts
    )
    if absent is None:
        raise Fenced(f"the plan of {leader!r} was refused: another daemon leads now, and plans by itself")
    return absent


async def read_plan_head(redis: Redis, keys: Keys) -> PlanHead | None:
    """The head of the plan that counts; None when there is none."""
    fields: Any = await redis.hgetall(keys.plan())
    if not fields:
        return None
    texts = {name.decode(): value.decode() for name, value in fields.items()}
    return PlanHead(
        term=int(texts["term"]),
        revision=texts["revision"],
        written_ms=int(texts["written_ms"]),
        why=texts["why"],
        placed=int(texts["placed"]),
        unplaced=int(texts["unplaced"]),
        moved=int(texts["moved"]),
        rebalanced=texts["rebalanced"],
        members={name.removeprefix(_MEMBER): text for name, text in texts.items() if name.startswith(_MEMBER)},
    )


async def read_orders(redis: Redis, keys: Keys, member: str, known: str | None = None) -> MemberPlan | None:
    """What the plan asks of a member. None: nothing else than at the revision `known`, or the plan is just being written.

    `known`: the revision of the last answer, None at first. One small read while nothing changes. A plan that does not name
    the member has no orders for it; no plan at all (flushed, no leader yet) has the revision '' and term 0.
    """
    found_head: Any = await redis.hmget(keys.plan(), ["term", _MEMBER + member])
    term, revision = found_head
    if term is None:
        return None if known == "" else MemberPlan("", 0, {})
    stands = revision.decode() if revision else f"{term.decode()}-none"
    if stands == known:
        return None
    if revision is None:
        return MemberPlan(stands, int(term), {})
    text = await redis.get(keys.orders(member))
    if text is None:
        return None
    found, orders = parse_orders(text)
    return MemberPlan(stands, int(term), orders) if found == stands else None


async def read_revision(redis: Redis, keys: Keys) -> str | None:
    """The revision of the plan that counts; None when there is none."""
    revision: Any = await redis.hget(keys.plan(), "revision")
    return revision.decode() if revision else None


async def read_plan(redis: Redis, keys: Keys) -> StoredPlan | None:
    """The whole plan: for a leader that takes over, and for showing. None when there is none.

    Of a plan whose writer was stopped half way, the orders that the head names count before those it does not.
    """
    head = await read_plan_head(redis, keys)
    if head is None:
        return None
    members = sorted(head.members)
    orders: dict[str, Order] = {}
    others: dict[str, Order] = {}
    told: dict[str, MemberPlan] = {}
    for at in range(0, len(members), READ_MEMBERS):
        asked = members[at : at + READ_MEMBERS]
        for member, text in zip(asked, await redis.mget([keys.orders(name) for name in asked]), strict=True):
            revision, found = parse_orders(text) if text else ("", {})
            counts = revision == head.members[member]
            if counts:
                told[member] = MemberPlan(revision, head.term, found)
            (orders if counts else others).update((label, order) for label, order in found.items() if order)
    return StoredPlan(head, others | orders, told)


async def read_unplaced(redis: Redis, keys: Keys) -> dict[str, str]:
    """Label → why the plan has no place for it."""
    found: Any = await redis.hgetall(keys.unplaced())
    return {label.decode(): why.decode() for label, why in found.items()}


async def read_why_unplaced(redis: Redis, keys: Keys, label: str) -> str | None:
    """Why the plan has no place for one pair; None when it has, or does not know it."""
    why: Any = await redis.hget(keys.unplaced(), label)
    return why.decode() if why else None


async def read_moves(
    redis: Redis, keys: Keys, *, label: str | None = None, revision: str | None = None
) -> list[PastMove]:
    """The last moves, newest first; of one pair, or of one plan."""
    rows: Any = await redis.lrange(keys.moves(), 0, -1)
    moves = [msgspec.json.decode(row, type=PastMove) for row in rows]
    return [
        move
        for move in moves
        if (label is None or move.label == label) and (revision is None or move.revision == revision)
    ]


def _head_fields(head: PlanHead) -> list[str]:
    fields = [text for name, value in head._asdict().items() if name != "members" for text in (name, str(value))]
    for member, revision in head.members.items():
        fields += (_MEMBER + member, revision)
    return fields


def _chunks(parts: Mapping[str, str]) -> Iterator[dict[str, str]]:
    chunk: dict[str, str] = {}
    size = 0
    for member in sorted(parts):
        text = parts[member]
        if chunk and (size + len(text) > CALL_BYTES or len(chunk) >= CALL_KEYS):
            yield chunk
            chunk, size = {}, 0
        chunk[member] = text
        size += len(text)
    if chunk:
        yield chunk
