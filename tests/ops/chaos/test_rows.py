"""History held against the streams: what is doubled, missing, changed, or void and not said to be."""

from ops.chaos.history import TRADES, Line
from ops.chaos.rows import Key, Row, Said, judge

LINE = Line("okx:spot:A/B")


def key(epoch: int, n: int, line: Line = LINE) -> Key:
    return Key(line, epoch, n)


def row(epoch: int, n: int, *, entry_id: str = "", rows: int = 1) -> Row:
    return Row(key(epoch, n), entry_id or f"{epoch}-{n}", rows, 1)


def streams(*entries: tuple[int, int]) -> dict[Key, str]:
    return {key(epoch, n): f"{epoch}-{n}" for epoch, n in entries}


def test_what_the_stream_has_and_nothing_else_is_sound():
    assert judge([row(1, 5), row(1, 6)], [], streams((1, 5), (1, 6))) == ([], 0)


def test_an_entry_that_is_not_stored_is_found():
    [found] = judge([row(1, 5)], [], streams((1, 5), (1, 6))).violations
    assert "n=6 (1-6) is in the stream and not in history" in found


def test_an_entry_with_a_row_too_many_is_found():
    [found] = judge([row(1, 5, rows=2)], [], streams((1, 5))).violations
    assert "2 rows in place of 1" in found


def test_two_writes_of_one_number_under_one_epoch_are_found():
    found = judge([row(1, 5), row(1, 5, entry_id="9-9")], [], streams((1, 5))).violations
    assert any("stored twice" in text for text in found)


def test_a_number_that_was_written_again_under_its_epoch_is_found():
    [found] = judge([row(1, 5, entry_id="9-9")], [], streams((1, 5))).violations
    assert "written twice" in found


def test_a_row_that_is_gone_is_found():
    [found] = judge([row(1, 5)], [], streams((1, 5)), [row(1, 4)]).violations
    assert "was in history before" in found


def test_a_tail_that_redis_lost_is_void_and_must_be_said_to_be():
    rows, there = [row(1, 5), row(1, 6), row(1, 7), row(2, 6)], streams((1, 5), (2, 6))
    fork = Said("fork", LINE, 6, 7)
    assert judge(rows, [fork], there) == ([], 2)
    [found] = judge(rows, [], there).violations
    assert "no fork of 6 … 7" in found
    assert judge(rows, [fork._replace(line=Line(LINE.label, TRADES))], there).violations == [found]


def test_a_jump_must_be_said_to_be_one():
    rows, there = [row(1, 5), row(2, 9)], streams((1, 5), (2, 9))
    assert judge(rows, [Said("gap", LINE, 6, 8)], there) == ([], 0)
    [found] = judge(rows, [Said("gap", LINE, 6, 7)], there).violations
    assert "no gap of 6 … 8" in found


def test_a_number_missing_among_void_ones_is_named_by_their_fork():
    rows, there = [row(1, 5), row(2, 7), row(3, 6)], streams((1, 5), (3, 6))
    assert judge(rows, [Said("fork", LINE, 6, 7, epoch=3)], there) == ([], 1)
    [found] = judge(rows, [Said("fork", LINE, 6, 7, epoch=2)], there).violations
    assert "no gap of 6 … 6" in found, "a fork voids what is below its epoch, nothing else"
