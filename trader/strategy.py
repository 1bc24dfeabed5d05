"""PURE. What a strategy is: it sees the present book and its portfolio, and says what it would do.

A strategy holds no truth of its own: `restore` must bring it back from orders and fills alone. It never waits, never
asks for the time, and may be asked again at any moment; the engine decides what is sent (risk, lease, rate).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from books.book import Book
from fleet.pair import Pair
from trader.orders import Order
from trader.portfolio import Portfolio


class ActionKind(StrEnum):
    BUY = "buy"
    SELL = "sell"
    CLOSE = "close"
    CANCEL = "cancel"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Action:
    """BUY, SELL: a limit order of `amount` at `price` in `slot`. CANCEL: the order in `slot`. CLOSE: bring the position
    to zero at once (price and amount are the engine's). NONE: nothing, with a reason to show."""

    kind: ActionKind
    slot: str = ""
    price: Decimal = Decimal(0)
    amount: Decimal = Decimal(0)
    reason: str = ""


class BookView(Protocol):
    """The present book of a pair, as `books.live.follow` gives it. Usable only while `status` is `live`."""

    @property
    def pair(self) -> Pair: ...
    @property
    def status(self) -> str: ...
    @property
    def book(self) -> Book: ...
    @property
    def n(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def received_us(self) -> int: ...


class Strategy(Protocol):
    """`order_size` and `exposure` (base units) are the largest order and position it means to have: the default limits."""

    @property
    def id(self) -> str: ...
    @property
    def order_size(self) -> Decimal: ...
    @property
    def exposure(self) -> Decimal: ...

    def evaluate(self, book: BookView, portfolio: Portfolio) -> Sequence[Action]:
        """What to do now. Called only with a live book."""
        ...

    def on_executed(self, order: Order) -> None:
        """An order of ours was executed, wholly or in part (`order.state`)."""
        ...

    def restore(self, working: Sequence[Order], last_filled: Order | None) -> None:
        """Take up where orders and fills say that we left off; `last_filled` is the last wholly filled order."""
        ...


def middle(book: Book) -> Decimal | None:
    """The price between best bid and best ask; None while a side is empty."""
    bid, ask = book.best_bid(), book.best_ask()
    return None if bid is None or ask is None else (Decimal(bid[0]) + Decimal(ask[0])) / 2
