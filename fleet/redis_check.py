"""What every Redis server of a fleet must be: new enough, and one that evicts nothing. Asked at every start, of every node."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import redis.asyncio
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from fleet.config import Settings, redact_url
from fleet.errors import ConfigError, Unreachable
from fleet.redis_cluster import ClusterClient
from fleet.redis_connection import client_of_server, explain
from fleet.redis_sockets import SentinelPool
from fleet.redis_url import parse_redis_url

MIN_VERSION = (6, 2, 7)  # before, XTRIM MINID may remove young entries (redis issue 9410)


@asynccontextmanager
async def servers(
    client: redis.asyncio.Redis, settings: Settings
) -> AsyncIterator[tuple[dict[str, redis.asyncio.Redis], dict[str, redis.asyncio.Redis]]]:
    """Clients of the primaries and of the replicas, by how they are shown; closed at the end where they are not `client`.

    Replicas are known behind Sentinels and on a Cluster: any of them may be primary in a moment.
    Raises ConnectionError of redis-py where nobody can be asked who they are.
    """
    url = parse_redis_url(settings.redis_url.get_secret_value())
    shown = redact_url(url.url)
    primaries, others = {shown: client}, []
    if isinstance(client, ClusterClient):
        nodes = await client.primaries()
        primaries = {str(at): node for at, node in nodes.items()}
        others = list(client.routes.map.replicas) if client.routes.map is not None else []
    elif isinstance(client.connection_pool, SentinelPool):
        await client.ping()
        others = await client.connection_pool.sentinels.replicas()
    opened = {str(at): client_of_server(url, at, name="fleet-check") for at in others}
    try:
        yield primaries, opened
    finally:
        for one in opened.values():
            await one.aclose()


async def check(client: redis.asyncio.Redis, settings: Settings) -> str:
    """Prove that every server answers and can carry a fleet; returns the (oldest) version.

    A replica that does not answer is left out: it is not needed now. On a Cluster every slot must be served.
    Raises Unreachable (no answer, login refused) or ConfigError (too old, may evict).
    """
    shown = redact_url(settings.redis_url.get_secret_value())
    versions = []
    try:
        async with servers(client, settings) as (primaries, replicas):
            if isinstance(client, ClusterClient) and client.routes.map is not None and client.routes.map.uncovered:
                raise Unreachable(
                    f"{shown}: {client.routes.map.uncovered} of 16384 slots are served by no node; "
                    "run redis-cli --cluster check, and --cluster fix"
                )
            for name, server in primaries.items():
                versions.append(await _check_server(server, name))
                info = await server.info("server")
                mode = info.get(
                    "redis_mode", info.get("server_mode")
                )  # the second is Valkey's name for it, from 9.0 on
                if mode == "cluster" and not isinstance(client, ClusterClient):
                    raise ConfigError(
                        f"{shown}: a node of a Cluster; give FLEET_REDIS_URL as redis+cluster://HOST:PORT"
                    )
            for name, server in replicas.items():
                try:
                    versions.append(await _check_server(server, name))
                except (RedisError, OSError):
                    continue
    except (RedisError, OSError, UnicodeDecodeError, KeyError) as error:
        raise explain(error, shown) from error
    return min(versions, key=_numbers)


async def _check_server(server: redis.asyncio.Redis, shown: str) -> str:
    await server.ping()
    version = str((await server.info("server"))["redis_version"])
    policy = await eviction_policy(server)
    if _numbers(version) < MIN_VERSION:
        raise ConfigError(f"{shown}: Redis {version}, need 6.2.7 or newer (or Valkey)")
    if policy != "noeviction":
        raise ConfigError(
            f"{shown}: maxmemory-policy is {policy}, books and leases could be evicted; "
            "run: redis-cli config set maxmemory-policy noeviction"
        )
    return version


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3])


async def eviction_policy(server: redis.asyncio.Redis) -> str:
    """maxmemory-policy of one server, also where CONFIG is forbidden."""
    try:
        answer: dict[Any, Any] = await server.config_get("maxmemory-policy")
        policy = answer.get("maxmemory-policy", answer.get(b"maxmemory-policy", ""))
    except (NoPermissionError, ResponseError):  # an ACL, or a provider that hides CONFIG
        policy = (await server.info("memory"))["maxmemory_policy"]
    return policy.decode() if isinstance(policy, bytes) else str(policy)
