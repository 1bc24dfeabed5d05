"""Who is asked for the map of a Cluster, when a node hangs or is gone. Nodes are names here."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from fleet.cluster_routes import NotServed, Routes
from fleet.redis_url import HostPort

HUNG, GONE, ALIVE = (HostPort("127.0.0.1", port) for port in (1, 2, 3))
SLOTS = [[0, 16383, ["127.0.0.1", 3]]]


class Nodes:
    """`asked` in order; `dropped`: those of them that were waited for no more."""

    def __init__(self) -> None:
        self.asked: list[HostPort] = []
        self.dropped: list[HostPort] = []

    async def slots(self, at: HostPort) -> Sequence[Any]:
        self.asked.append(at)
        if at == GONE:
            raise ConnectionRefusedError("nobody there")
        if at == HUNG:
            try:
                await asyncio.Event().wait()
            finally:
                self.dropped.append(at)
        return SLOTS


async def test_a_node_that_hangs_keeps_nobody_from_the_map() -> None:
    nodes = Nodes()
    routes = Routes([ALIVE, HUNG, GONE], lambda at: at, nodes.slots)  # the first attempt begins with the second
    async with asyncio.timeout(60):
        assert (await routes.refresh()).owner(7) == ALIVE
    assert nodes.asked == [HUNG, GONE, ALIVE]
    assert nodes.dropped == [HUNG]


async def test_nodes_that_are_all_gone_are_named() -> None:
    routes = Routes([GONE], lambda at: at, Nodes().slots)
    with pytest.raises(NotServed, match=r"127\.0\.0\.1:2: .*nobody there"):
        await routes.refresh()


async def test_who_is_cancelled_leaves_no_question_behind() -> None:
    nodes = Nodes()
    routes = Routes([HUNG], lambda at: at, nodes.slots)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await routes.refresh()
    assert nodes.dropped == nodes.asked == [HUNG]
