"""`fleet demo`: the whole system on this machine, on simulated venues."""

from typing import Annotated

import typer

from ops.cli import output
from ops.cli.daemon import on_uvloop

WITHOUT_SCREEN_S = 20.0


def demo(
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=1.0, max=86_400.0, metavar="S", help="without a screen, S seconds")
    ] = None,
) -> None:
    """Everything on this machine: embedded Redis and ClickHouse, every venue simulated, two daemons, two paper grids.

    Shows `fleet top`; q ends it. The last line is JSON; exit 1 unless every pair was live and history equals the stream.
    """
    from fleet import logs
    from fleet.errors import ConfigError
    from ops.demo import demo as run_demo
    from ops.top.terminal import Terminal

    logs.set_up("warning", "text")
    terminal = None
    if seconds is None:
        try:
            terminal = Terminal()
        except ConfigError:
            seconds = WITHOUT_SCREEN_S
            output.note(f"no terminal to draw on: the demo runs {seconds:.0f} s without a screen (--seconds S)")
    raise typer.Exit(on_uvloop(run_demo(seconds, terminal)))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)
