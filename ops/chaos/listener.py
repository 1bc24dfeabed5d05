"""A reader as users have them (`books.live.follow`), beside a fleet that is hurt: when it was told what of which book."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import NamedTuple, Self

from books.join import Status
from books.live import Followed, follow
from fleet import clock
from fleet.config import load
from fleet.keys import Keys
from fleet.pair import Pair
from fleet.redis_connection import connect


class Told(NamedTuple):
    """From `at_ms` (mono) on the reader believed this."""

    at_ms: float
    status: Status


class Listener:
    """`async with` it: it follows. `told` holds changes of status only; `events` counts what came."""

    def __init__(self, redis_url: str, keys: Keys, pairs: Sequence[Pair]) -> None:
        self.told: dict[Pair, list[Told]] = {pair: [] for pair in pairs}
        self.events = 0
        self._url = redis_url
        self._keys = keys
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            redis = connect(load(environ={"FLEET_REDIS_URL": self._url}), name="fleet-chaos-reader")
            exits.push_async_callback(redis.aclose)
            group = await exits.enter_async_context(asyncio.TaskGroup())
            changes = follow(redis, self._keys, list(self.told))
            exits.push_async_callback(changes.aclose)  # type: ignore[attr-defined]
            listening = group.create_task(self._listen(changes), name="chaos: listener")
            exits.push_async_callback(_end, listening)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.__aexit__(None, None, None)

    async def _listen(self, changes: AsyncIterator[Followed]) -> None:
        async for change in changes:
            self.events += change.event is not None
            told, status = self.told[change.view.pair], change.view.status
            if not told or told[-1].status is not status:
                told.append(Told(clock.mono_ms(), status))

    @property
    def all_live(self) -> bool:
        """Whether it may use every book."""
        return all(told and told[-1].status is Status.LIVE for told in self.told.values())

    @property
    def none_live(self) -> bool:
        """Whether it may use no book."""
        return not any(told and told[-1].status is Status.LIVE for told in self.told.values())

    def last_change_ms(self) -> float:
        """When it last learnt that a book is now otherwise."""
        return max((told[-1].at_ms for told in self.told.values() if told), default=0.0)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
