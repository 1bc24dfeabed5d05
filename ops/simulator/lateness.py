"""PURE. Whether what is read now may have waited for us: then messages that came evenly seem to come at once."""

STALL_MS = 60.0  # between two turns of the pump, which runs every 20 ms
# so long behind a stall the next message, in time itself, may seem to follow too closely one that was read late
BEHIND_MS = 120.0


class Lateness:
    """Of one simulator's loop. Times are monotonic ms."""

    __slots__ = ("_stalled_ms", "_turned_ms")

    def __init__(self) -> None:
        self._turned_ms: float | None = None
        self._stalled_ms = float("-inf")

    def turned(self, now_ms: float) -> None:
        """The pump ran."""
        if self._gap(now_ms) > STALL_MS:
            self._stalled_ms = now_ms
        self._turned_ms = now_ms

    def late(self, now_ms: float) -> bool:
        """Whether the loop is behind now, or was a moment ago."""
        return self._gap(now_ms) > STALL_MS or now_ms - self._stalled_ms <= BEHIND_MS

    def _gap(self, now_ms: float) -> float:
        return 0.0 if self._turned_ms is None else now_ms - self._turned_ms
