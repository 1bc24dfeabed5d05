"""PURE. Events as rows, column by column, for the tables of monitor.schema.

Nothing is stored that was not checked: a value of the wrong type inside a block would make ClickHouse, or its client,
refuse the whole block for ever. What cannot be a row raises Unstorable, and the caller records that instead.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from books.book import Level
from books.events import Bbo, Delta, Event, Levels, Mark, Reset, Snapshot, Trade
from fleet.pair import Pair
from monitor.schema import BBO, DELTAS, EVENTS, SNAPSHOTS, TRADES, Table

_INT64 = 2**63
_TIME_MIN_US = 946_684_800_000_000  # 2000-01-01
_TIME_MAX_US = 4_102_444_800_000_000  # 2100-01-01
_DETAIL_LENGTH = 2000

Note = Literal["gap", "fork", "undecodable"]


class Unstorable(ValueError):
    """The event holds a value that no column takes."""


class TableRows:
    """Rows of one table, growing column by column in the order of `table.columns`."""

    __slots__ = ("columns", "count", "table")

    def __init__(self, table: Table) -> None:
        self.table = table
        self.columns: list[list[Any]] = [[] for _ in table.columns]
        self.count = 0

    def __repr__(self) -> str:
        return f"<TableRows {self.count} of {self.table.name}>"

    def extend(self, count: int, values: Sequence[Any]) -> None:
        """`count` rows; a value that is a list gives each row its own, any other is the same in all of them."""
        for column, value in zip(self.columns, values, strict=True):
            if type(value) is list:
                column += value
            else:
                column += [value] * count
        self.count += count


class Noted(NamedTuple):
    """Something history knows that no event says: rows of feed_events written by the monitor itself."""

    kind: Note
    reason: str
    stream: str
    id: str
    at_us: int  # our wall clock
    pair: Pair = Pair("", "", "")
    epoch: int = 0
    n: int = 0
    from_n: int = 0
    to_n: int = 0
    detail: str = ""


class Prepared(NamedTuple):
    """An event as `rows` rows of `table`; `values` has one for each column (`TableRows.extend`). `weight`: its levels.

    `name` says which event it is, for ever: pair, epoch, n.
    """

    table: Table
    rows: int
    values: list[Any]
    weight: int
    name: str


def prepare(event: Event, stream: str) -> Prepared:
    """Check an event and turn it into rows. Raises Unstorable."""
    try:
        count, values = _values(event, stream)
    except (TypeError, ValueError, AttributeError) as error:
        raise Unstorable(f"{type(error).__name__}: {str(error)[:200]}") from error
    weight = len(event.bids) + len(event.asks) if isinstance(event, Delta | Snapshot) else 1
    return Prepared(table_of(event), count, values, max(1, weight), f"{event.pair.label} {event.epoch} {event.n}")


def table_of(event: Event) -> Table:
    """Where the event's rows go; see the head of monitor.schema."""
    match event:
        case Delta():
            return DELTAS if event.bids or event.asks else EVENTS
        case Snapshot():
            return SNAPSHOTS
        case Bbo():
            return BBO
        case Trade():
            return TRADES
        case Reset() | Mark():
            return EVENTS


def _values(event: Event, stream: str) -> tuple[int, list[Any]]:
    match event:
        case Delta():
            head, tail = _head(event), _tail(event)
            sequences = [_whole(s) for s in (event.sequence, event.first_sequence, event.previous_sequence)]
            if not (event.bids or event.asks):
                return 1, [*head, "delta", "", *sequences, *tail, 0, 0, stream, ""]
            prices, amounts = [*event.bids, *event.asks], [*event.bids.values(), *event.asks.values()]
            sides = ["bid"] * len(event.bids) + ["ask"] * len(event.asks)
            count = len(prices)
            numbers = (_numbers(prices), _numbers(amounts), prices, amounts)
            return count, [*head, sides, *numbers, *sequences, *tail, list(range(count))]
        case Snapshot():
            return 1, snapshot_values(event, "stream", event.reason.value)
        case Reset():
            return 1, [*_head(event), "reset", event.reason.value, None, None, None, *_tail(event), 0, 0, stream, ""]
        case Mark():
            return 1, [*_head(event), "mark", "", None, None, None, *_tail(event), 0, 0, stream, ""]
        case Bbo():
            texts = [event.bid, event.bid_amount, event.ask, event.ask_amount]
            present = [_numbers([text])[0] if text else None for text in texts]
            return 1, [*_head(event), *present, *texts, _whole(event.sequence), *_tail(event)]
        case Trade():
            price, amount = _numbers([event.price, event.amount])
            texts = [event.side, event.trade_id]
            "".join(texts)
            exact = [event.price, event.amount]
            return 1, [*_head(event), event.side, price, amount, *exact, event.trade_id, *_tail(event)]


def snapshot_values(book: Snapshot, source: Literal["stream", "hash"], reason: str) -> list[Any]:
    """A row of orderbook_snapshots. Raises ValueError, TypeError for levels that are no numbers."""
    bids, bids_text = _side(book.bids, reverse=True)
    asks, asks_text = _side(book.asks, reverse=False)
    # each array is the value of one row, not a value a row: hence the inner list
    sides = [[bids], [asks], [bids_text], [asks_text]]
    return [*_head(book), *sides, _whole(book.sequence), source, reason, *_tail(book)]


def note_values(note: Noted) -> list[Any]:
    """A row of feed_events that no event stands behind."""
    ms, seq = stream_id(note.id)
    return [
        note.at_us // 1000, *note.pair, note.kind, note.reason, None, None, None,
        None, note.at_us, note.epoch, note.n, ms, seq, note.from_n, note.to_n, note.stream, note.detail[:_DETAIL_LENGTH],
    ]  # fmt: skip


def stream_id(text: str) -> tuple[int, int]:
    """`ms-seq` as two numbers that compare. Raises ValueError."""
    ms, _, seq = text.partition("-")
    return int(ms), int(seq or 0)


def _head(event: Event) -> list[Any]:
    venue_ms, received_us = event.venue_ms, event.received_us
    if not _TIME_MIN_US <= received_us < _TIME_MAX_US:
        raise Unstorable(f"received_us {received_us!r} is no time of this century")
    if venue_ms is None:
        return [received_us // 1000, *event.pair]
    if not _TIME_MIN_US <= venue_ms * 1000 < _TIME_MAX_US:
        raise Unstorable(f"venue_ms {venue_ms!r} is no time of this century")
    return [_whole(venue_ms), *event.pair]


def _tail(event: Event) -> list[Any]:
    ms, seq = stream_id(event.id)
    return [event.venue_ms, _whole(event.received_us), _whole(event.epoch), _whole(event.n), ms, seq]


def _whole(value: int | None) -> int | None:
    if value is None or (type(value) is int and -_INT64 <= value < _INT64):
        return value
    raise Unstorable(f"{str(value)[:60]!r} is no 64-bit whole number")


def _numbers(texts: list[str]) -> list[float]:
    "".join(texts)  # raises TypeError for anything but text
    numbers = [float(text) for text in texts]
    if not math.isfinite(sum(numbers)):
        raise Unstorable("a price or amount is not finite")
    return numbers


def _side(levels: Levels, *, reverse: bool) -> tuple[list[tuple[float, float]], list[Level]]:
    prices = list(levels)
    ranked = sorted(zip(_numbers(prices), prices, strict=True), reverse=reverse)
    exact = [(text, levels[text]) for _, text in ranked]
    amounts = _numbers([amount for _, amount in exact])
    return [(price, amount) for (price, _), amount in zip(ranked, amounts, strict=True)], exact
