"""PURE. How a door of the chaos proxy treats what passes it: delays, stalls, and what it does not let through."""

from random import Random
from typing import Literal

import msgspec

Direction = Literal["up", "down"]  # up: to the server


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All off by default: everything passes at once. Bytes never overtake one another.

    up_ms, down_ms     mean delay on the way to the server and back; *_jitter_ms: uniform around it
    stall_ms           every `stall_every_ms` nothing passes for so long; the first stall ends one period after this was set
    frozen             nothing passes and nothing is lost: a server that stands still, a cable that is out for a moment
    swallow            what comes is thrown away, answers too: half-open. A connection that lost bytes stays so for good
    refuse             nobody listens: connection refused
    cut_after_bytes    a connection is reset once so many bytes came back from the server
    """

    up_ms: float = 0.0
    up_jitter_ms: float = 0.0
    down_ms: float = 0.0
    down_jitter_ms: float = 0.0
    stall_ms: float = 0.0
    stall_every_ms: float = 0.0
    frozen: bool = False
    swallow: bool = False
    refuse: bool = False
    cut_after_bytes: int | None = None

    def __post_init__(self) -> None:
        for name in ("up_ms", "up_jitter_ms", "down_ms", "down_jitter_ms", "stall_ms", "stall_every_ms"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name):g}: expected 0 or more")
        if self.stall_ms and self.stall_every_ms <= self.stall_ms:
            raise ValueError(
                f"stall_ms={self.stall_ms:g} every stall_every_ms={self.stall_every_ms:g}: expected a longer period"
            )
        if self.cut_after_bytes is not None and self.cut_after_bytes < 0:
            raise ValueError(f"cut_after_bytes={self.cut_after_bytes}: expected 0 or more")


def release_ms(
    behaviour: Behaviour, direction: Direction, now_ms: float, last_ms: float, since_ms: float, rng: Random
) -> float:
    """When bytes that came at `now_ms` may pass.

    `last_ms`: when those before them pass. `since_ms`: when the behaviour was set. All of one monotonic clock.
    """
    mean, jitter = (
        (behaviour.up_ms, behaviour.up_jitter_ms)
        if direction == "up"
        else (behaviour.down_ms, behaviour.down_jitter_ms)
    )
    at_ms = max(last_ms, now_ms + max(0.0, rng.uniform(mean - jitter, mean + jitter)))
    if behaviour.stall_ms:
        into_ms = (at_ms - since_ms) % behaviour.stall_every_ms
        if into_ms >= behaviour.stall_every_ms - behaviour.stall_ms:
            at_ms += behaviour.stall_every_ms - into_ms
    return at_ms
