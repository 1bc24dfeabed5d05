"""fleet/supervisor.py: in the process where a request is enough, in a child where signals and exit codes are meant."""

import asyncio
import logging
import signal
import sys
from pathlib import Path

import pytest

from fleet.clock import mono_ms
from fleet.supervisor import Supervisor

REPOSITORY = Path(__file__).resolve().parents[2]

CHILD = """
import asyncio, sys
from fleet.clock import mono_ms
from fleet.supervisor import Supervisor

def say(text):
    print(text, flush=True)

class Part:
    def __init__(self, name, hang=False):
        self.name, self.hang = name, hang
    async def run(self):
        say(f"{self.name} runs")
        try:
            await asyncio.Event().wait()
        finally:
            say(f"{self.name} ended")
    async def quiet(self):
        say(f"{self.name} quiet")
    async def stop(self, deadline_mono_ms):
        say(f"{self.name} stop")
        if self.hang:
            await asyncio.Event().wait()

hang = sys.argv[1] == "hang"
sys.exit(asyncio.run(Supervisor([Part("a", hang), Part("b")], mono_ms=mono_ms).run()))
"""


async def child(mode: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, mode, cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    for expected in (b"a runs\n", b"b runs\n"):
        assert await process.stdout.readline() == expected
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_quiets_all_then_stops_all_in_order_and_exits_0(number: signal.Signals) -> None:
    process = await child("well")
    process.send_signal(number)
    output, _ = await process.communicate()
    assert output.decode().split("\n") == ["a quiet", "b quiet", "a stop", "b stop", "a ended", "b ended", ""]
    assert process.returncode == 0


async def test_the_second_signal_ends_a_stop_that_hangs() -> None:
    process = await child("hang")
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    while await process.stdout.readline() != b"a stop\n":
        pass
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 128 + signal.SIGTERM
    assert await process.stdout.read() == b""
    process._transport.close()  # its pipe would be closed by the collector, after the loop


class Part:
    """A part that notes what is asked of it, and fails where told."""

    def __init__(self, name: str, notes: list[str], fails: str = "", returns: bool = False) -> None:
        self.name = name
        self.notes = notes
        self.fails = fails
        self.returns = returns
        self.deadline_ms = 0.0

    def note(self, verb: str) -> None:
        self.notes.append(f"{self.name} {verb}")
        if self.fails == verb:
            raise RuntimeError(f"no {verb}")

    async def run(self) -> None:
        self.note("run")
        if not self.returns:
            await asyncio.Event().wait()

    async def quiet(self) -> None:
        self.note("quiet")

    async def stop(self, deadline_mono_ms: float) -> None:
        self.deadline_ms = deadline_mono_ms
        self.note("stop")
        if self.fails == "stop in time":
            await asyncio.Event().wait()


async def test_a_part_that_fails_is_named_and_stops_all_with_exit_code_1(caplog: pytest.LogCaptureFixture) -> None:
    notes: list[str] = []
    parts = [Part("a", notes), Part("b", notes, fails="run")]
    assert await Supervisor(parts, mono_ms=mono_ms).run() == 1
    assert notes == ["a run", "b run", "a quiet", "b quiet", "a stop", "b stop"]
    assert "b failed" in caplog.text
    assert "no run" in caplog.text


@pytest.mark.parametrize("verb", ["quiet", "stop"])
async def test_a_failing_stop_does_not_keep_the_others_from_stopping(verb: str) -> None:
    notes: list[str] = []
    parts = [Part("a", notes, fails=verb), Part("b", notes)]
    supervisor = Supervisor(parts, mono_ms=mono_ms)
    supervisor.request_stop("test")
    assert await supervisor.run() == 1
    assert notes[-4:] == ["a quiet", "b quiet", "a stop", "b stop"]


async def test_all_parts_get_one_deadline_and_what_passes_it_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    notes: list[str] = []
    parts = [Part("a", notes, fails="stop in time"), Part("b", notes)]
    supervisor = Supervisor(parts, mono_ms=mono_ms, stop_timeout_ms=20)
    supervisor.request_stop("test")
    assert await supervisor.run() == 1
    assert parts[0].deadline_ms == parts[1].deadline_ms
    assert "a: stop did not end before the deadline" in caplog.text
    assert "b stop" in notes


async def test_when_all_parts_have_returned_it_ends_with_0(caplog: pytest.LogCaptureFixture) -> None:
    notes: list[str] = []
    with caplog.at_level(logging.INFO):
        assert await Supervisor([Part("a", notes, returns=True)], mono_ms=mono_ms).run() == 0
    assert "all parts are done" in caplog.text


async def test_a_task_that_will_not_be_cancelled_is_left_behind_by_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleet.supervisor.CANCEL_GRACE_S", 0.0)
    forced: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    class Stubborn(Part):
        async def run(self) -> None:
            supervisor.request_stop("test")
            try:
                await asyncio.Event().wait()
            finally:
                await forced

    supervisor = Supervisor([Stubborn("a", [])], mono_ms=mono_ms, stop_timeout_ms=10, force_exit=forced.set_result)
    await supervisor.run()
    assert forced.result() == 1
