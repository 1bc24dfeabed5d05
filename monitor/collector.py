"""One lane of history: stream entries → rows → ClickHouse, and only then acknowledged.

A step reads what is there, stores it and acknowledges it; nothing is held between steps. So a crash at any point leaves
entries pending, and the next collector of the lane (same consumer name) finds them: it asks ClickHouse which of them are stored
and stores the others. A retry inside one life repeats the same blocks under the same tokens.

Starting over (start, Redis lost, group lost): positions from ClickHouse, entries of other consumers claimed, own pending
entries stored, then new ones.

ClickHouse knows no leases, so time keeps two collectors of a lane apart. A Redis that forgot the lane's lease grants it while
the former holder still stores what it has read. So a cancelled collector ends the batch under way within `Turn.grace_ms` and
begins no insert once its turn is over, and a new one looks at what is stored only after `Turn.wait_ms`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from books.events import Event
from books.wire import WireError, decode
from fleet.cancellation import granted_time
from fleet.clock import MonoMs, mono_ms, wall_us
from fleet.errors import FleetError
from fleet.keys import Keys
from monitor.batch import Batch, Block
from monitor.clickhouse import ClickHouse
from monitor.group import READ_COUNT, Entries, Fields, GroupLost, StreamGroup
from monitor.positions import Fork, Hole, Line, Tracker
from monitor.rows import Noted, Prepared, Unstorable, prepare, stream_id
from monitor.stats import LaneStats, Outage
from monitor.stored import positions, stored_events, stored_findings, stored_notes

FLUSH_MS = 400  # a row is visible after at most this, a read and an insert: well within the second that is promised
SWEEP_MS = 10_000  # how often the own pending list is looked through for entries a former owner of the lane left late
_SHOWN_BYTES = 300  # of each field of an undecodable entry

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Turn(NamedTuple):
    """A collector's turn at its lane.

    is_ours    whether an insert may begin; False once the lease and the grace have ended by our own clock
    grace_ms   how long a batch under way may go on when the collector is cancelled
    wait_ms    how long somebody who had the lane before may still be storing; an empty database is not waited for
    """

    is_ours: Callable[[], bool] = lambda: True
    grace_ms: float = 0.0
    wait_ms: float = 0.0


class _Item(NamedTuple):
    """A stream entry as read. Without an event it is undecodable (`trouble` says why) or trimmed (no `trouble`)."""

    key: str
    id: str
    event: Event | None
    prepared: Prepared | None
    trouble: str = ""


class Collector:
    """Stores the streams of `shards`. `run` goes on until cancelled or told to `finish`."""

    def __init__(
        self,
        lane: int,
        shards: Sequence[int],
        *,
        redis: Redis,
        keys: Keys,
        clickhouse: ClickHouse,
        turn: Turn = Turn(),  # noqa: B008  immutable
        clock_us: Callable[[], int] = wall_us,
        clock_mono_ms: MonoMs = mono_ms,
    ) -> None:
        self.stats = LaneStats(lane)
        self._kinds = {keys.deltas(shard): "deltas" for shard in shards} | {keys.trades(s): "trades" for s in shards}
        self._labels = {keys.deltas(s): f"deltas:{s:02d}" for s in shards} | {
            keys.trades(s): f"trades:{s:02d}" for s in shards
        }
        self._group = StreamGroup(redis, list(self._kinds), f"lane-{lane}")
        self._clickhouse = clickhouse
        self._turn = turn
        self._waited = False
        self._clock_us = clock_us
        self._mono_ms = clock_mono_ms
        self._tracker = Tracker({})
        self._finishing = asyncio.Event()
        self._storing = Outage(f"history lane {lane}", clock_mono_ms)
        self._reading = Outage(f"history lane {lane}, reading", clock_mono_ms)

    def __repr__(self) -> str:
        return f"<Collector lane {self.stats.lane}, {self.stats.entries} entries>"

    def finish(self) -> None:
        """Store what is there now, then let `run` return. With ClickHouse away it returns at once: entries wait in Redis."""
        self._finishing.set()

    async def run(self) -> None:
        """Collect. Redis and ClickHouse may come and go; raises nothing but cancellation."""
        while True:
            try:
                await self._start_over()
                await self._collect()
                return
            except GroupLost as lost:
                _log.warning("history lane %d: %s", self.stats.lane, lost)
            except _GivenUp:
                return
            except (RedisError, OSError) as error:
                if self._finishing.is_set():
                    return
                self.stats.outage = str(error)
                await self._pause(self._reading.failed(error))

    async def _collect(self) -> None:
        swept_ms = self._mono_ms()
        while True:
            began_ms = self._mono_ms()
            entries = await self._group.read_new()
            self._reading.over()
            await self._process(await self._with_stragglers(self._decode(entries)))
            if any(len(found) >= READ_COUNT for found in entries.values()):
                continue  # more is waiting
            if self._finishing.is_set():
                return
            if began_ms - swept_ms >= SWEEP_MS:
                swept_ms = began_ms
                await self._store_pending()
            self.stats.backlog = await self._group.backlog()
            await self._pause(max(0.0, FLUSH_MS - (self._mono_ms() - began_ms)) / 1000)

    async def _start_over(self) -> None:
        await self._group.ensure()
        stored = await self._insist(lambda: positions(self._clickhouse))
        if stored and not self._waited:
            await self._pause(self._turn.wait_ms / 1000)
            if self._finishing.is_set() and self._turn.wait_ms:
                raise _GivenUp
            stored = await self._insist(lambda: positions(self._clickhouse))
        self._waited = True
        self._tracker = Tracker(stored)
        await self._process(self._decode(await self._group.claim()))
        await self._store_pending()

    async def _store_pending(self) -> None:
        after = dict.fromkeys(self._group.streams, "0-0")
        while entries := await self._group.read_pending(after):
            after = {key: found[-1][0] for key, found in entries.items()}
            await self._process(self._decode(entries))

    async def _with_stragglers(self, items: list[_Item]) -> list[_Item]:
        """A hole may be no loss: a former owner of the lane, paused and woken, may have been given the entries after us.
        They are pending under our common name then, so a stream with a hole is read again from its oldest pending entry.
        """
        by_key: dict[str, list[_Item]] = {}
        for item in items:
            by_key.setdefault(item.key, []).append(item)
        for key, found in by_key.items():
            events = [item.event for item in found if item.event is not None]
            if self._tracker.breaks((Line(self._kinds[key], e.pair), e.epoch, e.n) for e in events):
                pending = self._decode(await self._group.read_pending({key: "0-0"}))
                merged = {item.id: item for item in (*pending, *found)}
                by_key[key] = sorted(merged.values(), key=lambda item: stream_id(item.id))
        return [item for found in by_key.values() for item in found]

    def _decode(self, entries: Entries) -> list[_Item]:
        return [self._decoded(key, i, fields) for key, found in entries.items() for i, fields in found]

    async def _process(self, items: list[_Item]) -> None:
        """Store and acknowledge."""
        if not items:
            return
        self.stats.waiting_since_ms = min(stream_id(item.id)[0] for item in items)
        news: dict[int, Hole | Fork | None] = {}  # index of an item that is news, and what it shows
        fresh: set[tuple[str, str, int, int]] = set()
        doubtful: list[tuple[int, Event]] = []
        for index, item in enumerate(items):
            if (event := item.event) is None:
                continue
            placed = self._tracker.place(Line(self._kinds[item.key], event.pair), event.epoch, event.n)
            identity = (self._kinds[item.key], event.pair.label, event.epoch, event.n)
            if placed.is_news:
                news[index] = placed.finding
                fresh.add(identity)
            elif identity not in fresh:
                doubtful.append((index, event))
        await self._leave_out_noted(items, news)
        news.update(dict.fromkeys(await self._not_stored(doubtful)))
        noted = await self._noted([item for item in items if item.event is None])
        batch = Batch()
        for index, item in enumerate(items):
            if item.prepared is None:
                self._note_unread(batch, item, is_known=(self._labels[item.key], item.id) in noted)
            elif index in news:
                self._note_finding(batch, item, news[index])
                batch.add(self._labels[item.key], item.id, item.prepared)
            else:
                self.stats.repeated += 1
            batch.done(item.key, item.id)
            if batch.full:
                await self._store(batch)
                batch = Batch()
        if batch.entries:
            await self._store(batch)
        self.stats.waiting_since_ms = 0

    def _decoded(self, key: str, entry_id: str, fields: Fields | None) -> _Item:
        if fields is None:
            return _Item(key, entry_id, None, None)
        try:
            event = decode(entry_id, fields)
            return _Item(key, entry_id, event, prepare(event, self._labels[key]))
        except (WireError, Unstorable, FleetError) as error:
            shown = ", ".join(f"{name[:40]!r}: {value[:_SHOWN_BYTES]!r}" for name, value in fields.items())
            return _Item(key, entry_id, None, None, f"{error}; the entry: {shown}")

    async def _leave_out_noted(self, items: list[_Item], news: dict[int, Hole | Fork | None]) -> None:
        """Findings are stored before the rows that show them; whoever died between the two has noted them."""
        shown = [
            (index, self._labels[items[index].key], event)
            for index, finding in news.items()
            if finding is not None and (event := items[index].event) is not None
        ]
        if not shown:
            return
        there = await self._insist(
            lambda: stored_findings(self._clickhouse, [(stream, event) for _, stream, event in shown])
        )
        for index, stream, event in shown:
            if (stream, event.pair, event.epoch, event.n) in there:
                news[index] = None

    async def _not_stored(self, doubtful: list[tuple[int, Event]]) -> list[int]:
        if not doubtful:
            return []
        there = await self._insist(lambda: stored_events(self._clickhouse, [event for _, event in doubtful]))
        return [index for index, event in doubtful if (event.pair, event.epoch, event.n) not in there]

    async def _noted(self, unread: list[_Item]) -> set[tuple[str, str]]:
        if not unread:
            return set()
        keys = [(self._labels[item.key], item.id) for item in unread]
        return await self._insist(lambda: stored_notes(self._clickhouse, keys))

    def _note_unread(self, batch: Batch, item: _Item, *, is_known: bool) -> None:
        if is_known:
            self.stats.repeated += 1
        elif item.trouble:
            if self.stats.undecodable == 0:
                _log.warning("history lane %d: undecodable: %s", self.stats.lane, item.trouble[:400])
            self.stats.undecodable += 1
            batch.note(self._note(item, kind="undecodable", reason="", detail=item.trouble))
        else:
            self.stats.trimmed += 1
            batch.note(self._note(item, kind="gap", reason="trimmed"))

    def _note_finding(self, batch: Batch, item: _Item, finding: Hole | Fork | None) -> None:
        if finding is None or item.event is None:
            return
        event = item.event
        about: dict[str, Any] = {
            "pair": event.pair, "epoch": event.epoch, "n": event.n, "from_n": finding.from_n, "to_n": finding.to_n,
        }  # fmt: skip
        if isinstance(finding, Hole):
            self.stats.holes += 1
            batch.finding(self._note(item, kind="gap", reason=finding.reason, **about))
        else:
            self.stats.forks += 1
            batch.finding(self._note(item, kind="fork", reason="", **about))
        _log.warning("history of %s: %s", event.pair, finding)

    def _note(self, item: _Item, **fields: Any) -> Noted:
        return Noted(stream=self._labels[item.key], id=item.id, at_us=self._clock_us(), **fields)

    async def _store(self, batch: Batch) -> None:
        blocks = batch.blocks()
        await granted_time(
            self._insert(blocks), self._turn.grace_ms / 1000, name=f"lane {self.stats.lane}: batch", told=self.finish
        )
        now_ms = self._clock_us() // 1000
        if blocks:
            self.stats.last_insert_ms = now_ms
        await self._group.acknowledge(batch.acknowledge)
        self.stats.entries += batch.entries
        oldest_ms = min(stream_id(ids[0])[0] for ids in batch.acknowledge.values())
        self.stats.stored_after_ms = max(0, now_ms - oldest_ms)

    async def _insert(self, blocks: Sequence[Block]) -> None:
        for block in blocks:
            await self._insist(lambda: self._insert_one(block))  # noqa: B023  run at once
            table = block.rows.table.name
            self.stats.rows[table] = self.stats.rows.get(table, 0) + block.rows.count

    async def _insert_one(self, block: Block) -> None:
        if not self._turn.is_ours():
            raise _GivenUp
        table = block.rows.table
        await self._clickhouse.insert(table.name, table.names, block.rows.columns, block.token)

    async def _insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Repeat a ClickHouse call until it works. Finishing ends the patience, not the first try."""
        while True:
            try:
                answer = await ask()
            except FleetError as error:
                if self._finishing.is_set():
                    raise _GivenUp from error
                pause_s = self._storing.failed(error)
                self.stats.outage = self._storing.reason
                await self._pause(pause_s)
            else:
                self._storing.over()
                self.stats.outage = ""
                return answer

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not past `finish`."""
        try:
            async with asyncio.timeout(seconds):
                await self._finishing.wait()
        except TimeoutError:
            pass  # the whole pause passed


class _GivenUp(Exception):
    """ClickHouse is away and we were told to finish, or our turn is over: the entries stay pending."""
