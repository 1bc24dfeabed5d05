"""The rules of the sheets as tables: last applied, the next delta, what it is."""

import pytest

from books.events import Delta
from books.sequence import (
    CONTIGUOUS,
    CONTIGUOUS_THEN_LINKED,
    IMAGES,
    LINKED,
    RANGE_THEN_LINKED,
    TRANSITIONS,
    Action,
    Relation,
    Sequencer,
    State,
)
from fleet.pair import Pair

PAIR = Pair("somewhere", "spot", "BTC/USDT")


def delta(sequence: int | None, first: int | None = None, previous: int | None = None, *, empty: bool = False) -> Delta:
    levels = {} if empty else {"1": "1"}
    return Delta(
        pair=PAIR,
        received_us=1,
        bids=levels,
        asks={},
        sequence=sequence,
        first_sequence=first,
        previous_sequence=previous,
    )


@pytest.mark.parametrize(
    "last, first, sequence, expected",
    [
        (100, 90, 99, Relation.OLD),
        (100, 90, 100, Relation.OLD),
        (100, 90, 101, Relation.NEXT),  # overlaps: amounts are absolute
        (100, 101, 110, Relation.NEXT),
        (100, 102, 110, Relation.GAP),
    ],
)
def test_contiguous_numbers_may_overlap_but_not_jump(last: int, first: int, sequence: int, expected: Relation) -> None:
    assert CONTIGUOUS.following(last, delta(sequence, first)) is expected
    assert CONTIGUOUS.first(last, delta(sequence, first)) is expected


@pytest.mark.parametrize(
    "last, first, sequence, previous, expected",
    [
        (100, 90, 99, 80, Relation.OLD),
        (100, 90, 100, 80, Relation.NEXT),
        (100, 95, 120, 94, Relation.NEXT),
        (100, 105, 120, 100, Relation.NEXT),  # names the snapshot as its predecessor
        (100, 101, 120, 99, Relation.GAP),
    ],
)
def test_the_first_delta_after_a_snapshot_covers_or_names_it(
    last: int, first: int, sequence: int, previous: int, expected: Relation
) -> None:
    assert RANGE_THEN_LINKED.first(last, delta(sequence, first, previous)) is expected


@pytest.mark.parametrize(
    "last, sequence, previous, empty, expected",
    [
        (100, 130, 100, False, Relation.NEXT),
        (100, 100, 100, True, Relation.ALIVE),
        (100, 7, 100, False, Relation.NEXT),  # the venue restarted its numbers, and says so by the link
        (100, 130, 101, False, Relation.GAP),
        (100, 130, 99, False, Relation.GAP),
        (100, 99, 80, False, Relation.OLD),  # a duplicate
        (100, 100, 90, False, Relation.OLD),
        (100, 130, None, False, Relation.GAP),
    ],
)
def test_linked_numbers_count_only_by_the_link(
    last: int, sequence: int, previous: int | None, empty: bool, expected: Relation
) -> None:
    assert LINKED.following(last, delta(sequence, previous=previous, empty=empty)) is expected


def test_a_delta_that_straddles_a_snapshot_is_applied_and_later_ones_must_link() -> None:
    rule = CONTIGUOUS_THEN_LINKED
    assert rule.first(100, delta(100, 96)) is Relation.OLD  # it ends where the snapshot does: all of it is known
    assert rule.first(100, delta(105, 96)) is Relation.NEXT
    assert rule.first(100, delta(105, 102)) is Relation.GAP
    assert rule.following(105, delta(120, 106, 105)) is Relation.NEXT
    assert rule.following(105, delta(120, 104, 103)) is Relation.GAP


def test_a_delta_without_a_number_is_no_proof_where_the_rule_needs_one() -> None:
    for rule in (CONTIGUOUS, LINKED, RANGE_THEN_LINKED):
        assert rule.following(100, delta(None)) is Relation.GAP
    assert IMAGES.following(100, delta(None)) is Relation.NEXT


def test_every_state_and_relation_has_one_transition() -> None:
    assert set(TRANSITIONS) == {(state, relation) for state in State for relation in Relation}


def test_a_chain_lives_breaks_and_waits_for_the_next_snapshot() -> None:
    chain = Sequencer(CONTIGUOUS)
    assert chain.delta(delta(10, 1)) is Action.KEEP
    chain.snapshot(12)
    assert chain.state is State.BRIDGING
    assert chain.delta(delta(12, 11)) is Action.IGNORE
    assert chain.delta(delta(20, 13)) is Action.APPLY
    assert (chain.state, chain.last) == (State.LIVE, 20)
    assert chain.delta(delta(40, 31)) is Action.RESYNC
    assert chain.state is State.AWAITING
    assert chain.delta(delta(50, 41)) is Action.KEEP


def test_a_snapshot_older_than_the_first_kept_delta_does_not_bridge() -> None:
    chain = Sequencer(CONTIGUOUS)
    assert chain.bridges(100, None)
    assert chain.bridges(100, delta(120, 101))
    assert chain.bridges(130, delta(120, 101))
    assert not chain.bridges(99, delta(120, 101))
