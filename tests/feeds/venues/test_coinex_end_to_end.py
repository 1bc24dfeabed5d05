"""CoinEx the whole way: the simulated venue over real sockets, our session, and books equal level by level."""

from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest

from books.events import Bbo, Delta, ResetReason, SnapshotReason, Trade
from feeds.venue import Keepalive
from feeds.venues.coinex import MARKETS
from feeds.venues.coinex.market_data import CoinEx
from fleet.pair import Pair
from ops.simulator.coinex.public import CoinExPublic
from tests.support.pool_run import BOOK, Running, all_pairs, running

VENUE_MARKETS = [("coinex", "spot"), ("coinex", "futures")]
ALL = frozenset({"book", "bbo", "trades"})

Wait = Callable[..., Awaitable[object]]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Books speak every 100 ms, not every 200: nothing here depends on it."""
    monkeypatch.setattr("ops.simulator.coinex.public.PUSH_MS", 100.0)


def served(run: Running, place: tuple[str, str]) -> CoinExPublic:
    venue = run.simulator.venue(*place)
    assert isinstance(venue, CoinExPublic)
    return venue


async def all_live(run: Running, place: tuple[str, str], wait_until: Wait, depth: str = "full") -> list[Pair]:
    pairs = all_pairs(run, [place])
    for pair in pairs:
        run.pool.subscribe(pair, depth, BOOK)
    await wait_until(lambda: run.is_live(*pairs), "every pair live")
    return pairs


async def all_equal(run: Running, place: tuple[str, str], pairs: list[Pair], wait_until: Wait) -> None:
    served(run, place).misbehave("freeze_market")
    for pair in pairs:
        await wait_until(lambda pair=pair: run.differences(pair) == [], f"the book of {pair} equal")


@pytest.mark.parametrize("place", VENUE_MARKETS)
@pytest.mark.parametrize("depth", ["20", "full"])
async def test_books_are_the_venues_level_by_level(place: tuple[str, str], depth: str, wait_until: Wait) -> None:
    async with running([place], pairs=4) as run:
        pairs = all_pairs(run, [place])
        for pair in pairs:
            run.pool.subscribe(pair, depth, ALL)
        await wait_until(lambda: run.is_live(*pairs), "every pair live")
        await wait_until(lambda: all(run.pool.feed(pair).messages > 8 for pair in pairs), "some deltas each")
        kinds = lambda pair: {type(event) for event in run.listener.events[pair]}  # noqa: E731
        await wait_until(lambda: all({Bbo, Trade, Delta} <= kinds(pair) for pair in pairs), "best prices and trades")
        await all_equal(run, place, pairs, wait_until)
        for pair in pairs:
            assert run.listener.snapshots(pair) == [SnapshotReason.FIRST]
            assert run.listener.resets(pair) == []
            ids = [int(event.trade_id) for event in run.listener.events[pair] if isinstance(event, Trade)]
            assert ids == sorted(set(ids))
        assert served(run, place).statistics()["limit_breaches"] == {}
        assert run.listener.samples == []
        assert {state.sequence for state in run.pool.states()} == {None}


@pytest.mark.parametrize("place", VENUE_MARKETS)
async def test_best_prices_alone_follow_the_venue(place: tuple[str, str], wait_until: Wait) -> None:
    async with running([place], pairs=2) as run:
        pairs = await all_live(run, place, wait_until, "bbo")
        served(run, place).misbehave("freeze_market")
        for pair in pairs:
            bids, asks = run.truth(pair)
            best = max(bids), min(asks)

            def top(pair: Pair = pair) -> tuple[Decimal, Decimal]:
                book = run.pool.feed(pair).book
                return Decimal(book.best_bid()[0]), Decimal(book.best_ask()[0])

            await wait_until(lambda top=top, best=best: top() == best, f"the best prices of {pair} equal")


@pytest.mark.parametrize("place", VENUE_MARKETS)
@pytest.mark.parametrize(
    "fault, reason",
    [("drop", ResetReason.CHECKSUM), ("bad_checksum", ResetReason.CHECKSUM), ("reorder", ResetReason.CHECKSUM),
     ("crossed", ResetReason.CROSSED)],
)  # fmt: skip
@pytest.mark.parametrize("adds", [False, True])
async def test_a_damaged_pair_resets_and_is_live_again_and_the_others_never_notice(
    place: tuple[str, str], fault: str, reason: ResetReason, adds: bool, wait_until: Wait
) -> None:
    async with running([place], pairs=3) as run:
        if adds:
            served(run, place).misbehave("subscriptions_add")
        pairs = await all_live(run, place, wait_until)
        await wait_until(lambda: all(run.pool.feed(pair).messages > 2 for pair in pairs), "deltas")
        served(run, place).misbehave(fault, pair=pairs[0].pair)
        await wait_until(lambda: run.listener.resets(pairs[0]) == [reason], f"Reset({reason})")
        await wait_until(lambda: run.is_live(*pairs), "live again")
        assert run.listener.snapshots(pairs[0])[-1] is SnapshotReason.RESYNC
        await all_equal(run, place, pairs, wait_until)
        assert all(run.listener.resets(pair) == [] for pair in pairs[1:])
        assert all(run.listener.snapshots(pair) == [SnapshotReason.FIRST] for pair in pairs[1:])


async def test_a_message_that_comes_twice_is_harmless(wait_until: Wait) -> None:
    place = ("coinex", "spot")
    async with running([place], pairs=1) as run:
        pairs = await all_live(run, place, wait_until)
        before = run.pool.feed(pairs[0]).messages
        served(run, place).misbehave("duplicate", pair=pairs[0].pair, count=3)
        await wait_until(lambda: run.pool.feed(pairs[0]).messages > before + 6, "three twice")
        await all_equal(run, place, pairs, wait_until)
        assert run.listener.resets(pairs[0]) == []


async def test_the_image_of_every_minute_says_nothing_new(wait_until: Wait) -> None:
    place = ("coinex", "spot")
    async with running([place], pairs=2) as run:
        served(run, place).timing.keepalive_ms = 150
        pairs = await all_live(run, place, wait_until)
        await wait_until(lambda: all(run.pool.feed(pair).messages > 20 for pair in pairs), "many images")
        await all_equal(run, place, pairs, wait_until)
        after = {pair: (run.pool.feed(pair).messages, run.pool.feed(pair).events) for pair in pairs}
        await wait_until(
            lambda: all(run.pool.feed(p).messages > after[p][0] + 3 for p in pairs), "images of a still book"
        )
        for pair in pairs:
            assert run.listener.snapshots(pair) == [SnapshotReason.FIRST]
            assert run.listener.resets(pair) == []
            assert run.pool.feed(pair).events == after[pair][1]


@pytest.mark.parametrize("quirk", ["text_frames", "missing_side"])
async def test_other_forms_of_the_same_messages_are_read(quirk: str, wait_until: Wait) -> None:
    place = ("coinex", "futures")
    async with running([place], pairs=2) as run:
        served(run, place).misbehave(quirk)
        pairs = await all_live(run, place, wait_until)
        await wait_until(lambda: all(run.pool.feed(pair).messages > 8 for pair in pairs), "some deltas each")
        await all_equal(run, place, pairs, wait_until)
        assert run.listener.samples == []
        assert all(run.listener.resets(pair) == [] for pair in pairs)


async def test_a_maintenance_is_the_reason_shown_until_it_ends(wait_until: Wait) -> None:
    place = ("coinex", "spot")
    async with running([place], pairs=1) as run:
        (pair,) = all_pairs(run, [place])
        with served(run, place).misbehave("maintenance", minutes=30):
            run.pool.subscribe(pair, "full", BOOK)
            await wait_until(
                lambda: "the venue is in maintenance for 30 more minutes" in next(run.pool.states()).reason,
                "the reason",
            )
        await wait_until(lambda: run.is_live(pair), "live", timeout_s=20)


async def test_keepalives_hold_a_connection_on_which_nothing_moves(
    wait_until: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ("coinex", "spot")
    text = MARKETS[0].keepalive.text
    monkeypatch.setattr(CoinEx, "keepalive", Keepalive(text=text, idle_ms=200, dead_ms=5_000, every_ms=200))
    async with running([place], pairs=1) as run:
        venue = served(run, place)
        venue.timing.idle_ms = 1_500
        pairs = await all_live(run, place, wait_until)
        venue.misbehave("freeze_market")
        await wait_until(
            lambda: venue.stats.pongs_received > 12, "keepalives for twice the time that ends a mute socket"
        )
        assert venue.stats.connects == 1
        assert run.listener.resets(pairs[0]) == []
        assert venue.statistics()["limit_breaches"] == {}
