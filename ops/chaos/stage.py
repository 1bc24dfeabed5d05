"""The frame of every scenario: a fleet, a result, an end that is judged."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ops.chaos.fleet import ChaosFleet
from ops.chaos.late import Late
from ops.chaos.result import Result
from ops.chaos.scale import Scale


@asynccontextmanager
async def staged(name: str, scale: Scale, seed: int, **options: Any) -> AsyncIterator[tuple[ChaosFleet, Result]]:
    """`async with staged("kill-worker", scale, seed) as (fleet, result):` and hurt it; `options` are ChaosFleet's.

    Behind the block the fleet is judged: pairs live, books equal to the venue's, daemons end in order, no unexpected error.
    What did not come in time (Late), in the block or behind it, is a violation and no exception; so is running past
    `scale.most_s`. Any other exception passes through.
    """
    result = Result(name=name, scale=scale.name, seed=seed)
    try:
        async with asyncio.timeout(scale.most_s), ChaosFleet(scale, seed, **options) as fleet:
            result.folder = str(fleet.folder) if scale.keep else ""
            try:
                yield fleet, result
            except Late as late:
                result.violations.append(str(late))
            except asyncio.CancelledError:  # out of time, or broken off: the logs go with the fleet
                result.last_words = fleet.last_words()
                raise
            result.violations += await fleet.judge()
            result.measure("watcher_ms", fleet.watcher.worst_look_ms)
            if not result.passed:
                result.last_words = fleet.last_words()
    except TimeoutError:
        result.violations.append(f"not over within {scale.most_s:g} s")
