"""The whole way from simulated venues over real sockets to a pool, and what a reader of its events would see."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from books.book import Book
from books.events import Bbo, Mark, Reset, ResetReason, Snapshot, SnapshotReason, Trade
from feeds.market import Market
from feeds.pool import Pool
from feeds.venues import find
from fleet.config import Endpoint
from fleet.pair import Pair
from ops.simulator.simulator import Simulator

BOOK = frozenset({"book"})


class FreeBudget:
    """Nothing is limited; bans are noted and kept for a moment."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self.bans: list[tuple[str, int]] = []

    async def take(self, name: str, cost: float) -> None:
        self.spent[name] += cost

    async def ban(self, name: str, ms: int) -> None:
        self.bans.append((name, ms))


class Listener:
    """Follows the events of every pair as a reader would, and checks their order."""

    def __init__(self) -> None:
        self.books: dict[Pair, Book] = {}
        self.live: set[Pair] = set()
        self.events: dict[Pair, list] = {}
        self.refused: dict[Pair, str] = {}
        self.samples: list = []

    def event(self, pair: Pair, event) -> None:
        self.events.setdefault(pair, []).append(event)
        if isinstance(event, Mark | Bbo | Trade):
            return
        if isinstance(event, Reset):
            assert pair in self.live, "a Reset of a pair that was not live"
            self.live.discard(pair)
        elif isinstance(event, Snapshot):
            self.live.add(pair)
        else:
            assert pair in self.live, "a Delta of a pair that is not live"
        self.books.setdefault(pair, Book()).apply(event)

    def resets(self, pair: Pair) -> list[ResetReason]:
        return [event.reason for event in self.events.get(pair, []) if isinstance(event, Reset)]

    def snapshots(self, pair: Pair) -> list[SnapshotReason]:
        return [event.reason for event in self.events.get(pair, []) if isinstance(event, Snapshot)]


class Running:
    def __init__(self, pool: Pool, listener: Listener, simulator: Simulator, budget: FreeBudget) -> None:
        self.pool, self.listener, self.simulator, self.budget = pool, listener, simulator, budget

    def market(self, venue: str, market: str) -> Market:
        return next(one for one in self.pool.markets if (one.venue.name, one.venue.market) == (venue, market))

    def is_live(self, *pairs: Pair) -> bool:
        return all((feed := self.pool.feed(pair)) is not None and feed.live for pair in pairs)

    def truth(self, pair: Pair) -> tuple[dict, dict]:
        """The simulator's book in our units."""
        market = self.market(pair.venue, pair.market)
        size = market.loader.instruments.by_pair[pair].contract_size
        book = self.simulator.venue(pair.venue, pair.market).book(pair.pair)
        return tuple({Decimal(p): Decimal(q) * size for p, q in book[side]} for side in ("bids", "asks"))

    def window(self, pair: Pair) -> int | None:
        """How many levels a side the pair's channel gives; None: all."""
        depth = self.pool.feed(pair).channel.depth
        return 1 if depth == "bbo" else int(depth) if depth.isdecimal() else None

    def differences(self, pair: Pair) -> list:
        """Where the book differs from the venue's, in the window that the channel gives."""
        mine = self.pool.feed(pair).book
        told = self.listener.books[pair]
        assert (dict(mine.bids), dict(mine.asks)) == (dict(told.bids), dict(told.asks))
        found = []
        most = self.window(pair)
        for whole, levels, best in zip(self.truth(pair), (mine.bids, mine.asks), (-1, 1), strict=True):
            side = dict(sorted(whole.items(), key=lambda level, best=best: best * level[0])[:most])
            ours = {Decimal(p): Decimal(q) for p, q in levels.items()}
            found += [(p, ours.get(p), side.get(p)) for p in {*ours, *side} if ours.get(p) != side.get(p)]
        return found


@asynccontextmanager
async def running(
    venues: Sequence[tuple[str, str]], *, pairs: int = 4, per_connection: int = 40, budget: Any = None, **simulated: Any
) -> AsyncIterator["Running"]:
    """Those venues simulated, and a pool that nobody has asked for anything yet."""
    listener, budget = Listener(), budget or FreeBudget()
    async with Simulator(venues, pairs=pairs, **{"rate": 8.0, "levels": 100, **simulated}) as simulator:
        urls = {
            (e["venue"], e["market"]): Endpoint(rest_url=e["rest_url"], ws_url=e["ws_url"], enabled=True)
            for e in simulator.endpoints
        }
        pool = Pool(
            find_venue=find,
            endpoint=lambda venue, market: urls.get((venue, market), Endpoint()),
            budget=budget,
            on_event=listener.event,
            on_refused=listener.refused.__setitem__,
            on_sample=lambda *sample: listener.samples.append(sample),
            rng=random.Random(5),
            pairs_per_connection=per_connection,
            first_delay_s=0.05,
        )
        async with asyncio.TaskGroup() as group:
            task = group.create_task(pool.run())
            try:
                yield Running(pool, listener, simulator, budget)
            finally:
                task.cancel()


def all_pairs(run: Running, venues: Sequence[tuple[str, str]]) -> list[Pair]:
    """Every trading pair of those venues."""
    return [Pair(venue, market, pair) for venue, market in venues for pair in run.simulator.pairs_of(venue, market)]
