"""PURE. A generated market: a book that lives like a real one, seeded, exact at every update id.

Each interval of 100 ms has two halves. In the first, takers hit the touch: trades print and sweep levels. In the
second, makers answer: quotes that the fair price has run over are pulled, the spread closes, levels come and go, near
the touch far more often than away from it. The fair price is a random walk with bursts, held to a slow reference that
depends on the pair only, so that the same pair keeps about the same price on every venue.

Rule of the file: every change of a level goes through `_set`, which records it; a book is never crossed or locked.
"""

import math
import random
from dataclasses import dataclass, field

from ops.simulator.catalogue import Listing
from ops.simulator.ladder import Ladder

INTERVALS_PER_S = 10
# Standard deviation of the fair price in one active interval, as a share of the price: about 60 % a year.
_VOLATILITY = 2.5e-5
_BURST_CHANCE = 0.004  # an interval starts a burst; bursts last 2 s on average
_BURST_END_CHANCE = 0.05
_MINIMUM_LEVELS = 20  # takers stop here: a real book is never bought empty


@dataclass(frozen=True, slots=True)
class Trade:
    """One taker order's fills at one price. `fills` are the sizes of the makers hit, in lots."""

    price: int
    fills: tuple[int, ...]
    taker_buys: bool
    first_id: int
    last_id: int
    sequence: int  # update id at which it happened


@dataclass(slots=True)
class HalfStep:
    """What half an interval did. Sizes are absolute; 0 = the level is gone."""

    first: int = 0  # update id of the first change, 0 if nothing changed
    last: int = 0  # update id of the last change
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)
    trades: list[Trade] = field(default_factory=list)


