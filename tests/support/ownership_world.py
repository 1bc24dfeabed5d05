"""Two or three daemons' ownership and publishing on a real redis-server, step by step, under a clock that the test moves.

Real: Ownership, Publisher, LeaseKeeper, the Lua verbs, Redis. Played: the venue, the feeds, time, the wire's faults. Nothing
sleeps: keys of leases and offers get a day to live and are deleted when the test's clock says so.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import redis.asyncio
from redis.exceptions import RedisError

from books.book import Book
from books.events import Delta, Event, Reset, ResetReason, Snapshot, SnapshotReason
from books.sequence import CONTIGUOUS
from books.store import load_book
from books.wire import decode
from feeds.ownership import Ownership
from feeds.publisher import Publisher
from feeds.source import NO_BOOK, Source
from feeds.warm import Continuity
from fleet import scripts
from fleet.cell import Cell
from fleet.errors import ConnectionLost
from fleet.evidence import open_evidence
from fleet.keys import Keys
from fleet.lease import LeaseKeeper
from fleet.ordered import OrderedConnection
from fleet.pair import Pair
from fleet.tasks.model import Wanted
from ops.chaos.checker import check
from ops.chaos.history import Entry, History, Note, ReadToEnd, Report, Server
from ops.chaos.history_files import EVIDENCE, load_history
from tests.support.clients import redis_client

PAIR = Pair("somewhere", "spot", "BTC/USDT")
WISH = Wanted(pair=PAIR, depth="full", channels=frozenset({"book"}), priority=1, traded=False)
KEYS = Keys("world", 1)
LEASE_MS = 4_000
TICK_MS = 100  # the venue sends a delta, feeds hear it, publishers send
STEP_MS = 200
RENEW_MS = 500
LONG_MS = 86_400_000  # as good as never: our clock decides
_VERBS = {script.sha: script.name for script in scripts.SCRIPTS}


class Wire(OrderedConnection):
    """A connection whose next call of a verb may go wrong: `unsent`, `unanswered` (it was executed) or `late`."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.faults: dict[str, str] = {}
        self.late: list[bytes] = []
        self.met: list[tuple[str, str]] = []
        self.meanwhile: Callable[[], Awaitable[None]] | None = None  # what others do before our acquire arrives

    async def call(self, packed: bytes) -> Any:
        verb = next((name for sha, name in _VERBS.items() if sha in packed), "")
        if verb == "acquire" and self.meanwhile is not None:
            await self.meanwhile()
        how = self.faults.pop(verb, None)
        if how is None:
            return await super().call(packed)
        self.met.append((verb, how))
        if how == "unanswered":
            await super().call(packed)
        elif how == "late":
            self.late.append(packed)
        raise ConnectionLost(f"{verb}: the wire was cut")

    async def deliver(self) -> list[Any]:
        """What was late arrives now; the answers, which nobody hears."""
        packed, self.late = self.late, []
        return [await super(Wire, self).call(one) for one in packed]


class Venue:
    """The truth: one pair, a delta a tick, contiguous numbers."""

    def __init__(self) -> None:
        self.book = Book()
        self.book.apply(
            Snapshot(pair=PAIR, received_us=0, bids={"1": "1"}, asks={"9": "1"}, reason=SnapshotReason.FIRST)
        )
        self.deltas: list[Delta] = []

    @property
    def sequence(self) -> int:
        return len(self.deltas)

    def tick(self) -> None:
        number = self.sequence + 1
        bids, asks = {"1": str(number + 1), f"0.{number % 7 + 1}": str(number)}, {f"1{number % 5}": str(number % 3)}
        delta = Delta(pair=PAIR, received_us=1, bids=bids, asks=asks, sequence=number, first_sequence=number)
        self.deltas.append(delta)
        self.book.apply(delta)

    def book_at(self, sequence: int) -> Book:
        book = Book()
        book.apply(Snapshot(pair=PAIR, received_us=0, bids={"1": "1"}, asks={"9": "1"}, reason=SnapshotReason.FIRST))
        for delta in self.deltas[:sequence]:
            book.apply(delta)
        return book


