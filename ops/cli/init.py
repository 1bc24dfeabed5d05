"""`fleet init`: create the schemas that are configured."""

from typing import TYPE_CHECKING

import typer

from fleet.errors import ConfigError
from ops.cli import output, session

if TYPE_CHECKING:
    from fleet.config import Settings


def init() -> None:
    """Create the tables that are missing in SQL and in ClickHouse, where they are configured. Safe to repeat."""
    known = session.settings()
    if known.database_url is None and known.clickhouse_url is None:
        raise ConfigError("nothing to create: set FLEET_DATABASE_URL, FLEET_CLICKHOUSE_URL or both")
    session.run(_init(known))


async def _init(known: "Settings") -> None:
    if known.database_url is None:
        output.note("FLEET_DATABASE_URL is not set: no SQL tables were created, and there are no tasks")
    else:
        from fleet import sql
        from fleet.schema import METADATA, create_schema

        engine = sql.engine(known)
        try:
            await create_schema(engine)
        finally:
            await engine.dispose()
        output.line(f"{sql.place(engine)}: {', '.join(sorted(METADATA.tables))} are there")
    if known.clickhouse_url is None:
        output.note("FLEET_CLICKHOUSE_URL is not set: no tables of history were created")
    else:
        from monitor.clickhouse import create_schema as create_history

        tables = await create_history(known.clickhouse_url.get_secret_value())
        output.line(f"ClickHouse: {', '.join(sorted(tables))} are there")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(init)
