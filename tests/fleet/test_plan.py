"""fleet/plan.py by properties: small fleets of every shape, and what must be true of every plan."""

import math
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.heirs import FAN
from fleet.plan import BASE_WEIGHT, Order, Plan, PlanMember, PlanPair, make_plan

GROUPS = ("binance:spot", "binance:futures", "okx:spot", "htx:futures")
ROOMY = 10_000
PROPERTY = settings(max_examples=60, deadline=None)


def member(number: int, host: str = "", **fields: object) -> PlanMember:
    host = host or f"host{number}"
    return PlanMember(**{"id": f"{host}:{number}:aa", "host": host, "capacity": ROOMY} | fields)


def members_of(count: int, hosts: int = 0, **fields: object) -> list[PlanMember]:
    return [member(number, f"host{number % hosts if hosts else number}", **fields) for number in range(count)]


def pair(number: int, group: str = GROUPS[0], **fields: object) -> PlanPair:
    return PlanPair(f"{group}:P{number:05d}/USDT", group, **fields)


def pairs_of(count: int, rate: float | None = 4.0, groups: int = 4) -> list[PlanPair]:
    return [pair(number, GROUPS[number % groups], rate=rate) for number in range(count)]


def owners(plan: Plan) -> dict[str, str]:
    return {label: order[0] for label, order in plan.orders.items()}


def moved(before: Plan, after: Plan) -> list[str]:
    """Pairs that were placed and are placed elsewhere."""
    new = owners(after)
    return [label for label, owner in owners(before).items() if label in new and new[label] != owner]


def loads_of(plan: Plan, pairs: list[PlanPair]) -> dict[str, float]:
    weight = {one.label: BASE_WEIGHT + (one.rate or 0.0) for one in pairs}
    loads: dict[str, float] = defaultdict(float)
    for label, owner in owners(plan).items():
        loads[owner] += weight[label]
    return loads


rates = st.one_of(
    st.integers(0, 5).map(float), st.floats(0, 200, allow_nan=False), st.sampled_from([1.0, 1.0, 1.0, 80.0])
)


@st.composite
def fleets(draw: st.DrawFn, most_pairs: int = 60) -> tuple[list[PlanMember], list[PlanPair], dict[str, str]]:
    """Members of every kind, wanted and unwanted pairs, and who serves what now, also members that are gone."""
    count = draw(st.integers(1, 7))
    hosts = draw(st.integers(1, count))
    members = [
        member(
            number,
            f"host{number % hosts}",
            capacity=draw(st.sampled_from([0, 1, 3, 10, ROOMY, ROOMY])),
            quiet=draw(st.sampled_from([False, False, False, True])),
            plans=draw(st.sampled_from([1, 1, 1, 0])),
        )
        for number in range(count)
    ]
    pairs = [
        pair(number, draw(st.sampled_from(GROUPS)), rate=draw(st.none() | rates), priority=draw(st.integers(0, 3)))
        for number in range(draw(st.integers(0, most_pairs)))
    ]
    names = [one.id for one in members] + ["gone:1:bb", ""]
    current = {one.label: owner for one in pairs if (owner := draw(st.sampled_from(names)))}
    return members, pairs, current


def takers(members: list[PlanMember]) -> dict[str, PlanMember]:
    return {one.id: one for one in members if not one.quiet and one.plans and one.capacity}


@PROPERTY
@given(fleets())
def test_every_wanted_pair_is_placed_or_said_to_be_unplaced_and_why(fleet) -> None:
    members, pairs, current = fleet
    plan = make_plan(members, pairs, current, {})
    wanted = {one.label for one in pairs if one.priority > 0}
    assert plan.orders.keys() | plan.unplaced.keys() == wanted
    assert not plan.orders.keys() & plan.unplaced.keys()
    assert all(plan.unplaced.values())


