"""Records what Redis accepted: every entry of a fleet's streams from a given moment on, whatever happens to Redis.

Streams are polled, and with every poll the server says which it is (its run id); once a second each stream is also counted
(entries the server ever added against entries read), so that trimming that overtook us is known and said. Whenever another
server answers, or a stream is not the one we read (ids or the count went back, or the entry we stand at is gone and an older
one is there: a failover, a flush), streams are read again from their beginnings and what is known already is left out: the
tape then shows the same n again, as readers of the fleet would see it. Ids alone would not do: a stream made anew within one
millisecond, or by a clock set back, gives ids below the ones we have read.

One Redis, not a Cluster; version 7 or later (the count of entries ever added).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from books.events import Delta, Event, Reset, Snapshot
from books.join import entry_order
from books.wire import decode
from fleet.clock import MonoMs
from fleet.errors import ConfigError
from fleet.keys import Keys
from fleet.logs import one_line
from ops.chaos.history import BOOK, TRADES, Entry, Note, Overtaken, ReadToEnd, Remade, Server

log = logging.getLogger(__name__)

POLL_S = 0.02
COUNT_S = 1.0
READ_COUNT = 5_000  # entries a stream and round
ANSWER_S = 2.0  # a Redis that does not answer for so long is away
KNOWN_MOST = 300_000  # entries a stream remembered for reading again; streams are cut at 200,000

Sink = Callable[[Sequence[Note]], object]


class _Stream:
    """Where we stand in one stream. `taken` of the entries its server says it `added` were read; `base` were not ours."""

    def __init__(self, name: str, line: str) -> None:
        self.name, self.line = name, line
        self.began = (0, 0)  # the newest entry when recording began: what is not above it is none of ours
        self.begin()
        self.labels: dict[str, None] = {}
        self._known: dict[tuple[bytes, bytes, bytes, bytes], None] = {}
        self._order: deque[tuple[bytes, bytes, bytes, bytes]] = deque()

    def begin(self) -> None:
        self.cursor, self.base, self.taken = "0-0", 0, 0

    def is_news(self, entry_id: bytes, fields: dict[bytes, bytes]) -> bool:
        key = (entry_id, fields[b"k"], fields[b"n"], fields[b"e"])
        if key in self._known or entry_order(entry_id.decode()) <= self.began:
            return False
        self._known[key] = None
        self._order.append(key)
        if len(self._order) > KNOWN_MOST:
            del self._known[self._order.popleft()]
        return True


class Recorder:
    """`start`, then `run` until cancelled, then `finish`. `entries` were recorded, `outages` survived."""

    def __init__(self, redis: Redis, keys: Keys, sink: Sink, *, mono_ms: MonoMs) -> None:
        self.entries = 0
        self.outages = 0
        self._redis = redis
        self._sink = sink
        self._mono_ms = mono_ms
        self._run_id = ""
        self._away = False
        self._counted_ms = 0.0
        self._streams = [_Stream(keys.deltas(shard), BOOK) for shard in range(keys.shards)]
        self._streams += [_Stream(keys.trades(shard), TRADES) for shard in range(keys.shards)]

    async def start(self) -> None:
        """From now on everything is recorded. Raises what Redis raises, and ConfigError for a server before version 7."""
        pipe = self._redis.pipeline(transaction=True)
        for stream in self._streams:
            pipe.xinfo_stream(stream.name)
        pipe.info("server")
        *answers, server = await pipe.execute(raise_on_error=False)
        for stream, answer in zip(self._streams, answers, strict=True):
            if not isinstance(answer, Exception):
                stream.cursor, stream.base = answer["last-generated-id"].decode(), _added(answer)
                stream.began = entry_order(stream.cursor)
        self._run_id = _run_id(server)
        self._counted_ms = self._mono_ms()
        self._sink([Server(self._run_id, self._mono_ms())])

    async def run(self) -> None:
        """Record until cancelled; outages of Redis are waited out."""
        while True:
            await self.step()
            await asyncio.sleep(POLL_S)

    async def step(self) -> bool:
        """One round; False when Redis did not answer."""
        count = self._away or self._mono_ms() - self._counted_ms >= COUNT_S * 1000
        try:
            async with asyncio.timeout(ANSWER_S):
                await (self._count() if count else self._read())
        except (RedisError, OSError, TimeoutError) as error:
            if not self._away:
                self.outages += 1
                log.warning("recorder: Redis does not answer: %s", one_line(error))
            self._away = True
            return False
        self._away = False
        return True

    async def finish(self) -> None:
        """Read all there is and say so. Call it when nothing writes any more. Raises TimeoutError or what Redis raises."""
        asked_ms = self._mono_ms()
        before = -1
        while before != self.entries:
            before = self.entries
            async with asyncio.timeout(ANSWER_S):
                await self._count()
        self._sink([ReadToEnd(asked_ms)])

    async def _read(self) -> None:
        # all on one connection, so the run id is of the server that gave the entries: the client mends a broken connection by
        # itself, and its new one may lead to another server
        pipe = self._redis.pipeline(transaction=False)
        pipe.info("server")
        for stream in self._streams:
            pipe.xread({stream.name: stream.cursor}, count=READ_COUNT)
        server, *answers = await pipe.execute()
        if await self._is_another(server):
            return
        for stream, answer in zip(self._streams, answers, strict=True):
            self._take(stream, _entries(answer))

    async def _is_another(self, server: Any) -> bool:
        """Whether another server answers than before; then everything of it has been read."""
        run_id = _run_id(server)
        if run_id == self._run_id:
            return False
        self._sink([Server(run_id, self._mono_ms())])
        await self._read_again(self._streams)
        self._run_id = run_id  # last: an answer that did not come is asked for again
        return True

    async def _count(self) -> None:
        """Read to the ends, in one step with the server's own count and its run id."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.info("server")
        for stream in self._streams:
            pipe.xrange(stream.name, stream.cursor, stream.cursor)
            pipe.xread({stream.name: stream.cursor})
            pipe.xinfo_stream(stream.name)
        server, *answers = await pipe.execute(raise_on_error=False)
        if await self._is_another(server):
            return
        remade = []
        for stream, here, entries, info in zip(self._streams, answers[::3], answers[1::3], answers[2::3], strict=True):
            if isinstance(entries, Exception):
                raise entries
            if isinstance(info, ResponseError):  # no such stream
                stream.began = (0, 0)
                if stream.cursor != "0-0":
                    stream.begin()
                    self._sink([Remade(stream.name, self._mono_ms())])
                continue
            if isinstance(info, Exception):
                raise info
            if isinstance(here, Exception):
                raise here
            if _is_remade(stream, info, is_here=bool(here), unread=len(_entries(entries))):
                stream.began = (0, 0)  # whatever its ids are
                remade.append(stream)
                continue
            after = stream.cursor
            self._take(stream, _entries(entries))
            self._compare(stream, _added(info), after)
        if remade:
            await self._read_again(remade)
        self._counted_ms = self._mono_ms()

    def _compare(self, stream: _Stream, added: int, after: str) -> None:
        missing = added - stream.base - stream.taken
        if missing:
            log.warning("recorder: %s: %d entries were trimmed away before they were read", stream.name, missing)
            self._sink([Overtaken(stream.name, after, missing, list(stream.labels), self._mono_ms())])
        stream.base = added - stream.taken

    async def _read_again(self, streams: Sequence[_Stream]) -> None:
        """From the beginning, without what is known: ids went back, or nobody knows what is the same."""
        pipe = self._redis.pipeline(transaction=True)
        for stream in streams:
            pipe.xread({stream.name: "0-0"})
            pipe.xinfo_stream(stream.name)
        answers = await pipe.execute(raise_on_error=False)
        for stream, entries, info in zip(streams, answers[::2], answers[1::2], strict=True):
            if isinstance(entries, Exception):
                raise entries
            if stream.cursor != "0-0":
                self._sink([Remade(stream.name, self._mono_ms())])
            stream.begin()
            if not isinstance(info, Exception):
                self._take(stream, _entries(entries))
                stream.cursor, stream.base = info["last-generated-id"].decode(), _added(info) - stream.taken

    def _take(self, stream: _Stream, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
        now_ms = self._mono_ms()
        notes: list[Note] = []
        for entry_id, fields in entries:
            if stream.is_news(entry_id, fields):
                stream.labels[fields[b"k"].decode()] = None
                notes.append(_note(decode(entry_id, fields), fields, stream.line, now_ms))
        if entries:
            stream.cursor = entries[-1][0].decode()
            stream.taken += len(entries)
        if notes:
            self.entries += len(notes)
            self._sink(notes)


def _is_remade(stream: _Stream, info: Any, *, is_here: bool, unread: int) -> bool:
    """Whether this is not the stream we have read up to its cursor (`is_here`: the entry at the cursor is there)."""
    cursor = entry_order(stream.cursor)
    if entry_order(info["last-generated-id"].decode()) < cursor:
        return True
    if _added(info) < stream.base + stream.taken + unread:  # emptied and begun again since we last counted
        return True
    # trimming takes the oldest: an entry that is gone, and an older one that is there, are not of one stream
    first = info["first-entry"]
    return not is_here and bool(first) and entry_order(first[0].decode()) <= cursor


def _note(event: Event, fields: dict[bytes, bytes], line: str, now_ms: float) -> Entry:
    return Entry(
        label=event.pair.label,
        line=line,
        id=event.id,
        t=fields[b"t"].decode(),
        n=event.n,
        epoch=event.epoch,
        sequence=event.sequence if isinstance(event, Delta | Snapshot) else None,
        first_sequence=event.first_sequence if isinstance(event, Delta) else None,
        previous_sequence=event.previous_sequence if isinstance(event, Delta) else None,
        reason=event.reason.value if isinstance(event, Snapshot | Reset) else "",
        empty=isinstance(event, Delta) and not event.bids and not event.asks,
        received_us=event.received_us,
        mono_ms=now_ms,
    )


def _entries(answer: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """What XREAD of one stream brought; RESP2 answers a list of streams, RESP3 a map."""
    if not answer:
        return []
    found = next(iter(answer.values())) if isinstance(answer, dict) else answer[0][1]
    return found[0] if found and isinstance(found[0], list) else found


def _added(info: Any) -> int:
    if "entries-added" not in info:
        raise ConfigError("this server does not count the entries of a stream: recording needs Redis 7 or later")
    return int(info["entries-added"])


def _run_id(server: Any) -> str:
    if isinstance(server, Exception):
        raise server
    return str(server["run_id"])
