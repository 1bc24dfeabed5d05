"""The trader role of a daemon: every TRADE account is worked on by one daemon of the fleet, the others stand by."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from books.live import follow as follow_books
from fleet.clock import MonoMs, WallMs, mono_ms, wall_us
from fleet.config import Settings
from fleet.keys import Keys
from fleet.pair import Pair
from fleet.tasks import Task, TaskPoller, TaskSet
from trader.account import AccountWorker
from trader.lease import Leases
from trader.market import Follow, Market

log = logging.getLogger(__name__)

LIVE_REFUSAL = "live trading comes with a later version; set MODE to paper"


class TraderRole:
    """A part for the supervisor: `run()` it, `quiet()` stops new orders, `stop()` ends it.

    `member` must be new with every start of the process: it names the owner in SQL.
    """

    name = "trader"

    def __init__(
        self,
        settings: Settings,
        redis: Redis,
        keys: Keys,
        engine: AsyncEngine,
        poller: TaskPoller,
        *,
        member: str,
        follow: Follow | None = None,
        mono: MonoMs = mono_ms,
        wall: WallMs = wall_us,
    ) -> None:
        def follow_redis(pairs: Sequence[Pair]) -> Any:
            return follow_books(redis, keys, pairs)

        self.refused: dict[int, tuple[Task, str]] = {}
        self._engine = engine
        self._poller = poller
        self._mono = mono
        self._wall = wall
        self._leases = Leases(engine, member, settings.lease_ms, clock=mono)
        self._market = Market(follow or follow_redis, clock=wall)
        self._workers: dict[str, AccountWorker] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._tasks: TaskSet | None = None
        self._wake = asyncio.Event()
        self._quiet = False
        self._stopping = False
        self._started = False
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Until `stop()` or cancelled. SQL away, leases lost, books stale: all are waited out inside."""
        self._started = True
        unsubscribe = self._poller.subscribe(self._take)
        try:
            async with asyncio.TaskGroup() as group:
                following = group.create_task(self._market.run(), name="trader market")
                while not self._stopping:
                    self._wake.clear()
                    self._apply(group)
                    await self._wake.wait()
                for worker in self._workers.values():
                    worker.close()
                for task in (following, *self._running.values()):
                    task.cancel()
        finally:
            unsubscribe()
            self._ended.set()

    async def quiet(self) -> None:
        """No new orders from now on; fills are still written, leases kept."""
        self._quiet = True
        for worker in self._workers.values():
            worker.quiet()

    async def stop(self, deadline_mono_ms: float) -> None:
        """Release the accounts and end `run`; working orders stay in SQL for the next owner. Waits until the deadline."""
        self._stopping = True
        self._wake.set()
        if not self._started:
            return
        try:
            async with asyncio.timeout(max(0.0, deadline_mono_ms - self._mono()) / 1000):
                await self._ended.wait()
        except TimeoutError:
            log.warning("trader: not ended in time; the leases of its accounts run out by themselves")

    def stats(self) -> Mapping[str, Any]:
        """For the beat, `fleet trader status` and the metrics; totals and every account."""
        accounts = [worker.status() for worker in self._workers.values()]
        return {
            "orders": sum(account["orders"] for account in accounts),
            "fills": sum(account["fills"] for account in accounts),
            "refused": sum(account["refused"] for account in accounts),
            "accounts": accounts,
            "refused_tasks": [
                {"id": number, **task.pair._asdict(), "strategy": task.strategy, "mode": task.mode, "why": why}
                for number, (task, why) in self.refused.items()
            ],
        }

    def _take(self, tasks: TaskSet) -> None:
        self._tasks = tasks
        self._wake.set()

    def _apply(self, group: asyncio.TaskGroup) -> None:
        for account in [account for account, task in self._running.items() if task.done()]:
            del self._running[account], self._workers[account]
        if self._tasks is None:
            return
        wanted = self._accepted(self._tasks.trades)
        self._market.set_pairs(frozenset(task.pair for tasks in wanted.values() for task in tasks))
        for account, worker in self._workers.items():
            worker.set_tasks(tuple(wanted.get(account, ())))
        for account, tasks in wanted.items():
            if account not in self._workers:
                worker = self._workers[account] = AccountWorker(
                    account, self._engine, self._leases, self._market, mono=self._mono, wall=self._wall
                )
                worker.set_tasks(tuple(tasks))
                if self._quiet:
                    worker.quiet()
                running = group.create_task(worker.run(), name=f"account {account}")
                # an account whose tasks came back while its worker was ending needs a new worker
                running.add_done_callback(lambda _task: self._wake.set())
                self._running[account] = running

    def _accepted(self, tasks: Sequence[Task]) -> dict[str, list[Task]]:
        accepted: dict[str, list[Task]] = {}
        refused: dict[int, tuple[Task, str]] = {}
        for task in tasks:
            if task.mode == "live":
                refused[task.id] = (task, LIVE_REFUSAL)
            else:
                accepted.setdefault(task.account, []).append(task)
        for number, (task, why) in refused.items():
            if number not in self.refused:
                log.error("TRADE row %d (%s): refused: %s", number, task.pair, why)
        self.refused = refused
        return accepted
