"""What every venue × market must do, from its simulator over real sockets to the events of a pool. No venue is named here:
what differs between venues is read from what they say of themselves (`book_channel`, `traits`, `limits`).

The books of one venue-market live once for all tests of a class; each test hurts a pair of its own and leaves it well.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from books.events import Bbo, Delta, Reset, ResetReason, Snapshot, SnapshotReason, Trade
from books.sequence import Relation
from feeds.budgets import rate_of
from feeds.market import Market, PairState
from feeds.venue import Bootstrap, InstrumentStatus
from feeds.venues import VENUES
from fleet import clock
from fleet.errors import ConfigError
from fleet.pair import Pair
from ops.simulator.venue import Venue as SimulatedVenue
from tests.support.pool_run import BOOK, FreeBudget, Listener, Running, running
from tests.support.waiting import wait_until

Place = tuple[str, str]

ALL = frozenset({"book", "bbo", "trades"})
PAIRS = 12
PATIENCE_S = 30.0  # nothing here takes so long on an idle machine


def places(market: str) -> list[Place]:
    """Every venue-market of that kind that we know. One without a simulator fails its tests: it is not left out."""
    return sorted(place for place in VENUES if place[1] == market)


class Alive:
    """One venue-market at work, and pairs to hurt."""

    def __init__(self, run: Running, place: Place) -> None:
        self.run, self.place = run, place
        self.pairs = [Pair(*place, pair) for pair in run.simulator.pairs_of(*place)]
        self._unhurt = list(self.pairs)

    @property
    def simulated(self) -> SimulatedVenue:
        return self.run.simulator.venue(*self.place)

    @property
    def market(self) -> Market:
        return self.run.market(*self.place)

    @property
    def listener(self) -> Listener:
        return self.run.listener

    def next_pair(self) -> Pair:
        """A pair that no test has hurt yet."""
        return self._unhurt.pop()

    def state(self, pair: Pair) -> PairState:
        return next(state for state in self.run.pool.states() if state.pair == pair)

    def messages(self, pair: Pair) -> int:
        feed = self.run.pool.feed(pair)
        return 0 if feed is None else feed.messages

    async def until(self, condition: Callable[[], Any], description: str) -> None:
        try:
            await wait_until(condition, f"{' '.join(self.place)}: {description}", PATIENCE_S)
        except AssertionError as error:
            for state in self.run.pool.states():
                if state.state != "live":
                    error.add_note(f"{state.pair}: {state.state}: {state.reason}; connection {state.connection}")
            raise

    async def until_live(self, *pairs: Pair) -> None:
        await self.until(lambda: self.run.is_live(*pairs), f"{len(pairs)} pairs live")

    async def until_heard(self, pair: Pair, more: int) -> None:
        """Until `more` messages of the pair's book came."""
        enough = self.messages(pair) + more
        await self.until(lambda: self.messages(pair) >= enough, f"{more} messages of {pair}")

    async def until_equal(self, *pairs: Pair) -> None:
        """Books are compared level by level while the market stands still."""
        with self.simulated.misbehave("freeze_market"):
            for pair in pairs:
                await self.until(lambda pair=pair: self.run.differences(pair) == [], f"the book of {pair} equal")

    def untouched(self, *hurt: Pair) -> "Untouched":
        return Untouched(self, [pair for pair in self.pairs if pair not in hurt])


class Untouched:
    """While inside, nothing but deltas may happen to these pairs."""

    def __init__(self, alive: Alive, pairs: list[Pair]) -> None:
        self._alive, self._pairs = alive, pairs
        self._before: dict[Pair, int] = {}

    def _count(self) -> dict[Pair, int]:
        events = self._alive.listener.events
        return {
            pair: sum(isinstance(event, Reset | Snapshot) for event in events.get(pair, [])) for pair in self._pairs
        }

    def __enter__(self) -> None:
        self._before = self._count()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            assert self._count() == self._before, "other pairs were reset"


