"""PURE. Some of many messages that could not be read, for people to look at."""

from feeds.outputs import SAMPLE_BYTES, Output, Sample

SAMPLES_PER_MINUTE = 5


class Sampler:
    """At most SAMPLES_PER_MINUTE a minute, cut to SAMPLE_BYTES. `seen` counts all of them."""

    __slots__ = ("_given", "_since_ms", "seen")

    def __init__(self) -> None:
        self.seen = 0
        self._given = 0
        self._since_ms = 0.0

    def take(self, frame: bytes | str, reason: str, now_ms: float, out: list[Output]) -> None:
        """Count one, and put it out if there is room."""
        self.seen += 1
        if now_ms - self._since_ms >= 60_000.0:
            self._given, self._since_ms = 0, now_ms
        self._given += 1
        if self._given <= SAMPLES_PER_MINUTE:
            raw = frame.encode(errors="replace") if isinstance(frame, str) else bytes(frame)
            out.append(Sample(raw[:SAMPLE_BYTES], reason))
