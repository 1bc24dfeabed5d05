"""MEXC, the whole way: the simulated venue, real sockets, our session; every book the venue's."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from books.events import Bbo, ResetReason, Snapshot, SnapshotReason, Trade
from feeds import venues
from feeds.outputs import Send
from feeds.recorded_venue import raw_instrument
from feeds.session import Session
from feeds.venue import Instruments
from feeds.venues.mexc import MARKETS
from fleet.pair import Pair
from ops.simulator import registry
from ops.simulator.mexc.contract_public import MexcContractPublic
from ops.simulator.mexc.spot_public import MexcSpotPublic
from tests.support.pool_run import Running, all_pairs, running

BOOK = frozenset({"book"})
ALL = frozenset({"book", "bbo", "trades"})
SPOT, FUTURES = ("mexc", "spot"), ("mexc", "futures")
BITCOIN = {market: Pair(*market, "BTC/USDT") for market in (SPOT, FUTURES)}


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both markets are registered, whatever else is."""
    for venue in MARKETS:
        monkeypatch.setitem(venues.VENUES, (venue.name, venue.market), venue)
    monkeypatch.setitem(registry.SIMULATED, SPOT, MexcSpotPublic)
    monkeypatch.setitem(registry.SIMULATED, FUTURES, MexcContractPublic)


async def freeze_and_compare(run: Running, pairs: list[Pair], wait_until: Callable[..., Any]) -> None:
    for venue, market in {(pair.venue, pair.market) for pair in pairs}:
        run.simulator.venue(venue, market).misbehave("freeze_market")
    for pair in pairs:
        await wait_until(lambda pair=pair: run.differences(pair) == [], f"the book of {pair} equal")


@pytest.mark.parametrize("depth", ["bbo", "20", "50", "full"])
async def test_every_pair_goes_live_and_its_book_is_the_venues(depth: str, wait_until: Callable[..., Any]) -> None:
    async with running([SPOT, FUTURES]) as run:
        pairs = all_pairs(run, [SPOT, FUTURES])
        for pair in pairs:
            run.pool.subscribe(pair, depth, ALL)
        await wait_until(lambda: run.is_live(*pairs), "every pair live")
        for market in (SPOT, FUTURES):
            events = run.listener.events[BITCOIN[market]]
            kinds = lambda events=events: {type(event) for event in events}  # noqa: E731
            await wait_until(lambda kinds=kinds: {Bbo, Trade} <= kinds(), f"best prices and trades of {market}")
        await freeze_and_compare(run, pairs, wait_until)
        assert all(run.listener.resets(pair) == [] for pair in pairs)
        assert run.listener.samples == []
        assert all(counts["limit_breaches"] == {} for counts in run.simulator.statistics())


@pytest.mark.parametrize("market", [SPOT, FUTURES])
@pytest.mark.parametrize("fault, reason", [("drop", ResetReason.GAP), ("crossed", ResetReason.CROSSED)])
async def test_a_damaged_pair_resets_once_and_the_others_never_notice(
    market: tuple[str, str], fault: str, reason: ResetReason, wait_until: Callable[..., Any]
) -> None:
    async with running([market], pairs=3) as run:
        pairs = all_pairs(run, [market])
        for pair in pairs:
            run.pool.subscribe(pair, "full", BOOK)
        await wait_until(lambda: run.is_live(*pairs), "every pair live")
        run.simulator.venue(*market).misbehave(fault, pair=pairs[0].pair)
        await wait_until(lambda: run.listener.resets(pairs[0]) == [reason], f"Reset({reason})")
        await wait_until(lambda: run.is_live(*pairs), "live again")
        assert run.listener.snapshots(pairs[0])[-1] is SnapshotReason.RESYNC
        await freeze_and_compare(run, pairs, wait_until)
        assert run.listener.resets(pairs[0]) == [reason]
        assert all(run.listener.resets(pair) == [] for pair in pairs[1:])


@pytest.mark.parametrize("market", [SPOT, FUTURES])
async def test_old_and_crossed_snapshots_never_become_a_book(
    market: tuple[str, str], wait_until: Callable[..., Any]
) -> None:
    async with running([market], pairs=2) as run:
        pair, served = BITCOIN[market], run.simulator.venue(*market)
        served.misbehave("stale_snapshot", pair=pair.pair)
        served.misbehave("crossed_rest", pair=pair.pair, count=2)
        run.pool.subscribe(pair, "full", BOOK)
        await wait_until(lambda: run.is_live(pair), "live")
        assert served.stats.snapshots >= 3
        await freeze_and_compare(run, [pair], wait_until)
        for event in run.listener.events[pair]:
            if isinstance(event, Snapshot):
                assert max(map(float, event.bids)) < min(map(float, event.asks))


