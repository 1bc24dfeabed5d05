"""`fleet status`: who leads, who lives, who owns what."""

from typing import TYPE_CHECKING

import typer

from ops.cli import output, session
from ops.cli.arguments import Json

if TYPE_CHECKING:
    from rich.console import RenderableType

    from fleet.config import Settings
    from ops.status import FleetStatus


def status(as_json: Json = False) -> None:
    """Members and pairs of the fleet, as of now."""
    known = session.settings()
    found = session.run(_observe(known))
    if as_json:
        output.print_json(found.to_json())
    else:
        output.show(_table(found))


async def _observe(known: "Settings") -> "FleetStatus":
    from ops.observer import Observer

    async with session.fleet_session(known) as fleet:
        return await Observer(fleet.redis, fleet.keys).observe()


def _table(found: "FleetStatus") -> "RenderableType":
    from ops import status_table

    return status_table.render(found, output.console().width)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)
