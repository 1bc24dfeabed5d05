"""Whole daemons as users run them: processes of `fleet daemon` and `fleet up` on a private Redis and simulated venues."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from books.events import Event
from books.loaded import LoadedBook
from books.store import load_book
from books.wire import decode
from fleet.config import load
from fleet.heartbeat import MemberRecord, read_members, read_pair_states
from fleet.keys import Keys
from fleet.pair import Pair
from fleet.redis_connection import connect
from fleet.schema import create_schema
from fleet.sql import engine_of
from fleet.tasks import Task, TaskStore
from ops.embedded.redis import EmbeddedRedis
from tests.support.commands import FLEET, REPOSITORY, Ended, clean_environment, run_fleet
from tests.support.simulated_venues import SimulatedVenues
from tests.support.waiting import wait_until

START_S = 40.0  # a daemon starts in three seconds; the rest is for a starved machine
SETTLE_S = 30.0
END_S = 20.0  # a daemon's own deadline is 10 s

# Short, so that tests are quick; `fleet up` and the daemons get the same.
QUICK: Mapping[str, str] = {
    "FLEET_LEASE_MS": "1500",
    "FLEET_BOOK_TTL_MS": "3000",
    "FLEET_TASKS_POLL_MS": "200",
    "FLEET_SHARDS": "2",
    "FLEET_ROLES": "feed",
    "FLEET_LOG_LEVEL": "info",
}


class Child:
    """One process of ours, its stderr in a file. Always reaped by `end`, also when it is stopped."""

    def __init__(self, arguments: Iterable[str], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                [*FLEET, *arguments], cwd=REPOSITORY, env=clean_environment() | dict(environment),
                stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr,
            )  # fmt: skip

    def __repr__(self) -> str:
        return f"<process {self.pid}, code {self.code}>\n{self.text}"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.poll()

    @property
    def text(self) -> str:
        """What it has said."""
        return self.log.read_text(errors="replace")

    @property
    def lines(self) -> list[str]:
        return self.text.strip().splitlines()

    def says(self, words: str) -> bool:
        return words in self.text

    def signal(self, number: signal.Signals) -> None:
        if self.code is None:
            os.kill(self.pid, number)

    def pause(self) -> None:
        """SIGSTOP."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    def terminate(self) -> None:
        """SIGTERM."""
        self.signal(signal.SIGTERM)

    async def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self.signal(signal.SIGKILL)
        await self.ended()

    async def ended(self, timeout_s: float = END_S) -> int:
        """Wait for its end; the exit code."""
        await wait_until(lambda: self.code is not None, f"the end of {self.pid}", timeout_s)
        assert self.code is not None
        return self.code

    async def said(self, words: str, timeout_s: float = SETTLE_S) -> None:
        """Wait until it has said `words`."""
        try:
            await wait_until(lambda: self.says(words), f"{words!r} in what {self.pid} says", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text}") from None

    def end(self) -> None:
        """Gone, whatever state it was in."""
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)  # also ends a stopped process
        self._process.wait()


