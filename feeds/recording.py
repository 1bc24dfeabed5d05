"""Files of recorded venue messages: one message a line, `{"b64": …}` for a binary one; receive times beside in `.recv`.

`NAME.recv` beside `NAME.jsonl` has the local receive time of each line: Unix time as a number of seconds, milliseconds,
microseconds or nanoseconds, told apart by its size.
"""

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from fleet.errors import ConfigError

_BINARY: Final = b'{"b64":'
# Unix times between 1990 and 2200 do not overlap between units: (at least, µs of one unit)
_UNITS: Final = (
    (Decimal(10) ** 17, Decimal("0.001")),
    (Decimal(10) ** 14, Decimal(1)),
    (Decimal(10) ** 11, Decimal(1000)),
)
_SECOND_US: Final = Decimal(1_000_000)


class Recorded(NamedTuple):
    """One message: text as the bytes of its line, a binary one as its own bytes. Time in Unix µs, None where unknown."""

    frame: bytes
    received_us: int | None


class _Binary(msgspec.Struct, forbid_unknown_fields=True):
    b64: bytes


def read_file(path: Path) -> bytes:
    """Raises ConfigError when there is nothing to read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error


def read_recording(path: Path) -> list[Recorded]:
    """The messages of a file, blank lines left out. Raises ConfigError for a file that cannot be read or whose times do not
    fit it."""
    lines = read_file(path).split(b"\n")
    times = _read_times(path.with_suffix(".recv"))
    if lines[-1] == b"":
        lines.pop()
    if times is not None and len(times) != len(lines):
        raise ConfigError(
            f"{path.with_suffix('.recv')} has {len(times)} times for the {len(lines)} lines of {path.name}"
        )
    received = times if times is not None else [None] * len(lines)
    return [Recorded(_frame(line), at) for line, at in zip(lines, received, strict=True) if line.strip()]


def _frame(line: bytes) -> bytes:
    if line.startswith(_BINARY):
        try:
            return msgspec.json.decode(line, type=_Binary).b64
        except (ValueError, RecursionError):
            return line  # no such wrapping after all: whoever decodes it will say what it is
    return line.removesuffix(b"\r")


def _read_times(path: Path) -> list[int | None] | None:
    if not path.is_file():
        return None
    try:
        return [_micros(line) for line in read_file(path).decode().splitlines()]
    except (InvalidOperation, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: expected a Unix time on every line") from error


def _micros(line: str) -> int:
    value = Decimal(line.strip())
    if not value.is_finite():
        raise InvalidOperation
    for least, micros in _UNITS:
        if value >= least:
            return int(value * micros)
    return int(value * _SECOND_US)
