"""Snapshots of the live books, taken from the Redis hashes: rows of orderbook_snapshots with source `hash`.

They do not pass through the stream, so a book rebuilt from the stream's rows can be checked against them. `timestamp` and
`received_time` of such a row are the moment it was taken, by Redis's clock; epoch, n, stream id and `venue_time` are those of
the last event in the book.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from books.events import Snapshot, SnapshotReason
from books.loaded import LoadedBook
from books.store import load_book
from fleet.cancellation import heeding
from fleet.clock import MonoMs, mono_ms
from fleet.errors import ConfigError, FleetError
from fleet.keys import Keys
from fleet.pair import Pair, parse_label
from monitor.batch import MAX_WEIGHT
from monitor.clickhouse import ClickHouse
from monitor.rows import TableRows, snapshot_values
from monitor.schema import SNAPSHOTS
from monitor.stats import Outage

REASON = "periodic"
_OTHER_LINE = "#"  # fields of the tail that are no book: LABEL#trades
# A round is spread over this part of the period, so that hundreds of books are no burst; the rest is room for slowness.
_SPREAD = 0.8
_SLICES = 8  # inserts a round and lane, if there are as many books: one a second, ClickHouse likes few and large ones

_log = logging.getLogger(__name__)


def snapshot_row(found: LoadedBook) -> list[Any]:
    """PURE. A live book as a row. Raises ValueError, TypeError for levels that are no numbers."""
    book = Snapshot(
        pair=found.pair, bids=found.bids, asks=found.asks, reason=SnapshotReason.JOIN, sequence=found.sequence,
        venue_ms=found.venue_ms, received_us=found.now_ms * 1000, epoch=found.epoch, n=found.n, id=found.id,
    )  # fmt: skip
    values = snapshot_values(book, "hash", REASON)
    values[0] = found.now_ms
    return values


class SnapshotTaker:
    """Every `period_ms` a snapshot of each live book of `shards`. `run` goes on until cancelled."""

    def __init__(
        self,
        name: str,
        shards: Sequence[int],
        period_ms: int,
        *,
        redis: Redis,
        keys: Keys,
        clickhouse: ClickHouse,
        clock_mono_ms: MonoMs = mono_ms,
        on_taken: Callable[[int], None] = lambda _count: None,
    ) -> None:
        """`on_taken` hears how many rows each insert had."""
        self._shards = shards
        self._period_ms = period_ms
        self._redis = redis
        self._keys = keys
        self._clickhouse = clickhouse
        self._mono_ms = clock_mono_ms
        self._on_taken = on_taken
        self._outage = Outage(f"snapshots {name}", clock_mono_ms)

    async def run(self) -> None:
        """Take snapshots. One that cannot be stored is left out: the next round brings a newer one."""
        while True:
            began_ms = self._mono_ms()
            try:
                await self.take_round(spread_ms=self._period_ms * _SPREAD)
                self._outage.over()
                pause_s = 0.0
            except (FleetError, RedisError, OSError) as error:
                pause_s = self._outage.failed(error)
            left_s = (self._period_ms - (self._mono_ms() - began_ms)) / 1000
            await asyncio.sleep(max(pause_s, left_s, 0.0))

    async def take_round(self, spread_ms: float = 0.0) -> int:
        """One snapshot of each live book, evenly over `spread_ms`; returns how many were stored.

        Raises FleetError (ClickHouse) or RedisError; what was stored before stays.
        """
        pairs = await self._pairs()
        began_ms, taken = self._mono_ms(), 0
        size = max(1, -(-len(pairs) // _SLICES))
        for start in range(0, len(pairs), size):
            wait_ms = began_ms + spread_ms * start / len(pairs) - self._mono_ms()
            if wait_ms > 0:
                await asyncio.sleep(wait_ms / 1000)
            taken += await self._take(pairs[start : start + size])
        return taken

    async def _take(self, pairs: Sequence[Pair]) -> int:
        rows, weight, taken, names = TableRows(SNAPSHOTS), 0, 0, blake2b(digest_size=16)
        for pair in pairs:
            found = await heeding(load_book(self._redis, self._keys, pair))
            if not found.live:
                continue
            try:
                rows.extend(1, snapshot_row(found))
            except (ValueError, TypeError) as error:
                _log.warning("snapshot of %s: its hash is no book: %s", pair, error)
                continue
            names.update(f"{pair} {found.epoch} {found.n} {found.now_ms}\n".encode())
            weight += len(found.bids) + len(found.asks)
            if weight >= MAX_WEIGHT:
                taken += await self._store(rows, names.hexdigest())
                rows, weight = TableRows(SNAPSHOTS), 0
        return taken + await self._store(rows, names.hexdigest())

    async def _store(self, rows: TableRows, token: str) -> int:
        if rows.count:
            await self._clickhouse.insert(rows.table.name, rows.table.names, rows.columns, f"hash {token}")
            self._on_taken(rows.count)
        return rows.count

    async def _pairs(self) -> list[Pair]:
        pairs: list[Pair] = []
        for shard in self._shards:
            for field in await heeding(self._redis.hkeys(self._keys.tail(shard))):
                label = field.decode() if isinstance(field, bytes) else str(field)
                if _OTHER_LINE in label:
                    continue
                try:
                    pairs.append(parse_label(label))
                except ConfigError as error:
                    _log.warning("tail of shard %d: %s", shard, error)
        return sorted(pairs)
