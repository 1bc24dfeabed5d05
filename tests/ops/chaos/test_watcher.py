"""What the watcher sees of leases, leaders and books, on a real server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import redis.asyncio

from fleet import clock
from fleet.keys import Keys
from fleet.pair import Pair
from ops.chaos.watcher import Standing, Watcher
from tests.support.clients import redis_client

BTC, ETH = Pair("binance", "spot", "BTC/USDT"), Pair("okx", "futures", "ETH/USDT")
Wait = Callable[..., Awaitable[object]]
LEASE_MS = 60_000


@asynccontextmanager
async def watching(watcher: Watcher) -> AsyncIterator[Watcher]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(watcher.run())
        try:
            yield watcher
        finally:
            task.cancel()


@pytest.fixture
def keys() -> Keys:
    return Keys(shards=4)


@pytest.fixture
async def watcher(redis_url: str, keys: Keys) -> AsyncIterator[Watcher]:
    # the program's own client, as in a chaos run: a plain one may drop the cancellation that ends the watching
    async with redis_client(redis_url) as client, watching(Watcher(client, keys, [BTC, ETH])) as found:
        yield found


async def test_it_sees_a_lease_change_hands(watcher: Watcher, redis, keys: Keys, wait_until: Wait):
    await redis.set(keys.lease(BTC), "7 a:1:x", px=LEASE_MS)
    await wait_until(lambda: BTC in watcher.owners, "the first owner")
    changed_ms = clock.mono_ms()
    await redis.set(keys.lease(BTC), "9 b:2:y", px=LEASE_MS)
    await wait_until(lambda: watcher.owners[BTC].holder == "b:2:y", "the second owner")
    assert watcher.owners[BTC].token == 9
    assert ETH not in watcher.owners
    assert [change.token for change in watcher.changes(BTC, changed_ms)] == [9]
    assert watcher.changes(ETH, changed_ms) == []
    assert watcher.reowned_ms(BTC, changed_ms, "a:1:x") is not None
    assert watcher.reowned_ms(BTC, changed_ms, "b:2:y") is None


async def test_it_sees_who_leads(watcher: Watcher, redis, keys: Keys, wait_until: Wait):
    await redis.set(keys.leader(), "3 a:1:x", px=LEASE_MS)
    await wait_until(lambda: watcher.leader == "a:1:x", "a leader")
    since_ms = clock.mono_ms()
    await redis.delete(keys.leader())
    await wait_until(lambda: watcher.leader is None, "no leader")
    assert watcher.leaderless_ms(since_ms, "a:1:x") is None
    await redis.set(keys.leader(), "4 b:2:y", px=LEASE_MS)
    await wait_until(lambda: watcher.leader == "b:2:y", "another leader")
    assert watcher.leaderless_ms(since_ms, "a:1:x") is not None
    assert [one.term for one in watcher.leadings if one.leader] == [3, 4]


async def test_a_book_is_live_only_while_its_lease_stands(watcher: Watcher, redis, keys: Keys, wait_until: Wait):
    await redis.set(keys.lease(BTC), "7 a:1:x", px=LEASE_MS)
    await redis.hset(keys.book(BTC), mapping={"status": "live", "n": 1, "epoch": 7, "checked_ms": clock.wall_ms()})
    await redis.pexpire(keys.book(BTC), LEASE_MS)
    await wait_until(lambda: watcher.live(BTC), "a live book")
    assert watcher.not_live() == {ETH: "missing"}
    await redis.delete(keys.lease(BTC))
    await wait_until(lambda: not watcher.live(BTC), "a book without an owner")
    assert watcher.not_live()[BTC] == "stale"


async def test_it_keeps_the_highest_age_of_a_live_book(watcher: Watcher, redis, keys: Keys, wait_until: Wait):
    await redis.set(keys.lease(BTC), "7 a:1:x", px=LEASE_MS)
    book = {"status": "live", "n": 1, "epoch": 7, "checked_ms": clock.wall_ms() - 5000}
    await redis.hset(keys.book(BTC), mapping=book)
    await redis.pexpire(keys.book(BTC), LEASE_MS)
    await wait_until(lambda: watcher.ages_ms.get(BTC, 0) >= 5000, "an old book")
    await redis.hset(keys.book(BTC), "checked_ms", clock.wall_ms())
    watcher.forget_ages()
    looked_ms = clock.mono_ms()
    await wait_until(lambda: watcher.seen_since(looked_ms) and BTC in watcher.ages_ms, "another look")
    assert watcher.ages_ms[BTC] < 5000


async def test_a_redis_that_does_not_answer_is_an_outage_and_no_change(own_redis, keys: Keys, wait_until: Wait):
    server = await own_redis()
    async with redis_client(server.url) as client, watching(Watcher(client, keys, [BTC])) as watcher:
        await client.set(keys.lease(BTC), "7 a:1:x", px=LEASE_MS)
        await wait_until(lambda: BTC in watcher.owners, "an owner")
        await server.kill()
        looked_ms = clock.mono_ms()
        await wait_until(lambda: watcher.away, "the outage to be noticed")
        assert BTC in watcher.owners
        await server.start()
        await wait_until(lambda: watcher.outages and not watcher.away, "the end of the outage")
        assert watcher.outages[0].to_ms > watcher.outages[0].from_ms >= looked_ms - 1000
        await wait_until(lambda: BTC not in watcher.owners, "the empty server's word")


async def test_what_one_holds_is_asked_for_now_and_not_remembered(redis, keys: Keys):
    watcher = Watcher(redis, keys, [BTC, ETH])  # it does not look
    await redis.set(keys.lease(BTC), "7 a:1:x", px=LEASE_MS)
    await redis.set(keys.lease(ETH), "8 b:2:y", px=LEASE_MS)
    assert await watcher.held_by("a:1:x") == {BTC: 7}
    await redis.set(keys.lease(ETH), "9 a:1:x", px=LEASE_MS)
    await redis.delete(keys.lease(BTC))
    assert await watcher.held_by("a:1:x") == {ETH: 9}
    assert await watcher.held_by("nobody") == {}


def stood(*standings: tuple[float, str]) -> Watcher:
    watcher = Watcher(redis.asyncio.Redis(), Keys(shards=1), [BTC])
    watcher.standings[BTC] = [Standing(at_ms, status, 7) for at_ms, status in standings]
    return watcher


@pytest.mark.parametrize(
    "from_ms, to_ms, longest_ms",
    [(0, 1000, 300), (0, 250, 150), (450, 1000, 50), (550, 650, 0)],
)
def test_the_longest_time_without_a_live_book_is_of_the_window_asked_for(from_ms, to_ms, longest_ms):
    watcher = stood((0, "live"), (100, "stale"), (200, "resync"), (400, "live"), (450, "stale"), (500, "live"))
    assert watcher.not_live_ms([BTC], from_ms, to_ms) == longest_ms


def test_a_book_that_never_came_back_counts_until_the_end():
    assert stood((0, "live"), (100, "stale")).not_live_ms([BTC], 0, 1000) == 900


def test_live_again_means_under_a_newer_token():
    watcher = stood((0, "live"), (100, "stale"))
    watcher.standings[BTC] += [Standing(200, "live", 7), Standing(300, "live", 8)]
    assert watcher.live_again_ms(BTC, 50, 7) == 250
    assert watcher.live_again_ms(BTC, 50, 8) is None
