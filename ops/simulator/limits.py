"""PURE. The venues' limits as a server keeps them. Times are passed in: milliseconds of the clock that is named."""

from collections import deque
from dataclasses import dataclass


class SlidingLimit:
    """At most `count` events in any `window_ms`, by a monotonic clock."""

    __slots__ = ("_times", "count", "window_ms")

    def __init__(self, count: int, window_ms: float) -> None:
        self.count = count
        self.window_ms = window_ms
        self._times: deque[float] = deque()

    def allows(self, mono_ms: float) -> bool:
        """Count one event; False if it is one too many (it is then not counted)."""
        while self._times and self._times[0] <= mono_ms - self.window_ms:
            self._times.popleft()
        if len(self._times) >= self.count:
            return False
        self._times.append(mono_ms)
        return True


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a weight meter says about one request. `status` is 200, 429 or 418."""

    status: int
    used: int
    retry_after_s: int = 0


class WeightMeter:
    """Binance's request weight of one IP: clock-aligned minutes, 429 beyond the limit, 418 for who goes on.

    venues/binance.md §7 gives the limit, the alignment and the two statuses. How many requests after a 429 bring the
    418 is not published: `STRIKES`.
    """

    STRIKES = 10
    BAN_MS = 120_000  # the shortest ban: 2 min

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._minute = -1
        self._used = 0
        self._strikes = 0
        self._banned_until_ms = 0

    def charge(self, weight: int, wall_ms: int) -> Verdict:
        """Count a request of `weight` at `wall_ms` (Unix milliseconds)."""
        minute = wall_ms // 60_000
        if minute != self._minute:
            self._minute, self._used, self._strikes = minute, 0, 0
        if wall_ms < self._banned_until_ms:
            return Verdict(418, self._used, -(-(self._banned_until_ms - wall_ms) // 1000))
        self._used += weight
        if self._used <= self.limit:
            return Verdict(200, self._used)
        self._strikes += 1
        if self._strikes > self.STRIKES:
            self._banned_until_ms = wall_ms + self.BAN_MS
            return Verdict(418, self._used, self.BAN_MS // 1000)
        return Verdict(429, self._used, max(1, -(-((minute + 1) * 60_000 - wall_ms) // 1000)))
