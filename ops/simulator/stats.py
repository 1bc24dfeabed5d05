"""PURE. What happened on one simulated venue-market since the start."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Stats:
    """Counts. `read_late`: of the breaches of limits, those seen when the simulator's own loop was behind (lateness)."""

    connects: int = 0
    connects_refused: int = 0
    open: int = 0
    messages_sent: int = 0
    messages_received: int = 0
    pings_sent: int = 0
    pongs_received: int = 0
    requests: dict[str, int] = field(default_factory=dict)  # REST, by HTTP status
    limit_breaches: dict[str, int] = field(default_factory=dict)  # by what was broken
    read_late: dict[str, int] = field(default_factory=dict)
    snapshots: int = 0

    def breached(self, what: str, *, late: bool) -> None:
        """Count a broken limit."""
        for counts in (self.limit_breaches, self.read_late) if late else (self.limit_breaches,):
            counts[what] = counts.get(what, 0) + 1
