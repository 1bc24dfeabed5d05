"""The feed role of a daemon: wanted pairs are claimed, fed from their venues and published."""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError

from books import decimals
from books.events import Event, Snapshot, SnapshotReason, Trade
from books.store import load_book
from feeds.budgets import SharedBudget
from feeds.hearing import Ears
from feeds.outputs import Failure, FailureKind
from feeds.ownership import Ownership
from feeds.pool import Pool
from feeds.publisher import Publisher
from feeds.samples import SampleKeeper
from feeds.scout import Scout
from feeds.source import NO_BOOK, Source
from feeds.venues import VENUES, find
from fleet import clock
from fleet.config import Settings
from fleet.connect_pace import Paces
from fleet.errors import FleetError
from fleet.evidence import NO_EVIDENCE, Evidence
from fleet.kept_connected import connect_at_pace
from fleet.keys import Keys
from fleet.lease import LeaseKeeper
from fleet.logs import one_line
from fleet.ordered_cluster import ordered
from fleet.pair import Pair
from fleet.redis_connection import own_paces
from fleet.serving import group_of
from fleet.succession import Duty
from fleet.tasks import TaskSet

log = logging.getLogger(__name__)

OWN_EVERY_S = 0.25  # how often free pairs are looked for
TOUCH_EVERY_S = 1.0
FORGET_EVERY_S = 60.0
LINK_CHECK_S = 0.05
HAND_OVER_LOOK_S = 0.1
RELEASE_MS = 5000.0  # of the time for a stop: kept for ending what nobody took over
SETTLE_MS = 1500.0  # before the first claim: daemons that start together must have seen each other
PRESSURE_CHECK_S = 0.02
WAITING_MOST = 10_000  # events not yet accepted, of all pairs: beyond it the venues wait in TCP …
WAITING_FEW = 2_000  # … until so few are left,
HELD_MOST_MS = 2000.0  # or this long: a Redis that is slow for longer makes pairs conflate


class TaskSource(Protocol):
    """Where tasks come from (fleet.tasks.TaskPoller)."""

    def subscribe(self, listener: Callable[[TaskSet], None]) -> Callable[[], None]:
        """Call `listener` with the tasks known now and with every change. Returns the undoing."""
        ...


