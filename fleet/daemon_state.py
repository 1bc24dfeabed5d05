"""DAEMON_STATE: the members of the fleet, mirrored to SQL by the leader, for people and for the first draft's tools."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from fleet.schema import DAEMON_STATE
from fleet.sql import is_sqlite, reading, writing


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
        for row in rows:
            changes = {name: value for name, value in row.items() if name != "DAEMON_ID"}
            if is_sqlite(connection):
                insert = sqlite.insert(DAEMON_STATE).values(row)
                await connection.execute(insert.on_conflict_do_update(index_elements=["DAEMON_ID"], set_=changes))
            else:
                await connection.execute(mysql.insert(DAEMON_STATE).values(row).on_duplicate_key_update(changes))
        gone = DAEMON_STATE.c.DAEMON_ID.not_in([row["DAEMON_ID"] for row in rows])
        await connection.execute(
            DAEMON_STATE.update().where(gone, DAEMON_STATE.c.STATUS != "stopped").values(STATUS="stopped")
        )


async def read_daemon_states(engine: AsyncEngine) -> list[DaemonState]:
    """Every row, by name. Roles come back as ROLE's text. Raises Unreachable or SchemaMissing."""
    async with reading(engine, bounded=True) as connection:
        rows = (await connection.execute(DAEMON_STATE.select().order_by(DAEMON_STATE.c.DAEMON_ID))).mappings().all()
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
