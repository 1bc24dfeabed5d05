"""The newest books of the traded pairs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fleet.clock import wall_us
from fleet.pair import Pair
from tests.support.trading import BTC, Followed, ScriptedMarket
from trader.market import Market

ETH = Pair("binance", "spot", "ETH/USDT")


@asynccontextmanager
async def running(market: Market) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(market.run(), name="market")
        yield
        task.cancel()


async def test_an_inbox_hears_of_changed_pairs_once_however_often_they_changed() -> None:
    script = ScriptedMarket(wall_us)
    script.move(100)
    market = Market(script.follow)
    inbox = market.subscribe()
    market.set_pairs(frozenset({BTC}))
    async with running(market):
        assert await inbox.take(5) == {BTC}
        assert market.seen[BTC].view.book.best_bid() == ("99.9", "100")
    for _ in range(3):
        market._take(Followed(None, script.views[BTC]))
    assert await inbox.take(5) == {BTC}
    assert await inbox.take(0) == set()


async def test_other_pairs_are_followed_when_told_and_old_ones_forgotten(wait_until) -> None:
    script = ScriptedMarket(wall_us)
    script.move(100)
    script.move(7, ETH)
    market = Market(script.follow)
    market.set_pairs(frozenset({BTC}))
    async with running(market):
        await wait_until(lambda: set(market.seen) == {BTC}, "BTC")
        market.set_pairs(frozenset({ETH}))
        await wait_until(lambda: set(market.seen) == {ETH}, "ETH alone")


async def test_a_status_change_is_told_but_does_not_make_the_book_younger(wait_until) -> None:
    now = [1000]
    script = ScriptedMarket(lambda: now[0])
    script.move(100)
    market = Market(script.follow, clock=lambda: now[0])
    market.set_pairs(frozenset({BTC}))
    async with running(market):
        await wait_until(lambda: BTC in market.seen, "the first book")
        now[0] = 9000
        market._take(Followed(None, script.views[BTC]))
        assert market.seen[BTC].heard_us == 1000
        script.tell()
        await wait_until(lambda: market.seen[BTC].heard_us == 9000, "the Mark")


async def test_wake_ends_the_wait_without_a_pair() -> None:
    inbox = Market(ScriptedMarket(wall_us).follow).subscribe()
    inbox.wake()
    assert await inbox.take(60) == set()
