"""PURE. The tables of history: columns, types, codecs, and the statements of `fleet init`.

What lies where. Every stream entry leaves a row somewhere, so history can be counted against the stream:

    Delta of k levels   k rows in orderbook_deltas, `level` 0 … k-1 (bids first); k = 0: one row in feed_events, kind `delta`
    Snapshot            one row in orderbook_snapshots, source `stream`
    Reset, Mark         one row in feed_events, kind `reset`, `mark`
    Bbo, Trade          one row in bbo, trades
    nothing we can read one row in feed_events, kind `undecodable`

Besides, with no entry of their own: orderbook_snapshots source `hash` (taken from the live book every FLEET_SNAPSHOT_MS, for
replay and for checking the rest), feed_events kind `gap` (entries from_n … to_n never came) and `fork` (n went back under a
higher epoch: a Redis failover lost a tail, entries from_n … to_n of the lower epoch are void).

An event is (exchange_id, market_type, pair, epoch, n); its rows are written in one piece or not at all. A pair's book at any
event: its last `stream` snapshot at or before it, then the later deltas by (epoch, n); a `reset` in between: no book.
What a `fork` at or before the event names is left out first: rows of a lower epoch than the fork's, from its from_n on.

Names of the first draft are kept. `timestamp` is the venue's event time, or our receive time where the venue gives none;
`venue_time` is NULL then. Partitions go by receive time: a venue's clock may be anything. Numbers are kept twice: as Float64
to calculate with, as exact text beside it. A venue without some sequence number has NULL there.
"""

from typing import NamedTuple

DEDUPLICATION_WINDOW = (
    10_000  # blocks a table remembers: over an hour of all lanes' inserts, a retry comes within minutes
)


class Column(NamedTuple):
    name: str
    type: str
    codec: str
    comment: str


