"""PURE. Encoded events in order, and what they do to a book together.

Events are encoded on arrival, while they are at hand: what waits is bytes, a third of an event's memory, and taking a batch is
no work.
"""

from books.events import Delta, Event, Kind, Snapshot, Trade
from books.wire import decode, encode
from fleet.pair import Pair

_REPLACES = (Kind.SNAPSHOT, Kind.RESET)


class Chain:
    """Append only, but for `without_first`.

    entries      flat: kind, payload, kind, payload …
    whole        True: the first effect on the book replaces it; False: it changes it; None: there is none
    trusted      whether the book is whole after all of them; None: unchanged
    sequence     the venue's after all of them (of trades: the last one's id), `-` for none; None: unchanged
    oldest_us, newest_us, venue_ms    arrival of the first and the last event, the venue's time of the last
    """

    __slots__ = ("_sequences", "entries", "newest_us", "oldest_us", "sequence", "trusted", "venue_ms", "whole")

    def __init__(self) -> None:
        self.entries: list[str | bytes] = []
        self.whole: bool | None = None
        self.trusted: bool | None = None
        self.sequence: str | None = None
        self.oldest_us = self.newest_us = 0
        self.venue_ms: int | None = None
        self._sequences: list[int | str | None] = []

    def __len__(self) -> int:
        return len(self._sequences)

    def add(self, event: Event) -> None:
        """The hot path."""
        kind, payload = encode(event)
        self.entries += (kind, payload)
        self.newest_us, self.venue_ms = event.received_us, event.venue_ms
        if not self.oldest_us:
            self.oldest_us = event.received_us
        if kind is Kind.TRADE:
            self._add_trade(event)
            return
        sequence = event.sequence if isinstance(event, Delta | Snapshot) else None
        self._sequences.append(sequence)
        if kind is Kind.DELTA:
            if self.whole is None:
                self.whole = False
            if sequence is not None:
                self.sequence = str(sequence)
        elif kind in _REPLACES:
            self._replace(kind, sequence)

    def _add_trade(self, event: Event) -> None:
        told = event.trade_id if isinstance(event, Trade) and event.trade_id.isprintable() else ""
        name = told if told and " " not in told else None  # it becomes a word of the tail cell
        self._sequences.append(name)
        self.sequence = name or self.sequence

    def _replace(self, kind: Kind, sequence: int | str | None) -> None:
        if self.whole is None:
            self.whole = True
        self.trusted = kind is Kind.SNAPSHOT
        self.sequence = "-" if sequence is None else str(sequence)

    def extend(self, later: "Chain") -> None:
        """Append all of another chain."""
        if not len(later):
            return
        if not len(self):
            self.oldest_us = later.oldest_us
        self.entries += later.entries
        self._sequences += later._sequences
        self.newest_us, self.venue_ms = later.newest_us, later.venue_ms
        self.whole = later.whole if self.whole is None else self.whole
        self.trusted = self.trusted if later.trusted is None else later.trusted
        self.sequence = self.sequence if later.sequence is None else later.sequence

    def sequence_after(self, count: int) -> str | None:
        """The venue's sequence after the first `count` events, `-` for none; None: they do not change it."""
        found: str | None = None
        for kind, sequence in zip(self.entries[: 2 * count : 2], self._sequences, strict=False):
            if sequence is not None:
                found = str(sequence)
            elif kind in _REPLACES:
                found = "-"
        return found

    def deltas(self, pair: Pair) -> list[Delta] | None:
        """The deltas among the events; None where something else decides about the book."""
        found = []
        for kind, payload in zip(self.entries[::2], self.entries[1::2], strict=True):
            if kind in _REPLACES:
                return None
            if kind == Kind.DELTA and isinstance(payload, bytes):
                fields = {b"k": pair.label.encode(), b"t": b"delta", b"n": b"0", b"e": b"0", b"d": payload}
                event = decode("", fields)
                if isinstance(event, Delta):
                    found.append(event)
        return found

    def without_first(self, count: int) -> "Chain":
        """What is left when the first `count` events are known to have arrived."""
        rest = Chain()
        rest.entries, rest._sequences = self.entries[2 * count :], self._sequences[count:]
        if not len(rest):
            return rest
        rest.oldest_us, rest.newest_us, rest.venue_ms = self.oldest_us, self.newest_us, self.venue_ms
        for kind, sequence in zip(rest.entries[::2], rest._sequences, strict=True):
            if kind in _REPLACES:
                rest._replace(Kind(str(kind)), sequence)
            elif kind in (Kind.DELTA, Kind.TRADE):
                if kind == Kind.DELTA and rest.whole is None:
                    rest.whole = False
                rest.sequence = rest.sequence if sequence is None else str(sequence)
        return rest
