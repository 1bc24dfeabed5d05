"""`fleet bench`: measure."""

from typing import Annotated, Any

import typer

from ops.cli import output
from ops.cli.arguments import Json
from ops.cli.daemon import on_uvloop

BENCHES = ("ingest",)


def bench(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="ingest", show_default=False)] = "ingest",
    as_json: Json = False,
    pairs: Annotated[int, typer.Option("--pairs", min=1, max=1000, metavar="N", help="pairs on one connection")] = 20,
    messages: Annotated[int, typer.Option("--messages", min=10, metavar="M", help="messages a pair")] = 2000,
    load_port: Annotated[
        int | None,
        typer.Option("--load-port", metavar="P", help="use a load that runs there already", show_default=False),
    ] = None,
    redis: Annotated[
        str | None,
        typer.Option(
            "--redis", metavar="URL", help="use this Redis (its keys bench:… are deleted)", show_default=False
        ),
    ] = None,
) -> None:
    """Measure: messages a second, CPU a message, latency from the frame to Redis. Needs no server."""
    from fleet import logs
    from ops.bench.ingest import ingest
    from ops.cli.arguments import one_of

    logs.set_up("warning", "text")
    one_of("bench", name, BENCHES)
    figures: dict[str, Any] = {}

    async def measure() -> int:
        figures.update(await ingest(pairs, messages, load_port, redis))
        return 0

    on_uvloop(measure())
    figures["machine"] = machine()
    if as_json:
        output.print_json(figures)
        return
    for key, value in figures.items():
        output.line(f"{key:20} {value}")


def machine() -> str:
    """Cores, system and Python, so that figures are not compared across machines unawares."""
    import os
    import platform

    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(bench)