class Daemon:
    """One member. `lag`: how many deltas its feed is behind; `boots`: whether a subscription brings a book."""

    def __init__(
        self, world: "World", name: str, client: redis.asyncio.Redis, wire: Wire, folder: Path, *, standby: bool
    ) -> None:
        self.name, self.wire, self.world = name, wire, world
        self.alive = self.boots = True
        self.lag = 0
        self.heard = 0  # the venue sequence up to which our feed is
        self.since = 0  # and from which on it has every delta
        self.subscribed = self.live = False
        self.book = Book()
        self.members: list[str] = []
        self.evidence = open_evidence(folder, name, wall_ms=lambda: int(world.now_ms), mono_ms=lambda: world.now_ms)
        self.leases = LeaseKeeper(
            wire, holder=name, lease_ms=LEASE_MS, mono_ms=lambda: world.now_ms,
            on_lost=lambda lease, reason: self.ownership.on_lease_lost(lease, reason),
        )  # fmt: skip
        self.publisher = Publisher(
            wire, KEYS, book_ttl_ms=600_000, owner=name, books=self.source, wall_us=lambda: int(world.now_ms * 1000),
            on_doubt=lambda pair, reason: self.ownership.doubt(pair, reason), evidence=self.evidence,
        )  # fmt: skip
        self.ownership = Ownership(
            redis=client, keys=KEYS, leases=self.leases, publisher=self.publisher, subscriber=self,
            members=lambda: self.members, capacity=10, mono_ms=lambda: world.now_ms, source=self.source,
            standby=standby, evidence=self.evidence,
        )  # fmt: skip

    # --- the feed -----------------------------------------------------------------------------------------------------

    def source(self, _pair: Pair) -> Source:
        return Source(self.book, self.heard) if self.live else NO_BOOK

    def subscribe(self, _pair: Pair, _depth: str, _channels: frozenset[str], priority: int = 1) -> None:
        if not self.subscribed:
            self.subscribed, self.since = True, self.world.venue.sequence - self.lag

    def unsubscribe(self, pair: Pair) -> None:
        if self.live:
            self.live = False
            self.emit(Reset(pair=pair, received_us=1, reason=ResetReason.UNSUBSCRIBED))
        self.subscribed = False

    def is_held(self, _pair: Pair) -> bool:
        return False

    def continuity(self, _pair: Pair, _depth: str) -> Continuity:
        return Continuity(CONTIGUOUS, comparable=True, images=False)

    def emit(self, event: Event) -> None:
        """As feeds.role: to the warm line, or to be published."""
        hold = self.ownership.warm.get(PAIR)
        if hold is None:
            self.publisher.add(event)
        elif hold.line is not None:
            hold.line.add(event)

    async def hear(self) -> None:
        """What the venue sent until now, less our lag. The first book is the venue's, or what is published already."""
        upto = max(0, self.world.venue.sequence - self.lag)
        if not self.subscribed or (not self.live and not self.boots):
            return
        if not self.live:
            if PAIR in self.ownership.warm and not self.world.frozen:
                found = await load_book(self.world.client, KEYS, PAIR)
                if found.live and found.sequence is not None and self.since <= found.sequence <= upto:
                    upto = found.sequence
            self.book, self.heard, self.live = self.world.venue.book_at(upto), upto, True
            self.emit(
                Snapshot(
                    pair=PAIR, received_us=1, bids=dict(self.book.bids), asks=dict(self.book.asks),
                    reason=SnapshotReason.FIRST, sequence=upto,
                )
            )  # fmt: skip
        upto = max(0, self.world.venue.sequence - self.lag)
        while self.heard < upto:
            delta = self.world.venue.deltas[self.heard]
            self.book.apply(delta)
            self.heard += 1
            self.emit(delta)

    # --- its loops, a turn each ---------------------------------------------------------------------------------------

    async def publish(self) -> None:
        shard = self.publisher._shards[0]
        if taken := self.publisher._take(shard):
            await self.publisher._send(0, taken)

    async def step(self) -> None:
        try:
            await self.ownership.step()
        except (ConnectionLost, RedisError):
            self.publisher.doubt_all("the connection was cut")

    @property
    def owns(self) -> bool:
        return PAIR in self.ownership.owned

    @property
    def warm(self) -> bool:
        """Whether it could take over without a Reset."""
        hold = self.ownership.warm.get(PAIR)
        return hold is not None and hold.line is not None and hold.line.covers(self.world.cell)


