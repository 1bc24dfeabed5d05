"""The files of a history: written line by line as a run goes, read together when it is over.

    tape.jsonl          what Redis accepted (ops.chaos.recorder)
    readings.jsonl      what readers got (ops.chaos.probe)
    asked.jsonl         what the simulated venues were asked
    evidence/*.jsonl    what the daemons say (fleet.evidence)

A process that was killed may leave a torn last line; it is skipped. A line that cannot be read anywhere else is kept in
`History.torn`, and the check fails on it.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, Self

import msgspec

from ops.chaos.history import Asked, Fact, History, Note, Reading

TAPE, READINGS, ASKED, EVIDENCE = "tape.jsonl", "readings.jsonl", "asked.jsonl", "evidence"

_encode_lines = msgspec.json.Encoder().encode_lines


class HistoryFile:
    """Appends notes of one kind to a file; use it as a context manager."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = path.open("ab")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, notes: Iterable[msgspec.Struct]) -> None:
        """Append and hand to the operating system."""
        self._file.write(_encode_lines(list(notes)))
        self._file.flush()


def load_history(folder: Path) -> History:
    """Everything of one run that is in the folder; files that are not there are empty. Raises OSError."""
    torn: list[str] = []
    facts: list[Fact] = []
    for path in sorted((folder / EVIDENCE).glob("*.jsonl")):
        facts += _read(path, Fact, torn)
    return History(
        tape=_read(folder / TAPE, Note, torn),
        facts=facts,
        readings=_read(folder / READINGS, Reading, torn),
        asked=_read(folder / ASKED, Asked, torn),
        torn=torn,
    )


def _read(path: Path, kind: Any, torn: list[str]) -> list[Any]:
    if not path.exists():
        return []
    decode = msgspec.json.Decoder(kind).decode
    found: list[Any] = []
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            found.append(decode(line))
        except msgspec.DecodeError as error:
            if number < len(lines):  # the last one has no line end: its writer was killed
                torn.append(f"{path.name}, line {number}: {str(error)[:100]}")
    return found
