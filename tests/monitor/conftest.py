"""A ClickHouse with the tables of history, a writer of stream entries, and collectors that run as long as a test wants."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from redis.asyncio import Redis

from books.book import Book
from books.events import Bbo, Delta, Event, Mark, Reset, ResetReason, Snapshot, SnapshotReason, Trade
from books.wire import encode
from fleet.keys import Keys
from fleet.pair import Pair
from monitor.clickhouse import ClickHouse, create_schema
from monitor.collector import Collector, Turn

ANYTIME = Turn()
FIRST_N = 1_763_000_000_000  # numbering starts at the token, which is a time in ms
RECEIVED_US = 1_763_000_000_123_456


class FeedWriter:
    """Writes events into the shard streams as the publisher would, and keeps the books they make."""

    def __init__(self, redis: Redis, keys: Keys, seed: int = 1) -> None:
        self.redis, self.keys = redis, keys
        self.random = random.Random(seed)
        self.books: dict[Pair, Book] = {}
        self.n: dict[tuple[str, Pair], int] = {}
        self.epoch: dict[Pair, int] = {}
        self.written: Counter[str] = Counter()  # events by kind, and `levels` of all deltas
        self.entries: Counter[Pair] = Counter()
        self._pipe = redis.pipeline(transaction=False)

    async def write(self, *events: Event, n: int | None = None, entry_id: str = "*") -> None:
        """Append events, each with the next n of its pair (or `n`), its epoch, in order."""
        for event in events:
            self.put(event, n, entry_id)
        await self.flush()

    def put(self, event: Event, n: int | None = None, entry_id: str = "*") -> None:
        """As `write`, but sent with the next `flush`."""
        pair = event.pair
        kind, payload = encode(event)
        line = "trades" if isinstance(event, Trade) else "deltas"
        number = n if n is not None else self.n.get((line, pair), FIRST_N) + 1
        self.n[line, pair] = number
        shard = self.keys.shard(pair)
        stream = self.keys.trades(shard) if line == "trades" else self.keys.deltas(shard)
        fields = {"k": pair.label, "t": kind.value, "n": number, "e": self.epoch.get(pair, FIRST_N), "d": payload}
        self._pipe.xadd(stream, fields, id=entry_id)
        self.written[kind.value] += 1
        self.entries[pair] += 1
        if isinstance(event, Delta):
            self.written["levels"] += len(event.bids) + len(event.asks)
        if isinstance(event, Snapshot | Delta | Reset):
            self.books.setdefault(pair, Book()).apply(event)

    async def flush(self) -> None:
        await self._pipe.execute()

    async def play(self, pairs: list[Pair], count: int) -> None:
        """`count` random events over `pairs`, each pair beginning with a Snapshot."""
        for pair in pairs:
            if pair not in self.books:
                self.put(self.snapshot(pair, SnapshotReason.FIRST))
        for _ in range(count):
            pair = self.random.choice(pairs)
            dice = self.random.random()
            if dice < 0.01:
                self.put(Reset(pair=pair, received_us=RECEIVED_US, reason=ResetReason.GAP))
                self.put(self.snapshot(pair, SnapshotReason.RESYNC))
            elif dice < 0.03:
                self.put(Mark(pair=pair, received_us=RECEIVED_US))
            elif dice < 0.06:
                self.put(Bbo(pair=pair, received_us=RECEIVED_US, bid="1.5", bid_amount="2", ask="", ask_amount=""))
            elif dice < 0.10:
                trade_id = str(self.random.randrange(10**9))
                self.put(
                    Trade(pair=pair, received_us=RECEIVED_US, price="1.5", amount="2", side="buy", trade_id=trade_id)
                )
            else:
                self.put(self.delta(pair))
        await self.flush()

    def snapshot(self, pair: Pair, reason: SnapshotReason) -> Snapshot:
        return Snapshot(
            pair=pair, received_us=RECEIVED_US, bids=self._levels(20), asks=self._levels(20), reason=reason, sequence=7
        )

    def delta(self, pair: Pair) -> Delta:
        count = self.random.randrange(8)
        return Delta(
            pair=pair, received_us=RECEIVED_US, venue_ms=RECEIVED_US // 1000 - 5, sequence=9,
            bids=self._levels(count, zeros=True), asks=self._levels(8 - count, zeros=True),
        )  # fmt: skip

    def _levels(self, count: int, *, zeros: bool = False) -> dict[str, str]:
        chosen = self.random.choices(range(1, 60), k=count)
        amounts = ("0", "0.125", "3", "17.00000000000000000001") if zeros else ("0.5", "2")
        return {f"{65000 + price}.1": self.random.choice(amounts) for price in chosen}


@pytest.fixture
def keys() -> Keys:
    return Keys(shards=4)


@pytest.fixture
def pairs() -> list[Pair]:
    return [Pair("binance", "spot", f"COIN{number}/USDT") for number in range(40)]


@pytest.fixture
def feed(redis: Redis, keys: Keys) -> FeedWriter:
    return FeedWriter(redis, keys)


@pytest.fixture
async def history(clickhouse_url: str) -> AsyncIterator[ClickHouse]:
    """A client of an own database in which `fleet init` has run."""
    await create_schema(clickhouse_url)
    async with ClickHouse(clickhouse_url) as client:
        yield client


@pytest.fixture
async def make_collector(redis: Redis, keys: Keys, clickhouse_url: str) -> AsyncIterator[Callable[..., Collector]]:
    async with AsyncExitStack() as clients:

        def make(lane: int = 0, clickhouse: ClickHouse | None = None, turn: Turn = ANYTIME) -> Collector:
            client = clickhouse or ClickHouse(clickhouse_url)
            clients.push_async_callback(client.close)
            return Collector(lane, range(keys.shards), redis=redis, keys=keys, clickhouse=client, turn=turn)

        yield make


@pytest.fixture
def collect(make_collector: Callable[..., Collector]) -> Callable[[], Awaitable[Collector]]:
    """`await collect()`: a new collector stores all that is there, and ends."""

    async def run() -> Collector:
        collector = make_collector()
        collector.finish()
        await collector.run()
        return collector

    return run


@pytest.fixture
def running() -> Callable[..., object]:
    """`async with running(collector):` collects in the background."""

    @asynccontextmanager
    async def run(collector: Collector) -> AsyncIterator[Collector]:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(collector.run())
            try:
                yield collector
            finally:
                task.cancel()

    return run
