"""A holder's consent that a planned owner takes a pair of his: made, made again, and taken back."""

import logging
from collections.abc import Callable, Iterable

from feeds.hold import Hold, named
from fleet.hold_states import State
from fleet.lease import LeaseKeeper, Target
from fleet.tasks.model import Wanted

log = logging.getLogger(__name__)

OFFER_MS = 5000  # an offer stands so long; it is made again while the plan still says so
OFFER_AGAIN_MS = 2000.0


async def make_offers(
    leases: LeaseKeeper,
    target_of: Callable[[Wanted], Target],
    holds: Iterable[Hold],
    successor_of: Callable[[Hold], str],
    now_ms: float,
) -> list[Hold]:
    """Consent to every move that the plan wants; take back what it wants no more. Returns the holds whose lease is not ours.

    `successor_of`: who is to have the pair, '' nobody but us. Raises what Redis raises.
    """
    offers: dict[Target, str] = {}
    to: dict[str, Hold] = {}
    for hold in holds:
        if hold.state is not State.OWNED:
            continue
        successor = successor_of(hold)
        stands = successor == hold.offered_to and now_ms - hold.offered_ms < OFFER_AGAIN_MS
        if (successor or hold.offered_to) and not stands:
            target = target_of(hold.wish)
            offers[target], to[target.lease] = successor, hold
    if not offers:
        return []
    news = [
        to[target.lease].pair for target, member in offers.items() if member not in ("", to[target.lease].offered_to)
    ]
    if news:
        log.info("offered to their planned owners: %s", named(news))
    lost = {target.lease for target in await leases.offer(offers, OFFER_MS)}
    for target, member in offers.items():
        if target.lease not in lost:
            to[target.lease].offered_to, to[target.lease].offered_ms = member, now_ms
    return [to[lease] for lease in lost]
