"""What KuCoin does wrong, or rarely does, beside `ops.simulator.misbehaviours` (venues/kucoin.md §2, §3, §5, §10)."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from ops.simulator.faults import Misbehaviour

if TYPE_CHECKING:
    from ops.simulator.kucoin.public import KucoinPublic


def mute(venue: "KucoinPublic", *, pair: str, count: int = 1) -> Misbehaviour:
    """The next `count` subscriptions of a pair are acknowledged and stay silent, as for an unknown symbol (§10, 4)."""
    return venue.faults.add(Misbehaviour("mute", pair, count))


def early_delta(venue: "KucoinPublic", *, pair: str, count: int = 1) -> Misbehaviour:
    """Pro: a delta comes before the snapshot of its subscription, `count` times (§5.1)."""
    return venue.faults.add(Misbehaviour("early_delta", pair, count))


def overlap(venue: "KucoinPublic", *, pair: str, count: int = 1) -> Misbehaviour:
    """The next `count` deltas begin before the end of the one before them: documented as applicable, never observed (§5.1).
    Classic futures number each change alone and cannot."""
    return venue.faults.add(Misbehaviour("overlap", pair, count))


def hidden_order(venue: "KucoinPublic", *, pair: str, count: int = 1) -> Misbehaviour:
    """Classic spot: a change at price 0 takes a sequence of its own, `count` times (§5.2)."""
    return venue.faults.add(Misbehaviour("hidden_order", pair, count))


def text_results(venue: "KucoinPublic") -> Misbehaviour:
    """Pro: acknowledgements say "true" in place of true (§4)."""
    return venue.faults.add(Misbehaviour("text_results"))


def late_welcome(venue: "KucoinPublic", *, delay_ms: float = 300) -> Misbehaviour:
    """Sockets opened from now on are welcomed `delay_ms` late, and what is said before is lost (§10, 3)."""
    return venue.faults.add(Misbehaviour("late_welcome", options={"delay_ms": delay_ms}))


def expire_tokens(venue: "KucoinPublic") -> Misbehaviour:
    """Every token that was given out is too old now; sockets that are open stay open (§2)."""
    venue.expire_tokens()
    return Misbehaviour("expire_tokens", active=False)


OWN: Final[Mapping[str, Callable[..., Misbehaviour]]] = {
    "mute": mute, "early_delta": early_delta, "overlap": overlap, "hidden_order": hidden_order,
    "text_results": text_results, "late_welcome": late_welcome, "expire_tokens": expire_tokens,
}  # fmt: skip
