"""One server process: started from the event loop's thread, waited for, stopped within a deadline, gone with us."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from ops.embedded import tied
from ops.embedded.errors import ServerStartError

READY_POLL_S = 0.01  # a server on loopback is ready in 20 ms (Redis) to 2 s (ClickHouse)
STOP_POLL_S = 0.005
LOG_TAIL_BYTES = 4_000  # a screenful


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listened on a moment ago.

    Another process may take it before its user does: whoever starts a server on it checks that the answer is its own
    and retries with another port.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def accepts(port: int) -> bool:
    """Whether somebody accepts connections on this port of 127.0.0.1."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()
    except OSError:
        return False
    return True


class ServerProcess:
    """A child process with its log in a file. It is killed when the thread that started it ends (see `tied.py`).

    `environment`: all of it; None: ours.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str | Path],
        *,
        directory: Path,
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.arguments = [str(argument) for argument in arguments]
        self.directory = directory
        self.log = log
        self.environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The server's process number. Raises `RuntimeError` when it was never started."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended: negative is the number of the signal; None while it runs or before its start."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start the process. Call from a thread that outlives the server: the event loop's, never a worker."""
        if self.is_running:
            raise RuntimeError(f"{self.name} runs already as process {self.pid}")
        launcher = [sys.executable, "-I", "-S", tied.__file__, str(os.getpid())]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the command is ours, and no shell reads it
                [*launcher, *self.arguments],
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C goes to us alone; we stop the server in order
            )

    async def wait_ready(self, answers: Callable[[], Awaitable[bool]], timeout_s: float) -> None:
        """Wait until `answers()` is true. Raises `ServerStartError` when the process ends or the time runs out."""
        try:
            async with asyncio.timeout(timeout_s):
                while not await answers():
                    if not self.is_running:
                        raise self._start_error(f"it ended with exit code {self.exit_code}")
                    await asyncio.sleep(READY_POLL_S)
        except TimeoutError:
            raise self._start_error(f"no answer within {timeout_s:g} s") from None

    async def stop(self, deadline_s: float) -> None:
        """SIGTERM, and SIGKILL once `deadline_s` has passed. A process that is gone already is fine."""
        if self._process is None:
            return
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(deadline_s):
                await self._wait_ended()
        except TimeoutError:
            pass  # SIGKILL below
        finally:
            if self.is_running:  # the deadline, or our own cancellation
                await self.kill()

    async def kill(self) -> None:
        """SIGKILL, as a crash would end it; returns when the process is gone."""
        self.signal(signal.SIGKILL)
        await self._wait_ended()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the process has ended."""
        if self._process is not None:
            self._process.send_signal(number)

    def tail(self) -> str:
        """The end of the log."""
        if not self.log.exists():
            return ""
        return self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()

    def _start_error(self, reason: str) -> ServerStartError:
        return ServerStartError(self.name, reason, self.log, self.tail())

    async def _wait_ended(self) -> None:
        while self.is_running:  # noqa: ASYNC110 - a Popen has no end to await
            await asyncio.sleep(STOP_POLL_S)

    def __repr__(self) -> str:
        state = "not started" if self._process is None else f"pid {self.pid}"
        return f"<{self.name} {state} in {self.directory}>"
