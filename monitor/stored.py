"""What ClickHouse has of a stream: asked when a monitor starts, and of each entry that came a second time."""

from collections.abc import Iterable, Mapping

from books.events import Event
from fleet.pair import Pair
from monitor.clickhouse import ClickHouse, External
from monitor.positions import Line, Position
from monitor.rows import stream_id, table_of
from monitor.schema import EVENTS, OF_DELTAS, OF_TRADES

_ASK_AT_MOST = 1000  # keys a query: they are sent along and looked up in the primary key
_EVENT_KEY = [
    ("exchange_id", "String"), ("market_type", "String"), ("pair", "String"), ("epoch", "Int64"), ("n", "Int64"),
]  # fmt: skip
_NOTE_KEY = [("stream", "String"), ("id_ms", "UInt64"), ("id_seq", "UInt64")]
_KEY_NAMES = ", ".join(name for name, _ in _EVENT_KEY)

Entry = tuple[str, str]  # stream, id


async def positions(client: ClickHouse) -> dict[Line, Position]:
    """The newest (epoch, n) of every line, from the parts' own summaries: costs a few ms whatever the tables hold."""
    found: dict[Line, Position] = {}
    for kind, tables in (("deltas", OF_DELTAS), ("trades", OF_TRADES)):
        for table, condition in tables.items():
            rows = await client.query(
                f"SELECT exchange_id, market_type, pair, max((epoch, n)) FROM {table} "  # noqa: S608  our own names
                f"WHERE {condition} GROUP BY exchange_id, market_type, pair"
            )
            for venue, market, pair, newest in rows:
                line, position = Line(kind, Pair(venue, market, pair)), Position(*newest)
                found[line] = max(found.get(line, position), position)
    return found


async def stored_events(client: ClickHouse, events: Iterable[Event]) -> set[tuple[Pair, int, int]]:
    """Which of the events (pair, epoch, n) have their rows. Each is looked for in its own table."""
    wanted: dict[str, list[tuple[str, str, str, int, int]]] = {}
    for event in events:
        wanted.setdefault(table_of(event).name, []).append((*event.pair, event.epoch, event.n))
    found: set[tuple[Pair, int, int]] = set()
    conditions: Mapping[str, str] = {**OF_TRADES, **OF_DELTAS}
    for table, keys in wanted.items():
        for start in range(0, len(keys), _ASK_AT_MOST):
            rows = await client.query(
                f"SELECT DISTINCT {_KEY_NAMES} FROM {table} "  # noqa: S608  our own names
                f"WHERE ({_KEY_NAMES}) IN asked AND {conditions[table]}",
                tables={"asked": External(_EVENT_KEY, keys[start : start + _ASK_AT_MOST])},
            )
            found.update((Pair(venue, market, pair), epoch, n) for venue, market, pair, epoch, n in rows)
    return found


async def stored_notes(client: ClickHouse, entries: Iterable[Entry]) -> set[Entry]:
    """Which entries that hold no event (undecodable, trimmed) are noted already."""
    rows = [(stream, *stream_id(entry_id)) for stream, entry_id in entries]
    found: set[Entry] = set()
    for start in range(0, len(rows), _ASK_AT_MOST):
        answer = await client.query(
            f"SELECT DISTINCT stream, stream_id FROM {EVENTS.name} "  # noqa: S608  our own names
            "WHERE (stream, id_ms, id_seq) IN asked AND kind IN ('undecodable', 'gap') AND n = 0",
            tables={"asked": External(_NOTE_KEY, rows[start : start + _ASK_AT_MOST])},
        )
        found.update((stream, entry_id) for stream, entry_id in answer)
    return found


async def stored_findings(client: ClickHouse, shown: Iterable[tuple[str, Event]]) -> set[tuple[str, Pair, int, int]]:
    """Of which entries (stream, pair, epoch, n) it is noted already that they come after a gap or a fork."""
    keys = [(stream, *event.pair, event.epoch, event.n) for stream, event in shown]
    found: set[tuple[str, Pair, int, int]] = set()
    for start in range(0, len(keys), _ASK_AT_MOST):
        rows = await client.query(
            f"SELECT DISTINCT stream, {_KEY_NAMES} FROM {EVENTS.name} "  # noqa: S608  our own names
            f"WHERE (stream, {_KEY_NAMES}) IN asked AND kind IN ('gap', 'fork')",
            tables={"asked": External([("stream", "String"), *_EVENT_KEY], keys[start : start + _ASK_AT_MOST])},
        )
        found.update((stream, Pair(venue, market, pair), epoch, n) for stream, venue, market, pair, epoch, n in rows)
    return found
