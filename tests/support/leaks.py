"""Redis keys that a test left behind for ever."""

import re

import redis.asyncio

from fleet.keys import is_permanent

OUR_TAG = re.compile(r"\{(\d\d|fleet)\}")
TTL_NONE = -1  # Redis' answer for a key that never expires


async def find_leaked_keys(client: redis.asyncio.Redis) -> list[str]:
    """Keys of ours (they carry a shard or fleet tag) that would live for ever though `fleet.keys` does not say so."""
    names = [name.decode() async for name in client.scan_iter(count=1000)]
    suspects = [name for name in names if OUR_TAG.search(name) and not is_permanent(name)]
    return [name for name in suspects if await client.ttl(name) == TTL_NONE]
