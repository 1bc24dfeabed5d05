"""Waiting for a condition, in place of sleeping."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.005


async def wait_until(
    predicate: Callable[[], T | Awaitable[T]], description: str, timeout_s: float = 10, *, poll_s: float = POLL_S
) -> T:
    """Poll a sync or async predicate until it is true and return its value.

    Raises `AssertionError` with the description and the last value seen. An exception of the predicate is the caller's
    business and passes through at once.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        value = predicate()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {timeout_s:g} s for {description}; the last value was {value!r}")
        await asyncio.sleep(poll_s)
