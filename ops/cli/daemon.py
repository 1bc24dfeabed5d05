"""`fleet daemon` and `fleet up`: run one daemon in the foreground, or N watched ones."""

from collections.abc import Coroutine
from typing import Annotated, Any

import typer

from ops.cli import session


def daemon() -> None:
    """Run one daemon in the foreground. SIGTERM: hand over, flush, exit 0; a second one exits at once."""
    from ops.daemon import daemon as run_daemon

    raise typer.Exit(on_uvloop(run_daemon(session.settings())))


def up(
    count: Annotated[int, typer.Option("-n", "--daemons", min=1, max=64, metavar="N", help="how many daemons")] = 1,
) -> None:
    """Run N daemons on this host and watch them: one that ends is started again. SIGTERM stops all in order."""
    from ops.up import up as run_up

    raise typer.Exit(on_uvloop(run_up(session.settings(), count)))


def on_uvloop(work: Coroutine[Any, Any, int]) -> int:
    """Run a long-lived process: on the faster event loop where there is one, with collections rarer than for a script, and with
    large blocks of memory given back when they are freed."""
    import asyncio
    import gc
    import sys

    from ops.allocator import return_large_blocks

    return_large_blocks()
    # Events live for milliseconds and form no cycles: looking for cycles every 700 allocations is 3 % of a feed's CPU.
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    if sys.platform == "win32":
        return asyncio.run(work)
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(daemon)
    app.command()(up)
