"""What can go wrong with an embedded server, in words that say the mend.

FleetError
├── ServerMissingError      no program of this server on the machine
└── Unreachable
    └── ServerStartError    its process ended, or gave no answer in time
"""

from pathlib import Path

from fleet.errors import FleetError, Unreachable


class ServerMissingError(FleetError):
    """No program of this server was found on the machine."""

    def __init__(self, server: str, looked_for: str, mend: str) -> None:
        self.server = server
        self.mend = mend
        super().__init__(f"no {server} on this machine: looked for {looked_for}. Mend: {mend}")


class ServerStartError(Unreachable):
    """The server's process ended, or gave no answer in time. `log_tail` is the end of its log."""

    def __init__(self, server: str, reason: str, log: Path, log_tail: str) -> None:
        self.server = server
        self.log_tail = log_tail
        last_words = log_tail.splitlines()[-1] if log_tail else "(none)"
        super().__init__(f"{server} did not start: {reason}. Its last words: {last_words} (more in {log})")
