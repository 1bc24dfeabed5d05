"""fleet/planner.py and fleet/plan_store.py on a real server, with a clock moved by hand."""

import msgspec
import pytest
import redis.asyncio

from fleet.errors import Fenced
from fleet.plan import Order
from fleet.plan_store import (
    read_moves,
    read_orders,
    read_plan,
    read_plan_head,
    read_revision,
    read_unplaced,
    read_why_unplaced,
)
from fleet.replan import Cause
from tests.support.planned_fleet import LEASE_MS, PlannedFleet

A, B, C = "alpha:1:aa", "beta:1:bb", "gamma:1:cc"


@pytest.fixture
def fleet(redis: redis.asyncio.Redis) -> PlannedFleet:
    return PlannedFleet(redis)


async def orders(fleet: PlannedFleet) -> dict[str, Order]:
    plan = await read_plan(fleet.redis, fleet.keys)
    assert plan is not None
    assert plan.told.keys() == plan.head.members.keys()
    return dict(plan.orders)


async def owners(fleet: PlannedFleet) -> dict[str, str]:
    return {label: order[0] for label, order in (await orders(fleet)).items()}


async def serve_as_planned(fleet: PlannedFleet, *members: str, rate: float = 5.0) -> None:
    now = await owners(fleet)
    for member in members:
        await fleet.serve(member, {label: rate for label, owner in now.items() if owner == member})


async def test_the_leader_waits_for_those_that_start_together_and_then_plans_for_all(fleet: PlannedFleet) -> None:
    labels = fleet.want(30)
    await fleet.join(A)
    planner = fleet.planner(A)
    assert await fleet.look(planner) is None
    await fleet.join(B)
    assert await fleet.look(planner, 1000.0) is None
    assert await fleet.look(planner, 1000.0) is None  # somebody came a second ago
    assert await read_plan_head(fleet.redis, fleet.keys) is None
    assert await fleet.look(planner, 500.0) is Cause.FIRST
    found = await owners(fleet)
    assert sorted(found) == labels
    assert sorted(map(list(found.values()).count, (A, B))) == [15, 15]
    head = await read_plan_head(fleet.redis, fleet.keys)
    assert head is not None
    assert (head.term, head.placed, head.unplaced, head.moved) == (fleet.elections[A].term, 30, 0, 0)


async def test_a_member_reads_what_concerns_it_and_nothing_while_that_stands(fleet: PlannedFleet) -> None:
    fleet.want(12)
    await fleet.join(A, B, C)
    assert await read_orders(fleet.redis, fleet.keys, A) == ("", 0, {})
    assert await read_orders(fleet.redis, fleet.keys, A, "") is None
    await fleet.first_plan(fleet.planner(A))
    whole = await orders(fleet)
    mine = await read_orders(fleet.redis, fleet.keys, A, "")
    assert mine is not None
    assert mine.orders == {label: order for label, order in whole.items() if A in order}
    assert mine.term == fleet.elections[A].term
    assert await read_orders(fleet.redis, fleet.keys, A, mine.revision) is None
    stranger = await read_orders(fleet.redis, fleet.keys, "new:1:dd", mine.revision)
    assert stranger is not None
    assert stranger.orders == {}
    assert await read_orders(fleet.redis, fleet.keys, "new:1:dd", stranger.revision) is None


async def test_members_whose_orders_stay_are_not_told_anew(fleet: PlannedFleet) -> None:
    fleet.want(2)
    members = [f"host{number}:1:aa" for number in range(8)]
    await fleet.join(*members)
    planner = fleet.planner(members[0])
    await fleet.first_plan(planner)
    before = await read_plan_head(fleet.redis, fleet.keys)
    fleet.want(3)
    assert await fleet.look(planner) is Cause.TASKS
    after = await read_plan_head(fleet.redis, fleet.keys)
    assert before is not None
    assert after is not None
    same = [member for member in members if before.members[member] == after.members[member]]
    assert len(same) == 5  # the new pair concerns its owner and two heirs
    assert after.revision == f"{after.term}-2"


