"""DAEMON_STATE: the members of the fleet, mirrored to SQL by the leader, for people and for the first draft's tools."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Executable, bindparam
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from fleet.schema import DAEMON_STATE
from fleet.sql import is_sqlite, reading, writing

_CHANGING = ("ROLE", "STATUS", "LAST_HEARTBEAT", "CONFIG")


def _sqlite_upsert() -> Executable:
    insert = sqlite.insert(DAEMON_STATE)
    changes = {name: insert.excluded[name] for name in _CHANGING}
    return insert.on_conflict_do_update(index_elements=["DAEMON_ID"], set_=changes)


def _mysql_upsert() -> Executable:
    insert = mysql.insert(DAEMON_STATE)
    return insert.on_duplicate_key_update({name: insert.inserted[name] for name in _CHANGING})


# Built once: each statement is cycles of objects, which would lie about until a full garbage collection, and those are rare.
_SQLITE_UPSERT = _sqlite_upsert()
_MYSQL_UPSERT = _mysql_upsert()
_STOP_OTHERS = (
    DAEMON_STATE.update()
    .where(DAEMON_STATE.c.DAEMON_ID.not_in(bindparam("members", expanding=True)), DAEMON_STATE.c.STATUS != "stopped")
    .values(STATUS="stopped")
)
_BY_NAME = DAEMON_STATE.select().order_by(DAEMON_STATE.c.DAEMON_ID)


@dataclass(frozen=True)
class DaemonState:
    """One member. `last_heartbeat_ms` is Unix ms; `config` is anything that JSON can hold, without secrets."""

    daemon_id: str
    roles: tuple[str, ...]
    last_heartbeat_ms: int
    status: str = "running"
    config: Mapping[str, Any] = field(default_factory=dict)


def role_text(roles: Iterable[str]) -> str:
    """ROLE as the first draft spells it: monitor (= feed + monitor), trader, both; else our names, comma separated."""
    known = {
        frozenset({"feed", "monitor"}): "monitor",
        frozenset({"trader"}): "trader",
        frozenset({"feed", "monitor", "trader"}): "both",
    }
    given = frozenset(roles)
    return known.get(given, ",".join(sorted(given)))


async def write_daemon_states(engine: AsyncEngine, members: Iterable[DaemonState]) -> None:
    """Insert or update a row a member; whoever is not named any more is `stopped`. One transaction.

    Raises Unreachable or SchemaMissing.
    """
    rows = [_row(member) for member in members]
    async with writing(engine, bounded=True) as connection:
        if rows:
            await connection.execute(_SQLITE_UPSERT if is_sqlite(connection) else _MYSQL_UPSERT, rows)
        await connection.execute(_STOP_OTHERS, {"members": [row["DAEMON_ID"] for row in rows]})


async def read_daemon_states(engine: AsyncEngine) -> list[DaemonState]:
    """Every row, by name. Roles come back as ROLE's text. Raises Unreachable or SchemaMissing."""
    async with reading(engine, bounded=True) as connection:
        rows = (await connection.execute(_BY_NAME)).mappings().all()
    return [
        DaemonState(
            daemon_id=row["DAEMON_ID"],
            roles=(row["ROLE"],),
            last_heartbeat_ms=_ms(row["LAST_HEARTBEAT"]),
            status=row["STATUS"],
            config=json.loads(row["CONFIG"] or "{}"),
        )
        for row in rows
    ]


def _row(member: DaemonState) -> dict[str, Any]:
    return {
        "DAEMON_ID": member.daemon_id,
        "ROLE": role_text(member.roles),
        "STATUS": member.status,
        "LAST_HEARTBEAT": datetime.fromtimestamp(member.last_heartbeat_ms // 1000, UTC).replace(tzinfo=None),
        "CONFIG": json.dumps(dict(member.config)),
    }


def _ms(moment: datetime | None) -> int:
    return 0 if moment is None else int(moment.replace(tzinfo=UTC).timestamp()) * 1000
