"""A server dies with whoever started it, however that one dies."""

import os
import signal
import subprocess
import sys

import pytest

from ops.embedded import tied

STARTER = """
import asyncio, sys
from pathlib import Path
from {module} import {server}

async def main():
    server = {server}(Path(sys.argv[1]))
    await server.start()
    print(server.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""

# A stand-in for the server under the watcher that is used where the kernel cannot tie (not Linux).
WATCHED = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
import tied
tied.tie_by_watcher(os.getppid())
print(os.getpid(), flush=True)
time.sleep(60)
"""

WATCHED_STARTER = """
import subprocess, sys
subprocess.run([sys.executable, "-c", sys.argv[1], sys.argv[2]], check=True)
"""


def is_gone(pid):
    """Dead: no such process, or a zombie that waits for an init to reap it."""
    if not tied.is_alive(pid):
        return True
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return state.stdout.strip()[:1] in {"", "Z"}


async def kill_starter_and_see_the_server_gone(starter, wait_until):
    try:
        server_pid = int(starter.stdout.readline())
        assert not is_gone(server_pid)
    finally:
        starter.kill()
        starter.wait()
        starter.stdout.close()
    try:
        await wait_until(lambda: is_gone(server_pid), f"the end of the orphaned server {server_pid}")
    except AssertionError:
        os.kill(server_pid, signal.SIGKILL)
        raise


@pytest.mark.parametrize(
    "module, server", [("ops.embedded.redis", "EmbeddedRedis"), ("ops.embedded.clickhouse", "EmbeddedClickHouse")]
)
async def test_a_server_dies_with_its_killed_parent(module, server, tmp_path, wait_until):
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER.format(module=module, server=server), tmp_path], stdout=subprocess.PIPE
    )
    await kill_starter_and_see_the_server_gone(starter, wait_until)


async def test_where_the_kernel_cannot_tie_a_watcher_kills_the_orphan(wait_until):
    folder = os.path.dirname(tied.__file__)
    starter = subprocess.Popen([sys.executable, "-c", WATCHED_STARTER, WATCHED, folder], stdout=subprocess.PIPE)
    await kill_starter_and_see_the_server_gone(starter, wait_until)


def test_a_parent_that_is_dead_already_leaves_no_server(tmp_path):
    witness = tmp_path / "ran"
    finished = subprocess.run(
        [sys.executable, "-I", "-S", tied.__file__, "1", sys.executable, "-c", f"open({str(witness)!r}, 'w')"],
        check=False,
    )
    if sys.platform == "linux":
        assert finished.returncode == 1
        assert not witness.exists()
