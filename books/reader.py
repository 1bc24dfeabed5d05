"""The cursors and followers of some pairs: what one task reads, joins and audits (redis-protocol.md §2.2)."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from redis.asyncio import Redis

from books.events import Event
from books.join import Follower, Rejoin, Status, entry_order
from books.store import Entry, load_book, newest_id, read_range, read_streams, standing
from books.wire import WireError, decode
from fleet.keys import Keys
from fleet.pair import Pair

log = logging.getLogger(__name__)

BLOCK_MS = 250  # longest wait for entries, so that an audit is never late by more
READ_COUNT = 500

Read = Mapping[str, Sequence[Entry]]


class Followed(NamedTuple):
    """`event` None: only the status changed (see `view.status`)."""

    event: Event | None
    view: Follower


class Reader:
    """`start`, then `step` for ever, `audit` now and then."""

    def __init__(self, redis: Redis, keys: Keys, pairs: Iterable[Pair], *, block_ms: int | None = BLOCK_MS) -> None:
        self.redis = redis
        self.keys = keys
        self.block_ms = block_ms
        self.views = {pair: Follower(pair) for pair in pairs}
        self.by_label = {pair.label.encode(): view for pair, view in self.views.items()}
        self.cursors: dict[str, str] = {}
        self.shown = dict.fromkeys(self.views, Status.MISSING)

    def stream(self, pair: Pair) -> str:
        return self.keys.deltas(self.keys.shard(pair))

    async def start(self) -> list[Followed]:
        """Cursors first, then the books: whatever comes in between is in both, and known by its n."""
        for stream in {self.stream(pair) for pair in self.views}:
            self.cursors[stream] = await newest_id(self.redis, stream)
        changes: list[Followed] = []
        for view in self.views.values():
            changes += await self.rejoin(view)
        return changes

    async def rejoin(self, view: Follower) -> list[Followed]:
        found = await load_book(self.redis, self.keys, view.pair)
        snapshot = view.loaded(found)
        changes = [Followed(snapshot, view)] if snapshot is not None else []
        if found.cell is not None and found.cell.n > view.n:
            # the hashes trail the stream: what lies between them and our cursor comes once more, for this pair alone
            changes += await self._catch_up(view, found.id)
        return changes

    async def _catch_up(self, view: Follower, after: str) -> list[Followed]:
        stream = self.stream(view.pair)
        changes: list[Followed] = []
        while entries := await read_range(self.redis, stream, after, self.cursors[stream], READ_COUNT):
            after = entries[-1][0].decode()
            for entry_id, fields in entries:
                if fields.get(b"k") == view.pair.label.encode():
                    event = view.entry(decode(entry_id, fields))
                    if isinstance(event, Rejoin):
                        return changes  # the audit or the next entry brings us back here, with newer hashes
                    if event is not None:
                        changes.append(Followed(event, view))
        return changes

    async def step(self) -> list[Followed]:
        """Wait for entries and apply them."""
        return await self.apply(await self.read())

    async def read(self) -> Read:
        """Wait for entries. Nothing changes before `apply`."""
        return await read_streams(self.redis, self.cursors, READ_COUNT, self.block_ms)

    async def apply(self, read: Read) -> list[Followed]:
        """Entries as `read` brought them."""
        changes: list[Followed] = []
        for stream, entries in read.items():
            for entry in entries:
                self.cursors[stream] = entry[0].decode()
                changes += await self._take(entry)
        return changes

    async def _take(self, entry: Entry) -> list[Followed]:
        entry_id, fields = entry
        view = self.by_label.get(fields.get(b"k", b""))
        if view is None:
            return []
        try:
            event = view.entry(decode(entry_id, fields))
        except WireError as error:
            log.warning("%s; reading the book anew", error)
            return await self.rejoin(view)
        if isinstance(event, Rejoin):
            log.info("%s: %s in the stream at n=%d; reading the book anew", view.pair, event.value, view.n)
            return await self.rejoin(view)
        return [Followed(event, view)] if event is not None else []

    async def audit(self) -> list[Followed]:
        """Once a second: tails gone ahead of us or back behind us, leases gone."""
        changes: list[Followed] = []
        for pair, (cell, lease) in (await standing(self.redis, self.keys, list(self.views))).items():
            view = self.views[pair]
            found = view.audit(cell, lease, self.cursors[self.stream(pair)])
            if found is Rejoin.FORK:
                await self._step_back(self.stream(pair))
            if found is not None:
                changes += await self.rejoin(view)
        return changes + self.status_changes()

    async def _step_back(self, stream: str) -> None:
        """Another primary, or an emptied one, with a clock behind the former's gives ids below our cursor: never to be read
        from there (redis-protocol.md §2.2, 6). What is read twice then is known by its n."""
        newest = await newest_id(self.redis, stream)
        if entry_order(newest) < entry_order(self.cursors[stream]):
            self.cursors[stream] = newest

    def status_changes(self) -> list[Followed]:
        changed = [view for pair, view in self.views.items() if view.status is not self.shown[pair]]
        self.shown.update((view.pair, view.status) for view in changed)
        return [Followed(None, view) for view in changed]

    def lost(self) -> list[Followed]:
        for view in self.views.values():
            view.lease_alive = False
        return self.status_changes()

    def empty(self) -> "Reader":
        """Another of the same Redis, with no pairs."""
        return Reader(self.redis, self.keys, (), block_ms=self.block_ms)

    def give(self, pairs: Iterable[Pair], to: "Reader") -> None:
        """Let another reader go on with these pairs, all of their streams, from where they stand. Not within a read."""
        for pair in pairs:
            label, stream = pair.label.encode(), self.stream(pair)
            to.views[pair], to.shown[pair] = self.views.pop(pair), self.shown.pop(pair)
            to.by_label[label] = self.by_label.pop(label)
            if stream in self.cursors:
                to.cursors[stream] = self.cursors[stream]
        kept = {self.stream(pair) for pair in self.views}
        self.cursors = {stream: cursor for stream, cursor in self.cursors.items() if stream in kept}
