"""Tasks from a file: CSV with a header line, or JSON lines (an object a line).

Both know the same fields, those of `fleet tasks list --json`: venue, market and pair are needed; table, depth,
priority, enabled, channels, strategy, params, account and mode may be left out. A line with a strategy is a TRADE task.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fleet.errors import ConfigError
from fleet.pair import parse_pair
from fleet.tasks.model import Task, parse_channels, parse_depth, parse_params

_FIELDS = frozenset(
    {"venue", "market", "pair", "table", "depth", "priority", "enabled", "channels", "strategy", "params", "account"}
    | {"mode", "id"}
)
_YES_NO = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def read_tasks(path: Path) -> list[Task]:
    """The tasks of a file. Raises ConfigError with file, line and what is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None
    tasks: list[Task] = []
    for line, values in _csv_lines(path, text) if path.suffix.lower() == ".csv" else _json_lines(path, text):
        try:
            tasks.append(_task(values))
        except ConfigError as error:
            raise ConfigError(f"{path} line {line}: {error}") from None
    return tasks


def _csv_lines(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    if not {"venue", "market", "pair"} <= set(reader.fieldnames or ()):
        raise ConfigError(f"{path} line 1: expected a header with venue,market,pair and more, got {reader.fieldnames}")
    for row in reader:
        if None in row:
            raise ConfigError(f"{path} line {reader.line_num}: more values than the header has names")
        yield reader.line_num, {name: value for name, value in row.items() if value not in {None, ""}}


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except ValueError as error:
            raise ConfigError(f"{path} line {number}: not JSON ({error}); expected an object a line") from None
        if not isinstance(values, dict):
            raise ConfigError(f'{path} line {number}: expected an object such as {{"venue": "binance", …}}')
        yield number, values


def _task(values: Mapping[str, Any]) -> Task:
    if unknown := sorted(set(values) - _FIELDS):
        raise ConfigError(f"unknown field {unknown[0]!r}; known are {', '.join(sorted(_FIELDS))}")
    if missing := [name for name in ("venue", "market", "pair") if not values.get(name)]:
        raise ConfigError(f"{missing[0]} is missing")
    params = values.get("params", {})
    channels = values.get("channels") or ""
    return Task(
        table=values.get("table") or ("TRADE" if values.get("strategy") else "MONITORING"),
        pair=parse_pair(str(values["venue"]), str(values["market"]), str(values["pair"])),
        depth=parse_depth(values["depth"]) if values.get("depth") not in {None, ""} else "",
        priority=_whole(values.get("priority", 1)),
        enabled=_yes_no(values.get("enabled", True)),
        channels=parse_channels(channels if isinstance(channels, str) else ",".join(map(str, channels))),
        strategy=str(values.get("strategy") or ""),
        params=parse_params(params if isinstance(params, str) else json.dumps(params)),
        account=str(values.get("account") or ""),
        mode=str(values.get("mode") or ""),
    )


def _whole(value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise ConfigError(f"priority {str(value)[:40]!r}: expected a whole number") from None


def _yes_no(value: object) -> bool:
    known = _YES_NO.get(str(value).strip().lower())
    if known is None:
        raise ConfigError(f"enabled {str(value)[:40]!r}: expected true or false")
    return known
