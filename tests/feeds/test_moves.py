"""A pair moves from daemon to daemon on a real Redis: by offer, by a standby, by a stop. Nothing is missed or repeated."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from random import Random

import pytest
import redis.asyncio

from books.book import Book
from books.events import Delta, Event, Reset, ResetReason, Snapshot, SnapshotReason
from books.sequence import CONTIGUOUS
from books.store import load_book
from books.wire import decode
from feeds.ownership import Ownership
from feeds.publisher import Publisher
from feeds.source import NO_BOOK, Source
from feeds.warm import Continuity
from fleet import clock
from fleet.keys import Keys
from fleet.lease import LeaseKeeper
from fleet.ordered import OrderedConnection
from fleet.pair import Pair
from fleet.tasks.model import Wanted
from tests.support.clients import redis_client

PAIR = Pair("somewhere", "spot", "BTC/USDT")
WISH = Wanted(pair=PAIR, depth="full", channels=frozenset({"book"}), priority=1, traded=False)
KEYS = Keys(shards=2)
LEASE_MS = 60_000  # nobody renews here; a lease ends when the test deletes its key
A, B, C = "host:1:a", "host:2:b", "host:3:c"


class Venue:
    """One order book, and everybody who listens to it."""

    def __init__(self) -> None:
        self.sequence = 100
        self.book = Book()
        self.book.apply(self.snapshot())
        self.listeners: list[Daemon] = []
        self._rng = Random(7)

    def snapshot(self) -> Snapshot:
        bids = dict(self.book.bids) or {"99": "1"}
        asks = dict(self.book.asks) or {"101": "1"}
        return Snapshot(
            pair=PAIR, received_us=1, bids=bids, asks=asks, reason=SnapshotReason.FIRST, sequence=self.sequence
        )

    def tick(self, count: int = 1, *, but: "Sequence[Daemon]" = ()) -> None:
        """So many deltas, to everybody who listens `but` some, whose line is slow."""
        for _ in range(count):
            self.sequence += 1
            price = str(90 + self._rng.randrange(9))
            delta = Delta(
                pair=PAIR, received_us=1, bids={price: str(self.sequence)}, asks={}, sequence=self.sequence,
                first_sequence=self.sequence,
            )  # fmt: skip
            self.book.apply(delta)
            for listener in self.listeners:
                (listener.late if listener in but else listener.heard).append(delta)
                listener.listen()


class Daemon:
    """Ownership and publisher of one daemon; its feed is the venue's book."""

    def __init__(
        self, client: redis.asyncio.Redis, connection: OrderedConnection, venue: Venue, me: str, *, comparable: bool
    ) -> None:
        self.me = me
        self.venue = venue
        self.now_ms = clock.mono_ms()
        self.members = [A, B, C]
        self.book = Book()
        self.sequence: int | None = None
        self.heard: list[Event] = []
        self.late: list[Event] = []
        self.priorities: list[int] = []
        self.comparable = comparable
        self.held = False
        self.connection = connection
        self.leases = LeaseKeeper(
            client, holder=me, lease_ms=LEASE_MS, mono_ms=clock.mono_ms,
            on_lost=lambda lease, reason: self.ownership.on_lease_lost(lease, reason),
        )  # fmt: skip
        self.publisher = Publisher(
            connection, KEYS, book_ttl_ms=60_000, owner=me, books=lambda pair: self.source(pair),
            on_doubt=lambda pair, reason: self.ownership.doubt(pair, reason), wall_us=clock.wall_us,
        )  # fmt: skip
        self.ownership = Ownership(
            redis=client, keys=KEYS, leases=self.leases, publisher=self.publisher, subscriber=self,
            members=lambda: self.members, capacity=9, mono_ms=lambda: self.now_ms, source=self.source,
            standby=True,
        )  # fmt: skip

    def source(self, pair: Pair) -> Source:
        return NO_BOOK if self.sequence is None else Source(self.book, self.sequence)

    def subscribe(self, pair: Pair, depth: str, channels: frozenset[str], priority: int = 1) -> None:
        self.priorities.append(priority)
        if self not in self.venue.listeners:
            self.venue.listeners.append(self)
            self.heard.append(self.venue.snapshot())

    def unsubscribe(self, pair: Pair) -> None:
        self.venue.listeners.remove(self)
        self.heard.append(Reset(pair=pair, received_us=1, reason=ResetReason.UNSUBSCRIBED))
        self.listen()

    def is_held(self, pair: Pair) -> bool:
        return self.held

    def continuity(self, pair: Pair, depth: str) -> Continuity | None:
        return Continuity(CONTIGUOUS, self.comparable, images=False)

    def listen(self) -> None:
        """Take what was heard, as the role does."""
        for event in self.heard:
            assert isinstance(event, Snapshot | Delta | Reset)
            self.book.apply(event)
            self.sequence = None if isinstance(event, Reset) else event.sequence
            hold = self.ownership.warm.get(PAIR)
            if hold is None:
                self.publisher.add(event)
            elif hold.line is not None:
                hold.line.add(event)
        self.heard.clear()

    def catch_up(self) -> None:
        self.heard, self.late = self.late, []
        self.listen()

    async def step(self, *order: str) -> None:
        if order:
            self.ownership.plan({PAIR.label: order})
        await self.ownership.step()
        self.listen()
        await self.publisher.flushed()

    @property
    def owns(self) -> bool:
        return PAIR in self.ownership.owned


