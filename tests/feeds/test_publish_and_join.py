"""The central promise: whatever happens between a writer and a reader, the reader's book is the venue's book.

Random histories on a real redis-server: publishes of several pairs in one call, conflated flushes, commands whose answer is
lost (carried out or not), owner changes with the former owner writing on, trimmed streams, expired hashes, an emptied
server, readers that join at any point and read at their own pace. After each history the books are compared level by level.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from unittest.mock import patch

import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from books.book import Book
from books.events import Delta, Event, Reset, ResetReason, Snapshot, SnapshotReason
from books.reader import Reader
from books.store import load_book
from feeds import outbox as outbox_module
from feeds.outbox import Batch, Outbox, Phase
from feeds.source import Source
from fleet.keys import Keys
from fleet.ordered import OrderedConnection, pack
from fleet.pair import Pair
from fleet.scripts import Granted, PublishLine, Word, acquire, publish
from ops.embedded.redis import EmbeddedRedis

PAIRS = [Pair("somewhere", "spot", f"P{i}/USDT") for i in range(3)]
KEYS = Keys(shards=1)
TTL_MS = 60_000


class Market:
    """What the venue would say: one true book a pair, changing at random."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.books = {pair: Book() for pair in PAIRS}
        self.sequence = dict.fromkeys(PAIRS, 0)

    def delta(self, pair: Pair) -> Delta:
        self.sequence[pair] += 1
        bids = {str(self.rng.randrange(1, 40)): str(self.rng.choice([0, 0, 1, 2, 3])) for _ in range(3)}
        asks = {str(self.rng.randrange(41, 80)): str(self.rng.choice([0, 0, 1, 2, 3])) for _ in range(3)}
        event = Delta(pair=pair, received_us=1, bids=bids, asks=asks, sequence=self.sequence[pair])
        self.books[pair].apply(event)
        return event

    def image(self, pair: Pair) -> Snapshot:
        book = self.books[pair]
        return Snapshot(
            pair=pair, received_us=1, bids=dict(book.bids), asks=dict(book.asks), reason=SnapshotReason.FIRST,
            sequence=self.sequence[pair],
        )  # fmt: skip

    def source(self, pair: Pair) -> Source:
        return Source(self.books[pair], self.sequence[pair])


class Owner:
    """A daemon's lines, driven by hand through the real scripts."""

    def __init__(self, name: str, connection: OrderedConnection, market: Market) -> None:
        self.name = name
        self.connection = connection
        self.market = market
        self.lines = {pair: Outbox(pair, owner=name, depth="full") for pair in PAIRS}
        self.fenced = 0

    async def acquire(self, pair: Pair) -> None:
        await self.connection.call(pack("DEL", KEYS.lease(pair)))  # the former lease has ended
        answer = await acquire(
            self.connection, tail=KEYS.tail(0), lease=KEYS.lease(pair), offer=KEYS.offer(pair), holder=self.name,
            ttl_ms=TTL_MS, floor=0, fields=[pair.label],
        )  # fmt: skip
        assert isinstance(answer, Granted)
        line = self.lines[pair]
        if line.phase is Phase.CLOSED:
            line.close()
        line.granted(answer.token, answer.n[0], answer.cells[0], self.market.source(pair), 1)

    def take(self) -> list[tuple[Outbox, Batch]]:
        taken = []
        for pair, line in self.lines.items():
            batch = line.take(self.market.source(pair), 1)
            if batch is not None:
                taken.append((line, batch))
        return taken

    async def flush(self, outcome: str) -> None:
        """`answered`, `unanswered` (carried out, the answer lost) or `lost` (never carried out)."""
        taken = self.take()
        if not taken:
            return
        lines = [
            PublishLine(
                line.pair.label,
                line.pair.label,
                batch.token,
                batch.n,
                batch.entries,
                batch.sequence,
                False,
                line.pair,
                batch.based_on,
                batch.levels,
                batch.fields,
            )
            for line, batch in taken
        ]
        verdicts = await publish(self.connection, KEYS, 0, TTL_MS, lines) if outcome != "lost" else []
        for i, (line, _) in enumerate(taken):
            if outcome != "answered":
                line.doubt()
            elif verdicts[i].word in (Word.OK, Word.REWRITE):
                line.accepted(hash_patched=verdicts[i].word is Word.OK)
            else:
                self.fenced += 1
                line.doubt()


steps = st.lists(
    st.one_of(
        st.tuples(st.just("delta"), st.integers(0, 2), st.integers(1, 4)),
        st.tuples(st.just("delta"), st.integers(0, 2), st.integers(1, 4)),
        st.tuples(st.just("flush"), st.sampled_from(["answered", "answered", "answered", "unanswered", "lost"])),
        st.tuples(st.just("gap"), st.integers(0, 2)),
        st.tuples(st.just("conflate"), st.integers(0, 2)),
        st.tuples(st.just("takeover"), st.integers(0, 2)),
        st.tuples(st.just("late write"), st.integers(0, 2)),
        st.tuples(st.just("trim"), st.integers(0, 5)),
        st.tuples(st.just("expire"), st.integers(0, 2)),
        st.tuples(st.just("empty"),),
        st.tuples(st.just("join"),),
        st.tuples(st.just("read"), st.integers(0, 3)),
        st.tuples(st.just("audit"), st.integers(0, 3)),
    ),
    min_size=5,
    max_size=60,
)  # fmt: skip


