"""lua/stale.lua on a real server."""

from fleet import scripts
from tests.support.desk import OTHER, PAIR, Desk


async def test_only_books_without_a_lease_turn_stale_and_only_once(desk: Desk) -> None:
    await desk.granted()
    for pair in (PAIR, OTHER):
        await desk.redis.hset(desk.keys.book(pair), mapping={"status": "live"})
        await desk.redis.pexpire(desk.keys.book(pair), 5000)

    assert await scripts.mark_stale(desk.connection, desk.keys, [PAIR, OTHER]) == 1
    assert (await desk.main(PAIR))["status"] == "live"
    assert (await desk.main(OTHER))["status"] == "stale"
    assert 0 < await desk.redis.pttl(desk.keys.book(OTHER)) <= 5000
    assert await scripts.mark_stale(desk.connection, desk.keys, [PAIR, OTHER]) == 0


async def test_a_missing_book_is_not_made(desk: Desk) -> None:
    assert await scripts.mark_stale(desk.connection, desk.keys, [PAIR]) == 0
    assert not await desk.redis.exists(desk.keys.book(PAIR))
