"""books/live.py: what a reader is told while Redis does not answer. A real server that is stopped, and goes on."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from books import lanes, reader
from books.events import Delta, Snapshot
from books.join import Status
from books.live import Followed, follow
from fleet.connect_pace import FIRST_PAUSE_MS
from ops.chaos.proxy_process import Proxy
from ops.embedded.redis import EmbeddedRedis
from tests.conftest import OwnRedis
from tests.support.clients import redis_client
from tests.support.small_fleet import ASKS, BIDS, BTC, ETH, SmallFleet, small_fleet
from tests.support.waiting import wait_until

PATIENT_S = 60.0


class Told:
    """What a reader was told, in order: status words, and events by kind."""

    def __init__(self) -> None:
        self.words: dict[str, list[str]] = {BTC.label: [], ETH.label: []}

    async def listen(self, changes: AsyncIterator[Followed]) -> None:
        async for change in changes:
            word = change.view.status.value if change.event is None else type(change.event).__name__
            self.words[change.view.pair.label].append(word)
            if change.event is None:
                assert change.view.status is not Status.LIVE or change.view.lease_alive

    async def hears(self, words: list[str], since: int = 0) -> None:
        """Until both pairs' words from `since` on are these."""
        await wait_until(lambda: all(told[since:] == words for told in self.words.values()), f"{words}: {self.words}")

    @property
    def count(self) -> int:
        return len(self.words[BTC.label])


@asynccontextmanager
async def reading(url: str, fleet: SmallFleet, silent_s: float) -> AsyncIterator[Told]:
    told = Told()
    async with redis_client(url) as client, asyncio.TaskGroup() as group:
        changes = follow(client, fleet.keys, [BTC, ETH], rng=Random(1), silent_s=silent_s)
        task = group.create_task(told.listen(changes))
        try:
            await told.hears(["Snapshot", "live"])
            yield told
        finally:
            task.cancel()
            await asyncio.wait([task])
            await changes.aclose()


@asynccontextmanager
async def stage(server: EmbeddedRedis) -> AsyncIterator[SmallFleet]:
    async with small_fleet(server.url) as fleet:
        for pair in (BTC, ETH):
            await fleet.make_live(pair, BIDS, ASKS)
        yield fleet


def a_delta(pair, number: int) -> Delta:
    return Delta(pair=pair, received_us=1, bids={"65000": str(number)}, asks={}, sequence=number)


async def test_books_are_stale_while_redis_stands_still_and_live_again_without_a_new_book(own_redis: OwnRedis):
    server = await own_redis()
    async with stage(server) as fleet, reading(server.url, fleet, PATIENT_S) as told:
        server.pause()
        try:
            await told.hears(["stale"], since=2)
        finally:
            server.resume()
        await told.hears(["stale", "live"], since=2)
        await fleet.publish(BTC, a_delta(BTC, 8))
        await fleet.publish(ETH, a_delta(ETH, 8))
        await told.hears(["stale", "live", "Delta"], since=2)


async def test_staleness_is_told_within_a_second():
    assert lanes.STALE_S + lanes.LATE_S < 1.0 <= lanes.SILENT_S
    assert reader.BLOCK_MS < lanes.STALE_S * 1000 / 2, "a stream without entries is no silence"


async def test_an_owner_that_died_while_redis_stood_still_leaves_its_books_stale(own_redis: OwnRedis):
    server = await own_redis()
    async with stage(server) as fleet, reading(server.url, fleet, PATIENT_S) as told:
        await fleet.own(BTC, lease_ms=200)
        await fleet.own(ETH, lease_ms=200)
        server.pause()
        try:
            await told.hears(["stale"], since=2)
            await asyncio.sleep(0.3)  # the leases end meanwhile: that is the case, nothing is waited for
        finally:
            server.resume()
        await fleet.publish(BTC, a_delta(BTC, 8))
        await fleet.publish(ETH, a_delta(ETH, 8))
        await wait_until(lambda: all("Delta" in words for words in told.words.values()), f"deltas: {told.words}")
        assert [words[2:] for words in told.words.values()] == [["stale", "Delta"]] * 2


async def test_a_redis_that_is_away_for_long_gives_new_books(own_redis: OwnRedis):
    server = await own_redis()
    async with stage(server) as fleet, reading(server.url, fleet, 1.0) as told:
        server.pause()
        try:
            await told.hears(["stale"], since=2)
            await asyncio.sleep(1.5)  # past what is waited for: that is the case
        finally:
            server.resume()
        await told.hears(["stale", "Snapshot", "live"], since=2)


async def test_a_broken_connection_is_told_at_once_and_never_hammered(own_redis: OwnRedis, tmp_path: Path):
    server = await own_redis()
    async with Proxy(tmp_path) as proxy, stage(server) as fleet:
        port = await proxy.open("reader", server.port)
        async with reading(f"redis://127.0.0.1:{port}/0", fleet, PATIENT_S) as told:
            await proxy.target("reader", 1)  # nobody listens there
            await proxy.cut("reader")
            await told.hears(["stale"], since=2)
            before = (await proxy.stats("reader")).accepted

            async def tried() -> list[float]:
                return (await proxy.stats("reader")).accepted_at_ms[before:]

            await wait_until(lambda: _enough(tried), "four more attempts")
            first_ms, *_, last_ms = (await tried())[:4]
            assert last_ms - first_ms > 3 * FIRST_PAUSE_MS[0] * 0.8, "three pauses"
            await proxy.target("reader", server.port)
            await told.hears(["stale", "Snapshot", "live"], since=2)


async def test_a_held_up_reader_does_not_take_its_own_delay_for_an_outage(redis_url: str):
    clock = itertools.count(0, 10)
    question: lanes.Question[str]
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def asked() -> str:
        came = await answer
        for _ in range(10):  # from the socket to a parsed reply takes some turns of the loop
            await asyncio.sleep(0)
        return came

    question = lanes.Question(asked(), lambda: float(next(clock)))
    hold: Callable[[], None] = lambda: (_busy(0.1), answer.set_result("came"))  # noqa: E731
    asyncio.get_running_loop().call_later(0.01, hold)  # the answer is there, and so is the end of our patience
    assert await question.answered(0.05)
    assert question.result() == "came"


async def _enough(tried: Callable[[], Awaitable[list[float]]]) -> bool:
    return len(await tried()) >= 4


def _busy(seconds: float) -> None:
    import time

    time.sleep(seconds)


async def test_closing_a_reader_leaves_no_question_behind(own_redis: OwnRedis):
    server = await own_redis()
    async with stage(server) as fleet, redis_client(server.url) as client:
        changes = follow(client, fleet.keys, [BTC])
        assert isinstance((await anext(changes)).event, Snapshot)
        await anext(changes)
        task = asyncio.get_running_loop().create_task(anext(changes))
        await wait_until(
            lambda: any(one.get_name() == "books: reading" for one in asyncio.all_tasks()), "a question under way"
        )
        task.cancel()
        await asyncio.wait([task])
        await changes.aclose()
        assert not [one for one in asyncio.all_tasks() if one.get_name() == "books: reading"]
