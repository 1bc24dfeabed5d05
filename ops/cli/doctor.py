"""`fleet doctor`: what is wrong here, and how to mend it."""

from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli import output, session
from ops.cli.arguments import Json

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ops.doctor import Check

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(
    venues: Annotated[bool, typer.Option("--venues", help="also reach for every venue's endpoints")] = False,
    as_json: Json = False,
) -> None:
    """Check every dependency, version, permission and setting that matters. Exit code 1 if any check fails."""
    from ops.doctor import Verdict, examine

    checks = session.run(examine(session.settings(), venues=venues))
    if as_json:
        import msgspec

        output.print_json(msgspec.to_builtins(checks))
    else:
        output.show(_table(checks))
    if any(check.status is Verdict.FAIL for check in checks):
        raise typer.Exit(1)


def _table(checks: "list[Check]") -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        words = Text(check.detail)
        if check.mend:
            words.append(f"\n→ {check.mend}", "bold")
        table.add_row(Text(check.status.value, _STYLES[check.status.value]), check.name, words)
    return table


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)
