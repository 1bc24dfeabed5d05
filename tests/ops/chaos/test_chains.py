"""What a pair's stream tells of a takeover, by the venue's own numbers."""

import pytest

from books.sequence import CONTIGUOUS, IMAGES, LINKED
from fleet.pair import Pair
from ops.chaos.chains import Chain, chain, lossless, total
from ops.chaos.history import Entry

LABEL = "binance:spot:BTC/USDT"
PAIR = Pair("binance", "spot", "BTC/USDT")


class Stream:
    """Entries one after another: n goes on by one, one a ms."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(
        self, kind: str, sequence: int | None = None, *, epoch: int = 1, n: int | None = None, **more: object
    ) -> "Stream":
        number = len(self.entries) + 1
        received_us = (1000 + number) * 1000
        options = {"received_us": received_us, **more}
        entry = Entry(
            label=LABEL, line="book", id=f"{1000 + number}-0", t=kind, n=number if n is None else n, epoch=epoch,
            sequence=sequence, **options,
        )  # fmt: skip
        self.entries.append(entry)
        return self

    def delta(self, sequence: int | None, first: int | None = None, **more: object) -> "Stream":
        return self.add("delta", sequence, first_sequence=sequence if first is None else first, **more)

    def told(self, since_ms: float = 0, rule: object = CONTIGUOUS) -> Chain:
        return chain(self.entries, rule, since_ms)


def test_a_chain_that_goes_on_has_nothing_missing():
    told = Stream().add("snapshot", 10).delta(11).delta(12, epoch=2).delta(13, epoch=2).told()
    assert (told.deltas, told.missing, told.repeated, told.resets, told.images) == (3, 0, 0, 0, 1)
    assert told.stale == told.holes == 0


def test_a_delta_that_does_not_follow_is_missing_something():
    told = Stream().add("snapshot", 10).delta(11).delta(13, epoch=2).delta(14, epoch=2).told()
    assert told.missing == 1


def test_a_delta_of_the_past_is_a_repetition():
    told = Stream().add("snapshot", 10).delta(11).delta(12).delta(12, epoch=2).told()
    assert told.repeated == 1


def test_a_reset_is_a_declared_loss_and_a_delta_behind_it_an_undeclared_one():
    stream = Stream().add("snapshot", 10).delta(11).add("reset", reason="takeover")
    assert stream.told().missing == 0
    told = stream.delta(12).told()
    assert (told.resets, told.missing) == (1, 1)


def test_a_snapshot_for_a_seam_is_counted_apart():
    told = Stream().add("snapshot", 10).add("snapshot", 40, reason="seam").add("snapshot", 50, reason="resync").told()
    assert (told.seams, told.images) == (1, 2)


def test_a_write_of_a_former_owner_is_stale():
    told = Stream().add("snapshot", 10, epoch=5).delta(11, epoch=6).delta(12, epoch=5).told()
    assert told.stale == 1


def test_a_number_of_ours_that_never_came_is_a_hole():
    told = Stream().add("snapshot", 10, n=1).delta(11, n=2).delta(12, n=4).told()
    assert told.holes == 1


def test_what_came_before_the_moment_is_only_what_later_ones_must_follow():
    stream = Stream().add("snapshot", 10).delta(12).add("reset").add("snapshot", 20).delta(21).delta(23)
    whole, later = stream.told(), stream.told(since_ms=1006)
    assert (whole.missing, whole.resets, whole.deltas) == (2, 1, 3)
    assert (later.missing, later.resets, later.deltas) == (1, 0, 1)


def test_a_venue_without_numbers_proves_nothing():
    told = Stream().add("snapshot", None).delta(None).delta(None).told(rule=IMAGES)
    assert (told.missing, told.repeated) == (0, 0)


def test_linked_numbers_are_judged_by_their_link():
    stream = Stream().add("snapshot", 10).delta(15, previous_sequence=10).delta(19, previous_sequence=16)
    assert stream.told(rule=LINKED).missing == 1


def test_the_oldest_delta_is_the_one_that_waited_longest_for_redis():
    told = Stream().add("snapshot", 10).delta(11).delta(12, received_us=(1003 - 250) * 1000).told()
    assert told.oldest_ms == 250


def test_many_pairs_are_summed_up_and_the_oldest_counts():
    summed = total([Chain(deltas=1, resets=1, oldest_ms=5.0), Chain(deltas=2, missing=1, oldest_ms=3.0)])
    assert summed == Chain(deltas=3, resets=1, missing=1, oldest_ms=5.0)


@pytest.mark.parametrize("field", ["missing", "repeated", "resets", "images", "seams"])
def test_each_way_to_lose_something_is_told(field):
    assert lossless(PAIR, Chain(deltas=5)) == []
    [text] = lossless(PAIR, Chain(**{field: 3}))
    assert "3" in text
    assert "binance" in text
