"""PURE. Which members a plan does not count on for which venues, because they do not reach what others do.

A member says for how long it has not reached a group (`venue:market`). That counts once it has lasted PATIENCE_MS: when a venue
is away for everybody, all its members notice within that time, nobody is left that hears it, and nothing moves. It counts
only while somebody else who takes pairs shows that he hears the group: he serves a live book of it, or has been answered there.

    deaf for PATIENCE_MS, another hears it    barred, and with it whoever else is deaf to it at that time
    not deaf for QUIET_MS                     counted on again; nothing moves back for that
    nobody is left who is not barred          those who hear again count at once; if there are none, nobody is barred
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

PATIENCE_MS = 10_000  # more than members differ in noticing that a venue is away, a beat and a look
QUIET_MS = 60_000.0


class Record(Protocol):
    """What is read of fleet.heartbeat.MemberRecord."""

    @property
    def id(self) -> str: ...
    @property
    def deaf(self) -> Mapping[str, int]: ...
    @property
    def reached(self) -> tuple[str, ...]: ...


class Bar(NamedTuple):
    """A member that is not counted on for a group."""

    member: str
    group: str


class Deafness:
    """Remembers who was barred, and when it was deaf last. Times are monotonic ms."""

    def __init__(self) -> None:
        self._deaf_at_ms: dict[Bar, float] = {}

    def news(self, records: Iterable[Record], serving: Mapping[str, frozenset[str]]) -> list[Bar]:
        """Who would have to be barred now and is not. `records`: of members that take pairs; `serving`: group → members
        that serve a live book of it."""
        known = {record.id: record for record in records}
        late = [
            Bar(record.id, group)
            for record in known.values()
            for group, for_ms in record.deaf.items()
            if for_ms >= PATIENCE_MS
        ]
        groups = {bar.group for bar in late if self._hears(bar.group, known.values(), serving)}
        return sorted(
            bar
            for record in known.values()
            for group in record.deaf
            if group in groups and (bar := Bar(record.id, group)) not in self._deaf_at_ms
        )

    @staticmethod
    def _hears(group: str, records: Iterable[Record], serving: Mapping[str, frozenset[str]]) -> bool:
        serves = serving.get(group, frozenset())
        return any(group not in one.deaf and (group in one.reached or one.id in serves) for one in records)

    def bar(self, bars: Iterable[Bar], now_ms: float) -> None:
        """Count on them no more."""
        self._deaf_at_ms |= dict.fromkeys(bars, now_ms)

    def barred(self, records: Iterable[Record], now_ms: float) -> dict[str, tuple[str, ...]]:
        """Member → the groups that it is to have nothing of. `records`: of members that take pairs."""
        known = {record.id: record for record in records}
        for bar in list(self._deaf_at_ms):
            record = known.get(bar.member)
            if record is not None and bar.group in record.deaf:
                self._deaf_at_ms[bar] = now_ms
            elif now_ms - self._deaf_at_ms[bar] >= QUIET_MS:
                del self._deaf_at_ms[bar]
        by_group: dict[str, set[str]] = {}
        for member, group in self._deaf_at_ms:
            if member in known:
                by_group.setdefault(group, set()).add(member)
        found: dict[str, list[str]] = {}
        for group, members in sorted(by_group.items()):
            still = members if len(members) < len(known) else {name for name in members if group in known[name].deaf}
            for name in still if len(still) < len(known) else ():
                found.setdefault(name, []).append(group)
        return {name: tuple(groups) for name, groups in found.items()}
