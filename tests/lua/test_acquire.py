"""lua/acquire.lua on a real server."""

from fleet.scripts import Cell, Granted, Reserved, Taken
from tests.support.desk import LEASE_MS, PAIR, Desk

ME, OTHER_MEMBER = "host:1:a", "host:2:b"


async def now_ms(desk: Desk) -> int:
    seconds, microseconds = await desk.redis.time()
    return seconds * 1000 + microseconds // 1000


async def test_the_first_grant_starts_n_at_the_token_and_the_token_is_the_time(desk: Desk) -> None:
    before = await now_ms(desk)
    granted = await desk.granted()

    assert before <= granted.token <= await now_ms(desk)
    assert granted == Granted(granted.token, (None,), (granted.token,))
    assert await desk.cell() == f"{granted.token} {granted.token} - 0-0"
    assert await desk.redis.get(desk.keys.lease(PAIR)) == f"{granted.token} {ME}".encode()
    assert LEASE_MS - 1000 < await desk.redis.pttl(desk.keys.lease(PAIR)) <= LEASE_MS


async def test_the_same_holder_gets_a_new_token_and_n_goes_on(desk: Desk) -> None:
    first = await desk.granted()
    second = await desk.granted()

    assert second.token > first.token
    assert second.n == first.n
    assert second.cells == (Cell(first.token, first.n[0], "-", "0-0"),)


async def test_a_held_lease_is_refused_with_its_holder(desk: Desk) -> None:
    await desk.granted()
    before = await desk.cell()
    assert await desk.acquire(holder=OTHER_MEMBER) == Taken(ME)
    assert await desk.cell() == before


async def test_after_expiry_anybody_may_take_it(desk: Desk) -> None:
    first = await desk.granted()
    await desk.redis.delete(desk.keys.lease(PAIR))
    second = await desk.granted(holder=OTHER_MEMBER)
    assert second.token > first.token


async def test_the_one_it_is_offered_to_takes_a_held_lease_and_uses_the_offer_up(desk: Desk) -> None:
    await desk.granted()
    await desk.redis.set(desk.keys.offer(PAIR), OTHER_MEMBER, px=5000)

    assert await desk.acquire(holder="host:3:c") == Taken(ME)
    await desk.granted(holder=OTHER_MEMBER)
    assert not await desk.redis.exists(desk.keys.offer(PAIR))
    assert await desk.acquire() == Taken(OTHER_MEMBER)


async def test_a_free_lease_offered_to_another_is_reserved(desk: Desk) -> None:
    await desk.redis.set(desk.keys.offer(PAIR), OTHER_MEMBER, px=5000)
    assert await desk.acquire() == Reserved(OTHER_MEMBER)
    assert await desk.cell() == ""
    await desk.granted(holder=OTHER_MEMBER)


async def test_the_holder_who_asks_again_withdraws_his_offer(desk: Desk) -> None:
    await desk.granted()
    await desk.redis.set(desk.keys.offer(PAIR), OTHER_MEMBER, px=5000)
    await desk.granted()
    assert await desk.acquire(holder=OTHER_MEMBER) == Taken(ME)


async def test_the_token_is_above_the_floor_and_above_a_cell_from_a_faster_clock(desk: Desk) -> None:
    ahead = await now_ms(desk) + 3_600_000
    assert (await desk.granted(floor=ahead)).token == ahead + 1
    assert (await desk.granted()).token == ahead + 2


async def test_all_fields_get_the_same_token_above_all_their_cells(desk: Desk) -> None:
    field = f"{PAIR.label}#trades"
    ahead = await now_ms(desk) + 3_600_000
    await desk.redis.hset(desk.keys.tail(0), field, f"{ahead} 77 - 5-1")

    granted = await desk.granted(more=(field,))
    assert granted.token == ahead + 1
    assert granted.cells == (None, Cell(ahead, 77, "-", "5-1"))
    assert granted.n == (granted.token, 77)
    assert await desk.cell(field) == f"{granted.token} 77 - 5-1"


async def test_a_venue_sequence_in_the_cell_stays_text(desk: Desk) -> None:
    await desk.redis.hset(desk.keys.tail(0), PAIR.label, "5 6 9223372036854775807 7-8")
    granted = await desk.granted()
    assert await desk.cell() == f"{granted.token} 6 9223372036854775807 7-8"
