"""Behind real Sentinels: connections of both kinds follow the primary, and write nowhere else."""

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from books.store import load_book
from fleet.config import Settings
from fleet.errors import ConfigError, ConnectionLost, Unreachable
from fleet.ordered_cluster import ordered
from fleet.redis_check import check
from fleet.redis_connection import connect
from tests.support.redis_nodes import ask
from tests.support.small_fleet import BTC, delta, small_fleet
from tests.support.waiting import wait_until


async def test_both_connections_follow_a_primary_that_gives_way(own_sentinel) -> None:
    """The former primary lives on as a replica. Whoever still writes there must not take it for an answer."""
    behind = await own_sentinel()
    settings = Settings(redis_url=behind.url)
    async with small_fleet(behind.url) as fleet:
        await fleet.make_live(BTC)
        assert await check(fleet.client, settings)
        former, connection = behind.primary, fleet._connection
        promoted = await behind.switch()
        assert promoted is not former

        await ask(former, "REPLICAOF", "127.0.0.1", promoted.port)  # the sentinels do it too, ten seconds later
        with pytest.raises(ConnectionLost):
            await fleet.publish(BTC, delta(BTC, {"64000": "11"}, {}, 8))
        assert not connection.connected

        async def connected() -> bool:
            try:
                await connection.connect()
            except Unreachable:
                return False  # the sentinels may still name the former one, which calls itself a replica
            return True

        await wait_until(connected, "the promoted primary")

        async def readable() -> bool:
            try:
                return (await load_book(fleet.client, fleet.keys, BTC)).sequence == 7
            except RedisConnectionError:
                return False

        await wait_until(readable, "the pooled client at the promoted primary")
        await fleet.publish(BTC, delta(BTC, {"64000": "12"}, {}, 8))

        async def shown() -> bool:  # a pooled connection may stand at the former one, which hears of it a little later
            try:
                return (await load_book(fleet.client, fleet.keys, BTC)).bids["64000"] == "12"
            except RedisConnectionError:
                return False

        await wait_until(shown, "the change, by the pooled client")
        assert await ask(promoted, "HGET", fleet.keys.bids(BTC), "64000") == b"12"
        assert connection.generation == 2


async def test_a_write_to_a_primary_that_was_demoted_unnoticed_is_a_lost_connection(own_sentinel, free_port) -> None:
    """No sentinel kills our connections here: the answer READONLY alone must tell."""
    behind = await own_sentinel(sentinels=1)
    async with small_fleet(behind.url) as fleet:
        await fleet.make_live(BTC)
        behind.sentinels[0].pause()  # or it would put the primary back
        # of nobody: it keeps what it has (as the replica of its own replica it might soon be empty)
        await ask(behind.primary, "REPLICAOF", "127.0.0.1", free_port())
        with pytest.raises(ConnectionLost, match="has become a replica; this was not carried out"):
            await fleet.publish(BTC, delta(BTC, {"64000": "11"}, {}, 8))
        with pytest.raises(RedisConnectionError, match="has become a replica; nothing was written"):
            await fleet.own(BTC)
        behind.sentinels[0].resume()


async def test_a_replica_that_may_evict_is_refused(own_sentinel) -> None:
    behind = await own_sentinel(sentinels=1)
    settings = Settings(redis_url=behind.url)
    client = connect(settings)
    replica = behind.servers[1]
    await ask(replica, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    with pytest.raises(ConfigError, match=f"127.0.0.1:{replica.port}: maxmemory-policy is allkeys-lru"):
        await check(client, settings)
    await client.aclose()


async def test_sentinels_that_do_not_know_the_service_or_are_not_there_are_told(own_sentinel, free_port) -> None:
    behind = await own_sentinel(sentinels=1)
    for url, told in (
        (f"redis+sentinel://{behind.hosts}/other", "'other' is not known there"),
        (f"redis+sentinel://127.0.0.1:{free_port()}/books", "no sentinel names a primary"),
    ):
        client, connection = connect(Settings(redis_url=url)), ordered(url)
        with pytest.raises(Unreachable, match=told):
            await check(client, Settings(redis_url=url))
        with pytest.raises(Unreachable, match=told):
            await connection.connect()
        await client.aclose()
