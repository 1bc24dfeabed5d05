"""lua/write_plan.lua on a real server."""

from collections.abc import Mapping, Sequence
from typing import Any

from fleet import scripts
from fleet.plan_store import DELETE, KEEP
from tests.support.desk import Desk

ME, YOU = "host:1:a", "host:2:b"
TTL_MS = 60_000


async def lead(desk: Desk, member: str = ME) -> str:
    """Make `member` the leader; its `term member`."""
    await desk.redis.delete(desk.keys.leader())
    elected = await scripts.elect(desk.connection, desk.keys, member=member, ttl_ms=4000)
    return scripts.lease_value(elected.term, elected.leader)


async def write(
    desk: Desk,
    leader: str,
    *,
    orders: Mapping[str, str] = {},
    first: bool = False,
    head: Sequence[str] = (),
    unplaced: Sequence[str] = (),
    moves: Sequence[str] = (),
    ttl_ms: int = TTL_MS,
    retain: int = 3,
) -> int | None:
    rows = (first, head, unplaced, moves)
    return await scripts.write_plan(
        desk.connection, desk.keys, leader=leader, ttl_ms=ttl_ms, retain=retain, rows=rows, texts=orders
    )


async def everything(desk: Desk) -> list[bytes]:
    keys = (desk.keys.plan(), desk.keys.unplaced(), desk.keys.moves(), desk.keys.orders(ME), desk.keys.orders(YOU))
    return [found for key in keys if (found := await desk.redis.dump(key))]


async def test_the_leader_writes_orders_head_unplaced_and_moves(desk: Desk) -> None:
    leader = await lead(desk)
    await write(
        desk, leader, first=True, orders={ME: "mine", YOU: "yours"}, head=("term", "7", "revision", "r"),
        unplaced=("label", "no place"), moves=("old", "new"),
    )  # fmt: skip
    assert await desk.redis.get(desk.keys.orders(ME)) == b"mine"
    assert await desk.redis.get(desk.keys.orders(YOU)) == b"yours"
    assert await desk.hash(desk.keys.plan()) == {"term": "7", "revision": "r"}
    assert await desk.hash(desk.keys.unplaced()) == {"label": "no place"}
    assert await desk.redis.lrange(desk.keys.moves(), 0, -1) == [b"new", b"old"]


async def test_a_deposed_leader_writes_nothing(desk: Desk) -> None:
    old = await lead(desk, ME)
    new = await lead(desk, YOU)
    await write(desk, new, first=True, orders={ME: "new"}, head=("term", "2"), unplaced=("a", "b"), moves=("m",))
    before = await everything(desk)
    assert len(before) == 4
    refused = await write(desk, old, first=True, orders={ME: "old", YOU: DELETE}, head=("term", "1"), moves=("x",))
    assert refused is None
    assert await everything(desk) == before


async def test_nobody_writes_while_nobody_leads(desk: Desk) -> None:
    leader = await lead(desk)
    await desk.redis.delete(desk.keys.leader())
    assert await write(desk, leader, orders={ME: "x"}, head=("term", "1")) is None
    assert await everything(desk) == []


async def test_an_earlier_term_of_the_same_member_is_refused(desk: Desk) -> None:
    first = await lead(desk)
    assert await write(desk, first, orders={ME: "one"}) == 0
    await lead(desk)
    assert await write(desk, first, orders={ME: "again"}) is None
    assert await desk.redis.get(desk.keys.orders(ME)) == b"one"


async def test_the_head_stays_until_the_last_call_replaces_it(desk: Desk) -> None:
    leader = await lead(desk)
    await write(desk, leader, first=True, orders={ME: "1"}, head=("revision", "1", "extra", "x"))
    await write(desk, leader, first=True, orders={ME: "2"})
    assert await desk.hash(desk.keys.plan()) == {"revision": "1", "extra": "x"}
    await write(desk, leader, head=("revision", "2"))
    assert await desk.hash(desk.keys.plan()) == {"revision": "2"}


async def test_unplaced_of_the_plan_before_go_with_the_first_call_only(desk: Desk) -> None:
    leader = await lead(desk)
    await write(desk, leader, first=True, unplaced=("a", "old"), head=("revision", "1"))
    await write(desk, leader, first=True, unplaced=("b", "new"))
    await write(desk, leader, unplaced=("c", "new"), head=("revision", "2"))
    assert await desk.hash(desk.keys.unplaced()) == {"b": "new", "c": "new"}


async def test_moves_are_kept_up_to_their_number(desk: Desk) -> None:
    leader = await lead(desk)
    await write(desk, leader, moves=("1", "2"))
    await write(desk, leader, moves=("3", "4"))
    assert await desk.redis.lrange(desk.keys.moves(), 0, -1) == [b"4", b"3", b"2"]


async def test_everything_expires_and_each_call_extends_what_it_names(desk: Desk) -> None:
    leader = await lead(desk)
    whole: dict[str, Any] = {"head": ("revision", "1"), "unplaced": ("a", "b"), "moves": ("m",)}
    await write(desk, leader, first=True, orders={ME: "x", YOU: "y"}, ttl_ms=5000, **whole)
    assert await write(desk, leader, orders={ME: KEEP}) == 0
    keys = desk.keys
    for key in (keys.plan(), keys.unplaced(), keys.moves(), keys.orders(ME)):
        assert await desk.redis.pttl(key) > 50_000, key
    assert 0 < await desk.redis.pttl(keys.orders(YOU)) <= 5000
    assert await desk.redis.get(keys.orders(ME)) == b"x"


async def test_what_should_be_kept_and_is_gone_is_counted(desk: Desk) -> None:
    leader = await lead(desk)
    await write(desk, leader, orders={ME: "x"})
    assert await write(desk, leader, orders={ME: KEEP, YOU: KEEP, "c": KEEP}) == 2


async def test_a_member_that_is_gone_loses_its_orders(desk: Desk) -> None:
    leader = await lead(desk)
    await write(desk, leader, orders={ME: "x", YOU: "y"})
    await write(desk, leader, orders={YOU: DELETE})
    assert await desk.redis.exists(desk.keys.orders(YOU)) == 0
    assert await desk.redis.exists(desk.keys.orders(ME)) == 1


async def test_long_lists_pass_in_one_call(desk: Desk) -> None:
    leader = await lead(desk)
    rows = [text for number in range(2500) for text in (f"label{number}", "why")]
    await write(desk, leader, first=True, unplaced=rows, head=rows, moves=[f"m{n}" for n in range(2500)], retain=2000)
    assert await desk.redis.hlen(desk.keys.unplaced()) == 2500
    assert await desk.redis.hlen(desk.keys.plan()) == 2500
    assert await desk.redis.llen(desk.keys.moves()) == 2000
