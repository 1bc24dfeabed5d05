"""A process whose wall clock is moved and whose loop is blocked from outside."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from ops.chaos.hurtable import Handle

HOUR_S = 3600
TOLD = 60  # seconds: a starved machine may be late, never an hour

CLOCKS = """
import sys, time
from pathlib import Path
from ops.chaos import hurtable
hurtable.move_clock(hurtable.Handle(Path(sys.argv[1])))
import datetime
from datetime import UTC
from fleet import clock
print(time.time(), time.time_ns() / 1e9, clock.wall_ms() / 1e3, datetime.datetime.now(UTC).timestamp(),
      time.clock_gettime(time.CLOCK_REALTIME), clock.mono_ms() / 1e3)
assert isinstance(datetime.datetime(2026, 1, 1), datetime.datetime)
"""


def clocks(handle: Handle) -> list[float]:
    asked = [sys.executable, "-c", CLOCKS, str(handle.file)]
    return [float(text) for text in subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()]


@pytest.mark.parametrize("hours", [1, -1, 0])
def test_every_wall_clock_is_moved_and_the_monotonic_one_is_not(tmp_path: Path, hours: int):
    handle = Handle(tmp_path / "handle")
    handle.shift(hours * HOUR_S * 1000)
    *walls, mono = clocks(handle)
    assert len(walls) == 5
    assert all(abs(wall - time.time() - hours * HOUR_S) < TOLD for wall in walls), walls
    assert abs(mono - time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))) < TOLD


def test_a_handle_keeps_what_the_other_end_was_told(tmp_path: Path):
    ours = Handle(tmp_path / "handle")
    theirs = Handle(tmp_path / "handle")
    ours.shift(-5)
    ours.block(2000)
    assert theirs.read() == (-5, 2000, 1)
    ours.block(2000)
    assert theirs.read() == (-5, 2000, 2)
