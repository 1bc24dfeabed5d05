"""The trader on books as they come out of a real Redis."""

import asyncio

from books.events import Delta, Snapshot, SnapshotReason
from books.wire import encode
from fleet import scripts
from fleet.clock import wall_us
from fleet.config import load
from fleet.ordered import OrderedConnection
from fleet.scripts import PublishLine, Word
from fleet.tasks import TaskPoller, TaskStore
from tests.support.desk import Desk
from tests.support.trading import BTC, trade
from trader.role import TraderRole


async def publish(desk: Desk, token: int, n: int, event: Snapshot | Delta) -> None:
    first = isinstance(event, Snapshot)
    fields = ["status", "live", "received_us", str(event.received_us)]
    line = PublishLine(
        BTC.label, BTC.label, token, n, [*encode(event)], book=BTC, based_on=None if first else n, fields=fields
    )
    assert [verdict.word for verdict in await desk.publish(line)] == [Word.OK]


async def test_a_book_in_redis_is_traded_on_and_not_after_its_owner_died(
    sqlite_engine, redis, redis_url: str, wait_until
) -> None:
    await TaskStore(sqlite_engine).add([trade(0)])
    connection = OrderedConnection(redis_url)
    await connection.connect()
    desk = Desk(redis, connection)
    lease = await desk.granted(BTC, ttl_ms=60_000)
    [n] = lease.n
    first = Snapshot(
        pair=BTC, received_us=wall_us(), bids={"99.9": "9"}, asks={"100.1": "9"}, reason=SnapshotReason.FIRST
    )
    await publish(desk, lease.token, n, first)
    poller = TaskPoller(TaskStore(sqlite_engine), 100)
    role = TraderRole(load(environ={}), redis, desk.keys, sqlite_engine, poller, member="a")

    def why() -> str:
        return "".join(task["why"] for account in role.stats()["accounts"] for task in account["tasks"])

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(part.run(), name=part.name) for part in (poller, role)]
        await wait_until(lambda: role.stats()["orders"] == 4, "the grid")
        falls = Delta(pair=BTC, received_us=wall_us(), bids={"99.9": "0", "98.8": "9"}, asks={"98.9": "9"})
        await publish(desk, lease.token, n + 1, falls)
        await wait_until(lambda: role.stats()["fills"] == 1, "the fill")
        await scripts.release(
            connection, lease=desk.keys.lease(BTC), value=scripts.lease_value(lease.token, "host:1:a")
        )
        await wait_until(lambda: why() == "the book is stale", "the hold")
        await role.quiet()
        for task in tasks:
            task.cancel()
    await connection.close()
