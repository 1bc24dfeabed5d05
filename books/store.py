"""The one place where books are read from Redis: one atomic read a book, one round trip for many; stream entries."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from redis.asyncio import Redis

from books.loaded import LoadedBook, parse_loaded
from fleet.cell import Cell
from fleet.keys import Keys
from fleet.pair import Pair

Entry = tuple[bytes, Mapping[bytes, bytes]]


async def load_book(redis: Redis, keys: Keys, pair: Pair) -> LoadedBook:
    """The book as it stands, read in one MULTI (three separate reads give torn books)."""
    pipe = redis.pipeline(transaction=True)
    pipe.hgetall(keys.book(pair))
    pipe.hgetall(keys.bids(pair))
    pipe.hgetall(keys.asks(pair))
    pipe.hget(keys.tail(keys.shard(pair)), pair.label)
    pipe.exists(keys.lease(pair))
    pipe.time()
    main, bids, asks, cell, lease, (seconds, micros) = await pipe.execute()
    return parse_loaded(pair, main, bids, asks, cell, bool(lease), seconds * 1000 + micros // 1000)


Standing = dict[Pair, tuple[Cell | None, bool]]  # tail cell, and whether the lease is held


async def standing(redis: Redis, keys: Keys, pairs: Sequence[Pair]) -> Standing:
    """Where the tails of `pairs` stand and whether each lease is held: what a reader compares itself with once a second."""
    pipe = redis.pipeline(transaction=False)
    for pair in pairs:
        pipe.hget(keys.tail(keys.shard(pair)), pair.label)
        pipe.exists(keys.lease(pair))
    answers = await pipe.execute()
    found: Standing = {}
    for i, pair in enumerate(pairs):
        cell, lease = answers[2 * i], answers[2 * i + 1]
        found[pair] = (Cell.parse(cell) if cell is not None else None, bool(lease))
    return found


async def read_streams(
    redis: Redis, cursors: Mapping[str, str], count: int, block_ms: int | None
) -> dict[str, list[Entry]]:
    """Entries after each stream's cursor; empty when none came within `block_ms` (None: do not wait)."""
    answer: Any = await redis.xread(cast("Any", dict(cursors)), count=count, block=block_ms)
    if not answer:
        return {}
    rows = answer.items() if isinstance(answer, dict) else answer
    return {stream.decode(): _flat(entries) for stream, entries in rows}


async def read_range(redis: Redis, stream: str, after: str, last: str, count: int) -> list[Entry]:
    """At most `count` entries with after < id ≤ last."""
    entries: Any = await redis.xrange(stream, min=f"({after}", max=last, count=count)
    return list(entries)


async def newest_id(redis: Redis, stream: str) -> str:
    """The id of the newest entry there is, `0-0` for an empty or missing stream."""
    newest: Any = await redis.xrevrange(stream, count=1)
    return newest[0][0].decode() if newest else "0-0"


def _flat(entries: list[Any]) -> list[Entry]:
    # RESP3 wraps the list of entries once more
    return entries[0] if entries and isinstance(entries[0], list) else entries
