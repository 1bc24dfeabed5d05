"""Small things that tests of the trader share: books, views, tasks, a scripted market."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from books.book import Book
from books.events import Event, Mark, Snapshot, SnapshotReason
from fleet.pair import Pair
from fleet.tasks import Task
from trader.orders import Fill, Order, OrderState, Side

BTC = Pair("binance", "spot", "BTC/USDT")
D = Decimal


class View:
    """What `books.live.follow` shows of a pair, set by hand."""

    def __init__(self, pair: Pair = BTC) -> None:
        self.pair = pair
        self.status = "live"
        self.book = Book()
        self.n = 0
        self.epoch = 1
        self.received_us = 0

    def show(self, bids: dict[str, str], asks: dict[str, str]) -> "View":
        self.n += 1
        self.book.apply(
            Snapshot(pair=self.pair, received_us=0, bids=bids, asks=asks, reason=SnapshotReason.FIRST, n=self.n)
        )
        return self

    def around(self, price: object, amount: str = "100") -> "View":
        """Best prices 0.1 below and above."""
        middle = D(str(price))
        return self.show({str(middle - D("0.1")): amount}, {str(middle + D("0.1")): amount})


class Followed(NamedTuple):
    event: Event | None
    view: View


class ScriptedMarket:
    """`follow` for tests: `move` changes a pair's price and tells every follower."""

    def __init__(self, clock_us) -> None:
        self.views: dict[Pair, View] = {}
        self._clock_us = clock_us
        self._queues: list[tuple[frozenset[Pair], asyncio.Queue[Pair]]] = []

    def move(self, price: object, pair: Pair = BTC, amount: str = "100") -> None:
        self.views.setdefault(pair, View(pair)).around(price, amount)
        self.tell(pair)

    def tell(self, pair: Pair = BTC) -> None:
        for pairs, queue in self._queues:
            if pair in pairs:
                queue.put_nowait(pair)

    async def follow(self, pairs: Sequence[Pair]) -> AsyncIterator[Followed]:
        queue: asyncio.Queue[Pair] = asyncio.Queue()
        for pair in set(pairs) & set(self.views):
            queue.put_nowait(pair)
        entry = (frozenset(pairs), queue)
        self._queues.append(entry)
        try:
            while True:
                pair = await queue.get()
                yield Followed(Mark(pair=pair, received_us=self._clock_us()), self.views[pair])
        finally:
            self._queues.remove(entry)


def trade(number: int = 1, **values: object) -> Task:
    """A grid task of step 1, two levels, with no fees and no latency unless told."""
    params = {"grid_step": "1", "order_size": "1", "levels": 2, "paper": {"latency_ms": 0}}
    return Task(**{"table": "TRADE", "pair": BTC, "id": number, "strategy": "grid", "params": params} | values)  # type: ignore[arg-type]


def order(**values: object) -> Order:
    """An open buy of 1 at 100."""
    base = {"client_id": "c1", "task_id": 1, "account": "paper", "epoch": 1, "pair": BTC, "mode": "paper"}
    base |= {"side": Side.BUY, "price": D(100), "amount": D(1), "slot": "99", "reason": "test", "placed_us": 0}
    return Order(**base | {"state": OrderState.OPEN} | values)  # type: ignore[arg-type]


def fill(**values: object) -> Fill:
    """A buy of 1 at 100 for order c1."""
    base = {"client_id": "c1", "trade_id": "t1", "side": Side.BUY, "price": D(100), "amount": D(1)}
    base |= {"commission": D(0), "commission_asset": "USDT", "executed_us": 1_700_000_000_000_000}
    return Fill(**base | values)  # type: ignore[arg-type]