@PROPERTY
@given(fleets())
def test_nobody_gets_more_than_its_capacity_and_only_takers_get_anything(fleet) -> None:
    members, pairs, current = fleet
    plan = make_plan(members, pairs, current, {})
    able = takers(members)
    old = {one.id for one in members if one.plans == 0 and not one.quiet}
    counts = Counter(owner for owner in owners(plan).values() if owner not in old)
    assert all(count <= able[owner].capacity for owner, count in counts.items())
    for label, order in plan.orders.items():
        assert set(order[1:]) <= able.keys()
        assert order[0] in able or current[label] == order[0]


@PROPERTY
@given(fleets())
def test_what_a_member_without_plans_owns_stays_where_it_is(fleet) -> None:
    members, pairs, current = fleet
    plan = make_plan(members, pairs, current, {})
    old = {one.id for one in members if one.plans == 0 and not one.quiet}
    for one in pairs:
        if one.priority > 0 and current.get(one.label) in old:
            assert plan.orders[one.label][0] == current[one.label]


@PROPERTY
@given(fleets())
def test_an_order_names_nobody_twice_and_at_most_three(fleet) -> None:
    members, pairs, current = fleet
    plan = make_plan(members, pairs, current, {})
    able = takers(members)
    for order in plan.orders.values():
        assert len(set(order)) == len(order) <= 3
        assert len(order) == min(3, len(able.keys() | {order[0]}))


@PROPERTY
@given(fleets())
def test_a_plan_from_its_own_result_moves_nothing(fleet) -> None:
    members, pairs, current = fleet
    plan = make_plan(members, pairs, current, {})
    for serving in (current, current | owners(plan)):
        again = make_plan(members, pairs, serving, plan.orders)
        assert again.moves == ()
        assert owners(again) == owners(plan)
        assert again.unplaced == plan.unplaced


@PROPERTY
@given(fleets(), st.randoms(use_true_random=False))
def test_the_order_in_which_things_are_given_changes_nothing(fleet, random) -> None:
    members, pairs, current = fleet
    plan = make_plan(members, pairs, current, {})
    for things in (members, pairs):
        random.shuffle(things)
    shuffled = list(current.items())
    random.shuffle(shuffled)
    assert make_plan(members, pairs, dict(shuffled), {}) == plan


@PROPERTY
@given(fleets())
def test_when_places_are_few_a_higher_priority_comes_first(fleet) -> None:
    members, pairs, current = fleet
    plan = make_plan(members, pairs, current, {})
    able = takers(members)
    priority = {one.label: one.priority for one in pairs}
    placed = [priority[label] for label, order in plan.orders.items() if order[0] in able]
    refused = [priority[label] for label in plan.unplaced]
    if refused:
        assert len(placed) == sum(one.capacity for one in able.values())
        assert min(placed, default=99) >= max(refused)


@PROPERTY
@given(fleets())
def test_a_member_is_above_the_bound_only_when_nobody_below_the_mean_has_room(fleet) -> None:
    """The bound: mean × 1.1 + the heaviest pair."""
    members, pairs, current = fleet
    plan = make_plan(members, pairs, current, {})
    able, loads = takers(members), plan.loads
    if not able:
        return
    rates = [one.rate for one in pairs if one.rate is not None and one.priority > 0]
    usual = sum(rates) / len(rates) if rates else 0.0
    heaviest = max(
        (BASE_WEIGHT + (usual if one.rate is None else one.rate) for one in pairs if one.priority > 0), default=0
    )
    mean = sum(loads.values()) / len(loads)
    counts = Counter(owners(plan).values())
    if max(loads.values()) > mean * 1.1 + heaviest + 0.01:
        assert all(counts[name] >= able[name].capacity for name, load in loads.items() if load < mean)


