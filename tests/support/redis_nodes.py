"""Commands to a redis-server that belongs to a test's topology, and what is waited for there."""

from typing import Any

import redis.asyncio

from ops.embedded.redis import EmbeddedRedis


async def ask(server: EmbeddedRedis, *command: str | int) -> Any:
    """One command on a connection of its own; redis-py's answer. Errors of redis-py pass through."""
    async with redis.asyncio.Redis.from_url(server.url, protocol=2) as client:
        return await client.execute_command(*command)


async def linked(replica: EmbeddedRedis) -> bool:
    """Whether a replica has its primary's data and hears of every write."""
    info: dict[str, Any] = await ask(replica, "INFO", "replication")
    return info["role"] == "slave" and info.get("master_link_status") == "up"


async def is_primary(server: EmbeddedRedis) -> bool:
    """Whether the server takes writes, by its own word."""
    info: dict[str, Any] = await ask(server, "INFO", "replication")
    return bool(info["role"] == "master")
