"""PURE. One side of a simulated book, in whole ticks and whole lots: exact, ordered, cheap to change near the touch."""

from bisect import bisect_left, insort


class Ladder:
    """Price levels of one side. `prices` is ascending for both sides; bids have their best at the end."""

    __slots__ = ("is_bid", "lots", "prices")

    def __init__(self, *, is_bid: bool) -> None:
        self.is_bid = is_bid
        self.prices: list[int] = []  # ticks, ascending
        self.lots: dict[int, int] = {}  # price in ticks -> size in lots, never 0

    def __len__(self) -> int:
        return len(self.prices)

    def put(self, price: int, lots: int) -> None:
        """Set a level's size; 0 removes the level."""
        if lots > 0:
            if price not in self.lots:
                insort(self.prices, price)
            self.lots[price] = lots
        elif self.lots.pop(price, 0):
            del self.prices[bisect_left(self.prices, price)]

    @property
    def best(self) -> int:
        """Best price in ticks. The ladder must not be empty."""
        return self.prices[-1] if self.is_bid else self.prices[0]

    @property
    def farthest(self) -> int:
        """Worst price in ticks. The ladder must not be empty."""
        return self.prices[0] if self.is_bid else self.prices[-1]

    def at_rank(self, rank: int) -> int:
        """Price of the level that is `rank` places behind the best (0 = best)."""
        return self.prices[-1 - rank] if self.is_bid else self.prices[rank]

    def top(self, depth: int) -> list[tuple[int, int]]:
        """The best `depth` levels, best first: (price in ticks, size in lots)."""
        prices = self.prices[: -depth - 1 : -1] if self.is_bid else self.prices[:depth]
        return [(price, self.lots[price]) for price in prices]

    def copy(self) -> "Ladder":
        """An independent ladder with the same levels."""
        twin = Ladder(is_bid=self.is_bid)
        twin.prices = self.prices.copy()
        twin.lots = self.lots.copy()
        return twin
