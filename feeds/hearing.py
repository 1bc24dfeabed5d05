"""PURE. Which venues this daemon reaches, and since when it does not. A group is `venue:market`.

    a connection of ours is open                       heard
    all of ours have failed, none is open              deaf from then on, until one is open or a knock was answered
    others are deaf and we have no connection there    we knock: an answer is the proof that they lack

Deafness is counted from when the last connection was given up, not from the last byte: venues are given different times to
answer (feeds.liveness), and those who hear a venue die notice it within a few seconds of each other.
"""

from collections.abc import Collection

TOLD_MS = 3_000.0  # a venue that closes a socket is connected to again before this
KNOCK_EVERY_MS = 5_000.0
REACHED_MS = 8_000.0  # how long an answer proves something: the next knock, and a beat


class _Ear:
    __slots__ = ("connected", "deaf_since_ms", "heard_ms", "knock_at_ms")

    def __init__(self) -> None:
        self.connected: bool | None = None
        self.deaf_since_ms: float | None = None
        self.heard_ms: float | None = None
        self.knock_at_ms = 0.0


class Ears:
    """All venues of one daemon. Times are monotonic ms."""

    def __init__(self) -> None:
        self._ears: dict[str, _Ear] = {}
        self._asked: frozenset[str] = frozenset()
        self._wanted: frozenset[str] = frozenset()

    def want(self, groups: Collection[str]) -> None:
        """The groups of which anything is wanted of the fleet; others are forgotten."""
        self._wanted = frozenset(groups)
        self._ears = {group: ear for group, ear in self._ears.items() if group in self._wanted}

    def ask(self, groups: Collection[str]) -> None:
        """What other members say that they do not reach: do we?"""
        self._asked = frozenset(groups) & self._wanted

    def connected(self, found: dict[str, bool | None], now_ms: float) -> None:
        """How our connections stand. True: one is open; False: all have failed; None, or absent: there is none, or it has not
        been tried yet."""
        for group in self._wanted & {*found, *self._ears}:
            ear = self._ear(group)
            ear.connected = found.get(group)
            if ear.connected is not None:
                self._note(ear, now_ms, heard=ear.connected)

    def knocked(self, group: str, now_ms: float, *, answered: bool) -> None:
        """A knock has ended."""
        if group in self._wanted and (ear := self._ear(group)).connected is None:
            self._note(ear, now_ms, heard=answered)

    def due(self, now_ms: float) -> list[str]:
        """Where to knock now: each once every KNOCK_EVERY_MS."""
        found = []
        deaf = {group for group, ear in self._ears.items() if ear.deaf_since_ms is not None}
        for group in sorted(self._asked | deaf):
            ear = self._ear(group)
            if ear.connected is None and now_ms >= ear.knock_at_ms:
                ear.knock_at_ms = now_ms + KNOCK_EVERY_MS
                found.append(group)
        return found

    def deaf(self, now_ms: float) -> dict[str, int]:
        """Group → for how many ms we have not reached it, once that is no mere reconnect."""
        return {
            group: int(now_ms - ear.deaf_since_ms)
            for group, ear in sorted(self._ears.items())
            if ear.deaf_since_ms is not None and now_ms - ear.deaf_since_ms >= TOLD_MS
        }

    def reached(self, now_ms: float) -> tuple[str, ...]:
        """Of those that others do not reach, the ones that we do."""
        return tuple(
            group
            for group in sorted(self._asked)
            if (ear := self._ears.get(group)) is not None
            and ear.deaf_since_ms is None
            and ear.heard_ms is not None
            and now_ms - ear.heard_ms <= REACHED_MS
        )

    def _ear(self, group: str) -> _Ear:
        return self._ears.setdefault(group, _Ear())

    @staticmethod
    def _note(ear: _Ear, now_ms: float, *, heard: bool) -> None:
        if heard:
            ear.heard_ms, ear.deaf_since_ms = now_ms, None
        elif ear.deaf_since_ms is None:
            ear.deaf_since_ms = now_ms
