"""What a daemon needs before it may start: a Redis that can carry a fleet, a layout that is ours, the task tables."""

from redis.asyncio import Redis

from books.wire import WIRE_VERSION
from fleet.config import Settings
from fleet.keys import Keys
from fleet.layout import join_layout
from fleet.redis_check import check
from fleet.redis_connection import connect
from fleet.sql import engine as sql_engine
from fleet.tasks import TaskStore


async def prove(settings: Settings, redis: Redis, store: TaskStore) -> None:
    """Raises Unreachable, ConfigError, LayoutMismatch, SchemaMissing: told at the start, not every few seconds."""
    await check(redis, settings)
    await join_layout(redis, Keys(settings.namespace, settings.shards), WIRE_VERSION)
    await store.fetch()


async def prove_once(settings: Settings) -> None:
    """The same with connections of its own, for who starts daemons and has none."""
    redis, engine = connect(settings, name="fleet-up"), sql_engine(settings)
    try:
        await prove(settings, redis, TaskStore(engine))
    finally:
        await engine.dispose()
        await redis.aclose()
