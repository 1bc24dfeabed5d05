"""Both generations of KuCoin the whole way: the simulated venue, real sockets, our sessions, and books that are the venue's."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from books.events import Bbo, Event, Reset, ResetReason, Snapshot, SnapshotReason, Trade
from feeds.pair_feed import PairFeed
from feeds.pool import Pool
from feeds.venue import Venue
from feeds.venues import kucoin, kucoin_classic
from fleet.config import Endpoint
from fleet.pair import Pair
from ops.simulator import Simulator, registry
from ops.simulator.kucoin.public import KucoinClassicPublic, KucoinPublic
from ops.simulator.venue import Venue as Simulated
from tests.support.waiting import wait_until

VENUES: dict[tuple[str, str], Venue] = {(v.name, v.market): v for v in (*kucoin.MARKETS, *kucoin_classic.MARKETS)}
ALL = frozenset({"book", "bbo", "trades"})
BOOK = frozenset({"book"})


@pytest.fixture(autouse=True)
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, market in VENUES:
        made = KucoinPublic if name == "kucoin" else KucoinClassicPublic
        monkeypatch.setitem(registry.SIMULATED, (name, market), made)


class FreeBudget:
    """Nothing is limited."""

    async def take(self, name: str, cost: float) -> None:
        pass

    async def ban(self, name: str, ms: int) -> None:
        pass


class Running:
    """A pool at work on simulated venues."""

    def __init__(
        self, pool: Pool, simulator: Simulator, events: list[tuple[Pair, Event]], refused: dict[Pair, str]
    ) -> None:
        self.pool, self.simulator, self.events, self.refused = pool, simulator, events, refused

    def feed(self, pair: Pair) -> PairFeed:
        feed = self.pool.feed(pair)
        assert feed is not None
        return feed

    def is_live(self, *pairs: Pair, messages: int = 0) -> bool:
        feeds = [self.pool.feed(pair) for pair in pairs]
        return all(feed is not None and feed.live and feed.messages > messages for feed in feeds)

    def served(self, pair: Pair) -> Simulated:
        return self.simulator.venue(pair.venue, pair.market)

    def differs(self, pair: Pair, levels: int) -> list[object]:
        """Where the book is not the venue's best `levels`, in our units."""
        market = next(one for one in self.pool.markets if one.venue is VENUES[pair.venue, pair.market])
        instruments = market.loader.instruments
        assert instruments is not None
        size = instruments.by_pair[pair].contract_size
        book, truth = self.feed(pair).book, self.served(pair).book(pair.pair)
        found: list[object] = []
        for side, mine in (("bids", book.bids), ("asks", book.asks)):
            theirs = {Decimal(price): Decimal(amount) * size for price, amount in truth[side][:levels]}
            ours = {Decimal(price): Decimal(amount) for price, amount in mine.items()}
            found += sorted(ours.items() ^ theirs.items())
        return found

    def of(self, pair: Pair, kind: type[Event]) -> list[Any]:
        return [event for own, event in self.events if own == pair and isinstance(event, kind)]


@asynccontextmanager
async def running(*names: tuple[str, str], pairs: int = 3) -> AsyncIterator[Running]:
    events: list[tuple[Pair, Event]] = []
    refused: dict[Pair, str] = {}
    async with Simulator(names, pairs=pairs, rate=40.0, levels=100) as simulator:
        urls = {
            (e["venue"], e["market"]): Endpoint(rest_url=e["rest_url"], ws_url=e["ws_url"]) for e in simulator.endpoints
        }
        note: Callable[[Pair, Event], None] = lambda pair, event: events.append((pair, event))  # noqa: E731
        pool = Pool(
            find_venue=lambda venue, market: VENUES[venue, market],
            endpoint=lambda venue, market: urls[venue, market],
            budget=FreeBudget(),
            on_event=note,
            on_refused=refused.__setitem__,
            on_sample=lambda *sample: None,
            rng=random.Random(5),
            pairs_per_connection=40,
            first_delay_s=0.05,
        )
        async with asyncio.TaskGroup() as group:
            task = group.create_task(pool.run())
            try:
                yield Running(pool, simulator, events, refused)
            finally:
                task.cancel()


def pairs_of(run: Running, name: tuple[str, str]) -> list[Pair]:
    return [Pair(*name, pair) for pair in run.simulator.pairs]


@pytest.mark.parametrize("depth", ["full", "50", "bbo"])
@pytest.mark.parametrize("name", VENUES, ids="-".join)
async def test_every_pair_goes_live_and_its_book_is_the_venues(name: tuple[str, str], depth: str) -> None:
    async with running(name) as run:
        pairs = pairs_of(run, name)
        for pair in pairs:
            run.pool.subscribe(pair, depth, ALL)
        await wait_until(lambda: run.is_live(*pairs, messages=10), "every pair live")
        await wait_until(lambda: all(run.of(pair, Bbo) and run.of(pair, Trade) for pair in pairs), "all channels speak")
        run.simulator.venue(*name).misbehave("freeze_market")
        levels = {"bbo": 1, "50": 50}.get(run.feed(pairs[0]).channel.depth, 100)
        for pair in pairs:
            await wait_until(lambda pair=pair: not run.differs(pair, levels), f"the book of {pair} equal")
            assert run.of(pair, Reset) == []
            assert [event.reason for event in run.of(pair, Snapshot)] == [SnapshotReason.FIRST]
        statistics = run.simulator.statistics()[0]
        assert (statistics["limit_breaches"], statistics["connects"]) == ({}, 1)
        assert run.refused == {}


