"""lua/trim.lua on a real server. Ids are chosen by the tests, so ages need no waiting."""

import asyncio

from fleet import scripts
from fleet.scripts import Trimmed
from tests.support.desk import Desk

LONG_MS = 3_600_000


async def fill(desk: Desk, count: int) -> list[str]:
    """Old entries 1-0, 2-0 …"""
    ids = [f"{number}-0" for number in range(1, count + 1)]
    for entry_id in ids:
        await desk.redis.xadd(desk.keys.deltas(0), {"k": "x"}, id=entry_id)
    return ids


async def trim(desk: Desk, *, retain_ms: int = 1000, maxlen: int = 1000, dead_group_ms: int = LONG_MS) -> Trimmed:
    return await scripts.trim(
        desk.connection, stream=desk.keys.deltas(0), retain_ms=retain_ms, maxlen=maxlen, dead_group_ms=dead_group_ms
    )


async def kept(desk: Desk) -> list[str]:
    return [entry_id for entry_id, _ in await desk.entries()]


async def read(desk: Desk, group: str, count: int) -> None:
    await desk.redis.xreadgroup(group, "worker", {desk.keys.deltas(0): ">"}, count=count)


async def test_a_missing_stream_is_not_made(desk: Desk) -> None:
    assert await trim(desk) == Trimmed(0)
    assert not await desk.redis.exists(desk.keys.deltas(0))


async def test_without_groups_only_age_counts(desk: Desk) -> None:
    await fill(desk, 10)
    young = (await desk.redis.xadd(desk.keys.deltas(0), {"k": "x"})).decode()
    assert await trim(desk) == Trimmed(10)
    assert await kept(desk) == [young]


async def test_nothing_younger_than_the_retention_goes(desk: Desk) -> None:
    ids = [(await desk.redis.xadd(desk.keys.deltas(0), {"k": "x"})).decode() for _ in range(5)]
    assert await trim(desk, retain_ms=60_000) == Trimmed(0)
    assert await kept(desk) == ids


async def test_what_a_live_group_was_not_given_yet_stays(desk: Desk) -> None:
    ids = await fill(desk, 10)
    await desk.redis.xgroup_create(desk.keys.deltas(0), "monitor", id="0")
    await read(desk, "monitor", 4)
    await desk.redis.xack(desk.keys.deltas(0), "monitor", *ids[:4])
    await trim(desk)
    assert await kept(desk) == ids[3:]  # the last delivered entry itself is kept too


async def test_what_a_live_group_has_not_acknowledged_stays(desk: Desk) -> None:
    ids = await fill(desk, 10)
    await desk.redis.xgroup_create(desk.keys.deltas(0), "monitor", id="0")
    await read(desk, "monitor", 10)
    await desk.redis.xack(desk.keys.deltas(0), "monitor", *ids[:2], *ids[5:])
    await trim(desk)
    assert await kept(desk) == ids[2:]


async def test_the_slowest_live_group_decides(desk: Desk) -> None:
    ids = await fill(desk, 10)
    for group, count in (("quick", 10), ("slow", 3)):
        await desk.redis.xgroup_create(desk.keys.deltas(0), group, id="0")
        await read(desk, group, count)
        await desk.redis.xack(desk.keys.deltas(0), group, *ids[:count])
    await trim(desk)
    assert await kept(desk) == ids[2:]


async def test_a_dead_group_and_one_that_nobody_reads_hold_nothing_back(desk: Desk) -> None:
    await fill(desk, 10)
    await desk.redis.xgroup_create(desk.keys.deltas(0), "unread", id="0")
    await desk.redis.xgroup_create(desk.keys.deltas(0), "dead", id="0")
    await read(desk, "dead", 3)
    consumer = (await desk.redis.xinfo_consumers(desk.keys.deltas(0), "dead"))[0]
    while consumer["idle"] < 2:  # milliseconds
        await asyncio.sleep(0.001)
        consumer = (await desk.redis.xinfo_consumers(desk.keys.deltas(0), "dead"))[0]
    assert await trim(desk, dead_group_ms=2) == Trimmed(10)


async def test_the_hard_cap_cuts_what_is_still_needed_and_says_where(desk: Desk) -> None:
    ids = await fill(desk, 10)
    await desk.redis.xgroup_create(desk.keys.deltas(0), "monitor", id="0")
    await read(desk, "monitor", 2)
    assert await trim(desk, maxlen=6) == Trimmed(4, ids[4])
    assert await kept(desk) == ids[4:]