class Desk:
    """The daemons, the venue and what the stream says in the end."""

    def __init__(self, client: redis.asyncio.Redis, venue: Venue, daemons: Sequence[Daemon]) -> None:
        self.client = client
        self.venue = venue
        self.a, self.b, self.c = daemons

    async def events(self) -> list[Event]:
        entries = await self.client.xrange(KEYS.deltas(KEYS.shard(PAIR)))
        return [decode(entry_id, fields) for entry_id, fields in entries]

    async def expire(self) -> None:
        await self.client.delete(KEYS.lease(PAIR))

    async def a_owns_it(self) -> None:
        self.a.ownership.want([WISH])
        await self.a.step(A, B)
        self.venue.tick(3)
        await self.a.publisher.flushed()
        assert self.a.owns
        for daemon in (self.b, self.c):
            daemon.ownership.want([WISH])

    async def prove(self, *, resets: int = 0, snapshots: tuple[str, ...] = ("first",)) -> None:
        """n unbroken, epochs never fall, no venue sequence missing or repeated, the hashes are the venue's book."""
        events = await self.events()
        assert [event.n for event in events] == list(range(events[0].n, events[0].n + len(events)))
        epochs = [event.epoch for event in events]
        assert epochs == sorted(epochs)
        told = [event for event in events if isinstance(event, Snapshot)]
        assert tuple(event.reason.value for event in told) == snapshots
        assert sum(isinstance(event, Reset) for event in events) == resets
        last: int | None = None
        for event in events:
            if isinstance(event, Delta):
                assert event.sequence == (last or 0) + 1
            if isinstance(event, Snapshot | Delta):
                last = event.sequence
        assert last == self.venue.sequence
        found = await load_book(self.client, KEYS, PAIR)
        assert (found.status, found.sequence) == ("live", self.venue.sequence)
        assert (dict(found.bids), dict(found.asks)) == (self.venue.book.bids, self.venue.book.asks)


@pytest.fixture
async def new_desk(redis_url: str) -> AsyncIterator:
    async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        tasks: list[asyncio.Task[None]] = []

        async def make(*, comparable: bool = True) -> Desk:
            venue, daemons = Venue(), []
            for me in (A, B, C):
                client = await stack.enter_async_context(redis_client(redis_url))
                connection = OrderedConnection(redis_url)
                stack.push_async_callback(connection.close)
                await connection.connect()
                daemon = Daemon(client, connection, venue, me, comparable=comparable)
                tasks.append(group.create_task(daemon.publisher.run()))
                daemons.append(daemon)
            return Desk(await stack.enter_async_context(redis_client(redis_url)), venue, daemons)

        yield make
        for task in tasks:
            task.cancel()


