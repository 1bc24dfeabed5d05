"""A ClickHouse of its own for a chaos run whose daemons keep history too, and the judgement of what they stored.

async with Stored() as stored, staged(name, scale, seed, environ=stored.environ) as (fleet, result):
    await stored.begun(fleet)                   # every pair has rows
    former = await stored.rows()
    …                                           # the fault
    await stored.judge(fleet, result, former)   # before the fleet is ended
"""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from redis.asyncio import Redis

from fleet.keys import Keys
from fleet.pair import Pair
from monitor.clickhouse import ClickHouse, create_schema
from monitor.schema import EVENTS, OF_DELTAS, OF_TRADES
from ops.chaos.book_comparison import BookComparison
from ops.chaos.fleet import ChaosFleet
from ops.chaos.history import BOOK, TRADES, Line
from ops.chaos.late import Late, few, until
from ops.chaos.result import Result
from ops.chaos.rows import Key, Row, Said, Unsound, judge
from ops.embedded.clickhouse import EmbeddedClickHouse

DATABASE = "fleet"
POLL_S = 0.2
UNSOUND = "history.txt"  # in the folder of a run: what was wrong with the rows, all of it, and the rows
_LEVELS = {"orderbook_deltas": ("count()", "max(level) + 1")}  # rows of an entry, and how many it must have


class _Seen(NamedTuple):
    rows: list[Row]
    said: list[Said]
    streams: dict[Key, str]

    def lines(self) -> list[str]:
        """For whoever must find out why: everything that was looked at, by line and number."""
        found = [(str(row.key.line), row.key.epoch, row.key.n, f"row {row}") for row in self.rows]
        found += [
            (str(key.line), key.epoch, key.n, f"stream {key} {entry_id}") for key, entry_id in self.streams.items()
        ]
        found += [(str(one.line), 0, one.from_n, f"said {one}") for one in self.said]
        return [text for *_, text in sorted(found)]


class Stored:
    """`async with` it: a ClickHouse with the tables of history, on loopback, gone with the block. Raises ServerMissingError."""

    def __init__(self) -> None:
        self._exits = AsyncExitStack()
        self._clickhouse: ClickHouse
        self.url = ""

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="fleet-chaos-history-")))
            server = await exits.enter_async_context(EmbeddedClickHouse(folder))
            self.url = server.url.removesuffix("/default") + f"/{DATABASE}"
            await create_schema(self.url)
            self._clickhouse = await exits.enter_async_context(ClickHouse(self.url))
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.__aexit__(None, None, None)  # the body's error is the caller's

    @property
    def environ(self) -> Mapping[str, str]:
        """What a daemon needs to keep history here."""
        return {"FLEET_ROLES": "feed,monitor", "FLEET_CLICKHOUSE_URL": self.url}

    async def begun(self, fleet: ChaosFleet) -> None:
        """Wait until every pair has rows. Raises Late."""

        async def all_have() -> bool:
            return {row.key.line.label for row in await self.rows()} >= {pair.label for pair in fleet.pairs}

        await until(all_have, "rows of every pair", fleet.scale.settle_s, poll_s=POLL_S)

    async def rows(self) -> list[Row]:
        """Every entry that has rows, as often as it has them: nothing is merged, FINAL is not asked for."""
        found = []
        for line, tables in ((BOOK, OF_DELTAS), (TRADES, OF_TRADES)):
            for table, condition in tables.items():
                counts, most = _LEVELS.get(table, ("count()", "1"))
                answer = await self._clickhouse.query(
                    "SELECT exchange_id, market_type, pair, epoch, n, id_ms, id_seq, "  # noqa: S608  our own names
                    f"{counts}, {most} FROM {table} WHERE {condition} GROUP BY 1, 2, 3, 4, 5, 6, 7"
                )
                for venue, market, pair, epoch, n, ms, seq, rows, of in answer:
                    key = Key(Line(Pair(venue, market, pair).label, line), epoch, n)
                    found.append(Row(key, f"{ms}-{seq}", rows, of))
        return found

    async def has_lost_tail(self, fleet: ChaosFleet, copy: Redis) -> bool:
        """Whether something is stored that the server `copy`, which is to serve next, does not have."""
        return not {row.key for row in await self.rows()} <= (await _streams(copy, fleet.keys)).keys()

    async def judge(self, fleet: ChaosFleet, result: Result, former: Sequence[Row] = ()) -> int:
        """What is wrong with the rows goes to the result; how many stored entries the streams have lost. The daemons run;
        the markets are stopped meanwhile."""
        await fleet.venues.freeze()
        last, seen = Unsound([], 0), _Seen([], [], {})

        async def sound() -> bool:
            nonlocal last, seen
            streams = await _streams(fleet.redis, fleet.keys)
            seen = _Seen(await self.rows(), await self._said(), streams)
            last = judge(*seen, former)
            return not last.violations

        books = BookComparison(fleet, self._clickhouse)
        try:
            await until(sound, "history to be what the streams hold", fleet.scale.settle_s,
                        why=lambda: "; ".join(few(last.violations, "things")), poll_s=POLL_S)  # fmt: skip
            await books.equal()  # all of them: that takes longer than what is waited for
            await until(books.equal, "history's books to be those of Redis", fleet.scale.settle_s,
                        why=lambda: "; ".join(few(books.told, "books")), poll_s=POLL_S)  # fmt: skip
        except Late:
            told = [*last.violations, *books.told, *await books.traces(), *seen.lines()]
            (fleet.folder / UNSOUND).write_text("\n".join(told) + "\n")
            raise
        finally:
            await fleet.venues.thaw()
        result.measure("rows_doubled_or_missing", len(last.violations), 0)
        return last.void

    async def _said(self) -> list[Said]:
        answer = await self._clickhouse.query(
            "SELECT kind, exchange_id, market_type, pair, stream LIKE 'trades:%', from_n, to_n, epoch "  # noqa: S608  our own names
            f"FROM {EVENTS.name} WHERE kind IN ('gap', 'fork')"
        )
        return [
            Said(kind, Line(Pair(venue, market, pair).label, TRADES if is_trades else BOOK), from_n, to_n, epoch)
            for kind, venue, market, pair, is_trades, from_n, to_n, epoch in answer
        ]


async def _streams(redis: Redis, keys: Keys) -> dict[Key, str]:
    found = {}
    for shard in range(keys.shards):
        for stream, line in ((keys.deltas(shard), BOOK), (keys.trades(shard), TRADES)):
            entries: Any = await redis.xrange(stream)
            for entry_id, fields in entries:
                key = Key(Line(fields[b"k"].decode(), line), int(fields[b"e"]), int(fields[b"n"]))
                found[key] = entry_id.decode()
    return found