class SimulatedInstrument:
    """The market of one listing: its exact book, its update id, its trades.

    `rate` is the mean number of 100 ms intervals a second that change anything, 10 at most; above 10 every interval
    does and changes more. The instrument's own rate is drawn around it: some pairs are busy, some quiet.
    `levels` bounds each side of the book. `jump` is the largest step of the venue's counter beyond one an update.
    """

    def __init__(self, listing: Listing, *, seed: str, rate: float, levels: int = 400, jump: int = 4) -> None:
        self.listing = listing
        self.rate = rate * random.Random(f"{seed}/rate").choice((0.3, 0.6, 0.9, 1.0, 1.2, 1.5, 2.0))
        self.bids = Ladder(is_bid=True)
        self.asks = Ladder(is_bid=False)
        self._random = rng = random.Random(seed)
        self._jump = jump
        self.sequence = rng.randrange(10**9, 10**10)
        self.last_trade_id = rng.randrange(10**8, 10**9)
        self._capacity = levels
        self._target = max(_MINIMUM_LEVELS + 5, int(levels * 0.85))
        self._start = listing.price / float(listing.tick)  # in ticks
        self._fair = self._start
        self._step_ticks = max(0.35, self._start * _VOLATILITY)
        self._gap = max(1.0, self._start * 2e-5)  # mean distance of neighbouring levels
        self._far_gap = max(1, round(self._gap))
        self._spread = 1
        self._bursting = False
        self._active = False
        self._half = HalfStep()
        waves = random.Random(f"reference of {listing.base}/USDT")  # dollars of any issuer are dollars
        self._waves = [(waves.uniform(200, 600) * 8**k, waves.uniform(0, math.tau), 4e-4 * 3**k) for k in range(3)]
        self._fill()

    def book_at_now(self) -> tuple[int, list[tuple[int, int]], list[tuple[int, int]]]:
        """(update id, bids, asks): every level, best first, as (ticks, lots)."""
        return self.sequence, self.bids.top(len(self.bids)), self.asks.top(len(self.asks))

    def trade_half(self, interval: int) -> HalfStep:
        """First half of interval number `interval`: the fair price moves, takers come. Returns what changed."""
        rng = self._random
        half = self._begin()
        chance = self.rate / INTERVALS_PER_S
        self._bursting = rng.random() < (1 - _BURST_END_CHANCE if self._bursting else _BURST_CHANCE)
        self._active = rng.random() < chance * (3 if self._bursting else 1)
        if not self._active:
            return half
        pull = 0.03 * (self._reference(interval) - self._fair)
        limit = 12 * self._step_ticks
        drift = max(-limit, min(limit, pull + rng.gauss(0, self._step_ticks * (4 if self._bursting else 1))))
        self._fair = max(self._start * 0.2, self._fair + drift)
        middle = (self.bids.best + self.asks.best) / 2
        lean = 0.5 + max(-0.4, min(0.4, (self._fair - middle) / (4 * self._step_ticks + 4)))
        while rng.random() < (0.6 if self._bursting else 0.35):
            self._take(buys=rng.random() < lean)
        return half

    def quote_half(self) -> HalfStep:
        """Second half: makers answer. Returns what changed; nothing in a quiet interval."""
        half = self._begin()
        if not self._active:
            return half
        rng = self._random
        self._active = False
        self._withdraw()
        if rng.random() < 0.1:
            self._spread = 1 + int(rng.expovariate(0.8 if self._bursting else 1.6))
        self._tighten()
        changes = 1 + int(rng.expovariate(1 / (8.0 * max(1.0, self.rate / INTERVALS_PER_S))))
        for _ in range(min(changes, 200)):
            self._churn(self.bids if rng.random() < 0.5 else self.asks)
        self._trim()
        if self.bids.best >= self.asks.best:
            raise AssertionError(
                f"{self.listing.id}: the generated book is crossed, {self.bids.best=} {self.asks.best=}"
            )
        return half

    def skip(self) -> HalfStep:
        """Let the market move once, whatever its rate. Returns what changed, at least one level."""
        half = self._begin()
        while not half.bids:
            self._churn(self.bids)
        return half

    # ── changes ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self) -> HalfStep:
        self._half = HalfStep()
        return self._half

    def _set(self, side: Ladder, price: int, lots: int) -> None:
        side.put(price, lots)
        (self._half.bids if side.is_bid else self._half.asks)[price] = lots
        self.sequence += 1 + self._random.randrange(self._jump + 1)
        self._half.first = self._half.first or self.sequence
        self._half.last = self.sequence

    def _size(self, rank: int) -> int:
        """A resting size in lots: some thousand units of quote currency, larger away from the touch."""
        worth = self._random.lognormvariate(7.6, 1.1) * (1 + min(rank, 60) / 12)
        return max(1, round(worth / self.listing.lot_value))

    def _reference(self, interval: int) -> float:
        return self._start * (
            1.0 + math.fsum(a * math.sin(math.tau * interval / p + phase) for p, phase, a in self._waves)
        )

    def _take(self, *, buys: bool) -> None:
        """One taker order: mostly a part of the touch, at times a sweep of several levels."""
        rng = self._random
        side = self.asks if buys else self.bids
        left = max(1, round(side.lots[side.best] * rng.lognormvariate(-1.0, 1.0)))
        for _ in range(rng.choice((1, 1, 2, 3, 6))):
            if left <= 0 or len(side) <= _MINIMUM_LEVELS:
                return
            price = side.best
            lots = min(left, side.lots[price])
            left -= lots
            fills = self._split(lots)
            first = self.last_trade_id + 1
            self.last_trade_id += len(fills)
            self._set(side, price, side.lots[price] - lots)
            self._half.trades.append(Trade(price, fills, buys, first, self.last_trade_id, self.sequence))

    def _split(self, lots: int) -> tuple[int, ...]:
        if lots < 3 or self._random.random() < 0.6:
            return (lots,)
        first = self._random.randrange(1, lots)
        return (first, lots - first)

    def _withdraw(self) -> None:
        """Pull the quotes that the fair price has run over; a new quote on the other side follows in `_tighten`."""
        fair = round(self._fair)
        for side in (self.bids, self.asks):
            while len(side) > _MINIMUM_LEVELS and (side.best > fair if side.is_bid else side.best < fair):
                self._set(side, side.best, 0)

    def _tighten(self) -> None:
        """Close the spread to what makers want now, from the side that is farther from the fair price."""
        for _ in range(4):
            bid, ask = self.bids.best, self.asks.best
            if ask - bid <= self._spread:
                return
            room = ask - bid - self._spread
            if self._fair - bid > ask - self._fair:
                step = max(1, min(room, round(self._fair - self._spread / 2) - bid))
                self._set(self.bids, bid + step, self._size(0))
            else:
                step = max(1, min(room, ask - round(self._fair + self._spread / 2)))
                self._set(self.asks, ask - step, self._size(0))

    def _churn(self, side: Ladder) -> None:
        """One maker's act: change a size, cancel, or add a level behind the touch."""
        rng = self._random
        count = len(side)
        rank = min(count - 1, int(rng.expovariate(1 / 8)))
        price = side.at_rank(rank)
        act = rng.random()
        if act < 0.5:
            self._set(side, price, self._size(rank))
        elif act < 0.7 and rank and count > _MINIMUM_LEVELS:
            self._set(side, price, 0)
        else:
            distance = 1 + int(rng.expovariate(1 / (self._gap * (1 + rank / 4))))
            new = price - distance if side.is_bid else price + distance
            if new > 0:
                self._set(side, new, side.lots.get(new, 0) or self._size(rank))

    def _trim(self) -> None:
        """Keep the number of levels: drop the farthest ones, or add beyond them."""
        for side in (self.bids, self.asks):
            while len(side) > self._capacity:
                self._set(side, side.farthest, 0)
            missing = self._target - len(side)
            for _ in range(min(3, missing)):
                edge = side.farthest - self._far_gap if side.is_bid else side.farthest + self._far_gap
                if edge > 0:
                    self._set(side, edge, self._size(len(side)))

    def _fill(self) -> None:
        """The first book: dense at the touch, thinner outward."""
        rng = self._random
        for side, sign, price in ((self.bids, -1, round(self._start)), (self.asks, 1, round(self._start) + 1)):
            for rank in range(self._target):
                side.put(price, self._size(rank))
                price += sign * (1 + int(rng.expovariate(1 / (self._gap * min(1.0, 0.1 + rank / 30)))))
                if price <= 0:
                    break