@pytest.mark.parametrize("fault, reason", [("drop", ResetReason.GAP), ("crossed", ResetReason.CROSSED)])
@pytest.mark.parametrize("name", VENUES, ids="-".join)
async def test_a_damaged_pair_is_live_again_and_the_others_never_notice(
    name: tuple[str, str], fault: str, reason: ResetReason
) -> None:
    async with running(name) as run:
        pairs = pairs_of(run, name)
        for pair in pairs:
            run.pool.subscribe(pair, "full", BOOK)
        await wait_until(lambda: run.is_live(*pairs), "every pair live")
        run.served(pairs[0]).misbehave(fault, pair=pairs[0].pair)
        await wait_until(lambda: [event.reason for event in run.of(pairs[0], Reset)] == [reason], f"Reset({reason})")
        await wait_until(lambda: run.is_live(*pairs), "live again")
        assert run.of(pairs[0], Snapshot)[-1].reason is SnapshotReason.RESYNC
        run.served(pairs[0]).misbehave("freeze_market")
        await wait_until(lambda: not run.differs(pairs[0], 100), "the book equal")
        assert all(run.of(pair, Reset) == [] for pair in pairs[1:])


@pytest.mark.parametrize("market", ["spot", "futures"])
async def test_classic_dials_with_a_new_token_every_time(market: str) -> None:
    name = ("kucoin_classic", market)
    async with running(name) as run:
        pair = pairs_of(run, name)[0]
        run.pool.subscribe(pair, "full", BOOK)
        await wait_until(lambda: run.is_live(pair), "live")
        served = run.served(pair)
        for count in (2, 3):
            served.misbehave("expire_tokens")
            served.misbehave("close_all")
            await wait_until(lambda count=count: served.stats.connects >= count, "another dial")
            await wait_until(lambda: run.is_live(pair), "live again")
        served.misbehave("freeze_market")
        await wait_until(lambda: not run.differs(pair, 100), "the book equal")
        assert served.stats.connects == 3  # no dial failed


@pytest.mark.parametrize("name", VENUES, ids="-".join)
async def test_a_late_welcome_costs_nothing_that_was_asked(name: tuple[str, str]) -> None:
    async with running(name) as run:
        served = run.simulator.venue(*name)
        served.misbehave("late_welcome", delay_ms=400)
        pair = pairs_of(run, name)[0]
        run.pool.subscribe(pair, "full", BOOK)
        await wait_until(lambda: run.is_live(pair), "live", timeout_s=5)  # a lost request would be repeated after 10 s


@pytest.mark.parametrize("fault", ["early_delta", "overlap", "text_results"])
async def test_what_pro_may_do_harms_no_book(fault: str) -> None:
    name = ("kucoin", "futures")
    async with running(name) as run:
        pair = pairs_of(run, name)[0]
        run.served(pair).misbehave(fault, **({} if fault == "text_results" else {"pair": pair.pair}))
        run.pool.subscribe(pair, "full", BOOK)
        await wait_until(lambda: run.is_live(pair, messages=10), "live")
        run.served(pair).misbehave("freeze_market")
        await wait_until(lambda: not run.differs(pair, 100), "the book equal")
        assert run.of(pair, Reset) == []


async def test_hidden_orders_harm_no_classic_book() -> None:
    name = ("kucoin_classic", "spot")
    async with running(name) as run:
        pair = pairs_of(run, name)[0]
        run.pool.subscribe(pair, "full", BOOK)
        await wait_until(lambda: run.is_live(pair), "live")
        run.served(pair).misbehave("hidden_order", pair=pair.pair, count=3)
        await wait_until(lambda: not run.served(pair).faults.find("hidden_order", pair.pair), "three hidden orders")
        run.served(pair).misbehave("freeze_market")
        await wait_until(lambda: not run.differs(pair, 100), "the book equal")
        assert run.of(pair, Reset) == []


async def test_contracts_that_are_not_ours_are_refused_by_name() -> None:
    name = ("kucoin", "futures")
    async with running(name) as run:
        pair = pairs_of(run, name)[0]
        run.pool.subscribe(pair, "bbo", BOOK)
        await wait_until(lambda: run.is_live(pair), "live")
        instruments = run.pool.markets[0].loader.instruments
        assert instruments is not None
        assert set(instruments.refused) == {"XBTUSDCM", "XBTUSDM", "XBTMZ26", "NEWUSDTM"}
        assert instruments.by_pair[pair].symbol == "XBTUSDTM"
