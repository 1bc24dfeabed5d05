"""Members that do not reach a venue: who is barred and when, and what a plan makes of it. No server, no clock."""

import random

import msgspec
import pytest

from fleet.deafness import PATIENCE_MS, QUIET_MS, Bar, Deafness
from fleet.heartbeat import MemberRecord
from fleet.plan import Order, Plan, PlanMember, PlanPair, make_plan
from fleet.serving import group_of_label

G, OTHER = "binance:spot", "okx:futures"
A, B, C = "alpha:1:aa", "beta:1:bb", "gamma:1:cc"


def record(name: str, deaf: dict[str, int] | None = None, reached: tuple[str, ...] = ()) -> MemberRecord:
    return MemberRecord(
        id=name,
        host=name.split(":", maxsplit=1)[0],
        pid=1,
        roles=("feed",),
        capacity=500,
        plans=1,
        deaf=deaf or {},
        reached=reached,
    )


class Leader:
    """Looks at members as the planner does, and plans when that changes what it may give to whom."""

    def __init__(self, pairs: int = 12) -> None:
        self.deafness = Deafness()
        self.pairs = [PlanPair(f"{group}:P{i}/USDT", group, 4.0) for i in range(pairs) for group in (G, OTHER)]
        self.orders: dict[str, Order] = {}
        self.moves = 0
        self.barred: dict[str, tuple[str, ...]] = {}

    def look(self, now_ms: float, *records: MemberRecord, balance: bool = False) -> Plan:
        live: dict[str, set[str]] = {}
        known = {one.id: one for one in records}
        for label, order in self.orders.items():
            group = group_of_label(label)
            if order[0] in known and group not in known[order[0]].deaf:
                live.setdefault(group, set()).add(order[0])
        serving = {group: frozenset(names) for group, names in live.items()}
        self.deafness.bar(self.deafness.news(records, serving), now_ms)
        self.barred = self.deafness.barred(records, now_ms)
        members = [PlanMember(one.id, one.host, one.capacity, deaf=self.barred.get(one.id, ())) for one in records]
        current = {label: order[0] for label, order in self.orders.items()}
        plan = make_plan(members, self.pairs, current, self.orders, balance=balance or not self.orders)
        self.orders, self.moves = dict(plan.orders), self.moves + len(plan.moves)
        return plan

    def having(self, name: str, group: str) -> int:
        return sum(order[0] == name and group_of_label(label) == group for label, order in self.orders.items())


def led() -> Leader:
    leader = Leader()
    leader.look(0.0, record(A), record(B), record(C))
    assert leader.moves == 0
    return leader


def deaf_one(leader: Leader) -> str:
    return max((A, B, C), key=lambda name: leader.having(name, G))


def test_a_deaf_member_keeps_its_pairs_until_the_others_have_had_time_to_notice_it_too() -> None:
    leader = led()
    victim = deaf_one(leader)
    others = [record(name, reached=(G,)) for name in (A, B, C) if name != victim]
    leader.look(1.0, record(victim, {G: PATIENCE_MS - 1}), *others)
    assert leader.moves == 0
    had, elsewhere = leader.having(victim, G), leader.having(victim, OTHER)
    plan = leader.look(2.0, record(victim, {G: PATIENCE_MS}), *others)
    assert leader.moves == had > 0
    assert (leader.having(victim, G), leader.having(victim, OTHER)) == (0, elsewhere)
    assert {move.why for move in plan.moves} == {f"{victim} does not reach binance spot, others do"}


def test_a_deaf_member_is_an_heir_of_the_last_resort_only() -> None:
    leader = led()
    victim = deaf_one(leader)
    others = [record(name, reached=(G,)) for name in (A, B, C) if name != victim]
    leader.look(2.0, record(victim, {G: PATIENCE_MS}), *others)
    orders = [order for label, order in leader.orders.items() if group_of_label(label) == G]
    assert orders
    assert all(victim not in order[:2] for order in orders), orders


def test_a_venue_that_is_away_for_everybody_moves_nothing() -> None:
    leader = led()
    for ms in range(0, 120_000, 250):
        late = {A: 0, B: 4_000, C: 9_000}  # they notice at different moments
        leader.look(1_000.0 + ms, *(record(name, {G: ms - by} if ms >= by else {}) for name, by in late.items()))
    assert leader.moves == 0
    assert leader.barred == {}


def test_who_has_not_tried_proves_nothing() -> None:
    leader = Leader(1)
    leader.look(0.0, record(A), record(B))
    victim = next(name for name in (A, B) if leader.having(name, G))
    other = next(name for name in (A, B) if name != victim)
    leader.look(60_000.0, record(victim, {G: 60_000}), record(other))
    assert leader.moves == 0
    leader.look(61_000.0, record(victim, {G: 61_000}), record(other, reached=(G,)))
    assert leader.moves == 1


def test_who_is_deaf_as_well_gets_nothing_although_it_is_so_for_a_moment_only() -> None:
    leader = led()
    victim = deaf_one(leader)
    deaf, hears = [name for name in (A, B, C) if name != victim]
    leader.look(1.0, record(victim, {G: PATIENCE_MS}), record(deaf, {G: 3_000}), record(hears, reached=(G,)))
    assert leader.having(hears, G) == 12


