"""Redis: reachable, version, role, eviction, memory, persistence, latency, clock, and the fleet's layout in it."""

import statistics
from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from books.wire import WIRE_VERSION
from fleet import clock
from fleet.config import Settings, redact_url
from fleet.errors import FleetError
from fleet.keys import KEY_VERSION, Keys
from fleet.redis_check import MIN_VERSION, servers
from fleet.redis_cluster import ClusterClient
from fleet.redis_connection import connect, explain
from ops.doctor.check import Check, Verdict, by_limits, fail, failed, ok, warn
from ops.doctor.redis_rights import check_rights, check_scripts

PINGS = 20
SKEW_WARN_MS, SKEW_FAIL_MS = 250, 2000  # ages shown are off by the skew; venues refuse orders signed seconds off
MEMORY_WARN = 0.8  # of maxmemory; at 1.0 noeviction refuses writes
# publish.lua makes a hash a real table by one value of 65 bytes, so the limit for packed values must lie below
PACKED_VALUE_BYTES = 64

Info = Mapping[str, Any]


async def check_redis(settings: Settings, wall_ms: clock.WallMs, mono_ms: clock.MonoMs) -> list[Check]:
    """Everything about the Redis of FLEET_REDIS_URL, each of its servers. If it does not answer, that alone."""
    shown = redact_url(settings.redis_url.get_secret_value())
    try:
        client = connect(settings, name="fleet-doctor")
    except FleetError as error:
        return [failed("redis", error)]
    try:
        async with servers(client, settings) as (primaries, replicas):
            checks = _cluster(client, len(primaries), len(replicas)) if isinstance(client, ClusterClient) else []
            for place, server in primaries.items():
                found = await _check_server(server, place, isinstance(client, ClusterClient))
                checks += _placed(found, place if isinstance(client, ClusterClient) else "")
            if any(check.name.startswith("redis role") and check.status is Verdict.FAIL for check in checks):
                return checks  # the rest would be asked of the wrong server
            for place, server in replicas.items():
                checks += _placed(await _check_replica(server), place)
        checks.append(await _latency(client, settings, mono_ms))
        checks.append(await _clock(client, wall_ms, mono_ms))
        checks.append(await check_rights(client, Keys(settings.namespace, settings.shards)))
        checks.append(await _layout(client, settings))
        return checks
    except FleetError as error:
        return [failed("redis", error)]
    except (RedisError, OSError, UnicodeDecodeError) as error:
        return [failed("redis", explain(error, shown))]
    finally:
        await client.aclose()


async def _check_server(server: Redis, shown: str, of_cluster: bool) -> list[Check]:
    await server.ping()
    info = await server.info()
    role = _role(info, of_cluster)
    checks = [_server(info, shown), role, _eviction(info), _memory(info), _persistence(info)]
    if role.status is not Verdict.FAIL:
        checks += [await _packed_hashes(server), await check_scripts(server)]
    return [*checks, await _coverage(server)] if of_cluster else checks


async def _coverage(server: Redis) -> Check:
    name, setting = "redis coverage", "cluster-require-full-coverage"
    try:
        answer = await server.config_get(setting)
    except ResponseError:
        return ok(name, f"CONFIG is hidden from this user; {setting} should be no")
    if any(_text(value or "") == "yes" for value in answer.values()):
        detail = f"{setting} is yes: while one primary fails over, the pairs of all stand still"
        return warn(name, detail, f"redis-cli config set {setting} no, and the same in redis.conf")
    return ok(name, f"{setting} no")


async def _check_replica(server: Redis) -> list[Check]:
    """It may be primary in a moment."""
    try:
        info = await server.info()
    except (RedisError, OSError) as error:
        text = " ".join(str(error).split())[:200]
        return [
            warn(
                "redis replica", f"does not answer: {text}", "start it: without it a crash of its primary is an outage"
            )
        ]
    if info.get("master_link_status", "up") != "up":
        return [warn("redis replica", "has lost its primary", "look at the replica's log")]
    return [ok("redis replica", f"in step with {info.get('master_host')}:{info.get('master_port')}"), _eviction(info)]


def _placed(checks: list[Check], place: str) -> list[Check]:
    """Checks of one server among several, by its name."""
    return [Check(f"{c.name} {place}", c.status, c.detail, c.mend) for c in checks] if place else checks


def _cluster(client: ClusterClient, primaries: int, replicas: int) -> list[Check]:
    uncovered = client.routes.map.uncovered if client.routes.map is not None else 0
    if uncovered:
        mend = "run redis-cli --cluster check, and --cluster fix"
        return [fail("redis cluster", f"{uncovered} of 16384 slots are served by no node", mend)]
    detail = f"{primaries} primaries, {replicas} replicas, every slot served"
    if replicas < primaries:
        return [warn("redis cluster", detail, "give every primary a replica: without one its books go with it")]
    return [ok("redis cluster", detail)]


def _server(info: Info, shown: str) -> Check:
    valkey = info.get("valkey_version")
    version = str(valkey or info["redis_version"])
    name = "Valkey" if valkey else "Redis"
    if not valkey and tuple(int(part) for part in version.split(".")[:3]) < MIN_VERSION:
        return fail("redis", f"{name} {version} at {shown}", "install Redis 6.2.7 or newer, or Valkey")
    return ok("redis", f"{name} {version} at {shown}")


