"""Cancellation that does not get lost.

Before Python 3.12 `asyncio.wait_for` drops a cancellation that arrives together with the result it waits for, and both clients
we use wait with it for every write (redis-py) and every read (asynch). A lane that lost its lease would work on.
"""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def heeding(call: Awaitable[T]) -> T:
    """Await a client's call. Raises CancelledError if the task was cancelled meanwhile, even where the client forgot it."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    if before:
        try:
            await asyncio.sleep(
                0
            )  # one that was asked for while the task ran is delivered here: inside it could be dropped
        except asyncio.CancelledError:
            if asyncio.iscoroutine(call):
                call.close()
            raise
    try:
        return await call
    finally:
        if task and task.cancelling() > before:
            raise asyncio.CancelledError
