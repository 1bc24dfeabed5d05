"""PURE. Whether somebody far away answers at all, so that one asks for all while nobody does.

    up ──failures of STRIKES different asks in a row──► away ──one answer──► up
                                                         │ ▲
                                             one probe at a time, after pauses of PROBE_FIRST_MS … PROBE_MOST_MS

While it is away only a probe is let through; all others wait, and spend nothing of what the venue allows: when it is back the
whole budget is theirs. One address that fails again and again (a symbol that is always a server error) is no outage.
"""

import random

STRIKES = 3
PROBE_FIRST_MS = 500.0
PROBE_MOST_MS = 8_000.0


class Outage:
    """Times are monotonic ms. `probes` counts what was let through while it was away."""

    __slots__ = ("_pause_ms", "_probe_ms", "_probing", "_rng", "_strikes", "probes")

    def __init__(self, rng: random.Random) -> None:
        self.probes = 0
        self._rng = rng
        self._strikes: set[str] = set()
        self._pause_ms = PROBE_FIRST_MS
        self._probe_ms = 0.0
        self._probing = False

    @property
    def away(self) -> bool:
        """Whether nobody answers."""
        return len(self._strikes) >= STRIKES

    def wait_ms(self, now_ms: float) -> float:
        """How long until one may ask; 0: now. While a probe is under way its answer is waited for."""
        if not self.away:
            return 0.0
        return self._pause_ms if self._probing else max(0.0, self._probe_ms - now_ms)

    def ask(self) -> bool:
        """One asks now; whether it is the probe. The answer is told to `answered` or `failed`, or nobody's (`unanswered`)."""
        if not self.away:
            return False
        self._probing = True
        self.probes += 1
        return True

    def answered(self) -> None:
        """Somebody is there."""
        self._strikes.clear()
        self._pause_ms, self._probing = PROBE_FIRST_MS, False

    def failed(self, what: str, now_ms: float, *, probe: bool) -> None:
        """Nobody answered `what`."""
        self._strikes.add(what)
        if self._probing and not probe:
            return  # it had left before the probe, which tells more
        if probe:
            self._pause_ms, self._probing = min(self._pause_ms * 2.0, PROBE_MOST_MS), False
        self._probe_ms = now_ms + self._pause_ms * (0.5 + self._rng.random() / 2)

    def unanswered(self, *, probe: bool) -> None:
        """It was broken off. If it was the probe, the next one may go."""
        if probe:
            self._probing = False
