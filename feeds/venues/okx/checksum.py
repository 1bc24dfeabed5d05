"""PURE. HISTORICAL RULE, for replaying recordings of before 2026-06-23: the CRC32 of OKX books. Never used live.

Source: venue sheet `okx`, section 5. The first 25 levels a side, bid then ask rank by rank as `price:size` in the venue's
own text, joined with `:` (the longer side goes on alone), CRC32, read as a signed 32-bit integer. Since 2026-06-23 the
field is always 0, which means: not given.
"""

import heapq
import zlib
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

RANKS: Final = 25

_Levels = dict[str, str]  # price → size, both the venue's own text: the checksum is over its spelling


def checksum(bids: Mapping[str, str], asks: Mapping[str, str]) -> int:
    """The signed CRC32 of a book. Raises ValueError for a price that is no number."""
    best_bids = heapq.nlargest(RANKS, bids, key=float)
    best_asks = heapq.nsmallest(RANKS, asks, key=float)
    parts: list[str] = []
    for rank in range(max(len(best_bids), len(best_asks))):
        for prices, levels in ((best_bids, bids), (best_asks, asks)):
            if rank < len(prices):
                parts += (prices[rank], levels[prices[rank]])
    crc = zlib.crc32(":".join(parts).encode())
    return crc - 2**32 if crc >= 2**31 else crc


class _Row(msgspec.Struct):
    asks: list[tuple[str, str, str, str]]
    bids: list[tuple[str, str, str, str]]
    checksum: int = 0


class _Arg(msgspec.Struct):
    channel: str
    instId: str  # noqa: N815  # the venue's own word


class _Push(msgspec.Struct):
    arg: _Arg
    action: str
    data: list[_Row]


_push: Final = msgspec.json.Decoder(_Push)


class ChecksumVerifier:
    """Keeps the books of a recording in the venue's own text and verifies every checksum that is given."""

    def __init__(self) -> None:
        self.verified = 0
        self.failures = 0
        self._books: dict[tuple[str, str], tuple[_Levels, _Levels]] = {}

    def check(self, frame: str | bytes) -> None:
        """Look at one frame; whatever is no book message is passed over (the decoder judges it)."""
        try:
            push = _push.decode(frame)
        except (ValueError, RecursionError):
            return
        key = (push.arg.channel, push.arg.instId)
        if push.action == "snapshot":
            self._books[key] = ({}, {})
        book = self._books.get(key)
        if book is None:
            return  # a delta before its snapshot: there is no book to verify
        for row in push.data:
            self._verify(row, *book)

    def _verify(self, row: _Row, bids: _Levels, asks: _Levels) -> None:
        _apply(bids, row.bids)
        _apply(asks, row.asks)
        if row.checksum == 0:
            return
        self.verified += 1
        try:
            self.failures += checksum(bids, asks) != row.checksum
        except ValueError:
            self.failures += 1


def _apply(levels: _Levels, rows: Iterable[tuple[str, str, str, str]]) -> None:
    for price, size, _, _ in rows:
        if size == "0":
            levels.pop(price, None)
        else:
            levels[price] = size
