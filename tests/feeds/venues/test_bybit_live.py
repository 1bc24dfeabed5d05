"""Bybit: the whole way from its simulator over real sockets to books, through what only this venue does."""

import pytest

from books.events import Bbo, Delta, Reset, ResetReason, Snapshot, SnapshotReason, Trade
from fleet.pair import Pair
from tests.support.pool_run import BOOK, Running, all_pairs, running

BYBIT = [("bybit", "spot"), ("bybit", "futures")]
ALL = frozenset({"book", "bbo", "trades"})


async def equal(run: Running, pairs: list[Pair], wait_until) -> None:
    """Freeze the market and compare every level of the window."""
    for venue, market in {(pair.venue, pair.market) for pair in pairs}:
        run.simulator.venue(venue, market).misbehave("freeze_market")
    for pair in pairs:
        await wait_until(
            lambda pair=pair: run.is_live(pair) and run.differences(pair) == [], f"the book of {pair} equal"
        )


@pytest.mark.parametrize("depth", ["bbo", "20", "50", "full"])
async def test_books_of_every_depth_are_the_venues_level_by_level(depth: str, wait_until) -> None:
    async with running(BYBIT, pairs=3) as run:
        pairs = all_pairs(run, BYBIT)
        for pair in pairs:
            run.pool.subscribe(pair, depth, ALL)
        await wait_until(lambda: run.is_live(*pairs), "every pair live")
        kinds = lambda pair: {type(event) for event in run.listener.events[pair]}  # noqa: E731
        await wait_until(lambda: all({Bbo, Trade, Delta} <= kinds(pair) for pair in pairs), "events of every channel")
        await equal(run, pairs, wait_until)
        assert all(run.listener.resets(pair) == [] for pair in pairs)
        assert run.listener.samples == []
        assert {v["market"]: v["limit_breaches"] for v in run.simulator.statistics()} == {"spot": {}, "futures": {}}


@pytest.mark.parametrize("market", ["spot", "futures"])
async def test_a_snapshot_of_a_restart_replaces_the_book_at_once(market: str, wait_until) -> None:
    async with running([("bybit", market)], pairs=2) as run:
        pairs = all_pairs(run, [("bybit", market)])
        for pair in pairs:
            run.pool.subscribe(pair, "50", BOOK)
        await wait_until(lambda: run.is_live(*pairs), "every pair live")
        venue = run.simulator.venue("bybit", market)
        asked = venue.stats.messages_received
        venue.misbehave("restart", pair=pairs[0].pair)
        await wait_until(lambda: run.listener.resets(pairs[0]) == [ResetReason.GAP], "Reset(gap)")
        await wait_until(lambda: run.is_live(*pairs), "live again")
        assert run.listener.snapshots(pairs[0])[-1] is SnapshotReason.RESYNC
        assert venue.stats.messages_received == asked  # nothing had to be asked for
        await wait_until(lambda: run.pool.feed(pairs[0]).sequence < 1000, "the new count")
        await equal(run, pairs, wait_until)
        assert run.listener.resets(pairs[1]) == []


@pytest.mark.parametrize("market, depth", [("spot", "50"), ("futures", "full")])
async def test_a_delta_of_a_restart_is_a_gap_at_once(market: str, depth: str, wait_until) -> None:
    async with running([("bybit", market)], pairs=2) as run:
        pairs = all_pairs(run, [("bybit", market)])
        for pair in pairs:
            run.pool.subscribe(pair, depth, BOOK)
        await wait_until(lambda: run.is_live(*pairs), "every pair live")
        run.simulator.venue("bybit", market).misbehave("restart", pair=pairs[0].pair, in_deltas=True)
        await wait_until(lambda: run.listener.resets(pairs[0]) == [ResetReason.GAP], "Reset(gap)")
        deltas = [event for event in run.listener.events[pairs[0]] if isinstance(event, Delta)]
        assert all(event.sequence > 1000 for event in deltas)  # none of the new count went into the old book
        await wait_until(lambda: run.is_live(*pairs), "live again")
        await equal(run, pairs, wait_until)
        assert run.listener.resets(pairs[1]) == []


async def test_after_a_restart_the_full_book_is_spliced_again_by_the_new_count(wait_until) -> None:
    async with running([("bybit", "spot")], pairs=2) as run:
        pairs = all_pairs(run, [("bybit", "spot")])
        for pair in pairs:
            run.pool.subscribe(pair, "full", BOOK)
        await wait_until(lambda: run.is_live(*pairs), "every pair live")
        await wait_until(lambda: run.pool.feed(pairs[0]).messages > 5, "some deltas")
        run.simulator.venue("bybit", "spot").misbehave("restart", pair=pairs[0].pair)
        await wait_until(lambda: run.listener.resets(pairs[0]) == [ResetReason.GAP], "Reset(gap)")
        await wait_until(lambda: run.is_live(*pairs), "live again")
        assert run.pool.feed(pairs[0]).sequence < 1000
        await equal(run, pairs, wait_until)
        assert run.listener.resets(pairs[1]) == []


