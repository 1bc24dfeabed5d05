"""PURE. Whether a connection is alive, whether we are in a position to judge it, and when it will end.

    quiet for PROBE_MS (or the venue's idle time)     probe it: a keepalive text, or a PING control frame
    the venue counts our texts                        one every so often, quiet or not
    nothing at all for ANSWER_MS behind either        dead: the missing answer is the proof, silence alone is none
    quiet for DEAD_MS (or the venue's own bound)      dead: for venues that are not to be probed
    heard within PROVED_MS                            proved alive: quiet pairs may be marked

A connection that is probed is dead 9 s after its last byte, one whose venue only pings by itself after that venue's own bound.
While an answer is waited for nothing more is asked: behind a cut that heals, what was sent in vain would arrive at once.

Silence is judged only while we are reading: after a stall of our own (STALL_MS between two ticks) or while reading was held
back, everybody is given PATIENCE_MS first, since what they said may still lie in our buffers.
"""

import random
from enum import StrEnum

from feeds.venue import Keepalive

PROBE_MS = 3_000.0
ANSWER_MS = 6_000.0  # pongs take tenths of a second; a path that loses packets for 3 s has repeated them by then
DEAD_MS = 20_000.0
PROVED_MS = 6_000.0  # more than PROBE_MS and an answer, or than 5 s, in which some servers ping
STALL_MS = 1_000.0
PATIENCE_MS = 3_000.0
LIFETIME_LEAST, LIFETIME_MOST = 0.90, 0.98  # of the venue's lifetime, at random: not everybody leaves at once

_NEVER = float("inf")


class Health(StrEnum):
    FINE = "fine"
    PROBE = "probe"
    DEAD = "dead"


class Liveness:
    """One connection's. Times are monotonic ms; `heard_ms` is written by whoever hears something."""

    __slots__ = ("_asked_ms", "_dead_ms", "_ends_ms", "_every_ms", "_idle_ms", "_lifetime_ms", "_patient_until_ms",
                 "_probed_ms", "_rng", "_ticked_ms", "heard_ms")  # fmt: skip

    def __init__(self, keepalive: Keepalive, lifetime_ms: int | None, rng: random.Random) -> None:
        self._idle_ms = min(PROBE_MS, keepalive.idle_ms) if keepalive.probe else _NEVER
        self._every_ms = _NEVER if keepalive.every_ms is None else keepalive.every_ms
        self._dead_ms = min(DEAD_MS, keepalive.dead_ms)
        self._lifetime_ms = lifetime_ms
        self._rng = rng
        self.heard_ms = self._probed_ms = self._ticked_ms = self._patient_until_ms = 0.0
        self._asked_ms: float | None = None  # of the probe that nothing has followed yet
        self._ends_ms = _NEVER

    def opened(self, now_ms: float) -> None:
        """A socket was opened: it counts as heard."""
        self.heard_ms = self._probed_ms = self._ticked_ms = now_ms
        self._asked_ms = None
        self._patient_until_ms = 0.0
        share = LIFETIME_LEAST + (LIFETIME_MOST - LIFETIME_LEAST) * self._rng.random()
        self._ends_ms = _NEVER if self._lifetime_ms is None else now_ms + self._lifetime_ms * share

    def tick(self, now_ms: float, heard_ms: float, *, reading: bool) -> bool:
        """Called a few times a second. Whether silence may be judged now."""
        self.heard_ms = max(self.heard_ms, heard_ms)
        if not reading or now_ms - self._ticked_ms > STALL_MS:
            self._patient_until_ms = now_ms + PATIENCE_MS
        self._ticked_ms = now_ms
        return now_ms >= self._patient_until_ms

    def quiet_ms(self, now_ms: float) -> float:
        """Since anything was heard."""
        return now_ms - self.heard_ms

    def proved(self, now_ms: float) -> bool:
        """Whether something was heard lately."""
        return now_ms - self.heard_ms < PROVED_MS

    def health(self, now_ms: float) -> Health:
        """What the silence means; PROBE is said once per idle time, and not while an answer is waited for."""
        quiet_ms = now_ms - self.heard_ms
        if self._asked_ms is not None and self.heard_ms > self._asked_ms:
            self._asked_ms = None
        unanswered = self._asked_ms is not None and now_ms - self._asked_ms > ANSWER_MS
        if unanswered or quiet_ms > self._dead_ms:
            return Health.DEAD
        if self._asked_ms is not None:
            return Health.FINE
        since_ms = now_ms - self._probed_ms
        if since_ms >= self._every_ms or (quiet_ms >= self._idle_ms and since_ms >= self._idle_ms):
            self._probed_ms = self._asked_ms = now_ms
            return Health.PROBE
        return Health.FINE

    def ending(self, now_ms: float) -> bool:
        """True once, when the venue's lifetime of a connection is nearly over."""
        if now_ms < self._ends_ms:
            return False
        self._ends_ms = _NEVER
        return True
