"""Work under one lease, as a block: wait for it, work, give it back; losing it cancels the work."""

import asyncio
import logging
from types import TracebackType

from redis.exceptions import RedisError

from fleet.errors import FleetError, LeaseLost
from fleet.lease import Lease, LeaseKeeper, LossReason, Target
from fleet.logs import one_line
from fleet.scripts import Granted

log = logging.getLogger(__name__)


class hold:  # noqa: N801 - reads as a verb: `async with hold(keeper, target) as lease:`
    """Wait for a lease, run the body under it, give it back. Losing it cancels the body and raises LeaseLost.

    It asks every quarter of a lease until granted. The keeper's `run` must be running.
    """

    def __init__(self, keeper: LeaseKeeper, target: Target) -> None:
        self._keeper = keeper
        self._target = target
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._lost: LossReason | None = None

    async def __aenter__(self) -> Lease:
        self._task = asyncio.current_task()
        if self._task is None:
            raise RuntimeError("hold() wants to run in a task")
        while True:
            answer = await self._keeper.acquire(self._target, on_lost=self._on_lost)
            lease = self._keeper.lease(self._target)
            if isinstance(answer, Granted) and lease is not None:
                self._cancelling = self._task.cancelling()
                return lease
            await asyncio.sleep(self._keeper.lease_ms / 4000)

    def _on_lost(self, _lease: Lease, reason: LossReason) -> None:
        self._lost = reason
        if self._task is not None:
            self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if self._lost is None or task is None:
            try:
                await self._keeper.release(self._target)
            except (RedisError, FleetError, OSError) as failure:
                log.warning("lease %s: not released, it runs out: %s", self._target.name, one_line(failure))
            return
        is_ours = task.uncancel() <= self._cancelling  # else somebody besides us cancels: his word counts
        if is_ours and (kind is None or kind is asyncio.CancelledError):
            raise LeaseLost(
                f"{self._target.name}: the lease was {self._lost}; the work under it was stopped"
            ) from error
