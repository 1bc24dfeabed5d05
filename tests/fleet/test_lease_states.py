"""fleet/lease_states.py."""

import pytest

from fleet.lease_states import TRANSITIONS, Event, IllegalLeaseEventError, State, next_state


def test_every_state_has_a_row_and_every_row_leads_to_a_state() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {target for row in TRANSITIONS.values() for target in row.values()} <= set(State)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_an_event_that_a_state_does_not_list_is_refused_by_name(state: State, event: Event) -> None:
    if event in TRANSITIONS[state]:
        assert next_state(state, event) is TRANSITIONS[state][event]
    else:
        with pytest.raises(IllegalLeaseEventError, match=f"a lease that is {state} cannot be {event}"):
            next_state(state, event)


def test_a_lost_lease_is_done_with() -> None:
    assert TRANSITIONS[State.LOST] == {}
    assert TRANSITIONS[State.GIVEN_UP] == {}


def test_held_is_reached_only_by_a_grant_or_a_renewal() -> None:
    into_held = {event for row in TRANSITIONS.values() for event, target in row.items() if target is State.HELD}
    assert into_held == {Event.GRANTED, Event.RENEWED}
