"""PURE. Requests of one connection, paced by the venue's limit, evenly.

Limits below one a second are hourly budgets: a tenth of an hour's budget may be used at once, the rest flows evenly, so no
hour ever exceeds it.
"""


class Pacer:
    """Token bucket over a connection's requests."""

    __slots__ = ("_at_ms", "_most", "_per_ms", "_tokens")

    def __init__(self, requests_per_s: float) -> None:
        if requests_per_s >= 1.0:
            self._most, self._per_ms = max(1.0, requests_per_s / 10.0), requests_per_s / 1000.0
        else:
            self._most, self._per_ms = max(1.0, requests_per_s * 360.0), requests_per_s * 0.9 / 1000.0
        self._tokens = self._most
        self._at_ms = 0.0

    def start(self, now_ms: float) -> None:
        """A new connection: the venue counts anew."""
        self._tokens, self._at_ms = self._most, now_ms

    def wait_ms(self, now_ms: float) -> float:
        """How long until a request may be sent."""
        self._flow(now_ms)
        return max(0.0, (1.0 - self._tokens) / self._per_ms)

    def _flow(self, now_ms: float) -> None:
        self._tokens = min(self._most, self._tokens + (now_ms - self._at_ms) * self._per_ms)
        self._at_ms = now_ms

    def take(self, now_ms: float) -> bool:
        """Whether a request may be sent now; if so it is counted."""
        self._flow(now_ms)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
