"""PURE. The life of one pair at one daemon: not ours, warm, owned, and the ways between.

Rules of this file:
1. Everything that changes what a daemon is to a pair stands in TRANSITIONS; an event that a state does not list is a fault of
   the program: IllegalHoldEventError, and nothing changes.
2. Only an OWNED pair is written to. Safety is not here: it is the token's, in Redis. These states save work, and say who
   keeps a feed.

A WARM pair is subscribed and in sync while somebody else publishes it: a planned successor, a hot standby, or a former owner
that lingers for one lease time. DOUBTFUL: the connection broke, a write was refused, the lease ran out; nothing is written
until asked. LEAVING: its last event is a Reset, then the lease is given back.
"""

from enum import StrEnum


class State(StrEnum):
    ABSENT = "absent"
    WARM = "warm"
    OWNED = "owned"
    DOUBTFUL = "doubtful"
    LEAVING = "leaving"


class Event(StrEnum):
    WARM_UP = "warm up"  # planned owner or standby, and somebody else holds the lease
    COOL = "cool"  # no duty any more, and the lingering is over
    GRANTED = "granted"  # acquire said OK
    DOUBT = "doubt"
    TAKEN = "taken"  # somebody else holds the lease
    LEAVE = "leave"  # not wanted any more, or we stop and nobody takes it over
    RELEASED = "released"


TRANSITIONS: dict[State, dict[Event, State]] = {
    State.ABSENT: {Event.WARM_UP: State.WARM, Event.GRANTED: State.OWNED},
    State.WARM: {Event.GRANTED: State.OWNED, Event.COOL: State.ABSENT},
    State.OWNED: {Event.DOUBT: State.DOUBTFUL, Event.LEAVE: State.LEAVING},
    State.DOUBTFUL: {Event.GRANTED: State.OWNED, Event.TAKEN: State.WARM, Event.LEAVE: State.LEAVING},
    State.LEAVING: {Event.RELEASED: State.ABSENT},
}


class IllegalHoldEventError(RuntimeError):
    """An event that cannot happen in this state: a fault of the program."""


def next_state(state: State, event: Event) -> State:
    """Raises IllegalHoldEventError."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalHoldEventError(f"a pair that is {state} cannot get: {event}") from None