class FeedRole:
    """A part of a daemon. `rate` is events published a second, over about the last second. `ears`: which venues it reaches."""

    name = "feed"

    def __init__(
        self,
        settings: Settings,
        redis: Redis,
        keys: Keys,
        leases: LeaseKeeper,
        tasks: TaskSource,
        *,
        members: Callable[[], Sequence[str]],
        rng: random.Random,
        evidence: Evidence = NO_EVIDENCE,
        paces: Paces | None = None,
    ) -> None:
        """`paces`: of all connections of this process to Redis."""
        self.rate = 0.0
        self.refused: dict[Pair, str] = {}
        redis_url = settings.redis_url.get_secret_value()
        self.connection = ordered(redis_url, name="fleet-publish")
        self._pace = (paces or own_paces()).of(redis_url)
        self.publisher = Publisher(
            self.connection,
            keys,
            book_ttl_ms=settings.book_ttl_ms,
            owner=leases.holder,
            books=self._source,
            on_doubt=lambda pair, reason: self.ownership.doubt(pair, reason),
            wall_us=clock.wall_us,
            on_fault=lambda pair, reason: self.pool.fail(pair, reason),
            evidence=evidence,
        )
        limits = {f"{name}:{market}": venue.limits for (name, market), venue in VENUES.items()}
        self._samples = SampleKeeper(redis, keys)
        self.pool = Pool(
            find_venue=find,
            endpoint=settings.endpoint,
            budget=SharedBudget(redis, keys, settings.egress, limits),
            on_event=self._on_event,
            on_refused=self._on_refused,
            on_sample=self._samples.add,
            borrow=self._borrow,
            rng=rng,
        )
        self.ownership = Ownership(
            redis=redis,
            keys=keys,
            leases=leases,
            publisher=self.publisher,
            subscriber=self.pool,
            members=members,
            capacity=settings.capacity,
            mono_ms=clock.mono_ms,
            source=self._source,
            standby=settings.standby,
            evidence=evidence,
        )
        self.ears = Ears()
        self._scout = Scout(self.ears, self.pool.hears, self.pool.knock, clock.mono_ms)
        self._tasks = tasks
        self._redis = redis
        self._keys = keys
        self.leases = leases

    # --- what happens ---------------------------------------------------------------------------------------------------

    def _source(self, pair: Pair) -> Source:
        feed = self.pool.feed(pair)
        return Source(feed.book, feed.sequence) if feed is not None and feed.live else NO_BOOK

    def _on_event(self, pair: Pair, event: Event) -> None:
        hold = self.ownership.warm.get(pair)
        if hold is None:
            self.publisher.add(event, trade=type(event) is Trade)
        elif hold.line is not None:
            hold.line.add(event)

    async def _borrow(self, pair: Pair) -> Snapshot | Failure | None:
        """The book of a pair that we only keep warm, as its owner publishes it: it costs the venue no request, and what we hold
        then covers the published point at once. A standby whose owner has no book waits for it; a planned owner asks the
        venue."""
        if pair not in self.ownership.warm:
            return None
        try:
            book = await load_book(self._redis, self._keys, pair)
        except (RedisError, OSError):
            return None  # the venue is asked instead
        hold = self.ownership.warm.get(pair)
        if hold is None:
            return None
        if not book.live or book.sequence is None or book.depth != hold.wish.depth:
            is_standby = hold.duty is Duty.STANDBY and book.lease_alive
            return Failure(FailureKind.SERVER, "its owner has no book yet") if is_standby else None
        return Snapshot(
            pair=pair, received_us=clock.wall_us(), venue_ms=book.venue_ms, bids=book.bids, asks=book.asks,
            reason=SnapshotReason.FIRST, sequence=book.sequence,
        )  # fmt: skip

    def _on_refused(self, pair: Pair, reason: str) -> None:
        if self.refused.get(pair) != reason:
            log.warning("%s: refused: %s", pair, reason)
            self.refused[pair] = reason

    def _on_tasks(self, tasks: TaskSet) -> None:
        self.refused.clear()
        self.ears.want({group_of(wanted.pair) for wanted in tasks.wanted})
        self.ownership.want(tasks.wanted)

    # --- the loops ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled. Redis and venues being away are waited out."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_connected(), name="feed: connection to Redis")
            group.create_task(self.publisher.run(), name="feed: publisher")
            group.create_task(self.pool.run(), name="feed: pool")
            group.create_task(self._own(), name="feed: ownership")
            group.create_task(self._touch(), name="feed: touch")
            group.create_task(self._measure(), name="feed: rate")
            group.create_task(self._forget(), name="feed: spellings")
            group.create_task(self._samples.run(), name="feed: samples")
            group.create_task(self._scout.run(), name="feed: scout")
            group.create_task(self._hold_back(), name="feed: pressure")

    async def _keep_connected(self) -> None:
        while True:
            if not self.connection.connected:
                self.publisher.doubt_all("the connection to Redis was lost")
                await connect_at_pace(self.connection, self._pace, "publishing")
                self.ownership.woken.set()
            await asyncio.sleep(LINK_CHECK_S)

    async def _own(self) -> None:
        started_ms = clock.mono_ms()
        unsubscribe = self._tasks.subscribe(self._on_tasks)
        failing = False
        try:
            while True:
                if clock.mono_ms() - started_ms >= SETTLE_MS and self.connection.connected:
                    try:
                        await self.ownership.step()
                        failing = False
                    except (RedisError, FleetError, OSError) as error:
                        if not failing:
                            log.warning("ownership waits: %s", one_line(error))
                        failing = True
                try:
                    async with asyncio.timeout(OWN_EVERY_S):
                        await self.ownership.woken.wait()
                except TimeoutError:
                    pass
                else:
                    self.ownership.woken.clear()
                    await asyncio.sleep(LINK_CHECK_S)  # a venue's trouble wakes us for each pair: take them together
        finally:
            unsubscribe()

    async def _touch(self) -> None:
        """Keep the books of quiet pairs fresh, as long as their feeds are proved alive."""
        while True:
            await asyncio.sleep(TOUCH_EVERY_S)
            alive = [pair for pair in self.ownership.owned if self.pool.proved(pair, clock.mono_ms())]
            await self.publisher.touch(alive)

    async def _forget(self) -> None:
        while True:
            await asyncio.sleep(FORGET_EVERY_S)
            decimals.new_generation()

    async def _hold_back(self) -> None:
        """A burst that Redis cannot take at once waits in the sockets, so that nothing of it has to be conflated."""
        held_since_ms: float | None = None
        while True:
            await asyncio.sleep(PRESSURE_CHECK_S)
            waiting, now_ms = self.publisher.waiting, clock.mono_ms()
            if held_since_ms is None:
                if waiting > WAITING_MOST and self.connection.connected:
                    self.pool.hold()
                    held_since_ms = now_ms
            elif waiting < WAITING_FEW:
                self.pool.release()
                held_since_ms = None
            elif now_ms - held_since_ms > HELD_MOST_MS or not self.connection.connected:
                self.pool.release()  # and no new hold before it was over once: pongs must go out

    async def _measure(self) -> None:
        before, at_ms = self.publisher.events, clock.mono_ms()
        losses = (0, 0)
        while True:
            await asyncio.sleep(1.0)
            seen = (self.publisher.conflations, self.publisher.dropped_trades)
            if seen[0] > losses[0] or seen[1] > losses[1]:
                log.warning("Redis is slow: so far %d conflated books, %d dropped trades", *seen)
            losses = seen
            now, now_ms = self.publisher.events, clock.mono_ms()
            self.rate = (now - before) * 1000 / (now_ms - at_ms)
            before, at_ms = now, now_ms

    # --- for showing ----------------------------------------------------------------------------------------------------

    def pair_states(self) -> dict[str, Any]:
        """What this daemon knows of its pairs, by label."""
        owned = self.ownership.owned
        return {
            state.pair.label: {
                "role": "owner" if state.pair in owned else "warm",
                "rate": round(state.rate_per_s, 2),
                "gaps": state.gaps,
                "resyncs": state.resyncs,
                "checksums": state.checksums,
                "seams": self.publisher.seams_of(state.pair),
                "state": state.state,
                "reason": state.reason or state.shortfall,
            }
            for state in self.pool.states()
        }

    # --- the end --------------------------------------------------------------------------------------------------------

    async def quiet(self) -> None:
        """Claim nothing more; what we have is offered to its heirs."""
        self.ownership.claiming = False
        self.ownership.woken.set()

    async def stop(self, deadline_mono_ms: float) -> None:
        """Wait until the heirs have taken our pairs over; end every book that nobody took with its Reset, publish that, give
        the leases back."""
        ownership, until_ms = self.ownership, deadline_mono_ms - RELEASE_MS
        while (
            ownership.owned and ownership.successors and self.connection.connected and clock.mono_ms() < until_ms
        ):  # without Redis nobody can take anything over
            ownership.woken.set()
            await asyncio.sleep(HAND_OVER_LOOK_S)
        if ownership.moved_away:
            log.info("handed over %d pairs, %d are left", ownership.moved_away, len(ownership.owned))
        try:
            await self.ownership.release_all()
        except (RedisError, FleetError, OSError) as error:
            log.warning("stopping: %s; the leases run out by themselves", one_line(error))
