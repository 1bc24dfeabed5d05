"""Redis → FleetStatus. One round trip in the steady state, nothing written, no keyspace scanned.

A batch asks for the lists of names (members; the tail cells, a field a pair) and, in the same breath, for the records of
the names known from the batch before. Only when names turn up that were not known is a second batch needed: always at the
first look, later when a member joins or a pair is new.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from redis.asyncio import Redis

from books.loaded import LoadedBook, parse_loaded
from fleet.errors import ConfigError
from fleet.heartbeat import MemberRecord
from fleet.keys import Keys
from fleet.pair import Pair, parse_label
from ops.status import LIVE, MISSING, QUARANTINE, FleetStatus, MemberStatus, PairStatus

# of a book's main hash; the levels are not needed here
_FIELDS = (
    *(b"status", b"n", b"id", b"epoch", b"owner", b"depth", b"sequence", b"venue_ms", b"received_us"),
    *(b"published_ms", b"checked_ms", b"bid", b"ask"),
)

log = logging.getLogger(__name__)


class PairNote(msgspec.Struct, frozen=True):
    """What a member says of a pair it has to do with, in its pair_state record."""

    rate: float = 0.0
    gaps: int = 0
    resyncs: int = 0
    checksums: int = 0
    seams: int = 0  # a daemon of an older version says nothing of them
    reason: str | None = None
    state: str = ""


class MemberNotes(msgspec.Struct, frozen=True):
    """The pair_state record of a member."""

    pairs: dict[str, PairNote] = {}


class Observer:
    """Looks at one fleet, again and again. Errors of redis-py pass through."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self.keys = keys
        self._members: tuple[str, ...] = ()
        self._pairs: tuple[Pair, ...] = ()
        self.batches = 0  # round trips so far

    async def observe(self) -> FleetStatus:
        """The fleet as it stands now."""
        batch = await self._read()
        if not (set(batch.members) <= set(self._members) and set(batch.pairs) <= set(self._pairs)):
            self._remember(batch)
            batch = await self._read()
        self._remember(batch)
        return batch.status()

    def _remember(self, batch: "_Batch") -> None:
        self._members, self._pairs = tuple(batch.members), tuple(batch.pairs)

    async def _read(self) -> "_Batch":
        keys, members, pairs = self.keys, self._members, self._pairs
        pipe = self._redis.pipeline(transaction=False)
        pipe.time()
        pipe.get(keys.leader())
        pipe.get(keys.term())
        pipe.zrange(keys.members(), 0, -1, withscores=True)
        for shard in range(keys.shards):
            pipe.hkeys(keys.tail(shard))
        for member in members:
            pipe.get(keys.member(member))
            pipe.get(keys.pair_state(member))
        for pair in pairs:
            pipe.hmget(keys.book(pair), _FIELDS)
            pipe.get(keys.lease(pair))
        answers = await pipe.execute()
        self.batches += 1
        return _Batch(answers, keys.shards, members, pairs)


