"""`fleet rebalance`: have the leader spread the load anew, or see what it would move."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fleet.errors import FleetError
from fleet.pair import parse_label
from ops.cli import output, session
from ops.cli.arguments import Json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleet.config import Settings
    from fleet.plan import Move
    from fleet.plan_store import PastMove

ANSWER_WITHIN_S = 15.0  # the command rides on a beat (1 s); a new leader may have to be elected first
LOOK_EVERY_S = 0.1


def rebalance(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would move; needs no leader")] = False,
    as_json: Json = False,
) -> None:
    """Balance the load now. Prints the planned moves; each pair moves without a gap."""
    known = session.settings()
    moves = session.run(_dry_run(known) if dry_run else _ask(known))
    if as_json:
        output.print_json({"moves": [move_json(move) for move in moves]})
    elif moves:
        _show(moves)
    else:
        output.note("nothing to move: the load is in balance")


async def _dry_run(known: "Settings") -> "list[Move | PastMove]":
    from fleet import sql
    from fleet.tasks import TaskStore
    from ops.planning import read_circumstances

    engine = sql.engine(known)
    try:
        tasks = await TaskStore(engine).fetch()
        async with session.fleet_session(known) as fleet:
            return [*(await read_circumstances(fleet.redis, fleet.keys, tasks)).plan().moves]
    finally:
        await engine.dispose()


async def _ask(known: "Settings") -> "list[Move | PastMove]":
    """Ask the leader, and again if another leads meanwhile, until a plan that was asked for stands."""
    from fleet.heartbeat import send_command
    from fleet.plan_store import read_moves, read_plan_head

    async with session.fleet_session(known) as fleet:
        before = await read_plan_head(fleet.redis, fleet.keys)
        asked = ""
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                while True:
                    held: Any = await fleet.redis.get(fleet.keys.leader())
                    leader = held.decode() if held else ""
                    if not leader and not asked:
                        raise FleetError("no daemon leads: nobody plans; start a daemon, or see `fleet status`")
                    if leader and leader != asked:
                        await send_command(fleet.redis, fleet.keys, leader.partition(" ")[2], "rebalance")
                        asked = leader
                    head = await read_plan_head(fleet.redis, fleet.keys)
                    if head and head.rebalanced and (before is None or head.rebalanced != before.rebalanced):
                        return [*reversed(await read_moves(fleet.redis, fleet.keys, revision=head.rebalanced))]
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            name = asked.partition(" ")[2]
            raise FleetError(
                f"{name} leads, and has written no plan within {ANSWER_WITHIN_S:g} s of being asked: is it of an older version, "
                "or without its tasks in SQL? See its log, `fleet status` and `fleet doctor`"
            ) from None


def move_json(move: "Move | PastMove") -> dict[str, Any]:
    """A move as commands print it."""
    return {**parse_label(move.label)._asdict(), "from": move.from_, "to": move.to, "why": move.why}


def _show(moves: "Iterable[Move | PastMove]") -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold dim")
    for name in ("PAIR", "FROM", "TO", "WHY"):
        table.add_column(name, no_wrap=name != "WHY", overflow="fold")
    for move in moves:
        table.add_row(" ".join(parse_label(move.label)), move.from_, move.to, move.why)
    output.show(table)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(rebalance)
