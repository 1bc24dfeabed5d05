"""The frame of every scenario: what comes too late or goes wrong is told, and nothing stays behind."""

import os
import signal
import tempfile
from pathlib import Path

import msgspec
import pytest

from ops.chaos.child import ChaosDaemon
from ops.chaos.late import Late, few, until
from ops.chaos.scale import SMALL
from ops.chaos.stage import staged

ONE = msgspec.structs.replace(SMALL, daemons=1, pairs=2, markets=(("binance", "spot"), ("bybit", "spot")), calm_s=0.1)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def gone(daemons: list[ChaosDaemon]) -> bool:
    return all(not daemon.is_running for daemon in daemons)


async def test_what_does_not_come_is_a_violation_and_the_fleet_is_judged_all_the_same(world: Path):
    async with staged("late", ONE, 1) as (fleet, result):
        await fleet.start()
        await until(lambda: False, "a miracle", 0.1, why=lambda: "nobody believes")
    assert result.violations == ["waited 0.1 s for a miracle; nobody believes"]
    assert "daemon 0, code 0" in result.last_words
    assert gone(fleet.daemons)
    assert list(world.iterdir()) == []


async def test_a_run_that_takes_too_long_is_ended_and_says_so(world: Path):
    async with staged("slow", msgspec.structs.replace(ONE, most_s=6.0), 1) as (fleet, result):
        fleet.start_daemon()
        await until(lambda: False, "a miracle", 60)
    assert result.violations == ["not over within 6 s"]
    assert gone(fleet.daemons)
    assert list(world.iterdir()) == []


async def test_an_error_nobody_expected_is_the_callers_and_nothing_stays_behind(world: Path):
    started: list[ChaosDaemon] = []

    async def broken() -> None:
        async with staged("broken", ONE, 1) as (fleet, _):
            started.append(fleet.start_daemon())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await broken()
    assert len(started) == 1
    assert gone(started)
    assert list(world.iterdir()) == []


async def test_a_daemon_that_died_and_was_not_killed_by_us_is_told(world: Path):
    async with staged("died", ONE, 1) as (fleet, result):
        await fleet.start()
        other = fleet.start_daemon()
        await other.introduced()
        os.kill(other.pid, signal.SIGKILL)
        await until(lambda: not other.is_running, "its end", 10)
    assert [text for text in result.violations if text.startswith("daemon 1 ended with code -9")] != []


async def test_a_pair_that_never_is_live_is_named(world: Path):
    impatient = msgspec.structs.replace(ONE, settle_s=3.0)
    async with staged("stalled", impatient, 1) as (fleet, result):
        await fleet.start()
        await fleet.venues.misbehave(("bybit", "spot"), "refuse")
        await fleet.venues.misbehave(("bybit", "spot"), "close_all")
        await until(lambda: not fleet.live, "a pair to be lost", 20)
    [text] = [text for text in result.violations if text.startswith("at the end")]
    assert "bybit:spot:BTC/USDT" in text


def test_of_many_alike_a_few_are_told():
    assert few(["a"] * 5, "letters") == ["a"] * 5
    assert few(["a"] * 7, "letters")[5:] == ["… and 2 more letters"]


async def test_waiting_tells_how_long_it_took_and_takes_answers_that_are_awaited():
    answers = iter([False, True])

    async def answer() -> bool:
        return next(answers)

    assert await until(answer, "an answer", 5) >= 0
    with pytest.raises(Late, match=r"waited 0 s for nothing"):
        await until(lambda: False, "nothing", 0)
