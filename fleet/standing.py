"""How leases stand, for whoever may take them: the tail cell, the holder and the offer of many pairs in one round trip."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from redis.asyncio import Redis

from fleet.cell import Cell
from fleet.keys import Keys
from fleet.pair import Pair


class Standing(NamedTuple):
    """`holder` None: the lease is free. `offered_to` None: nobody is invited to take it. `cell` None: never published."""

    cell: Cell | None
    holder: str | None
    offered_to: str | None


async def look(redis: Redis, keys: Keys, pairs: Iterable[Pair]) -> dict[Pair, Standing]:
    """Read them shard by shard, three commands a shard. Raises what the connection raises."""
    by_shard: dict[int, list[Pair]] = {}
    for pair in pairs:
        by_shard.setdefault(keys.shard(pair), []).append(pair)
    if not by_shard:
        return {}
    pipe = redis.pipeline(transaction=False)
    for shard, group in by_shard.items():
        pipe.hmget(keys.tail(shard), [pair.label for pair in group])
        pipe.mget([keys.lease(pair) for pair in group])
        pipe.mget([keys.offer(pair) for pair in group])
    answers: list[list[Any]] = await pipe.execute()
    found: dict[Pair, Standing] = {}
    for index, group in enumerate(by_shard.values()):
        for pair, cell, lease, offer in zip(group, *answers[3 * index : 3 * index + 3], strict=True):
            found[pair] = Standing(
                None if cell is None else Cell.parse(cell),
                None if lease is None else lease.decode().partition(" ")[2],
                None if offer is None else offer.decode(),
            )
    return found
