"""One instrument and the streams that clients opened on it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from ops.simulator.catalogue import Listing
from ops.simulator.market import HalfStep, SimulatedInstrument
from ops.simulator.window import DeltaWindow
from ops.simulator.wire import Peer


@dataclass(eq=False, slots=True)
class Stream:
    """One stream of one instrument, and who listens. `name` is the venue's own."""

    name: str
    kind: str
    interval_ms: int = 0  # 0 = real time
    depth: int = 0
    is_delta: bool = False
    window: DeltaWindow | None = None
    due_ms: float = 0.0  # next emission, by the pump's clock
    sequence: int = -1  # of the last message
    sent_ms: float = 0.0
    raw: set[Peer] = field(default_factory=set)
    combined: set[Peer] = field(default_factory=set)  # wrapped in {"stream","data"}; Binance only

    @property
    def has_listeners(self) -> bool:
        return bool(self.raw or self.combined)


class Feed:
    """An instrument, its streams, and the venue's text for its numbers."""

    def __init__(self, listing: Listing, instrument: SimulatedInstrument, phase: int) -> None:
        self.listing = listing
        self.instrument = instrument
        self.phase = phase
        self.streams: dict[str, Stream] = {}
        self.awake_until_ms = 0.0
        self.price_text = number_text(listing.tick, listing.price_decimals)
        self.size_text = number_text(listing.lot, listing.size_decimals)
        self._last_touch: tuple[int, int, int, int] | None = None

    @property
    def pair(self) -> str:
        return self.listing.pair

    def listened(self) -> list[Stream]:
        """The streams that somebody listens to."""
        return [stream for stream in self.streams.values() if stream.raw or stream.combined]

    def touch(self) -> tuple[int, int, int, int]:
        """(bid, bid lots, ask, ask lots)."""
        bids, asks = self.instrument.bids, self.instrument.asks
        bid, ask = bids.best, asks.best
        return bid, bids.lots[bid], ask, asks.lots[ask]

    def touch_changed(self) -> bool:
        """Whether the best prices or sizes differ from the last time this was asked."""
        now = self.touch()
        changed, self._last_touch = now != self._last_touch, now
        return changed

    def merge(self, half: HalfStep) -> None:
        """Tell every open delta window what happened."""
        for stream in self.streams.values():
            if stream.window is not None:
                stream.window.merge(half)


def number_text(step: Decimal, decimals: int | None) -> Callable[[int], str]:
    """A function from whole steps to the wire's text, exact. `decimals` None = no trailing zeros."""
    places = max(0, -int(step.as_tuple().exponent))
    multiplier = int(step.scaleb(places))
    if decimals is not None:
        multiplier *= 10 ** (decimals - places)
        places = decimals

    def text(steps: int) -> str:
        digits_ = str(steps * multiplier)
        if not places:
            return digits_
        digits_ = digits_.rjust(places + 1, "0")
        whole, part = digits_[:-places], digits_[-places:]
        if decimals is None:
            part = part.rstrip("0")
            return f"{whole}.{part}" if part else whole
        return f"{whole}.{part}"

    return text
