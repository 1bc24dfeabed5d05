"""Reading lanes: one for each node of a Redis Cluster, so that a node that is away makes the books of its own pairs stale.

A single server is one lane. On a Cluster the first lane splits as soon as it is known who serves what. Each reads, audits,
waits and starts anew by itself; when slots move (a failover, another share) pairs go to the lane of their node with cursor and
book, without being read anew. A lane is one connection that reads: streams of several slots cannot be read by one blocking
command, so it asks again and again (`fleet.redis_cluster`).
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Generic, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from books.reader import Followed, Read, Reader
from books.store import newest_id
from fleet.clock import MonoMs
from fleet.cluster_map import ClusterMap, slot_of
from fleet.pair import Pair
from fleet.redis_cluster import ClusterClient
from fleet.redis_url import HostPort

log = logging.getLogger(__name__)

AUDIT_MS = 1000  # how often tails and leases are compared; a dead owner shows within the lease time plus this
STALE_S = 0.8  # a Redis that answers nothing for so long may be away: books are stale until it answers
SILENT_S = 3.0  # and after so long its answer is not waited for any more: a new connection, all books anew
LATE_S = 0.05  # for an answer that came while our own loop was held up, and was not looked at yet
# A primary that becomes a replica unblocks its readers with an error; one without its primary's data refuses to be read.
_NOT_SERVING = ("UNBLOCKED", "MASTERDOWN", "LOADING")

T = TypeVar("T")


class Question(Generic[T]):
    """A question to Redis that may outlast our patience: a task of its own, ended by `drop` at the latest."""

    def __init__(self, asking: Coroutine[Any, Any, T], mono_ms: MonoMs) -> None:
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
        await _ended(self._task)


class Lanes:
    """All lanes of one `follow`. `reader` has its pairs; `pauses` makes the delays of a lane between its attempts."""

    def __init__(
        self, reader: Reader, *, mono_ms: MonoMs, pauses: Callable[[], Iterator[float]], silent_s: float = SILENT_S
    ) -> None:
        self.mono_ms = mono_ms
        self.pauses = pauses
        self.silent_s = silent_s
        self.lanes = [_Lane(self, reader, None)]
        self._steps: dict[asyncio.Task[list[Followed]], _Lane] = {}
        self._told: list[asyncio.Task[list[Followed]]] = []

    async def next(self) -> list[list[Followed]]:
        """What the lanes that have news were told, for each its own. None of these goes on before the next call: until then
        their views stay as they are. Raises what a lane raises: answers of Redis that no waiting mends."""
        for step in self._told:
            del self._steps[step]
        self._told = []
        busy = set(self._steps.values())
        for lane in self.lanes:
            if lane not in busy:
                self._steps[asyncio.get_running_loop().create_task(lane.step(), name="books: lane")] = lane
        done, _ = await asyncio.wait(self._steps, return_when=asyncio.FIRST_COMPLETED)
        self._told = list(done)
        return [step.result() for step in done]

    async def close(self) -> None:
        """End every lane and what it asks."""
        lanes = {*self.lanes, *self._steps.values()}
        await _ended(*self._steps)
        self._steps, self._told = {}, []
        for lane in lanes:
            await lane.close()

    def sort(self, lane: "_Lane") -> bool:
        """Pairs of `lane`, which asks nothing now, go to the lanes of their nodes, if the map has changed. Whether any went."""
        client = lane.reader.redis
        if not isinstance(client, ClusterClient) or (now := client.routes.map) is None or lane.sorted_by is now:
            return False
        lane.sorted_by = (
            now if lane.started else None
        )  # one that has yet to start joins no other: sorted again when it has
        by_node = _by_node(lane.reader, now)
        home = lane.node if lane.node in by_node else next(iter(by_node), lane.node)
        gave = False
        for node, pairs in by_node.items():
            other = self._lane_of(node, lane) if lane.started else None
            if other is None and node == home:
                lane.node = node
                continue
            if other is None:
                other = _Lane(self, lane.reader.empty(), node, started=lane.started)
                self.lanes.append(other)
            lane.reader.give(pairs, other.reader)
            gave = True
        if gave and not lane.reader.views:
            self.lanes.remove(lane)
        return gave

    def _lane_of(self, node: HostPort | None, but: "_Lane") -> "_Lane | None":
        return next((one for one in self.lanes if one is not but and one.started and one.node == node), None)


class _Lane:
    """The pairs of one node; `node` is None until it is known, and where there is but one server."""

    def __init__(self, lanes: Lanes, reader: Reader, node: HostPort | None, *, started: bool = False) -> None:
        self.reader = reader
        self.node = node
        self.started = started
        self.sorted_by: ClusterMap | None = None
        self._lanes = lanes
        self._pauses = lanes.pauses()
        self._rests = False
        self._audited = float("-inf")
        self._question: Question[Read] | None = None

    async def step(self) -> list[Followed]:
        """What came, or nothing after a while. Whatever an outage looks like makes our books stale and is tried again."""
        if self._rests:
            self._rests = False
            await asyncio.sleep(next(self._pauses))
        try:
            return await self._step()
        except (RedisConnectionError, RedisTimeoutError, TimeoutError, ResponseError) as error:
            if isinstance(error, ResponseError) and not str(error).startswith(_NOT_SERVING):
                raise
            name, what = type(error).__name__, f"{len(self.reader.views)} of its books"
            if self.node is None:
                log.warning("Redis does not answer (%s); books are stale until it does", name)
            else:
                log.warning("Redis at %s does not answer (%s); %s are stale until it does", self.node, name, what)
            await self.close()
            self.started, self._rests = False, True
            return self.reader.lost()

    async def _step(self) -> list[Followed]:
        lanes, reader = self._lanes, self.reader
        if not self.started:
            async with asyncio.timeout(lanes.silent_s):
                await self._find_nodes()
        if self._question is None and lanes.sort(self):
            return []
        if not self.started:
            return await self._start()
        if self._question is None:
            self._question = Question(reader.read(), lanes.mono_ms)
        if await self._question.answered(STALE_S):
            read, self._question = self._question.result(), None
            async with asyncio.timeout(STALE_S):
                changes = await reader.apply(read)
                if lanes.mono_ms() - self._audited >= AUDIT_MS:
                    self._audited = lanes.mono_ms()
                    changes += await reader.audit()
            return changes
        if lanes.mono_ms() - self._question.asked_ms >= lanes.silent_s * 1000:
            raise TimeoutError
        self._audited = float("-inf")  # whose the books are by then is to be asked with the first answer
        return reader.lost()

    async def _find_nodes(self) -> None:
        client = self.reader.redis
        if isinstance(client, ClusterClient):
            await client.primaries()  # they may be others since we began, or since our node fell silent

    async def _start(self) -> list[Followed]:
        reader = self.reader
        async with asyncio.timeout(self._lanes.silent_s):
            for pair in list(reader.views)[:1]:
                await newest_id(
                    reader.redis, reader.stream(pair)
                )  # one that answers nothing is not asked for every book
        changes = await reader.start() + reader.status_changes()
        self.started, self._audited = True, self._lanes.mono_ms()
        return changes

    async def close(self) -> None:
        """Wait for no answer any more."""
        question, self._question = self._question, None
        if question is not None:
            await question.drop()


def _by_node(reader: Reader, known: ClusterMap) -> dict[HostPort | None, list[Pair]]:
    found: dict[HostPort | None, list[Pair]] = {}
    for pair in reader.views:
        found.setdefault(known.owner(slot_of(reader.stream(pair))), []).append(pair)
    return found


async def _ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks that nobody waits for any more."""
    if not tasks:
        return
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # nobody asks for it any more
