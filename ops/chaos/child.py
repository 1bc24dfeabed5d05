"""One `fleet daemon` of a chaos run: a real process, its log in a file, hurt by signals."""

import re
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ops.chaos.late import until
from ops.embedded.process import ServerProcess

ROOT = Path(__file__).parents[2]
DAEMON = (sys.executable, "-m", "ops.cli", "daemon")
SAID_S = 40.0  # a daemon starts in three seconds; the rest is for a starved machine
END_S = 20.0  # its own deadline is 10 s
LAST_WORDS = 3000  # characters
# what no daemon of ours may ever say: an error that nobody expected, or one that nobody took
UNEXPECTED = re.compile(
    r"^Traceback|^\s*\+ Exception Group Traceback|never retrieved|was destroyed but it is pending", re.MULTILINE
)


class ChaosDaemon(ServerProcess):
    """`number` counts the daemons of a run from 0; a restarted one is a new daemon with a number of its own."""

    def __init__(
        self, number: int, environment: Mapping[str, str], folder: Path, command: Sequence[str] = DAEMON
    ) -> None:
        log = folder / f"daemon-{number}.log"
        super().__init__(f"daemon {number}", command, directory=ROOT, log=log, environment=environment)
        self.number = number
        self.hurt = False  # killed on purpose: its exit code is ours
        self._identity = ""

    @property
    def text(self) -> str:
        """All that it has said."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    @property
    def identity(self) -> str:
        """host:pid:nonce, its name in leases and in the list of members; empty until it has said it."""
        if not self._identity and (found := re.search(r"daemon (\S+:\d+:[0-9a-f]{8})", self.text)):
            self._identity = found[1]
        return self._identity

    def count(self, pattern: str) -> int:
        """In how many places of its log a regular expression is found."""
        return len(re.findall(pattern, self.text, re.MULTILINE))

    def lines(self, pattern: str) -> list[str]:
        """The lines of its log in which a regular expression is found."""
        return [line for line in self.text.splitlines() if re.search(pattern, line)]

    async def introduced(self) -> str:
        """Its identity, waited for. Raises Late with its last words."""
        await until(
            lambda: self.identity or not self.is_running, f"{self.name} to say who it is", SAID_S, why=self.last_words
        )
        return self.identity

    def pause(self) -> None:
        """SIGSTOP: it stands still, its sockets stay open."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    def terminate(self) -> None:
        """SIGTERM: a clean stop. It is waited for by `ended`."""
        self.signal(signal.SIGTERM)

    async def kill(self) -> None:
        """SIGKILL; returns when the process is gone."""
        self.hurt = True
        await super().kill()

    async def ended(self, within_s: float = END_S) -> float:
        """Wait for its end; how long that took, ms. Raises Late with its last words."""
        return await until(lambda: not self.is_running, f"the end of {self.name}", within_s, why=self.last_words)

    def last_words(self) -> str:
        """The end of its log."""
        return f"{self.name}, code {self.exit_code}, said last:\n{self.text[-LAST_WORDS:].strip()}"

    def complaints(self) -> list[str]:
        """What is wrong with how it ended and with what it said."""
        found = []
        if not self.hurt and not self.is_running and self.exit_code != 0:
            found.append(f"{self.name} ended with code {self.exit_code}: {self.text[-300:].strip()}")
        if match := UNEXPECTED.search(self.text):
            found.append(f"{self.name} met an error that nobody expected: {self.text[match.start() :][:1500]}")
        return found
