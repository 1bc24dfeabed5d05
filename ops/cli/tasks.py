"""`fleet tasks`: what the fleet is asked to do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fleet.errors import ConfigError, FleetError
from fleet.pair import CHANNELS, DEPTHS
from ops.cli import output, session
from ops.cli.arguments import Json, Market, Pairs, Venue, known_pair, one_of

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from fleet.config import Settings
    from fleet.tasks import Task, TaskSet, TaskStore

app = typer.Typer(help="Add, list and remove tasks; daemons take them up within seconds.", no_args_is_help=True)

Depth = Annotated[str | None, typer.Option("--depth", metavar="|".join(DEPTHS), help="default 50; with a strategy 20")]
Priority = Annotated[int, typer.Option("--priority", metavar="N", help="higher is placed first; 0 or less: not served")]
Channels = Annotated[
    str | None, typer.Option("--channels", metavar="LIST", help=f"comma separated of {', '.join(CHANNELS)}")
]
Strategy = Annotated[str | None, typer.Option("--strategy", metavar="ID", help="trade the pair with this strategy")]
Params = Annotated[str | None, typer.Option("--params", metavar="JSON", help="the strategy's parameters")]
Account = Annotated[str | None, typer.Option("--account", metavar="A", help="whose money; default: paper")]
Mode = Annotated[
    str | None,
    typer.Option("--mode", metavar="paper|live", help="live is refused by the trader in this version; default: paper"),
]
TableName = Annotated[
    str | None, typer.Option("--table", metavar="monitoring|trade", help="only tasks of this table; default: both")
]


@app.command()
def add(
    venue: Venue,
    market: Market,
    pairs: Pairs,
    depth: Depth = None,
    priority: Priority = 1,
    channels: Channels = None,
    strategy: Strategy = None,
    params: Params = None,
    account: Account = None,
    mode: Mode = None,
    as_json: Json = False,
) -> None:
    """Ask for pairs of one venue's market, all or none. What is there already is not added again."""
    from fleet.tasks import Task
    from fleet.tasks.model import parse_channels, parse_depth, parse_params

    asked = [known_pair(venue, market, pair) for pair in pairs]
    if strategy is not None and channels is not None:
        raise ConfigError("--channels is of tasks without a strategy (the table TRADE has no channels): add two tasks")
    fields: dict[str, Any] = {
        "table": "MONITORING" if strategy is None else "TRADE",
        "depth": "" if depth is None else parse_depth(depth),
        "priority": priority,
        "channels": parse_channels(channels),
        "strategy": strategy or "",
        "params": parse_params(params),
        "account": account or "",
        "mode": mode or "",
    }
    tasks = [Task(pair=pair, **fields) for pair in asked]
    _check_strategy(tasks[0])
    if mode == "live":
        output.note("live trading comes with a later version: the task is kept, and refused by the trader until then")
    _add(tasks, as_json)


def _add(tasks: "list[Task]", as_json: bool) -> None:
    known = session.settings()
    added = session.run(_store(known, tasks))
    for note in [] if as_json else _notes(known, tasks):
        output.note(note)
    _print(added, as_json)


def _notes(known: "Settings", tasks: "list[Task]") -> list[str]:
    """What the venues cannot give of what the tasks ask: no mistake, the tasks are kept, but people want to know at once."""
    from feeds import venues
    from feeds.pool import off_because

    notes: dict[str, None] = {}
    for task in tasks:
        venue = venues.find(task.pair.venue, task.pair.market)
        shortfall = venue.book_channel(task.depth).shortfall
        if off := off_because(venue, known.endpoint(venue.name, venue.market)):
            notes[f"{off} (until then its tasks are kept, and not served)"] = None
        elif shortfall and "book" in task.channels:
            notes[f"{venue.name} {venue.market}, depth {task.depth}: {shortfall}"] = None
        if "book" not in task.channels:
            channels = ", ".join(sorted(task.channels))
            notes[f"{task.pair.label}: {channels} without book: no book is kept, so it is never live"] = None
    return list(notes)


def _check_strategy(task: "Task") -> None:
    """Raises ConfigError for a strategy that there is not, or parameters that it does not take."""
    if task.strategy:
        from trader import strategies

        strategies.build(task.strategy, task.params)


async def _store(known: "Settings", tasks: "list[Task]") -> "list[Task]":
    async with _open(known) as store:
        return await store.add(tasks)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Every task, also those that are off. Rows that cannot be right are named on stderr."""
    found = session.run(_all(session.settings()))
    _print(list(found.tasks), as_json)
    for problem in found.problems:
        output.note(str(problem))


async def _all(known: "Settings") -> "TaskSet":
    async with _open(known) as store:
        return await store.all()


@app.command()
def remove(venue: Venue, market: Market, pairs: Pairs, table: TableName = None) -> None:
    """Remove every task of the pairs (of one table with --table). Their books end within seconds."""
    asked = [known_pair(venue, market, pair) for pair in pairs]
    tables = _tables(table)
    removed = session.run(_remove(session.settings(), asked, tables))
    if not removed:
        names = ", ".join(pair.pair for pair in asked)
        raise FleetError(f"no task of {asked[0].venue} {asked[0].market} {names} to remove; see `fleet tasks list`")
    output.line(f"removed {removed} {'task' if removed == 1 else 'tasks'}")


def _tables(name: str | None) -> tuple[Any, ...]:
    from fleet.tasks.model import TABLES

    if name is None:
        return TABLES
    return (one_of("table", name.lower(), [table.lower() for table in TABLES]).upper(),)


async def _remove(known: "Settings", pairs: list[Any], tables: tuple[Any, ...]) -> int:
    async with _open(known) as store:
        return sum([await store.remove_pair(pair, tables) for pair in pairs])


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=".csv with a header, or JSON lines", show_default=False)],
    as_json: Json = False,
) -> None:
    """Add the tasks of a file, all or none."""
    from fleet.tasks import read_tasks

    tasks = read_tasks(file)
    for task in tasks:
        try:
            known_pair(*task.pair)
            _check_strategy(task)
        except ConfigError as error:
            raise ConfigError(f"{file}: {task.pair.label}: {error}") from None
    if not tasks:
        raise ConfigError(f"{file}: no tasks in it")
    _add(tasks, as_json)


@asynccontextmanager
async def _open(known: "Settings") -> "AsyncIterator[TaskStore]":
    from fleet import sql
    from fleet.tasks import TaskStore

    engine = sql.engine(known)
    try:
        yield TaskStore(engine)
    finally:
        await engine.dispose()


def _print(tasks: "list[Task]", as_json: bool) -> None:
    if as_json:
        output.print_json([task.as_json() for task in tasks])
    elif tasks:
        output.show(_table(tasks))
    else:
        output.note("no tasks; add some with `fleet tasks add VENUE MARKET PAIR`")


def _table(tasks: "list[Task]") -> "RichTable":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold dim")
    for name in ("TABLE", "ID", "PAIR", "DEPTH", "CHANNELS", "PRIORITY", "ENABLED", "STRATEGY", "ACCOUNT", "MODE"):
        table.add_column(name, no_wrap=True, overflow="fold", justify="right" if name in {"ID", "PRIORITY"} else "left")
    for task in tasks:
        table.add_row(
            task.table,
            str(task.id),
            f"{task.pair.venue} {task.pair.market} {task.pair.pair}",
            task.depth,
            ",".join(sorted(task.channels)),
            str(task.priority),
            "yes" if task.enabled else "no",
            task.strategy or "-",
            task.account or "-",
            task.mode or "-",
        )
    return table
