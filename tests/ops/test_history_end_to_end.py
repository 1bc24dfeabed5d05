"""From the simulated venues' sockets to ClickHouse, with daemons as real processes: history is the stream, nothing else.

Every scenario plays for SECONDS (FLEET_CHAOS_SCALE makes it longer), then the markets stand still and everything is compared:
entries with tail cells and streams, books rebuilt from history with Redis and with the venues' exact books.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pytest

from books.store import load_book
from feeds import venues as known_venues
from fleet import clock
from fleet.cell import Cell
from fleet.lease import trades_field
from fleet.pair import Pair
from fleet.tasks import Task
from monitor.clickhouse import ClickHouse, create_schema
from monitor.history import Rebuilt, entry_counts, gaps, rebuild
from ops.simulator.registry import listings
from ops.simulator.simulator import Simulator
from tests.support.fleet_processes import Child, Fleet
from tests.support.waiting import wait_until

SECONDS = 10.0 * float(os.environ.get("FLEET_CHAOS_SCALE") or 1)
CATCH_UP_S = 30.0
VISIBLE_WITHIN_S = 10.0  # the promise is one second; a starved machine must not fail the test
# one of each kind of book: spliced by REST and images, contracts with snapshots in band, gzip with snapshots asked for on the
# socket, protobuf on several sockets; every venue's own books are proved in tests/conformance
SAMPLE = (("binance", "spot"), ("okx", "futures"), ("htx", "spot"), ("mexc", "spot"))
BASES = 10  # pairs of each venue-market
DEPTHS = ("50", "20", "full", "50", "20")
LOOK_S = 0.05

pytestmark = pytest.mark.timeout(180 + 2 * SECONDS)


class Levels(NamedTuple):
    """One book with exact numbers: price → amount in base units."""

    bids: dict[Decimal, Decimal]
    asks: dict[Decimal, Decimal]

    def best(self, depth: int) -> "Levels":
        bids, asks = sorted(self.bids, reverse=True)[:depth], sorted(self.asks)[:depth]
        return Levels({price: self.bids[price] for price in bids}, {price: self.asks[price] for price in asks})


class World:
    """A fleet of processes, simulated venues in this process, and eyes on Redis and ClickHouse."""

    def __init__(self, fleet: Fleet, venues: Simulator, history: ClickHouse, tasks: list[Task]) -> None:
        self.fleet = fleet
        self.venues = venues
        self.history = history
        self.depths = {task.pair: task.depth for task in tasks}

    @property
    def pairs(self) -> list[Pair]:
        return sorted(self.depths)

    def venue_book(self, pair: Pair) -> Levels:
        """The simulator's own book, as far as the pair's channel shows it."""
        shown = self.venues.venue(pair.venue, pair.market).book(pair.pair)
        listing = next(one for one in listings(pair.venue, pair.market, BASES) if one.pair == pair.pair)
        exact = _levels(shown["bids"], shown["asks"], listing.contract_value)
        depth = known_venues.find(pair.venue, pair.market).book_channel(self.depths[pair]).depth
        return exact.best(int(depth)) if depth.isdecimal() else exact

    async def published(self) -> tuple[Counter[Pair], Counter[Pair] | None]:
        """Entries of each pair: by tail cells less the number before the first entry, and by the streams where untrimmed."""
        entries = await self._entries()
        if entries is None:
            starts = await self._starts()
        else:
            starts = {line: numbers[0] - 1 for line, numbers in entries.items()}
        by_cells: Counter[Pair] = Counter()
        by_streams: Counter[Pair] = Counter()
        for pair in self.pairs:
            for line in (pair.label, trades_field(pair)):
                by_streams[pair] += len((entries or {}).get(line, []))
                cell = await self.fleet.redis.hget(self.fleet.keys.tail(self.fleet.keys.shard(pair)), line)
                if cell is not None:
                    there = Cell.parse(cell)
                    by_cells[pair] += there.n - starts.get(line, there.n)
        return by_cells, None if entries is None else by_streams

    async def _entries(self) -> dict[str, list[int]] | None:
        """The n of every entry in the streams by line (field of a tail); None where they were trimmed behind the readers."""
        keys, redis = self.fleet.keys, self.fleet.redis
        found: dict[str, list[int]] = {}
        for shard in range(keys.shards):
            for stream, line in ((keys.deltas(shard), "{}"), (keys.trades(shard), "{}#trades")):
                if not await redis.exists(stream):
                    continue
                about = await redis.xinfo_stream(stream)
                if about["length"] != about["entries-added"]:
                    return None
                for _, fields in await redis.xrange(stream):
                    found.setdefault(line.format(fields[b"k"].decode()), []).append(int(fields[b"n"]))
        return found

    async def _starts(self) -> dict[str, int]:
        """Where the streams were trimmed: numbering began at the token, which is the epoch of the first entry."""
        rows = await self.history.query(
            "SELECT exchange_id, market_type, pair, min(epoch) FROM orderbook_snapshots WHERE source = 'stream' GROUP BY ALL"
        )
        starts = {":".join(row[:3]): int(row[3]) for row in rows}
        return starts | {f"{label}#trades": n for label, n in starts.items()}

    async def stand_still(self) -> None:
        """Freeze the markets, and wait until history has as many entries as were published."""
        for venue, market in SAMPLE:
            self.venues.venue(venue, market).misbehave("freeze_market")

        async def caught_up() -> bool:
            stored = await entry_counts(self.history)
            return stored == (await self.published())[0]

        await wait_until(caught_up, "history to have every entry", CATCH_UP_S, poll_s=0.2)

    async def assert_history_is_the_stream(self) -> int:
        """Entry for entry and level for level. How many entries there were."""
        told: tuple[Counter[Pair], ...] = ()

        async def the_same() -> bool:
            # a Mark of a quiet pair may come between two of the readings
            nonlocal told
            by_cells, by_streams = await self.published()
            told = (await entry_counts(self.history), by_cells, by_cells if by_streams is None else by_streams)
            return told[0] == told[1] == told[2]

        with suppress(AssertionError):
            await wait_until(the_same, "history, cells and streams to agree", CATCH_UP_S, poll_s=0.2)
        stored, by_cells, by_streams = told
        assert stored == by_cells
        assert stored == by_streams
        assert set(stored) == set(self.pairs)
        assert await gaps(self.history) == []
        for pair in self.pairs:
            await self._assert_same_books(pair)
        return sum(stored.values())

    async def _assert_same_books(self, pair: Pair) -> None:
        async def equal_to_redis() -> Rebuilt | None:
            # quiet pairs get a Mark every ten seconds, which moves n: it may come between the two readings
            book, rebuilt = await load_book(self.fleet.redis, self.fleet.keys, pair), await rebuild(self.history, pair)
            assert book.live
            return rebuilt if rebuilt == (dict(book.bids), dict(book.asks), book.n) else None

        rebuilt = await wait_until(equal_to_redis, f"{pair}: history's book to be that of Redis", 15, poll_s=0.2)
        assert rebuilt is not None
        assert _levels(rebuilt.bids.items(), rebuilt.asks.items()) == self.venue_book(pair), pair


class Visible:
    """How long after its frame arrived an event could be read from ClickHouse. Milliseconds."""

    def __init__(self, history: ClickHouse) -> None:
        self.lags_ms: list[float] = []
        self._history = history
        self._seen: set[tuple[str, ...]] = set()

    async def look(self) -> None:
        """Note what became visible since the last look."""
        rows = await self._history.query(
            "SELECT exchange_id, market_type, pair, epoch, n, toUnixTimestamp64Micro(any(received_time)) "
            "FROM orderbook_deltas WHERE received_time > now64(6) - 5 GROUP BY ALL"
        )
        now_us = clock.wall_us()
        is_first = not self._seen
        for *event, received_us in rows:
            identity = tuple(map(str, event))
            if identity not in self._seen:
                self._seen.add(identity)
                if not is_first:  # what lay there before the first look
                    self.lags_ms.append((now_us - received_us) / 1000)

    async def watch(self, seconds: float) -> None:
        """Look again and again for so long."""
        until_ms = clock.mono_ms() + seconds * 1000
        while clock.mono_ms() < until_ms:
            await self.look()
            await asyncio.sleep(LOOK_S)

    def percentile(self, percent: int) -> float:
        ranked = sorted(self.lags_ms)
        return ranked[min(len(ranked) - 1, len(ranked) * percent // 100)]


def _levels(bids: Iterable[Iterable[str]], asks: Iterable[Iterable[str]], size: Decimal = Decimal(1)) -> Levels:
    return Levels(*({Decimal(price): Decimal(amount) * size for price, amount in side} for side in (bids, asks)))


def monitoring(bases: int) -> list[Task]:
    """`bases` pairs of each venue-market at different depths; every third also with best prices and trades."""
    tasks = []
    for venue, market in SAMPLE:
        names = [one.pair for one in listings(venue, market, bases)[:bases]]
        for number, name in enumerate(names):
            channels = frozenset({"book", "bbo", "trades"} if number % 3 == 0 else {"book"})
            tasks.append(Task("MONITORING", Pair(venue, market, name), depth=DEPTHS[number % 5], channels=channels))
    return tasks


@pytest.fixture
def world(redis_server, redis_url: str, clickhouse_url: str, tmp_path: Path) -> Callable[..., object]:
    """`async with world(tasks) as w:` the tables made, the tasks stored, no daemon yet."""

    @asynccontextmanager
    async def make(tasks: list[Task]) -> AsyncIterator[World]:
        await create_schema(clickhouse_url)
        async with Simulator(SAMPLE, pairs=BASES) as venues, ClickHouse(clickhouse_url) as history:
            environment = {
                "FLEET_DATABASE_URL": f"sqlite:///{tmp_path / 'fleet.db'}",
                "FLEET_CLICKHOUSE_URL": clickhouse_url,
                "FLEET_SHARDS": "16",
                "FLEET_LEASE_MS": "2500",
                "FLEET_BOOK_TTL_MS": "10000",
                "FLEET_SNAPSHOT_MS": "3000",
            }
            for end in venues.endpoints:
                name = f"FLEET_VENUES__{end['venue'].upper()}__{end['market'].upper()}__"
                environment |= {name + "REST_URL": end["rest_url"], name + "WS_URL": end["ws_url"]}
            fleet = Fleet(redis_server, environment, tmp_path)
            try:
                await fleet.prepare([])
                await fleet.tasks.add(tasks)
                yield World(fleet, venues, history, tasks)
            finally:
                await fleet.close()

    return make


async def test_history_of_40_pairs_equals_streams_books_and_venues(world, record_property) -> None:
    async with world(monitoring(BASES)) as w:
        daemons = [w.fleet.daemon(FLEET_ROLES="feed,monitor") for _ in range(2)]
        await w.fleet.live(w.pairs)
        visible = Visible(w.history)
        await visible.watch(SECONDS)
        await w.stand_still()
        entries = await w.assert_history_is_the_stream()
        assert entries > SECONDS * len(w.pairs)  # a pair changes 1 to 10 times a second
        p50, p99 = visible.percentile(50), visible.percentile(99)
        rows = await w.history.query("SELECT sum(total_rows) FROM system.tables WHERE database = currentDatabase()")
        figures = f"{entries} entries, {rows[0][0]} rows, visible after {p50:.0f} ms (p50), {p99:.0f} ms (p99)"
        record_property("history", figures)
        print(figures)
        assert p99 < VISIBLE_WITHIN_S * 1000
        for daemon in daemons:
            daemon.terminate()
        assert [await daemon.ended() for daemon in daemons] == [0, 0]


async def test_a_killed_monitor_is_followed_by_another_and_history_stays_exact(world) -> None:
    async with world(monitoring(3)) as w:
        feed = w.fleet.daemon(FLEET_ROLES="feed")
        first = w.fleet.daemon(FLEET_ROLES="monitor")
        await w.fleet.live(w.pairs)
        await wait_until(lambda: _stored(w.history), "the first rows", CATCH_UP_S, poll_s=0.1)
        second = w.fleet.daemon(FLEET_ROLES="monitor")
        for dying, heir in ((first, second), (second, w.fleet.daemon(FLEET_ROLES="monitor"))):
            await _grows(w, SECONDS / 10)
            await _beats(w.fleet, heir)
            await dying.kill()
            await _grows(w, 0.2)
        await w.stand_still()
        await w.assert_history_is_the_stream()
        assert feed.code is None, feed


async def test_a_killed_feed_and_monitor_leaves_declared_resets_and_no_hole(world) -> None:
    async with world(monitoring(3)) as w:
        first, _ = (w.fleet.daemon(FLEET_ROLES="feed,monitor") for _ in range(2))
        await w.fleet.live(w.pairs)
        await wait_until(lambda: w.fleet.owned_by(first, w.pairs), "the first daemon to own pairs", CATCH_UP_S)
        await _grows(w, SECONDS / 10)
        await first.kill()
        # its leases outlive it; asked before, pairs may still be moving
        orphans = await w.fleet.owned_by(first, w.pairs)
        before = max(book.epoch for book in await w.fleet.books(w.pairs))
        await w.fleet.newer(orphans, before)
        await _grows(w, 0.2)
        await w.stand_still()
        await w.assert_history_is_the_stream()
        rows = await w.history.query(
            "SELECT exchange_id, market_type, pair FROM feed_events WHERE kind = 'reset' AND reason = 'takeover'"
        )
        # none but the orphans; and not all of them, where an heir that was to own the pair anyway was warm
        assert {Pair(*row) for row in rows} <= set(orphans)
        assert rows


async def _stored(history: ClickHouse) -> int:
    return sum((await entry_counts(history)).values())


async def _beats(fleet: Fleet, child: Child) -> None:
    """Wait until the daemon is a member: only then can it take anything over."""
    await wait_until(lambda: fleet.member_of(child), f"{child.pid} to be a member", CATCH_UP_S, poll_s=0.05)


async def _grows(w: World, seconds: float) -> None:
    """Wait until history holds what arrived `seconds` from now: the monitor that works now has stored it."""
    goal_us = clock.wall_us() + round(seconds * 1_000_000)

    async def grown() -> bool:
        [(newest_us,)] = await w.history.query(
            "SELECT toUnixTimestamp64Micro(max(received_time)) FROM orderbook_deltas"
        )
        return newest_us > goal_us

    await wait_until(grown, f"rows of {seconds} s later", CATCH_UP_S + seconds, poll_s=0.1)
