"""One trading account: stand by, own, trade, and when anything is unclear begin again from SQL.

standby ──lease free──► rebuild from SQL ──► trade ──Fenced, Halted, Unreachable──► pause ──► standby
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from fleet.clock import MonoMs, WallMs, mono_ms, wall_us
from fleet.errors import ConfigError, Fenced, FleetError
from fleet.pair import Pair
from fleet.schema import fleet_uuid
from fleet.tasks import Task
from trader.engine import TaskEngine
from trader.lease import AccountLease, HeldByOther, Leases
from trader.ledger import Halted, Ledger
from trader.market import Inbox, Market
from trader.money import plain
from trader.orders import OrderState
from trader.strategies import build
from trader.strategy import middle

log = logging.getLogger(__name__)

# a quiet book still has to be looked at: paper orders become active by the clock
_LOOK_S = 0.25
_PAUSE_S = 0.5


@dataclass
class AccountStats:
    """Counted since the start of the process. `state`: standby, trading, halted, waiting, refused or stopped."""

    state: str = "standby"
    why: str = ""
    epoch: int = 0
    rebuilds: int = 0
    fenced: int = 0
    sql_failures: int = 0
    orders: int = 0
    fills: int = 0
    refused: int = 0
    problems: dict[int, str] = field(default_factory=dict)


class AccountWorker:
    """`run()` it as a task; it ends when the account has no tasks any more."""

    def __init__(
        self,
        account: str,
        engine: AsyncEngine,
        leases: Leases,
        market: Market,
        *,
        mono: MonoMs = mono_ms,
        wall: WallMs = wall_us,
    ) -> None:
        self.account = account
        self.stats = AccountStats()
        self.engines: dict[int, TaskEngine] = {}
        self._engine = engine
        self._leases = leases
        self._market = market
        self._mono = mono
        self._wall = wall
        self._tasks: dict[int, Task] = {}
        self._tasks_changed = True
        self._quiet = False
        self._closed = False
        self._inbox: Inbox = market.subscribe()
        self._outage = ""

    def set_tasks(self, tasks: tuple[Task, ...]) -> None:
        """Trade these from now on; an empty tuple ends `run` after the working orders were cancelled."""
        wanted = {task.id: task for task in tasks}
        if wanted != self._tasks:
            self._tasks = wanted
            self._tasks_changed = True
            self._inbox.wake()

    def quiet(self) -> None:
        """Place nothing new; fills are still written."""
        self._quiet = True

    def close(self) -> None:
        """Begin nothing anew. To be called before cancelling: a cancellation that meets an error may be lost."""
        self._closed = True

    async def run(self) -> None:
        """Until the tasks are gone, or cancelled: then the lease is released and working orders stay for the successor."""
        try:
            while not self._closed and (self._tasks or self.engines):
                await self._once()
                self.engines.clear()
        finally:
            self._market.unsubscribe(self._inbox)
            self.stats.state = "stopped"

    async def _once(self) -> None:
        try:
            lease = await self._leases.acquire(self.account)
        except FleetError as error:
            self._failed(error)
            await self._inbox.take(_PAUSE_S)
            return
        self._answers()
        if isinstance(lease, HeldByOther):
            self.stats.state, self.stats.why = "standby", f"{lease.holder} owns the account"
            await self._inbox.take(min(lease.expires_in_ms, self._leases.ttl_ms / 4) / 1000)
            return
        log.info("account %s: ours, epoch %d", self.account, lease.epoch)
        self.stats.epoch = lease.epoch
        try:
            await self._own(lease)
        finally:
            self._count()
            await self._release(lease)

    async def _own(self, lease: AccountLease) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                keeping = group.create_task(self._keep(lease), name=f"account {self.account} lease")
                await self._trade(lease)
                keeping.cancel()
        except* FleetError as errors:
            for error in _leaves(errors):
                self._failed(error)
            await asyncio.sleep(_PAUSE_S)

    async def _release(self, lease: AccountLease) -> None:
        # bounded, and shielded from a second cancellation: an unreleased lease only costs the successor its ttl
        try:
            async with asyncio.timeout(lease.ttl_ms / 2000):
                await self._leases.release(lease)
        except (FleetError, TimeoutError) as error:
            log.warning("account %s: the lease could not be released (%s); it runs out", self.account, error)

    async def _keep(self, lease: AccountLease) -> None:
        while True:
            await asyncio.sleep(lease.ttl_ms / 4000)
            try:
                await self._renew(lease)
            except Fenced:
                raise
            except FleetError as error:
                if not lease.safe(self._mono()):
                    raise
                self._failed(error)
            else:
                self._answers()

    async def _renew(self, lease: AccountLease) -> None:
        # SQL may take longer to be given up than the lease is safe: then it is lost, whatever is answered
        try:
            async with asyncio.timeout((lease.safe_until_ms - self._mono()) / 1000):
                await self._leases.renew(lease)
        except TimeoutError:
            raise Fenced(f"the lease of account {self.account!r} could not be renewed in time: no answer") from None

    async def _trade(self, lease: AccountLease) -> None:
        ledger = Ledger(self._engine, lease)
        uuid = await fleet_uuid(self._engine)
        self.stats.rebuilds += 1
        self._tasks_changed = True
        looked_ms = self._mono()
        while True:
            if self._tasks_changed:
                self._tasks_changed = False
                await self._apply_tasks(ledger, uuid)
                if not self._tasks:
                    return
            changed = await self._inbox.take(_LOOK_S)
            if self._mono() - looked_ms >= _LOOK_S * 1000:
                looked_ms = self._mono()
                changed |= {engine.task.pair for engine in self.engines.values()}
            if not lease.safe(self._mono()):
                raise Fenced(f"the lease of account {self.account!r} could not be renewed in time")
            await self._look(lease, changed)

    async def _look(self, lease: AccountLease, changed: set[Pair]) -> None:
        self.stats.state, self.stats.why = ("halted", lease.halted) if lease.halted else ("trading", "")
        hold = lease.halted and f"halted: {lease.halted}"
        if not hold and (self._quiet or self._outage):
            hold = "stopping" if self._quiet else "SQL does not answer"
        for engine in list(self.engines.values()):
            seen = self._market.seen.get(engine.task.pair)
            if lease.halted:
                await engine.cancel_all(f"halted: {lease.halted}")
            if seen is None:
                engine.stats.hold = "the book is not known yet"
            elif engine.task.pair in changed:
                try:
                    await engine.step(seen.view, seen.heard_us, self._wall(), hold)
                except Halted:
                    # the halt came between two renewals; `lease.halted` is set, memory is as SQL: nothing was written
                    self._inbox.wake()

    async def _apply_tasks(self, ledger: Ledger, uuid: str) -> None:
        """Bring the engines in line with the tasks; engines of tasks that stay as they are go on untouched."""
        for number, engine in list(self.engines.items()):
            if self._tasks.get(number) != engine.task:
                await engine.cancel_all("the task was changed" if number in self._tasks else "the task was removed")
                self._forget(number)
        self.stats.problems = {}
        for number, task in self._tasks.items():
            if number in self.engines:
                continue
            try:
                setup = build(task.strategy, task.params)
            except ConfigError as error:
                self.stats.problems[number] = str(error)
                log.error("TRADE row %d: %s", number, error)
                continue
            record = await ledger.load(task)
            self.engines[number] = TaskEngine(task, setup, record, ledger, uuid, clock=self._mono)
        orphans = await ledger.orphans(self.engines[number].task for number in self.engines)
        if orphans:
            await ledger.ended(orphans, OrderState.CANCELLED, "no task works it any more")

    def _forget(self, number: int) -> None:
        engine = self.engines.pop(number)
        self.stats.orders += engine.stats.orders
        self.stats.fills += engine.stats.fills
        self.stats.refused += engine.gate.refused

    def _count(self) -> None:
        for number in list(self.engines):
            self._forget(number)

    def _failed(self, error: FleetError) -> None:
        self.stats.state, self.stats.why = "waiting", str(error)
        if isinstance(error, Fenced):
            self.stats.fenced += 1
            log.warning("account %s: %s", self.account, error)
            return
        self.stats.sql_failures += 1
        if not self._outage:
            log.error("account %s: %s; no new orders until SQL answers", self.account, error)
        self._outage = str(error)

    def _answers(self) -> None:
        if self._outage:
            log.warning("account %s: SQL answers again", self.account)
            self._outage = ""

    def status(self) -> Mapping[str, Any]:
        """For `fleet trader status` and the metrics."""
        engines = self.engines.values()
        return {
            "account": self.account,
            "state": self.stats.state,
            "why": self.stats.why,
            "epoch": self.stats.epoch,
            "rebuilds": self.stats.rebuilds,
            "fenced": self.stats.fenced,
            "sql_failures": self.stats.sql_failures,
            "orders": self.stats.orders + sum(engine.stats.orders for engine in engines),
            "fills": self.stats.fills + sum(engine.stats.fills for engine in engines),
            "refused": self.stats.refused + sum(engine.gate.refused for engine in engines),
            "tasks": [self._task_status(task) for task in self._tasks.values()],
        }

    def _task_status(self, task: Task) -> Mapping[str, Any]:
        shown = {"id": task.id, **task.pair._asdict(), "strategy": task.strategy, "mode": task.mode}
        engine = self.engines.get(task.id)
        if engine is None:
            problem = self.stats.problems.get(task.id)
            return shown | ({"state": "refused", "why": problem} if problem else {"state": self.stats.state, "why": ""})
        seen = self._market.seen.get(task.pair)
        mid = middle(seen.view.book) if seen is not None and seen.view.status == "live" else None
        portfolio = engine.portfolio
        return shown | {
            "state": "held" if engine.stats.hold else "trading",
            "why": engine.stats.hold,
            "orders": engine.stats.orders,
            "fills": engine.stats.fills,
            "cancels": engine.stats.cancels,
            "working": len(portfolio.orders),
            "refused": engine.gate.refused,
            "refusals": dict(engine.gate.refusals),
            "last_refusal": engine.gate.last_refusal,
            "position": plain(portfolio.position),
            "realised": plain(portfolio.realised),
            "commission": plain(portfolio.commission),
            "profit": None if mid is None else plain(portfolio.profit(mid)),
        }


def _leaves(errors: BaseExceptionGroup[FleetError]) -> list[FleetError]:
    found: list[FleetError] = []
    for error in errors.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
