"""Finding the node of a Cluster that serves a slot, and asking again what was certainly not carried out.

MOVED, ASK, TRYAGAIN and CLUSTERDOWN say that nothing was done: the map is read anew where it was wrong, and the question is
put again, for PATIENCE_S at most. A lost connection says nothing about the outcome: it goes to the caller, as everywhere; the
next question begins with a new map. Used with pooled clients (fleet.redis_cluster) and ordered ones (fleet.ordered_cluster).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from fleet.cluster_map import ClusterMap, parse_slots
from fleet.errors import FleetError
from fleet.logs import one_line
from fleet.redis_sockets import NotConnected
from fleet.redis_url import HostPort

PATIENCE_S = 2.0  # half a lease: a slot on the move answers TRYAGAIN for milliseconds, a failover takes longer anyway
NEXT_AFTER_S = 0.1  # a node that has not said by then who serves what may hang: another is asked as well
PAUSE_FIRST_S = 0.005
PAUSE_MOST_S = 0.1
_LOST = (RedisConnectionError, RedisTimeoutError, FleetError, OSError)

N = TypeVar("N")
T = TypeVar("T")
log = logging.getLogger(__name__)


class Unreached(Exception):
    """No connection to the node could be opened: nothing was sent."""


class NotServed(Exception):
    """Nothing was carried out: no node served the slot for PATIENCE_S, or none could be asked who does."""


class Routes(Generic[N]):
    """`node_at` makes (or finds) the node of an address; `ask_slots` asks one for CLUSTER SLOTS."""

    def __init__(
        self,
        seeds: Sequence[HostPort],
        node_at: Callable[[HostPort], N],
        ask_slots: Callable[[N], Awaitable[Sequence[Any]]],
    ) -> None:
        self.map: ClusterMap | None = None
        self.refreshes = 0
        self.refusals = 0  # answers that said: not here, not now
        self._seeds = tuple(seeds)
        self._node_at = node_at
        self._ask_slots = ask_slots
        self._wrong = False
        self._reading = asyncio.Lock()
        self._next = 0

    async def refresh(self) -> ClusterMap:
        """Read the map from any node that answers. Raises NotServed."""
        before = self.refreshes
        async with self._reading:
            if self.refreshes == before or self.map is None:  # else somebody has done it while we waited
                self.map = await self._read()
                self._wrong = False
                self.refreshes += 1
            return self.map

    async def _read(self) -> ClusterMap:
        known = self.map.primaries if self.map is not None else ()
        addresses = list(dict.fromkeys([*known, *self._seeds]))
        self._next += 1  # not always the same one: a node cut off from the others has an old map
        start = self._next % len(addresses)
        waiting = iter(addresses[start:] + addresses[:start])
        asked: dict[asyncio.Task[ClusterMap], HostPort] = {}
        troubles: list[str] = []
        cause: Exception | None = None
        try:
            while True:
                address = next(waiting, None)
                if address is not None:
                    asking = asyncio.get_running_loop().create_task(self._ask(address), name=f"slots of {address}")
                    asked[asking] = address
                if not asked:
                    raise NotServed(f"no node of the Cluster can be asked: {'; '.join(troubles)}") from cause
                patience_s = None if address is None else NEXT_AFTER_S
                done, _ = await asyncio.wait(asked, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    address = asked.pop(task)
                    try:
                        return task.result()
                    except (RedisError, FleetError, OSError, ValueError) as error:
                        troubles.append(f"{address}: {one_line(error)}")
                        cause = error
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def _ask(self, address: HostPort) -> ClusterMap:
        found = parse_slots(await self._ask_slots(self._node_at(address)), address)
        if not found.primaries:
            raise ValueError("serves no slots yet")
        return found

    async def current(self) -> ClusterMap:
        """The map, read if there is none or it was found wrong. Raises NotServed."""
        if self.map is None or self._wrong:
            return await self.refresh()
        return self.map

    def suspect(self) -> None:
        """The map may be wrong: it is read anew before the next question."""
        self._wrong = True

    async def run(self, slot: int, act: Callable[[N, bool], Awaitable[T]]) -> T:
        """`act(node, asking)` on the node of a slot; `asking`: ASKING must come before the command, on its connection.

        Raises NotServed (not carried out), or what `act` raises.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_S
        pause_s, told, asking = PAUSE_FIRST_S, None, False
        while True:
            why = f"nobody serves slot {slot}"
            try:
                address = told or (await self.current()).owner(slot)
                if address is not None:
                    return await act(self._node_at(address), asking)
                told, asking = None, False
                self.suspect()
            except MovedError as error:  # before AskError, which it is a kind of
                why, asking, told = one_line(error), False, _target(error, address)
                self.suspect()
                log.info("Redis Cluster: %s", why)
                await self._refreshed_to(told)
            except AskError as error:
                why, asking, told = one_line(error), True, _target(error, address)
            except (TryAgainError, ClusterDownError) as error:
                why, asking, told = one_line(error), False, None
                self.suspect()
            except (Unreached, NotConnected) as error:
                why, asking, told = one_line(error), False, None
                if (await self.refresh()).owner(slot) == address:
                    raise NotServed(
                        why
                    ) from error  # who waits for a failover is the caller: others wait behind this call
            except _LOST:
                self.suspect()
                raise
            self.refusals += 1
            if loop.time() + pause_s > deadline:
                raise NotServed(f"the Cluster did not serve slot {slot} for {PATIENCE_S:g} s: {why}")
            await asyncio.sleep(pause_s)
            pause_s = min(PAUSE_MOST_S, 2 * pause_s)

    async def _refreshed_to(self, told: HostPort | None) -> None:
        """A node whose map is older than the word MOVED may be asked: the word counts, for this question."""
        try:
            await self.refresh()
        except NotServed as error:
            log.info("Redis Cluster: %s; asking %s", error, told)


def _target(error: AskError, asked: HostPort | None) -> HostPort:
    host = error.host or (asked.host if asked is not None else "")
    return HostPort(host, error.port)
