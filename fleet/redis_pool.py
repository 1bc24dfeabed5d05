"""A pool that never has more than so many connections: who finds all of them in use waits his turn.

Not redis-py's BlockingConnectionPool: giving a connection back waits for a lock there, and a task that is cancelled at that
moment takes the connection along; and a waiter that is cancelled as it is woken wakes nobody else. Here nothing is awaited
between taking a connection out of use and giving its place to the next.

Nobody may ask for a second connection while he holds one: with all in use by such, everybody would wait for everybody.
"""

import asyncio
from typing import Any

from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError


class BoundedPool(ConnectionPool):
    """At most `max_connections`, given out in the order of asking. `patience_s`: how long one waits for one."""

    def __init__(self, *, patience_s: float, **options: Any) -> None:
        super().__init__(**options)
        self._patience_s = patience_s
        self._places = asyncio.Semaphore(self.max_connections)

    async def get_connection(self, command_name: str | None = None, *keys: Any, **options: Any) -> AbstractConnection:
        """A connection that is connected. Raises redis-py's ConnectionError where none was free in time, and what connecting
        raises."""
        if self._places.locked():
            try:
                async with asyncio.timeout(self._patience_s):
                    await self._places.acquire()
            except TimeoutError:
                raise RedisConnectionError(
                    f"all {self.max_connections} connections were in use for {self._patience_s:g} s; Redis is slow or away"
                ) from None
        else:
            await self._places.acquire()  # at once
        try:
            connection: AbstractConnection = self.get_available_connection()  # type: ignore[no-untyped-call]
        except BaseException:
            self._places.release()
            raise
        try:
            await self.ensure_connection(connection)
        except BaseException:
            await self.release(connection)
            raise
        return connection

    async def release(self, connection: AbstractConnection) -> None:
        """Give it to whoever waits longest."""
        self._in_use_connections.remove(connection)
        try:
            if connection.should_reconnect():  # type: ignore[no-untyped-call]
                await connection.disconnect(nowait=True)
        finally:
            self._available_connections.append(connection)
            self._places.release()
