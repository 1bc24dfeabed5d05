"""What the demo proves at its end: every pair live, history equal to the stream and to the books, fills equal to positions."""

import asyncio
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from books.loaded import LoadedBook
from books.store import load_book
from fleet import clock
from fleet.cell import Cell
from fleet.config import Settings
from fleet.errors import FleetError
from fleet.heartbeat import read_members
from fleet.keys import Keys
from fleet.lease import trades_field
from fleet.pair import Pair
from fleet.redis_connection import connect
from fleet.sql import engine as sql_engine
from monitor.clickhouse import ClickHouse
from monitor.history import counts, entry_counts, gaps, rebuild
from trader.report import fills, orders

POLL_S = 0.25


@dataclass(frozen=True)
class Summary:
    """The last line of the demo. `complaints` is empty when all is as promised."""

    pairs: int
    deltas_published: int
    history_rows: int
    history_gaps: int
    orders: int
    fills: int
    pairs_live: int = 0
    daemons: int = 0
    messages: int = 0
    complaints: list[str] = field(default_factory=list)

    def with_fleet(self, pairs_live: int, daemons: int, messages: int) -> "Summary":
        """With what was seen before the markets were stopped."""
        complaints = list(self.complaints)
        if pairs_live < self.pairs:
            complaints.append(f"only {pairs_live} of {self.pairs} pairs were live at the end")
        return replace(self, pairs_live=pairs_live, daemons=daemons, messages=messages, complaints=complaints)

    def as_json(self) -> dict[str, Any]:
        """The keys of the contract."""
        return {
            "pairs_live": self.pairs_live,
            "pairs": self.pairs,
            "messages": self.messages,
            "deltas_published": self.deltas_published,
            "history_rows": self.history_rows,
            "history_gaps": self.history_gaps,
            "orders": self.orders,
            "fills": self.fills,
            "daemons": self.daemons,
        }


class Check:
    """Looks at the demo's Redis, ClickHouse and SQL from outside, as a user would."""

    def __init__(self, settings: Settings, pairs: list[Pair]) -> None:
        if settings.clickhouse_url is None:
            raise FleetError("the check needs a ClickHouse")
        self.pairs = sorted(set(pairs))
        self._keys = Keys(settings.namespace, settings.shards)
        self._redis = connect(settings, name="fleet-demo")
        self._history = ClickHouse(settings.clickhouse_url.get_secret_value())
        self._engine = sql_engine(settings)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._redis.aclose()
        await self._history.close()
        await self._engine.dispose()

    async def live_pairs(self) -> int:
        """How many books are live now."""
        return sum([(await load_book(self._redis, self._keys, pair)).live for pair in self.pairs])

    async def daemons(self) -> int:
        """How many members the fleet has now."""
        return len(await read_members(self._redis, self._keys))

    async def wait_live(self, within_s: float) -> None:
        """Until every pair is live, or until the time is up: what is missing then is told at the end."""
        until_ms = clock.mono_ms() + within_s * 1000
        while await self.live_pairs() < len(self.pairs) and clock.mono_ms() < until_ms:  # noqa: ASYNC110 - asked of Redis
            await asyncio.sleep(POLL_S)

    async def compare(self, within_s: float) -> Summary:
        """Wait until history has caught up with the stopped markets, and say what differs when the time is up."""
        until_ms = clock.mono_ms() + within_s * 1000
        while True:
            books, complaints = await self._complaints()
            if not complaints or clock.mono_ms() >= until_ms:
                break
            await asyncio.sleep(POLL_S)
        rows = await counts(self._history)
        missing = await gaps(self._history)
        if missing:
            complaints.append(f"history has {len(missing)} gaps, the first: {missing[0]}")
        starts = await self._starts()
        return Summary(
            pairs=len(self.pairs),
            deltas_published=sum(book.n - starts.get(pair, book.n) for pair, book in books.items()),
            history_rows=sum(rows.values()),
            history_gaps=len(missing),
            orders=len(await orders(self._engine, limit=1_000_000)),
            fills=len(await fills(self._engine, limit=1_000_000)),
            complaints=complaints,
        )

    async def _starts(self) -> dict[Pair, int]:
        """The n before a pair's first event: the token of its first owner, since this Redis was empty."""
        rows = await self._history.query(
            "SELECT exchange_id, market_type, pair, min(epoch) FROM "
            "(SELECT exchange_id, market_type, pair, epoch FROM orderbook_snapshots UNION ALL "
            "SELECT exchange_id, market_type, pair, epoch FROM feed_events WHERE kind = 'reset') "
            "GROUP BY exchange_id, market_type, pair"
        )
        return {Pair(venue, market, pair): int(epoch) for venue, market, pair, epoch in rows}

    async def _complaints(self) -> tuple[dict[Pair, LoadedBook], list[str]]:
        books: dict[Pair, LoadedBook] = {}
        complaints: list[str] = []
        stored, starts = await entry_counts(self._history), await self._starts()
        for pair in self.pairs:
            book = books[pair] = await load_book(self._redis, self._keys, pair)
            rebuilt = await rebuild(self._history, pair)
            if rebuilt is None:
                complaints.append(f"{pair}: not in history")
            elif (rebuilt.n, rebuilt.bids, rebuilt.asks) != (book.n, dict(book.bids), dict(book.asks)):
                complaints.append(
                    f"{pair}: the book rebuilt from history (n={rebuilt.n}) differs from Redis (n={book.n})"
                )
            published = await self._published(pair, starts.get(pair, 0))
            if stored.get(pair, 0) != published:
                complaints.append(f"{pair}: {stored.get(pair, 0)} entries in history, {published} in the stream")
        return books, complaints

    async def _published(self, pair: Pair, start: int) -> int:
        """How many entries the pair's lines have had, by their tail cells."""
        tail = self._keys.tail(self._keys.shard(pair))
        cells = await self._redis.hmget(tail, [pair.label, trades_field(pair)])
        return sum(Cell.parse(cell).n - start for cell in cells if cell is not None)
