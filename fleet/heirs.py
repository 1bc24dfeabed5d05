"""PURE. Heirs: who takes a pair when its owner is gone, chosen so that a crash spreads over many and not over one.

The members stand in a ring in which hosts alternate. The pairs of one owner go to those that follow it there, on other
hosts where there are any, in pieces of equal weight: at most FAN members, so that pairs of one market stay together.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

FAN = 16  # a crash adds a sixteenth of a load to each: within the tolerance of the balance
HEIRS = 2
KEEP_MORE = 4  # an heir of the last order stays one for a quarter more than its piece


class Ring:
    """Members (indices into `hosts`) in an order in which neighbours stand on different hosts where that can be."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self._hosts = hosts
        nth: dict[str, int] = {}
        ranked = []
        for member, host in enumerate(hosts):
            ranked.append((nth.get(host, 0), host, member))
            nth[host] = nth.get(host, 0) + 1
        self._order = [member for _, _, member in sorted(ranked)]
        self._position = {member: position for position, member in enumerate(self._order)}

    def after(self, owner: int | None, host: str, turn: int) -> tuple[list[int], list[int]]:
        """The first FAN on other hosts and the first FAN on this one, from the owner on; `turn` for an owner not in it."""
        start = turn if owner is None else self._position[owner] + 1
        away: list[int] = []
        near: list[int] = []
        order, hosts = self._order, self._hosts
        for step in range(len(order)):
            member = order[(start + step) % len(order)]
            if member == owner:
                continue
            if hosts[member] != host:
                away.append(member)
                if len(away) == FAN:
                    break
            elif len(near) < FAN:
                near.append(member)
        return away, near


class Estate(NamedTuple):
    """The pairs of one owner. `owner`: its index, None for one that takes part in no plan; `turn`: any number for those."""

    owner: int | None
    host: str
    pairs: Sequence[int]
    turn: int = 0


def choose_heirs(
    estate: Estate,
    ring: Ring,
    hosts: Sequence[str],
    weights: Sequence[int],
    before: Callable[[int], Sequence[int]],
) -> dict[int, tuple[int, ...]]:
    """Up to HEIRS heirs for each pair of the estate. `pairs` stand in the order in which neighbours belong together.

    `before(pair)` are the members the last order named, without the owner and those that are gone: they stay heirs while
    that keeps the estate spread.
    """
    away, near = ring.after(estate.owner, estate.host, estate.turn)
    if not (away or near):
        return {}
    total = sum(weights[pair] for pair in estate.pairs)
    heaviest = max((weights[pair] for pair in estate.pairs), default=0)
    pieces = _pieces(away, near, total)
    room = {member: piece + piece // KEEP_MORE + heaviest for member, piece in pieces.items()}
    usual = min(room.values())
    any_host = len(away) < 2
    first: dict[int, int] = {}
    rest: list[int] = []
    for pair in estate.pairs:
        for member in before(pair)[:1]:
            if member not in room and (any_host or hosts[member] != estate.host):
                room[member] = usual
            if room.get(member, 0) >= weights[pair]:
                room[member] -= weights[pair]
                first[pair] = member
        if pair not in first:
            rest.append(pair)
    _cut(rest, pieces, first, weights)
    return _with_second(estate, first, list(pieces), before)


def _pieces(away: Sequence[int], near: Sequence[int], total: int) -> dict[int, int]:
    """How much of the owner's load each may inherit."""
    if len(away) >= 2 or not near:
        return dict.fromkeys(away, -(-total // len(away)))
    if not away:
        return dict.fromkeys(near, -(-total // len(near)))
    # one other host only: all on it would double its load
    half = -(-total // 2)
    return {away[0]: half} | dict.fromkeys(near, -(-half // len(near)))


def _cut(pairs: Sequence[int], pieces: Mapping[int, int], first: dict[int, int], weights: Sequence[int]) -> None:
    """The pairs that have no heir yet, in turn to each member until its piece is full."""
    left = dict(pieces)
    for pair, member in first.items():
        if member in left:
            left[member] -= weights[pair]
    members = list(pieces)
    at = 0
    for pair in pairs:
        weight = weights[pair]
        for _ in members:
            if left[members[at]] - weight // 2 > 0:
                break
            at = (at + 1) % len(members)
        else:
            at = max(range(len(members)), key=lambda index: (left[members[index]], -index))
        first[pair] = members[at]
        left[members[at]] -= weight


def _with_second(
    estate: Estate, first: Mapping[int, int], choice: Sequence[int], before: Callable[[int], Sequence[int]]
) -> dict[int, tuple[int, ...]]:
    """A second heir beside each first: the last order's, else in turn, so that two crashes do not meet in one member."""
    place = {member: index for index, member in enumerate(choice)}
    found: dict[int, tuple[int, ...]] = {}
    turn = 0
    for pair in estate.pairs:
        heir = first[pair]
        second = next((member for member in before(pair)[:HEIRS] if member != heir), None)
        if second is None:
            others = len(choice) - (heir in place)
            if others:
                second = choice[(place.get(heir, -1) + 1 + turn % others) % len(choice)]
                turn += 1
        found[pair] = (heir,) if second is None else (heir, second)
    return found