@PROPERTY
@given(st.integers(2, 9), st.lists(rates, max_size=80))
def test_the_heaviest_load_is_within_the_bound_where_there_is_room(count: int, rates: list[float]) -> None:
    pairs = [pair(number, GROUPS[number % 4], rate=rate) for number, rate in enumerate(rates)]
    plan = make_plan(members_of(count), pairs, {}, {})
    heaviest = max((BASE_WEIGHT + rate for rate in rates), default=0.0)
    mean = sum(plan.loads.values()) / count
    assert max(plan.loads.values()) <= mean * 1.1 + heaviest + 0.01
    assert sum(plan.loads.values()) == pytest.approx(sum(loads_of(plan, pairs).values()), abs=0.1)


@PROPERTY
@given(st.integers(1, 12), st.integers(1, 300), st.integers(1, 4))
def test_a_daemon_that_joins_moves_no_more_than_its_share(count: int, wanted: int, groups: int) -> None:
    """Equal weights; the ideal is pairs / the new number of daemons, rounded up."""
    pairs = pairs_of(wanted, groups=groups)
    before = make_plan(members_of(count), pairs, {}, {})
    after = make_plan(members_of(count + 1), pairs, owners(before), before.orders)
    ideal = math.ceil(wanted / (count + 1))
    new = [label for label in moved(before, after) if owners(after)[label] == member(count).id]
    assert len(moved(before, after)) == len(after.moves) <= max(ideal, 1.1 * ideal)
    assert len(new) == len(after.moves)  # nothing moves between those that were there
    assert len(new) >= math.floor(0.9 * wanted / (count + 1) - 1e-9)


@PROPERTY
@given(st.integers(2, 12), st.integers(1, 300), st.integers(0, 11))
def test_a_daemon_that_goes_moves_what_it_had_and_nothing_else(count: int, wanted: int, which: int) -> None:
    pairs = pairs_of(wanted)
    members = members_of(count)
    before = make_plan(members, pairs, {}, {})
    gone = members.pop(which % count)
    after = make_plan(members, pairs, owners(before), before.orders)
    had = [label for label, owner in owners(before).items() if owner == gone.id]
    assert len(after.moves) <= 1.1 * math.ceil(wanted / (count - 1))
    assert set(had) <= {move.label for move in after.moves}
    if count > 4:  # fewer cannot keep heirs and balance at once to the pair
        assert len(after.moves) <= len(had) + math.ceil(0.1 * wanted / (count - 1))


@PROPERTY
@given(st.integers(2, 12), st.integers(1, 300), st.integers(0, 11), st.booleans(), st.sampled_from([1, 2, 1000]))
def test_a_replacement_of_a_dead_daemon_gets_its_share_and_between_survivors_next_to_nothing_moves(
    count: int, wanted: int, which: int, listed: bool, every: int
) -> None:
    """`listed`: its successor has joined and is planned for before the dead one's last beat has run out; every so many-th of the
    moves has been made by then."""
    pairs = pairs_of(wanted)
    *survivors, new = members_of(count + 1)
    before = make_plan(survivors, pairs, {}, {})
    dead = survivors.pop(which % count)
    serving, moves = owners(before), list[tuple[str, str]]()

    def carried_out(plan: Plan, every: int = 1) -> None:
        """As members do without a leader: heirs take what the dead one had, and what is planned elsewhere is handed over."""
        for number, (label, order) in enumerate(plan.orders.items()):
            if serving[label] == dead.id:
                serving[label] = next(name for name in order if name != dead.id)
            elif order[0] not in (dead.id, serving[label]) and number % every == 0:
                moves.append((serving[label], order[0]))
                serving[label] = order[0]

    if listed:
        first = make_plan([*survivors, dead, new], pairs, dict(serving), before.orders)
        carried_out(first, every)
        last = make_plan([*survivors, new], pairs, dict(serving), first.orders, balance=False)
    else:  # leases run out before the record does
        carried_out(before)
        last = make_plan([*survivors, new], pairs, dict(serving), before.orders)
    carried_out(last)
    ideal, share = math.ceil(wanted / count), wanted / (count + listed)
    assert sum(to != new.id for _, to in moves) <= 0.1 * ideal + 1, "heirs' pieces are even to a tenth and a pair"
    assert len(moves) <= 1.1 * ideal + 1
    assert list(serving.values()).count(new.id) >= math.floor(0.9 * share) - 1
    assert serving == owners(last)  # and it ends: the dead one has nothing, nobody is to hand anything over


