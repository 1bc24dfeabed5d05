"""fleet/kept_connected.py: a connection that is lost comes again by itself, at the pace of its process."""

from pathlib import Path

import pytest

from fleet.errors import FleetError
from fleet.kept_connected import kept_connected
from fleet.ordered import pack
from fleet.ordered_cluster import ordered
from fleet.redis_connection import own_paces
from ops.chaos.proxy_process import Proxy
from tests.support.waiting import wait_until


async def test_a_connection_that_is_lost_comes_again_and_is_closed_at_the_end(
    own_redis, tmp_path: Path, caplog
) -> None:
    server = await own_redis()
    async with Proxy(tmp_path) as proxy:
        url = f"redis://127.0.0.1:{await proxy.open('leases', server.port)}/0"
        async with kept_connected(ordered(url), own_paces().of(url), "renewing leases") as connection:
            await wait_until(lambda: connection.connected, "the first connection", 30)
            await proxy.target("leases", 1)  # nobody listens there
            await proxy.cut("leases")
            await wait_until(lambda: "renewing leases waits" in caplog.text, "the reason to be told", 30)
            assert not connection.connected
            await proxy.target("leases", server.port)
            await wait_until(lambda: connection.connected, "the connection to come again", 60)
            assert await connection.call(pack("PING")) == b"PONG"
        assert not connection.connected


async def test_who_asks_meanwhile_is_told_at_once() -> None:
    url = "redis://127.0.0.1:1/0"
    async with kept_connected(ordered(url), own_paces().of(url), "renewing leases") as connection:
        with pytest.raises(FleetError, match="not connected"):
            await connection.call(pack("PING"))
