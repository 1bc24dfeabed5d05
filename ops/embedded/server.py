"""What all embedded servers share: choose a port, start, prove that the answer is ours, stop, hurt."""

import signal
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from ops.embedded.errors import ServerStartError
from ops.embedded.process import ServerProcess, free_port

PORT_ATTEMPTS = 5  # a free port can be taken by someone else before the server binds it


class EmbeddedServer(ABC):
    """`async with Server(directory) as server: server.url`: a server on loopback that lives as long as the block.

    `port` 0 means any free one, chosen at the first start and kept for later ones. Raises `ServerMissingError` or
    `ServerStartError`.
    """

    name: ClassVar[str]
    start_timeout_s: ClassVar[float]
    stop_deadline_s: ClassVar[float]

    def __init__(self, directory: Path, port: int = 0) -> None:
        self.directory = directory.resolve()
        self.port = port
        self._process: ServerProcess | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL for clients."""

    @abstractmethod
    def _prepare(self) -> list[str | Path]:
        """Write the configuration for the present `port` and return the command."""

    @abstractmethod
    async def _answers(self) -> bool:
        """Whether the server, and not a stranger on its port, serves a client."""

    @property
    def process(self) -> ServerProcess:
        """The server's process. Raises `RuntimeError` before `start`."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process

    @property
    def pid(self) -> int:
        """The server's process number. Raises `RuntimeError` before `start`."""
        return self.process.pid

    async def start(self) -> None:
        """Start and wait until a client is served. A port chosen here and lost to someone else is chosen anew."""
        if self._process is not None and self._process.is_running:
            raise RuntimeError(f"{self.name} runs already as process {self.pid}")
        self.directory.mkdir(parents=True, exist_ok=True)
        may_choose = self.port == 0
        for attempts_left in reversed(range(PORT_ATTEMPTS)):
            if may_choose:
                self.port = free_port()
            try:
                await self._start_on_port()
            except ServerStartError as failure:
                if not (may_choose and attempts_left and "Address already in use" in failure.log_tail):
                    raise
            else:
                return

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL after the deadline. A server that is gone already is fine."""
        if self._process is not None:
            await self._process.stop(self.stop_deadline_s)

    async def restart(self) -> None:
        """Stop in order, then start on the same port and directory."""
        await self.stop()
        await self.start()

    async def kill(self) -> None:
        """SIGKILL, as a crash; `start` opens the same directory again."""
        await self.process.kill()

    def pause(self) -> None:
        """SIGSTOP: its connections stay open and nothing answers."""
        self.process.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.process.signal(signal.SIGCONT)

    async def _start_on_port(self) -> None:
        command = self._prepare()
        log = self.directory / f"{self.name}.log"
        log.unlink(missing_ok=True)  # each start is judged by its own last words
        self._process = ServerProcess(self.name, command, directory=self.directory, log=log)
        self._process.start()
        try:
            await self._process.wait_ready(self._answers, self.start_timeout_s)
        except BaseException:
            await self._process.kill()
            raise

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on port {self.port}: {self._process or 'not started'}>"
