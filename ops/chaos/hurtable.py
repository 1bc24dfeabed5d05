"""`python -m ops.chaos.hurtable FILE daemon`: a `fleet daemon` whose wall clock can be moved and whose event loop can be blocked.

Nothing of the product knows of it: before anything of ours is imported, the process's own `time.time`, `time.time_ns`,
`time.clock_gettime(CLOCK_REALTIME)` and `datetime.now` are replaced by ones that add the offset that stands in FILE, so every
use of the wall clock is moved, also in libraries (the scheduler of the tasks goes by `datetime.now`). Monotonic clocks stay.

A block is a busy loop in the event loop's own thread, as a burst of messages makes it; other threads get their turns.
"""

import datetime
import mmap
import struct
import sys
import threading
import time
from datetime import datetime as Real  # noqa: N812 - the true one, under another name than the moved one
from pathlib import Path
from typing import Any

_FORM = struct.Struct("<qqq")  # offset of the wall clock in ms, length of the block in ms, number of blocks asked for
_POLL_S = 0.01


class Handle:
    """The file through which the process is hurt; made by the one who hurts, read by the process."""

    def __init__(self, file: Path) -> None:
        self.file = file
        if not file.exists():
            file.write_bytes(_FORM.pack(0, 0, 0))
        with file.open("r+b") as opened:
            self._memory = mmap.mmap(opened.fileno(), _FORM.size)

    def read(self) -> tuple[int, int, int]:
        """Offset ms, block ms, number of the block."""
        offset_ms, block_ms, number = _FORM.unpack(self._memory[:])
        return offset_ms, block_ms, number

    def shift(self, offset_ms: int) -> None:
        """From now on its wall clock is so far ahead of ours (behind it, when negative)."""
        _, block_ms, number = self.read()
        self._memory[:] = _FORM.pack(offset_ms, block_ms, number)

    def block(self, block_ms: int) -> None:
        """Keep its event loop busy for so long, once."""
        offset_ms, _, number = self.read()
        self._memory[:] = _FORM.pack(offset_ms, block_ms, number + 1)

    def command(self) -> tuple[str, ...]:
        """How to start the daemon that this hurts."""
        return (sys.executable, "-m", "ops.chaos.hurtable", str(self.file), "daemon")


def move_clock(handle: Handle) -> None:
    """Replace every wall clock that Python code can ask."""
    real_ns, real_gettime = time.time_ns, time.clock_gettime  # noqa: TID251 - these are what is replaced

    def offset_ms() -> int:
        return handle.read()[0]

    class Kind(type):
        """What the true class made is of the moved one too: only `now` differs."""

        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, Real)

        def __subclasscheck__(cls, other: type) -> bool:
            return issubclass(other, Real)

    class Moved(Real, metaclass=Kind):
        """datetime, its `now` moved."""

        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return Real.now(tz) + datetime.timedelta(milliseconds=offset_ms())

    def gettime(number: int) -> float:
        return real_gettime(number) + (offset_ms() / 1000 if number == time.CLOCK_REALTIME else 0.0)

    time.time_ns = lambda: real_ns() + offset_ms() * 1_000_000  # noqa: TID251
    time.time = lambda: real_ns() / 1e9 + offset_ms() / 1000  # noqa: TID251
    time.clock_gettime = gettime
    datetime.datetime = Moved  # type: ignore[misc]


def watch_blocks(handle: Handle) -> None:
    """A thread that hands blocks to the event loop of this process, once there is one."""
    import uvloop

    loops: list[Any] = []
    make = uvloop.new_event_loop

    def new_event_loop() -> Any:
        loops.append(make())
        return loops[-1]

    uvloop.new_event_loop = new_event_loop

    def watch() -> None:
        done = handle.read()[2]
        while True:
            time.sleep(_POLL_S)
            _, block_ms, number = handle.read()
            if number > done and loops:
                done = number
                loops[-1].call_soon_threadsafe(_be_busy, block_ms)

    threading.Thread(target=watch, name="hurtable", daemon=True).start()


def _be_busy(block_ms: int) -> None:
    until_s = time.perf_counter() + block_ms / 1000
    while time.perf_counter() < until_s:
        pass


def main() -> None:
    """Become the daemon."""
    handle = Handle(Path(sys.argv[1]))
    move_clock(handle)
    watch_blocks(handle)
    from ops.cli.run import main as run  # only now: what it imports takes the moved clock

    run(sys.argv[2:])


if __name__ == "__main__":
    main()
