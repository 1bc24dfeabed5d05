"""The only clock. Wall time may be stored and shown; monotonic time may be subtracted; never mix them.

Monotonic time runs while the machine is suspended (CLOCK_BOOTTIME, where the system has it): a lease holder
that slept past its lease must know it.
"""

import time
from collections.abc import Callable

_BOOT_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

WallMs = Callable[[], int]
MonoMs = Callable[[], float]


def wall_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def wall_us() -> int:
    """Unix time in microseconds."""
    return time.time_ns() // 1_000


def mono_ms() -> float:
    """Milliseconds since an unknown moment; never goes back, runs while suspended."""
    return time.clock_gettime_ns(_BOOT_CLOCK) / 1_000_000
