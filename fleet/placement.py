"""PURE. Who serves which pair, in numbers: pairs stay at home, the homeless fill the room of members, loads stay in a band.

Members and pairs are indices, weights are whole numbers: sums are exact, so the same state always gives the same answer.
"""

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

TOLERANCE = 10  # per cent of the mean load that a member may be off before pairs are moved for balance
HOT = 3  # times the mean weight: pairs that are spread before all others
TRIES = 32  # members looked at for a hot pair before the least loaded one takes it
HOMELESS = -1


class Placement:
    """The state of one plan in the making. `owner[pair]` is a member or HOMELESS.

    weights, groups, capacities   of each pair, of each pair, of each member
    slots                         pairs a connection, by group: the venue's own limit
    barred                        members that are to have nothing of a group, while another has room for it
    """

    def __init__(
        self,
        weights: Sequence[int],
        groups: Sequence[int],
        capacities: Sequence[int],
        slots: Mapping[int, int],
        barred: Mapping[int, Collection[int]] = MappingProxyType({}),
    ) -> None:
        members = range(len(capacities))
        self.owner = [HOMELESS] * len(weights)
        self.load = [0 for _ in members]
        self.count = [0 for _ in members]
        self._hot_load = [0 for _ in members]
        self._pairs: list[dict[int, None]] = [{} for _ in members]
        self._having: dict[int, dict[int, int]] = {}
        self._weights = weights
        self._groups = groups
        self._all_capacities = capacities
        self._capacities = [
            0 if barred and all(member in barred.get(group, ()) for group in set(groups)) else capacity
            for member, capacity in enumerate(capacities)
        ]  # who may have nothing at all takes no part
        self._barred = barred
        self._slots = slots
        self._usual = self._hot_above = 0
        self.level = self.upper = self.lower = 0

    def run(self, pairs: Sequence[int], homes: Sequence[int], inherited: Collection[int], *, balance: bool) -> None:
        """Place `pairs`, the most important first; `homes[pair]` is where it is now, or HOMELESS; `inherited` are those that
        come to their home from elsewhere, and may as well go to another.

        The capacities together must suffice. Without `balance` nobody leaves a home that has room.
        """
        weights, capacities = self._weights, self._capacities
        total = sum(weights[pair] for pair in pairs)
        self._usual = total // max(1, len(pairs))
        self._hot_above = HOT * self._usual
        self.level = _water_level(total, len(pairs), self._capacities, [weights[pair] for pair in pairs])
        self.upper = self.level + self.level * TOLERANCE // 100
        self.lower = self.level - self.level * TOLERANCE // 100
        pool = []
        for pair in pairs:
            home = homes[pair]
            if balance and pair in inherited:
                continue
            if home != HOMELESS and self.count[home] < capacities[home]:
                self._put(pair, home)
            else:
                pool.append(pair)
        for pair in pairs if balance and inherited else ():
            if pair in inherited:
                home = homes[pair]
                if self._has_room(home) and self.load[home] + weights[pair] <= max(
                    self.upper, self.level + weights[pair] // 2
                ):
                    self._put(pair, home)
                else:
                    pool.append(pair)
        if balance:
            pool += self._shed(sum(weights[pair] for pair in pool))
        self._place(pool)
        if balance:
            self._polish(4 * len(pairs) + 100)

    def pairs_of(self, member: int) -> Iterable[int]:
        """What a member has, in the order in which it came."""
        return self._pairs[member]

    def connections(self) -> int:
        """How many connections to venues all members need together."""
        return sum(-(-n // self._slots[group]) for group, having in self._having.items() for n in having.values())

    # --- steps --------------------------------------------------------------------------------------------------------

    def _put(self, pair: int, member: int) -> None:
        weight, group = self._weights[pair], self._groups[pair]
        self.owner[pair] = member
        self.load[member] += weight
        self.count[member] += 1
        self._pairs[member][pair] = None
        if weight > self._hot_above:
            self._hot_load[member] += weight
        having = self._having.get(group)
        if having is None:
            having = self._having[group] = {}
        having[member] = having.get(member, 0) + 1

    def _take(self, pair: int) -> None:
        member, weight, group = self.owner[pair], self._weights[pair], self._groups[pair]
        self.owner[pair] = HOMELESS
        self.load[member] -= weight
        self.count[member] -= 1
        del self._pairs[member][pair]
        if weight > self._hot_above:
            self._hot_load[member] -= weight
        having = self._having[group]
        having[member] -= 1
        if not having[member]:
            del having[member]

    def _move(self, pair: int, member: int) -> None:
        self._take(pair)
        self._put(pair, member)

    def _has_room(self, member: int) -> bool:
        return self.count[member] < self._capacities[member]

    def _may_have(self, pair: int, member: int) -> bool:
        return not self._barred or member not in self._barred.get(self._groups[pair], ())

    def _lightest_for(self, pair: int) -> int:
        """The least loaded of those that may have it; where none of them has room, of all: better there than nowhere."""
        allowed = [member for member in self._with_room() if self._may_have(pair, member)]
        rest = [member for member, most in enumerate(self._all_capacities) if self.count[member] < most]
        return min(allowed or rest, key=lambda member: (self.load[member], member))

    def _with_room(self) -> list[int]:
        return [member for member in range(len(self.load)) if self._has_room(member)]

    def _heaviest_first(self, member: int, group: int | None = None) -> list[int]:
        """The fewest moves; among equals those of the smallest group, so that its connection goes with them."""
        groups, having = self._groups, self._having
        return sorted(
            self._pairs[member] if group is None else [pair for pair in self._pairs[member] if groups[pair] == group],
            key=lambda pair: (-self._weights[pair], having[groups[pair]][member], groups[pair], pair),
        )

    def _shed(self, homeless: int) -> list[int]:
        """What those above the band give, down to its edge: to be placed in groups. Only what an improvement could take, and no
        more than the others have room for beside the weight of the homeless."""
        open_to = self._with_room()
        lightest = min((self.load[member] for member in open_to), default=0)
        rooms = [self.level - self.load[member] for member in open_to]
        room = sum(room for room in rooms if room > self._usual // 2) - homeless
        pool = []
        for donor in sorted(range(len(self.load)), key=lambda member: (-self.load[member], member)):
            if self.load[donor] <= self.upper:
                break
            for pair in self._heaviest_first(donor):
                load, weight = self.load[donor], self._weights[pair]
                if load <= self.upper:
                    break
                if weight <= load - self.lower and weight < load - lightest and weight // 2 < room:
                    self._take(pair)
                    pool.append(pair)
                    room -= weight
        return pool

    def _place(self, pool: Sequence[int]) -> None:
        """Hot pairs first, each where the least heat is; then group after group, a member after the other filled to the
        level: as few members as can be have to do with a group."""
        hot, by_group = [], dict[int, list[int]]()
        for pair in pool:
            if self._weights[pair] > self._hot_above:
                hot.append(pair)
            else:
                by_group.setdefault(self._groups[pair], []).append(pair)
        self._spread(sorted(hot, key=lambda pair: (-self._weights[pair], pair)))
        left: list[int] = []
        rooms = [(self.load[member], member) for member in self._with_room() if self.load[member] < self.level]
        heapq.heapify(rooms)
        for group in sorted(by_group, key=lambda group: (-len(by_group[group]), group)):
            left += self._fill_group(group, by_group[group], rooms)
        lightest = [(self.load[member], member) for member in self._with_room()]
        heapq.heapify(lightest)
        first = [pair for pair in left if not self._barred.get(self._groups[pair])]
        for pair in sorted(first, key=lambda pair: (-self._weights[pair], pair)):
            if not lightest:
                self._put(pair, self._lightest_for(pair))
                continue
            _, member = lightest[0]
            self._put(pair, member)
            if self._has_room(member):
                heapq.heapreplace(lightest, (self.load[member], member))
            else:
                heapq.heappop(lightest)
        if len(first) < len(left):
            for pair in sorted(set(left).difference(first), key=lambda pair: (-self._weights[pair], pair)):
                self._put(pair, self._lightest_for(pair))

    def _spread(self, hot: Sequence[int]) -> None:
        heap = [(self._hot_load[member], self.load[member], member) for member in self._with_room()]
        heapq.heapify(heap)
        for pair in hot:
            passed: list[tuple[int, int, int]] = []
            chosen = None
            while heap and len(passed) < TRIES:
                entry = heapq.heappop(heap)
                if not self._has_room(entry[2]):
                    continue  # filled by what nobody else may have
                if self.load[entry[2]] + self._weights[pair] <= self.upper and self._may_have(pair, entry[2]):
                    chosen = entry[2]
                    break
                passed.append(entry)
            if chosen is None:  # it fits nowhere: the least loaded of those looked at
                able = [entry for entry in passed if self._may_have(pair, entry[2])]
                chosen = min(able, key=lambda entry: (entry[1], entry[2]))[2] if able else self._lightest_for(pair)
                passed = [entry for entry in passed if entry[2] != chosen]
            for entry in passed:
                heapq.heappush(heap, entry)
            self._put(pair, chosen)
            if self._has_room(chosen):
                heapq.heappush(heap, (self._hot_load[chosen], self.load[chosen], chosen))

    def _fill_group(self, group: int, pairs: Sequence[int], rooms: list[tuple[int, int]]) -> list[int]:
        """Pairs of one group: first into connections that are open, then to the member with the most room. What is left."""
        having, slots = self._having.get(group, {}), self._slots[group]
        if barred := self._barred.get(group, ()):
            rooms = [room for room in rooms if room[1] not in barred]
            heapq.heapify(rooms)
        open_at = sorted(
            (member for member in having if self.load[member] < self.level and self._has_room(member)),
            key=lambda member: (self.load[member] // max(1, self.level // 8), -(-having[member] % slots), member),
        )
        waiting = iter(open_at)
        member, left = next(waiting, None), []
        for pair in pairs:
            weight = self._weights[pair]
            while True:
                if member is None:
                    member = self._roomiest(rooms)
                    if member is None:
                        break
                if self._has_room(member) and self.load[member] + weight // 2 < self.level:
                    break
                member = next(waiting, None)
            if member is None:
                left.append(pair)
            else:
                self._put(pair, member)
        if member is not None and self._has_room(member) and self.load[member] < self.level:
            heapq.heappush(rooms, (self.load[member], member))
        return left

    def _roomiest(self, rooms: list[tuple[int, int]]) -> int | None:
        while rooms:
            load, member = heapq.heappop(rooms)
            if self.load[member] == load:
                return member
            if self.load[member] < self.level and self._has_room(member):
                heapq.heappush(rooms, (self.load[member], member))
        return None

    # --- the last touch: every step lowers the sum of squares, so it ends, and a second run finds nothing to do ------------

    def _polish(self, most: int) -> None:
        while most > 0:
            moved = self._relieve() + self._feed()
            if not moved:
                return
            most -= moved

    def _relieve(self) -> int:
        """Members above the band give to the least loaded: the heaviest that leaves them in the band, else the lightest."""
        moved = 0
        rooms = [(self.load[member], member) for member in self._with_room()]
        heapq.heapify(rooms)
        for donor in sorted(range(len(self.load)), key=lambda member: (-self.load[member], member)):
            if self.load[donor] <= self.upper:
                break
            rows = self._heaviest_first(donor)
            for floor, offered in ((self.lower, rows), (0, rows[::-1])):
                for pair in offered:
                    if self.load[donor] <= self.upper or not rooms:
                        break
                    if self.owner[pair] != donor or self.load[donor] - self._weights[pair] < floor:
                        continue
                    while rooms and (self.load[rooms[0][1]] != rooms[0][0] or not self._has_room(rooms[0][1])):
                        _, stale = heapq.heappop(rooms)
                        if self._has_room(stale):
                            heapq.heappush(rooms, (self.load[stale], stale))
                    if (
                        rooms
                        and self._weights[pair] < self.load[donor] - rooms[0][0]
                        and self._may_have(pair, rooms[0][1])
                    ):
                        self._move(pair, rooms[0][1])
                        moved += 1
        return moved

    def _feed(self) -> int:
        """Members below the band get from those above the mean: of as few groups as can be, then whatever helps."""
        moved = 0
        hungry = sorted((self.load[member], member) for member in self._with_room() if self.load[member] < self.lower)
        for _, taker in hungry:
            donors = sorted(
                (member for member in range(len(self.load)) if self.load[member] > self.lower and member != taker),
                key=lambda member: (-self.load[member], member),
            )
            floor = (self.level + self.lower) // 2
            for group in self._groups_to_take(taker, donors):
                moved += self._take_from(taker, donors, floor, group)
            while self.load[taker] < self.lower and (more := self._take_from(taker, donors, 0, None)):
                moved += more
        return moved

    def _groups_to_take(self, taker: int, donors: Sequence[int]) -> list[int]:
        """What it has already, then what most of those have who could give."""
        giving = set(donors)
        return sorted(
            self._having,
            key=lambda group: (
                -self._having[group].get(taker, 0), -sum(member in giving for member in self._having[group]), group
            ),
        )  # fmt: skip

    def _take_from(self, taker: int, donors: Sequence[int], floor: int, group: int | None) -> int:
        """One pass over the donors; with a group as many as each can spare, without one a single pair of each."""
        moved = 0
        having = None if group is None else self._having[group]
        for donor in donors:
            if self.load[taker] >= self.lower or not self._has_room(taker):
                break
            if (having is not None and donor not in having) or self.load[donor] <= max(floor, self.load[taker]):
                continue
            rows = self._heaviest_first(donor, group)
            for pair in rows if group is not None else rows[::-1]:
                weight, gap = self._weights[pair], self.load[donor] - self.load[taker]
                if weight < gap and self.load[donor] - weight >= floor and self._may_have(pair, taker):
                    self._move(pair, taker)
                    moved += 1
                    if group is None or self.load[taker] >= self.lower or not self._has_room(taker):
                        break
        return moved


def _water_level(total: int, pairs: int, capacities: Sequence[int], weights: Sequence[int]) -> int:
    """The load that members can have in common: the mean of those whose capacity does not end before (pairs of mean weight)
    and who do not have a single pair heavier than that."""
    left, members = total, len(capacities)
    for capacity in sorted(capacities):
        most = capacity * total // max(1, pairs)
        if most * members >= left:
            break
        left -= most
        members -= 1
    for weight in heapq.nlargest(members - 1, weights) if members > 1 else ():
        if weight * members <= left:
            break
        left -= weight
        members -= 1
    return -(-left // members) if members else 0
