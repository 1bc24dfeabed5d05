"""What a chaos run leaves behind, as it goes and when it is over: the recorded streams, what readers got, what daemons noted.

Everything is in files (ops.chaos.history_files), so that a run can be checked again without its servers; what scenarios ask for
while it goes is held in memory too.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from books.sequence import SequenceRule
from feeds import venues
from fleet import clock
from fleet.config import load
from fleet.keys import Keys
from fleet.pair import Pair, parse_label
from fleet.redis_connection import connect
from ops.chaos.chains import Chain, chain, stream_ms
from ops.chaos.checker import check
from ops.chaos.history import BOOK, Asked, Budget, Entry, Fact, Note, Report
from ops.chaos.history_files import ASKED, EVIDENCE, READINGS, TAPE, HistoryFile, load_history
from ops.chaos.late import until
from ops.chaos.probe import Probe
from ops.chaos.recorder import POLL_S, Recorder

DEPTH = "50"  # of every task of a chaos run
READS_A_SECOND = 40  # of whole books, by the probe
CAUGHT_UP_S = 30.0
FINISH_S = 10.0
CONNECTS_WINDOW_MS = 10_000.0
WEBSOCKET = "websocket"  # a connect, in what simulated venues say they were asked


class Records:
    """`async with` it: recording begins. `check` ends it."""

    def __init__(self, folder: Path, redis_url: str, keys: Keys, pairs: Sequence[Pair]) -> None:
        self._folder = folder
        self._url = redis_url
        self._keys = keys
        self._pairs = tuple(pairs)
        self._by_pair: dict[str, list[Entry]] = defaultdict(list)
        self._trades: dict[str, list[Entry]] = defaultdict(list)
        self._rounds = 0
        self._exits = AsyncExitStack()
        self._recorder: Recorder
        self._recording: asyncio.Task[None]
        self._probing: asyncio.Task[None]
        self._tape: HistoryFile

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            redis = connect(load(environ={"FLEET_REDIS_URL": self._url}), name="fleet-chaos-record")
            exits.push_async_callback(redis.aclose)
            self._tape = exits.enter_context(HistoryFile(self._folder / TAPE))
            readings = exits.enter_context(HistoryFile(self._folder / READINGS))
            self._recorder = Recorder(redis, self._keys, self._take, mono_ms=clock.mono_ms)
            await self._recorder.start()
            probe = Probe(redis, self._keys, self._pairs, readings.add, mono_ms=clock.mono_ms)
            group = await exits.enter_async_context(asyncio.TaskGroup())
            self._recording = group.create_task(self._record(), name="chaos: recorder")
            self._probing = group.create_task(probe.run(len(self._pairs) / READS_A_SECOND), name="chaos: probe")
            exits.callback(self._recording.cancel)
            exits.callback(self._probing.cancel)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.__aexit__(None, None, None)

    async def _record(self) -> None:
        while True:
            if await self._recorder.step():
                self._rounds += 1
            await asyncio.sleep(POLL_S)

    def _take(self, notes: Sequence[Note]) -> None:
        self._tape.add(notes)
        for note in notes:
            if isinstance(note, Entry):
                (self._by_pair if note.line == BOOK else self._trades)[note.label].append(note)

    async def caught_up(self) -> None:
        """Wait until every stream was read to its end of now. Raises Late."""
        enough = self._rounds + 2  # the round under way may have begun before
        await until(lambda: self._rounds >= enough, "the recorder to read all streams", CAUGHT_UP_S)

    def entries(self, pair: Pair, since_ms: float = 0.0) -> list[Entry]:
        """The pair's book line as recorded so far: what Redis took at `since_ms` (its clock) or later."""
        return [entry for entry in self._by_pair[pair.label] if stream_ms(entry.id) >= since_ms]

    def lines(self) -> tuple[dict[str, list[Entry]], dict[str, list[Entry]]]:
        """Every book line and every trades line as recorded so far, by label."""
        return (
            {label: list(entries) for label, entries in self._by_pair.items()},
            {label: list(entries) for label, entries in self._trades.items()},
        )

    def chain(self, pair: Pair, since_ms: float) -> Chain:
        """What the pair's stream tells since then, by the venue's own numbers."""
        return chain(self._by_pair[pair.label], rule_of(pair), since_ms)

    def facts(self, member: str) -> list[Fact]:
        """What a daemon has on file; a torn last line is left out. Empty where it keeps no evidence."""
        file = self._folder / EVIDENCE / f"{member}.jsonl"
        if not file.exists():
            return []
        whole = file.read_bytes().rpartition(b"\n")[0]
        decode = msgspec.json.Decoder(Fact).decode
        return [decode(line) for line in whole.splitlines()]

    def note_asked(self, venue: str, market: str, rows: Sequence[tuple[int, str, int]]) -> None:
        """Put on file what a simulated venue was asked: (Unix ms, path or `websocket`, HTTP status)."""
        with HistoryFile(self._folder / ASKED) as file:
            file.add(
                [
                    Asked(
                        mono_ms=float(at_ms), at=at_ms, venue=venue, market=market, path=what, status=status,
                        kind="connect" if what == WEBSOCKET else "rest",
                    )
                    for at_ms, what, status in rows
                ]
            )  # fmt: skip

    async def check(self) -> list[str]:
        """Stop recording, read to the end, and check everything that is on file: every breach in words. Call it when
        nothing writes any more."""
        for task in (self._recording, self._probing):
            task.cancel()
        await asyncio.wait([self._recording, self._probing])
        async with asyncio.timeout(FINISH_S):
            await self._recorder.finish()
        report = await asyncio.to_thread(check_folder, self._folder)
        return [str(violation) for violation in report.violations]


def is_folder_of_a_run(folder: Path) -> bool:
    """Whether something was recorded there."""
    return (folder / TAPE).is_file()


def check_folder(folder: Path) -> Report:
    """Check what a run left in its folder. Raises OSError."""
    return check(load_history(folder), rule_of=lambda label: rule_of(parse_label(label)), budgets=connect_budgets())


def connect_budgets() -> list[Budget]:
    """The venues' own limits of new connections, which the whole fleet shares. (Their limits of requests are counted by the
    simulated venues themselves, by weight: ops.chaos.judgement.over_limits.)"""
    return [
        Budget(
            venue=name, market=market, kind="connect", window_ms=CONNECTS_WINDOW_MS,
            most=1 + venue.limits.connects_per_s * CONNECTS_WINDOW_MS / 1000,
        )
        for (name, market), venue in venues.VENUES.items()
    ]  # fmt: skip


def rule_of(pair: Pair) -> SequenceRule:
    """How the deltas of a pair link, at the depth that chaos runs ask for."""
    return venues.find(pair.venue, pair.market).book_channel(DEPTH).rule
