"""PURE. Which misbehaviours are on, and what they make of outgoing messages. Their names are in `misbehaviours`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ops.simulator.window import Delta

if TYPE_CHECKING:
    from ops.simulator.feed import Feed

ANY_PAIR = ""


@dataclass(eq=False)
class Misbehaviour:
    """One misbehaviour that was switched on. `end()`, or leaving a `with` block, switches it off."""

    name: str
    pair: str = ANY_PAIR
    left: int | None = None  # how many times more; None = until ended
    options: dict[str, Any] = field(default_factory=dict)
    on_end: Callable[[], None] | None = None
    active: bool = True

    def end(self) -> None:
        """Behave again. Ending twice is harmless."""
        if self.active:
            self.active = False
            if self.on_end is not None:
                self.on_end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()


class Faults:
    """The misbehaviours of one venue-market that are on."""

    def __init__(self) -> None:
        self._on: list[Misbehaviour] = []
        self._held: dict[tuple[str, str], bytes] = {}  # (pair, stream) -> the delta that waits behind its successor

    def add(self, misbehaviour: Misbehaviour) -> Misbehaviour:
        """Switch on."""
        self._on.append(misbehaviour)
        return misbehaviour

    def end(self, name: str, pair: str = ANY_PAIR) -> int:
        """Switch off all of that name (of that pair, if one is given); how many there were."""
        ended = [one for one in self._on if one.name == name and pair in (ANY_PAIR, one.pair)]
        for one in ended:
            one.end()
        self._sweep()
        return len(ended)

    def find(self, name: str, pair: str = ANY_PAIR) -> Misbehaviour | None:
        """The first active one of that name that concerns `pair`."""
        if not self._on:
            return None
        self._sweep()
        for one in self._on:
            if one.name == name and one.pair in (ANY_PAIR, pair):
                return one
        return None

    def take(self, name: str, pair: str = ANY_PAIR) -> Misbehaviour | None:
        """As `find`, and use it up once."""
        one = self.find(name, pair)
        if one is not None and one.left is not None:
            one.left -= 1
            if one.left <= 0:
                one.end()
        return one

    def outgoing(self, pair: str, stream: str, payload: bytes, *, is_delta: bool) -> tuple[bytes, ...]:
        """What leaves instead of `payload`."""
        if not self._on and not self._held:
            return (payload,)
        if self.find("stall", pair):
            return ()
        broken = self.take("garbage", pair)
        out: tuple[bytes, ...] = (payload[: len(payload) // 2], payload) if broken else (payload,)
        if not is_delta:
            return out
        if self.take("drop", pair):
            return ()
        held = self._held.pop((pair, stream), None)
        if held is not None:
            return (*out, held)
        if self.take("reorder", pair):
            self._held[pair, stream] = payload
            return ()
        if self.take("duplicate", pair):
            return (*out, payload)
        return out

    def distort(self, feed: "Feed", delta: Delta) -> Delta:
        """Cross the book inside a delta while `crossed` is on, and heal it in the next one."""
        phantom = self.find("phantom", feed.pair)
        if phantom is not None:
            price: int = phantom.options["price"]
            phantom.end()
            true_lots = feed.instrument.bids.lots.get(price, 0)
            return Delta(delta.first, delta.last, delta.previous, {price: true_lots, **delta.bids}, delta.asks)
        if self.take("crossed", feed.pair):
            price = feed.instrument.asks.best + 1
            self.add(Misbehaviour("phantom", feed.pair, options={"price": price}))
            return Delta(delta.first, delta.last, delta.previous, {**delta.bids, price: 1}, delta.asks)
        return delta

    def _sweep(self) -> None:
        self._on = [one for one in self._on if one.active]
