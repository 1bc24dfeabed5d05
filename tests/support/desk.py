"""One shard of a fleet for tests of the verbs: an owner's connection, entries as books.wire writes them, eyes on Redis."""

from collections.abc import Mapping
from typing import Any

import redis.asyncio

from books.events import Delta, Levels, Mark, Reset, ResetReason, Snapshot, SnapshotReason
from books.wire import encode
from fleet import scripts
from fleet.keys import Keys
from fleet.ordered_cluster import Ordered
from fleet.pair import Pair
from fleet.scripts import Granted, PublishLine, Verdict, Word

PAIR = Pair("binance", "spot", "BTC/USDT")
OTHER = Pair("okx", "futures", "ETH/USDT")
BOOK_TTL_MS = 10_000
LEASE_MS = 4_000


def snapshot(bids: Levels, asks: Levels) -> list[str | bytes]:
    return [*encode(Snapshot(pair=PAIR, received_us=1, bids=bids, asks=asks, reason=SnapshotReason.FIRST))]


def delta(bids: Levels, asks: Levels) -> list[str | bytes]:
    # A sequence and a time that a double cannot hold: they must pass through untouched.
    return [*encode(Delta(pair=PAIR, received_us=2**53 + 1, bids=bids, asks=asks, sequence=2**60 + 1))]


def reset() -> list[str | bytes]:
    return [*encode(Reset(pair=PAIR, received_us=1, reason=ResetReason.GAP))]


def mark() -> list[str | bytes]:
    return [*encode(Mark(pair=PAIR, received_us=1))]


class Desk:
    """One shard of a fleet, its owner's connection, and eyes on what Redis holds."""

    def __init__(self, client: redis.asyncio.Redis, connection: Ordered) -> None:
        self.redis = client
        self.connection = connection
        self.keys = Keys("test", 1)

    async def acquire(
        self,
        pair: Pair = PAIR,
        holder: str = "host:1:a",
        *,
        floor: int = 0,
        ttl_ms: int = LEASE_MS,
        more: tuple[str, ...] = (),
    ) -> Any:
        return await scripts.acquire(
            self.connection,
            tail=self.keys.tail(0),
            lease=self.keys.lease(pair),
            offer=self.keys.offer(pair),
            holder=holder,
            ttl_ms=ttl_ms,
            floor=floor,
            fields=(pair.label, *more),
        )

    async def granted(self, pair: Pair = PAIR, holder: str = "host:1:a", **options: Any) -> Granted:
        answer = await self.acquire(pair, holder, **options)
        assert isinstance(answer, Granted)
        return answer

    async def publish(self, *lines: PublishLine) -> list[Verdict]:
        return await scripts.publish(self.connection, self.keys, 0, BOOK_TTL_MS, lines)

    async def word(self, line: PublishLine) -> Word:
        return (await self.publish(line))[0].word

    async def hash(self, key: str) -> dict[str, str]:
        stored: Mapping[bytes, bytes] = await self.redis.hgetall(key)
        return {name.decode(): value.decode() for name, value in stored.items()}

    async def main(self, pair: Pair = PAIR) -> dict[str, str]:
        return await self.hash(self.keys.book(pair))

    async def levels(self, pair: Pair = PAIR) -> tuple[dict[str, str], dict[str, str]]:
        return await self.hash(self.keys.bids(pair)), await self.hash(self.keys.asks(pair))

    async def cell(self, field: str = PAIR.label) -> str:
        stored = await self.redis.hget(self.keys.tail(0), field)
        return stored.decode() if stored else ""

    async def entries(self) -> list[tuple[str, dict[bytes, bytes]]]:
        return [(entry_id.decode(), fields) for entry_id, fields in await self.redis.xrange(self.keys.deltas(0))]
