"""lua/elect.lua on a real server."""

from fleet import scripts
from fleet.scripts import Elected
from tests.support.desk import Desk

ME, YOU = "host:1:a", "host:2:b"


async def elect(desk: Desk, member: str = ME, ttl_ms: int = 4000) -> Elected:
    return await scripts.elect(desk.connection, desk.keys, member=member, ttl_ms=ttl_ms)


async def test_the_first_leads_and_keeps_its_term(desk: Desk) -> None:
    first = await elect(desk)
    assert first == Elected(ME, first.term, is_new=True)
    assert await elect(desk) == Elected(ME, first.term)
    assert await elect(desk, YOU) == Elected(ME, first.term)


async def test_staying_leader_extends_the_key(desk: Desk) -> None:
    await elect(desk, ttl_ms=2000)
    await elect(desk, ttl_ms=9000)
    assert await desk.redis.pttl(desk.keys.leader()) > 8000


async def test_the_next_leader_has_a_higher_term_also_against_a_faster_clock(desk: Desk) -> None:
    first = await elect(desk)
    await desk.redis.delete(desk.keys.leader())
    second = await elect(desk, YOU)
    assert second.term > first.term
    ahead = second.term + 3_600_000
    await desk.redis.set(desk.keys.term(), ahead)
    await desk.redis.delete(desk.keys.leader())
    assert (await elect(desk)).term == ahead + 1


async def test_the_term_grows_over_a_flush(desk: Desk) -> None:
    first = await elect(desk)
    await desk.redis.flushdb()
    seconds, _ = await desk.redis.time()
    assert (await elect(desk)).term >= max(first.term, seconds * 1000)


async def test_a_resigned_leader_is_followed_at_once(desk: Desk) -> None:
    first = await elect(desk)
    await scripts.release(desk.connection, lease=desk.keys.leader(), value=scripts.lease_value(first.term, ME))
    assert (await elect(desk, YOU)).leader == YOU


async def test_the_term_is_above_every_term_the_candidate_has_seen(desk: Desk) -> None:
    seen = 4_000_000_000_000  # of a server whose clock was ahead
    assert (await scripts.elect(desk.connection, desk.keys, member=ME, ttl_ms=4000, floor=seen)).term == seen + 1
