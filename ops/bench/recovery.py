"""`fleet bench recovery`: how fast and how locally each venue × market mends itself, on simulators over real sockets.

One market after another: a simulator with its limits on, a Pool whose budgets are those of a fleet, every pair at the deepest
depth. Then: book messages told twice, book messages lost one by one, every connection replaced as planned, the books compared
while the market stands still. Every step is bounded: what takes longer is an error of that market alone.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from typing import Any

from books.events import Event, Reset, Snapshot
from feeds.budgets import rate_of
from feeds.market import Market
from feeds.pair_feed import PairFeed
from feeds.pool import Pool
from feeds.venue import Bootstrap, Limits
from feeds.venues import find
from fleet import clock
from fleet.config import Endpoint
from fleet.errors import FleetError
from fleet.pair import Pair
from ops.bench.recovery_figures import (
    Loss,
    Losses,
    MarketFigures,
    Planned,
    Told,
    Witness,
    breaks,
    differs,
    violations,
)
from ops.simulator.simulator import Simulator
from ops.simulator.venue import Venue as SimulatedVenue

Place = tuple[str, str]

BOOK = frozenset({"book"})
PAIRS = 8
RATE = 8.0  # changes a second and pair
LEVELS, LEVELS_BY_REST = (
    400,
    100,
)  # a side; public snapshots end, the shortest at 100, and what is beyond cannot be known
START_S = 240.0  # until every book is live, with every wait that limits impose
LIVE_S = 45.0  # until one is live again
NOTICE_S = 10.0  # until a lost message shows
HEARD_S = 20.0
MOVE_S = 60.0
EQUAL_S = 5.0
RUN_S = 30.0  # what a lost message may take on average
POLL_S = 0.005


class Late(FleetError):
    """Something did not come in time."""


class Budget:
    """The buckets of a fleet's shared budget (feeds.budgets) in this process; bans are kept."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buckets: dict[str, tuple[float, float]] = {}  # tokens, and when they were counted
        self._banned_ms: dict[str, float] = {}

    async def take(self, name: str, cost: float) -> None:
        """Wait until `cost` may be spent, and spend it."""
        while True:
            wait_s = self.wait_s(name, cost)
            if wait_s <= 0:
                tokens, at_ms = self._buckets[name]
                self._buckets[name] = (tokens - cost, at_ms)
                return
            await asyncio.sleep(max(wait_s, 0.001))

    def wait_s(self, name: str, cost: float) -> float:
        """How long until `cost` could be spent, if nobody else spends; at most 0: now. More than a bucket holds counts as
        all of it."""
        rate, now_ms = rate_of(self._limits, name.rpartition(":")[2]), clock.mono_ms()
        tokens, since_ms = self._buckets.get(name, (rate.capacity, now_ms))
        tokens = min(rate.capacity, tokens + (now_ms - since_ms) / 1000 * rate.refill_per_s)
        self._buckets[name] = (tokens, now_ms)
        banned_s = (self._banned_ms.get(name, 0.0) - now_ms) / 1000
        return max(banned_s, (min(cost, rate.capacity) - tokens) / rate.refill_per_s)

    async def ban(self, name: str, ms: int) -> None:
        """Nothing may be spent for `ms`."""
        self._banned_ms[name] = max(self._banned_ms.get(name, 0.0), clock.mono_ms() + ms)


async def recovery(
    places: Sequence[Place], runs: int, on_market: Callable[[MarketFigures], None] | None = None
) -> list[MarketFigures]:
    """Measure each of `places`; what broke off has `error`. `on_market` hears of each as it ends."""
    measured = []
    for place in places:
        seen = await measure(place, runs)
        measured.append(seen)
        if on_market is not None:
            on_market(seen)
    return measured


async def measure(place: Place, runs: int) -> MarketFigures:
    """One venue × market. There are pairs enough for every lost message to be of another one."""
    channel = find(*place).book_channel("full")
    pairs = max(PAIRS, runs)
    seen = MarketFigures(
        venue=place[0], market=place[1], depth=channel.depth, bootstrap=channel.bootstrap.value,
        hurried=False, pairs=pairs,
    )  # fmt: skip
    levels = LEVELS_BY_REST if channel.bootstrap is Bootstrap.REST else LEVELS
    most_s = START_S + 3 * HEARD_S + runs * RUN_S + MOVE_S + EQUAL_S
    try:
        async with asyncio.timeout(most_s), _running(place, pairs, levels) as patient:
            seen.hurried = patient.hurry()
            try:  # here, since the pool's task group would wrap it
                await patient.examine(seen, runs)
            except Late as error:
                seen.error = str(error)
    except TimeoutError:
        seen.error = f"not measured within {most_s:.0f} s"
    seen.violations = violations(seen)
    return seen


