"""Connecting an ordered connection, and connecting it again whenever it is lost, at the process's pace."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fleet.connect_pace import ConnectPace, Paused
from fleet.errors import FleetError
from fleet.logs import one_line
from fleet.ordered_cluster import Ordered

LOOK_S = 0.1  # how often one looks whether it is connected still, or may be tried again

log = logging.getLogger(__name__)


async def connect_at_pace(connection: Ordered, pace: ConnectPace, what: str) -> None:
    """Try until it is connected. `what` waits for it is told with each new reason why."""
    told = ""
    while True:
        try:
            async with pace.attempt():
                await connection.connect()
        except Paused:
            pass
        except FleetError as error:
            if one_line(error) != told:
                told = one_line(error)
                log.warning("%s waits: %s", what, told)
        else:
            return
        await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def kept_connected(connection: Ordered, pace: ConnectPace, what: str) -> AsyncIterator[Ordered]:
    """Within, it is connected as soon as can be, again and again; closed at the end. What is asked meanwhile fails at once."""

    async def keep() -> None:
        while True:
            if not connection.connected:
                await connect_at_pace(connection, pace, what)
            await asyncio.sleep(LOOK_S)

    keeping = asyncio.get_running_loop().create_task(keep(), name=f"{what}: connection to Redis")
    try:
        yield connection
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        await connection.close()
