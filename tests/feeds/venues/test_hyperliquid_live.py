"""Hyperliquid the whole way: its simulator, its decoder, real sockets; every book is the venue's, whatever the venue does."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from books.events import Bbo, ResetReason, SnapshotReason, Trade
from feeds import venues
from feeds.venues.hyperliquid import MARKETS
from fleet.pair import Pair
from ops.simulator import registry
from ops.simulator.hyperliquid.public import HyperliquidPublic
from tests.support.pool_run import BOOK, Running, all_pairs, running

ALL = frozenset({"book", "bbo", "trades"})
Wait = Callable[..., Awaitable[object]]


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for venue in MARKETS:
        monkeypatch.setitem(venues.VENUES, (venue.name, venue.market), venue)  # type: ignore[arg-type]
        monkeypatch.setitem(registry.SIMULATED, (venue.name, venue.market), HyperliquidPublic)


def served(run: Running, market: str) -> HyperliquidPublic:
    venue = run.simulator.venue("hyperliquid", market)
    assert isinstance(venue, HyperliquidPublic)
    return venue


@asynccontextmanager
async def quick(market: str, *, pairs: int = 1) -> AsyncIterator[Running]:
    """The clock of the books is made quick: nothing but the waiting depends on it."""
    async with running([("hyperliquid", market)], pairs=pairs) as run:
        served(run, market).cadence.book_ms = 150
        yield run


def pair(market: str, name: str = "BTC/USDC") -> Pair:
    return Pair("hyperliquid", market, name)


def best_told(run: Running, one: Pair) -> object:
    """The last of the channel of best prices."""
    best = [event for event in run.listener.events[one] if isinstance(event, Bbo)][-1]
    return (best.bid, best.bid_amount), (best.ask, best.ask_amount)


def best_held(run: Running, one: Pair) -> object:
    """Those of the book."""
    book = run.pool.feed(one).book
    return book.best_bid(), book.best_ask()


async def assert_exact(run: Running, pairs: list[Pair], wait_until: Wait) -> None:
    """Freeze the market: every book becomes the venue's, level by level."""
    served(run, pairs[0].market).misbehave("freeze_market")
    for one in pairs:
        await wait_until(lambda one=one: run.is_live(one) and run.differences(one) == [], f"the book of {one}")


@pytest.mark.parametrize("depth", ["bbo", "20", "50", "full"])
@pytest.mark.parametrize("market", ["spot", "futures"])
async def test_every_depth_becomes_the_venues_book(market: str, depth: str, wait_until: Wait) -> None:
    async with quick(market, pairs=3) as run:
        pairs = all_pairs(run, [("hyperliquid", market)])
        for one in pairs:
            run.pool.subscribe(one, depth, ALL)
        await wait_until(lambda: run.is_live(*pairs), "every pair live")
        await wait_until(
            lambda: all({Bbo, Trade} <= {type(event) for event in run.listener.events[one]} for one in pairs),
            "best prices and trades of each",
        )
        await assert_exact(run, pairs, wait_until)
        for one in pairs:
            assert run.listener.snapshots(one) == [SnapshotReason.FIRST]
            assert run.listener.resets(one) == []
            await wait_until(lambda one=one: best_told(run, one) == best_held(run, one), f"the best prices of {one}")
        assert served(run, market).statistics()["limit_breaches"] == {}
        assert served(run, market).statistics()["connects"] == 1
        assert run.listener.samples == []


async def test_coins_of_builder_dexes_are_books_like_others(wait_until: Wait) -> None:
    async with quick("futures") as run:
        names = {"XYZ-TSLA/USDC": "XYZ-TSLA/USDC:USDC", "KM-US500/USDH": "KM-US500/USDH:USDH"}
        for name in names:
            run.pool.subscribe(pair("futures", name), "20", BOOK)
        await wait_until(lambda: run.is_live(*(pair("futures", name) for name in names)), "both live")
        served(run, "futures").misbehave("freeze_market")
        for name, listed in names.items():

            def equal(name: str = name, listed: str = listed) -> bool:
                book = run.pool.feed(pair("futures", name)).book
                truth = served(run, "futures").book(listed)
                return [[list(level) for level in side] for side in book.top(20)] == [truth["bids"], truth["asks"]]

            await wait_until(equal, f"the book of {name}")