@pytest_asyncio.fixture(scope="class", loop_scope="class")
async def alive(place: Place) -> AsyncIterator[Alive]:
    """Every pair of the place live, as deep as the venue goes."""
    ready: asyncio.Future[Alive] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()

    async def live() -> None:
        # a task group must be left by the task that entered it: fixtures are torn down by another
        # limits are the matter of `Bursts`: here a dozen failures are packed into seconds, beyond any venue's REST weight
        async with running([place], pairs=PAIRS, enforce_limits=False) as run:
            it = Alive(run, place)
            it.simulated.hurry()
            for pair in it.pairs:
                run.pool.subscribe(pair, "full", BOOK)
            await it.until_live(*it.pairs)
            ready.set_result(it)
            await stop.wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("feeds.rhythm.SEEN_MS", 1_000.0)
        patch.setattr("feeds.rhythm.SEEN_MESSAGES", 8)
        patch.setattr("feeds.rhythm.SILENCE_LEAST_MS", 2_500.0)
        task = asyncio.create_task(live())
        await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
        try:
            yield await ready if ready.done() else await task  # type: ignore[misc]
        finally:
            stop.set()
            await task


def missing_shows(alive: Alive, pair: Pair) -> bool:
    """Whether a lost message can be seen at all: where every message is a whole book, nothing is missing after the next."""
    feed = alive.run.pool.feed(pair)
    assert feed is not None
    return feed.channel.bootstrap is not Bootstrap.IMAGES


def assert_chain(alive: Alive, pair: Pair, since: int = 0) -> None:
    """Every delta that was told, from the event of number `since` on, follows the one before by the venue's own rule."""
    feed = alive.run.pool.feed(pair)
    assert feed is not None
    rule, last, bridging = feed.channel.rule, None, False
    for number, event in enumerate(alive.listener.events[pair][since:], since):
        if isinstance(event, Snapshot):
            last, bridging = event.sequence, True
        elif isinstance(event, Delta):
            if last is not None and event.sequence is not None:
                relation = (rule.first if bridging else rule.following)(last, event)
                near = alive.listener.events[pair][max(0, number - 3) : number + 2]
                assert relation is Relation.NEXT, (relation, last, near)
            last, bridging = event.sequence, False


