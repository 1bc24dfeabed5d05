"""Redis by TLS under our own certificate authority: one server, and a Cluster."""

from pathlib import Path

import pytest

from fleet.config import Settings
from fleet.errors import Unreachable
from fleet.ordered_cluster import ordered
from fleet.redis_check import check
from fleet.redis_connection import connect
from fleet.scripts import load_all, mark_stale
from tests.support.any_redis import connected
from tests.support.certificates import Authority
from tests.support.small_fleet import BTC, small_fleet


async def test_a_server_under_our_own_authority_is_served_by_both_kinds_of_connection(
    own_redis, free_port, tmp_path: Path
) -> None:
    ours, port = Authority(tmp_path, "ours"), free_port()
    await own_redis(ours.settings(port))
    url = f"rediss://127.0.0.1:{port}/0?{ours.options()}"
    async with small_fleet(url) as fleet:
        await fleet.make_live(BTC)
        assert await check(fleet.client, Settings(redis_url=url))
        assert await mark_stale(fleet.client, fleet.keys, [BTC]) == 0


@pytest.mark.parametrize("form", ["rediss", "rediss+cluster"])
async def test_an_authority_that_is_not_ours_is_told(own_redis, free_port, tmp_path: Path, form: str) -> None:
    ours, other, port = Authority(tmp_path, "ours"), Authority(tmp_path, "other"), free_port()
    await own_redis(ours.settings(port))
    settings = Settings(redis_url=f"{form}://127.0.0.1:{port}/0?{other.options()}")
    client, connection = connect(settings), ordered(settings.redis_url.get_secret_value())
    with pytest.raises(Unreachable, match="TLS failed"):
        await check(client, settings)
    with pytest.raises(Unreachable, match="TLS failed"):
        await connection.connect()
    await client.aclose()


async def test_a_cluster_by_tls_names_its_nodes_by_their_tls_ports(own_cluster, free_port, tmp_path: Path) -> None:
    ours, port = Authority(tmp_path, "ours"), free_port()
    await own_cluster(primaries=1, settings={**ours.settings(port), "tls-cluster": "yes"})
    url = f"rediss+cluster://127.0.0.1:{port}?{ours.options()}"
    async with connected(url) as (client, _):
        await load_all(client)
        assert await check(client, Settings(redis_url=url))
    async with small_fleet(url, shards=64) as fleet:
        await fleet.make_live(BTC)
