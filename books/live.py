"""Live books for Python users and for our own roles: `follow` many pairs, `watch` one.

    async for event in watch(redis, keys, pair):            # a Snapshot first, then every delta
    async for change in follow(redis, keys, pairs):         # change.view.book is the book after change.event

Entries are read from the shards' streams and joined with the hashes by `books.reader`. A second Snapshot(join) says that
entries were missed and the book was read anew. While Redis is away every view is stale, told within a second; reading goes on
when it is back. On a Cluster that holds of each node and its pairs: the others go on (`books.lanes`).
"""

from collections.abc import AsyncIterator, Sequence
from random import Random

from redis.asyncio import Redis

from books.events import Event
from books.lanes import SILENT_S, Lanes
from books.reader import Followed, Reader
from fleet import clock
from fleet.backoff import delays
from fleet.keys import Keys
from fleet.pair import Pair

__all__ = ["Followed", "follow", "watch"]

RETRY_S = 0.5  # at most, with jitter; how often a connection is tried is its client's to know


async def follow(
    redis: Redis,
    keys: Keys,
    pairs: Sequence[Pair],
    *,
    mono_ms: clock.MonoMs = clock.mono_ms,
    rng: Random | None = None,
    silent_s: float = SILENT_S,
) -> AsyncIterator[Followed]:
    """Every event of `pairs`, each with the book after it. Endless; cancel or close it to stop.

    The view is the same object all along: use it before asking for the next change.
    """
    random = rng or Random()
    lanes = Lanes(
        Reader(redis, keys, pairs), mono_ms=mono_ms, pauses=lambda: delays(random, RETRY_S, RETRY_S), silent_s=silent_s
    )
    try:
        while True:
            for changes in await lanes.next():
                for change in changes:
                    yield change
    finally:
        await lanes.close()


async def watch(redis: Redis, keys: Keys, pair: Pair) -> AsyncIterator[Event]:
    """Every event of one pair, from a Snapshot on."""
    async for change in follow(redis, keys, [pair]):
        if change.event is not None:
            yield change.event
