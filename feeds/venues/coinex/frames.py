"""PURE. The text of a CoinEx frame. Source: venue sheet `coinex`, section 2, Compression.

The venue sends every message as one binary frame that holds one whole gzip member. Text (recordings, and a venue that
changed its mind) and zlib are read as well. What a frame unpacks to is bounded: a bomb costs TEXT_MOST, not the memory.
"""

import zlib
from typing import Final

from feeds.venue import Undecodable

# The largest real message, all markets' states, has about 300 kB; a book of 50 levels a side has 4.
TEXT_MOST: Final = 4 * 1024 * 1024

_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS  # the header says which of the two
_COMPRESSED: Final = (b"\x1f", b"\x78")  # first byte of gzip, and of zlib with its usual window; no JSON begins so


def text_of(frame: str | bytes) -> str:
    """The JSON text of a frame. Raises Undecodable."""
    if isinstance(frame, str):
        return frame
    try:
        return str(_unpacked(frame) if frame[:1] in _COMPRESSED else frame, "utf-8")
    except (zlib.error, UnicodeDecodeError) as error:
        raise Undecodable(f"neither text nor gzip: {error}") from error


def _unpacked(frame: bytes) -> bytes:
    unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)
    data = unpacker.decompress(frame, TEXT_MOST)
    if not unpacker.eof:
        full = len(data) >= TEXT_MOST
        raise Undecodable(f"unpacks to more than {TEXT_MOST} bytes" if full else "compressed data that are cut short")
    if unpacker.unused_data:
        raise Undecodable(f"{len(unpacker.unused_data)} bytes behind the compressed data")
    return data