async def test_a_half_written_plan_is_told_by_the_head_and_not_obeyed(fleet: PlannedFleet) -> None:
    fleet.want(6)
    await fleet.join(A, B)
    await fleet.first_plan(fleet.planner(A))
    mine = await read_orders(fleet.redis, fleet.keys, B)
    assert mine is not None
    text = await fleet.redis.get(fleet.keys.orders(B))
    torn = msgspec.json.encode(msgspec.json.decode(text) | {"revision": "9-9"})
    await fleet.redis.set(fleet.keys.orders(B), torn, px=10_000)
    assert await read_orders(fleet.redis, fleet.keys, B) is None
    assert await read_orders(fleet.redis, fleet.keys, B, mine.revision) is None
    plan = await read_plan(fleet.redis, fleet.keys)
    assert plan is not None
    assert plan.told.keys() == {A}
    # whoever leads next mends it, and moves nothing
    before = plan.orders
    fleet.clock.now_ms += LEASE_MS
    await fleet.redis.delete(fleet.keys.leader())
    assert await fleet.look(fleet.planner(B)) is Cause.TAKEOVER
    assert await orders(fleet) == before
    assert await read_orders(fleet.redis, fleet.keys, B) is not None


async def test_a_new_leader_takes_over_without_moving_anything(fleet: PlannedFleet) -> None:
    fleet.want(60)
    await fleet.join(A, B)
    await fleet.first_plan(fleet.planner(A))
    before = await orders(fleet)
    mine = await read_orders(fleet.redis, fleet.keys, B)
    # measured since: one has a tenfold load
    await fleet.serve(A, {label: 50.0 for label, order in before.items() if order[0] == A})
    await fleet.serve(B, {label: 5.0 for label, order in before.items() if order[0] == B})
    await fleet.redis.delete(fleet.keys.leader())
    successor = fleet.planner(B)
    assert await fleet.look(successor) is Cause.TAKEOVER
    assert await orders(fleet) == before
    assert mine is not None
    assert await read_orders(fleet.redis, fleet.keys, B, mine.revision) is None
    head = await read_plan_head(fleet.redis, fleet.keys)
    assert head is not None
    assert (head.term, head.moved) == (fleet.elections[B].term, 0)
    assert await read_moves(fleet.redis, fleet.keys) == []
    assert await fleet.look(successor) is None


async def test_a_paused_old_leader_is_refused_and_changes_nothing(fleet: PlannedFleet) -> None:
    fleet.want(10)
    await fleet.join(A, B)
    old, new = fleet.planner(A), fleet.planner(B)
    await fleet.first_plan(old)
    await fleet.redis.delete(fleet.keys.leader())  # its lease ran out while it was paused …
    await fleet.look(new)
    before = {key: await fleet.redis.dump(key) for key in await fleet.redis.keys("*plan*")}
    fleet.want(20)
    assert fleet.elections[A].is_leader  # … and its own clock stood still as well
    with pytest.raises(Fenced, match="another daemon leads"):
        await old.look()
    assert {key: await fleet.redis.dump(key) for key in await fleet.redis.keys("*plan*")} == before
    assert fleet.elections[B].term > fleet.elections[A].term


async def test_a_member_that_vanishes_is_replaced_by_its_heirs(fleet: PlannedFleet) -> None:
    fleet.want(60)
    await fleet.join(A, B, C)
    planner = fleet.planner(A)
    await fleet.first_plan(planner)
    before = await orders(fleet)
    await serve_as_planned(fleet, A, B, C)
    await fleet.leave(C)
    assert await fleet.look(planner) is Cause.GONE
    after = await orders(fleet)
    for label, order in before.items():
        assert after[label][0] == next(name for name in order if name != C)
    assert await fleet.redis.exists(fleet.keys.orders(C)) == 0
    assert len(await read_moves(fleet.redis, fleet.keys)) == 20


async def test_a_member_that_joins_gets_its_share(fleet: PlannedFleet) -> None:
    fleet.want(60)
    await fleet.join(A, B)
    planner = fleet.planner(A)
    await fleet.first_plan(planner)
    await serve_as_planned(fleet, A, B)
    await fleet.join(C)
    assert await fleet.look(planner) is Cause.JOINED
    assert 18 <= list((await owners(fleet)).values()).count(C) <= 20
    assert await fleet.look(planner) is None


async def test_a_quiet_member_is_emptied_and_gets_its_share_back_when_it_takes_work_again(fleet: PlannedFleet) -> None:
    fleet.want(60)
    await fleet.join(A, B, C)
    planner = fleet.planner(A)
    await fleet.first_plan(planner)
    await serve_as_planned(fleet, A, B, C)
    serving = await owners(fleet)
    await fleet.join(C, quiet=True)
    await fleet.serve(C, {label: 5.0 for label, owner in serving.items() if owner == C})
    assert await fleet.look(planner) is Cause.GONE
    assert C not in {name for order in (await orders(fleet)).values() for name in order}
    told = await read_orders(fleet.redis, fleet.keys, C)  # it serves them still: it must know whom to offer them to
    assert told is not None
    assert told.orders.keys() == {label for label, owner in serving.items() if owner == C}
    assert C not in {order[0] for order in told.orders.values()}
    await fleet.join(C, quiet=False)
    assert await fleet.look(planner) is Cause.JOINED
    assert list((await owners(fleet)).values()).count(C) >= 18


