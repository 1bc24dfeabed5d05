"""Live books for Python users and for our own roles: `follow` many pairs, `watch` one.

    async for event in watch(redis, keys, pair):            # a Snapshot first, then every delta
    async for change in follow(redis, keys, pairs):         # change.view.book is the book after change.event

Entries are read from the shards' streams and joined with the hashes by `books.join`. A second Snapshot(join) says that
entries were missed and the book was read anew. While Redis is away every view is stale, told within a second; reading goes on
when it is back.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from random import Random
from typing import Any, Generic, NamedTuple, TypeVar

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from books.events import Event
from books.join import Follower, Rejoin, Status, entry_order
from books.store import Entry, load_book, newest_id, read_range, read_streams, standing
from books.wire import WireError, decode
from fleet import clock
from fleet.backoff import delays
from fleet.keys import Keys
from fleet.pair import Pair

log = logging.getLogger(__name__)

AUDIT_MS = 1000  # how often tails and leases are compared; a dead owner shows within the lease time plus this
BLOCK_MS = 250  # longest wait for entries, so that an audit is never late by more
READ_COUNT = 500
RETRY_S = 0.5  # at most, with jitter; how often a connection is tried is its client's to know
STALE_S = 0.8  # a Redis that answers nothing for so long may be away: books are stale until it answers
SILENT_S = 3.0  # and after so long its answer is not waited for any more: a new connection, all books anew
LATE_S = 0.05  # for an answer that came while our own loop was held up, and was not looked at yet
# A primary that becomes a replica unblocks its readers with an error; one without its primary's data refuses to be read.
_NOT_SERVING = ("UNBLOCKED", "MASTERDOWN", "LOADING")

T = TypeVar("T")
Read = Mapping[str, Sequence[Entry]]


class Followed(NamedTuple):
    """`event` None: only the status changed (see `view.status`)."""

    event: Event | None
    view: Follower


class Reader:
    """The cursors and followers of one `follow` call: `start`, then `step` for ever, `audit` now and then."""

    def __init__(self, redis: Redis, keys: Keys, pairs: Iterable[Pair], *, block_ms: int | None = BLOCK_MS) -> None:
        self.redis = redis
        self.keys = keys
        self.block_ms = block_ms
        self.views = {pair: Follower(pair) for pair in pairs}
        self.by_label = {pair.label.encode(): view for pair, view in self.views.items()}
        self.cursors: dict[str, str] = {}
        self.shown = dict.fromkeys(self.views, Status.MISSING)

    def stream(self, pair: Pair) -> str:
        return self.keys.deltas(self.keys.shard(pair))

    async def start(self) -> list[Followed]:
        """Cursors first, then the books: whatever comes in between is in both, and known by its n."""
        for stream in {self.stream(pair) for pair in self.views}:
            self.cursors[stream] = await newest_id(self.redis, stream)
        changes: list[Followed] = []
        for view in self.views.values():
            changes += await self.rejoin(view)
        return changes

    async def rejoin(self, view: Follower) -> list[Followed]:
        found = await load_book(self.redis, self.keys, view.pair)
        snapshot = view.loaded(found)
        changes = [Followed(snapshot, view)] if snapshot is not None else []
        if found.cell is not None and found.cell.n > view.n:
            # the hashes trail the stream: what lies between them and our cursor comes once more, for this pair alone
            changes += await self._catch_up(view, found.id)
        return changes

    async def _catch_up(self, view: Follower, after: str) -> list[Followed]:
        stream = self.stream(view.pair)
        changes: list[Followed] = []
        while entries := await read_range(self.redis, stream, after, self.cursors[stream], READ_COUNT):
            after = entries[-1][0].decode()
            for entry_id, fields in entries:
                if fields.get(b"k") == view.pair.label.encode():
                    event = view.entry(decode(entry_id, fields))
                    if isinstance(event, Rejoin):
                        return changes  # the audit or the next entry brings us back here, with newer hashes
                    if event is not None:
                        changes.append(Followed(event, view))
        return changes

    async def step(self) -> list[Followed]:
        """Wait for entries and apply them."""
        return await self.apply(await self.read())

    async def read(self) -> Read:
        """Wait for entries. Nothing changes before `apply`."""
        return await read_streams(self.redis, self.cursors, READ_COUNT, self.block_ms)

    async def apply(self, read: Read) -> list[Followed]:
        """Entries as `read` brought them."""
        changes: list[Followed] = []
        for stream, entries in read.items():
            for entry in entries:
                self.cursors[stream] = entry[0].decode()
                changes += await self._take(entry)
        return changes

    async def _take(self, entry: Entry) -> list[Followed]:
        entry_id, fields = entry
        view = self.by_label.get(fields.get(b"k", b""))
        if view is None:
            return []
        try:
            event = view.entry(decode(entry_id, fields))
        except WireError as error:
            log.warning("%s; reading the book anew", error)
            return await self.rejoin(view)
        if isinstance(event, Rejoin):
            log.info("%s: %s in the stream at n=%d; reading the book anew", view.pair, event.value, view.n)
            return await self.rejoin(view)
        return [Followed(event, view)] if event is not None else []

    async def audit(self) -> list[Followed]:
        """Once a second: tails gone ahead of us or back behind us, leases gone."""
        changes: list[Followed] = []
        for pair, (cell, lease) in (await standing(self.redis, self.keys, list(self.views))).items():
            view = self.views[pair]
            found = view.audit(cell, lease, self.cursors[self.stream(pair)])
            if found is Rejoin.FORK:
                await self._step_back(self.stream(pair))
            if found is not None:
                changes += await self.rejoin(view)
        return changes + self.status_changes()

    async def _step_back(self, stream: str) -> None:
        """Another primary, or an emptied one, with a clock behind the former's gives ids below our cursor: never to be read
        from there (redis-protocol.md §2.2, 6). What is read twice then is known by its n."""
        newest = await newest_id(self.redis, stream)
        if entry_order(newest) < entry_order(self.cursors[stream]):
            self.cursors[stream] = newest

    def status_changes(self) -> list[Followed]:
        changed = [view for pair, view in self.views.items() if view.status is not self.shown[pair]]
        self.shown.update((view.pair, view.status) for view in changed)
        return [Followed(None, view) for view in changed]

    def lost(self) -> list[Followed]:
        for view in self.views.values():
            view.lease_alive = False
        return self.status_changes()


class _Question(Generic[T]):
    """A question to Redis that may outlast our patience: a task of its own, ended by `drop` at the latest."""

    def __init__(self, asking: Coroutine[Any, Any, T], mono_ms: clock.MonoMs) -> None:
        self.asked_ms = mono_ms()
        self._task = asyncio.get_running_loop().create_task(asking, name="books: reading")

    async def answered(self, within_s: float) -> bool:
        """Whether `result` can be had, at once or within this time."""
        done, _ = await asyncio.wait([self._task], timeout=within_s)
        if not done:
            done, _ = await asyncio.wait([self._task], timeout=LATE_S)
        return bool(done)

    def result(self) -> T:
        """The answer. Raises what asking raised."""
        return self._task.result()

    async def drop(self) -> None:
        """Wait for it no more."""
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.exception()  # nobody asks for it any more


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
    reader = Reader(redis, keys, pairs)
    pauses = delays(rng or Random(), RETRY_S, RETRY_S)
    started = False
    audited = mono_ms()
    question: _Question[Read] | None = None
    try:
        while True:
            try:
                if not started:
                    changes = await reader.start() + reader.status_changes()
                    started, audited = True, mono_ms()
                else:
                    question = question or _Question(reader.read(), mono_ms)
                    if await question.answered(STALE_S):
                        read, question = question.result(), None
                        async with asyncio.timeout(STALE_S):
                            changes = await reader.apply(read)
                            if mono_ms() - audited >= AUDIT_MS:
                                audited = mono_ms()
                                changes += await reader.audit()
                    elif mono_ms() - question.asked_ms < silent_s * 1000:
                        changes = reader.lost()
                        audited = float("-inf")  # whose the books are by then is to be asked with the first answer
                    else:
                        raise TimeoutError
            except (RedisConnectionError, RedisTimeoutError, TimeoutError, ResponseError) as error:
                if isinstance(error, ResponseError) and not str(error).startswith(_NOT_SERVING):
                    raise
                log.warning("Redis does not answer (%s); books are stale until it does", type(error).__name__)
                if question is not None:
                    await question.drop()
                started, question = False, None
                for change in reader.lost():
                    yield change
                await asyncio.sleep(next(pauses))
                continue
            for change in changes:
                yield change
    finally:
        if question is not None:
            await question.drop()


async def watch(redis: Redis, keys: Keys, pair: Pair) -> AsyncIterator[Event]:
    """Every event of one pair, from a Snapshot on."""
    async for change in follow(redis, keys, [pair]):
        if change.event is not None:
            yield change.event
