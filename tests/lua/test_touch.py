"""lua/touch.lua on a real server."""

from fleet import scripts
from fleet.scripts import PublishLine, Touched
from tests.support.desk import BOOK_TTL_MS, OTHER, PAIR, Desk, snapshot


async def live(desk: Desk) -> int:
    granted = await desk.granted()
    await desk.publish(
        PublishLine(
            PAIR.label, PAIR.label, granted.token, granted.n[0], snapshot({"1": "1"}, {"2": "1"}), book=PAIR,
            fields=["status", "live"],
        )
    )  # fmt: skip
    return granted.token


async def test_a_touched_book_lives_on_and_is_checked_now(desk: Desk) -> None:
    token = await live(desk)
    keys = desk.keys
    await desk.redis.hset(keys.book(PAIR), "checked_ms", "1")
    for key in (keys.book(PAIR), keys.bids(PAIR), keys.asks(PAIR)):
        await desk.redis.pexpire(key, 3000)

    assert await scripts.touch(desk.connection, keys, 0, BOOK_TTL_MS, [(PAIR, token)]) == [Touched.OK]
    assert int((await desk.main())["checked_ms"]) >= int((await desk.main())["published_ms"])
    lives = [await desk.redis.pttl(key) for key in (keys.book(PAIR), keys.bids(PAIR), keys.asks(PAIR))]
    assert BOOK_TTL_MS - 1000 < lives[0] <= BOOK_TTL_MS < min(lives[1:])


async def test_a_former_owner_is_fenced_and_refreshes_nothing(desk: Desk) -> None:
    token = await live(desk)
    await desk.granted(OTHER)
    await desk.granted()
    await desk.redis.pexpire(desk.keys.book(PAIR), 3000)

    assert await scripts.touch(desk.connection, desk.keys, 0, BOOK_TTL_MS, [(PAIR, token)]) == [Touched.FENCED]
    assert await desk.redis.pttl(desk.keys.book(PAIR)) <= 3000
    await desk.redis.flushdb()
    assert await scripts.touch(desk.connection, desk.keys, 0, BOOK_TTL_MS, [(PAIR, token)]) == [Touched.FENCED]


async def test_an_expired_book_is_gone_and_not_made(desk: Desk) -> None:
    token = await live(desk)
    other = await desk.granted(OTHER)
    claims = [(OTHER, other.token), (PAIR, token)]
    assert await scripts.touch(desk.connection, desk.keys, 0, BOOK_TTL_MS, claims) == [Touched.GONE, Touched.OK]
    assert await desk.main(OTHER) == {}
