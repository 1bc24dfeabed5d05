"""A trader process for tests that kill it: URL LEASE_MS SEED. Its market walks at random, as fast as it can."""

import asyncio
import os
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from fleet.clock import wall_us
from fleet.config import load
from fleet.sql import engine_of
from fleet.tasks import TaskPoller, TaskStore
from tests.support.trading import ScriptedMarket
from trader.role import TraderRole


async def walk(market: ScriptedMarket, chance: random.Random) -> None:
    price = 100.0
    while True:
        price = max(90.0, min(110.0, price + chance.choice((-0.7, 0.7))))
        market.move(round(price, 1), amount="0.6")
        await asyncio.sleep(0.002)


async def main() -> None:
    url, lease_ms, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    engine = engine_of(url)
    market = ScriptedMarket(wall_us)
    market.move(100)
    settings = load({"lease_ms": lease_ms, "tasks_poll_ms": 100}, environ={})
    poller = TaskPoller(TaskStore(engine), settings.tasks_poll_ms)
    role = TraderRole(
        settings,
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        engine,
        poller,
        member=f"child-{os.getpid()}",
        follow=market.follow,
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(poller.run(), name="poller")
        group.create_task(role.run(), name="role")
        group.create_task(walk(market, random.Random(seed)), name="walk")


asyncio.run(main())
