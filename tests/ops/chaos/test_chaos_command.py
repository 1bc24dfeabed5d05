"""`fleet chaos` as users start it: what it knows, refuses, prints and leaves behind."""

import os
import signal
from pathlib import Path

import pytest
import typer

from fleet import logs
from ops.chaos import registry
from ops.chaos.registry import SCENARIOS
from ops.chaos.result import Result
from ops.chaos.scale import Scale
from ops.chaos.scenario import Scenario
from ops.cli.chaos import chaos
from ops.embedded.errors import ServerMissingError
from tests.support.commands import assert_one_line, run_fleet
from tests.support.fleet_processes import Child

PROCESSES = Path("/proc")
RUN_S = 150.0


def who_knows(folder: Path) -> list[str]:
    """Processes started with this folder in their arguments or environment. Without /proc: nobody can be found."""
    found = []
    for process in PROCESSES.glob("[0-9]*") if PROCESSES.is_dir() else ():
        try:
            known = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue  # it has ended
        if str(folder).encode() in known and int(process.name) != os.getpid():
            found.append(process.name)
    return found


def test_it_lists_every_scenario_with_what_it_does():
    shown = run_fleet("chaos", "list", "--json").json
    assert [one["name"] for one in shown] == list(SCENARIOS)
    assert all(one["says"].endswith(".") for one in shown)
    lines = run_fleet("chaos", "list").out.splitlines()
    assert [line.split()[0] for line in lines] == list(SCENARIOS)


def test_what_cannot_be_right_is_one_line(tmp_path: Path):
    assert_one_line(run_fleet("chaos", "kill-worke"), 2, "did you mean kill-worker")
    assert_one_line(run_fleet("chaos", "kill-worker", "--scale", "huge"), 2, "'huge'", "small, full")
    assert_one_line(run_fleet("chaos", "kill-worker", FLEET_CHAOS_SCALE="huge"), 2, "'huge'", "small, full")
    assert_one_line(run_fleet("chaos", "kill-worker", "--runs", "0"), 2, "--runs")
    assert_one_line(run_fleet("chaos", "check"), 2, "folder of a kept run")
    assert_one_line(run_fleet("chaos", "check", str(tmp_path)), 2, "--keep")
    assert_one_line(run_fleet("chaos", "kill-worker", str(tmp_path)), 2, "no DIR")


def test_a_run_says_what_it_found_and_its_kept_folder_can_be_checked_again(tmp_path: Path):
    ended = run_fleet("chaos", "kill-worker", "--json", "--seed", "5", "--keep", timeout_s=RUN_S, TMPDIR=str(tmp_path))
    found = ended.json
    assert (found["name"], found["scale"], found["seeds"], found["runs"]) == ("kill-worker", "small", [5], 1)
    assert found["results"][0]["violations"] == [], ended.err
    assert {"reowned_ms", "live_again_ms"} <= found["worst"].keys() & found["limits"].keys()
    assert ended.code == (0 if found["passed"] else 1)
    assert who_knows(tmp_path) == []

    [folder] = tmp_path.iterdir()
    assert found["results"][0]["folder"] == str(folder)
    again = run_fleet("chaos", "check", str(folder), "--json")
    assert again.code == 0, again
    assert again.json["violations"] == []
    assert again.json["figures"]["entries"] > 0
    assert again.json["figures"]["grants"] > 0

    tape = folder / "tape.jsonl"
    lines = tape.read_text().splitlines(keepends=True)
    middle = next(number for number in range(len(lines) // 2, len(lines)) if '"t":"delta"' in lines[number])
    tape.write_text("".join(lines[:middle] + lines[middle + 1 :]))
    doctored = run_fleet("chaos", "check", str(folder))
    assert doctored.code == 1
    assert "is missing" in doctored.out


async def test_a_run_that_is_broken_off_leaves_nothing_behind(tmp_path: Path, wait_until):
    world = tmp_path / "world"
    world.mkdir()
    child = Child(["chaos", "kill-worker"], {"TMPDIR": str(world)}, tmp_path / "chaos.log")
    try:
        await wait_until(lambda: list(world.glob("*/daemon-2.log")), f"three daemons:\n{child}", 60)
        child.signal(signal.SIGINT)
        assert await child.ended() == 130
    finally:
        child.end()
    assert "broken off by SIGINT" in child.text
    assert list(world.iterdir()) == []
    assert who_knows(world) == []


def test_all_leaves_out_what_has_no_server_here_and_says_so(monkeypatch, capsys):
    ran = []

    async def missing(_scale: Scale, _seed: int) -> Result:
        raise ServerMissingError("ClickHouse", "the wheel", "install it")

    async def sound(scale: Scale, seed: int) -> Result:
        ran.append(seed)
        return Result(name="sound", scale=scale.name, seed=seed)

    scenarios = {name: Scenario(name, 0, act) for name, act in (("missing", missing), ("sound", sound))}
    monkeypatch.setattr(registry, "SCENARIOS", scenarios)
    monkeypatch.setattr(logs, "set_up", lambda *_: None)
    with pytest.raises(typer.Exit) as ended:
        chaos("all", None, as_json=False, scale="small", seed=3, runs=1, keep=False)
    assert ended.value.exit_code == 0
    assert ran == [3]
    assert "missing: left out, no ClickHouse on this machine" in capsys.readouterr().err
    with pytest.raises(ServerMissingError, match="install it"):
        chaos("missing", None, as_json=False, scale="small", seed=3, runs=1, keep=False)
