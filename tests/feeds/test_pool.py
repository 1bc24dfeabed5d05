"""Many venues in one pool. What each venue must do by itself is in tests/conformance."""

import random

import pytest

from books.events import ResetReason, SnapshotReason
from feeds.pool import Pool
from feeds.venue import Traits
from fleet import clock
from fleet.config import Endpoint
from fleet.pair import Pair
from ops.simulator import registry
from tests.support.fake_venue import FakeVenue
from tests.support.pool_run import BOOK, FreeBudget, all_pairs, running

VENUE_MARKETS = [("binance", "spot"), ("binance", "futures"), ("okx", "spot"), ("okx", "futures")]


async def test_every_venue_and_market_lives_in_one_pool(wait_until):
    async with running(registry.VENUE_MARKETS, pairs=2) as run:
        pairs = all_pairs(run, registry.VENUE_MARKETS)
        for venue, market in registry.VENUE_MARKETS:
            run.simulator.venue(venue, market).hurry()
        for pair in pairs:
            run.pool.subscribe(pair, "full", BOOK)
        await wait_until(lambda: run.is_live(*pairs), "every pair live", 30)
        await wait_until(lambda: all(run.pool.feed(pair).messages > 3 for pair in pairs), "some messages each", 30)
        for venue, market in registry.VENUE_MARKETS:
            run.simulator.venue(venue, market).misbehave("freeze_market")
        for pair in pairs:
            await wait_until(lambda pair=pair: run.differences(pair) == [], f"the book of {pair} equal")
        assert all(run.listener.snapshots(pair) == [SnapshotReason.FIRST] for pair in pairs)
        assert all(run.listener.resets(pair) == [] for pair in pairs)
        assert {state.state for state in run.pool.states()} == {"live"}
        assert all(run.pool.proved(pair, clock.mono_ms()) for pair in pairs)


async def test_a_snapshot_older_than_the_deltas_is_fetched_again(wait_until):
    async with running([("binance", "spot")], pairs=2) as run:
        pair = all_pairs(run, [("binance", "spot")])[0]
        run.simulator.venue("binance", "spot").misbehave("stale_snapshot", pair=pair.pair)
        run.pool.subscribe(pair, "full", BOOK)
        await wait_until(lambda: run.is_live(pair), "live")
        assert run.simulator.venue("binance", "spot").stats.snapshots >= 2
        run.simulator.venue("binance", "spot").misbehave("freeze_market")
        await wait_until(lambda: run.differences(pair) == [], "the book equal")


async def test_an_announced_end_moves_every_pair_without_a_reset(wait_until):
    async with running(VENUE_MARKETS) as run:
        pairs = all_pairs(run, VENUE_MARKETS)
        for pair in pairs:
            run.pool.subscribe(pair, "full", BOOK)
        await wait_until(lambda: run.is_live(*pairs), "every pair live")
        for venue, market in VENUE_MARKETS:
            run.simulator.venue(venue, market).misbehave("shutdown_notice", close_after_s=20)
        await wait_until(
            lambda: all(market.handovers == 1 and len(market.links) == 1 for market in run.pool.markets), "moved"
        )
        for venue, market in VENUE_MARKETS:
            run.simulator.venue(venue, market).misbehave("freeze_market")
        for pair in pairs:
            await wait_until(lambda pair=pair: run.differences(pair) == [], f"the book of {pair} equal")
            assert run.listener.resets(pair) == []
            assert set(run.listener.snapshots(pair)[1:]) <= {SnapshotReason.SEAM}


async def test_what_does_not_exist_is_refused_with_the_nearest_name(wait_until):
    async with running([("okx", "spot")], pairs=3) as run:
        good = all_pairs(run, [("okx", "spot")])[0]
        wrong = Pair("okx", "spot", good.pair.replace("USDT", "USDX"))
        nowhere = Pair("okxx", "spot", "BTC/USDT")
        for pair in (good, wrong, nowhere):
            run.pool.subscribe(pair, "full", BOOK)
        await wait_until(lambda: run.is_live(good) and len(run.listener.refused) == 2, "both refused")
        assert f"did you mean {good.pair}?" in run.listener.refused[wrong]
        assert "did you mean okx?" in run.listener.refused[nowhere]
        states = {state.pair: state.state for state in run.pool.states()}
        assert states == {good: "live", wrong: "refused", nowhere: "refused"}


async def test_pairs_wait_for_a_venue_that_refuses_everything_and_say_why(wait_until):
    async with running([("binance", "spot")], pairs=2) as run:
        pair = all_pairs(run, [("binance", "spot")])[0]
        with run.simulator.venue("binance", "spot").misbehave("rate_limit", status=418, retry_after_s=7):
            run.pool.subscribe(pair, "full", BOOK)
            await wait_until(lambda: run.budget.bans, "a ban for everybody")
            await wait_until(lambda: "HTTP 418" in next(run.pool.states()).reason, "a visible reason")
        assert run.budget.bans[0] == ("binance:spot:rest", 7000)
        await wait_until(lambda: run.is_live(pair), "live")


async def test_an_unsubscribed_pair_ends_with_a_reset_and_the_last_one_closes_the_connection(wait_until):
    async with running([("okx", "futures")], pairs=2) as run:
        pairs = all_pairs(run, [("okx", "futures")])
        for pair in pairs:
            run.pool.subscribe(pair, "full", BOOK)
        await wait_until(lambda: run.is_live(*pairs), "every pair live")
        for pair in pairs:
            run.pool.unsubscribe(pair)
            assert run.listener.resets(pair) == [ResetReason.UNSUBSCRIBED]
            assert run.pool.feed(pair) is None
        await wait_until(lambda: run.simulator.venue("okx", "futures").statistics()["open"] == 0, "no connection")
        assert list(run.pool.states()) == []