async def test_new_tasks_are_placed_and_nothing_else_moves(fleet: PlannedFleet) -> None:
    fleet.want(10)
    await fleet.join(A, B)
    planner = fleet.planner(A)
    await fleet.first_plan(planner)
    before = await owners(fleet)
    labels = fleet.want(14)
    assert await fleet.look(planner) is Cause.TASKS
    after = await owners(fleet)
    assert sorted(after) == labels
    assert {label: after[label] for label in before} == before
    fleet.want(3)
    assert await fleet.look(planner) is Cause.TASKS
    assert len(await owners(fleet)) == 3


async def test_after_a_flush_the_plan_is_rebuilt_around_those_who_serve(fleet: PlannedFleet) -> None:
    fleet.want(40)
    await fleet.join(A, B)
    planner = fleet.planner(A)
    await fleet.first_plan(planner)
    before = await owners(fleet)
    await fleet.redis.flushdb()
    assert await fleet.look(planner) is None  # nobody has beaten yet: nothing is planned on that
    await fleet.join(A)
    await fleet.serve(A, {label: 500.0 for label, owner in before.items() if owner == A})
    assert await fleet.look(planner, 1000.0) is None
    await fleet.join(B)
    await fleet.serve(B, {label: 1.0 for label, owner in before.items() if owner == B})
    assert await fleet.look(planner, 1000.0) is None
    assert await fleet.look(planner, 1500.0) is Cause.MISSING
    assert await owners(fleet) == before


async def test_somebody_who_serves_without_an_order_is_told(fleet: PlannedFleet) -> None:
    fleet.want(3)
    members = [f"host{number}:1:aa" for number in range(5)]
    await fleet.join(*members)
    planner = fleet.planner(members[0])
    await fleet.first_plan(planner)
    plan = await orders(fleet)
    label, order = next(iter(plan.items()))
    stranger = next(name for name in members if name not in order)
    await fleet.serve(stranger, {label: 1.0})
    assert await fleet.look(planner, 2000.0) is Cause.STRAY
    told = await read_orders(fleet.redis, fleet.keys, stranger)
    assert told is not None
    assert told.orders[label] == order
    assert await fleet.look(planner, 2000.0) is None


async def test_what_has_no_place_is_said_with_the_reason(fleet: PlannedFleet) -> None:
    fleet.want(8)
    await fleet.join(A, B, capacity=3)
    planner = fleet.planner(A)
    await fleet.first_plan(planner)
    unplaced = await read_unplaced(fleet.redis, fleet.keys)
    assert len(unplaced) == 2
    label = next(iter(unplaced))
    why = await read_why_unplaced(fleet.redis, fleet.keys, label)
    assert why is not None
    assert "2 daemons take 6 pairs" in why
    await fleet.join(C)
    await fleet.look(planner)
    assert await read_unplaced(fleet.redis, fleet.keys) == {}


async def test_rebalance_is_obeyed_by_the_leader_and_remembered_in_the_head(fleet: PlannedFleet) -> None:
    fleet.want(60)
    await fleet.join(A, B)
    planner = fleet.planner(A)
    await fleet.first_plan(planner)
    before = await owners(fleet)
    await fleet.serve(A, {label: 50.0 for label, owner in before.items() if owner == A})
    await fleet.serve(B, {label: 5.0 for label, owner in before.items() if owner == B})
    planner.rebalance()
    assert await fleet.look(planner) is Cause.ASKED
    head = await read_plan_head(fleet.redis, fleet.keys)
    assert head is not None
    assert head.rebalanced == head.revision
    moves = await read_moves(fleet.redis, fleet.keys, revision=head.revision)
    assert len(moves) == head.moved > 5
    assert {(move.from_, move.to) for move in moves} == {(A, B)}
    assert all("balance" in move.why for move in moves)
    assert await read_moves(fleet.redis, fleet.keys, label=moves[0].label) == moves[:1]
    assert await fleet.look(planner) is None


async def test_a_follower_neither_plans_nor_rebalances(fleet: PlannedFleet) -> None:
    fleet.want(5)
    await fleet.join(A, B)
    leader, follower = fleet.planner(A), fleet.planner(B)
    await fleet.first_plan(leader)
    revision = await read_revision(fleet.redis, fleet.keys)
    follower.rebalance()
    assert await fleet.look(follower, 2000.0) is None
    assert await read_revision(fleet.redis, fleet.keys) == revision


