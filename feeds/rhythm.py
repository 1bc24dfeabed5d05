"""PURE. How often a pair speaks, and when its silence is a fault.

What is usual for a pair is its longest pause between two messages, forgotten slowly (halved in ~7,000 messages): a mean would
call a quiet minute after a busy one a fault. A pair is silent after `SILENCE_FACTOR` times that pause and at least
`SILENCE_LEAST_MS`. Only pairs heard for `SEEN_MS` with `SEEN_MESSAGES` messages have a rhythm at all, and none whose pauses
exceed `PAUSE_MOST_MS`: quiet pairs never raise it (they are proved alive by other means). Every alarm doubles the bound, so a
false one is not repeated for long. At random arrivals (Poisson) of 10 a second the longest pause of a minute is ~0.65 s:
the bound is 3.2 s, which chance exceeds once in 10^13 messages.
"""

SILENCE_LEAST_MS = 3_000.0
SILENCE_FACTOR = 5.0
SEEN_MS = 60_000.0
SEEN_MESSAGES = 200
PAUSE_MOST_MS = 60_000.0
PAUSE_DECAY = 0.9999  # a message; halves the longest pause in 6,931 messages
RATE_OVER_MS = 10_000.0  # time constant of the measured rate

_UNKNOWN = float("nan")  # compares false with everything: nothing is late yet


class Rhythm:
    """Pauses and rate of one pair. Times are monotonic ms."""

    __slots__ = ("_last_ms", "_measured", "_measured_ms", "_pause_ms", "_since_ms", "messages", "rate_per_s")

    def __init__(self) -> None:
        self.messages = 0
        self.rate_per_s = 0.0
        self._last_ms = self._since_ms = self._measured_ms = _UNKNOWN
        self._pause_ms = 0.0
        self._measured = 0

    @property
    def last_ms(self) -> float | None:
        """When the last message came; None if none did since `interrupted`."""
        return self._last_ms if self._last_ms == self._last_ms else None  # NaN is not itself

    @property
    def usual_pause_ms(self) -> float:
        """The longest pause that is remembered."""
        return self._pause_ms

    def heard(self, now_ms: float) -> None:
        """A message came (hot path)."""
        self.messages += 1
        pause = now_ms - self._last_ms
        self._last_ms = now_ms
        if pause > self._pause_ms:
            self._pause_ms = pause
        else:
            self._pause_ms *= PAUSE_DECAY
        if self._since_ms != self._since_ms:  # NaN: the first one
            self._since_ms = now_ms

    def interrupted(self) -> None:
        """The connection or subscription ended: what follows is no pause of the pair."""
        self._last_ms = self._since_ms = _UNKNOWN

    def alarmed(self) -> None:
        """Silence was taken for a fault."""
        self._pause_ms *= 2.0
        self.interrupted()

    def silent_for_ms(self, now_ms: float) -> float | None:
        """How long the pair has been silent against its rhythm; None while that is usual, or no rhythm is known."""
        pause = now_ms - self._last_ms
        if not pause > max(SILENCE_LEAST_MS, SILENCE_FACTOR * self._pause_ms):  # also when NaN
            return None
        known = self.messages >= SEEN_MESSAGES and self._last_ms - self._since_ms >= SEEN_MS
        return pause if known and self._pause_ms <= PAUSE_MOST_MS else None

    def measure(self, now_ms: float) -> None:
        """Called about once a second: brings `rate_per_s` up to date."""
        elapsed = now_ms - self._measured_ms
        if elapsed > 0:
            rate = (self.messages - self._measured) * 1000.0 / elapsed
            self.rate_per_s += (rate - self.rate_per_s) * min(1.0, elapsed / RATE_OVER_MS)
        self._measured, self._measured_ms = self.messages, now_ms
