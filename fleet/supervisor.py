"""The life of a process: signals, the one TaskGroup, the one deadline, the exit code.

First SIGTERM or SIGINT: every part's `quiet` (take no more), then every part's `stop(deadline)` (hand over, flush), both
in the order of the parts; one deadline, computed once. Second signal: exit at once. A part that fails stops them all.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from fleet.clock import MonoMs

log = logging.getLogger(__name__)

STOP_TIMEOUT_MS = 25_000  # long enough to hand 500 pairs over, short of the usual 30 s until SIGKILL
CANCEL_GRACE_S = 2.0  # for cancelled tasks to end after the deadline


class Part(Protocol):
    """A component of a daemon. Its tasks live in its own `run` (in a TaskGroup there); it never touches signals."""

    @property
    def name(self) -> str:
        """Of its task and in log lines."""

    async def run(self) -> None:
        """Work until cancelled. Returning means: done; the process ends when all parts have returned."""

    async def quiet(self) -> None:
        """Take no more work; go on with what there is."""

    async def stop(self, deadline_mono_ms: float) -> None:
        """Finish in order until the deadline. `run` still runs; it is cancelled when all parts have stopped."""


def _force_exit(code: int) -> None:
    logging.shutdown()
    os._exit(code)


class Supervisor:
    """Runs parts to their end. One for each process, in its main thread."""

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        mono_ms: MonoMs,
        stop_timeout_ms: float = STOP_TIMEOUT_MS,
        force_exit: Callable[[int], None] = _force_exit,
    ) -> None:
        self._parts = tuple(parts)
        self._mono_ms = mono_ms
        self._stop_timeout_ms = stop_timeout_ms
        self._force_exit = force_exit
        self._stopping = asyncio.Event()
        self._exit_code = 0

    def request_stop(self, why: str) -> None:
        """Stop in order, as for a first signal; may be called by a command. Later calls change nothing."""
        if not self._stopping.is_set():
            log.info("stopping: %s", why)
            self._stopping.set()

    async def run(self) -> int:
        """Run all parts until a signal, a request, a failure, or until all have returned; the exit code (0 or 1)."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT)
        for number in signals:
            loop.add_signal_handler(number, self._on_signal, number)
        last_resort: asyncio.TimerHandle | None = None
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._run_part(part), name=part.name) for part in self._parts]
                all_done = group.create_task(self._until_all_return(tasks), name="supervisor: all parts returned")
                await self._stopping.wait()
                deadline_ms = self._mono_ms() + self._stop_timeout_ms
                last_resort = loop.call_later(
                    self._stop_timeout_ms / 1000 + CANCEL_GRACE_S, self._give_up, [*tasks, all_done]
                )
                await self._shut_down(deadline_ms)
                for task in (*tasks, all_done):
                    task.cancel()
        finally:
            if last_resort is not None:
                last_resort.cancel()
            for number in signals:
                loop.remove_signal_handler(number)
        return self._exit_code

    async def _run_part(self, part: Part) -> None:
        try:
            await part.run()
        except Exception:
            log.exception("%s failed", part.name)
            self._exit_code = 1
            self.request_stop(f"{part.name} failed")

    async def _until_all_return(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        for task in tasks:
            await asyncio.wait([task])
        self.request_stop("all parts are done")

    async def _shut_down(self, deadline_ms: float) -> None:
        for part in self._parts:
            await self._within(deadline_ms, part, "quiet", part.quiet)
        for part in self._parts:
            await self._within(deadline_ms, part, "stop", lambda part=part: part.stop(deadline_ms))  # type: ignore[misc]

    async def _within(self, deadline_ms: float, part: Part, verb: str, act: Callable[[], Awaitable[None]]) -> None:
        left_s = max(0.0, deadline_ms - self._mono_ms()) / 1000
        try:
            async with asyncio.timeout(left_s) as limit:
                await act()
        except Exception:
            if limit.expired():
                log.error("%s: %s did not end before the deadline", part.name, verb)
            else:
                log.exception("%s: %s failed", part.name, verb)
            self._exit_code = 1

    def _on_signal(self, number: signal.Signals) -> None:
        if self._stopping.is_set():
            log.warning("%s again: exiting at once", number.name)
            self._force_exit(128 + number)
        self.request_stop(number.name)

    def _give_up(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        alive = [task.get_name() for task in tasks if not task.done()]
        log.error("exiting: past the deadline and not ended: %s", ", ".join(alive) or "the supervisor")
        self._force_exit(1)