class Table(NamedTuple):
    """`columns` are what is inserted, in this order. `extra`: further definitions of the CREATE statement."""

    name: str
    columns: tuple[Column, ...]
    order: str
    extra: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the inserted columns."""
        return tuple(column.name for column in self.columns)

    @property
    def create(self) -> str:
        """Safe to repeat."""
        lines = [f"{c.name} {c.type} COMMENT '{c.comment}' CODEC({c.codec})" for c in self.columns]
        lines += self.extra
        lines.append("INDEX timestamp_range timestamp TYPE minmax GRANULARITY 1")
        return (
            f"CREATE TABLE IF NOT EXISTS {self.name} (\n    " + ",\n    ".join(lines) + "\n) ENGINE = MergeTree\n"
            f"PARTITION BY toDate(received_time)\nORDER BY ({self.order})\n"
            f"SETTINGS non_replicated_deduplication_window = {DEDUPLICATION_WINDOW}"
        )


_NAME = "LowCardinality(String)"
_SEQUENCE = "Nullable(Int64)"
_RISING = "Delta, ZSTD"
_PLAIN = "ZSTD"

_HEAD = (
    Column("timestamp", "DateTime64(3, 'UTC')", _RISING, "venue event time, else receive time"),
    Column("exchange_id", _NAME, _PLAIN, "venue"),
    Column("market_type", _NAME, _PLAIN, "spot or futures"),
    Column("pair", _NAME, _PLAIN, "BASE/QUOTE"),
)
_TAIL = (
    Column("venue_time", "Nullable(DateTime64(3, 'UTC'))", _PLAIN, "venue event time, NULL where it gives none"),
    Column("received_time", "DateTime64(6, 'UTC')", _RISING, "wall clock of the daemon when the frame arrived"),
    Column("epoch", "Int64", _RISING, "fencing token of the writer"),
    Column("n", "Int64", _RISING, "number of the event within its pair"),
    Column("id_ms", "UInt64", _RISING, "stream id, part before the dash"),
    Column("id_seq", "UInt64", _PLAIN, "stream id, part after the dash"),
)
_STREAM_ID = "stream_id String ALIAS concat(toString(id_ms), '-', toString(id_seq))"
_SEQUENCES = (
    Column("sequence", _SEQUENCE, _PLAIN, "last venue id in the event"),
    Column("first_sequence", _SEQUENCE, _PLAIN, "first venue id in the event"),
    Column("previous_sequence", _SEQUENCE, _PLAIN, "venue id the event follows"),
)
_PAIR_ORDER = "exchange_id, market_type, pair, epoch, n"


def _newest(*sort: str) -> str:
    # A part carries its own newest positions, so a starting monitor asks for them without reading the table. `sort`: the
    # column that tells rows which carry a position from others.
    keys = ", ".join(("exchange_id", "market_type", "pair", *sort))
    return f"PROJECTION newest (SELECT {keys}, max((epoch, n)) GROUP BY {keys})"


DELTAS = Table(
    "orderbook_deltas",
    (
        *_HEAD,
        Column("side", _NAME, _PLAIN, "bid or ask"),
        Column("price", "Float64", _PLAIN, "price to calculate with"),
        Column("amount", "Float64", _PLAIN, "amount that stands at the price now, base units"),
        Column("price_text", "String", _PLAIN, "the exact price"),
        Column("amount_text", "String", _PLAIN, "the exact amount, 0 deletes the level"),
        *_SEQUENCES,
        *_TAIL,
        Column("level", "UInt32", _RISING, "number of the level within its event, from 0"),
    ),
    f"{_PAIR_ORDER}, level",
    (
        f"action {_NAME} DEFAULT if(amount_text = '0', 'delete', 'update') COMMENT 'update or delete'",
        _STREAM_ID,
        _newest(),
    ),
)

_LEVELS = "Array(Tuple(Float64, Float64))"
_EXACT_LEVELS = "Array(Tuple(String, String))"

SNAPSHOTS = Table(
    "orderbook_snapshots",
    (
        *_HEAD,
        Column("bids", _LEVELS, _PLAIN, "(price, amount), highest first"),
        Column("asks", _LEVELS, _PLAIN, "(price, amount), lowest first"),
        Column("bids_text", _EXACT_LEVELS, _PLAIN, "the same, exact"),
        Column("asks_text", _EXACT_LEVELS, _PLAIN, "the same, exact"),
        Column("sequence_num", _SEQUENCE, _PLAIN, "venue id the book stands at"),
        Column("source", _NAME, _PLAIN, "stream: an event of the feed; hash: the live book, n is the last event in it"),
        Column("reason", _NAME, _PLAIN, "first, resync, takeover, seam; periodic for hash"),
        *_TAIL,
    ),
    f"{_PAIR_ORDER}, source",
    (_STREAM_ID, _newest("source")),
)

EVENTS = Table(
    "feed_events",
    (
        *_HEAD,
        Column("kind", _NAME, _PLAIN, "reset, mark, delta (without levels), gap, fork, undecodable"),
        Column("reason", _NAME, _PLAIN, "of a reset: the feed; of a gap: hole, flush, trimmed"),
        *_SEQUENCES,
        *_TAIL,
        Column("from_n", "Int64", _PLAIN, "gap, fork: the first n it is about, else 0"),
        Column("to_n", "Int64", _PLAIN, "gap, fork: the last n it is about, else 0"),
        Column("stream", _NAME, _PLAIN, "the stream: deltas:SHARD or trades:SHARD"),
        Column("detail", "String", _PLAIN, "undecodable: what was wrong and the entry as it came"),
    ),
    f"{_PAIR_ORDER}, kind",
    (_STREAM_ID, _newest("kind")),
)

TRADES = Table(
    "trades",
    (
        *_HEAD,
        Column("side", _NAME, _PLAIN, "the taker: buy or sell"),
        Column("price", "Float64", _PLAIN, "price to calculate with"),
        Column("amount", "Float64", _PLAIN, "amount, base units"),
        Column("price_text", "String", _PLAIN, "the exact price"),
        Column("amount_text", "String", _PLAIN, "the exact amount"),
        Column("trade_id", "String", _PLAIN, "the venue name of the trade"),
        *_TAIL,
    ),
    _PAIR_ORDER,
    (_STREAM_ID, _newest()),
)

BBO = Table(
    "bbo",
    (
        *_HEAD,
        Column("bid", "Nullable(Float64)", _PLAIN, "best bid, NULL: there is none"),
        Column("bid_amount", "Nullable(Float64)", _PLAIN, "its amount, base units"),
        Column("ask", "Nullable(Float64)", _PLAIN, "best offer, NULL: there is none"),
        Column("ask_amount", "Nullable(Float64)", _PLAIN, "its amount, base units"),
        Column("bid_text", "String", _PLAIN, "the exact best bid"),
        Column("bid_amount_text", "String", _PLAIN, "its exact amount"),
        Column("ask_text", "String", _PLAIN, "the exact best offer"),
        Column("ask_amount_text", "String", _PLAIN, "its exact amount"),
        Column("sequence", _SEQUENCE, _PLAIN, "venue id"),
        *_TAIL,
    ),
    _PAIR_ORDER,
    (_STREAM_ID, _newest()),
)

# Insert order of a batch, behind its gaps and forks (monitor.batch). feed_events last: its marks then vouch for rows that are
# there.
TABLES = (SNAPSHOTS, DELTAS, BBO, TRADES, EVENTS)

# Where the entries of each stream leave rows that carry their (epoch, n), and which rows of the table are such.
OF_DELTAS = {
    DELTAS.name: "1",
    SNAPSHOTS.name: "source = 'stream'",
    BBO.name: "1",
    EVENTS.name: "kind IN ('reset', 'mark', 'delta')",
}
OF_TRADES = {TRADES.name: "1"}
