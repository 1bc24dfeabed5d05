"""The historical CRC32 of OKX books."""

import json
from pathlib import Path

import pytest

from feeds.venues.okx.checksum import ChecksumVerifier, checksum

BOOK_MESSAGES = {  # recorded/INDEX.md
    "okx/futures/cf202202_session_ws.jsonl": 10 + 13 + 62 + 22 + 1337 + 25 + 4,
    "okx/futures/cf202205_session_ws.jsonl": 99 + 93,
    "okx/spot/cf202202_session_ws.jsonl": 208 + 396 + 1602,
    "okx/spot/cf202205_session_ws.jsonl": 98,
}


def verify(frames: list[bytes]) -> ChecksumVerifier:
    verifier = ChecksumVerifier()
    for frame in frames:
        verifier.check(frame)
    return verifier


def push(action: str, bids: list[tuple[str, str]], asks: list[tuple[str, str]], crc: int) -> bytes:
    row = {"bids": [[*level, "0", "1"] for level in bids], "asks": [[*level, "0", "1"] for level in asks]}
    frame = {"arg": {"channel": "books", "instId": "A-B"}, "action": action, "data": [row | {"checksum": crc}]}
    return json.dumps(frame).encode()


def test_the_worked_example_of_the_sheet() -> None:
    bids = {"84210": "3.3", "84210.1": "0.41"}
    asks = {"84210.3": "1.05", "84210.2": "0.62"}
    assert checksum(bids, asks) == -1239322131


def test_the_longer_side_goes_on_alone() -> None:
    assert checksum({"2": "1"}, {"3": "1", "4": "1"}) != checksum({"2": "1"}, {"3": "1"})
    assert checksum({}, {}) == 0


def test_only_the_best_25_levels_count() -> None:
    bids = {str(price): "1" for price in range(1, 60)}
    assert checksum(bids, {}) == checksum({price: "1" for price in bids if int(price) >= 35}, {})


@pytest.mark.parametrize("file", BOOK_MESSAGES)
def test_every_recorded_checksum_is_right(recorded: Path, file: str) -> None:
    verifier = verify((recorded / file).read_bytes().splitlines())
    assert (verifier.verified, verifier.failures) == (BOOK_MESSAGES[file], 0)


def test_a_message_left_out_makes_later_checksums_wrong(recorded: Path) -> None:
    frames = (recorded / "okx/spot/cf202202_session_ws.jsonl").read_bytes().splitlines()
    updates = [index for index, frame in enumerate(frames) if b"ELON-USDT" in frame and b'"update"' in frame]
    dropped = updates[len(updates) // 2]
    verifier = verify(frames[:dropped] + frames[dropped + 1 :])
    assert verifier.verified == BOOK_MESSAGES["okx/spot/cf202202_session_ws.jsonl"] - 1
    assert 0 < verifier.failures < verifier.verified / 2


def test_zero_means_that_there_is_none() -> None:
    verifier = verify([push("snapshot", [("1", "1")], [("2", "1")], 0)])
    assert (verifier.verified, verifier.failures) == (0, 0)


def test_a_wrong_checksum_is_a_failure_and_a_right_one_is_not() -> None:
    right = checksum({"1": "1"}, {"2": "1"})
    assert verify([push("snapshot", [("1", "1")], [("2", "1")], right)]).failures == 0
    assert verify([push("snapshot", [("1", "1")], [("2", "1")], right + 1)]).failures == 1


def test_a_delta_without_its_snapshot_is_not_verified() -> None:
    assert verify([push("update", [("1", "1")], [], 5)]).verified == 0


def test_a_second_snapshot_starts_anew() -> None:
    right = checksum({"1": "1"}, {"2": "1"})
    frames = [push("snapshot", [("1", "5"), ("0.5", "1")], [], 0), push("snapshot", [("1", "1")], [("2", "1")], right)]
    assert verify(frames).failures == 0


@pytest.mark.parametrize("frame", [b"", b"pong", b"{}", b"\xff", b"[" * 99_999, push("snapshot", [("x", "1")], [], 5)])
def test_frames_of_every_other_kind_are_passed_over(frame: bytes) -> None:
    verify([frame])
