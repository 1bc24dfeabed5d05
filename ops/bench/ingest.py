"""`fleet bench ingest`: the whole feed role on a load: websocket, decoder, sequence, book, publish to a real Redis.

Measured flat out: wall time and CPU of this process from the first delta to the last one accepted. Then, at a pace a daemon
really has (ops.bench.load.PACED_PER_S): how long an event took from its frame's arrival to Redis' answer. An external load is
only played flat out, and so its latencies are those of a queue. The load and Redis run in processes of their own.
"""

import asyncio
import math
import random
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from books.wire import WIRE_VERSION
from feeds.role import FeedRole
from fleet import clock
from fleet.config import Settings, load
from fleet.errors import FleetError
from fleet.keys import Keys
from fleet.layout import join_layout
from fleet.lease import LeaseKeeper
from fleet.pair import Pair
from fleet.redis_check import check
from fleet.redis_connection import connect
from fleet.tasks import Task, TaskSet
from ops.bench.load import IDS_A_MESSAGE, PACED_PER_S, symbols
from ops.embedded.process import ServerProcess, free_port
from ops.embedded.redis import EmbeddedRedis

START_WITHIN_S = 60.0
END_WITHIN_S = 300.0
PACED_S = 3.0
POLL_S = 0.01


class _Tasks:
    """A task source that never changes."""

    def __init__(self, tasks: TaskSet) -> None:
        self._tasks = tasks

    def subscribe(self, listener: Callable[[TaskSet], None]) -> Callable[[], None]:
        listener(self._tasks)
        return lambda: None


async def ingest(pairs: int, per_pair: int, load_port: int | None, redis_url: str | None) -> dict[str, Any]:
    """Run once; the figures. `load_port`: a load that runs already; `redis_url`: a Redis to use and empty."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fleet-bench-")))
        if redis_url is None:
            redis_url = (await stack.enter_async_context(EmbeddedRedis(folder / "redis"))).url
        paced = 0
        if load_port is None:
            paced = math.ceil(PACED_PER_S * PACED_S / pairs)
            load_port = await _start_load(stack, folder, pairs, per_pair, paced)
        prefix = "FLEET_VENUES__BINANCE__SPOT__"
        settings = load(
            environ={
                "FLEET_REDIS_URL": redis_url,
                "FLEET_NAMESPACE": "bench",
                prefix + "REST_URL": f"http://127.0.0.1:{load_port}",
                prefix + "WS_URL": f"ws://127.0.0.1:{load_port}",
            }
        )
        return await _measure(settings, pairs, per_pair, paced)


async def _start_load(stack: AsyncExitStack, folder: Path, pairs: int, per_pair: int, paced: int) -> int:
    port = free_port()
    command = [sys.executable, "-m", "ops.bench.load", *map(str, (port, pairs, per_pair, paced))]
    process = ServerProcess("load", command, directory=Path.cwd(), log=folder / "load.log")
    process.start()
    stack.push_async_callback(process.stop, 5.0)

    async def ready() -> bool:
        return "ready" in process.tail()

    await process.wait_ready(ready, START_WITHIN_S)
    return port


async def _measure(settings: Settings, pairs: int, per_pair: int, paced: int) -> dict[str, Any]:
    redis = connect(settings, name="fleet-bench")
    try:
        await check(redis, settings)
        keys = Keys(settings.namespace, settings.shards)
        await join_layout(redis, keys, WIRE_VERSION)
        try:
            return await _run(settings, redis, keys, pairs, per_pair, paced)
        finally:
            async for key in redis.scan_iter(match=f"{settings.namespace}:*", count=1000):
                await redis.delete(key)
    finally:
        await redis.aclose()


async def _run(settings: Settings, redis: Redis, keys: Keys, pairs: int, per_pair: int, paced: int) -> dict[str, Any]:
    tasks = TaskSet(
        tuple(Task(table="MONITORING", pair=Pair("binance", "spot", f"{base}/USDT")) for base in symbols(pairs))
    )
    leases = LeaseKeeper(redis, holder="bench", lease_ms=settings.lease_ms, mono_ms=clock.mono_ms, on_lost=_lost)
    role = FeedRole(settings, redis, keys, leases, _Tasks(tasks), members=lambda: ["bench"], rng=random.Random(7))
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(part.run(), name="bench: " + part.name) for part in (leases, role)]
        try:
            return await _watch(role, pairs, per_pair, paced)
        finally:
            await role.stop(0.0)
            for task in running:
                task.cancel()


def _lost(*_: object) -> None:
    raise FleetError("the bench lost a lease: the machine stood still for seconds, run it again")


async def _watch(role: FeedRole, pairs: int, per_pair: int, paced: int) -> dict[str, Any]:
    """`pairs` snapshots come first, one each; then the load."""
    publisher = role.publisher
    await _until(lambda: publisher.events + publisher.waiting > pairs, START_WITHIN_S, "the load did not start")
    started, cpu = clock.mono_ms(), time.process_time()
    early = publisher.take_lags()
    # by sequence, not by count: a pair that conflates publishes fewer events than it received
    await _until(lambda: _ended(role, per_pair), END_WITHIN_S, "the load did not end")
    seconds, cpu_s = (clock.mono_ms() - started) / 1000, time.process_time() - cpu
    messages = pairs * per_pair
    per_call, stall_ms = publisher.events / max(1, publisher.calls), role.leases.worst_stall_ms
    if paced:
        publisher.take_lags()
        await _until(lambda: _ended(role, per_pair + paced), END_WITHIN_S, "the paced load did not end")
    lags = sorted(publisher.take_lags() or early)  # a load of a few messages may be over before its start is seen
    return {
        "name": "ingest",
        "pairs": pairs,
        "messages": messages,
        "messages_per_s": round(messages / seconds),
        "cpu_us_per_message": round(cpu_s / messages * 1e6, 1),
        "p50_ms": round(lags[len(lags) // 2], 2),
        "p99_ms": round(lags[len(lags) * 99 // 100], 2),
        "latency_at": f"{PACED_PER_S:.0f} messages/s" if paced else "flat out",
        "messages_per_call": round(per_call, 1),
        "conflations": publisher.conflations,
        "loop_stall_ms": round(stall_ms, 1),
    }


def _ended(role: FeedRole, per_pair: int) -> bool:
    last = per_pair * IDS_A_MESSAGE
    feeds = [role.pool.feed(pair) for pair in role.ownership.owned]
    return all(feed is not None and feed.sequence == last for feed in feeds) and not role.publisher.waiting


async def _until(done: Callable[[], bool], within_s: float, otherwise: str) -> None:
    until_ms = clock.mono_ms() + within_s * 1000
    while not done():
        if clock.mono_ms() > until_ms:
            raise FleetError(f"bench: {otherwise} within {within_s:.0f} s")
        await asyncio.sleep(POLL_S)
