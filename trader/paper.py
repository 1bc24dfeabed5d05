"""PURE. A paper venue for one task: fills against the live book, the same for the same books and times.

- An order works `latency_ms` after it was placed.
- Looked at for the first time, an order that crosses the book takes the shown levels at their prices, best first
  (taker fee). After that it rests: it is filled at its own price when the opposite best touches or passes it (maker fee).
- Never more than the book shows: what was taken from a level is gone until the venue shows another amount there.
- Orders of one side are served best price first, then oldest.
"""

from collections.abc import Mapping
from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field

from books.book import Book
from trader.money import ZERO, fee, minus, plus, storable, storable_at_most
from trader.orders import Fill, Order, Side


class PaperTerms(BaseModel):
    """The `paper` object in STRATEGY_PARAMS."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    maker_bps: Decimal = Field(Decimal(2), ge=-100, le=1000, description="fee of a resting order, 1/100 of a percent")
    taker_bps: Decimal = Field(Decimal(5), ge=-100, le=1000, description="fee of an order that takes")
    latency_ms: int = Field(20, ge=0, le=60_000, description="from placing to working")


class _Resting:
    __slots__ = ("fills", "looked_at", "order", "place")

    def __init__(self, order: Order, place: int, fills: int) -> None:
        self.order = order
        self.place = place
        self.fills = fills
        # an order that was filled in part before a restart had been looked at
        self.looked_at = order.filled > 0


class PaperVenue:
    """Holds working orders in memory; what they are after a crash is read from SQL and placed again."""

    def __init__(self, terms: PaperTerms) -> None:
        self.terms = terms
        self._orders: dict[str, _Resting] = {}
        self._placed = 0
        self._taken: dict[Side, dict[str, tuple[str, Decimal]]] = {Side.BUY: {}, Side.SELL: {}}

    def place(self, order: Order, fills: int = 0) -> None:
        """Take an order; `fills` is how many it has had already (names of trades go on from there)."""
        self._placed += 1
        self._orders[order.client_id] = _Resting(order, self._placed, fills)

    def cancel(self, client_id: str) -> bool:
        """Forget an order; False if it is not here (filled, or never placed)."""
        return self._orders.pop(client_id, None) is not None

    def look(self, book: Book, now_us: int) -> list[Fill]:
        """What this book fills at this time. Unix µs."""
        fills: list[Fill] = []
        for side in Side:
            fills += self._look(side, book, now_us)
        return fills

    def _look(self, side: Side, book: Book, now_us: int) -> list[Fill]:
        best = book.best_ask() if side is Side.BUY else book.best_bid()
        active_before = now_us - self.terms.latency_ms * 1000
        mine = [one for one in self._orders.values() if one.order.side is side and one.order.placed_us <= active_before]
        if best is None or not mine:
            return []
        reach = Decimal(best[0])
        crossing = [one for one in mine if (one.order.price - reach) * side.sign >= 0]
        fills: list[Fill] = []
        if crossing:
            shown = book.asks if side is Side.BUY else book.bids
            self._forget_changed(side, shown)
            levels = sorted(shown, key=lambda price: side.sign * Decimal(price))
            for one in sorted(crossing, key=lambda one: (-side.sign * one.order.price, one.place)):
                fills += self._fill(one, levels, shown, now_us)
        for one in mine:
            one.looked_at = True
        return fills

    def _forget_changed(self, side: Side, shown: Mapping[str, str]) -> None:
        taken = self._taken[side]
        for price in [price for price, (amount, _) in taken.items() if shown.get(price) != amount]:
            del taken[price]

    def _fill(self, one: _Resting, levels: list[str], shown: Mapping[str, str], now_us: int) -> list[Fill]:
        fills: list[Fill] = []
        side, taken = one.order.side, self._taken[one.order.side]
        for level in levels:
            if (one.order.price - Decimal(level)) * side.sign < 0 or not one.order.working:
                break
            gone = taken.get(level, ("", ZERO))[1]
            amount = storable_at_most(min(one.order.remaining, minus(Decimal(shown[level]), gone)))
            if amount <= 0:
                continue
            taken[level] = (shown[level], plus(gone, amount))
            fills.append(self._executed(one, Decimal(level), amount, now_us))
        if not one.order.working:
            del self._orders[one.order.client_id]
        return fills

    def _executed(self, one: _Resting, level: Decimal, amount: Decimal, now_us: int) -> Fill:
        maker = one.looked_at
        price = one.order.price if maker else storable(level)
        one.fills += 1
        fill = Fill(
            client_id=one.order.client_id,
            trade_id=f"{one.order.client_id}-{one.fills}",
            side=one.order.side,
            price=price,
            amount=amount,
            commission=fee(price, amount, self.terms.maker_bps if maker else self.terms.taker_bps),
            commission_asset=one.order.pair.pair.rpartition("/")[2],
            executed_us=now_us,
        )
        one.order = one.order.executed(fill)
        return fill
