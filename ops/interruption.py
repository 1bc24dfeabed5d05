"""SIGTERM, SIGINT and SIGHUP for a process that has to clean up: what it started, and what it must not leave behind."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Interruption:
    """`with Interruption() as interruption:` around the work of the present task.

    While there is nothing to finish, a signal cancels the task. Once `finishing` is set, the first signal only sets
    `asked`: the task ends in order; the next one cancels. `number` is the signal that came, None so far.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.finishing = False
        self.number: signal.Signals | None = None
        self._task: asyncio.Task[object] | None = None

    def __repr__(self) -> str:
        return f"<Interruption {self.number.name if self.number else 'none'}>"

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.remove_signal_handler(number)

    def listen(self) -> None:
        """Take the signals; again after something else (a screen) had taken them."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._on_signal, number)

    async def pause(self, seconds: float) -> None:
        """Sleep, but not past `asked`."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self.asked.wait()
        except TimeoutError:
            pass  # the whole pause passed

    def _on_signal(self, number: signal.Signals) -> None:
        again, self.number = self.asked.is_set(), number
        self.asked.set()
        if (again or not self.finishing) and self._task is not None:
            self._task.cancel()


async def in_order(work: Callable[[Interruption], Awaitable[None]], tell: Callable[[str], None]) -> int:
    """Do the work, which cleans up behind itself. 0, or 128 + the signal that broke it off, which is told."""
    with Interruption() as interruption:
        try:
            await work(interruption)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if interruption.number is None or task is None:
                raise
            task.uncancel()
            tell(f"broken off by {interruption.number.name}; everything that was started has ended")
            return 128 + interruption.number
    return 0