async def test_a_delisted_coin_is_not_asked_for_and_a_dead_one_is_an_empty_book(wait_until: Wait) -> None:
    async with quick("futures") as run:
        run.pool.subscribe(pair("futures", "LUNA/USDC"), "20", BOOK)
        await wait_until(lambda: pair("futures", "LUNA/USDC") in run.listener.refused, "the refusal")
        assert "delisted" in run.listener.refused[pair("futures", "LUNA/USDC")]
        assert served(run, "futures").statistics()["messages_received"] == 0
    async with quick("spot") as run:
        run.pool.subscribe(pair("spot", "PURR/USDC"), "20", BOOK)
        await wait_until(lambda: run.is_live(pair("spot", "PURR/USDC")), "live")
        assert run.pool.feed(pair("spot", "PURR/USDC")).book.top(20) == ([], [])


@pytest.mark.parametrize("market", ["spot", "futures"])
async def test_a_coin_that_closes_the_socket_is_refused_and_the_others_come_back(market: str, wait_until: Wait) -> None:
    async with quick(market, pairs=3) as run:
        others = [pair(market), pair(market, "SOL/USDC")]
        for one in others:
            run.pool.subscribe(one, "20", BOOK)
        await wait_until(lambda: run.is_live(*others), "the others live")
        served(run, market).misbehave("delist", pair="ETH/USDC")
        run.pool.subscribe(pair(market, "ETH/USDC"), "20", BOOK)
        await wait_until(lambda: pair(market, "ETH/USDC") in run.listener.refused, "the refusal", 30)
        await wait_until(lambda: run.is_live(*others), "the others live again")
        await assert_exact(run, others, wait_until)
        assert set(run.listener.resets(others[0])) == {ResetReason.DISCONNECT}
        assert set(run.listener.refused) == {pair(market, "ETH/USDC")}


async def test_trades_that_a_new_subscription_repeats_are_told_once(wait_until: Wait) -> None:
    async with quick("futures") as run:
        run.pool.subscribe(pair("futures"), "20", ALL)

        def told() -> list[str]:
            return [event.trade_id for event in run.listener.events[pair("futures")] if isinstance(event, Trade)]

        await wait_until(lambda: run.is_live(pair("futures")) and len(told()) >= 5, "trades")
        before = len(told())
        served(run, "futures").misbehave("close_all", hard=True)
        await wait_until(lambda: run.listener.resets(pair("futures")) == [ResetReason.DISCONNECT], "the reset")
        await wait_until(lambda: run.is_live(pair("futures")) and len(told()) > before, "trades again")
        await assert_exact(run, [pair("futures")], wait_until)
        assert max(Counter(told()).values()) == 1
        assert run.listener.snapshots(pair("futures")) == [SnapshotReason.FIRST, SnapshotReason.RESYNC]


@pytest.mark.parametrize("name", ["drop", "duplicate", "reorder"])
async def test_images_lost_repeated_or_turned_round_are_no_fault(name: str, wait_until: Wait) -> None:
    async with quick("spot") as run:
        run.pool.subscribe(pair("spot"), "20", BOOK)
        await wait_until(lambda: run.is_live(pair("spot")), "live")
        fault = served(run, "spot").misbehave(name, pair="BTC/USDC", count=2)
        await wait_until(lambda: not fault.active, "it happened")
        await assert_exact(run, [pair("spot")], wait_until)
        assert run.listener.resets(pair("spot")) == []


async def test_a_crossed_image_is_not_shown_and_the_next_one_is_the_book(wait_until: Wait) -> None:
    async with quick("futures") as run:
        run.pool.subscribe(pair("futures"), "20", BOOK)
        await wait_until(lambda: run.is_live(pair("futures")), "live")
        served(run, "futures").misbehave("crossed", pair="BTC/USDC")
        await wait_until(lambda: run.listener.resets(pair("futures")) == [ResetReason.CROSSED], "crossed")
        await assert_exact(run, [pair("futures")], wait_until)


async def test_a_wrong_acknowledgement_does_not_hinder_the_book(wait_until: Wait) -> None:
    async with quick("futures") as run:
        served(run, "futures").misbehave("wrong_ack")
        run.pool.subscribe(pair("futures"), "20", BOOK)
        await wait_until(lambda: run.is_live(pair("futures")), "live")
        await assert_exact(run, [pair("futures")], wait_until)


async def test_a_quiet_socket_is_kept_by_our_pings(wait_until: Wait) -> None:
    async with quick("spot") as run:
        run.pool.subscribe(pair("spot", "PURR/USDC"), "bbo", BOOK)
        await wait_until(lambda: run.is_live(pair("spot", "PURR/USDC")), "live")
        await wait_until(lambda: served(run, "spot").statistics()["pongs_received"] > 0, "a ping", 20)
        assert served(run, "spot").statistics()["connects"] == 1
