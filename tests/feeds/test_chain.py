"""Events in order, and what they do to a book together."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from books.events import Bbo, Delta, Event, Mark, Reset, ResetReason, Snapshot, SnapshotReason
from feeds.chain import Chain
from fleet.pair import Pair

PAIR = Pair("somewhere", "spot", "BTC/USDT")


def snapshot(sequence: int | None = 10, at_us: int = 5) -> Snapshot:
    return Snapshot(
        pair=PAIR, received_us=at_us, bids={"1": "1"}, asks={}, reason=SnapshotReason.FIRST, sequence=sequence
    )


def delta(sequence: int | None, at_us: int = 6, venue_ms: int | None = 7) -> Delta:
    return Delta(pair=PAIR, received_us=at_us, venue_ms=venue_ms, bids={"1": "2"}, asks={}, sequence=sequence)


def reset(at_us: int = 8) -> Reset:
    return Reset(pair=PAIR, received_us=at_us, reason=ResetReason.GAP)


def mark(at_us: int = 9) -> Mark:
    return Mark(pair=PAIR, received_us=at_us)


def bbo(at_us: int = 9) -> Bbo:
    return Bbo(pair=PAIR, received_us=at_us, bid="1", bid_amount="1", ask="2", ask_amount="1", sequence=99)


def chain_of(*events: Event) -> Chain:
    chain = Chain()
    for event in events:
        chain.add(event)
    return chain


def told(chain: Chain) -> tuple[object, ...]:
    """All that a chain says of its events."""
    return (
        len(chain), chain.entries, chain.whole, chain.trusted, chain.sequence,
        chain.oldest_us, chain.newest_us, chain.venue_ms,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("events", "whole", "trusted", "sequence"),
    [
        ((), None, None, None),
        ((mark(), bbo()), None, None, None),
        ((delta(11),), False, None, "11"),
        ((delta(11), delta(12)), False, None, "12"),
        ((delta(None),), False, None, None),
        ((snapshot(10),), True, True, "10"),
        ((snapshot(10), delta(11)), True, True, "11"),
        ((snapshot(None),), True, True, "-"),
        ((reset(),), True, False, "-"),
        ((reset(), snapshot(20)), True, True, "20"),
        ((delta(11), reset()), False, False, "-"),
        ((delta(11), snapshot(20)), False, True, "20"),
        ((mark(), delta(11)), False, None, "11"),
    ],
)
def test_what_events_do_to_a_book_together(events, whole, trusted, sequence):
    chain = chain_of(*events)
    assert (chain.whole, chain.trusted, chain.sequence) == (whole, trusted, sequence)
    assert len(chain) == len(events) == len(chain.entries) // 2


def test_times_are_of_the_first_and_the_last_event():
    chain = chain_of(delta(11, at_us=100, venue_ms=1), delta(12, at_us=200, venue_ms=2), mark(at_us=300))
    assert (chain.oldest_us, chain.newest_us, chain.venue_ms) == (100, 300, None)


def test_an_empty_chain_appended_changes_nothing():
    chain = chain_of(snapshot(10), delta(11))
    before = told(chain)
    chain.extend(Chain())
    assert told(chain) == before


events = st.lists(
    st.one_of(
        st.builds(snapshot, st.one_of(st.none(), st.integers(1, 99)), st.integers(1, 1000)),
        st.builds(delta, st.one_of(st.none(), st.integers(1, 99)), st.integers(1, 1000)),
        st.builds(reset, st.integers(1, 1000)),
        st.builds(mark, st.integers(1, 1000)),
        st.builds(bbo, st.integers(1, 1000)),
    ),
    max_size=8,
)


@settings(deadline=None)
@given(first=events, second=events)
def test_two_chains_joined_are_the_chain_of_all_events(first, second):
    joined = chain_of(*first)
    joined.extend(chain_of(*second))
    assert told(joined) == told(chain_of(*first, *second))


@settings(deadline=None)
@given(all_events=events, data=st.data())
def test_without_the_first_it_is_the_chain_of_the_rest(all_events, data):
    count = data.draw(st.integers(0, len(all_events)))
    rest, made = chain_of(*all_events).without_first(count), chain_of(*all_events[count:])
    assert (len(rest), rest.entries) == (len(made), made.entries)
    assert (rest.whole, rest.trusted, rest.sequence) == (made.whole, made.trusted, made.sequence)
    assert (rest.newest_us, rest.venue_ms) == (made.newest_us, made.venue_ms)
