"""`fleet up -n N`: N daemons on this host, watched. A daemon that ends is started again with backoff; SIGTERM stops all.

A daemon that ends with the exit code of a configuration or server error before it ever ran well will not get better by
restarting: then everything stops and `fleet up` ends with that code.
"""

import asyncio
import logging
import os
import random
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from fleet import clock
from fleet.backoff import delays
from fleet.config import Settings
from fleet.errors import ConfigError, LayoutMismatch, SchemaMissing, Unreachable
from fleet.supervisor import CANCEL_GRACE_S, STOP_TIMEOUT_MS
from ops.embedded import tied
from ops.prerequisites import prove_once

log = logging.getLogger(__name__)

STOP_DEADLINE_S = STOP_TIMEOUT_MS / 1000 + CANCEL_GRACE_S + 3.0  # beyond a daemon's own deadline it is killed
RAN_WELL_MS = 10_000  # a daemon that lived so long is restarted whatever it ended with
HOPELESS = {error.exit_code for error in (ConfigError, Unreachable, SchemaMissing, LayoutMismatch)}

DAEMON = (sys.executable, "-m", "ops.cli", "daemon")


class Up:
    """The watched daemons. `run` ends when `stop` was called, or when a daemon cannot work at all.

    `env`: their environment (default: ours); `log`: a file for their output (default: ours).
    """

    def __init__(
        self,
        count: int,
        command: Sequence[str] = DAEMON,
        env: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        self.count = count
        self.exit_code = 0
        self._command = command
        self._env = None if env is None else dict(env)
        self._log = log
        self._stop = asyncio.Event()
        self._children: dict[int, asyncio.subprocess.Process] = {}

    @property
    def pids(self) -> list[int]:
        """Process numbers of the daemons that run now."""
        return [child.pid for child in self._children.values()]

    def stop(self) -> None:
        """Ask every daemon to hand over and end; `run` returns when they have."""
        self._stop.set()

    async def run(self) -> int:
        """Start and watch the daemons. The exit code: 0, or that of a daemon that could never work."""
        async with asyncio.TaskGroup() as group:
            for index in range(self.count):
                group.create_task(self._watch(index), name=f"daemon {index}")
        return self.exit_code

    async def _watch(self, index: int) -> None:
        pauses = delays(random.Random())
        while not self._stop.is_set():
            started = clock.mono_ms()
            child = await self._start(index)
            code = await self._until_ended(index, child)
            if self._stop.is_set():
                return
            lived_ms = clock.mono_ms() - started
            if lived_ms < RAN_WELL_MS and code in HOPELESS:
                self.exit_code = code
                self._stop.set()
                return
            if lived_ms >= RAN_WELL_MS:
                pauses = delays(random.Random())
            pause = next(pauses)
            log.warning(
                "daemon %d (pid %d) ended with code %d; the next starts in %.1f s", index, child.pid, code, pause
            )
            try:
                async with asyncio.timeout(pause):
                    await self._stop.wait()
            except TimeoutError:
                continue

    async def _start(self, index: int) -> asyncio.subprocess.Process:
        output = self._log.open("ab") if self._log is not None else None
        # tied: if we are killed, the kernel ends our daemons too; a session of its own: Ctrl-C is ours to pass on in order
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", tied.__file__, str(os.getpid()), *self._command,
            stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, env=self._env, start_new_session=True,
        )  # fmt: skip
        if output is not None:
            output.close()
        self._children[index] = child
        log.info("daemon %d started as process %d", index, child.pid)
        return child

    async def _until_ended(self, index: int, child: asyncio.subprocess.Process) -> int:
        try:
            async with asyncio.TaskGroup() as group:
                stopper = group.create_task(self._stop_when_asked(child), name=f"stop daemon {index}")
                code = await child.wait()
                stopper.cancel()
            return code
        finally:
            if child.returncode is None:
                child.kill()
            self._children.pop(index, None)

    async def _stop_when_asked(self, child: asyncio.subprocess.Process) -> None:
        await self._stop.wait()
        if child.returncode is None:
            child.send_signal(signal.SIGTERM)
        await asyncio.sleep(STOP_DEADLINE_S)
        if child.returncode is None:
            log.error("daemon %d did not end within %.0f s of SIGTERM: killed", child.pid, STOP_DEADLINE_S)
            child.kill()


async def up(settings: Settings, count: int) -> int:
    """Run `count` daemons until SIGTERM or SIGINT; returns the exit code.

    Raises FleetError for what would keep every daemon from starting: it is told once, not by each of them.
    """
    await prove_once(settings)
    daemons = Up(count)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemons.stop)
    return await daemons.run()
