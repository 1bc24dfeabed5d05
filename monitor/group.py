"""The consumer group of history on the streams of a lane: read, claim, acknowledge. Bytes, no meaning.

One consumer reads a stream at a time and keeps its name over restarts and takeovers, so what a dead one had not acknowledged
is simply its own pending list. Entries pending for other names (another number of lanes before) are claimed.

All streams of a lane are read by one call; on a Cluster the client makes it one a slot (fleet.redis_cluster).
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from fleet.cancellation import heeding

GROUP = "monitor"
READ_COUNT = 100  # entries a stream and call: four busy shards cost ~20 ms of our CPU, then the loop is free again
_CLAIM_COUNT = 1000

Fields = Mapping[bytes, bytes]
RawEntry = tuple[str, Fields | None]  # id; None: the entry was trimmed before it was acknowledged
Entries = dict[str, list[RawEntry]]  # by stream key


class GroupLost(Exception):
    """The group was gone (Redis was emptied). It stands again, from the first entry there is: what was known is void."""


class StreamGroup:
    """Reads `streams` (keys) as `consumer`. Every call may raise redis.exceptions.RedisError."""

    def __init__(self, redis: Redis, streams: Sequence[str], consumer: str) -> None:
        self._redis = redis
        self._consumer = consumer
        self.streams = tuple(streams)

    def __repr__(self) -> str:
        return f"<StreamGroup {self._consumer} of {len(self.streams)} streams>"

    async def ensure(self) -> None:
        """Make the group where it is missing, with the stream itself if need be."""
        for stream in self.streams:
            try:
                await heeding(self._redis.xgroup_create(stream, GROUP, id="0", mkstream=True))
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise

    async def read_new(self) -> Entries:
        """Entries nobody was given yet, at most READ_COUNT a stream; returns at once. Raises GroupLost."""
        return await self._read(dict.fromkeys(self.streams, ">"))

    async def read_pending(self, after: Mapping[str, str]) -> Entries:
        """Entries given to us and not acknowledged, behind the ids `after`, at most READ_COUNT a stream. Raises GroupLost."""
        return await self._read(after)

    async def claim(self) -> Entries:
        """Take over what other consumers hold. Returns only entries that exist no more; the rest is pending for us now."""
        gone: Entries = {}
        for stream in self.streams:
            summary: Any = await heeding(self._redis.xpending(stream, GROUP))
            if all(_text(holder["name"]) == self._consumer for holder in summary["consumers"] or ()):
                continue
            cursor = "0-0"
            while True:
                answer: Any = await heeding(
                    self._redis.xautoclaim(
                        stream, GROUP, self._consumer, min_idle_time=0, start_id=cursor, count=_CLAIM_COUNT
                    )
                )
                # Redis 7 has forgotten such entries by now and lists them; 6.2 has no third part and keeps them pending
                for entry_id in answer[2] if len(answer) > 2 else ():
                    gone.setdefault(stream, []).append((_text(entry_id), None))
                cursor = _text(answer[0])
                if cursor == "0-0":
                    break
        return gone

    async def acknowledge(self, ids: Mapping[str, Sequence[str]]) -> None:
        """The entries are stored: they need not be given again."""
        pipe = self._redis.pipeline(transaction=False)
        for stream, entry_ids in ids.items():
            pipe.xack(stream, GROUP, *entry_ids)
        await heeding(pipe.execute())

    async def backlog(self) -> int:
        """Entries not stored yet: pending and not given out. Where Redis cannot tell the latter (after trimming) it is 0."""
        pipe = self._redis.pipeline(transaction=False)
        for stream in self.streams:
            pipe.xinfo_groups(stream)
        groups: list[dict[str, Any]] = [group for answer in await heeding(pipe.execute()) for group in answer]
        ours = [group for group in groups if _text(group["name"]) == GROUP]
        return sum(int(group["pending"]) + int(group.get("lag") or 0) for group in ours)

    async def _read(self, cursors: Mapping[str, str]) -> Entries:
        try:
            answer: Any = await heeding(
                self._redis.xreadgroup(GROUP, self._consumer, cast("Any", dict(cursors)), count=READ_COUNT)
            )
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            await self.ensure()
            raise GroupLost("the consumer group was gone; made again") from error
        rows = answer.items() if isinstance(answer, dict) else answer or ()
        return {_text(stream): found for stream, entries in rows if (found := _flat(entries))}


def _flat(entries: list[Any]) -> list[RawEntry]:
    # RESP3 wraps the list of entries once more
    if entries and isinstance(entries[0], list):
        entries = entries[0]
    return [(_text(entry_id), fields or None) for entry_id, fields in entries]


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
