"""What the doctor sees in a Redis."""

import pytest
import redis.asyncio
from pydantic import SecretStr

from fleet import clock
from fleet.config import Settings
from ops.doctor.redis_server import check_redis
from tests.support.redis_nodes import ask
from tests.support.small_fleet import small_fleet


def fixed_mono() -> float:
    return 1000.0


async def found(
    url: str, wall_ms=clock.wall_ms, mono_ms=fixed_mono, **settings: object
) -> dict[str, tuple[str, str, str]]:
    known = Settings(redis_url=SecretStr(url), **settings)
    checks = await check_redis(known, wall_ms, mono_ms)
    return {check.name: (check.status.value, check.detail, check.mend) for check in checks}


async def test_a_good_redis_has_nothing_to_mend_but_persistence(redis_url):
    checks = await found(redis_url)
    assert {name for name, (status, _, _) in checks.items() if status != "ok"} == {"redis persistence"}
    assert "appendonly yes" in checks["redis persistence"][2]
    assert checks["redis layout"][1] == "no fleet has run here yet"


async def test_the_doctor_leaves_no_key(redis_url):
    await found(redis_url)
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        assert await client.dbsize() == 0


async def test_settings_of_the_server_that_would_hurt_are_named(own_redis):
    server = await own_redis(
        {"maxmemory-policy": "allkeys-lru", "hash-max-ziplist-value": "512", "maxmemory": "1mb", "appendonly": "yes"}
    )
    checks = await found(server.url)
    assert checks["redis eviction"][0] == "fail"
    assert "config set maxmemory-policy noeviction" in checks["redis eviction"][2]
    assert checks["redis hash tables"][0] == "warn"
    assert "512" in checks["redis hash tables"][1]
    assert checks["redis memory"][0] == "warn"
    assert checks["redis persistence"][0] == "ok"


async def test_a_replica_is_no_place_for_a_fleet(own_redis, redis_server):
    server = await own_redis()
    client = redis.asyncio.Redis.from_url(server.url)
    await client.replicaof("127.0.0.1", redis_server.port)
    await client.aclose()
    checks = await found(server.url)
    assert checks["redis role"][0] == "fail"
    assert f"127.0.0.1:{redis_server.port}" in checks["redis role"][1]


async def test_a_missing_right_is_named_with_the_rule_that_grants_it(own_redis):
    server = await own_redis()
    client = redis.asyncio.Redis.from_url(server.url)
    await client.execute_command(
        "ACL", "SETUSER", "narrow", "on", ">hidden-word", "~*", "+@all", "-xautoclaim", "-hset", "-eval", "-script"
    )
    await client.aclose()
    checks = await found(server.url.replace("redis://", "redis://narrow:hidden-word@"))
    status, detail, mend = checks["redis rights"]
    assert status == "fail"
    assert "HSET" in detail
    assert "acl setuser" in mend
    assert checks["redis scripts"][0] == "fail"
    assert "hidden-word" not in str(checks)


async def test_a_key_pattern_that_is_too_narrow_is_named(own_redis):
    server = await own_redis()
    client = redis.asyncio.Redis.from_url(server.url)
    await client.execute_command("ACL", "SETUSER", "narrow", "on", ">x", "~book:*", "~{fleet}:*", "+@all")
    await client.aclose()
    status, detail, _ = (await found(server.url.replace("redis://", "redis://narrow:x@")))["redis rights"]
    assert (status, "EXISTS" in detail) == ("fail", True)


@pytest.mark.parametrize(("off_ms", "status"), [(0, "ok"), (700, "warn"), (-700, "warn"), (5000, "fail")])
async def test_a_wrong_clock_is_seen(redis_url, off_ms, status):
    checks = await found(redis_url, wall_ms=lambda: clock.wall_ms() - off_ms)
    assert checks["redis clock"][0] == status
    if off_ms:
        assert checks["redis clock"][1].startswith("+" if off_ms > 0 else "-")


async def test_a_slow_redis_is_seen(redis_url):
    ticks = iter(range(0, 1_000_000, 600))
    checks = await found(redis_url, mono_ms=lambda: float(next(ticks)))
    assert checks["redis latency"][0] == "fail"
    assert "600.00 ms median" in checks["redis latency"][1]


async def test_another_layout_is_a_failure_with_the_mend(redis_url):
    async with small_fleet(redis_url, shards=3):
        checks = await found(redis_url)
        assert checks["redis layout"][0] == "fail"
        assert "shards 3, ours 16" in checks["redis layout"][1]
        assert "FLEET_SHARDS" in checks["redis layout"][2]
        assert (await found(redis_url, shards=3))["redis layout"][0] == "ok"


async def test_no_answer_is_one_check(free_port):
    checks = await found(f"redis://:hidden-word@127.0.0.1:{free_port()}")
    assert list(checks) == ["redis"]
    assert checks["redis"][0] == "fail"
    assert checks["redis"][2] == "is redis-server running there?"
    assert "hidden-word" not in str(checks)


async def test_every_node_of_a_cluster_is_examined(own_cluster):
    cluster = await own_cluster(replicas=1)
    checks = await found(cluster.url)
    assert checks["redis cluster"][:2] == ("ok", "3 primaries, 3 replicas, every slot served")
    assert {name for name, (status, _, _) in checks.items() if status == "fail"} == set()
    places = [f"127.0.0.1:{node.port}" for node in cluster.nodes]
    assert {name for name in checks if name.startswith("redis eviction")} == {f"redis eviction {p}" for p in places}
    last = cluster.nodes[-1]
    await ask(last, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    await ask(cluster.nodes[0], "CONFIG", "SET", "cluster-require-full-coverage", "yes")
    checks = await found(cluster.url)
    assert checks[f"redis eviction 127.0.0.1:{last.port}"][0] == "fail"
    assert checks[f"redis coverage {places[0]}"][0] == "warn"
    alone = await found(f"redis://127.0.0.1:{cluster.nodes[0].port}")
    assert alone["redis role"] == (
        "fail", "a node of a Cluster", "give FLEET_REDIS_URL as redis+cluster://HOST:PORT,HOST:PORT",
    )  # fmt: skip


async def test_a_cluster_without_replicas_is_warned_of(cluster):
    assert (await found(cluster.url))["redis cluster"][0] == "warn"


async def test_replicas_behind_sentinels_are_examined_too(own_sentinel):
    behind = await own_sentinel(sentinels=1)
    place = f"127.0.0.1:{behind.servers[1].port}"
    checks = await found(behind.url)
    assert checks[f"redis replica {place}"][0] == "ok"
    assert {name for name, (status, _, _) in checks.items() if status == "fail"} == set()
    await behind.servers[1].kill()
    assert (await found(behind.url))[f"redis replica {place}"][0] == "warn"