async def test_an_uneven_load_is_mended_after_a_minute_and_not_again_for_five(fleet: PlannedFleet) -> None:
    fleet.want(60)
    await fleet.join(A, B)
    planner = fleet.planner(A)
    await fleet.first_plan(planner)

    async def uneven() -> None:
        now = await owners(fleet)
        await fleet.serve(A, {label: 50.0 for label, owner in now.items() if owner == A})
        await fleet.serve(B, {label: 5.0 for label, owner in now.items() if owner == B})

    await uneven()
    assert await fleet.look(planner, 2000.0) is None
    assert await fleet.look(planner, 59_000.0) is None
    assert await fleet.look(planner, 1000.0) is Cause.UNEVEN
    await uneven()
    for _ in range(4):
        assert await fleet.look(planner, 70_000.0) is None
    assert await fleet.look(planner, 70_000.0) is Cause.UNEVEN


async def test_the_plan_expires_unless_its_leader_refreshes_it(fleet: PlannedFleet) -> None:
    fleet.want(5)
    await fleet.join(A, B)
    planner = fleet.planner(A)
    await fleet.first_plan(planner)
    keys = fleet.keys
    stored = (keys.plan(), keys.orders(A), keys.orders(B))
    for key in stored:
        assert await fleet.redis.pttl(key) > 500_000
        await fleet.redis.pexpire(key, 20_000)
    assert await fleet.look(planner, 60_000.0) is None
    for key in stored:
        assert await fleet.redis.pttl(key) > 500_000


async def test_orders_that_were_lost_are_written_again(fleet: PlannedFleet) -> None:
    fleet.want(5)
    await fleet.join(A, B)
    planner = fleet.planner(A)
    await fleet.first_plan(planner)
    before = await orders(fleet)
    await fleet.redis.delete(fleet.keys.orders(B))
    await fleet.look(planner, 60_000.0)
    await fleet.look(planner)
    assert await orders(fleet) == before


async def test_a_leader_that_goes_quiet_lets_another_lead_at_once(fleet: PlannedFleet) -> None:
    fleet.want(10)
    await fleet.join(A, B)
    one, other = fleet.planner(A), fleet.planner(B)
    await fleet.first_plan(one)
    before = await orders(fleet)
    await one.quiet()
    assert await fleet.look(other) is Cause.TAKEOVER
    assert await orders(fleet) == before
    assert await fleet.look(one) is None
    assert fleet.elections[A].leader == B


async def test_what_an_older_version_serves_stays_and_it_gets_no_orders(fleet: PlannedFleet) -> None:
    labels = fleet.want(10)
    await fleet.join(A, B)
    await fleet.join(C, plans=0)
    await fleet.serve(C, dict.fromkeys(labels[:4], 1.0))
    await fleet.first_plan(fleet.planner(A))
    now = await owners(fleet)
    assert {label for label, owner in now.items() if owner == C} == set(labels[:4])
    assert await fleet.redis.exists(fleet.keys.orders(C)) == 0
    heirs = [order[1:] for label, order in (await orders(fleet)).items() if label in labels[:4]]
    assert all(set(names) == {A, B} for names in heirs)


async def test_warm_heirs_are_no_owners(fleet: PlannedFleet) -> None:
    labels = fleet.want(4)
    await fleet.join(A, B)
    await fleet.serve(A, dict.fromkeys(labels, 1.0))
    await fleet.serve(B, dict.fromkeys(labels, 1.0), role="warm")
    await fleet.first_plan(fleet.planner(B))
    moves = await read_moves(fleet.redis, fleet.keys)
    assert len(moves) == 2
    assert {move.from_ for move in moves} == {A}  # B served none of them


async def test_the_last_daemon_that_drains_is_not_told_to_let_its_pairs_go(fleet: PlannedFleet) -> None:
    labels = fleet.want(4)
    await fleet.join(A)
    planner = fleet.planner(A)
    await fleet.first_plan(planner)
    await fleet.join(A, quiet=True)
    await fleet.serve(A, dict.fromkeys(labels, 1.0))
    for _ in range(3):
        await fleet.look(planner, 2000.0)
    told = await read_orders(fleet.redis, fleet.keys, A)
    assert told is not None
    assert () not in told.orders.values()
    await fleet.join(A, quiet=False)
    await fleet.look(planner, 2000.0)
    assert set(await owners(fleet)) == set(labels)