async def test_pairs_are_packed_up_to_the_limit_of_a_connection(wait_until):
    async with running([("binance", "spot")], pairs=5, per_connection=2) as run:
        pairs = all_pairs(run, [("binance", "spot")])
        for pair in pairs:
            run.pool.subscribe(pair, "20", BOOK)
        await wait_until(lambda: run.is_live(*pairs), "every pair live")
        assert sorted(len(link.session.pairs) for link in run.pool.markets[0].links) == [1, 2, 2]


async def test_a_held_back_pool_reads_nothing_and_catches_up_afterwards(wait_until):
    async with running([("okx", "spot")], pairs=2) as run:
        pairs = all_pairs(run, [("okx", "spot")])
        for pair in pairs:
            run.pool.subscribe(pair, "full", BOOK)
        await wait_until(lambda: run.is_live(*pairs), "every pair live")
        venue = run.simulator.venue("okx", "spot")
        run.pool.hold()
        # one frame may be on its way to the reader that already waits
        link = run.pool.markets[0].links[0]
        sent = venue.stats.messages_sent
        await wait_until(lambda: venue.stats.messages_sent > sent + 10, "the venue goes on")
        frames = link.session.frames
        await wait_until(lambda: venue.stats.messages_sent > sent + 20, "the venue goes on")
        assert link.session.frames == frames
        run.pool.release()
        venue.misbehave("freeze_market")
        for pair in pairs:
            await wait_until(lambda pair=pair: run.differences(pair) == [], f"the book of {pair} equal")
            assert run.listener.resets(pair) == []


async def test_priority_and_depth_can_change_while_a_pair_is_live(wait_until):
    async with running([("binance", "spot")], pairs=1) as run:
        pair = all_pairs(run, [("binance", "spot")])[0]
        run.pool.subscribe(pair, "full", BOOK)
        await wait_until(lambda: run.is_live(pair), "live")
        run.pool.subscribe(pair, "20", BOOK, 0)
        assert run.listener.resets(pair) == [ResetReason.UNSUBSCRIBED]
        await wait_until(lambda: run.is_live(pair), "live")
        assert len(run.pool.feed(pair).book.bids) == 20


@pytest.mark.parametrize(
    ("reason", "enabled", "said"),
    [
        (None, None, None),
        (None, False, "nowhere spot is turned off by FLEET_VENUES__NOWHERE__SPOT__ENABLED=false"),
        ("it closed", True, None),
        (
            "it closed",
            None,
            "nowhere spot is off by default: it closed; FLEET_VENUES__NOWHERE__SPOT__ENABLED=true uses it",
        ),
    ],
)
async def test_an_operator_turns_venues_on_and_off(wait_until, reason, enabled, said):
    refused: dict[Pair, str] = {}
    pool = Pool(
        find_venue=lambda *_: FakeVenue(Traits(off_because=reason)),
        endpoint=lambda *_: Endpoint(enabled=enabled, rest_url="http://127.0.0.1:1", ws_url="ws://127.0.0.1:1"),
        budget=FreeBudget(),
        on_event=lambda *_: None,
        on_refused=refused.__setitem__,
        on_sample=lambda *_: None,
        rng=random.Random(1),
    )
    pair = Pair("nowhere", "spot", "AAA/USD")
    pool.subscribe(pair, "50", frozenset({"book"}))
    if said is None:
        assert refused == {}
    else:
        assert refused[pair].startswith(said)


async def test_a_venue_is_knocked_at_where_there_are_no_pairs_and_only_its_own_answer_counts(wait_until):
    async with running([("okx", "spot"), ("htx", "futures")]) as run:
        assert await run.pool.knock("okx:spot")
        assert await run.pool.knock("htx:futures")
        assert {name.rpartition(":")[2] for name in run.budget.spent} == {"rest"}
        run.simulator.venue("okx", "spot").misbehave("refuse", hard=True)
        assert not await run.pool.knock("okx:spot")
        assert await run.pool.knock("htx:futures")
        run.simulator.venue("htx", "futures").misbehave("refuse")  # 503 from whatever stands before it
        assert not await run.pool.knock("htx:futures")
        assert not await run.pool.knock("nowhere:spot")
        assert run.pool.hears() == {}  # nothing was subscribed


async def test_a_market_is_heard_until_its_last_connection_has_failed(wait_until):
    pair = Pair("okx", "spot", "BTC/USDT")
    async with running([("okx", "spot")]) as run:
        run.pool.subscribe(pair, "50", BOOK)
        await wait_until(lambda: run.is_live(pair), "live")
        assert run.pool.hears() == {"okx:spot": True}
        venue = run.simulator.venue("okx", "spot")
        venue.misbehave("refuse", hard=True)
        venue.misbehave("close_all", hard=True)
        await wait_until(lambda: run.pool.hears() == {"okx:spot": False}, "deaf")
        venue.behave("refuse")
        await wait_until(lambda: run.pool.hears() == {"okx:spot": True}, "heard again")
        run.pool.unsubscribe(pair)
        assert run.pool.hears() == {"okx:spot": None}
