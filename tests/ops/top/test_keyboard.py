"""Bytes → keys."""

import pytest

from ops.top.keyboard import KeyDecoder


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"q", ["q"]), (b"sS/", ["s", "S", "/"]), (b"\r\n", ["enter", "enter"]), (b"\x7f\x08", ["backspace"] * 2),
        (b" ", ["space"]), (b"\x03", ["ctrl-c"]), (b"\x1b[A\x1b[B", ["up", "down"]), (b"\x1bOA", ["up"]),
        (b"\x1b[5~\x1b[6~", ["page-up", "page-down"]), (b"\x1b[H\x1b[F", ["home", "end"]), ("é€".encode(), ["é", "€"]),
        (b"\x1b[200~x", ["x"]), (b"\x01\x02", []), (b"\x1bq", ["escape", "q"]), (b"\xff", []),
    ],
)  # fmt: skip
def test_what_a_terminal_sends_becomes_names(data, keys):
    decoder = KeyDecoder()
    assert decoder.feed(data) + decoder.flush() == keys


@pytest.mark.parametrize("data", [b"\x1b[A", b"\x1b[5~", "€".encode(), b"\x1bOB"])
def test_a_key_that_comes_in_pieces_is_one_key(data):
    decoder = KeyDecoder()
    keys = [key for byte in data for key in decoder.feed(bytes([byte]))]
    assert len(keys) == 1
    assert not decoder.waiting


def test_a_lone_escape_is_known_by_the_silence_after_it():
    decoder = KeyDecoder()
    assert decoder.feed(b"\x1b") == []
    assert decoder.waiting
    assert decoder.flush() == ["escape"]
    assert not decoder.waiting


def test_half_a_sequence_is_no_key():
    decoder = KeyDecoder()
    assert decoder.feed(b"\x1b[") == []
    assert decoder.flush() == []
    assert decoder.feed(b"q") == ["q"]
