"""PURE. Whether a book of ours is the venue's, level by level, as deep as was asked."""

from collections.abc import Mapping
from decimal import Decimal

Levels = Mapping[Decimal, Decimal]


def difference(ours: tuple[Mapping[str, str], Mapping[str, str]], truth: tuple[Levels, Levels], depth: int) -> str:
    """Where the best `depth` levels of a side differ, in words; empty: nowhere.

    A book that ends above that depth at the venue must end there with us too.
    """
    for name, found, whole, is_bids in (("bids", ours[0], truth[0], True), ("asks", ours[1], truth[1], False)):
        mine = _best({Decimal(price): Decimal(amount) for price, amount in found.items()}, depth, is_bids=is_bids)
        wanted = _best(whole, depth, is_bids=is_bids)
        if mine != wanted:
            wrong = sorted(set(mine.items()) ^ set(wanted.items()), reverse=is_bids)
            price = wrong[0][0]
            return (
                f"{name} differ in {len({level for level, _ in wrong})} of {len(wanted)} levels, the best at {price}: "
                f"we have {mine.get(price, 'none')}, the venue {wanted.get(price, 'none')}"
            )
    return ""


def _best(levels: Levels, depth: int, *, is_bids: bool) -> dict[Decimal, Decimal]:
    return {price: levels[price] for price in sorted(levels, reverse=is_bids)[:depth]}
