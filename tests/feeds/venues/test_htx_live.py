"""HTX the whole way: its simulator, its decoder, real sockets; every book is the venue's, whatever the venue does."""

import pytest

from books.events import ResetReason, SnapshotReason, Trade
from feeds import venues
from feeds.venues.htx import MARKETS
from fleet.pair import Pair
from ops.simulator import registry
from ops.simulator.htx.spot import HtxSpotPublic
from ops.simulator.htx.swap import HtxSwapPublic
from tests.support.pool_run import BOOK, Running, all_pairs, running

ALL = frozenset({"book", "bbo", "trades"})
SIMULATED = {"spot": HtxSpotPublic, "futures": HtxSwapPublic}


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    for venue in MARKETS:
        monkeypatch.setitem(venues.VENUES, ("htx", venue.market), venue)
        monkeypatch.setitem(registry.SIMULATED, ("htx", venue.market), SIMULATED[venue.market])


def btc(market: str) -> Pair:
    return Pair("htx", market, "BTC/USDT")


async def assert_exact(run: Running, pairs: list[Pair], wait_until) -> None:
    """Freeze the market: every book becomes the venue's, level by level."""
    run.simulator.venue("htx", pairs[0].market).misbehave("freeze_market")
    for pair in pairs:
        await wait_until(lambda pair=pair: run.is_live(pair) and run.differences(pair) == [], f"the book of {pair}")


@pytest.mark.parametrize("depth", ["bbo", "20", "50", "full"])
@pytest.mark.parametrize("market", SIMULATED)
async def test_every_depth_becomes_the_venues_book(market, depth, wait_until):
    async with running([("htx", market)], pairs=3, levels=420) as run:
        pairs = all_pairs(run, [("htx", market)])
        for pair in pairs:
            run.pool.subscribe(pair, depth, ALL)
        await wait_until(lambda: run.is_live(*pairs), "every pair live", 20)
        await wait_until(lambda: all(run.pool.feed(pair).messages > 10 for pair in pairs), "some messages each", 20)
        await assert_exact(run, pairs, wait_until)
        for pair in pairs:
            assert run.listener.snapshots(pair) == [SnapshotReason.FIRST]
            assert run.listener.resets(pair) == []
            trades = [event.trade_id for event in run.listener.events[pair] if isinstance(event, Trade)]
            assert trades
            assert len(trades) == len(set(trades))
        assert run.simulator.venue("htx", market).statistics()["limit_breaches"] == {}
        assert run.listener.samples == []


@pytest.mark.parametrize("market", SIMULATED)
async def test_a_lost_delta_is_a_gap_and_the_book_comes_back(market, wait_until):
    async with running([("htx", market)], pairs=1) as run:
        run.pool.subscribe(btc(market), "50", BOOK)
        await wait_until(lambda: run.is_live(btc(market)), "live")
        run.simulator.venue("htx", market).misbehave("drop", pair="BTC/USDT")
        await wait_until(lambda: run.listener.resets(btc(market)) == [ResetReason.GAP], "the gap")
        await wait_until(lambda: run.is_live(btc(market)), "live again")
        await assert_exact(run, [btc(market)], wait_until)
        assert run.listener.snapshots(btc(market)) == [SnapshotReason.FIRST, SnapshotReason.RESYNC]


@pytest.mark.parametrize("market", SIMULATED)
@pytest.mark.parametrize("name", ["duplicate", "empty_delta"])
async def test_what_changes_nothing_disturbs_nothing(market, name, wait_until):
    async with running([("htx", market)], pairs=1) as run:
        run.pool.subscribe(btc(market), "50", BOOK)
        await wait_until(lambda: run.is_live(btc(market)), "live")
        served = run.simulator.venue("htx", market)
        served.misbehave(name, pair="BTC/USDT", count=2)
        await wait_until(lambda: served.faults.find(name, "BTC/USDT") is None, "it happened")
        await assert_exact(run, [btc(market)], wait_until)
        assert run.listener.resets(btc(market)) == []


@pytest.mark.parametrize("name", ["straddle", "stale_snapshot"])
async def test_snapshots_inside_a_delta_and_too_old_ones_are_spliced_or_asked_for_again(name, wait_until):
    async with running([("htx", "spot")], pairs=1) as run:
        served = run.simulator.venue("htx", "spot")
        served.misbehave(name, pair="BTC/USDT", count=1)
        run.pool.subscribe(btc("spot"), "50", BOOK)
        await wait_until(lambda: run.is_live(btc("spot")), "live")
        await assert_exact(run, [btc("spot")], wait_until)
        assert run.listener.resets(btc("spot")) == []
        assert served.statistics()["snapshots"] == (1 if name == "straddle" else 2)


@pytest.mark.parametrize("market", SIMULATED)
async def test_a_crossed_book_is_made_anew(market, wait_until):
    async with running([("htx", market)], pairs=1) as run:
        run.pool.subscribe(btc(market), "50", BOOK)
        await wait_until(lambda: run.is_live(btc(market)), "live")
        run.simulator.venue("htx", market).misbehave("crossed", pair="BTC/USDT")
        await wait_until(lambda: run.listener.resets(btc(market)) == [ResetReason.CROSSED], "crossed")
        await assert_exact(run, [btc(market)], wait_until)


async def test_versions_of_a_new_connection_start_anew(wait_until):
    async with running([("htx", "futures")], pairs=1) as run:
        run.pool.subscribe(btc("futures"), "full", BOOK)
        await wait_until(lambda: run.is_live(btc("futures")), "live")
        run.simulator.venue("htx", "futures").misbehave("close_all")
        await wait_until(lambda: run.listener.resets(btc("futures")) == [ResetReason.DISCONNECT], "the reset")
        await wait_until(lambda: run.is_live(btc("futures")), "live again")
        await assert_exact(run, [btc("futures")], wait_until)
        assert run.listener.resets(btc("futures")) == [ResetReason.DISCONNECT]


@pytest.mark.parametrize("market", SIMULATED)
async def test_pings_are_answered_and_the_connection_stays(market, wait_until):
    async with running([("htx", market)], pairs=1) as run:
        served = run.simulator.venue("htx", market)
        served.timing.ping_interval_ms = 100
        run.pool.subscribe(btc(market), "50", BOOK)
        await wait_until(lambda: served.statistics()["pongs_received"] >= 12, "a dozen pongs")
        assert served.statistics()["connects"] == 1
        assert served.statistics()["limit_breaches"] == {}


async def test_a_side_that_is_missing_is_an_empty_side(wait_until):
    async with running([("htx", "futures")], pairs=1) as run:
        run.simulator.venue("htx", "futures").misbehave("missing_side", pair="BTC/USDT", side="ask")
        run.pool.subscribe(btc("futures"), "20", ALL)
        await wait_until(lambda: run.is_live(btc("futures")), "live")
        events = run.listener.events
        await wait_until(
            lambda: any(getattr(event, "ask", None) == "" for event in events.get(btc("futures"), [])), "an empty ask"
        )
        assert run.listener.resets(btc("futures")) == []
