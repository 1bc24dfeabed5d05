"""fleet/replan.py: tables of what has changed, and what follows."""

import pytest

from fleet.plan import Plan, PlanMember
from fleet.replan import (
    GAIN,
    OWN_EVERY_MS,
    SETTLE_MS,
    UNEVEN,
    UNEVEN_FOR_MS,
    Cause,
    Replanning,
    Seen,
    gains,
    off_balance,
)

A, B = PlanMember("a", "a", 10), PlanMember("b", "b", 10)


def seen(*members: PlanMember, **fields: object) -> Seen:
    usual = {
        "members": {member.id: member for member in members}, "wanted": {"x": 1}, "planned": True, "newcomers": False,
        "strays": False, "idle": False, "off_balance": 1.0,
    }  # fmt: skip
    return Seen(**usual | fields)


def after_a_plan() -> Replanning:
    replanning = Replanning()
    replanning.planned(seen(A, B), Cause.TAKEOVER, 0.0)
    return replanning


def test_a_new_leader_plans_once() -> None:
    replanning = Replanning()
    assert replanning.due(seen(A, B), 0.0) is Cause.TAKEOVER
    replanning.planned(seen(A, B), Cause.TAKEOVER, 0.0)
    assert replanning.due(seen(A, B), 1.0) is None


@pytest.mark.parametrize(
    ("now", "cause"),
    [
        (seen(A), Cause.GONE),
        (seen(A, B._replace(quiet=True)), Cause.GONE),
        (seen(A, B._replace(capacity=5)), Cause.GONE),
        (seen(A, B._replace(plans=0)), Cause.GONE),
        (seen(A, B._replace(deaf=("x:y",))), Cause.DEAF),
        (seen(A, B._replace(deaf=("x:y",), quiet=True)), Cause.GONE),
        (seen(A, B._replace(capacity=20)), Cause.JOINED),
        (seen(A, B, A._replace(id="c")), Cause.JOINED),
        (seen(A, A._replace(id="c")), Cause.JOINED),
        (seen(A, B, newcomers=True), Cause.JOINED),
        (seen(A, B, wanted={"x": 2}), Cause.TASKS),
        (seen(A, B, wanted={}), Cause.TASKS),
        (seen(A, B, strays=True), Cause.STRAY),
    ],
)
def test_what_has_changed_says_why(now: Seen, cause: Cause) -> None:
    assert after_a_plan().due(now, 1.0) is cause


def test_that_a_venue_is_reached_again_is_no_cause_and_that_it_is_not_once_more_is_one() -> None:
    replanning = after_a_plan()
    deaf = seen(A, B._replace(deaf=("x:y",)))
    assert replanning.due(deaf, 1.0) is Cause.DEAF
    replanning.planned(deaf, Cause.DEAF, 1.0)
    assert replanning.due(deaf, 2.0) is None
    assert replanning.due(seen(A, B), 3.0) is None
    assert replanning.due(deaf, 4.0) is Cause.DEAF


def test_only_joining_asking_and_uneven_loads_move_what_has_a_home() -> None:
    assert {cause for cause in Cause if cause.balances} == {Cause.FIRST, Cause.JOINED, Cause.ASKED, Cause.UNEVEN}


def test_without_a_plan_it_waits_until_the_members_stay_the_same() -> None:
    replanning = Replanning()
    assert replanning.due(seen(A, planned=False), 0.0) is None
    assert replanning.due(seen(A, B, planned=False), SETTLE_MS) is None
    assert replanning.due(seen(A, B, planned=False), 2 * SETTLE_MS - 1) is None
    assert replanning.due(seen(A, B, planned=False), 2 * SETTLE_MS) is Cause.MISSING
    assert replanning.due(seen(A, B, planned=False, idle=True), 2 * SETTLE_MS) is Cause.FIRST


def test_without_members_nothing_is_planned() -> None:
    replanning = Replanning()
    assert replanning.due(seen(planned=False), 0.0) is None
    assert replanning.due(seen(planned=False), 10 * SETTLE_MS) is None


def test_a_plan_that_disappears_starts_a_new_wait() -> None:
    replanning = after_a_plan()
    assert replanning.due(seen(A, B, planned=False), 5000.0) is None
    assert replanning.due(seen(A, B), 5001.0) is None
    assert replanning.due(seen(A, B, planned=False), 5000.0 + SETTLE_MS) is None


def test_an_operator_is_obeyed_once_and_at_once() -> None:
    replanning = after_a_plan()
    replanning.asked = True
    assert replanning.due(seen(A), 1.0) is Cause.ASKED
    replanning.planned(seen(A), Cause.ASKED, 1.0)
    assert replanning.due(seen(A), 2.0) is None


def test_an_uneven_load_must_last() -> None:
    replanning = after_a_plan()
    uneven = seen(A, B, off_balance=UNEVEN + 0.01)
    assert replanning.due(uneven, 0.0) is None
    assert replanning.due(uneven, UNEVEN_FOR_MS - 1) is None
    assert replanning.due(seen(A, B, off_balance=UNEVEN), UNEVEN_FOR_MS) is None  # it was even for a moment
    assert replanning.due(uneven, UNEVEN_FOR_MS + 1) is None
    assert replanning.due(uneven, 2 * UNEVEN_FOR_MS + 1) is Cause.UNEVEN


def test_it_does_not_plan_for_the_load_again_too_soon() -> None:
    replanning = after_a_plan()
    uneven = seen(A, B, off_balance=2.0)
    replanning.due(uneven, 0.0)
    assert replanning.due(uneven, UNEVEN_FOR_MS) is Cause.UNEVEN
    replanning.planned(uneven, Cause.UNEVEN, UNEVEN_FOR_MS)
    replanning.due(uneven, UNEVEN_FOR_MS + 1)
    assert replanning.due(uneven, UNEVEN_FOR_MS + OWN_EVERY_MS - 1) is None
    assert replanning.due(uneven, UNEVEN_FOR_MS + OWN_EVERY_MS) is Cause.UNEVEN


def test_a_plan_that_gains_little_is_not_worth_its_moves() -> None:
    plan = Plan(loads={"a": 14.0, "b": 6.0})
    assert plan.off_balance == 1.4
    assert gains(1.4 + GAIN + 0.01, plan)
    assert not gains(1.4 + GAIN - 0.01, plan)


def test_balance_is_of_those_that_take_pairs() -> None:
    assert off_balance([A, B], {"a": 30.0, "b": 10.0, "old": 99.0}) == 1.5
    assert off_balance([A, B], {}) == 1.0
    assert off_balance([A, B._replace(quiet=True)], {"a": 30.0, "b": 10.0}) == 1.0
