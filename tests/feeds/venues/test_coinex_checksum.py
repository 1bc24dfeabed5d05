"""The CRC32 of CoinEx books: the vectors of the sheet, and the ways to get it wrong."""

import random
import zlib

import pytest

from feeds.venues.coinex.checksum import Checksum, Evidence, Rows

FIRST_BIDS: Rows = [("30736.00", "0.04857373"), ("30733.00", "0.84696320")]
FIRST_ASKS: Rows = [("30740.00", "0.31763545"), ("30769.00", "1.45155000")]
THEN_BIDS: Rows = [("30733.00", "0"), ("30734.50", "0.50000000")]
THEN_ASKS: Rows = [("30740.00", "0.20000000")]


def image(checksum: int, bids: Rows = FIRST_BIDS, asks: Rows = FIRST_ASKS) -> Evidence:
    return Evidence(True, bids, asks, checksum)


def delta(checksum: int, bids: Rows = THEN_BIDS, asks: Rows = THEN_ASKS) -> Evidence:
    return Evidence(False, bids, asks, checksum)


def crc(text: str) -> int:
    return zlib.crc32(text.encode())


@pytest.mark.parametrize("first, then", [(3258844969, 4144158991), (-1036122327, -150808305)])
def test_the_vectors_of_the_sheet_agree_signed_and_unsigned(first: int, then: int) -> None:
    proof = Checksum(50)
    assert proof.check(image(first)) is None
    assert proof.check(delta(then)) is None
    assert proof.trimmed == 0


def test_a_wrong_sum_is_named_with_ours() -> None:
    assert Checksum(50).check(image(1)) == "the venue's checksum is 1, ours 3258844969"


def test_a_lost_delta_is_found_by_the_next_one() -> None:
    proof = Checksum(50)
    assert proof.check(image(3258844969)) is None
    after_both = crc("30736.00:0.04857373:30734.50:0.50000000:30735.00:9:30740.00:0.20000000:30769.00:1.45155000")
    assert proof.check(delta(after_both, [("30735.00", "9")], [])) is not None


def test_nothing_can_be_said_before_the_first_image() -> None:
    proof = Checksum(50)
    assert proof.check(delta(1)) is None
    assert proof.check(image(3258844969)) is None
    assert proof.check(delta(1)) is not None


def test_an_image_replaces_and_does_not_merge() -> None:
    proof = Checksum(50)
    assert proof.check(image(3258844969)) is None
    assert proof.check(image(crc("1:2:3:4"), [("1", "2")], [("3", "4")])) is None


def test_prices_are_ordered_as_numbers() -> None:
    proof = Checksum(50)
    bids: Rows = [("9", "1"), ("10", "1"), ("9.5", "1")]
    asks: Rows = [("100", "1"), ("11", "1"), ("1E2", "2")]  # the last two rows of 100 are one level: the newest counts
    assert proof.check(image(crc("10:1:9.5:1:9:1:11:1:1E2:2"), bids, asks)) is None


def test_an_empty_side_leaves_its_text_out_and_an_empty_book_has_0() -> None:
    assert Checksum(50).check(image(crc("11:1"), [], [("11", "1")])) is None
    assert Checksum(50).check(image(crc("11:1"), [("11", "1")], [])) is None
    assert Checksum(50).check(image(0, [], [])) is None


def test_a_level_of_nothing_in_an_image_is_no_level() -> None:
    assert Checksum(50).check(image(crc("11:1"), [("11", "1"), ("10", "0.00")], [])) is None


def test_deleting_what_is_not_there_changes_nothing() -> None:
    proof = Checksum(50)
    assert proof.check(image(3258844969)) is None
    assert proof.check(delta(3258844969, [("1", "0")], [("99999", "0.0")])) is None


def test_a_level_spelled_otherwise_is_the_same_level_in_its_newest_spelling() -> None:
    proof = Checksum(50)
    assert proof.check(image(crc("10.00:1.0"), [("10.00", "1.0")], [])) is None
    assert proof.check(delta(crc("10.0:2"), [("10.0", "2")], [])) is None
    assert proof.check(delta(0, [("10", "0")], [])) is None


def test_levels_that_leave_the_window_do_not_come_back_by_themselves() -> None:
    proof = Checksum(2)
    assert proof.check(image(crc("10:1:9:1"), [("10", "1"), ("9", "1")], [])) is None
    assert proof.check(delta(crc("11:1:10:1"), [("11", "1")], [])) is None  # the venue said nothing about 9
    assert proof.trimmed == 1
    assert proof.check(delta(crc("10:1"), [("11", "0")], [])) is None


def test_a_venue_that_deletes_what_leaves_is_never_trimmed() -> None:
    proof = Checksum(2)
    assert proof.check(image(crc("10:1:9:1"), [("10", "1"), ("9", "1")], [])) is None
    assert proof.check(delta(crc("11:1:10:1"), [("11", "1"), ("9", "0")], [])) is None
    assert proof.trimmed == 0


def test_what_is_no_evidence_is_an_error_of_ours() -> None:
    with pytest.raises(TypeError, match="Evidence"):
        Checksum(50).check(object())


@pytest.mark.parametrize("seed", range(5))
def test_a_long_walk_agrees_with_the_recipe_written_naively(seed: int) -> None:
    rng = random.Random(seed)
    proof, sides = Checksum(20), ({}, {})  # type: tuple[Checksum, tuple[dict[int, str], dict[int, str]]]
    for step in range(300):
        full = step % 60 == 0
        rows: tuple[Rows, Rows] = ([], [])
        for side, changed, base in zip(sides, rows, (900, 1000), strict=True):
            if full:
                side.clear()
            for price in rng.sample(range(base, base + 25), 20 if full else rng.randrange(4)):
                size = "0" if rng.random() < 0.3 and not full else f"{rng.randrange(1, 999)}.50"
                if size == "0" and price in side:
                    del side[price]
                elif size != "0" and (price in side or len(side) < 20):
                    side[price] = size
                else:
                    continue
                changed.append((f"{price}.0", size))
        bids = [f"{price}.0:{sides[0][price]}" for price in sorted(sides[0], reverse=True)]
        asks = [f"{price}.0:{sides[1][price]}" for price in sorted(sides[1])]
        assert proof.check(Evidence(full, *rows, crc(":".join(bids + asks)))) is None
    assert proof.trimmed == 0
