"""lua/release.lua on a real server."""

from fleet import scripts
from fleet.scripts import Granted
from tests.support.desk import PAIR, Desk

ME = "host:1:a"


async def test_a_released_lease_is_free_at_once(desk: Desk) -> None:
    granted = await desk.granted()
    value = scripts.lease_value(granted.token, ME)
    assert await scripts.release(desk.connection, lease=desk.keys.lease(PAIR), value=value)
    assert isinstance(await desk.acquire(holder="host:2:b"), Granted)


async def test_a_lease_of_somebody_else_is_left_alone(desk: Desk) -> None:
    old = await desk.granted()
    now = await desk.granted()
    value = scripts.lease_value(old.token, ME)
    assert not await scripts.release(desk.connection, lease=desk.keys.lease(PAIR), value=value)
    assert await desk.redis.get(desk.keys.lease(PAIR)) == f"{now.token} {ME}".encode()


async def test_an_expired_lease_is_not_ours(desk: Desk) -> None:
    assert not await scripts.release(desk.connection, lease=desk.keys.lease(PAIR), value="1 a")
