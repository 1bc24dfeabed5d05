"""lua/beat.lua on a real server."""

from fleet import scripts
from fleet.scripts import Beaten
from tests.support.desk import Desk

TTL_MS = 5000


async def beat(desk: Desk, member: str = "host:1:a", ttl_ms: int = TTL_MS, come: tuple[str, ...] = ()) -> Beaten:
    return await scripts.beat(
        desk.connection, desk.keys, member=member, record='{"a":1}', pair_state="{}", ttl_ms=ttl_ms, come=come
    )


async def test_a_beat_lists_the_member_and_writes_its_records_with_an_expiry(desk: Desk) -> None:
    assert await beat(desk) == Beaten(True, ())
    assert await beat(desk) == Beaten(False, ())
    assert await desk.redis.zrange(desk.keys.members(), 0, -1) == [b"host:1:a"]
    assert await desk.redis.get(desk.keys.member("host:1:a")) == b'{"a":1}'
    for key in (desk.keys.members(), desk.keys.member("host:1:a"), desk.keys.pair_state("host:1:a")):
        assert TTL_MS - 1000 < await desk.redis.pttl(key) <= TTL_MS


async def test_a_member_unseen_for_its_time_is_taken_off_and_learns_it(desk: Desk) -> None:
    await beat(desk)
    await desk.redis.zadd(desk.keys.members(), {"host:1:a": 1})
    await beat(desk, "host:2:b")
    assert await desk.redis.zrange(desk.keys.members(), 0, -1) == [b"host:2:b"]
    assert (await beat(desk)).vanished


async def test_its_own_long_silence_is_told_too(desk: Desk) -> None:
    await beat(desk)
    await desk.redis.zadd(desk.keys.members(), {"host:1:a": 1})
    assert (await beat(desk)).vanished


async def test_commands_come_in_order_until_they_are_said_to_have_come_and_not_to_others(desk: Desk) -> None:
    await desk.redis.rpush(desk.keys.commands("host:1:a"), *[f"c{i}" for i in range(130)])
    assert (await beat(desk, "host:2:b")).commands == ()
    first = tuple(f"c{i}" for i in range(100))
    assert (await beat(desk)).commands == first
    assert (await beat(desk)).commands == first, "their answer may have been lost"
    rest = tuple(f"c{i}" for i in range(100, 130))
    assert (await beat(desk, come=first)).commands == rest
    assert (await beat(desk, come=rest)).commands == ()
    assert not await desk.redis.exists(desk.keys.commands("host:1:a"))


async def test_what_is_said_to_have_come_twice_takes_no_other_command_with_it(desk: Desk) -> None:
    await desk.redis.rpush(desk.keys.commands("host:1:a"), "drain", "undrain", "stop")
    assert (await beat(desk)).commands == ("drain", "undrain", "stop")
    assert (await beat(desk, come=("drain",))).commands == ("undrain", "stop")
    assert (await beat(desk, come=("drain",))).commands == ("undrain", "stop")
    assert (await beat(desk, come=("undrain", "stop"))).commands == ()