class World:
    """Time, the venue, Redis, and the daemons by name."""

    def __init__(self, client: redis.asyncio.Redis, folder: Path) -> None:
        self.client, self.folder = client, folder
        self.now_ms = 1_000_000.0
        self.venue = Venue()
        self.daemons: dict[str, Daemon] = {}
        self.frozen_until_ms = 0.0
        self.expiries: dict[str, float] = {}
        self.published_ms: list[float] = []  # when the stream grew
        self.cell: Cell | None = None  # as the last tick found it
        self._length = 0

    @property
    def living(self) -> list[Daemon]:
        return [daemon for daemon in self.daemons.values() if daemon.alive]

    def plan(self, *order: str, only: str | None = None) -> None:
        """The leader's order of the pair, read by all, or by one alone."""
        for daemon in self.living:
            if only in {None, daemon.name}:
                daemon.ownership.plan({PAIR.label: order} if daemon.name in order or daemon.owns else {})

    def meet(self) -> None:
        """Everybody reads who is there."""
        for daemon in self.living:
            daemon.members = [other.name for other in self.living]

    async def tick(self) -> None:
        """A tenth of a second of everybody."""
        self.now_ms += TICK_MS
        self.venue.tick()
        for daemon in self.living:
            await daemon.hear()
            daemon.leases.expire()
        if self.frozen:
            return
        await self._expire()
        for daemon in self.living:
            if self.now_ms % RENEW_MS < TICK_MS:
                await daemon.leases.renew()
            if self.now_ms % STEP_MS < TICK_MS or daemon.ownership.woken.is_set():
                daemon.ownership.woken.clear()
                await daemon.step()
            await daemon.publish()
            await self._keep()
        cell = await self.client.hget(KEYS.tail(0), PAIR.label)
        self.cell = None if cell is None else Cell.parse(cell)
        length = await self.client.xlen(KEYS.deltas(0))
        if length > self._length:
            self._length = length
            self.published_ms.append(self.now_ms)

    async def meanwhile(self, asking: str) -> None:
        """Between the look of one who asks and his acquire the others go on."""
        self.venue.tick()
        for daemon in self.living:
            if daemon.name != asking:
                await daemon.hear()
                await daemon.publish()

    async def _expire(self) -> None:
        for key, at_ms in list(self.expiries.items()):
            if self.now_ms >= at_ms:
                await self.client.delete(key)
                del self.expiries[key]

    async def _keep(self) -> None:
        """Whatever was given a life in Redis lives by our clock from now on."""
        for key in (KEYS.lease(PAIR), KEYS.offer(PAIR)):
            left_ms = await self.client.pttl(key)
            if left_ms == -2:
                self.expiries.pop(key, None)
            elif left_ms < LONG_MS // 2:
                self.expiries[key] = self.now_ms + round(left_ms, -2)
                await self.client.pexpire(key, LONG_MS)

    async def until(self, condition: Callable[[], bool], what: str, within_ms: float = 20_000) -> None:
        end_ms = self.now_ms + within_ms
        while not condition():
            assert self.now_ms < end_ms, f"waited {within_ms:g} ms of the world's time for {what}"
            await self.tick()

    async def go_on(self, ms: float) -> None:
        end_ms = self.now_ms + ms
        while self.now_ms < end_ms:
            await self.tick()

    async def freeze(self, ms: float) -> None:
        """Redis answers nobody for so long."""
        self.frozen_until_ms = self.now_ms + ms

    @property
    def frozen(self) -> bool:
        return self.now_ms < self.frozen_until_ms

    async def kill(self, name: str) -> None:
        self.daemons[name].alive = False
        self.daemons[name].evidence.flush()

    # --- judgement ----------------------------------------------------------------------------------------------------

    @property
    def owner(self) -> str:
        [owner] = [daemon.name for daemon in self.living if daemon.owns]
        return owner

    async def judge(self) -> Report:
        """The whole history against the invariants, and the hashes against the venue's book."""
        tape: list[Note] = [Server("one", 0.0)]
        for entry_id, fields in await self.client.xrange(KEYS.deltas(0)):
            event: Any = decode(entry_id, fields)
            tape.append(
                Entry(
                    label=PAIR.label, line="book", id=event.id, t=fields[b"t"].decode(), n=event.n, epoch=event.epoch,
                    sequence=getattr(event, "sequence", None), first_sequence=getattr(event, "first_sequence", None),
                    reason=str(getattr(event, "reason", "")),
                )
            )  # fmt: skip
        for daemon in self.daemons.values():
            daemon.evidence.flush()
        facts = load_history(self.folder).facts
        report = check(History(tape=[*tape, ReadToEnd(float("inf"))], facts=facts), rule_of=lambda _: CONTIGUOUS)
        assert [str(violation) for violation in report.violations] == []
        found = await load_book(self.client, KEYS, PAIR)
        assert found.live
        assert found.sequence is not None
        truth = self.venue.book_at(found.sequence)
        assert (dict(found.bids), dict(found.asks)) == (dict(truth.bids), dict(truth.asks))
        owner = self.daemons[self.owner]
        assert found.sequence == self.venue.sequence - owner.lag, "everything is caught up"
        return report

    @property
    def longest_silence_ms(self) -> float:
        return max(later - earlier for earlier, later in zip(self.published_ms, self.published_ms[1:], strict=False))


@asynccontextmanager
async def ownership_world(url: str, folder: Path, *names: str, standbys: bool = False) -> AsyncIterator[World]:
    """Daemons of these names; nobody has a plan yet."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(redis_client(url))
        await scripts.load_all(client)
        world = World(client, folder)
        for name in names:
            wire = Wire(url)
            stack.push_async_callback(wire.close)
            await wire.connect()
            daemon = Daemon(world, name, client, wire, folder / EVIDENCE, standby=standbys)
            stack.callback(daemon.evidence.close)
            daemon.ownership.want([WISH])
            world.daemons[name] = daemon
            wire.meanwhile = partial(world.meanwhile, name)
        world.meet()
        yield world
