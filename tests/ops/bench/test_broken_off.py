"""`fleet bench` that is ended by a signal."""

import os
import signal
from pathlib import Path

import pytest

from tests.support.commands import running_fleet
from tests.support.waiting import wait_until


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_bench_that_is_ended_leaves_no_file_and_no_child(number: signal.Signals, tmp_path: Path) -> None:
    with running_fleet("bench", "ingest", TMPDIR=str(tmp_path)) as process:
        await wait_until(lambda: list(tmp_path.glob("fleet-bench-*/load.log")), "the load to start", 60)
        started = children(process.pid)
        assert started
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number, said
    assert f"broken off by {number.name}" in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
    assert [pid for pid in started if alive(pid)] == []
