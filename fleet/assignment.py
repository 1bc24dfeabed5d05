"""PURE. Who should own what, without a leader: every member computes the same answer from the same membership.

Rendezvous hashing: each (label, member) has a fixed random-looking weight, and the heaviest member comes first. When a
member joins or leaves, only its own labels change their first place. The balanced, weighted plan replaces this ranking;
who may acquire is decided by leases and fences either way.
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b


def ranking(label: str, members: Iterable[str]) -> list[str]:
    """The members in the order in which they should take `label`: first the planned owner, then its heirs."""
    return sorted(
        members, key=lambda member: blake2b(f"{label}|{member}".encode(), digest_size=8).digest(), reverse=True
    )


def wait_before_claim_ms(label: str, me: str, members: Sequence[str], lease_ms: int) -> int:
    """How long a free lease is left to those who come before us: a quarter of the lease time for each of them."""
    order = ranking(label, {*members, me})
    return order.index(me) * (lease_ms // 4)
