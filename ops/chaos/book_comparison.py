"""Whether history's book of every pair is that of Redis; of which it is not, where they differ and what history has of it."""

from collections.abc import Mapping

from books.loaded import LoadedBook
from books.store import load_book
from fleet.pair import Pair
from monitor.clickhouse import ClickHouse
from monitor.history import Rebuilt, rebuild
from monitor.schema import OF_DELTAS
from ops.chaos.fleet import ChaosFleet

SHOWN_LEVELS = 3
SHOWN_ROWS = 80  # of a pair, the newest by (epoch, n)
_KINDS = {"feed_events": "concat(kind, ' ', reason)", "orderbook_snapshots": "reason"}
_NO_KIND = "''"
_SEQUENCES = {"orderbook_snapshots": "sequence_num"}


class BookComparison:
    """Ask `equal` again and again while the markets stand still: only pairs that differed are looked at again."""

    def __init__(self, fleet: ChaosFleet, clickhouse: ClickHouse) -> None:
        self._fleet = fleet
        self._clickhouse = clickhouse
        self._left: dict[Pair, str] = dict.fromkeys(fleet.pairs, "not compared yet")

    @property
    def told(self) -> list[str]:
        """What differs, a sentence a pair."""
        return [f"{pair}: {text}" for pair, text in self._left.items()]

    async def equal(self) -> bool:
        """Whether none differs any more."""
        for pair in list(self._left):
            book = await load_book(self._fleet.redis, self._fleet.keys, pair)
            text = difference(book, await rebuild(self._clickhouse, pair))
            if text:
                self._left[pair] = text
            else:
                del self._left[pair]
        return not self._left

    async def traces(self) -> list[str]:
        """The newest rows of the pairs that differ, by (epoch, n): what history's book is made of."""
        found = []
        for pair in self._left:
            rows = []
            for table, condition in OF_DELTAS.items():
                answer = await self._clickhouse.query(
                    "SELECT epoch, n, any(concat(toString(id_ms), '-', toString(id_seq))), "  # noqa: S608  our own names
                    f"any(toString({_SEQUENCES.get(table, 'sequence')})), any({_KINDS.get(table, _NO_KIND)}) FROM {table} "
                    "WHERE exchange_id = %(venue)s AND market_type = %(market)s AND pair = %(pair)s "
                    f"AND {condition} GROUP BY epoch, n ORDER BY epoch DESC, n DESC LIMIT {SHOWN_ROWS}",
                    {"venue": pair.venue, "market": pair.market, "pair": pair.pair},
                )
                rows += [
                    (epoch, n, f"{entry_id} {table} {kind} u={sequence}")
                    for epoch, n, entry_id, sequence, kind in answer
                ]
            found += [f"{pair} epoch={epoch} n={n} {text}" for epoch, n, text in sorted(rows)[-SHOWN_ROWS:]]
        return found


def difference(book: LoadedBook, rebuilt: Rebuilt | None) -> str:
    """In words; '' where there is none."""
    where = f"Redis {book.status} epoch={book.epoch} n={book.n} u={book.sequence} of {book.owner} (cell {book.cell})"
    if rebuilt is None:
        return f"{where}, history has no snapshot"
    where += f", history n={rebuilt.n}"
    if not book.live:
        return f"{where}: the book in Redis is not live"
    sides = [_levels(name, left, right) for name, left, right in
             (("bids", book.bids, rebuilt.bids), ("asks", book.asks, rebuilt.asks))]  # fmt: skip
    if book.n == rebuilt.n and not any(sides):
        return ""
    return "; ".join([where, *filter(None, sides)])


def _levels(side: str, redis: Mapping[str, str], history: Mapping[str, str]) -> str:
    prices = [price for price in {**redis, **history} if redis.get(price) != history.get(price)]
    if not prices:
        return ""
    shown = ", ".join(f"{price}: {redis.get(price)} / {history.get(price)}" for price in sorted(prices)[:SHOWN_LEVELS])
    return f"{len(prices)} of {len(redis)} {side} differ, as {shown} (Redis / history)"