def test_what_hears_again_is_counted_on_after_a_while_and_gets_nothing_back_for_that() -> None:
    leader = led()
    victim = deaf_one(leader)
    others = [record(name, reached=(G,)) for name in (A, B, C) if name != victim]
    leader.look(2.0, record(victim, {G: PATIENCE_MS}), *others)
    moved = leader.moves
    leader.look(1_000.0, record(victim), *others)
    assert leader.barred == {victim: (G,)}
    leader.look(1_999.0 + QUIET_MS, record(victim), *others)
    assert leader.barred == {}
    assert leader.moves == moved
    leader.look(3_000.0 + QUIET_MS, record(victim), *others, balance=True)
    assert leader.moves > moved  # but it may be given some when the fleet is balanced


def test_a_flapping_member_costs_one_move_a_pair() -> None:
    leader = led()
    victim = deaf_one(leader)
    others = [record(name, reached=(G,)) for name in (A, B, C) if name != victim]
    had = leader.having(victim, G)
    for s in range(3_600):
        deaf_ms = (s % 30) * 1_000 - 12_000  # 12 s well, 18 s deaf
        said = record(victim, {G: deaf_ms} if deaf_ms >= 3_000 else {})
        leader.look(s * 1_000.0, said, *others, balance=s % 300 == 0)  # balanced as often as the load can ask for it
    assert leader.having(victim, G) == 0
    assert leader.moves <= had + len(leader.pairs)  # the first move, and what balance had to do for the loads once


def test_a_new_leader_counts_on_what_the_member_says_and_not_on_its_own_time() -> None:
    leader = led()
    victim = deaf_one(leader)
    leader.deafness = Deafness()
    others = [record(name, reached=(G,)) for name in (A, B, C) if name != victim]
    leader.look(0.0, record(victim, {G: PATIENCE_MS}), *others)
    assert leader.having(victim, G) == 0


def test_when_those_who_are_left_cannot_serve_it_who_hears_again_does() -> None:
    leader = led()
    victim = deaf_one(leader)
    others = [name for name in (A, B, C) if name != victim]
    leader.look(2.0, record(victim, {G: PATIENCE_MS}), *(record(name, reached=(G,)) for name in others))
    leader.look(20_000.0, record(victim, reached=(G,)), *(record(name, {G: PATIENCE_MS}) for name in others))
    assert leader.having(victim, G) == 12  # all the others are deaf: its quiet time does not count
    leader.look(21_000.0, record(victim, reached=(G,)))  # they die
    assert leader.having(victim, G) == 12


def test_a_member_of_an_older_version_says_nothing_of_it_and_serves_what_it_hears() -> None:
    older = msgspec.json.decode(
        b'{"id":"old:1:dd","host":"old","pid":1,"roles":["feed"],"capacity":9,"plans":1}', type=MemberRecord
    )
    assert (older.deaf, older.reached) == ({}, ())
    deafness = Deafness()
    deaf = record(A, {G: PATIENCE_MS})
    assert deafness.news([deaf, older], {}) == []
    assert deafness.news([deaf, older], {G: frozenset({older.id})}) == [Bar(A, G)]

    class Older(msgspec.Struct):
        id: str
        plans: int = 0

    assert msgspec.json.decode(msgspec.json.encode(deaf), type=Older).id == A  # and reads ours


def test_a_plan_in_which_nobody_reaches_a_group_is_the_one_in_which_everybody_does() -> None:
    members = [PlanMember(name, name, 500) for name in (A, B)]
    pairs = [PlanPair(f"{G}:P{i}/USDT", G, 4.0) for i in range(7)]
    deaf = [member._replace(deaf=(G,)) for member in members]
    assert make_plan(deaf, pairs, {}, {}).orders == make_plan(members, pairs, {}, {}).orders


@pytest.mark.parametrize("seed", range(40))
def test_no_pair_is_planned_for_who_does_not_reach_it_while_another_has_room(seed: int) -> None:
    rng = random.Random(seed)
    groups = ["g:1", "g:2", "g:3", "g:4"]
    members = [
        PlanMember(
            f"m{i}", f"h{i % 3}", rng.choice((500, 500, 60)),
            deaf=tuple(group for group in groups if rng.random() < 0.3),
        )
        for i in range(rng.randint(2, 40))
    ]  # fmt: skip
    members[0] = members[0]._replace(capacity=5_000, deaf=())
    pairs = [
        PlanPair(f"{group}:P{i}", group, rng.choice((1.0, 4.0, 4.0, 300.0)))
        for i, group in enumerate(rng.choices(groups, k=200))
    ]
    current = {pair.label: rng.choice(members).id for pair in pairs if rng.random() < 0.7}
    for balance in (True, False):
        plan = make_plan(members, pairs, current, {}, balance=balance)
        deaf = {member.id: member.deaf for member in members}
        assert not plan.unplaced
        assert [label for label, order in plan.orders.items() if group_of_label(label) in deaf[order[0]]] == []
        counts = {member.id: sum(order[0] == member.id for order in plan.orders.values()) for member in members}
        assert all(counts[member.id] <= member.capacity for member in members)
        again = make_plan(members, pairs, {}, plan.orders, balance=False)
        assert again.moves == ()


def test_what_has_no_room_with_those_who_reach_it_is_better_placed_than_not_at_all() -> None:
    members = [PlanMember(A, "a", 500, deaf=(G, OTHER)), PlanMember(B, "b", 3)]
    pairs = [PlanPair(f"{G}:P{i}/USDT", G, 4.0) for i in range(10)]
    plan = make_plan(members, pairs, {}, {})
    assert not plan.unplaced
    assert sorted(order[0] for order in plan.orders.values()) == [A] * 7 + [B] * 3