class _Batch:
    """The answers of one round trip, taken apart."""

    def __init__(self, answers: list[Any], shards: int, asked: Iterable[str], pairs: Iterable[Pair]) -> None:
        rest = iter(answers)
        seconds, micros = next(rest)
        self.now_ms: int = seconds * 1000 + micros // 1000
        self.leader, self.term = _leader(next(rest), next(rest))
        beats = {member.decode(): int(beat_ms) for member, beat_ms in next(rest)}
        self.members = sorted(beats)
        self.pairs = sorted(_pairs_of([label for _ in range(shards) for label in next(rest)]))
        self._records: list[MemberStatus] = []
        self._notes: dict[Pair, dict[str, PairNote]] = {}
        for member in asked:
            record, notes = next(rest), next(rest)
            if member in beats and record is not None:
                self._records.append(_member(member, record, self.now_ms - beats[member]))
                self._take_notes(member, notes)
        self._books: dict[Pair, PairStatus] = {}
        for pair in pairs:
            main, lease = next(rest), next(rest)
            self._take_book(pair, {name: value for name, value in zip(_FIELDS, main, strict=True) if value}, lease)

    def _take_notes(self, member: str, text: bytes | None) -> None:
        try:
            notes = msgspec.json.decode(text, type=MemberNotes) if text else MemberNotes()
            for label, note in notes.pairs.items():
                self._notes.setdefault(parse_label(label), {})[member] = note
        except (msgspec.DecodeError, ConfigError) as error:
            log.warning("%s: what it says of its pairs cannot be read: %s", member, error)

    def _take_book(self, pair: Pair, main: dict[bytes, bytes], lease: bytes | None) -> None:
        book = parse_loaded(pair, main, {}, {}, None, lease is not None, self.now_ms)
        holder = lease.decode().partition(" ")[2] if lease else None
        said = self._notes.get(pair, {})
        if book.status == MISSING and holder is None and not said:
            return  # a pair of the past: its tail cell stays for ever
        self._books[pair] = _pair_status(book, holder, said, main)

    def status(self) -> FleetStatus:
        """All of it, as the read model."""
        for pair, said in self._notes.items():
            if pair not in self._books:
                book = LoadedBook(pair=pair, status=MISSING, now_ms=self.now_ms, lease_alive=False, cell=None)
                self._books[pair] = _pair_status(book, None, said, {})
        return FleetStatus(
            leader=self.leader,
            term=self.term,
            now_ms=self.now_ms,
            members=tuple(self._records),
            pairs=tuple(self._books[pair] for pair in sorted(self._books)),
        )


def _leader(leader: bytes | None, term: bytes | None) -> tuple[str | None, int | None]:
    if leader is not None:
        held, _, member = leader.decode().partition(" ")
        return member, int(held)
    return None, int(term) if term else None


def _pairs_of(fields: Iterable[bytes]) -> set[Pair]:
    """Labels among the fields of tail hashes; fields with `#` are other lines of a pair (its trades)."""
    pairs = set()
    for field in fields:
        if b"#" not in field:
            try:
                pairs.add(parse_label(field.decode()))
            except ConfigError:
                continue  # written by a newer daemon: nothing of ours to show
    return pairs


def _member(identity: str, text: bytes, beat_age_ms: int) -> MemberStatus:
    try:
        record = msgspec.json.decode(text, type=MemberRecord)
    except msgspec.DecodeError as error:
        log.warning("%s: its record cannot be read: %s", identity, error)
        host, _, pid = identity.rpartition(":")[0].rpartition(":")
        record = MemberRecord(id=identity, host=host, pid=int(pid), roles=(), capacity=0, version="unreadable")
    return MemberStatus(
        id=identity,
        host=record.host,
        pid=record.pid,
        roles=record.roles,
        pairs=record.pairs,
        rate=record.rate,
        loop_stall_ms=record.loop_stall_ms,
        version=record.version,
        beat_age_ms=max(0, beat_age_ms),
        quiet=record.quiet,
        deaf=record.deaf,
    )


def _pair_status(
    book: LoadedBook, holder: str | None, said: Mapping[str, PairNote], main: Mapping[bytes, bytes]
) -> PairStatus:
    """`said`: what each member says of the pair; the owner's word counts, a standby's only where there is no owner."""
    owner = holder or book.owner or None
    note = said.get(owner or "") or next(iter(said.values()), PairNote())
    status = book.status
    if status == MISSING and note.state not in {"", LIVE}:  # live is what Redis holds, whatever anybody says
        status = note.state
    elif holder is not None and holder in said and said[holder].state == QUARANTINE:
        status = QUARANTINE  # where the owner could not even tell its book's end, the book says live
    return PairStatus(
        **book.pair._asdict(),
        owner=owner,
        epoch=book.epoch or None,
        status=status,
        sequence=book.sequence,
        age_ms=book.age_ms,
        rate=note.rate,
        gaps=note.gaps,
        resyncs=note.resyncs,
        checksums=note.checksums,
        seams=note.seams,
        n=book.n or None,
        depth=book.depth,
        best_bid=main.get(b"bid", b"").decode(),
        best_ask=main.get(b"ask", b"").decode(),
        reason=next((one.reason for one in [note, *said.values()] if one.reason), None),
    )
