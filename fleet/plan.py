"""PURE. The plan: who should serve which pair, and who inherits it. Balanced, within capacity, sticky; what cannot be
placed is said.

The leader makes it from what is known; members act on it by themselves (first of the order that lives and takes work), so
that nothing waits for a leader. The same input always gives the same plan, and a plan made from its own result moves nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fleet.heirs import Estate, Ring, choose_heirs
from fleet.placement import HOMELESS, Placement

PLAN_VERSION = 1  # of what members read and do; 0: a daemon that knows no plans
PAIRS_A_CONNECTION = 50
BASE_WEIGHT = 1.0  # messages a second: what a pair costs that says nothing (lease, touch, subscription)
_UNIT = 1000  # weights are counted in thousandths, so that sums are exact

Order = tuple[str, ...]  # planned owner, first heir, second heir


class PlanMember(NamedTuple):
    """A member that feeds. `quiet`: takes no more work. `plans`: version of plans it follows, 0: what it owns stays. `deaf`:
    groups that it does not reach and others do (fleet.deafness): it is to have none of their pairs."""

    id: str
    host: str
    capacity: int
    quiet: bool = False
    plans: int = PLAN_VERSION
    deaf: tuple[str, ...] = ()


class PlanPair(NamedTuple):
    """A wanted pair. `group`: pairs that may share a connection (venue:market). `rate`: messages a second, None: unknown.
    A priority of 0 or less means not wanted."""

    label: str
    group: str
    rate: float | None = None
    priority: int = 1


class Move(NamedTuple):
    """A pair that changes its planned owner."""

    label: str
    from_: str
    to: str
    why: str


@dataclass(frozen=True)
class Plan:
    """orders      of every pair that is placed
    unplaced    of every wanted pair that is not, with the reason
    moves       what changes against the plan before, or against who serves now where there was none
    loads       of every member that takes part, in messages a second with the base cost of each pair
    connections to venues that this takes
    """

    orders: Mapping[str, Order] = field(default_factory=dict)
    unplaced: Mapping[str, str] = field(default_factory=dict)
    moves: tuple[Move, ...] = ()
    loads: Mapping[str, float] = field(default_factory=dict)
    connections: int = 0

    @property
    def off_balance(self) -> float:
        """The highest load as a multiple of the mean; 1 where nobody has any."""
        total = sum(self.loads.values())
        return max(self.loads.values()) * len(self.loads) / total if total else 1.0


def make_plan(
    members: Sequence[PlanMember],
    pairs: Sequence[PlanPair],
    current: Mapping[str, str],
    previous: Mapping[str, Order],
    *,
    balance: bool = True,
    slots: Callable[[str], int] = lambda _: PAIRS_A_CONNECTION,
) -> Plan:
    """Place every wanted pair. `current`: label → who serves it now. `previous`: the last plan's orders.

    With `balance`, no member's load stands above the mean by more than a tenth and the heaviest pair, unless capacity or
    the size of pairs forbids it. Without, only pairs without a home are placed: for a leader that takes over.
    `slots(group)`: pairs a connection.
    """
    return _Making(members, pairs, current, previous, slots).plan(balance=balance)


def current_loads(pairs: Sequence[PlanPair], current: Mapping[str, str]) -> dict[str, float]:
    """What each owner carries now, in the measure of Plan.loads."""
    loads: dict[str, int] = {}
    wanted = [pair for pair in pairs if pair.priority > 0]
    for pair, weight in zip(wanted, _weights(wanted), strict=True):
        if pair.label in current:
            loads[current[pair.label]] = loads.get(current[pair.label], 0) + weight
    return {owner: load / _UNIT for owner, load in loads.items()}


class _Making:
    def __init__(
        self,
        members: Sequence[PlanMember],
        pairs: Sequence[PlanPair],
        current: Mapping[str, str],
        previous: Mapping[str, Order],
        slots: Callable[[str], int],
    ) -> None:
        self.all = {member.id: member for member in members}
        self.takers = [
            member
            for member in sorted(members)
            if not member.quiet and member.plans > 0 and member.capacity > 0
        ]  # fmt: skip
        self.index = {member.id: index for index, member in enumerate(self.takers)}
        self.settled = {member.id for member in members if member.plans == 0 and not member.quiet}
        self.pairs = sorted((pair for pair in pairs if pair.priority > 0), key=lambda pair: pair.label)
        self.current = current
        self.previous = previous
        self.groups = {group: index for index, group in enumerate(sorted({pair.group for pair in self.pairs}))}
        self.group_of = {pair.label: pair.group for pair in self.pairs}
        self.slots = {index: max(1, slots(group)) for group, index in self.groups.items()}
        self.weights = _weights(self.pairs)
        self.barred = self._barred()
        self.inherited: set[int] = set()
        self.homes = [self._home(number, pair) for number, pair in enumerate(self.pairs)]

    def _barred(self) -> dict[int, frozenset[int]]:
        """Group → takers that do not reach it; not where that is all of them."""
        found: dict[int, set[int]] = {}
        for index, member in enumerate(self.takers):
            for group in member.deaf:
                if group in self.groups:
                    found.setdefault(self.groups[group], set()).add(index)
        return {group: frozenset(members) for group, members in found.items() if len(members) < len(self.takers)}

    def _deaf_to(self, group: str) -> frozenset[int]:
        return self.barred.get(self.groups[group], frozenset())

    def _home(self, number: int, pair: PlanPair) -> int:
        order, barred = self.previous.get(pair.label, ()), self._deaf_to(pair.group)
        index = {name: home for name in (*order, self.current.get(pair.label, ""))
                 if (home := self.index.get(name)) is not None and home not in barred}  # fmt: skip
        if order and order[0] in index:
            return index[order[0]]
        if (home := index.get(self.current.get(pair.label, ""))) is not None:
            return home
        for name in order:
            if name in index:
                self.inherited.add(number)
                return index[name]
        return HOMELESS

    def plan(self, *, balance: bool) -> Plan:
        kept = {
            number: owner
            for number, pair in enumerate(self.pairs)
            if (owner := self.current.get(pair.label, "")) in self.settled
        }
        asked = sorted(
            (number for number in range(len(self.pairs)) if number not in kept),
            key=lambda number: (-self.pairs[number].priority, self.homes[number] == HOMELESS, number),
        )
        places = sum(member.capacity for member in self.takers)
        accepted, refused = asked[:places], asked[places:]
        placement = Placement(
            self.weights,
            [self.groups[pair.group] for pair in self.pairs],
            [member.capacity for member in self.takers],
            self.slots,
            self.barred,
        )
        placement.run(accepted, self.homes, self.inherited, balance=balance)
        orders = self._orders(placement, kept)
        return Plan(
            orders=orders,
            unplaced=self._unplaced(refused, accepted, places),
            moves=self._moves(orders, placement),
            loads={member.id: placement.load[index] / _UNIT for index, member in enumerate(self.takers)},
            connections=placement.connections(),
        )

    def _orders(self, placement: Placement, kept: Mapping[int, str]) -> dict[str, Order]:
        hosts = [member.host for member in self.takers]
        ring = Ring(hosts)
        estates = [
            (member.id, Estate(index, member.host, self._together(placement.pairs_of(index))))
            for index, member in enumerate(self.takers)
        ]
        by_owner: dict[str, list[int]] = {}
        for number, owner in kept.items():
            by_owner.setdefault(owner, []).append(number)
        for turn, owner in enumerate(sorted(by_owner)):
            estates.append((owner, Estate(None, self.all[owner].host, self._together(by_owner[owner]), turn)))
        names = [member.id for member in self.takers]
        orders: dict[str, Order] = {}
        for owner, estate in estates:
            heirs = choose_heirs(estate, ring, hosts, self.weights, self._heirs_before(owner))
            for number in estate.pairs:
                pair, found = self.pairs[number], heirs.get(number, ())
                if barred := self._deaf_to(pair.group):  # who does not reach it comes last: better than nobody
                    found = tuple(sorted(found, key=barred.__contains__))
                orders[pair.label] = (owner, *(names[heir] for heir in found))
        return orders

    def _together(self, numbers: Iterable[int]) -> list[int]:
        groups, pairs = self.groups, self.pairs
        return sorted(numbers, key=lambda number: (groups[pairs[number].group], number))

    def _heirs_before(self, owner: str) -> Callable[[int], list[int]]:
        index, previous, pairs = self.index, self.previous, self.pairs

        def before(number: int) -> list[int]:
            order = previous.get(pairs[number].label, ())
            return [index[name] for name in order if name != owner and name in index]

        return before

    # --- in words -----------------------------------------------------------------------------------------------------

    def _unplaced(self, refused: Sequence[int], accepted: Sequence[int], places: int) -> dict[str, str]:
        if not refused:
            return {}
        if not self.takers:
            why = (
                "no daemon takes pairs: every one is draining, stopping or of a version without plans"
                if self.all
                else "no daemon with the role feed is there"
            )
        else:
            lowest = self.pairs[accepted[-1]].priority
            count = len(self.takers)
            why = (
                f"no place: {count} {'daemon takes' if count == 1 else 'daemons take'} {places} pairs together "
                f"(FLEET_CAPACITY), {len(accepted) + len(refused)} are wanted, those of priority {lowest} and above come first"
            )
        return {self.pairs[number].label: why for number in refused}

    def _moves(self, orders: Mapping[str, Order], placement: Placement) -> tuple[Move, ...]:
        moves = []
        at_home = [0] * len(self.takers)
        counts = [0] * len(self.takers)
        for number, home in enumerate(self.homes):
            if home != HOMELESS:
                at_home[home] += self.weights[number]
                counts[home] += 1
        for pair in self.pairs:
            order = orders.get(pair.label)
            if order is None:
                continue
            before = self.previous.get(pair.label)
            from_ = before[0] if before else self.current.get(pair.label, order[0])
            if from_ != order[0]:
                why = self._why(from_, order[0], at_home, counts, placement.level, pair.label)
                moves.append(Move(pair.label, from_, order[0], why))
        return tuple(moves)

    def _why(self, from_: str, to: str, at_home: Sequence[int], counts: Sequence[int], level: int, label: str) -> str:
        giver = self.all.get(from_)
        if giver is None:
            return f"{from_} is gone"
        if giver.quiet:
            return f"{from_} takes no more work: it is draining or stopping"
        group = self.group_of[label]
        if self.index.get(from_) in self._deaf_to(group):
            return f"{from_} does not reach {group.replace(':', ' ')}, others do"
        if self.current.get(label) == to and to in self.settled:
            return f"{to} serves it, and is of a version without plans: it stays there"
        if from_ not in self.index:
            return f"{from_} takes no pairs"
        home, target = self.index[from_], self.index[to]
        if counts[home] > giver.capacity:
            return f"{from_} has {counts[home]} pairs, its capacity is {giver.capacity}"
        level = max(1, level)
        return (
            f"balance: {from_} carried {100 * at_home[home] // level} % of the mean load, "
            f"{to} {100 * at_home[target] // level} %"
        )


def _weights(pairs: Sequence[PlanPair]) -> list[int]:
    """Whole thousandths; a pair without a measured rate counts as the mean of those that have one."""
    known = [pair.rate for pair in pairs if pair.rate is not None]
    usual = sum(known) / len(known) if known else 0.0
    return [
        max(1, round(_UNIT * (BASE_WEIGHT + (usual if pair.rate is None else max(0.0, pair.rate))))) for pair in pairs
    ]
