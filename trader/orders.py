"""PURE. Orders and fills of a task. Amounts are base units, prices quote units."""

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from fleet.pair import Pair
from trader.money import ZERO, minus, plain, plus

# Binance takes 36 characters, OKX 32 and letters and digits only: the narrowest serves all
CLIENT_ID_LIMIT = 32
_FLEET_DIGITS = 6


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """1 for buy, -1 for sell: what a fill does to the position."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> "Side":
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderState(StrEnum):
    """INTENT → OPEN → PARTIAL → FILLED; CANCELLED and REJECTED end any of the first three."""

    INTENT = "INTENT"  # written down, perhaps sent
    OPEN = "OPEN"  # the venue has it
    PARTIAL = "PARTIAL"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"


WORKING = frozenset({OrderState.INTENT, OrderState.OPEN, OrderState.PARTIAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One execution. `trade_id` is the venue's; (client_id, trade_id) is unique. `executed_us`: Unix µs."""

    client_id: str
    trade_id: str
    side: Side
    price: Decimal
    amount: Decimal
    commission: Decimal
    commission_asset: str
    executed_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A limit order of a task. `slot` is the strategy's own name of it: at most one works in a slot at a time."""

    client_id: str
    task_id: int
    account: str
    epoch: int
    pair: Pair
    mode: str
    side: Side
    price: Decimal
    amount: Decimal
    slot: str
    reason: str
    placed_us: int
    filled: Decimal = ZERO
    state: OrderState = OrderState.INTENT
    venue_id: str = ""

    @property
    def remaining(self) -> Decimal:
        return minus(self.amount, self.filled)

    @property
    def working(self) -> bool:
        return self.state in WORKING

    def executed(self, fill: Fill) -> "Order":
        """The order after a fill. Raises ValueError for a fill of another order or of more than remains."""
        if fill.client_id != self.client_id or fill.side is not self.side:
            raise ValueError(f"fill of {fill.client_id} ({fill.side}) offered to order {self.client_id} ({self.side})")
        filled = plus(self.filled, fill.amount)
        if fill.amount <= 0 or filled > self.amount:
            raise ValueError(
                f"order {self.client_id}: a fill of {plain(fill.amount)} where {plain(self.remaining)} remains"
            )
        return replace(self, filled=filled, state=OrderState.FILLED if filled == self.amount else OrderState.PARTIAL)


def client_order_id(fleet_uuid: str, task_id: int, epoch: int, n: int) -> str:
    """Deterministic, letters and digits only. Raises ValueError when longer than any venue takes."""
    text = f"f{fleet_uuid[:_FLEET_DIGITS]}t{task_id}e{epoch}n{n}"
    if len(text) > CLIENT_ID_LIMIT:
        raise ValueError(f"client order id {text} is longer than {CLIENT_ID_LIMIT} characters")
    return text
