"""PURE. What may be sent. Every refusal has words, is counted, and can be shown."""

from collections import Counter, deque
from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field

from fleet.exact import fits_money
from trader.money import BPS, ZERO, plain, plus, times
from trader.orders import Side
from trader.portfolio import Portfolio


class RiskLimits(BaseModel):
    """The `risk` object in STRATEGY_PARAMS; what is left out is taken from the strategy or from here. Base units."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_order_size: Decimal | None = Field(None, gt=0, description="largest order; default: the strategy's own")
    max_position: Decimal | None = Field(None, gt=0, description="largest position either way; default: the strategy's")
    collar_bps: Decimal = Field(Decimal(200), gt=0, description="worst price against the middle of the book")
    max_book_age_ms: int = Field(15_000, ge=100, description="an older book, even if called live, is not traded on")
    max_orders_per_s: int = Field(50, ge=1, le=1000)
    max_open_orders: int = Field(200, ge=1)

    def completed(self, order_size: Decimal, exposure: Decimal) -> "RiskLimits":
        """With the strategy's own sizes where none were given."""
        return self.model_copy(
            update={
                "max_order_size": self.max_order_size or order_size,
                "max_position": self.max_position or exposure,
            }
        )


class RiskGate:
    """Asks every rule about every order of one task; remembers how often it said no, and why last."""

    def __init__(self, limits: RiskLimits) -> None:
        self.limits = limits
        self.refused = 0
        self.last_refusal = ""
        self.refusals: Counter[str] = Counter()
        self._sent_us: deque[int] = deque()

    def book_refusal(self, status: str, age_ms: float) -> str:
        """Why this book must not be traded on; empty if it may."""
        if status != "live":
            return f"the book is {status}"
        if age_ms > self.limits.max_book_age_ms:
            return f"the book is {age_ms / 1000:.1f} s old, the limit is {self.limits.max_book_age_ms / 1000:.1f} s"
        return ""

    def allows(
        self, side: Side, price: Decimal, amount: Decimal, mid: Decimal, portfolio: Portfolio, now_us: int
    ) -> bool:
        """Whether the order may be sent now; if so, it counts against the rate."""
        rule, words = self._verdict(side, price, amount, mid, portfolio, now_us)
        if rule:
            self.refused += 1
            self.refusals[rule] += 1
            self.last_refusal = words
            return False
        self._sent_us.append(now_us)
        return True

    def _verdict(
        self, side: Side, price: Decimal, amount: Decimal, mid: Decimal, portfolio: Portfolio, now_us: int
    ) -> tuple[str, str]:
        limits = self.limits
        if amount <= 0 or price <= 0:
            return "size", f"{side} {plain(amount)} at {plain(price)}: price and amount must be above 0"
        if not fits_money(price) or not fits_money(amount):
            return (
                "size",
                f"{side} {plain(amount)} at {plain(price)}: more digits than money has (20 before, 18 after the point)",
            )
        reduces = portfolio.position * side.sign < 0 and amount <= portfolio.position.copy_abs()
        if limits.max_order_size is not None and amount > limits.max_order_size and not reduces:
            return "size", f"{side} {plain(amount)} is more than max_order_size {plain(limits.max_order_size)}"
        if words := self._position(side, amount, portfolio):
            return "position", words
        # only a price that is bad for us is refused; a far passive one cannot hurt
        worst = times(mid, 1 + side.sign * limits.collar_bps / BPS)
        if (price - worst) * side.sign > 0:
            return (
                "collar",
                f"{side} at {plain(price)} is beyond {plain(limits.collar_bps)} bps of the middle {plain(mid)}",
            )
        if len(portfolio.orders) >= limits.max_open_orders:
            return (
                "open orders",
                f"{len(portfolio.orders)} orders are open, max_open_orders is {limits.max_open_orders}",
            )
        return self._rate(now_us)

    def _position(self, side: Side, amount: Decimal, portfolio: Portfolio) -> str:
        if self.limits.max_position is None:
            return ""
        # as if every working order of this side were filled and none of the other
        signed = plus(times(portfolio.position, Decimal(side.sign)), plus(portfolio.working(side), amount))
        if signed > self.limits.max_position and signed > ZERO:
            limit = plain(self.limits.max_position)
            return f"{side} {plain(amount)} could bring the position to {plain(signed)}, max_position is {limit}"
        return ""

    def _rate(self, now_us: int) -> tuple[str, str]:
        # the wall clock may be set back: what then lies in the future is forgotten
        while self._sent_us and not now_us - 1_000_000 < self._sent_us[0] <= now_us:
            self._sent_us.popleft()
        if len(self._sent_us) >= self.limits.max_orders_per_s:
            return (
                "rate",
                f"{len(self._sent_us)} orders within a second, max_orders_per_s is {self.limits.max_orders_per_s}",
            )
        return "", ""
