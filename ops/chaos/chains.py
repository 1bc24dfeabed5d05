"""PURE. What a pair's stream tells of a takeover: what is missing, repeated, declared lost, or written by a former owner.

Judged by the rule of the venue's own numbers (books.sequence), not by ours: `n` is unbroken also where a delta never came.
"""

from collections.abc import Iterable, Sequence

import msgspec

from books.events import Delta, Kind, SnapshotReason
from books.sequence import Relate, Relation, SequenceRule
from fleet.pair import Pair, parse_label
from ops.chaos.history import Entry

_SOME = {"1": "1"}


class Chain(msgspec.Struct):
    """Of one pair, or summed up over many.

    deltas        entries that carry changes
    missing       deltas that do not follow what was told before them: something between them never came
    repeated      deltas that tell nothing new
    resets        declared losses of the book
    seams         books told anew because sequences cannot be compared: nothing lost that could be known
    images        books told anew for any other reason
    stale         entries under a lower token than one before them: a former owner was let in
    holes         numbers of ours that never came
    oldest_ms     the longest that a delta waited between its frame's arrival and Redis
    """

    deltas: int = 0
    missing: int = 0
    repeated: int = 0
    resets: int = 0
    seams: int = 0
    images: int = 0
    stale: int = 0
    holes: int = 0
    oldest_ms: float = 0.0

    def add(self, other: "Chain") -> None:
        """Sum up."""
        for name in self.__struct_fields__:
            mine, theirs = getattr(self, name), getattr(other, name)
            setattr(self, name, max(mine, theirs) if name == "oldest_ms" else mine + theirs)


def stream_ms(entry_id: str) -> int:
    """When Redis took an entry, Unix ms of its clock."""
    return int(entry_id.partition("-")[0])


def chain(entries: Sequence[Entry], rule: SequenceRule, since_ms: float) -> Chain:
    """Judge the entries of one book line that Redis took at `since_ms` (its clock) or later; earlier ones say what those
    must follow."""
    found = Chain()
    last: int | None = None
    live = bridging = False
    epoch = number = 0
    for entry in entries:
        counts = stream_ms(entry.id) >= since_ms
        if counts:
            found.stale += entry.epoch < epoch
            found.holes += number > 0 and entry.n > number + 1
        epoch, number = max(epoch, entry.epoch), entry.n
        if entry.t == Kind.SNAPSHOT:
            last, live, bridging = entry.sequence, True, True
            if counts:
                found.seams += entry.reason == SnapshotReason.SEAM
                found.images += entry.reason != SnapshotReason.SEAM
        elif entry.t == Kind.RESET:
            live = False
            found.resets += counts
        elif entry.t == Kind.DELTA:
            relation = _relation(last, entry, rule.first if bridging else rule.following) if live else Relation.GAP
            if counts:
                found.deltas += 1
                found.missing += relation is Relation.GAP
                found.repeated += relation is Relation.OLD
                found.oldest_ms = max(found.oldest_ms, stream_ms(entry.id) - entry.received_us / 1000)
            last, bridging = entry.sequence, False
    return found


def _relation(last: int | None, entry: Entry, judge: Relate) -> Relation:
    if last is None or entry.sequence is None:
        return Relation.NEXT  # the venue has no numbers: nothing can be said
    delta = Delta(
        pair=parse_label(entry.label), received_us=0, bids={} if entry.empty else _SOME, asks={},
        sequence=entry.sequence, first_sequence=entry.first_sequence, previous_sequence=entry.previous_sequence,
    )  # fmt: skip
    return judge(last, delta)


def total(chains: Iterable[Chain]) -> Chain:
    """All of them as one."""
    found = Chain()
    for one in chains:
        found.add(one)
    return found


def lossless(pair: Pair, told: Chain) -> list[str]:
    """Why a pair of comparable sequences did not go on without a gap, in words."""
    found = []
    for count, what in (
        (told.missing, "deltas do not follow the one before"),
        (told.repeated, "deltas were told twice"),
        (told.resets, "times the book was declared lost"),
        (told.images, "times the book was told anew"),
        (told.seams, "seams, though its sequences can be compared"),
    ):
        if count:
            found.append(f"{pair}: {count} {what}")
    return found