async def test_a_planned_move_misses_and_repeats_nothing(new_desk) -> None:
    desk = await new_desk()
    await desk.a_owns_it()
    await desk.b.step(B, A)  # warms up
    desk.venue.tick(2)
    await desk.b.step()
    assert not desk.b.owns  # nobody has offered it
    await desk.a.step(B, A)  # the offer; it goes on publishing
    desk.venue.tick(2)
    await desk.a.publisher.flushed()
    await desk.b.step()
    assert desk.b.owns
    desk.venue.tick(2)  # the former owner meets its fence
    await desk.a.publisher.flushed()
    await desk.a.step()
    assert not desk.a.owns
    assert desk.a.ownership.moved_away == desk.b.ownership.moved_here == 1
    desk.venue.tick()
    await desk.b.publisher.flushed()
    await desk.prove()


async def test_a_successor_whose_feed_is_behind_waits_and_tells_no_event_again(new_desk) -> None:
    desk = await new_desk()
    await desk.a_owns_it()
    await desk.b.step(B, A)
    await desk.a.step(B, A)
    desk.venue.tick(4, but=[desk.b])
    await desk.a.publisher.flushed()
    await desk.b.step()
    assert desk.b.owns
    found = await load_book(desk.client, KEYS, PAIR)
    assert (found.status, found.sequence) == ("live", desk.venue.sequence)  # as its predecessor left it
    desk.b.catch_up()
    desk.venue.tick(3)
    await desk.b.publisher.flushed()
    await desk.prove()


async def test_a_pair_kept_warm_asks_its_venue_behind_those_that_are_owned_until_it_is_owned_itself(new_desk) -> None:
    desk = await new_desk()
    await desk.a_owns_it()
    await desk.b.step(B, A)
    assert (desk.a.priorities, desk.b.priorities) == ([1], [2])
    await desk.a.step(B, A)
    await desk.b.step()
    assert desk.b.owns
    assert desk.b.priorities == [2, 1]


async def test_a_standby_publishes_what_its_dead_owner_could_not(new_desk) -> None:
    desk = await new_desk()
    await desk.a_owns_it()
    await desk.b.step(A, B)
    desk.venue.tick(3)
    await desk.a.publisher.flushed()
    desk.venue.listeners.remove(desk.a)  # it is killed
    desk.venue.tick(5)
    await desk.b.step()
    assert not desk.b.owns
    await desk.expire()
    await desk.b.step()
    assert desk.b.owns
    desk.venue.tick()
    await desk.b.publisher.flushed()
    await desk.prove()


async def test_a_cold_heir_declares_the_hole(new_desk) -> None:
    desk = await new_desk()
    await desk.a_owns_it()
    await desk.c.step(A, B, C)
    assert desk.c.ownership.warm == {}
    desk.venue.listeners.remove(desk.a)
    desk.venue.tick(2)
    await desk.expire()
    await desk.c.step()
    assert not desk.c.owns  # its turn comes after the heir before it
    desk.c.now_ms += LEASE_MS / 4
    await desk.c.step()
    assert desk.c.owns
    desk.venue.tick()
    await desk.c.publisher.flushed()
    await desk.prove(resets=1, snapshots=("first", "first"))


async def test_where_sequences_are_not_comparable_a_seam_and_no_reset(new_desk) -> None:
    desk = await new_desk(comparable=False)
    await desk.a_owns_it()
    await desk.b.step(B, A)
    await desk.a.step(B, A)
    await desk.b.step()
    desk.venue.tick(2)
    await desk.b.publisher.flushed()
    await desk.prove(snapshots=("first", "seam"))
    assert desk.b.publisher.seams == 1


async def test_an_owner_that_stops_offers_its_pairs_to_their_first_heirs_without_a_leader(new_desk) -> None:
    desk = await new_desk()
    await desk.a_owns_it()
    desk.a.ownership.claiming = False  # quiet
    desk.b.members = desk.c.members = [B, C]
    await desk.b.step(A, B, C)
    assert PAIR in desk.b.ownership.warm
    assert desk.a.ownership.successors
    await desk.a.step(A, B, C)
    desk.venue.tick()
    await desk.a.publisher.flushed()
    await desk.b.step()
    assert desk.b.owns
    desk.venue.tick()
    await desk.a.publisher.flushed()
    await desk.a.step()
    assert desk.a.ownership.owned == {}
    await desk.a.ownership.release_all()
    desk.venue.tick()
    await desk.b.publisher.flushed()
    await desk.prove()


