"""One child process: its start, its log, its end."""

import signal
import sys

import pytest

from ops.embedded.errors import ServerStartError
from ops.embedded.process import ServerProcess, accepts

IDLE = "import time; time.sleep(60)"
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ignoring", flush=True)
time.sleep(60)
"""


@pytest.fixture
async def run(tmp_path):
    """`run(code)`: a started Python process, killed after the test."""
    processes = []

    def start(code):
        process = ServerProcess("thing", [sys.executable, "-c", code], directory=tmp_path, log=tmp_path / "thing.log")
        process.start()
        processes.append(process)
        return process

    yield start
    for process in processes:
        await process.kill()


async def never():
    return False


async def test_sigterm_ends_a_willing_process(run):
    process = run(IDLE)
    await process.stop(deadline_s=30)
    assert process.exit_code == -signal.SIGTERM


async def test_sigkill_ends_one_that_ignores_sigterm(run, wait_until):
    process = run(STUBBORN)
    await wait_until(lambda: process.tail() == "ignoring", "the process to ignore SIGTERM")
    await process.stop(deadline_s=0.05)
    assert process.exit_code == -signal.SIGKILL


async def test_a_process_that_ends_at_its_start_is_told_with_its_last_words(run, tmp_path):
    process = run("import sys; print('first'); sys.exit('no such setting')")
    with pytest.raises(ServerStartError) as failure:
        await process.wait_ready(never, timeout_s=30)
    assert str(failure.value) == (
        "thing did not start: it ended with exit code 1. Its last words: no such setting "
        f"(more in {tmp_path / 'thing.log'})"
    )
    assert failure.value.exit_code == 4


async def test_a_process_that_never_answers_is_told_with_the_time_it_had(run):
    process = run(IDLE)
    with pytest.raises(ServerStartError, match=r"no answer within 0\.05 s"):
        await process.wait_ready(never, timeout_s=0.05)
    assert process.is_running


async def test_a_running_process_is_not_started_again(run):
    process = run(IDLE)
    with pytest.raises(RuntimeError, match=f"thing runs already as process {process.pid}"):
        process.start()


async def test_nobody_accepts_on_a_free_port(free_port):
    assert not await accepts(free_port())