@pytest.mark.parametrize("market", [SPOT, FUTURES])
async def test_garbage_is_counted_and_kept_and_harms_nobody(
    market: tuple[str, str], wait_until: Callable[..., Any]
) -> None:
    async with running([market], pairs=2) as run:
        pairs = all_pairs(run, [market])
        for pair in pairs:
            run.pool.subscribe(pair, "full", BOOK)
        await wait_until(lambda: run.is_live(*pairs), "every pair live")
        run.simulator.venue(*market).misbehave("garbage", pair=pairs[0].pair)
        await wait_until(lambda: len(run.listener.samples) == 1, "one sample")
        await freeze_and_compare(run, pairs, wait_until)
        assert all(run.listener.resets(pair) == [] for pair in pairs)


async def test_a_blocked_pair_is_refused_alone(wait_until: Callable[..., Any]) -> None:
    async with running([SPOT], pairs=3) as run:
        pairs = all_pairs(run, [SPOT])
        run.simulator.venue(*SPOT).misbehave("blocked", pair=pairs[1].pair)
        for pair in pairs:
            run.pool.subscribe(pair, "full", BOOK)
        await wait_until(lambda: run.is_live(pairs[0], pairs[2]), "the others live")
        await wait_until(lambda: pairs[1] in run.listener.refused, "the pair refused")
        assert "Blocked" in run.listener.refused[pairs[1]]
        assert not run.is_live(pairs[1])


async def test_empty_pushes_and_wrong_acks_change_nothing(wait_until: Callable[..., Any]) -> None:
    async with running([SPOT, FUTURES], pairs=2) as run:
        for market in (SPOT, FUTURES):
            run.simulator.venue(*market).misbehave("wrong_ack", count=5)
        pairs = all_pairs(run, [SPOT, FUTURES])
        for pair in pairs:
            run.pool.subscribe(pair, "20", BOOK)
        await wait_until(lambda: run.is_live(*pairs), "every pair live")
        run.simulator.venue(*SPOT).misbehave("empty_push", pair="BTC/USDT")
        run.simulator.venue(*FUTURES).misbehave("double_pong")
        await freeze_and_compare(run, pairs, wait_until)
        assert all(run.listener.resets(pair) == [] for pair in pairs)


async def test_a_book_of_rest_that_lags_behind_is_asked_for_again(wait_until: Callable[..., Any]) -> None:
    async with running([FUTURES], pairs=2) as run:
        pair, served = BITCOIN[FUTURES], run.simulator.venue(*FUTURES)
        served.snapshot(served.feed_of_pair(pair.pair))  # the market moves from here on
        lagging = served.misbehave("lagging_rest", pair=pair.pair, versions=100_000)
        served.snapshot(served.feed_of_pair(pair.pair))  # what REST shows until the lag ends
        shown = served.instrument(pair.pair).sequence
        await wait_until(lambda: served.instrument(pair.pair).sequence > shown, "a change that REST does not show")
        run.pool.subscribe(pair, "full", BOOK)
        await wait_until(lambda: served.stats.snapshots >= 4, "asked again")
        assert not run.is_live(pair)
        lagging.end()
        await wait_until(lambda: run.is_live(pair), "live")
        await freeze_and_compare(run, [pair], wait_until)


async def test_after_every_connection_was_closed_every_pair_comes_back(wait_until: Callable[..., Any]) -> None:
    async with running([SPOT, FUTURES], pairs=2) as run:
        pairs = all_pairs(run, [SPOT, FUTURES])
        for pair in pairs:
            run.pool.subscribe(pair, "full", BOOK)
        await wait_until(lambda: run.is_live(*pairs), "every pair live")
        for market in (SPOT, FUTURES):
            run.simulator.venue(*market).misbehave("close_all", hard=True)
        await wait_until(lambda: all(ResetReason.DISCONNECT in run.listener.resets(pair) for pair in pairs), "resets")
        await wait_until(lambda: run.is_live(*pairs), "every pair live again", timeout_s=20)
        await freeze_and_compare(run, pairs, wait_until)


@pytest.mark.parametrize("venue", MARKETS, ids=lambda venue: venue.market)
def test_a_busy_socket_hears_our_ping_all_the_same(venue: Any) -> None:
    instrument = raw_instrument(venue, "BTC_USDT")
    session = Session(venue, Instruments([instrument]), "public", random.Random(1))
    session.opened(0.0)
    pings = []
    for second in range(1, 61):
        now = second * 1000.0
        outputs = [*session.receive(b'{"method":"noise"}', 1, now), *session.tick(now, 1, heard_ms=now)]
        pings += [second for output in outputs if isinstance(output, Send) and "ing" in output.text.lower()]
    assert len(pings) == {"spot": 3, "futures": 4}[venue.market]
    assert max(later - earlier for earlier, later in zip([0, *pings], pings, strict=False)) <= 20