async def test_who_serves_what_gave_way_to_a_higher_priority_is_told_to_let_it_go(fleet: PlannedFleet) -> None:
    labels = fleet.want(3)
    await fleet.join(A, capacity=3)
    planner = fleet.planner(A)
    await fleet.first_plan(planner)
    await serve_as_planned(fleet, A)
    await fleet.join(A, capacity=2)
    await fleet.serve(A, dict.fromkeys(labels, 1.0))
    assert await fleet.look(planner) is Cause.GONE
    told = await read_orders(fleet.redis, fleet.keys, A)
    assert told is not None
    assert sorted(told.orders.values()) == [(), (A,), (A,)]


async def test_a_member_may_vanish_between_two_looks_at_what_it_serves(fleet: PlannedFleet) -> None:
    fleet.want(6)
    await fleet.join(A, B)
    planner = fleet.planner(A)
    await fleet.first_plan(planner)
    await serve_as_planned(fleet, A, B)
    assert await fleet.look(planner, 2000.0) is None
    await fleet.leave(B)
    assert await fleet.look(planner) is Cause.GONE
    assert set((await owners(fleet)).values()) == {A}


@pytest.mark.parametrize("fields", [{"quiet": True}, {"plans": 0}, {"capacity": 0}])
async def test_where_nobody_takes_pairs_that_is_said_once(fleet: PlannedFleet, fields: dict[str, int]) -> None:
    fleet.want(4)
    await fleet.join(A, **fields)
    planner = fleet.planner(A)
    await fleet.first_plan(planner)
    assert len(await read_unplaced(fleet.redis, fleet.keys)) == 4
    for _ in range(3):
        assert await fleet.look(planner, 2000.0) is None
    assert planner.plans == 1


async def test_a_fleet_that_starts_is_shared_out_also_if_one_has_claimed_it_all(fleet: PlannedFleet) -> None:
    """They start together, and the first to look claims every pair before there is a plan."""
    labels = fleet.want(20)
    await fleet.join(A, B)
    await fleet.serve(A, dict.fromkeys(labels, 1.0))
    planner = fleet.planner(A)
    assert await fleet.look(planner) is None
    assert await fleet.look(planner, 1500.0) is Cause.FIRST
    found = await owners(fleet)
    assert min(map(list(found.values()).count, (A, B))) >= 9


async def test_the_pairs_of_a_venue_go_to_whoever_shows_that_it_reaches_it(fleet: PlannedFleet) -> None:
    fleet.want(12)
    await fleet.join(A, B, C)
    planner = fleet.planner(A)
    await fleet.first_plan(planner)
    await serve_as_planned(fleet, A, B, C)
    before = await owners(fleet)
    group = "okx:spot"
    await fleet.join(B, deaf={group: 600_000})
    await serve_as_planned(fleet, B)
    assert await fleet.look(planner, 3000.0) is None  # nobody says that it hears the venue: it may be away
    await fleet.join(C, reached=(group,))
    await serve_as_planned(fleet, C)
    assert await fleet.look(planner, 3000.0) is Cause.DEAF
    after = await orders(fleet)
    assert {order[0] for label, order in after.items() if before[label] == B} <= {A, C}
    assert {label: order[0] for label, order in after.items() if before[label] != B} == {
        label: owner for label, owner in before.items() if owner != B
    }
    moves = await read_moves(fleet.redis, fleet.keys)
    assert {(move.from_, move.why) for move in moves} == {(B, f"{B} does not reach okx spot, others do")}
    await serve_as_planned(fleet, A, B, C)
    await fleet.join(B, deaf={})
    await serve_as_planned(fleet, B)
    assert await fleet.look(planner, 3000.0) is None
    await fleet.join(A, B, C)
    await serve_as_planned(fleet, A, B, C)
    assert await owners(fleet) == {label: order[0] for label, order in after.items()}  # nothing has moved back
    assert await fleet.look(planner, 100_000.0) is Cause.UNEVEN
    assert B in (await owners(fleet)).values()


async def test_a_live_book_is_evidence_that_its_venue_is_heard(fleet: PlannedFleet) -> None:
    fleet.want(12)
    await fleet.join(A, B)
    planner = fleet.planner(A)
    await fleet.first_plan(planner)
    await serve_as_planned(fleet, A, B)
    await fleet.join(B, deaf={"okx:spot": 600_000})
    await serve_as_planned(fleet, B)
    mine = {label: 5.0 for label, owner in (await owners(fleet)).items() if owner == A}
    await fleet.serve(A, mine, state="syncing")
    assert await fleet.look(planner, 3000.0) is None
    await fleet.serve(A, mine, state="live")
    assert await fleet.look(planner, 3000.0) is Cause.DEAF
    assert set((await owners(fleet)).values()) == {A}