async def test_a_former_owner_that_lingers_goes_on_if_its_successor_dies_at_once(new_desk) -> None:
    desk = await new_desk()
    await desk.a_owns_it()
    await desk.b.step(B, A)
    await desk.a.step(B, A)
    await desk.b.step()
    desk.venue.tick()
    await desk.b.publisher.flushed()
    await desk.a.publisher.flushed()
    await desk.a.step()
    assert not desk.a.owns
    desk.venue.listeners.remove(desk.b)  # killed
    desk.venue.tick(3)
    await desk.expire()
    await desk.a.step()
    assert desk.a.owns
    await desk.prove()


async def test_a_move_that_the_plan_takes_back_does_not_happen(new_desk) -> None:
    desk = await new_desk()
    await desk.a_owns_it()
    await desk.a.step(B, A)
    assert await desk.client.get(KEYS.offer(PAIR)) == B.encode()
    await desk.a.step(A, B)
    assert await desk.client.get(KEYS.offer(PAIR)) is None
    await desk.b.step(A, B)
    await desk.b.step()
    assert not desk.b.owns


async def test_a_warm_pair_that_is_no_duty_any_more_is_dropped_after_a_lease_time(new_desk) -> None:
    desk = await new_desk()
    await desk.a_owns_it()
    await desk.b.step(A, B)
    await desk.b.step(A, C)
    assert PAIR in desk.b.ownership.warm
    desk.b.now_ms += LEASE_MS
    await desk.b.step()
    assert desk.b.ownership.warm == {}
    assert desk.b not in desk.venue.listeners


async def test_a_warm_pair_that_is_not_wanted_any_more_is_dropped_at_once(new_desk) -> None:
    desk = await new_desk()
    await desk.a_owns_it()
    await desk.b.step(A, B)
    desk.b.ownership.want([])
    await desk.b.step()
    assert desk.b.ownership.warm == {}


async def test_a_pair_that_the_plan_has_no_place_for_is_let_go_and_not_taken_again(new_desk) -> None:
    desk = await new_desk()
    await desk.a_owns_it()
    desk.a.ownership.plan({PAIR.label: ()})
    await desk.a.step()
    await desk.a.step()
    assert desk.a.ownership.owned == {}
    assert await desk.client.get(KEYS.lease(PAIR)) is None
    desk.a.now_ms += 10 * LEASE_MS
    await desk.a.step()
    assert desk.a.ownership.owned == {}


async def test_a_pair_in_quarantine_is_not_passed_round_unless_its_owner_goes(new_desk) -> None:
    desk = await new_desk()
    await desk.a_owns_it()
    desk.a.held = True
    await desk.a.step(B, A)
    assert await desk.client.get(KEYS.offer(PAIR)) is None
    desk.a.ownership.claiming = False  # it drains
    await desk.a.step(B, A)
    assert await desk.client.get(KEYS.offer(PAIR)) == B.encode()


async def test_an_heir_leaves_a_pair_that_has_just_moved_to_the_former_owner_that_is_still_warm(new_desk) -> None:
    desk = await new_desk()
    await desk.a_owns_it()
    desk.c.ownership._standby = False
    await desk.c.step(A, C)  # an heir that stays cold, and has seen who holds it
    await desk.b.step(B, A)
    await desk.a.step(B, A)
    await desk.b.step()
    desk.venue.tick()
    await desk.b.publisher.flushed()
    await desk.a.publisher.flushed()
    await desk.a.step()
    await desk.c.step(B, C)
    desk.venue.listeners.remove(desk.b)  # killed just after it took the pair
    desk.venue.tick(3)
    await desk.expire()
    for daemon in (desk.a, desk.c):
        daemon.now_ms += LEASE_MS  # so long the lease of the dead one stood
    await desk.c.step(B, C)
    assert not desk.c.owns
    await desk.a.step()
    assert desk.a.owns
    await desk.prove()


async def test_where_the_former_owner_does_not_come_back_the_heir_takes_it_after_a_grace(new_desk) -> None:
    desk = await new_desk()
    await desk.a_owns_it()
    desk.c.ownership._standby = False
    await desk.c.step(A, C)
    await desk.b.step(B, A)
    await desk.a.step(B, A)
    await desk.b.step()
    await desk.c.step(B, C)
    await desk.expire()
    await desk.c.step()
    assert not desk.c.owns
    desk.c.now_ms += LEASE_MS / 8
    await desk.c.step()
    assert desk.c.owns