@asynccontextmanager
async def clients(url: str) -> AsyncIterator[tuple[redis.asyncio.Redis, OrderedConnection]]:
    client = redis.asyncio.Redis.from_url(url)
    connection = OrderedConnection(url)
    await connection.connect()
    try:
        yield client, connection
    finally:
        await connection.close()
        await client.aclose()


class History:
    """One random history: a market, the daemons that own its pairs in turn, and readers."""

    def __init__(self, client: redis.asyncio.Redis, connection: OrderedConnection, seed: int) -> None:
        self.client = client
        self.connection = connection
        self.market = Market(seed)
        self.owner = Owner("owner-0", connection, self.market)
        self.former: Owner | None = None
        self.readers: list[Reader] = []
        self.owners = 1

    async def begin(self) -> None:
        for pair in PAIRS:
            self.market.delta(pair)
            await self.owner.acquire(pair)
        await self.owner.flush("answered")

    def put(self, pair: Pair, *events: Event) -> None:
        for event in events:
            self.owner.lines[pair].add(event)

    async def reacquire(self) -> None:
        for pair, line in self.owner.lines.items():
            if line.phase is Phase.DOUBTFUL:
                await self.owner.acquire(pair)

    async def step(self, step: tuple[object, ...]) -> None:
        match step:
            case ("delta", int(i), int(count)):
                for _ in range(count):
                    self.put(PAIRS[i], self.market.delta(PAIRS[i]))
            case ("flush", str(outcome)):
                await self.reacquire()
                await self.owner.flush(outcome)
            case ("gap", int(i)):
                self.put(PAIRS[i], Reset(pair=PAIRS[i], received_us=1, reason=ResetReason.GAP))
                self.put(PAIRS[i], self.market.image(PAIRS[i]))
            case ("conflate", int(i)):
                line = self.owner.lines[PAIRS[i]]
                for _ in range(outbox_module.CONFLATE_AT + 1):
                    line.add(self.market.delta(PAIRS[i]))
            case ("takeover", int(i)):
                self.former, self.owners = self.owner, self.owners + 1
                self.owner = Owner(f"owner-{self.owners}", self.connection, self.market)
                for pair in PAIRS:
                    await self.owner.acquire(pair)
            case ("late write", int(i)) if self.former is not None:
                before = await self.client.xlen(KEYS.deltas(0))
                self.former.lines[PAIRS[i]].add(Reset(pair=PAIRS[i], received_us=1, reason=ResetReason.GAP))
                await self.former.flush("answered")
                assert await self.client.xlen(KEYS.deltas(0)) == before, "a fenced owner wrote"
            case ("trim", int(keep)):
                await self.client.xtrim(KEYS.deltas(0), maxlen=keep, approximate=False)
            case ("expire", int(i)):
                await self.client.delete(KEYS.book(PAIRS[i]), KEYS.bids(PAIRS[i]), KEYS.asks(PAIRS[i]))
            case ("empty",):
                await self.client.flushall()
                for line in self.owner.lines.values():
                    line.doubt()
            case ("join",) if len(self.readers) < 4:
                reader = Reader(self.client, KEYS, PAIRS, block_ms=None)
                await reader.start()
                self.readers.append(reader)
            case ("read", int(i)) if i < len(self.readers):
                await self.readers[i].step()
            case ("audit", int(i)) if i < len(self.readers):
                await self.readers[i].audit()
            case _:
                pass

    async def settle(self) -> None:
        """Let the owner say what is left, and the readers hear it."""
        for _ in range(6):
            for pair in PAIRS:
                self.put(pair, self.market.delta(pair))
            await self.reacquire()
            await self.owner.flush("answered")
        for pair, line in self.owner.lines.items():
            assert (line.phase, line.waiting) == (Phase.OPEN, 0), pair
        for reader in self.readers:
            for _ in range(6):
                await reader.step()
                await reader.audit()


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck), report_multiple_bugs=False)
@given(history=steps, seed=st.integers(0, 2**32))
def test_any_history_ends_with_every_reader_holding_the_venues_book(
    redis_server: EmbeddedRedis, history: list[tuple[object, ...]], seed: int
) -> None:
    with patch.object(outbox_module, "CONFLATE_AT", 12):
        asyncio.run(play(redis_server.url, history, seed))


async def play(url: str, history: list[tuple[object, ...]], seed: int) -> None:
    async with clients(url) as (client, connection):
        await client.flushall()
        run = History(client, connection, seed)
        await run.begin()
        for step in history:
            await run.step(step)
        late = Reader(client, KEYS, PAIRS, block_ms=None)
        run.readers.append(late)
        await late.start()
        await run.settle()
        for pair in PAIRS:
            truth = run.market.books[pair].top()
            loaded = await load_book(client, KEYS, pair)
            stored = Book()
            stored.apply(
                Snapshot(pair=pair, received_us=1, bids=loaded.bids, asks=loaded.asks, reason=SnapshotReason.JOIN)
            )
            assert loaded.live
            assert stored.top() == truth, f"the hashes of {pair}"
            assert loaded.sequence == run.market.sequence[pair]
            for number, reader in enumerate(run.readers):
                view = reader.views[pair]
                assert view.status == "live", f"reader {number} of {pair}"
                assert view.book.top() == truth, f"reader {number} of {pair}"
                assert view.n == loaded.n
        await client.flushall()
