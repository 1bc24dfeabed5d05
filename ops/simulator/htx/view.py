"""PURE. The best levels of a book as one stream of changes shows them: 20, 150 or 400 a side.

A level that leaves the window is told as gone, one that enters it as new. Whoever asked for a snapshot between two messages
saw the window of that moment, and is told what differs from that too, so that the message may be applied to that snapshot
(venues/htx.md §5.1, a delta that straddles it).
"""

from ops.simulator.market import SimulatedInstrument
from ops.simulator.window import Delta

Side = list[tuple[int, int]]
Window = tuple[dict[int, int], dict[int, int]]


class View:
    """One stream's window of one book; `previous` is the id of its last message, `count` their number."""

    __slots__ = ("_depth", "_shown", "count", "previous")

    def __init__(self, instrument: SimulatedInstrument, depth: int) -> None:
        self._depth = depth
        self._shown = [self._window(instrument)]  # as of the last message, then of each snapshot given since
        self.previous = instrument.sequence
        self.count = 0

    def take(self, instrument: SimulatedInstrument) -> Delta | None:
        """What changed since the last message, maybe no level at all; None if nothing happened in the market."""
        if instrument.sequence == self.previous:
            return None
        now = self._window(instrument)
        bids, asks = (_changes([shown[side] for shown in self._shown], now[side]) for side in (0, 1))
        delta = Delta(self.previous + 1, instrument.sequence, self.previous, bids, asks)
        self._shown = [now]
        self.previous = instrument.sequence
        self.count += 1
        return delta

    def nothing(self) -> Delta:
        """A message without levels that takes the next id."""
        delta = Delta(self.previous + 1, self.previous + 1, self.previous, {}, {})
        self.previous += 1
        self.count += 1
        return delta

    def told(self, bids: Side, asks: Side) -> None:
        """This window was given out as a snapshot."""
        window = dict(bids), dict(asks)
        if window != self._shown[-1]:
            self._shown.append(window)

    def _window(self, instrument: SimulatedInstrument) -> Window:
        return dict(instrument.bids.top(self._depth)), dict(instrument.asks.top(self._depth))


def _changes(before: list[dict[int, int]], now: dict[int, int]) -> dict[int, int]:
    """What makes every one of `before` the side of now."""
    changed = {price: lots for price, lots in now.items() if any(shown.get(price) != lots for shown in before)}
    gone = {price for shown in before for price in shown if price not in now}
    return {**changed, **dict.fromkeys(sorted(gone), 0)}
