"""What the demo proves at its end: every pair live, history equal to the stream and to the books, orders equal to their fills."""

import asyncio
from dataclasses import dataclass, field, replace
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

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
from fleet.schema import ORDERS, TRADE_HISTORY
from fleet.sql import engine as sql_engine
from fleet.sql import reading
from monitor.clickhouse import ClickHouse
from monitor.history import counts, entry_counts, gaps, rebuild
from monitor.schema import OF_DELTAS, OF_TRADES
from ops.observer import Observer
from ops.status import REFUSED, PairStatus
from trader.report import fills, orders

POLL_S = 0.25
SHOWN = 5  # of many alike


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

    def with_fleet(self, not_live: list[str], daemons: int, messages: int) -> "Summary":
        """With what was seen before the markets were stopped; `not_live`: the pairs that were not, and why."""
        live = self.pairs - len(not_live)
        complaints = [*self.complaints]
        if not_live:
            complaints.append(f"only {live} of {self.pairs} pairs were live at the end; {'; '.join(not_live[:SHOWN])}")
        return replace(self, pairs_live=live, daemons=daemons, messages=messages, complaints=complaints)

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
        self._observer = Observer(self._redis, self._keys)
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

    async def not_live(self) -> list[str]:
        """The pairs whose books may not be used now, each with its status and the reason that the fleet gives."""
        told = []
        for pair, found in (await self._not_live()).items():
            status = "no daemon knows it" if found is None else found.status
            told.append(f"{pair}: {status}" + (f" ({found.reason})" if found is not None and found.reason else ""))
        return told

    async def _not_live(self) -> dict[Pair, PairStatus | None]:
        seen = await self._observer.observe()
        found = {pair: seen.find(pair) for pair in self.pairs}
        return {pair: status for pair, status in found.items() if status is None or not status.live}

    async def daemons(self) -> int:
        """How many members the fleet has now."""
        return len(await read_members(self._redis, self._keys))

    async def wait_live(self, within_s: float, least: int | None = None) -> int:
        """Until every pair (or `least` of them) is live, all others are refused, or the time is up; how many are live."""
        until_ms = clock.mono_ms() + within_s * 1000
        wanted = len(self.pairs) if least is None else least
        while True:
            missing = await self._not_live()
            live = len(self.pairs) - len(missing)
            is_hopeless = missing and all(found is not None and found.status == REFUSED for found in missing.values())
            if live >= wanted or is_hopeless or clock.mono_ms() >= until_ms:
                return live
            await asyncio.sleep(POLL_S)

    async def compare(self, within_s: float) -> Summary:
        """Wait until history has caught up with the stopped markets, and say what differs when the time is up.

        What was equal once is not compared again: counting comes before rebuilding, which costs some queries a pair.
        """
        until_ms = clock.mono_ms() + within_s * 1000
        uncounted = unbuilt = set(self.pairs)
        while True:
            told = await self._other_counts(uncounted)
            uncounted = set(told)
            if not told:
                told = await self._other_books(unbuilt)
                unbuilt = set(told)
            if not told or clock.mono_ms() >= until_ms:
                break
            await asyncio.sleep(POLL_S)
        rows, missing = await counts(self._history), await gaps(self._history)
        complaints = [*told.values()]
        if missing:
            complaints.append(f"history has {len(missing)} gaps, the first: {missing[0]}")
        starts = await self._starts("deltas"), await self._starts("trades")
        return Summary(
            pairs=len(self.pairs),
            deltas_published=sum([(await self._published(pair, starts))[0] for pair in self.pairs]),
            history_rows=sum(rows.values()),
            history_gaps=len(missing),
            orders=len(await orders(self._engine, limit=1_000_000)),
            fills=len(await fills(self._engine, limit=1_000_000)),
            complaints=complaints + await self._money_complaints(),
        )

    async def _other_counts(self, pairs: set[Pair]) -> dict[Pair, str]:
        """Pairs of which history has more or fewer entries than were published."""
        if not pairs:
            return {}
        # history first: what is published meanwhile is then missing in it and asked for again
        stored = await entry_counts(self._history)
        starts = await self._starts("deltas"), await self._starts("trades")
        told = {}
        for pair in sorted(pairs):
            published = sum(await self._published(pair, starts))
            if stored.get(pair, 0) != published:
                told[pair] = f"{pair}: {stored.get(pair, 0)} entries in history, {published} in the stream"
        return told

    async def _other_books(self, pairs: set[Pair]) -> dict[Pair, str]:
        """Pairs whose book, rebuilt from history alone, is not the one in Redis."""
        told = {}
        for pair in sorted(pairs):
            book, rebuilt = await load_book(self._redis, self._keys, pair), await rebuild(self._history, pair)
            was_published = book.n or (book.cell is not None and book.cell.n > book.cell.token)
            if rebuilt is None and was_published:
                told[pair] = f"{pair}: not in history"
            elif rebuilt is not None and rebuilt != (dict(book.bids), dict(book.asks), book.n):
                told[pair] = f"{pair}: the book rebuilt from history (n={rebuilt.n}) differs from Redis (n={book.n})"
        return told

    async def _starts(self, line: str) -> dict[Pair, int]:
        """The n before the first entry of every pair's line, by what history holds of it.

        In an empty Redis numbering begins at the token of the first owner, so it cannot begin above the epoch of the first
        entry: where it seems to, that entry was not the first.
        """
        first: dict[Pair, tuple[int, int]] = {}
        for table, condition in (OF_DELTAS if line == "deltas" else OF_TRADES).items():
            rows = await self._history.query(
                f"SELECT exchange_id, market_type, pair, min((epoch, n)) FROM {table} "  # noqa: S608 - our own names
                f"WHERE {condition} GROUP BY exchange_id, market_type, pair"
            )
            for venue, market, pair, found in rows:
                known = Pair(venue, market, pair)
                first[known] = min(first.get(known, found), found)
        return {pair: min(epoch, n - 1) for pair, (epoch, n) in first.items()}

    async def _published(self, pair: Pair, starts: tuple[dict[Pair, int], dict[Pair, int]]) -> tuple[int, int]:
        """How many entries the pair's lines (deltas, trades) have had, by their tail cells."""
        tail = self._keys.tail(self._keys.shard(pair))
        cells = await self._redis.hmget(tail, [pair.label, trades_field(pair)])
        published = []
        for cell, start in zip(cells, starts, strict=True):
            token, n, *_ = (0, 0) if cell is None else Cell.parse(cell)
            # nothing of the line in history: nothing was published if its n still is the token it began with
            published.append(n - start.get(pair, min(n, token)))
        return published[0], published[1]

    async def _money_complaints(self) -> list[str]:
        """Every order is filled by exactly what its fills say, each of them once; read in one statement."""
        joined = ORDERS.outerjoin(TRADE_HISTORY, TRADE_HISTORY.c.CLIENT_ORDER_ID == ORDERS.c.CLIENT_ORDER_ID)
        statement = sa.select(
            ORDERS.c.CLIENT_ORDER_ID, ORDERS.c.FILLED, TRADE_HISTORY.c.AMOUNT, TRADE_HISTORY.c.VENUE_TRADE_ID
        ).select_from(joined)
        filled: dict[str, Decimal] = {}
        of_fills: dict[str, Decimal] = {}
        seen: set[tuple[str, str]] = set()
        complaints = []
        async with reading(self._engine) as connection:
            for client_id, total, amount, trade_id in await connection.execute(statement):
                filled[client_id] = total
                of_fills[client_id] = of_fills.get(client_id, Decimal(0)) + (amount or 0)
                if trade_id is not None and (client_id, trade_id) in seen:
                    complaints.append(f"fill {trade_id} of order {client_id} is stored twice")
                seen.add((client_id, trade_id))
        for client_id, total in filled.items():
            if of_fills[client_id] != total:
                complaints.append(f"order {client_id}: filled {total}, its fills say {of_fills[client_id]}")
        return complaints[:SHOWN]
