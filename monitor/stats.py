"""What a monitor has done and how far behind it is; and outages, told once."""

import logging
from dataclasses import dataclass, field

from fleet.clock import MonoMs

_log = logging.getLogger(__name__)


@dataclass
class LaneStats:
    """Counters of one lane since its collector started; times in milliseconds."""

    lane: int
    entries: int = 0  # acknowledged
    rows: dict[str, int] = field(default_factory=dict)  # inserted, by table
    repeated: int = 0  # came again and were stored already
    undecodable: int = 0
    holes: int = 0
    forks: int = 0
    trimmed: int = 0  # gone from Redis before they were stored
    backlog: int = 0  # entries in Redis and not in ClickHouse, as of the last look
    stored_after_ms: int = 0  # age of the oldest entry of the last batch when it was stored
    waiting_since_ms: int = 0  # when Redis got the oldest entry that is being stored now; 0: none is
    last_insert_ms: int = 0  # wall clock; 0: none yet
    outage: str = ""  # why nothing is stored now; empty: all is well

    def lag_ms(self, now_ms: int) -> int:
        """How far history is behind: the age of the oldest entry in hand, or what the last batch took."""
        return max(0, now_ms - self.waiting_since_ms) if self.waiting_since_ms else self.stored_after_ms

    def add(self, other: "LaneStats") -> None:
        """Take over what another has counted."""
        for table, count in other.rows.items():
            self.rows[table] = self.rows.get(table, 0) + count
        self.entries += other.entries
        self.repeated += other.repeated
        self.undecodable += other.undecodable
        self.holes += other.holes
        self.forks += other.forks
        self.trimmed += other.trimmed
        self.last_insert_ms = max(self.last_insert_ms, other.last_insert_ms)


class Outage:
    """A dependency that comes and goes: one log line when it goes, one when it is back, and growing pauses between tries."""

    FIRST_PAUSE_S = 0.1
    LONGEST_PAUSE_S = 5.0

    def __init__(self, who: str, mono_ms: MonoMs) -> None:
        self._who = who
        self._mono_ms = mono_ms
        self._since_ms: float | None = None
        self._pause_s = self.FIRST_PAUSE_S
        self.reason = ""

    def failed(self, error: BaseException) -> float:
        """Note a failure; returns the seconds to wait before the next try."""
        reason = f"{type(error).__name__}: {error}" if not str(error) else str(error)
        if self._since_ms is None:
            self._since_ms = self._mono_ms()
            _log.warning("%s: %s; entries wait in Redis", self._who, reason)
        elif reason != self.reason:
            _log.warning("%s: still no history: %s", self._who, reason)
        self.reason = reason
        pause_s, self._pause_s = self._pause_s, min(self._pause_s * 2, self.LONGEST_PAUSE_S)
        return pause_s

    def over(self) -> None:
        """Note a success."""
        if self._since_ms is not None:
            _log.info("%s: back after %.1f s", self._who, (self._mono_ms() - self._since_ms) / 1000)
        self._since_ms, self.reason, self._pause_s = None, "", self.FIRST_PAUSE_S
