"""The task tables in SQL: add, list, remove, fetch."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from fleet.errors import ConfigError
from fleet.pair import Pair
from fleet.schema import FLEET, MONITORING, TRADE
from fleet.sql import reading, writing
from fleet.tasks.files import read_tasks
from fleet.tasks.model import DEPTH_NUMBERS, TABLES, Problem, Table, Task, TaskSet, task_of_row

_SQL_TABLES: dict[Table, sa.Table] = {"MONITORING": MONITORING, "TRADE": TRADE}
# Built once: a poll every few seconds would leave cycles of objects for the garbage collector.
_ALL = {
    table: target.select().order_by(target.c.DAEMON_PRIORITY.desc(), target.c.ID)
    for table, target in _SQL_TABLES.items()
}
_ACTIVE = {
    table: _ALL[table].where(target.c.ENABLED.is_(sa.true()), target.c.DAEMON_PRIORITY > 0)
    for table, target in _SQL_TABLES.items()
}


class TaskStore:
    """Tasks of one database. All methods raise Unreachable or SchemaMissing when SQL does not serve; none waits for ever."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def fetch(self) -> TaskSet:
        """What is asked for now: ENABLED = 1 AND DAEMON_PRIORITY > 0 ORDER BY DAEMON_PRIORITY DESC."""
        return await self._read(_ACTIVE)

    async def all(self) -> TaskSet:
        """Every row, also those that are off, for showing."""
        return await self._read(_ALL)

    async def add(self, tasks: Iterable[Task]) -> list[Task]:
        """Store all or none; returns them with their ids. A row that asks exactly the same is not stored again.

        Raises ConfigError when a task was given an id.
        """
        added: list[Task] = []
        async with writing(self._engine, bounded=True) as connection:
            # two who add the same at once must not both find it missing
            await connection.execute(FLEET.select().with_for_update())
            known: dict[str, Task] = {}
            for table in TABLES:
                rows = await _rows(connection, _ALL[table])
                known |= {task.identity: task for task in _tasks(table, rows).tasks}
            for task in tasks:
                if task.id:
                    raise ConfigError(f"task {task.pair.label} has id {task.id}: a new task gets its id from SQL")
                stored = known.get(task.identity)
                if stored is None:
                    result = await connection.execute(_SQL_TABLES[task.table].insert().values(**_row_of(task)))
                    [number] = result.inserted_primary_key or [0]
                    stored = known[task.identity] = replace(task, id=number)
                added.append(stored)
        return added

    async def import_file(self, path: Path) -> list[Task]:
        """`add` what a file holds (.csv, or JSON lines). Raises ConfigError naming file, line and mistake."""
        return await self.add(read_tasks(path))

    async def remove(self, table: Table, *ids: int) -> int:
        """Delete rows by id; returns how many there were."""
        target = _SQL_TABLES[table]
        async with writing(self._engine, bounded=True) as connection:
            result = await connection.execute(target.delete().where(target.c.ID.in_(ids)))
        return result.rowcount

    async def remove_pair(self, pair: Pair, tables: Iterable[Table] = TABLES) -> int:
        """Delete every row of a pair; returns how many there were."""
        removed = 0
        async with writing(self._engine, bounded=True) as connection:
            for table in tables:
                target = _SQL_TABLES[table]
                result = await connection.execute(target.delete().where(*_is_pair(target, pair)))
                removed += result.rowcount
        return removed

    async def set_enabled(self, table: Table, number: int, enabled: bool) -> bool:
        """Switch a row on or off; False where there is no such row."""
        target = _SQL_TABLES[table]
        async with writing(self._engine, bounded=True) as connection:
            result = await connection.execute(target.update().where(target.c.ID.in_([number])).values(ENABLED=enabled))
        return result.rowcount == 1

    async def _read(self, statements: Mapping[Table, sa.Select[Any]]) -> TaskSet:
        tasks: list[Task] = []
        problems: list[Problem] = []
        async with reading(self._engine, bounded=True) as connection:
            for table in TABLES:
                found = _tasks(table, await _rows(connection, statements[table]))
                tasks += found.tasks
                problems += found.problems
        return TaskSet(tuple(tasks), tuple(problems))


async def _rows(connection: AsyncConnection, statement: sa.Select[Any]) -> list[Mapping[str, Any]]:
    return [dict(row) for row in (await connection.execute(statement)).mappings()]


def _tasks(table: Table, rows: Iterable[Mapping[str, Any]]) -> TaskSet:
    tasks: list[Task] = []
    problems: list[Problem] = []
    for row in rows:
        try:
            tasks.append(task_of_row(table, row))
        except ConfigError as error:
            problems.append(Problem(table, row["ID"], str(error)))
    return TaskSet(tuple(tasks), tuple(problems))


def _row_of(task: Task) -> dict[str, Any]:
    row: dict[str, Any] = {
        "EXCHANGE_ID": task.pair.venue,
        "EXCHANGE_NAME": task.pair.venue.capitalize(),
        "MARKET_TYPE": task.pair.market,
        "TRADE_PAIR": task.pair.pair,
        "DAEMON_PRIORITY": task.priority,
        "ENABLED": task.enabled,
    }
    if task.table == "MONITORING":
        return row | {"ORDERBOOK_DEPTH": DEPTH_NUMBERS[task.depth], "CHANNELS": ",".join(sorted(task.channels))}
    return row | {
        "DEPTH": DEPTH_NUMBERS[task.depth],
        "STRATEGY_ID": task.strategy,
        "STRATEGY_PARAMS": json.dumps(dict(task.params)),
        "ACCOUNT": task.account,
        "MODE": task.mode,
    }


def _is_pair(target: sa.Table, pair: Pair) -> tuple[sa.ColumnElement[bool], ...]:
    # hand-written rows may be in any case; `task_of_row` reads them all the same
    return (
        sa.func.lower(sa.func.trim(target.c.EXCHANGE_ID)) == pair.venue,
        sa.func.lower(sa.func.trim(target.c.MARKET_TYPE)) == pair.market,
        sa.func.upper(sa.func.trim(target.c.TRADE_PAIR)) == pair.pair,
    )
