"""A reader beside the daemons: `follow` in a task of its own, with all that it was told."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import redis.asyncio

from books.events import Event
from books.join import Follower
from books.live import follow
from fleet.keys import Keys
from fleet.pair import Pair
from tests.support.clients import redis_client


class Following:
    """`views[pair]` is the book as followed; `events` and `statuses` all that came, statuses without repeats."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.views: dict[Pair, Follower] = {}
        self.events: dict[Pair, list[Event]] = {pair: [] for pair in pairs}
        self.statuses: dict[Pair, list[str]] = {pair: [] for pair in pairs}

    def __repr__(self) -> str:
        return f"<following {list(self.views.values())}>"

    async def run(self, client: redis.asyncio.Redis, keys: Keys, pairs: Sequence[Pair]) -> None:
        async for change in follow(client, keys, pairs):
            pair, status = change.view.pair, change.view.status.value
            self.views[pair] = change.view
            if change.event is not None:
                self.events[pair].append(change.event)
            if self.statuses[pair][-1:] != [status]:
                self.statuses[pair].append(status)

    def kinds(self, pair: Pair) -> list[str]:
        """The kinds of what came, repeats in a row left out."""
        kinds = [type(event).__name__.lower() for event in self.events[pair]]
        return [kind for i, kind in enumerate(kinds) if i == 0 or kind != kinds[i - 1]]


@asynccontextmanager
async def following(url: str, keys: Keys, pairs: Sequence[Pair]) -> AsyncIterator[Following]:
    """Follow for the length of the block."""
    seen = Following(pairs)
    async with redis_client(url) as client, asyncio.TaskGroup() as group:
        task = group.create_task(seen.run(client, keys, pairs))
        try:
            yield seen
        finally:
            task.cancel()