class Conformance:
    """Subclass it with a `market`."""

    market: str

    async def test_every_pair_goes_live_and_its_book_is_the_venues(self, alive: Alive) -> None:
        for pair in alive.pairs:
            await alive.until_heard(pair, 3)
            assert alive.listener.snapshots(pair) == [SnapshotReason.FIRST]
            assert alive.listener.resets(pair) == []
            assert_chain(alive, pair)
        await alive.until_equal(*alive.pairs)

    @pytest.mark.parametrize("depth", ["bbo", "20", "50"])
    async def test_shallower_books_best_prices_and_trades_follow_the_venue(self, alive: Alive, depth: str) -> None:
        pair = alive.next_pair()
        alive.run.pool.subscribe(pair, depth, ALL)
        await alive.until_live(pair)
        seen = alive.listener.events[pair]
        await alive.until(lambda: {Bbo, Trade} <= {type(event) for event in seen}, "best prices and trades")
        await alive.until_equal(pair)
        best = next(event for event in reversed(seen) if isinstance(event, Bbo))
        assert set(best.bid) | set(best.ask) <= set("0123456789.")
        trade = next(event for event in seen if isinstance(event, Trade))
        assert trade.side in ("buy", "sell")
        alive.run.pool.subscribe(pair, "full", BOOK)
        await alive.until_live(pair)

    async def test_a_lost_message_is_seen_with_the_next_and_mended_alone(self, alive: Alive) -> None:
        pair = alive.next_pair()
        shows = missing_shows(alive, pair)
        with alive.untouched(pair):
            alive.simulated.misbehave("drop", pair=pair.pair)
            if shows:
                await alive.until(lambda: alive.listener.resets(pair), "a Reset")
                assert alive.listener.resets(pair)[0] in (ResetReason.GAP, ResetReason.CHECKSUM)
                await alive.until_live(pair)
                assert alive.listener.snapshots(pair)[-1] is SnapshotReason.RESYNC
                state = alive.state(pair)
                assert state.gaps + state.checksums == 1
            else:
                await alive.until_heard(pair, 2)
                assert alive.listener.resets(pair) == []
            await alive.until_equal(pair)

    @pytest.mark.parametrize("fault", ["duplicate", "reorder"])
    async def test_what_comes_twice_or_late_never_makes_a_wrong_book(self, alive: Alive, fault: str) -> None:
        pair = alive.next_pair()
        told = len(alive.listener.events[pair])
        with alive.untouched(pair):
            alive.simulated.misbehave(fault, pair=pair.pair)
            await alive.until_heard(pair, 4)
            await alive.until_live(pair)
            await alive.until_equal(pair)
            if fault == "duplicate":
                assert alive.listener.resets(pair) == []
                assert_chain(alive, pair, told)

    async def test_a_crossed_book_is_never_told(self, alive: Alive) -> None:
        pair = alive.next_pair()
        with alive.untouched(pair):
            alive.simulated.misbehave("crossed", pair=pair.pair)
            await alive.until(lambda: alive.state(pair).crossed, "crossed")
            assert alive.listener.resets(pair) == [ResetReason.CROSSED]
            await alive.until_live(pair)
            await alive.until_equal(pair)

    async def test_a_checksum_that_is_wrong_resyncs_its_pair_alone(self, alive: Alive) -> None:
        pair = alive.next_pair()
        feed = alive.run.pool.feed(pair)
        assert feed is not None
        if feed.channel.proof is None:  # no sums here: the simulated venue must have none either
            with pytest.raises(ConfigError, match="carry none"):
                alive.simulated.misbehave("bad_checksum", pair=pair.pair)
            return
        with alive.untouched(pair):
            alive.simulated.misbehave("bad_checksum", pair=pair.pair)
            await alive.until(lambda: alive.listener.resets(pair) == [ResetReason.CHECKSUM], "Reset(checksum)")
            await alive.until_live(pair)
            await alive.until_equal(pair)

    async def test_a_message_that_cannot_be_read_is_counted_and_sampled(self, alive: Alive) -> None:
        pair = alive.next_pair()
        samples = len(alive.listener.samples)
        with alive.untouched(pair):
            alive.simulated.misbehave("garbage", pair=pair.pair)
            await alive.until(lambda: len(alive.listener.samples) == samples + 1, "a sample")
            assert alive.listener.samples[-1][:2] == alive.place
            await alive.until_equal(pair)
        assert sum(link.session.undecodable for link in alive.market.links) >= 1

    async def test_a_pair_that_falls_silent_while_heartbeats_go_on_is_reset_and_comes_back(self, alive: Alive) -> None:
        pair = alive.next_pair()
        feed = alive.run.pool.feed(pair)
        assert feed is not None
        hour_ms = 3_600_000  # a pair with a rhythm would be missed in it
        await alive.until(lambda: feed.rhythm.silent_for_ms(clock.mono_ms() + hour_ms) is not None, "a rhythm")
        with alive.untouched(pair):
            with alive.simulated.misbehave("stall", pair=pair.pair):
                await alive.until(lambda: alive.listener.resets(pair) == [ResetReason.SILENCE], "Reset(silence)")
            await alive.until_live(pair)
            await alive.until_equal(pair)

    async def test_a_wrong_acknowledgement_is_not_believed_and_not_needed(self, alive: Alive) -> None:
        pair = alive.next_pair()
        alive.run.pool.unsubscribe(pair)
        with alive.untouched(pair):
            alive.simulated.misbehave("wrong_ack")
            alive.run.pool.subscribe(pair, "full", BOOK)
            await alive.until_live(pair)
            await alive.until_equal(pair)
        alive.simulated.behave("wrong_ack")

    async def test_a_pair_can_be_left_and_wanted_again(self, alive: Alive) -> None:
        pair = alive.next_pair()
        with alive.untouched(pair):
            alive.run.pool.unsubscribe(pair)
            assert alive.listener.resets(pair)[-1] is ResetReason.UNSUBSCRIBED
            assert alive.run.pool.feed(pair) is None
            alive.run.pool.subscribe(pair, "full", BOOK)
            await alive.until_live(pair)
            await alive.until_equal(pair)

    async def test_an_unknown_symbol_is_refused_with_the_nearest_name(self, alive: Alive) -> None:
        known = alive.pairs[0]
        wrong = Pair(*alive.place, f"{known.pair}X")
        with alive.untouched():
            alive.run.pool.subscribe(wrong, "full", BOOK)
            await alive.until(lambda: wrong in alive.listener.refused, "refused")
            assert f"did you mean {known.pair}?" in alive.listener.refused[wrong]
            assert alive.state(wrong).state == "refused"
        alive.run.pool.unsubscribe(wrong)

    async def test_what_does_not_trade_is_a_visible_state(self, alive: Alive) -> None:
        """Whatever the venue lists and does not trade is halted, delisted or refused with a reason, never silence. Where its
        metadata does not say so, the book is empty, not invented."""
        instruments = alive.market.loader.instruments
        assert instruments is not None
        for listing in alive.simulated.listings.values():
            if listing.trading and listing.kind in ("spot", "linear") and ":" not in listing.pair:
                continue
            pair = Pair(*alive.place, listing.pair)
            known = instruments.by_pair.get(pair)
            if known is not None and known.status is not InstrumentStatus.TRADING:
                continue
            if known is not None:
                alive.run.pool.subscribe(pair, "full", BOOK)
                await alive.until_live(pair)
                feed = alive.run.pool.feed(pair)
                assert feed is not None
                assert dict(feed.book.bids) == dict(feed.book.asks) == {}
                alive.run.pool.unsubscribe(pair)
                continue
            alive.run.pool.subscribe(pair, "full", BOOK)
            await alive.until(lambda pair=pair: alive.listener.refused.get(pair), f"{listing.id} refused")
            assert alive.state(pair).state == "refused"
            alive.run.pool.unsubscribe(pair)

    async def test_a_planned_end_of_a_connection_misses_nothing(self, alive: Alive) -> None:
        resets = {pair: alive.listener.resets(pair) for pair in alive.pairs}
        snapshots = {pair: len(alive.listener.snapshots(pair)) for pair in alive.pairs}
        told = {pair: len(alive.listener.events[pair]) for pair in alive.pairs}
        handovers = alive.market.handovers
        links = alive.market.links
        fetched = alive.simulated.stats.snapshots
        for link in links:
            link.owner.ending(link, "planned by the test")
        await alive.until(lambda: not set(links) & set(alive.market.links), "every pair moved")
        assert alive.market.handovers == handovers + len(links)
        channel = alive.market.venue.book_channel("full")
        if alive.market.venue.sequence_comparable and channel.bootstrap is Bootstrap.REST:
            assert alive.simulated.stats.snapshots == fetched, "the old connection has the books"
        for pair in alive.pairs:
            await alive.until_heard(pair, 1)
            assert alive.listener.resets(pair) == resets[pair]
            assert set(alive.listener.snapshots(pair)[snapshots[pair] :]) <= {SnapshotReason.SEAM}
            assert_chain(alive, pair, told[pair])
        await alive.until_equal(*alive.pairs)

    @pytest.mark.parametrize("hard", [False, True])
    async def test_after_every_connection_was_closed_every_pair_comes_back(self, alive: Alive, hard: bool) -> None:
        before = {pair: len(alive.listener.resets(pair)) for pair in alive.pairs}
        alive.simulated.misbehave("close_all", hard=hard)
        for pair in alive.pairs:
            await alive.until(lambda pair=pair: len(alive.listener.resets(pair)) > before[pair], "a Reset")
            assert alive.listener.resets(pair)[-1] is ResetReason.DISCONNECT
        await alive.until_live(*alive.pairs)
        await alive.until_equal(*alive.pairs)

    async def test_a_connection_that_only_looks_open_is_given_up(
        self, alive: Alive, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for link in alive.market.links:  # as if the venue allowed less: else this takes as long as its own bound
            monkeypatch.setattr(link.session._liveness, "_dead_ms", 1_500.0)
        before = {pair: len(alive.listener.resets(pair)) for pair in alive.pairs}
        alive.simulated.misbehave("half_open")
        for pair in alive.pairs:
            await alive.until(lambda pair=pair: len(alive.listener.resets(pair)) > before[pair], "a Reset")
        monkeypatch.undo()
        await alive.until_live(*alive.pairs)
        await alive.until_equal(*alive.pairs)

    async def test_a_slow_venue_costs_time_and_nothing_else(self, alive: Alive) -> None:
        with alive.untouched(), alive.simulated.misbehave("slow", delay_ms=300):
            for pair in alive.pairs:
                await alive.until_heard(pair, 1)
        await alive.until_equal(*alive.pairs)

    async def test_a_venue_that_refuses_is_waited_for(self, alive: Alive) -> None:
        with alive.simulated.misbehave("refuse"):
            alive.simulated.misbehave("close_all", hard=True)
            seen = alive.simulated.stats  # where a socket needs a ticket, that is refused first
            await alive.until(lambda: seen.connects_refused or seen.requests.get("503"), "a refused attempt")
            assert all(alive.state(pair).state == "waiting" for pair in alive.pairs)
        await alive.until_live(*alive.pairs)
        await alive.until_equal(*alive.pairs)


class Bursts:
    """Subclass it with a `market`. Each test has a venue-market of its own."""

    market: str

    async def test_the_limits_hold_while_many_pairs_start_at_once(self, place: Place) -> None:
        """More pairs than one connection takes, every channel, budgets as a fleet shares them."""
        venue = VENUES[place]
        async with running([place], pairs=13, per_connection=5, budget=TokenBudget(venue.limits)) as run:
            alive = Alive(run, place)
            alive.simulated.hurry()
            for pair in alive.pairs:
                run.pool.subscribe(pair, "50", ALL)
            await alive.until_live(*alive.pairs)
            assert len(alive.market.links) >= 3
            alive.simulated.misbehave("close_all")
            await alive.until(lambda: not alive.run.is_live(*alive.pairs), "resets")
            await alive.until_live(*alive.pairs)
            breaches = alive.simulated.stats.limit_breaches
            assert breaches == {}, breaches
            assert set(alive.simulated.stats.requests) == {"200"}

    async def test_a_symbol_that_the_venue_forgets_costs_itself_alone(self, place: Place) -> None:
        """Our metadata says it is there, the venue refuses it, each in its own way: the others live."""
        async with running([place], pairs=4) as run:
            alive = Alive(run, place)
            alive.simulated.hurry()
            gone, *others = alive.pairs
            for pair in others:
                run.pool.subscribe(pair, "full", BOOK)
            await alive.until_live(*others)
            forgotten = next(one for one in alive.simulated.listings.values() if one.pair == gone.pair)
            del alive.simulated.listings[forgotten.id]
            run.pool.subscribe(gone, "full", BOOK)
            await alive.until(lambda: alive.state(gone).reason, "a reason")
            await alive.until(lambda: alive.state(gone).state in ("refused", "waiting", "syncing"), "a visible state")
            await alive.until_live(*others)
            await alive.until_equal(*others)
            assert gone not in alive.listener.live


class TokenBudget(FreeBudget):
    """The shared budget's buckets without its Redis (lua/budget.lua has its own tests)."""

    def __init__(self, limits: Any) -> None:
        super().__init__()
        self._limits = limits
        self._buckets: dict[str, tuple[float, float]] = {}

    async def take(self, name: str, cost: float) -> None:
        rate = rate_of(self._limits, name.rpartition(":")[2])
        loop = asyncio.get_running_loop()
        while True:
            tokens, at_s = self._buckets.get(name, (rate.capacity, loop.time()))
            now_s = loop.time()
            tokens = min(rate.capacity, tokens + (now_s - at_s) * rate.refill_per_s)
            if tokens >= min(cost, rate.capacity):
                self._buckets[name] = (tokens - cost, now_s)
                self.spent[name] += cost
                return
            self._buckets[name] = (tokens, now_s)
            await asyncio.sleep((cost - tokens) / rate.refill_per_s)