async def test_a_restart_before_the_splice_voids_what_was_kept(wait_until) -> None:
    async with running([("bybit", "spot")], pairs=1) as run:
        (pair,) = all_pairs(run, [("bybit", "spot")])
        venue = run.simulator.venue("bybit", "spot")
        venue.misbehave("stale_snapshot", pair=pair.pair, count=2)
        run.pool.subscribe(pair, "full", BOOK)
        await wait_until(lambda: (feed := run.pool.feed(pair)) is not None and len(feed.kept) > 2, "kept deltas")
        venue.misbehave("restart", pair=pair.pair)
        await wait_until(lambda: run.is_live(pair), "live", 20)
        assert run.pool.feed(pair).sequence < 1000
        await equal(run, [pair], wait_until)


@pytest.mark.parametrize("market", ["spot", "futures"])
async def test_a_snapshot_that_nobody_asked_for_replaces_the_book_without_a_reset(market: str, wait_until) -> None:
    async with running([("bybit", market)], pairs=1) as run:
        (pair,) = all_pairs(run, [("bybit", market)])
        run.pool.subscribe(pair, "50", BOOK)
        await wait_until(lambda: run.is_live(pair), "live")
        run.simulator.venue("bybit", market).misbehave("resend", pair=pair.pair)
        await wait_until(lambda: len(run.listener.snapshots(pair)) == 2, "the second snapshot")
        await wait_until(lambda: isinstance(run.listener.events[pair][-1], Delta), "a delta behind it")
        await equal(run, [pair], wait_until)
        assert run.listener.resets(pair) == []


async def test_a_delta_that_comes_twice_harms_nobody(wait_until) -> None:
    async with running(BYBIT, pairs=1) as run:
        pairs = all_pairs(run, BYBIT)
        for pair in pairs:
            run.pool.subscribe(pair, "full", BOOK)
        await wait_until(lambda: run.is_live(*pairs), "live")
        for pair in pairs:
            feed = run.pool.feed(pair)
            run.simulator.venue(pair.venue, pair.market).misbehave("duplicate", pair=pair.pair, count=3)
            await wait_until(lambda feed=feed, seen=feed.messages: feed.messages > seen + 8, "duplicates among deltas")
        await equal(run, pairs, wait_until)
        assert all(run.listener.resets(pair) == [] for pair in pairs)


async def test_best_prices_go_on_over_a_restart(wait_until) -> None:
    async with running([("bybit", "futures")], pairs=1) as run:
        (pair,) = all_pairs(run, [("bybit", "futures")])
        run.pool.subscribe(pair, "bbo", BOOK)
        await wait_until(lambda: run.is_live(pair), "live")
        run.simulator.venue("bybit", "futures").misbehave("restart", pair=pair.pair)
        seen = len(run.listener.events[pair])
        await wait_until(lambda: len(run.listener.events[pair]) > seen + 2, "changes after it")
        await equal(run, [pair], wait_until)
        assert not any(isinstance(event, Reset) for event in run.listener.events[pair])
        assert sum(isinstance(event, Snapshot) for event in run.listener.events[pair]) == 1


@pytest.mark.parametrize("market", ["spot", "futures"])
async def test_a_symbol_that_is_refused_costs_itself_alone(market: str, wait_until) -> None:
    async with running([("bybit", market)], pairs=4) as run:
        pairs = all_pairs(run, [("bybit", market)])
        venue = run.simulator.venue("bybit", market)
        run.pool.subscribe(pairs[0], "50", ALL)
        await wait_until(lambda: run.is_live(pairs[0]), "the first one live")
        del venue.listings["SOLUSDT"]  # since the metadata was read
        for pair in pairs[1:]:
            run.pool.subscribe(pair, "50", ALL)
        good = [pair for pair in pairs if pair.pair != "SOL/USDT"]
        await wait_until(lambda: run.is_live(*good), "the others live", 20)
        bad = next(pair for pair in pairs if pair.pair == "SOL/USDT")
        await wait_until(lambda: bad in run.listener.refused, "the refusal", 20)
        assert "SOLUSDT" in run.listener.refused[bad]
        kinds = lambda pair: {type(event) for event in run.listener.events[pair]}  # noqa: E731
        await wait_until(
            lambda: all({Bbo, Delta, Trade} <= kinds(pair) for pair in good), "every channel of the others"
        )
