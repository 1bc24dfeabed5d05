"""PURE. The CRC32 of CoinEx books: all that proves that no message was lost. Source: venue sheet `coinex`, section 5.3.

After a message: the best N bids (highest first), then the best N asks (lowest first), each as `price:size` in the venue's
own spelling, all joined with `:`; CRC32 of that, compared modulo 2^32 (documented as signed, sent as unsigned). Prices are
ordered as numbers. A level is told by its price as a number too, and its newest spelling counts.
"""

import zlib
from decimal import Decimal
from typing import Final

import msgspec

from books.decimals import SPELLINGS

_MODULUS: Final = 2**32

Rows = list[tuple[str, str]]  # (price, size) as the venue spells them
_Levels = dict[str, tuple[Decimal, str]]  # canonical price → the number, and `price:size` as spelled


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """What a depth message brings: rows that the decoder has already found to be decimals, and the sum after them."""

    is_full: bool
    bids: Rows
    asks: Rows
    checksum: int


class Checksum:
    """Proves a book of `ranks` levels a side, message by message.

    trimmed    levels that had to be cut off beyond `ranks`: the venue is expected to delete what leaves the window itself
               (section 5.2, uncertain). Not 0 on a live venue means that the book may keep levels the venue forgot.
    """

    def __init__(self, ranks: int) -> None:
        self.trimmed = 0
        self._ranks = ranks
        self._bids: _Levels = {}
        self._asks: _Levels = {}
        self._whole = False

    def __repr__(self) -> str:
        return (
            f"<Checksum of {self._ranks} ranks, {len(self._bids)} bids, {len(self._asks)} asks, {self.trimmed} trimmed>"
        )

    def check(self, evidence: object) -> str | None:
        """None: the sum agrees, or no full image came yet. Else both sums. Raises TypeError for what is no Evidence."""
        if not isinstance(evidence, Evidence):
            raise TypeError(f"expected Evidence, got {type(evidence).__name__}")
        if evidence.is_full:
            self._bids, self._asks, self._whole = {}, {}, True
        if not self._whole:
            return None
        self._bids = self._merged(self._bids, evidence.bids, best_is_highest=True)
        self._asks = self._merged(self._asks, evidence.asks, best_is_highest=False)
        text = ":".join([level for side in (self._bids, self._asks) for _, level in side.values()])
        crc = zlib.crc32(text.encode())
        if crc == evidence.checksum % _MODULUS:
            return None
        return f"the venue's checksum is {evidence.checksum % _MODULUS}, ours {crc}"

    def _merged(self, levels: _Levels, rows: Rows, *, best_is_highest: bool) -> _Levels:
        """In order, best first; so the next sort finds them nearly sorted."""
        if not rows:
            return levels
        for price, size in rows:
            key = SPELLINGS[price]
            if SPELLINGS[size] == "0":
                levels.pop(key, None)
            else:
                levels[key] = Decimal(key), f"{price}:{size}"
        ranked = sorted(levels.items(), key=lambda level: level[1][0], reverse=best_is_highest)
        self.trimmed += max(0, len(ranked) - self._ranks)
        return dict(ranked[: self._ranks])
