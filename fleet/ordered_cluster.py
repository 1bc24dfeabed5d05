"""Ordered connections to a Redis Cluster: one to each primary that is needed, chosen by the slot of a script's keys.

The face of one OrderedConnection, and its rules (fleet.ordered): commands of one slot keep their order as long as each waits
for the one before (a shard's publish calls do); nothing whose outcome is unknown is ever sent twice. What a node refused
unexecuted (MOVED, ASK, TRYAGAIN, CLUSTERDOWN) is asked again where it belongs, for a short while; then ConnectionLost.

`connected` turns false when a node we wrote to broke its connection or is no primary any more: writes that it had taken may be
lost, whichever pairs they were of, so that all must be doubted. `connect` makes it true again as soon as any primary answers,
so that pairs of the others are served while one is failing over; a node that came up later is connected by its first call.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from fleet.cluster_map import slot_of
from fleet.cluster_routes import NotServed, Routes, Unreached
from fleet.config import redact_url
from fleet.errors import ConnectionLost, FleetError, Unreachable
from fleet.ordered import MAX_IN_FLIGHT, OrderedConnection, pack
from fleet.redis_connection import SOCKET_TIMEOUT_S
from fleet.redis_url import HostPort, is_cluster, parse_redis_url

T = TypeVar("T")


class OrderedCluster:
    """See the head of this file. `name` shows in CLIENT LIST. Raises ConfigError for a URL that cannot be right."""

    def __init__(
        self,
        url: str,
        *,
        name: str = "fleet-ordered",
        max_in_flight: int = MAX_IN_FLIGHT,
        reply_timeout_s: float = SOCKET_TIMEOUT_S,
    ) -> None:
        self.generation = 0
        self.name = name
        self._url = parse_redis_url(url)
        self._shown = redact_url(url)
        self._options = {"max_in_flight": max_in_flight, "reply_timeout_s": reply_timeout_s}
        self._nodes: dict[HostPort, OrderedConnection] = {}
        self._used: dict[HostPort, OrderedConnection] = {}  # connected once since `connect`, and what it took counts
        self._joined = False
        self._connecting = asyncio.Lock()
        self._routes: Routes[OrderedConnection] = Routes(self._url.hosts, self._node, self._ask_slots)
        self._node(self._url.hosts[0])  # a URL that cannot be right is told now

    def __repr__(self) -> str:
        state = "connected" if self.connected else "down"
        return f"<OrderedCluster {self._shown} {state}, generation {self.generation}, {self.in_flight} in flight>"

    @property
    def connected(self) -> bool:
        """Whether no node that we wrote to was lost since `connect`."""
        return self._joined and all(node.connected for node in self._used.values())

    @property
    def in_flight(self) -> int:
        """Commands sent or waiting to be sent, and not answered."""
        return sum(node.in_flight for node in self._nodes.values())

    async def connect(self) -> None:
        """Read the map and connect to every primary that answers. Raises Unreachable when none does."""
        async with self._connecting:
            if self.connected:
                return
            self._joined = False
            self._used = {at: node for at, node in self._used.items() if node.connected}
            try:
                primaries = (await self._routes.refresh()).primaries
            except NotServed as error:
                raise Unreachable(f"{self._shown}: {error}") from error
            opened = await asyncio.gather(*(self._open(at) for at in primaries), return_exceptions=True)
            troubles = [error for error in opened if error is not None]
            for trouble in troubles:
                if not isinstance(trouble, FleetError):
                    raise trouble
            if len(troubles) == len(primaries):
                raise Unreachable(f"{self._shown}: {troubles[0]}")
            await self._drop_former(primaries)
            self._joined = True
            self.generation += 1

    async def run(self, key: str | bytes, act: Callable[[OrderedConnection, bool], Awaitable[T]]) -> T:
        """`act(connection, asking)` on the connection to the key's node, again after an answer that says nothing was done.
        It must send before it first waits, so that the order of calls is the order of commands.

        Raises what `act` raises; ConnectionLost when the node cannot be reached or none serves the slot.
        """
        if not self._joined:
            raise ConnectionLost(f"{self._shown}: not connected yet")

        async def on(node: OrderedConnection, asking: bool) -> T:
            if not node.connected or node not in self._used.values():
                await self._open_late(node)
            return await act(node, asking)

        before = self._routes.refreshes
        try:
            return await self._routes.run(slot_of(key), on)
        except NotServed as error:
            raise ConnectionLost(f"{self._shown}: {error}") from error
        finally:
            if self._routes.refreshes != before and self._routes.map is not None:
                await self._drop_former(self._routes.map.primaries)

    async def close(self) -> None:
        """Close all; unanswered calls fail with ConnectionLost. `connect` may be called again."""
        self._joined = False
        self._used.clear()
        for node in self._nodes.values():
            await node.close()

    # --- nodes ----------------------------------------------------------------------------------------------------------

    def _node(self, at: HostPort) -> OrderedConnection:
        if at not in self._nodes:
            self._nodes[at] = OrderedConnection(self._url.of_server(at), name=self.name, **self._options)  # type: ignore[arg-type]
        return self._nodes[at]

    async def _open(self, at: HostPort) -> None:
        node = self._node(at)
        await node.connect()
        self._used[at] = node

    async def _open_late(self, node: OrderedConnection) -> None:
        """The first call to a node that was not there at `connect`. One that broke since is `connect`'s to open: its owner
        must have learned of the break before anything more goes there."""
        at = next(at for at, known in self._nodes.items() if known is node)
        if at in self._used:
            raise ConnectionLost(f"{self._shown}: the connection to {at} was lost")
        try:
            await self._open(at)  # at once where it was connected to ask it for the map
        except Unreachable as error:
            raise Unreached(str(error)) from error

    async def _drop_former(self, primaries: Sequence[HostPort]) -> None:
        """Close what is no primary any more: a failover, and what it lost nobody says. `connected` is false from now on."""
        for at, node in list(self._used.items()):
            if at not in primaries:
                await node.close()

    async def _ask_slots(self, node: OrderedConnection) -> Sequence[Any]:
        if not node.connected:
            at = next(at for at, known in self._nodes.items() if known is node)
            if at in self._used:
                raise ConnectionLost(f"the connection to {at} was lost")
            await node.connect()
        answer: Sequence[Any] = await node.call(pack("CLUSTER", "SLOTS"))
        return answer


Ordered = OrderedConnection | OrderedCluster


def ordered(url: str, *, name: str = "fleet-ordered") -> Ordered:
    """The ordered connection for a URL of any form, not connected yet. Raises ConfigError."""
    return OrderedCluster(url, name=name) if is_cluster(url) else OrderedConnection(url, name=name)
