"""What a member is to a pair: by the plan's order and by who is there."""

import pytest

from fleet.assignment import ranking
from fleet.hold_states import TRANSITIONS, Event, IllegalHoldEventError, State, next_state
from fleet.succession import Duty, duty, present_order, unplanned_wait_ms, wait_ms

ORDER = ("a", "b", "c")
ALL = {"a", "b", "c", "d"}
LEASE_MS = 4000


@pytest.mark.parametrize(
    ("me", "present", "standby", "expected"),
    [
        ("a", ALL, False, Duty.OWN),
        ("b", ALL, False, Duty.HEIR),
        ("b", ALL, True, Duty.STANDBY),
        ("c", ALL, True, Duty.HEIR),
        ("d", ALL, True, Duty.NONE),
        ("b", {"b", "c"}, False, Duty.OWN),
        ("c", {"b", "c"}, True, Duty.STANDBY),
        ("a", {"b", "c"}, False, Duty.NONE),
        ("a", set(), False, Duty.NONE),
    ],
)
def test_a_members_duty_is_its_place_among_those_who_are_there(me, present, standby, expected):
    assert duty(ORDER, me, present, standby=standby) is expected


def test_a_pair_without_an_order_is_nobodys_duty():
    assert duty((), "a", ALL, standby=True) is Duty.NONE
    assert present_order((), ALL) == ()


def test_the_heir_of_a_dead_owner_waits_for_nobody():
    assert wait_ms(ORDER, "b", ALL, "a", LEASE_MS) == 0  # still listed, but it let the lease run out
    assert wait_ms(ORDER, "c", ALL, "a", LEASE_MS) == LEASE_MS / 4


def test_a_planned_owner_comes_first_and_its_heirs_leave_it_time():
    assert wait_ms(ORDER, "a", ALL, None, LEASE_MS) == 0
    assert wait_ms(ORDER, "b", ALL, None, LEASE_MS) == LEASE_MS / 4
    assert wait_ms(ORDER, "b", ALL - {"a"}, None, LEASE_MS) == 0


def test_the_last_holder_may_take_its_own_pair_back_at_once():
    assert wait_ms(ORDER, "a", ALL, "a", LEASE_MS) == 0


def test_who_is_in_no_order_never_takes_the_pair():
    assert wait_ms(ORDER, "d", ALL, None, LEASE_MS) == float("inf")


def test_a_pair_in_nobodys_plan_is_taken_by_rank_after_a_long_grace():
    order = ranking("x", ALL)
    waits = [unplanned_wait_ms("x", member, ALL, LEASE_MS, planned=True) for member in order]
    assert waits == [3 * LEASE_MS + place * LEASE_MS / 4 for place in range(4)]
    assert unplanned_wait_ms("x", order[0], ALL, LEASE_MS, planned=False) == 0


def test_every_listed_change_of_a_hold_happens_and_every_other_is_refused():
    for state in State:
        for event in Event:
            if event in TRANSITIONS[state]:
                assert next_state(state, event) is TRANSITIONS[state][event]
            else:
                with pytest.raises(IllegalHoldEventError, match=f"{state} cannot get: {event}"):
                    next_state(state, event)
