"""Files of recorded messages and the receive times beside them."""

import base64
from pathlib import Path

import pytest

from feeds.recording import Recorded, read_file, read_recording
from fleet.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "some.jsonl"


def test_a_line_is_a_message_and_blank_lines_are_none(file: Path) -> None:
    file.write_bytes(b'{"a":1}\n\npong\r\n')
    assert read_recording(file) == [Recorded(b'{"a":1}', None), Recorded(b"pong", None)]


def test_the_last_line_needs_no_end_and_an_empty_file_has_no_messages(file: Path) -> None:
    file.write_bytes(b"one\ntwo")
    assert [message.frame for message in read_recording(file)] == [b"one", b"two"]
    file.write_bytes(b"")
    assert read_recording(file) == []


def test_a_binary_message_is_its_own_bytes(file: Path) -> None:
    file.write_bytes(b'{"b64":"' + base64.b64encode(b"\x1f\x8b\n\x00") + b'"}\n')
    assert read_recording(file) == [Recorded(b"\x1f\x8b\n\x00", None)]


@pytest.mark.parametrize("line", [b'{"b64":"!"}', b'{"b64":5}', b'{"b64":"AA==","more":1}', b'{"b64":'])
def test_what_only_looks_like_a_binary_message_stays_as_it_is(file: Path, line: bytes) -> None:
    file.write_bytes(line + b"\n")
    assert read_recording(file) == [Recorded(line, None)]


@pytest.mark.parametrize(
    "time", ["1626992741.06217", "1626992741062.17", "1626992741062170", "1626992741062170768", "1626992741062170.9"]
)
def test_receive_times_of_every_unit_are_microseconds(file: Path, time: str) -> None:
    file.write_bytes(b"one\n")
    file.with_suffix(".recv").write_text(time + "\n")
    assert read_recording(file) == [Recorded(b"one", 1626992741062170)]


def test_times_belong_to_lines_blank_ones_too(file: Path) -> None:
    file.write_bytes(b"one\n\ntwo\n")
    file.with_suffix(".recv").write_text("1\n2\n3\n")
    assert read_recording(file) == [Recorded(b"one", 1_000_000), Recorded(b"two", 3_000_000)]


def test_times_that_do_not_fit_the_lines_are_an_error(file: Path) -> None:
    file.write_bytes(b"one\ntwo\n")
    file.with_suffix(".recv").write_text("1\n")
    with pytest.raises(ConfigError, match=r"1 times for the 2 lines"):
        read_recording(file)


@pytest.mark.parametrize("text", ["soon\n", "NaN\n", "Infinity\n", "\n"])
def test_times_that_are_none_are_an_error(file: Path, text: str) -> None:
    file.write_bytes(b"one\n")
    file.with_suffix(".recv").write_text(text)
    with pytest.raises(ConfigError, match="Unix time"):
        read_recording(file)


def test_a_file_that_is_not_there_is_an_error_that_names_it(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*some\.jsonl: No such file"):
        read_recording(file)
    with pytest.raises(ConfigError, match="cannot read"):
        read_file(file.parent)


def test_recorded_times_only_rise(recorded: Path) -> None:
    messages = read_recording(recorded / "binance/futures/cf202107_session_ws.jsonl")
    times = [message.received_us for message in messages]
    assert len(times) == 1535
    assert times == sorted(times, key=lambda time: time or 0)
    assert times[0] == 1626992741062170
