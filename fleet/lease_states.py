"""PURE. The life of one lease, as its holder sees it.

Rules of this file:
1. Everything that changes a lease's state stands in TRANSITIONS. An event that a state does not list is a fault of the
   caller: IllegalLeaseEventError, and nothing changes.
2. HELD is the only state in which work under the lease may act, and only before its deadline: three quarters of the
   lease after SENDING the last request that proved it. The last quarter is for clocks that run unequally and for
   commands that are under way.

A lease that was LOST or GIVEN_UP is done with; whoever wants the resource again asks for a new one. Asking while HELD
is own doubt (a reconnect, a refusal): from the moment of sending, the old token may be void.
"""

from enum import StrEnum


class State(StrEnum):
    IDLE = "idle"
    ASKING = "asking"
    HELD = "held"
    LOST = "lost"
    GIVEN_UP = "given up"


class Event(StrEnum):
    ASK = "ask"  # acquire is sent
    GRANTED = "granted"  # answered in time: OK
    REFUSED = "refused"  # TAKEN, RESERVED, an error, or an answer past the deadline
    RENEWED = "renewed"
    TAKEN = "taken"  # a renewal found another value, or none
    EXPIRED = "expired"  # the deadline passed by our own clock
    RELEASE = "release"  # we give it back, or let it run out


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.IDLE: {Event.ASK: State.ASKING, Event.RELEASE: State.GIVEN_UP},
    State.ASKING: {Event.GRANTED: State.HELD, Event.REFUSED: State.IDLE, Event.RELEASE: State.GIVEN_UP},
    State.HELD: {
        Event.RENEWED: State.HELD,
        Event.ASK: State.ASKING,
        Event.TAKEN: State.LOST,
        Event.EXPIRED: State.LOST,
        Event.RELEASE: State.GIVEN_UP,
    },
    State.LOST: {},
    State.GIVEN_UP: {},
}


class IllegalLeaseEventError(RuntimeError):
    """An event that cannot happen in this state: a fault of the program."""


def next_state(state: State, event: Event) -> State:
    """Raises IllegalLeaseEventError."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalLeaseEventError(f"a lease that is {state} cannot be {event}") from None
