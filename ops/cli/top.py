"""`fleet top`: the fleet on a screen, fresh every second."""

from typing import TYPE_CHECKING

import typer

from ops.cli import session

if TYPE_CHECKING:
    from fleet.config import Settings
    from ops.top.terminal import Terminal


def top() -> None:
    """Members, pairs and books on a screen, every second anew. `?` shows the keys, `q` quits."""
    from ops.top.terminal import Terminal

    session.run(show(session.settings(), Terminal()))


async def show(known: "Settings", terminal: "Terminal") -> None:
    """Until q, Ctrl-C or SIGTERM."""
    import logging

    from books.loaded import LoadedBook
    from books.store import load_book
    from fleet.keys import Keys
    from fleet.pair import Pair
    from fleet.redis_connection import connect
    from ops.observer import Observer
    from ops.status import FleetStatus
    from ops.top.app import Top

    logging.disable()  # a log line would tear the screen; what matters is shown on it
    client = connect(known, name="fleet-top")
    observer: Observer | None = None

    async def fleet() -> Observer:
        # asked until it answers: `fleet top` may be started before its Redis
        nonlocal observer
        if observer is None:
            observer = Observer(client, Keys(known.namespace, await session.shards(client, known)))
        return observer

    async def read_status() -> FleetStatus:
        with session.redis_errors(known):
            return await (await fleet()).observe()

    async def read_book(pair: Pair) -> LoadedBook:
        with session.redis_errors(known):
            return await load_book(client, (await fleet()).keys, pair)

    try:
        await Top(terminal, read_status, read_book).run()
    finally:
        logging.disable(logging.NOTSET)
        await client.aclose()


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(top)
