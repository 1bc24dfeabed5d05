"""PURE. How long to wait before the next attempt. The loop that waits is the caller's, and so is starting anew."""

from collections.abc import Iterator
from random import Random

FIRST_S = 1.0
CAP_S = 300.0
VENUE_CAP_S = 15.0  # with the time-out of one attempt: a venue that is back has us back within 30 s


def delays(random: Random, first_s: float = FIRST_S, cap_s: float = CAP_S) -> Iterator[float]:
    """Seconds before attempt 2, 3, …: doubling to the cap, each with jitter (half to whole), for ever.

    The jitter keeps a fleet that lost one server from coming back in step. Take a new generator only after the
    connection has proved to work: not after a login, after good data.
    """
    ceiling_s = first_s
    while True:
        yield random.uniform(ceiling_s / 2, ceiling_s)
        ceiling_s = min(cap_s, ceiling_s * 2)
