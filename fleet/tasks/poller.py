"""Follows the task tables: reads them every few seconds, tells of changes, keeps the last good state."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from fleet.clock import MonoMs, mono_ms
from fleet.errors import FleetError
from fleet.tasks.model import TaskSet
from fleet.tasks.store import TaskStore

log = logging.getLogger(__name__)

Listener = Callable[[TaskSet], None]


@dataclass
class PollerStats:
    """Counted since the start. `away_since_ms` is monotonic, None while SQL answers."""

    polls: int = 0
    failures: int = 0
    outages: int = 0
    changes: int = 0
    away_since_ms: float | None = None
    last_error: str = ""


class TaskPoller:
    """A part for the supervisor. Listeners are called in its task, on change only, and must not block."""

    name = "tasks"

    def __init__(
        self, store: TaskStore, poll_ms: int, on_change: Listener | None = None, *, clock: MonoMs = mono_ms
    ) -> None:
        self.stats = PollerStats()
        self._store = store
        self._poll_ms = poll_ms
        self._listeners: list[Listener] = []
        self._clock = clock
        self._due = asyncio.Event()
        self._last: TaskSet | None = None
        if on_change is not None:
            self.subscribe(on_change)

    @property
    def last(self) -> TaskSet | None:
        """The last good reading; None before the first."""
        return self._last

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every change, and at once if something has been read already. Returns the undoing."""
        self._listeners.append(listener)
        if self._last is not None:
            listener(self._last)
        return lambda: self._listeners.remove(listener)

    def wake(self) -> None:
        """Read now instead of at the next turn."""
        self._due.set()

    async def run(self) -> None:
        """Poll until cancelled. Raises only what a listener raises: SQL being away is waited out."""
        scheduler = AsyncIOScheduler(timezone=UTC)
        scheduler.add_job(
            self._tick,
            "interval",
            seconds=self._poll_ms / 1000,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
        )
        scheduler.start()
        try:
            while True:
                self._due.clear()
                await self._poll()
                await self._next()
        finally:
            scheduler.shutdown(wait=False)

    async def quiet(self) -> None:
        """Reading harms nobody: it goes on until `run` is cancelled."""

    async def stop(self, deadline_mono_ms: float) -> None:
        """Nothing to hand over."""

    async def _tick(self) -> None:
        self._due.set()

    async def _next(self) -> None:
        # The scheduler goes by the wall clock; if that is set back an hour, it would be silent for an hour.
        try:
            async with asyncio.timeout(2 * self._poll_ms / 1000):
                await self._due.wait()
        except TimeoutError:
            pass

    async def _poll(self) -> None:
        try:
            found = await self._store.fetch()
        except FleetError as error:
            self._failed(error)
            return
        self.stats.polls += 1
        if self.stats.away_since_ms is not None:
            away_s = (self._clock() - self.stats.away_since_ms) / 1000
            log.warning("tasks: SQL answers again after %.0f s", away_s)
            self.stats.away_since_ms = None
        if found == self._last:
            return
        known = self._last.problems if self._last else ()
        for problem in found.problems:
            if problem not in known:
                log.error("tasks: %s; the row is left out until it is mended", problem)
        self._last = found
        self.stats.changes += 1
        for listener in list(self._listeners):
            listener(found)

    def _failed(self, error: FleetError) -> None:
        self.stats.failures += 1
        self.stats.last_error = str(error)
        if self.stats.away_since_ms is None:
            self.stats.away_since_ms = self._clock()
            self.stats.outages += 1
            kept = "the last good tasks stay in force" if self._last else "no tasks are known yet"
            log.error("tasks: %s; %s", error, kept)
