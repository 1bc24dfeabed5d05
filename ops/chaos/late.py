"""Waiting for what must happen, with an end: polling, and the error that says what did not come."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

from fleet import clock
from fleet.errors import FleetError

POLL_S = 0.01


class Late(FleetError):
    """Something did not come in time."""


async def until(
    condition: Callable[[], object | Awaitable[object]],
    what: str,
    within_s: float,
    *,
    why: Callable[[], str] = lambda: "",
    poll_s: float = POLL_S,
) -> float:
    """Wait until `condition()` is true; how long it took, ms. Raises Late with what was waited for and what `why()` says."""
    started_ms = clock.mono_ms()
    while True:
        answer = condition()
        if inspect.isawaitable(answer):
            answer = await answer
        passed_ms = clock.mono_ms() - started_ms
        if answer:
            return passed_ms
        if passed_ms > within_s * 1000:
            more = why()
            raise Late(f"waited {within_s:g} s for {what}" + (f"; {more}" if more else ""))
        await asyncio.sleep(poll_s)
