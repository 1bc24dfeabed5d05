"""Reading history back: what is there, what is missing, and a pair's book from its rows alone."""

from typing import Any, NamedTuple

from fleet.pair import Pair
from monitor.clickhouse import ClickHouse
from monitor.positions import Position
from monitor.schema import DELTAS, EVENTS, OF_DELTAS, OF_TRADES, SNAPSHOTS, TABLES

_OF_PAIR = "exchange_id = %(venue)s AND market_type = %(market)s AND pair = %(pair)s"
_END = Position(2**62, 2**62)


class Rebuilt(NamedTuple):
    """Price → amount, exact text; `n` is the last event included. Empty sides after a Reset."""

    bids: dict[str, str]
    asks: dict[str, str]
    n: int


class Gap(NamedTuple):
    """Entries from_n … to_n of a pair are not in history. Reason: hole, flush (see monitor.positions), or trimmed: an entry
    gone from Redis before it was read, its pair and numbers unknown (the hole it leaves is a gap of its own)."""

    pair: Pair
    from_n: int
    to_n: int
    reason: str


async def counts(client: ClickHouse) -> dict[str, int]:
    """Rows by table."""
    return {table.name: int((await client.query(f"SELECT count() FROM {table.name}"))[0][0]) for table in TABLES}  # noqa: S608


async def entry_counts(client: ClickHouse) -> dict[Pair, int]:
    """Stream entries (deltas and trades) of each pair that have their rows: to be compared with the streams themselves."""
    found: dict[Pair, int] = {}
    for table, condition in [*OF_DELTAS.items(), *OF_TRADES.items()]:
        rows = await client.query(
            f"SELECT exchange_id, market_type, pair, uniqExact(epoch, n) FROM {table} "  # noqa: S608  our own names
            f"WHERE {condition} GROUP BY exchange_id, market_type, pair"
        )
        for venue, market, pair, count in rows:
            found[Pair(venue, market, pair)] = found.get(Pair(venue, market, pair), 0) + int(count)
    return found


async def rebuild(client: ClickHouse, pair: Pair, until: Position | None = None) -> Rebuilt | None:
    """The book from its last `stream` snapshot and the deltas after it, as of the event `until` (default: the last).

    None where history holds no snapshot of the pair so early. What a `fork` names is void and left out. Snapshots with source
    `hash` are not used: they are what a rebuilt book can be compared with.
    """
    end = until or _END
    values: dict[str, Any] = {
        "venue": pair.venue, "market": pair.market, "pair": pair.pair, "end_epoch": end.epoch, "end_n": end.n,
    }  # fmt: skip
    before_end = "(epoch, n) <= (%(end_epoch)s, %(end_n)s)"
    forks = await client.query(
        f"SELECT DISTINCT epoch, from_n FROM {EVENTS.name} WHERE {_OF_PAIR} AND kind = 'fork' "  # noqa: S608  our own names
        f"AND startsWith(stream, 'deltas:') AND {before_end}",
        values,
    )
    before_end += "".join(f" AND NOT (epoch < {int(epoch)} AND n >= {int(n)})" for epoch, n in forks)
    snapshots = await client.query(
        f"SELECT epoch, n, bids_text, asks_text FROM {SNAPSHOTS.name} WHERE {_OF_PAIR} AND source = 'stream' "  # noqa: S608
        f"AND {before_end} ORDER BY epoch DESC, n DESC LIMIT 1",
        values,
    )
    if not snapshots:
        return None
    epoch, n, bids, asks = snapshots[0]
    values |= {"epoch": epoch, "n": n}
    since = f"{_OF_PAIR} AND epoch >= %(epoch)s AND (epoch, n) > (%(epoch)s, %(n)s) AND {before_end}"
    last = Position(epoch, n)
    for table, condition in OF_DELTAS.items():
        [(newest,)] = await client.query(
            f"SELECT max((epoch, n)) FROM {table} WHERE {since} AND {condition}",  # noqa: S608
            values,
        )
        last = max(last, Position(*newest))
    resets = await client.query(
        f"SELECT count() FROM {EVENTS.name} WHERE {since} AND kind = 'reset'",  # noqa: S608
        values,
    )
    if resets[0][0]:
        return Rebuilt({}, {}, last.n)
    book = {"bid": dict(bids), "ask": dict(asks)}
    changes = await client.query(
        f"SELECT side, price_text, argMax(amount_text, (epoch, n, level)) FROM {DELTAS.name} WHERE {since} "  # noqa: S608
        "GROUP BY side, price_text",
        values,
    )
    for side, price, amount in changes:
        if amount == "0":
            book[side].pop(price, None)
        else:
            book[side][price] = amount
    return Rebuilt(book["bid"], book["ask"], last.n)


async def gaps(client: ClickHouse) -> list[Gap]:
    """Everything history knows it lacks, oldest first."""
    rows = await client.query(
        "SELECT exchange_id, market_type, pair, from_n, to_n, reason "  # noqa: S608  our own name
        f"FROM {EVENTS.name} WHERE kind = 'gap' ORDER BY timestamp, exchange_id, market_type, pair, from_n"
    )
    return [Gap(Pair(venue, market, pair), from_n, to_n, reason) for venue, market, pair, from_n, to_n, reason in rows]
