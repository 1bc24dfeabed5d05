"""lua/renew.lua on a real server."""

from fleet import scripts
from tests.support.desk import OTHER, PAIR, Desk

ME = "host:1:a"


async def test_what_is_ours_is_extended_and_what_is_not_is_told_and_left_alone(desk: Desk) -> None:
    mine = await desk.granted(ttl_ms=2000)
    lost = await desk.granted(OTHER, ttl_ms=2000)
    await desk.redis.delete(desk.keys.lease(OTHER))
    theirs = await desk.granted(OTHER, "host:2:b", ttl_ms=2000)

    leases = [desk.keys.lease(OTHER), desk.keys.lease(PAIR)]
    values = [scripts.lease_value(lost.token, ME), scripts.lease_value(mine.token, ME)]
    assert await scripts.renew(desk.connection, leases=leases, values=values, ttl_ms=9000) == [0]
    assert await desk.redis.pttl(desk.keys.lease(PAIR)) > 8000
    assert await desk.redis.pttl(desk.keys.lease(OTHER)) <= 2000
    assert await desk.redis.get(desk.keys.lease(OTHER)) == f"{theirs.token} host:2:b".encode()


async def test_a_missing_lease_is_lost_and_never_made_again(desk: Desk) -> None:
    granted = await desk.granted()
    await desk.redis.delete(desk.keys.lease(PAIR))
    lease, value = desk.keys.lease(PAIR), scripts.lease_value(granted.token, ME)
    assert await scripts.renew(desk.connection, leases=[lease], values=[value], ttl_ms=9000) == [0]
    assert not await desk.redis.exists(lease)


async def test_an_older_token_of_the_same_holder_is_lost(desk: Desk) -> None:
    old = await desk.granted()
    await desk.granted()
    value = scripts.lease_value(old.token, ME)
    assert await scripts.renew(desk.connection, leases=[desk.keys.lease(PAIR)], values=[value], ttl_ms=9000) == [0]


async def test_thousands_of_leases_in_one_call(desk: Desk) -> None:
    leases = [f"lease:{i}:{{00}}" for i in range(2500)]
    await desk.redis.mset(dict.fromkeys(leases[:-1], "1 a"))
    lost = await scripts.renew(desk.connection, leases=leases, values=["1 a"] * 2500, ttl_ms=9000)
    assert lost == [2499]
    assert await desk.redis.pttl(leases[2000]) > 8000
