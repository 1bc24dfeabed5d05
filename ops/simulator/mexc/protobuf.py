"""PURE. The wire of protobuf, written by hand: what spot pushes consist of (venues/mexc.md §2.1).

Deliberately not the library that clients decode with: an error in a schema must not cancel out. Only two wire types occur:
0 (varint) and 2 (length-delimited). proto3 leaves defaults out: 0 and empty text are not written.
"""

from collections.abc import Iterable

_VARINT, _DELIMITED = 0, 2


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the top bit says that more follow. Raises ValueError for a negative number."""
    if value < 0:
        raise ValueError(f"varint of {value}: expected 0 or more")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _tag(number: int, wire_type: int) -> bytes:
    return varint(number << 3 | wire_type)


def integer(number: int, value: int) -> bytes:
    """An integer field."""
    return _tag(number, _VARINT) + varint(value) if value else b""


def text(number: int, value: str) -> bytes:
    """A string field."""
    return message(number, value.encode()) if value else b""


def message(number: int, body: bytes) -> bytes:
    """A message field; an empty message is written all the same."""
    return _tag(number, _DELIMITED) + varint(len(body)) + body


def repeated(number: int, bodies: Iterable[bytes]) -> bytes:
    """A repeated message field."""
    return b"".join([message(number, body) for body in bodies])
