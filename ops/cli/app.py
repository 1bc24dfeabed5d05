"""The table of commands."""

from typing import Annotated

import typer

from ops.cli import (
    bench,
    book,
    chaos,
    config,
    daemon,
    demo,
    doctor,
    drain,
    explain,
    init,
    rebalance,
    sim,
    status,
    tasks,
    top,
)

app = typer.Typer(
    name="fleet",
    help="Live order books of many venues in Redis, their history in ClickHouse, and trading on them.",
    epilog="Settings: FLEET_… in the environment, or a TOML file named by FLEET_CONFIG; see `fleet config show`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(version("fleet"))
        raise typer.Exit


@app.callback()
def _fleet(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version and end")
    ] = False,
) -> None:
    """Live order books of many venues in Redis, their history in ClickHouse, and trading on them."""


for module in (bench, init, daemon, demo, status, book, top, rebalance, drain, explain, doctor, sim, chaos):
    module.register(app)
app.add_typer(tasks.app, name="tasks")
app.add_typer(config.app, name="config")