def _role(info: Info, of_cluster: bool) -> Check:
    if info.get("role") != "master":
        primary = f"{info.get('master_host')}:{info.get('master_port')}"
        return fail("redis role", f"this is a replica of {primary}", "point FLEET_REDIS_URL at the primary")
    if info.get("cluster_enabled") and not of_cluster:
        return fail("redis role", "a node of a Cluster", "give FLEET_REDIS_URL as redis+cluster://HOST:PORT,HOST:PORT")
    return ok(
        "redis role", f"primary{' of a Cluster' if of_cluster else ''}, {info.get('connected_slaves', 0)} replicas"
    )


def _eviction(info: Info) -> Check:
    policy = str(info.get("maxmemory_policy"))
    if policy != "noeviction":
        mend = "redis-cli config set maxmemory-policy noeviction, and the same in redis.conf"
        return fail("redis eviction", f"{policy}: books, leases and streams could be dropped", mend)
    return ok("redis eviction", policy)


def _memory(info: Info) -> Check:
    used, limit = int(info["used_memory"]), int(info.get("maxmemory", 0))
    most = limit or int(info.get("total_system_memory", 0))
    detail = f"{_mb(used)} used, limit {_mb(limit)}" if limit else f"{_mb(used)} used, no limit set"
    if most and used > MEMORY_WARN * most:
        return warn("redis memory", detail, "raise maxmemory, or lower FLEET_STREAM_MAXLEN")
    return ok("redis memory", detail)


def _mb(size: int) -> str:
    return f"{size / (1 << 20):.0f} MB"


def _persistence(info: Info) -> Check:
    name = "redis persistence"
    if info.get("rdb_last_bgsave_status", "ok") != "ok" or info.get("aof_last_write_status", "ok") != "ok":
        return fail(name, "the last save failed; Redis may refuse writes", "free disk space, then: redis-cli bgsave")
    if info.get("aof_enabled"):
        return ok(name, "append-only file")
    return warn(
        name,
        "no append-only file: a restart loses the newest entries that ClickHouse does not have yet (declared as gaps)",
        "redis-cli config set appendonly yes, and the same in redis.conf",
    )


async def _latency(client: Redis, settings: Settings, mono_ms: clock.MonoMs) -> Check:
    took: list[float] = []
    for _ in range(PINGS):
        sent = mono_ms()
        await client.ping()
        took.append(mono_ms() - sent)
    median, worst = statistics.median(took), max(took)
    detail = f"{median:.2f} ms median, {worst:.2f} ms worst of {PINGS}"
    mend = "bring daemons and Redis nearer; look at `redis-cli --latency` and `redis-cli slowlog get`"
    # a renewal must come back within an eighth of the lease: it is sent every eighth
    return by_limits("redis latency", worst, settings.lease_ms / 40, settings.lease_ms / 8, detail, mend)


async def _clock(client: Redis, wall_ms: clock.WallMs, mono_ms: clock.MonoMs) -> Check:
    sent_wall, sent = wall_ms(), mono_ms()
    seconds, micros = await client.time()
    skew = seconds * 1000 + micros / 1000 - (sent_wall + (mono_ms() - sent) / 2)
    detail = f"{skew:+.0f} ms against this host"
    return by_limits("redis clock", abs(skew), SKEW_WARN_MS, SKEW_FAIL_MS, detail, "run NTP on both hosts")


async def _packed_hashes(client: Redis) -> Check:
    name = "redis hash tables"
    try:
        # `ziplist` is the old name, known to every version from 6.2 on
        answer = await client.config_get("hash-max-ziplist-value")
    except ResponseError:
        return ok(name, "CONFIG is hidden from this user; the default suits")
    limit = next((int(value) for value in answer.values() if value), PACKED_VALUE_BYTES)
    if limit > PACKED_VALUE_BYTES:
        return warn(
            name,
            f"hash-max-listpack-value is {limit}: level hashes may stay packed, publishing costs five times as much",
            f"redis-cli config set hash-max-listpack-value {PACKED_VALUE_BYTES}",
        )
    return ok(name, f"hash-max-listpack-value {limit}")


async def _layout(client: Redis, settings: Settings) -> Check:
    name = "redis layout"
    kept = await client.hgetall(Keys(settings.namespace).layout())
    if not kept:
        return ok(name, "no fleet has run here yet")
    found = {_text(field): _text(value) for field, value in kept.items()}
    ours = {"shards": settings.shards, "key_version": KEY_VERSION, "wire_version": WIRE_VERSION}
    wrong = [
        f"{field} {found[field]}, ours {value}"
        for field, value in ours.items()
        if found.get(field, str(value)) != str(value)
    ]
    if wrong:
        mend = "set FLEET_SHARDS as the fleet has it, or FLEET_NAMESPACE for a fleet of its own; versions: upgrade"
        return fail(name, f"this Redis holds a fleet with {'; '.join(wrong)}", mend)
    return ok(name, ", ".join(f"{field} {value}" for field, value in sorted(found.items())))


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
