"""PURE. The changes of one instrument gathered since the last message of one delta stream."""

from dataclasses import dataclass

from ops.simulator.market import HalfStep


@dataclass(frozen=True, slots=True)
class Delta:
    """What one message of a delta stream says. Sizes are absolute lots at prices in ticks; 0 = gone."""

    first: int  # id of the first change inside, `U` of Binance futures
    last: int  # last update id inside, `u` of Binance, `seqId` of OKX
    previous: int  # `last` of the message before, `pu` of Binance futures, `prevSeqId` of OKX
    bids: dict[int, int]
    asks: dict[int, int]


class DeltaWindow:
    """Merges half steps until `take()`; every stream speed has its own window and so its own chain of ids."""

    __slots__ = ("_asks", "_bids", "_first", "_last", "previous")

    def __init__(self, sequence: int) -> None:
        self.previous = sequence  # the chain starts at the book as it is now
        self._first = self._last = 0
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}

    def merge(self, half: HalfStep) -> None:
        """Add what a half step did; the last size of a level wins."""
        if not half.first:
            return
        self._first = self._first or half.first
        self._last = half.last
        self._bids.update(half.bids)
        self._asks.update(half.asks)

    def take(self) -> Delta | None:
        """Everything gathered, or None if nothing changed. The window is empty afterwards."""
        if not self._first:
            return None
        delta = Delta(self._first, self._last, self.previous, self._bids, self._asks)
        self.previous, self._first = self._last, 0
        self._bids, self._asks = {}, {}
        return delta
