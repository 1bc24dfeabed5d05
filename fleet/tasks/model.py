"""PURE. Tasks, what they ask of the fleet together, and what changed between two readings."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from fleet.errors import ConfigError
from fleet.pair import CHANNELS, DEPTHS, Pair, parse_pair

Table = Literal["MONITORING", "TRADE"]
TABLES: tuple[Table, ...] = ("MONITORING", "TRADE")
MODES = ("paper", "live")
PAPER_ACCOUNT = "paper"
# ORDERBOOK_DEPTH and DEPTH are integers in SQL
DEPTH_NUMBERS = {"bbo": 1, "20": 20, "50": 50, "full": 0}
DEPTH_OF_NUMBER = {number: depth for depth, number in DEPTH_NUMBERS.items()}
DEFAULT_DEPTH: dict[Table, str] = {"MONITORING": "50", "TRADE": "20"}


@dataclass(frozen=True, slots=True)
class Task:
    """One row. `id` is 0 until it is stored; strategy, params, account and mode are of TRADE only.

    Raises ConfigError when made of values that cannot be right. Whether the venue and the strategy exist is asked
    where they are known.
    """

    table: Table
    pair: Pair
    id: int = 0
    depth: str = ""
    priority: int = 1
    enabled: bool = True
    channels: frozenset[str] = frozenset()
    strategy: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    account: str = ""
    mode: str = ""

    def __post_init__(self) -> None:
        if self.table not in TABLES:
            raise ConfigError(f"table {self.table!r}: expected MONITORING or TRADE")
        _fill(self, "depth", DEFAULT_DEPTH[self.table])
        if self.depth not in DEPTHS:
            raise ConfigError(f"depth {self.depth!r}: expected {', '.join(DEPTHS)}")
        _fill(self, "channels", self._usual_channels())
        if unknown := self.channels.difference(CHANNELS):
            raise ConfigError(f"channel {min(unknown)!r}: expected {', '.join(CHANNELS)}")
        if self.table == "TRADE":
            self._check_trade()
        elif self.strategy or self.params or self.account or self.mode:
            raise ConfigError("strategy, params, account and mode belong to a TRADE task; give a strategy")

    def _usual_channels(self) -> frozenset[str]:
        # the book is what can be live: at depth bbo it has one level a side, from the channel of the fast best prices
        return frozenset({"book", "bbo"} if self.depth == "bbo" else {"book"})

    def _check_trade(self) -> None:
        _fill(self, "mode", "paper")
        _fill(self, "account", PAPER_ACCOUNT)
        if not self.strategy:
            raise ConfigError("a TRADE task has no strategy: expected one, such as grid")
        if self.mode not in MODES:
            raise ConfigError(f"mode {self.mode!r}: expected paper or live")
        if self.channels != (usual := self._usual_channels()):
            raise ConfigError(
                f"channels {', '.join(sorted(self.channels))}: a task with a strategy has {', '.join(sorted(usual))} (the table "
                "TRADE has no channels); ask for others in a second task without a strategy"
            )

    def as_json(self) -> dict[str, Any]:
        """As `fleet tasks list --json` prints it."""
        shown: dict[str, Any] = {
            "id": self.id,
            "table": self.table,
            **self.pair._asdict(),
            "depth": self.depth,
            "priority": self.priority,
            "enabled": self.enabled,
            "channels": sorted(self.channels),
        }
        if self.table == "TRADE":
            shown |= {
                "strategy": self.strategy,
                "params": dict(self.params),
                "account": self.account,
                "mode": self.mode,
            }
        return shown

    @property
    def identity(self) -> str:
        """All but the id, as text: two rows with one identity ask for the same."""
        return json.dumps(self.as_json() | {"id": 0}, sort_keys=True)


def _fill(task: Task, name: str, value: object) -> None:
    if not getattr(task, name):
        object.__setattr__(task, name, value)


class Problem(NamedTuple):
    """A row that cannot be right; the others stand."""

    table: Table
    id: int
    reason: str

    def __str__(self) -> str:
        return f"{self.table} row {self.id}: {self.reason}"


class Wanted(NamedTuple):
    """What all tasks together ask for one pair: the deepest book, every channel, the highest priority."""

    pair: Pair
    depth: str
    channels: frozenset[str]
    priority: int
    traded: bool


@dataclass(frozen=True)
class TaskSet:
    """One reading of the tables, highest priority first, with the rows that could not be read."""

    tasks: tuple[Task, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        """Merged by venue, market and pair; highest priority first."""
        return merge(self.tasks)

    @property
    def trades(self) -> tuple[Task, ...]:
        """The TRADE tasks."""
        return tuple(task for task in self.tasks if task.table == "TRADE")


def merge(tasks: Iterable[Task]) -> tuple[Wanted, ...]:
    """One Wanted a pair. Disabled tasks and those without a priority above 0 ask for nothing, as in the first draft."""
    merged: dict[Pair, Wanted] = {}
    for task in tasks:
        if not task.enabled or task.priority <= 0:
            continue
        asked = Wanted(task.pair, task.depth, task.channels, task.priority, task.table == "TRADE")
        held = merged.get(task.pair)
        merged[task.pair] = asked if held is None else _both(held, asked)
    return tuple(sorted(merged.values(), key=lambda wanted: (-wanted.priority, wanted.pair)))


def _both(one: Wanted, other: Wanted) -> Wanted:
    return Wanted(
        one.pair,
        max(one.depth, other.depth, key=DEPTHS.index),
        one.channels | other.channels,
        max(one.priority, other.priority),
        one.traded or other.traded,
    )


class Diff(NamedTuple):
    """What to do to come from one set of wishes to another."""

    subscribe: tuple[Wanted, ...]
    unsubscribe: tuple[Wanted, ...]
    changed: tuple[Wanted, ...]


def diff(old: Iterable[Wanted], new: Iterable[Wanted]) -> Diff:
    """`changed` holds the new wish of pairs that are in both but not alike (depth, channels, priority, traded)."""
    before = {wanted.pair: wanted for wanted in old}
    after = {wanted.pair: wanted for wanted in new}
    return Diff(
        tuple(wanted for pair, wanted in after.items() if pair not in before),
        tuple(wanted for pair, wanted in before.items() if pair not in after),
        tuple(wanted for pair, wanted in after.items() if pair in before and before[pair] != wanted),
    )


def parse_depth(value: object) -> str:
    """Depth from a row or a file: 20, 50, 1 or bbo, 0 or full. Raises ConfigError."""
    text = str(value).strip().lower()
    if text in DEPTHS:
        return text
    if text.isdecimal() and int(text) in DEPTH_OF_NUMBER:
        return DEPTH_OF_NUMBER[int(text)]
    raise ConfigError(f"depth {str(value)[:40]!r}: expected 20, 50, 1 (bbo) or 0 (full)")


def parse_channels(text: str | None) -> frozenset[str]:
    """`book, bbo` → a set. Raises ConfigError for unknown names when a Task is made of it."""
    return frozenset(part.strip().lower() for part in (text or "").split(",") if part.strip())


def parse_params(text: str | bytes | None) -> dict[str, Any]:
    """STRATEGY_PARAMS: a JSON object, or nothing. Raises ConfigError."""
    if not text:
        return {}
    try:
        params = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"params: not JSON ({error})") from None
    if not isinstance(params, dict):
        raise ConfigError(f"params: expected a JSON object such as {{}}, got {str(params)[:40]}")
    return params


def task_of_row(table: Table, row: Mapping[str, Any]) -> Task:
    """A Task of a row of the table. Raises ConfigError."""
    pair = parse_pair(row["EXCHANGE_ID"] or "", row["MARKET_TYPE"] or "", row["TRADE_PAIR"] or "")
    depth = row["ORDERBOOK_DEPTH" if table == "MONITORING" else "DEPTH"]
    common: dict[str, Any] = {
        "table": table,
        "id": row["ID"],
        "pair": pair,
        "depth": "" if depth is None else parse_depth(depth),
        "priority": row["DAEMON_PRIORITY"] or 0,
        "enabled": bool(row["ENABLED"]),
    }
    if table == "MONITORING":
        return Task(**common, channels=parse_channels(row["CHANNELS"]))
    return Task(
        **common,
        strategy=(row["STRATEGY_ID"] or "").strip(),
        params=parse_params(row["STRATEGY_PARAMS"]),
        account=(row["ACCOUNT"] or "").strip(),
        mode=(row["MODE"] or "").strip().lower(),
    )