@PROPERTY
@given(st.integers(3, 20), st.lists(rates, min_size=1, max_size=120), st.integers(1, 4))
def test_a_crash_burdens_no_heir_twice_over(count: int, rates: list[float], hosts: int) -> None:
    """An heir inherits at most its piece of a tenth more, and a pair: an even share, half of it where only one is elsewhere."""
    pairs = [pair(number, GROUPS[number % 4], rate=rate) for number, rate in enumerate(rates)]
    members = members_of(count, hosts)
    plan = make_plan(members, pairs, {}, {})
    weight = {one.label: BASE_WEIGHT + (one.rate or 0.0) for one in pairs}
    for owner in members:
        inherited: dict[str, float] = defaultdict(float)
        for label, order in plan.orders.items():
            if order[0] == owner.id:
                inherited[order[1]] += weight[label]
        away = sum(one.host != owner.host for one in members)
        share = 1 / min(FAN, away) if away >= 2 else 0.5 if away else 1 / min(FAN, count - 1)
        heaviest = max((weight[label] for label, order in plan.orders.items() if order[0] == owner.id), default=0.0)
        assert max(inherited.values(), default=0.0) <= plan.loads[owner.id] * share * 1.1 + heaviest + 0.01


def test_heirs_stand_on_other_hosts() -> None:
    members = members_of(6, hosts=3)
    host = {one.id: one.host for one in members}
    plan = make_plan(members, pairs_of(300), {}, {})
    assert all(host[order[1]] != host[order[0]] for order in plan.orders.values())


def test_heirs_stay_while_their_owners_do() -> None:
    before = make_plan(members_of(8), pairs_of(400), {}, {})
    members = members_of(9)
    after = make_plan(members, pairs_of(400), owners(before), before.orders)
    stayed = [label for label in before.orders if owners(after)[label] == owners(before)[label]]
    assert sum(after.orders[label] == before.orders[label] for label in stayed) >= 0.95 * len(stayed)


def test_the_first_heir_of_a_gone_owner_keeps_the_pair() -> None:
    members = members_of(6)
    before = make_plan(members, pairs_of(300), {}, {})
    after = make_plan(members[1:], pairs_of(300), owners(before), before.orders)
    moves = [move for move in after.moves if move.from_ == members[0].id]
    assert len(moves) == 50
    assert sum(move.to == before.orders[move.label][1] for move in moves) >= 45
    assert all("is gone" in move.why for move in moves)


def test_without_balance_only_pairs_without_a_home_are_placed() -> None:
    members = members_of(4)
    pairs = pairs_of(40, rate=None)
    current = {one.label: members[0].id for one in pairs[:30]}
    plan = make_plan(members, pairs, current, {}, balance=False)
    assert plan.moves == ()
    assert all(owners(plan)[label] == owner for label, owner in current.items())
    assert not {owners(plan)[one.label] for one in pairs[30:]} & {members[0].id}


def test_a_quiet_member_gives_all_it_has_and_says_why() -> None:
    members = members_of(3)
    before = make_plan(members, pairs_of(30), {}, {})
    members[1] = members[1]._replace(quiet=True)
    after = make_plan(members, pairs_of(30), owners(before), before.orders)
    assert members[1].id not in {name for order in after.orders.values() for name in order}
    assert [move.from_ for move in after.moves] == [members[1].id] * 10
    assert all("draining" in move.why for move in after.moves)