@asynccontextmanager
async def _running(place: Place, pairs: int, levels: int) -> AsyncIterator["_Patient"]:
    """The market simulated, and a pool that nobody has asked for anything yet."""
    async with Simulator([place], pairs=pairs, rate=RATE, levels=levels) as simulator:
        [urls] = simulator.endpoints
        endpoint = Endpoint(rest_url=urls["rest_url"], ws_url=urls["ws_url"], enabled=True)
        witness, budget = Witness(), Budget(find(*place).limits)
        pool = Pool(
            find_venue=find,
            endpoint=lambda *_: endpoint,
            budget=budget,
            on_event=lambda pair, event: patient.told(pair, event),
            on_refused=witness.refused.__setitem__,
            on_sample=lambda *_: None,
            rng=random.Random(5),
        )
        traded = [Pair(*place, pair) for pair in simulator.pairs_of(*place)]
        patient = _Patient(pool, simulator.venue(*place), witness, budget, traded)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(pool.run(), name="bench pool")
            try:
                yield patient
            finally:
                running.cancel()


class _Patient:
    """One venue × market at work."""

    def __init__(
        self, pool: Pool, simulated: SimulatedVenue, witness: Witness, budget: Budget, pairs: list[Pair]
    ) -> None:
        self._pool = pool
        self._simulated = simulated
        self._witness = witness
        self._budget = budget
        self._pairs = pairs

    def told(self, pair: Pair, event: Event) -> None:
        """An event of the pool."""
        messages = self._messages(pair) if isinstance(event, Reset) else 0
        self._witness.event(pair, Told(clock.mono_ms(), messages, event))

    def hurry(self) -> bool:
        """Have the simulator speak as often as it can; whether it would be slow otherwise."""
        self._simulated.hurry()
        return type(self._simulated).hurry is not SimulatedVenue.hurry

    async def examine(self, seen: MarketFigures, runs: int) -> None:
        """Every step, its figures into `seen` as they are known. Raises Late."""
        marks = self._witness.marks()
        try:
            await self._bootstrap(seen)
            seen.disturbed += self._resets(marks)
            await self._duplicates(seen, self._pairs[:runs])
            feed = self._feed(self._pairs[0])
            if feed.channel.bootstrap is Bootstrap.IMAGES:
                seen.lost_because = "images"
            else:
                seen.lost = Losses()
                for pair in self._pairs[:runs]:
                    await self._loss(seen, seen.lost, pair)
            await self._replacement(seen)
            await self._comparison(seen)
        finally:
            seen.breaches = dict(self._simulated.stats.limit_breaches)

    # ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _bootstrap(self, seen: MarketFigures) -> None:
        """From the wish for every pair to the last first Snapshot: instruments, tickets, sockets and limits included."""
        started_ms = clock.mono_ms()
        for pair in self._pairs:
            self._pool.subscribe(pair, "full", BOOK)
        await self._until(lambda: all(map(self._is_live, self._pairs)), "every pair live", START_S)
        firsts = [
            next(told.at_ms for told in self._witness.told[pair] if isinstance(told.event, Snapshot))
            for pair in self._pairs
        ]
        seen.bootstrap_ms = round(max(firsts) - started_ms, 1)
        await self._heard(self._pairs, 3)

    async def _duplicates(self, seen: MarketFigures, pairs: list[Pair]) -> None:
        """One book message of each of these pairs comes twice."""
        marks = self._witness.marks()
        faults = [self._simulated.misbehave("duplicate", pair=pair.pair) for pair in pairs]
        await self._until(lambda: not any(fault.active for fault in faults), "duplicated messages", HEARD_S)
        await self._heard(pairs, 2)
        seen.duplicates = len(pairs)
        seen.duplicate_resets = self._resets(marks, only=pairs)
        seen.disturbed += self._resets(marks) - seen.duplicate_resets

    async def _loss(self, seen: MarketFigures, losses: Losses, pair: Pair) -> None:
        """One book message of a pair is lost. A message still on its way at that moment counts as a later one."""
        marks, feed = self._witness.marks(), self._feed(pair)
        lost: list[tuple[float, int]] = []
        fault = self._simulated.misbehave("drop", pair=pair.pair)
        fault.on_end = lambda: lost.append((clock.mono_ms(), feed.messages))
        await self._until(lambda: not fault.active, f"a message of {pair.pair} to lose", HEARD_S)
        try:
            await self._until(lambda: self._witness.resets(pair, marks), "a Reset", NOTICE_S)
        except Late:
            losses.unseen.append(pair.pair)
            return
        again = partial(self._witness.live_again, pair, marks)
        await self._until(lambda: again() is not None and self._is_live(pair), f"{pair.pair} live again", LIVE_S)
        await self._heard([pair], 2)
        [(lost_ms, before)], first, live_ms = lost, self._witness.resets(pair, marks)[0], again()
        if not isinstance(first.event, Reset) or live_ms is None:
            raise AssertionError("waited for both")
        losses.resets += self._resets(marks, only=[pair])
        seen.disturbed += self._resets(marks) - self._resets(marks, only=[pair])
        losses.add(
            Loss(
                pair=pair.pair,
                reason=first.event.reason.value,
                messages=first.messages - before - 1,
                reset_ms=round(first.at_ms - lost_ms, 1),
                live_ms=round(live_ms - lost_ms, 1),
            )
        )

    async def _replacement(self, seen: MarketFigures) -> None:
        """Every connection is said to end soon."""
        market, marks = self._market, self._witness.marks()
        links, feeds = market.links, {pair: self._feed(pair) for pair in self._pairs}
        started_ms = clock.mono_ms()
        for link in links:
            link.owner.ending(link, "planned by the bench")
        await self._until(
            lambda: all(self._pool.feed(pair) is not feeds[pair] for pair in self._pairs), "every pair moved", MOVE_S
        )
        moved_ms = clock.mono_ms() - started_ms
        await self._until(lambda: not set(links) & set(market.links), "the old connections closed", MOVE_S)
        await self._heard(self._pairs, 2)
        missed = 0
        for pair in self._pairs:
            events = [told.event for told in self._witness.told[pair]]
            broken = list(breaks(events, self._feed(pair).channel.rule))
            late = sum(number >= marks.get(pair, 0) for number in broken)
            missed += late
            seen.strays += len(broken) - late
        seams = sum(self._witness.seams(pair, marks) for pair in self._pairs)
        seen.planned = Planned(len(links), self._resets(marks), missed, seams, round(moved_ms, 1))

    async def _comparison(self, seen: MarketFigures) -> None:
        """The market stands still, after telling everything until then: every book is the venue's, level by level."""
        marks = self._witness.marks()
        with self._simulated.misbehave("freeze_market"):
            try:
                await self._until(lambda: not any(map(self._differs, self._pairs)), "equal books", EQUAL_S)
            except Late:
                pass  # which ones differ is said below
            seen.unequal = [pair.pair for pair in self._pairs if self._differs(pair)]
        seen.equal = len(self._pairs) - len(seen.unequal)
        seen.disturbed += self._resets(marks)

    # ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _market(self) -> Market:
        [market] = self._pool.markets
        return market

    def _feed(self, pair: Pair) -> PairFeed:
        feed = self._pool.feed(pair)
        if feed is None:
            raise Late(f"{pair.pair} has no connection any more")
        return feed

    def _is_live(self, pair: Pair) -> bool:
        feed = self._pool.feed(pair)
        return feed is not None and feed.live

    def _messages(self, pair: Pair) -> int:
        feed = self._pool.feed(pair)
        return 0 if feed is None else feed.messages

    def _resets(self, marks: dict[Pair, int], *, only: Sequence[Pair] | None = None) -> int:
        return sum(len(self._witness.resets(pair, marks)) for pair in (self._pairs if only is None else only))

    def _differs(self, pair: Pair) -> bool:
        instruments = self._market.loader.instruments
        if not self._is_live(pair) or instruments is None:
            return True
        feed, size = self._feed(pair), instruments.by_pair[pair].contract_size
        book = self._simulated.book(pair.pair)
        truth = [{Decimal(price): Decimal(amount) * size for price, amount in book[side]} for side in ("bids", "asks")]
        most = int(feed.channel.depth) if feed.channel.depth.isdecimal() else None
        return differs(feed.book, self._witness.books[pair], truth, most)

    async def _heard(self, pairs: Sequence[Pair], more: int) -> None:
        """Until each had `more` messages of its book."""
        enough = {pair: self._messages(pair) + more for pair in pairs}
        await self._until(
            lambda: all(self._messages(pair) >= least for pair, least in enough.items()), f"{more} messages", HEARD_S
        )

    async def _until(self, condition: Callable[[], Any], what: str, within_s: float) -> None:
        """Raises Late, which names the pairs that are not live."""
        until_ms = clock.mono_ms() + within_s * 1000
        while not condition():
            if clock.mono_ms() > until_ms:
                states = [state for state in self._pool.states() if state.state != "live"]
                why = "".join(f"; {state.pair.pair} {state.state}: {state.reason}" for state in states)
                raise Late(f"waited {within_s:.0f} s for {what}{why}")
            await asyncio.sleep(POLL_S)
