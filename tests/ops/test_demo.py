"""The demo as a user starts it: what it prints, how it ends, and that nothing stays behind."""

import functools
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from feeds import venues
from fleet.errors import FleetError
from fleet.pair import Pair
from fleet.tasks import Task
from ops import demo
from ops.up import Up
from tests.support.commands import run_fleet
from tests.support.fleet_processes import Child

KEYS = {
    *("pairs_live", "pairs", "messages", "deltas_published", "history_rows", "history_gaps", "orders", "fills"),
    "daemons",
}
LIVE_S = 150.0  # the demo itself waits for 120
END_S = 200.0  # at its end it compares, for at most 120
PROCESSES = Path("/proc")


@pytest.fixture
def world(new_directory: Callable[[str], Path]) -> Iterator[Path]:
    """The folder for temporary files of a demo. Afterwards nothing may be in it, and nobody may run who knows it."""
    folder = new_directory("demo")
    yield folder
    assert list(folder.iterdir()) == []
    assert _who_knows(folder) == []


def _who_knows(folder: Path) -> list[str]:
    """Processes started with this folder in their environment or arguments. Without /proc: nobody can be found."""
    found = []
    for process in PROCESSES.glob("[0-9]*") if PROCESSES.is_dir() else ():
        try:
            known = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue  # it has ended
        if str(folder).encode() in known and int(process.name) != os.getpid():
            found.append(f"{process.name}: {known[:200]!r}")
    return found


def test_a_demo_without_a_screen_keeps_every_promise(world: Path) -> None:
    ended = run_fleet("demo", "--seconds", "8", timeout_s=400, TMPDIR=str(world))
    assert ended.code == 0, ended
    summary = json.loads(ended.out.splitlines()[-1])
    assert set(summary) == KEYS
    assert summary["pairs_live"] == summary["pairs"] == len(demo.MARKETS) * demo.PAIRS
    assert summary["daemons"] == 2
    assert summary["history_gaps"] == 0
    assert summary["orders"] > 0
    assert summary["fills"] >= 0
    assert summary["history_rows"] > summary["deltas_published"] > 0
    assert summary["messages"] > summary["pairs"]
    assert len(ended.out.splitlines()) == 1
    strange = [line for line in ended.err.splitlines() if not line.startswith("fleet demo: ")]
    assert strange == []


@pytest.mark.parametrize(
    "number, after, code",
    [(signal.SIGTERM, "pairs live", 0), (signal.SIGINT, "starting 2 daemons", 130), (signal.SIGTERM, "Redis", 143)],
    ids=["while it plays", "while its daemons start", "while its servers start"],
)
async def test_a_signal_ends_a_demo_in_order(world: Path, tmp_path: Path, number, after: str, code: int) -> None:
    child = Child(["demo", "--seconds", "600"], {"TMPDIR": str(world)}, tmp_path / "demo.log")
    try:
        await child.said(after, LIVE_S)
        child.signal(number)
        assert await child.ended(END_S) == code, child
    finally:
        child.end()
    assert "Traceback" not in child.text
    if code == 0:
        summary = json.loads(child.lines[-1])
        assert summary["pairs_live"] == summary["pairs"]
    else:
        assert "broken off by SIG" in child.lines[-1]


async def test_a_pair_that_does_not_come_fails_the_demo_and_is_named(world: Path, monkeypatch, capsys) -> None:
    usual = [task for task in demo.tasks() if task.pair.venue == "binance" and task.pair.market == "spot"][:3]
    unknown = Task(table="MONITORING", pair=Pair("binance", "spot", "NOSUCH/USDT"))
    monkeypatch.setattr(demo, "tasks", lambda: [*usual, unknown])
    monkeypatch.setattr(tempfile, "tempdir", str(world))
    assert await demo.demo(1.0) == 1
    printed = capsys.readouterr()
    summary = json.loads(printed.out.splitlines()[-1])
    assert (summary["pairs_live"], summary["pairs"]) == (3, 4)
    [told] = [line for line in printed.err.splitlines() if "pairs were live" in line]
    assert told.startswith("fleet demo: only 3 of 4 pairs were live at the end; binance:spot:NOSUCH/USDT: ")
    assert "refused (NOSUCH/USDT is not among" in told


async def test_daemons_that_cannot_work_end_the_demo_with_their_words(world: Path, monkeypatch) -> None:
    hopeless = [sys.executable, "-c", "import sys; sys.exit('fleet: this cannot work')"]
    command = [sys.executable, "-c", f"import subprocess, sys; subprocess.run({hopeless!r}); sys.exit(2)"]
    monkeypatch.setattr(demo, "Up", functools.partial(Up, command=command))
    monkeypatch.setattr(tempfile, "tempdir", str(world))
    with pytest.raises(ExceptionGroup) as caught:
        await demo.demo(1.0)
    [error] = caught.value.exceptions
    assert isinstance(error, FleetError)
    assert "exit code 2" in str(error)
    assert "fleet: this cannot work" in str(error)


def test_the_demo_asks_for_every_market_and_all_depths() -> None:
    tasks = demo.tasks()
    monitored = [task for task in tasks if task.table == "MONITORING"]
    assert len({task.pair for task in monitored}) == len(monitored) == len(demo.MARKETS) * demo.PAIRS
    assert {(task.pair.venue, task.pair.market) for task in monitored} == set(demo.MARKETS)
    assert {task.depth for task in monitored} == {"20", "50", "full"}
    grids = [task for task in tasks if task.table == "TRADE"]
    assert {task.strategy for task in grids} == {"grid"}
    assert {task.pair for task in grids} <= {task.pair for task in monitored}


def test_every_venue_is_in_the_demo_and_an_older_generation_is_not() -> None:
    left_out = set(venues.names()) - set(demo.MARKETS)
    assert {venue for venue, _ in left_out} == demo.OLDER