def test_a_move_under_way_is_not_taken_back() -> None:
    """The plan says two, one still serves: the plan counts."""
    members = members_of(2)
    pairs = pairs_of(2)
    order: dict[str, Order] = {one.label: (members[1 - number].id,) for number, one in enumerate(pairs)}
    serving = {one.label: members[number].id for number, one in enumerate(pairs)}
    plan = make_plan(members, pairs, serving, order)
    assert plan.moves == ()
    assert owners(plan) == {label: names[0] for label, names in order.items()}


def test_hot_pairs_are_spread() -> None:
    pairs = [pair(number, GROUPS[0], rate=500.0 if number < 4 else 1.0) for number in range(200)]
    plan = make_plan(members_of(4), pairs, {}, {})
    assert {owners(plan)[one.label] for one in pairs[:4]} == {one.id for one in members_of(4)}


def test_measured_heat_is_spread_by_moving_few_pairs() -> None:
    members, quiet = members_of(4), pairs_of(200, rate=1.0, groups=1)
    before = make_plan(members, quiet, {}, {})
    mine = [label for label, owner in owners(before).items() if owner == members[0].id][:4]
    hot = [one._replace(rate=200.0) if one.label in mine else one for one in quiet]
    after = make_plan(members, hot, owners(before), before.orders)
    assert {owners(after)[label] for label in mine} == {one.id for one in members}
    assert len([move for move in after.moves if move.label in mine]) == 3
    assert all("balance" in move.why for move in after.moves)


@PROPERTY
@given(st.integers(1, 8), st.lists(st.integers(0, 120), min_size=4, max_size=4))
def test_a_market_is_not_scattered_over_all_daemons(count: int, sizes: list[int]) -> None:
    """Equal weights: all members together open at most two places beyond one a group."""
    pairs = [pair(number, GROUPS[group], rate=1.0) for group, size in enumerate(sizes) for number in range(size)]
    plan = make_plan(members_of(count), pairs, {}, {})
    touched = {(order[0], one.group) for one in pairs for order in [plan.orders[one.label]]}
    groups = sum(size > 0 for size in sizes)
    assert len(touched) <= groups + 2 * count
    assert plan.connections <= sum(math.ceil(size / 50) for size in sizes) + groups + 2 * count


def test_the_limit_of_a_venue_counts() -> None:
    pairs = pairs_of(90, groups=1)
    few = make_plan(members_of(3), pairs, {}, {}, slots=lambda _: 15)
    many = make_plan(members_of(3), pairs, {}, {}, slots=lambda _: 50)
    assert (few.connections, many.connections) == (6, 3)


def test_who_is_refused_is_told_how_many_places_there_are() -> None:
    plan = make_plan(members_of(2, capacity=3), [pair(n, priority=1 + (n < 4)) for n in range(8)], {}, {})
    assert len(plan.unplaced) == 2
    assert set(plan.unplaced.values()) == {
        "no place: 2 daemons take 6 pairs together (FLEET_CAPACITY), 8 are wanted, those of priority 1 and above come first"
    }


def test_without_a_daemon_every_pair_is_unplaced() -> None:
    assert set(make_plan([], pairs_of(2), {}, {}).unplaced.values()) == {"no daemon with the role feed is there"}
    quiet = make_plan(members_of(2, quiet=True), pairs_of(2), {}, {})
    assert all(why.startswith("no daemon takes pairs") for why in quiet.unplaced.values())


def test_a_served_pair_keeps_its_place_before_a_new_one_of_its_priority() -> None:
    pairs = pairs_of(4)
    current = {one.label: member(0).id for one in pairs[2:]}
    plan = make_plan(members_of(1, capacity=2), pairs, current, {})
    assert plan.orders.keys() == current.keys()


def test_what_a_fleet_gives_to_newcomers_goes_in_whole_groups() -> None:
    pairs = pairs_of(1600)
    before = make_plan(members_of(8), pairs, {}, {})
    after = make_plan(members_of(16), pairs, owners(before), before.orders)
    places = {(after.orders[one.label][0], one.group) for one in pairs}
    assert len(places) <= 16 + len(GROUPS)
    assert len(after.moves) <= 1.1 * 800
