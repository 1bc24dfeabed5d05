"""The Redis topologies of the tests do what tests will count on."""

import redis.asyncio
from redis.exceptions import RedisError

from tests.support.redis_cluster import MovingSlot, RedisCluster
from tests.support.redis_nodes import ask


async def test_a_cluster_serves_every_slot_from_three_primaries(cluster: RedisCluster) -> None:
    nodes = {cluster.node_of(f"tail:{{{shard:02d}}}").port for shard in range(64)}
    assert len(nodes) == 3
    for node in cluster.nodes:
        assert await ask(node, "DBSIZE") == 0


async def test_a_slot_moves_with_its_keys_and_answers_ask_on_the_way(own_cluster) -> None:
    cluster = await own_cluster()
    keys = ["a:{07}", "b:{07}"]
    source = cluster.node_of(keys[0])
    target = cluster.other_than(source)
    for key in keys:
        await ask(source, "SET", key, "1")
    async with MovingSlot(cluster, keys[0], target) as moving:
        assert await moving.move_keys(1) == 1
        told = []
        for key in keys:
            try:
                told.append(str(await ask(source, "GET", key)))
            except RedisError as error:
                told.append(type(error).__name__)
        assert sorted(told) == ["AskError", "b'1'"]
    assert cluster.node_of(keys[0]) is target
    assert await ask(target, "EXISTS", *keys) == 2
    await cluster.healthy()
    assert cluster.node_of(keys[0]) is target


async def test_a_killed_primary_of_a_cluster_is_replaced_by_its_replica(own_cluster) -> None:
    cluster = await own_cluster(replicas=1)
    killed = cluster.node_of("tail:{00}")
    await killed.kill()
    await cluster.healthy()
    assert cluster.node_of("tail:{00}") is not killed


async def test_sentinels_promote_the_replica_of_a_killed_primary(own_sentinel) -> None:
    behind = await own_sentinel()
    await ask(behind.primary, "SET", "key", "1")
    killed = behind.primary
    await killed.kill()
    assert await behind.promoted() is not killed
    assert await ask(behind.primary, "GET", "key") == b"1"


async def test_a_failover_loses_exactly_what_was_written_after_the_copying_stopped(own_failover) -> None:
    pair = await own_failover()
    async with redis.asyncio.Redis.from_url(pair.url) as client:
        await client.set("kept", "1")
        await pair.stop_copying()
        await client.set("lost", "1")
        await pair.fail_over()
    async with redis.asyncio.Redis.from_url(pair.url) as client:
        assert await client.mget("kept", "lost") == [b"1", None]
