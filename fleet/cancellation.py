"""Cancellation that does not get lost.

Before Python 3.12 `asyncio.wait_for` drops a cancellation that arrives together with the result it waits for (gh-86296), and
the clients we use wait with it: redis-py for every write, asynch for every read, SQLAlchemy and aiomysql where they take and
end connections. What was cancelled because its lease is gone would work on.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")


@asynccontextmanager
async def heeded() -> AsyncIterator[None]:
    """Around calls of a client. Raises CancelledError if the task was cancelled meanwhile, even where the client forgot it
    or made another error of it."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    if before:
        # one that was asked for while the task ran is delivered here: inside it could be dropped
        await asyncio.sleep(0)
    try:
        yield
    finally:
        if task and task.cancelling() > before:
            raise asyncio.CancelledError


async def heeding(call: Awaitable[T]) -> T:
    """Await one call of a client, heeded."""
    try:
        async with heeded():
            return await call
    finally:
        if asyncio.iscoroutine(call):
            call.close()  # where it was not begun


async def granted_time(call: Coroutine[Any, Any, T], grace_s: float, *, name: str, told: Callable[[], object]) -> T:
    """Await a call that a cancellation does not break off at once: it is `told`, and cancelled if it has not ended within
    `grace_s`. The cancellation is raised in either case; a second one ends the patience."""
    task = asyncio.Task(call, name=name)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        told()
        try:
            await asyncio.wait([task], timeout=grace_s)
        finally:
            task.cancel()
            await asyncio.wait([task])
        raise