class Fleet:
    """A private Redis, a task table and daemons; what a test does to them, and what it sees in Redis."""

    def __init__(self, server: EmbeddedRedis, environment: Mapping[str, str], folder: Path) -> None:
        self.server = server
        self.environment = {**QUICK, "FLEET_REDIS_URL": server.url, **environment}
        self.keys = Keys(shards=int(self.environment["FLEET_SHARDS"]))
        self.redis = connect(load(environ={"FLEET_REDIS_URL": server.url}), name="fleet-test")
        self.daemons: list[Child] = []
        self._folder = folder
        self._engine = engine_of(self.environment["FLEET_DATABASE_URL"])
        self.tasks = TaskStore(self._engine)

    async def prepare(self, pairs: Iterable[Pair], depth: str = "50") -> None:
        """The task tables, and a task for each pair."""
        await create_schema(self._engine)
        await self.add_tasks(pairs, depth)

    async def add_tasks(self, pairs: Iterable[Pair], depth: str = "50") -> None:
        await self.tasks.add([Task(table="MONITORING", pair=pair, depth=depth) for pair in pairs])

    # --- processes ------------------------------------------------------------------------------------------------

    def start(self, *arguments: str, **environment: str) -> Child:
        """`start("up", "-n", "2")` is `fleet up -n 2`."""
        log = self._folder / f"{arguments[0]}-{len(self.daemons)}.log"
        child = Child(arguments, {**self.environment, **environment}, log)
        self.daemons.append(child)
        return child

    def daemon(self, **environment: str) -> Child:
        return self.start("daemon", **environment)

    async def command(self, *arguments: str) -> Ended:
        """A `fleet` command, without stopping the test's event loop."""
        return await asyncio.to_thread(run_fleet, *arguments, **self.environment)

    async def close(self) -> None:
        for child in self.daemons:
            child.end()
        await self.redis.aclose()
        await self._engine.dispose()

    # --- what is in Redis -----------------------------------------------------------------------------------------

    async def book(self, pair: Pair) -> LoadedBook:
        return await load_book(self.redis, self.keys, pair)

    async def books(self, pairs: Iterable[Pair]) -> list[LoadedBook]:
        return [await self.book(pair) for pair in pairs]

    async def live(self, pairs: Iterable[Pair], timeout_s: float = START_S) -> list[LoadedBook]:
        """Wait until all are live; the books of that moment."""
        asked = list(pairs)

        async def all_live() -> list[LoadedBook] | None:
            found = await self.books(asked)
            return found if all(book.live for book in found) else None

        try:
            found = await wait_until(all_live, f"{len(asked)} live books", timeout_s, poll_s=0.02)
        except AssertionError as failure:
            statuses = {book.pair.label: book.status for book in await self.books(asked)}
            raise AssertionError(f"{failure}\n{statuses}\n" + "\n".join(map(repr, self.daemons))) from None
        assert found is not None
        return found

    async def newer(self, pairs: Iterable[Pair], epoch: int, timeout_s: float = START_S) -> list[LoadedBook]:
        """Wait until all are live under an epoch above this one."""
        asked = list(pairs)

        async def all_newer() -> list[LoadedBook] | None:
            found = await self.books(asked)
            return found if all(book.live and book.epoch > epoch for book in found) else None

        found = await wait_until(all_newer, f"live books above epoch {epoch}", timeout_s, poll_s=0.02)
        assert found is not None
        return found

    async def lease_holders(self, pairs: Iterable[Pair]) -> dict[Pair, str]:
        """Pair → who holds its lease, for those that are held."""
        asked = list(pairs)
        values = [await self.redis.get(self.keys.lease(pair)) for pair in asked]
        return {pair: value.decode().split(" ", 1)[1] for pair, value in zip(asked, values, strict=True) if value}

    async def owned_by(self, child: Child, pairs: Iterable[Pair]) -> list[Pair]:
        """The pairs whose lease this process holds."""
        holders = await self.lease_holders(pairs)
        return [pair for pair, holder in holders.items() if holder.split(":")[1] == str(child.pid)]

    async def members(self) -> list[MemberRecord]:
        return await read_members(self.redis, self.keys)

    async def member_of(self, child: Child) -> MemberRecord | None:
        return next((member for member in await self.members() if member.pid == child.pid), None)

    async def states(self) -> dict[str, dict[str, Any]]:
        """What the members say of their pairs: label → state, reason, gaps …"""
        found: dict[str, dict[str, Any]] = {}
        for member in await self.members():
            found |= (await read_pair_states(self.redis, self.keys, member.id)).get("pairs", {})
        return found

    async def entries(self, pair: Pair) -> list[Event]:
        """Every entry of the pair in its stream, oldest first."""
        label = pair.label.encode()
        stored: list[Any] = await self.redis.xrange(self.keys.deltas(self.keys.shard(pair)))
        return [decode(entry_id, fields) for entry_id, fields in stored if fields[b"k"] == label]


@asynccontextmanager
async def fleet_on(
    server: EmbeddedRedis, venues: SimulatedVenues, folder: Path, pairs: Iterable[Pair], **environment: str
) -> AsyncIterator[Fleet]:
    """A fleet without daemons yet, tasks stored in a SQLite file unless FLEET_DATABASE_URL is given."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"FLEET_DATABASE_URL": f"sqlite:///{folder / 'fleet.db'}", **venues.settings, **environment}
    fleet = Fleet(server, settings, folder)
    try:
        await fleet.prepare(pairs)
        yield fleet
    finally:
        await fleet.close()


def decimals(levels: Mapping[str, str]) -> dict[Decimal, Decimal]:
    """Levels to compare with a simulator's."""
    return {Decimal(price): Decimal(amount) for price, amount in levels.items()}


async def assert_books_are_the_venues(fleet: Fleet, venues: SimulatedVenues, pairs: Iterable[Pair]) -> None:
    """Freeze the markets: every book becomes the simulator's own, level by level."""
    async with venues.frozen():
        for pair in pairs:
            sequence, bids, asks = await venues.book(pair)

            async def caught_up(pair: Pair = pair, sequence: int = sequence) -> LoadedBook | None:
                found = await fleet.book(pair)
                return found if found.live and found.sequence == sequence else None

            found = await wait_until(caught_up, f"{pair} at sequence {sequence}: {fleet.daemons}", SETTLE_S)
            assert found is not None
            assert (decimals(found.bids), decimals(found.asks)) == (bids, asks), pair
