"""`fleet demo`: the whole system on this machine, on simulated venues."""

from typing import Annotated

import typer

from ops.cli.daemon import on_uvloop


def demo(
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=1.0, max=86_400.0, metavar="S", help="without a screen, S seconds")
    ] = None,
) -> None:
    """Everything on this machine: embedded Redis and ClickHouse, simulated Binance and OKX, two daemons, two paper grids.

    Shows `fleet top`; q ends it. The last line is JSON; exit 1 unless every pair was live and history equals the stream.
    """
    import sys

    from fleet import logs
    from ops.demo import demo as run_demo

    logs.set_up("warning", "text")
    if seconds is None and not sys.stdout.isatty():
        seconds = 20.0
    raise typer.Exit(on_uvloop(run_demo(seconds)))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)
