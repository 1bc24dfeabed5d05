"""CoinEx's own misbehaviours (venues/coinex.md §4, §5.6, §10). Their docstrings say what is known of the real venue."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ops.simulator.faults import Misbehaviour

if TYPE_CHECKING:
    from ops.simulator.coinex.public import CoinExPublic


def text_frames(venue: "CoinExPublic") -> Misbehaviour:
    """Messages leave as text frames instead of gzip. Not seen on the real venue."""
    return venue.faults.add(Misbehaviour("text_frames"))


def missing_side(venue: "CoinExPublic") -> Misbehaviour:
    """A delta that changes one side leaves the other out, instead of an empty list. Real clients broke on it."""
    return venue.faults.add(Misbehaviour("missing_side"))


def subscriptions_add(venue: "CoinExPublic") -> Misbehaviour:
    """A repeated subscribe adds to what is subscribed of its kind. By default it replaces it, as version 1 did; which of
    the two version 2 does is not known."""
    return venue.faults.add(Misbehaviour("subscriptions_add"))


def strict_markets(venue: "CoinExPublic") -> Misbehaviour:
    """One unknown market fails the whole list with 20001. By default it is acknowledged and never delivered, as the
    venue was seen to do in 2026-09."""
    return venue.faults.add(Misbehaviour("strict_markets"))


def mute(venue: "CoinExPublic") -> Misbehaviour:
    """Every open connection is answered and brings no market data any more (ccxt issue 22334). It never recovers."""
    for peer in venue.peers:
        venue.unsubscribe_all(peer)
        peer.session.muted = True
    return Misbehaviour("mute", active=False)


def maintenance(venue: "CoinExPublic", *, minutes: int = 30, whole_site: bool = False) -> Misbehaviour:
    """`/maintain/info` says that a maintenance goes on, and websockets are refused with 503. REST goes on: what it does
    then on the real venue is not known."""
    now = venue.wall_ms()
    options = {
        "started_at": now - 60_000,
        "ended_at": now + minutes * 60_000,
        "scope": "ALL_SITE" if whole_site else "",
    }
    return venue.faults.add(Misbehaviour("maintenance", options=options))


OWN: dict[str, Callable[..., Misbehaviour]] = {
    "text_frames": text_frames,
    "missing_side": missing_side,
    "subscriptions_add": subscriptions_add,
    "strict_markets": strict_markets,
    "mute": mute,
    "maintenance": maintenance,
}
