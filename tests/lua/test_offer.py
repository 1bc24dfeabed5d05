"""lua/offer.lua on a real server."""

from fleet import scripts
from fleet.pair import Pair
from fleet.scripts import Granted, Offer, Reserved, Taken
from tests.support.desk import OTHER, PAIR, Desk

ME, HEIR, STRANGER = "host:1:a", "host:2:b", "host:3:c"
OFFER_MS = 5_000


def consent(desk: Desk, granted: Granted, heir: str = HEIR, *, pair: Pair = PAIR) -> Offer:
    return Offer(desk.keys.lease(pair), desk.keys.offer(pair), scripts.lease_value(granted.token, ME), heir)


async def offer(desk: Desk, *offers: Offer) -> list[int]:
    return await scripts.offer(desk.connection, offers=offers, ttl_ms=OFFER_MS)


async def test_the_member_named_may_take_a_held_lease_and_nobody_else(desk: Desk) -> None:
    mine = await desk.granted()
    assert await offer(desk, consent(desk, mine)) == []
    assert OFFER_MS - 1000 < await desk.redis.pttl(desk.keys.offer(PAIR)) <= OFFER_MS
    assert await desk.acquire(holder=STRANGER) == Taken(ME)
    assert (await desk.granted(holder=HEIR)).token > mine.token


async def test_an_offer_changes_neither_the_lease_nor_the_cell(desk: Desk) -> None:
    mine = await desk.granted()
    cell = await desk.cell()
    await offer(desk, consent(desk, mine))
    assert await desk.redis.get(desk.keys.lease(PAIR)) == f"{mine.token} {ME}".encode()
    assert await desk.cell() == cell


async def test_a_free_lease_waits_for_the_member_named_until_the_offer_ends(desk: Desk) -> None:
    await offer(desk, consent(desk, await desk.granted()))
    await desk.redis.delete(desk.keys.lease(PAIR))
    assert await desk.acquire(holder=STRANGER) == Reserved(HEIR)
    await desk.redis.delete(desk.keys.offer(PAIR))
    await desk.granted(holder=STRANGER)


async def test_a_later_offer_names_another_member(desk: Desk) -> None:
    mine = await desk.granted()
    await offer(desk, consent(desk, mine))
    await offer(desk, consent(desk, mine, STRANGER))
    assert await desk.acquire(holder=HEIR) == Taken(ME)
    await desk.granted(holder=STRANGER)


async def test_an_offer_to_nobody_withdraws_it(desk: Desk) -> None:
    mine = await desk.granted()
    await offer(desk, consent(desk, mine))
    assert await offer(desk, consent(desk, mine, "")) == []
    assert not await desk.redis.exists(desk.keys.offer(PAIR))
    assert await desk.acquire(holder=HEIR) == Taken(ME)


async def test_a_former_token_can_neither_offer_nor_withdraw(desk: Desk) -> None:
    old = await desk.granted()
    now = await desk.granted()
    assert await offer(desk, consent(desk, old)) == [0]
    assert not await desk.redis.exists(desk.keys.offer(PAIR))

    await offer(desk, consent(desk, now))
    assert await offer(desk, consent(desk, old, "")) == [0]
    assert await desk.redis.get(desk.keys.offer(PAIR)) == HEIR.encode()


async def test_an_expired_lease_cannot_be_offered(desk: Desk) -> None:
    mine = await desk.granted()
    await desk.redis.delete(desk.keys.lease(PAIR))
    assert await offer(desk, consent(desk, mine)) == [0]
    assert not await desk.redis.exists(desk.keys.offer(PAIR))


async def test_one_lost_lease_among_many_is_told_and_the_others_are_offered(desk: Desk) -> None:
    third = Pair("bybit", "spot", "XRP/USDT")
    granted = {pair: await desk.granted(pair) for pair in (PAIR, OTHER, third)}
    await desk.redis.delete(desk.keys.lease(OTHER))

    assert await offer(desk, *(consent(desk, granted[pair], pair=pair) for pair in granted)) == [1]
    assert [await desk.redis.exists(desk.keys.offer(pair)) for pair in granted] == [1, 0, 1]


async def test_thousands_of_offers_in_one_call(desk: Desk) -> None:
    pipe = desk.redis.pipeline()
    for i in range(2500):
        if i != 7:
            pipe.set(f"lease:{i}:{{00}}", "1 a", px=60_000)
    await pipe.execute()
    offers = [Offer(f"lease:{i}:{{00}}", f"offer:{i}:{{00}}", "1 a", HEIR) for i in range(2500)]
    assert await offer(desk, *offers) == [7]
    assert await desk.redis.get("offer:2499:{00}") == HEIR.encode()


async def test_no_offers_ask_nothing_of_the_server(desk: Desk) -> None:
    await desk.connection.close()
    assert await offer(desk) == []
