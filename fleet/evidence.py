"""What a daemon says it was granted, wrote and lost: a line of JSON a fact, for the offline check of a fleet's history.

Off by default. With FLEET_EVIDENCE_DIR every daemon appends to DIR/IDENTITY.jsonl. Common fields:

    at          wall clock, Unix ms: to lay beside other logs, never to order by
    mono_ms     monotonic clock; comparable between the processes of one host
    fact, member, pair (label), line (`book` or `trades`), token

and by fact:

    granted     n, cell_before (text of the tail cell as acquire found it, null: there was none)
    accepted    n_first, n_last, sequence: what one publish call appended
    refused     n (the last published as we believed), verdict, cell (null: gone)
    lost        reason
    released    -
    dropped     facts: so many could not be written (a full disk); the file is no proof of that time

Facts are kept for at most FLUSH_S, so a killed process may lose as much of `accepted`; the others are written at once,
`granted` therefore before the first event under its token. The last line of a killed process may be torn: readers skip it.
Writing is blocking and costs the caller some microseconds a fact; it goes to the page cache, not to the disk.
"""

import asyncio
import logging
import os
from pathlib import Path

import msgspec

from fleet.cell import Cell
from fleet.clock import MonoMs, WallMs
from fleet.errors import ConfigError
from fleet.pair import Pair

log = logging.getLogger(__name__)

FLUSH_S = 0.2
KEPT_MOST = 5_000  # facts; a burst is written early, so that no flush takes long

_Fact = dict[str, object]
_encode_lines = msgspec.json.Encoder().encode_lines


class Evidence:
    """Takes facts of one daemon. Must be made and used within one running event loop; `close` writes the rest."""

    def __init__(self, path: Path, member: str, *, wall_ms: WallMs, mono_ms: MonoMs) -> None:
        """Raises OSError when the file cannot be appended to."""
        self.member = member
        self.dropped = 0
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._wall_ms = wall_ms
        self._mono_ms = mono_ms
        self._facts: list[_Fact] = []
        self._timer: asyncio.TimerHandle | None = None

    def granted(self, pair: Pair, token: int, n: int, cell_before: Cell | None, *, trades: bool = False) -> None:
        """A lease is ours under `token`, and this line's numbering goes on at `n`."""
        before = None if cell_before is None else str(cell_before)
        self._add("granted", pair, token, trades, {"n": n, "cell_before": before})
        self.flush()

    def accepted(
        self, pair: Pair, token: int, n_first: int, n_last: int, sequence: str, *, trades: bool = False
    ) -> None:
        """Redis took the events n_first..n_last of this line; nothing is noted of a call that appended none."""
        if n_first <= n_last:
            self._add("accepted", pair, token, trades, {"n_first": n_first, "n_last": n_last, "sequence": sequence})

    def refused(self, pair: Pair, token: int, n: int, verdict: str, cell: Cell | None, *, trades: bool = False) -> None:
        """Redis took nothing of a call that stood at `token n`."""
        seen = None if cell is None else str(cell)
        self._add("refused", pair, token, trades, {"n": n, "verdict": str(verdict), "cell": seen})
        self.flush()

    def lost(self, pair: Pair, token: int, reason: str) -> None:
        """We stopped under `token`: it ran out, or somebody else holds the lease."""
        self._add("lost", pair, token, False, {"reason": str(reason)})
        self.flush()

    def released(self, pair: Pair, token: int) -> None:
        """We gave the lease back."""
        self._add("released", pair, token, False, {})
        self.flush()

    def _add(self, fact: str, pair: Pair, token: int, trades: bool, more: _Fact) -> None:
        self._facts.append(
            {
                "at": self._wall_ms(), "mono_ms": self._mono_ms(), "fact": fact, "member": self.member,
                "pair": pair.label, "line": "trades" if trades else "book", "token": token, **more,
            }
        )  # fmt: skip
        if len(self._facts) >= KEPT_MOST:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        """Hand everything kept to the operating system. A failure is logged, counted and later written as `dropped`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        facts, self._facts = self._facts, []
        if not facts or self._file < 0:
            return
        if self.dropped:
            gap: _Fact = {"at": self._wall_ms(), "mono_ms": self._mono_ms(), "fact": "dropped", "member": self.member}
            facts.insert(0, {**gap, "facts": self.dropped})
        try:
            _write_all(self._file, b"\n" + _encode_lines(facts) if self.dropped else _encode_lines(facts))
        except OSError as error:
            if not self.dropped:
                log.error("evidence of %s has a hole from here on: %s", self.member, error.strerror)
            self.dropped += sum(fact["fact"] != "dropped" for fact in facts)
        else:
            self.dropped = 0

    def close(self) -> None:
        """Write the rest and close the file; later facts are ignored."""
        self.flush()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class _NoEvidence(Evidence):
    """Takes facts and forgets them."""

    def __init__(self) -> None:
        self.member = ""
        self.dropped = 0

    def _add(self, fact: str, pair: Pair, token: int, trades: bool, more: _Fact) -> None:
        pass

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def accepted(
        self, pair: Pair, token: int, n_first: int, n_last: int, sequence: str, *, trades: bool = False
    ) -> None:
        pass


NO_EVIDENCE: Evidence = _NoEvidence()


def open_evidence(directory: Path | None, member: str, *, wall_ms: WallMs, mono_ms: MonoMs) -> Evidence:
    """The evidence of this daemon; NO_EVIDENCE where no directory is set. Makes the directory.

    Raises ConfigError when it cannot be written to: a run that was to be proved must not go on unproved.
    """
    if directory is None:
        return NO_EVIDENCE
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return Evidence(directory / f"{member}.jsonl", member, wall_ms=wall_ms, mono_ms=mono_ms)
    except OSError as error:
        raise ConfigError(
            f"FLEET_EVIDENCE_DIR={directory}: {error.strerror}; name a directory this user may write to, or unset it"
        ) from None


def _write_all(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
