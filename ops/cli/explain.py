"""`fleet explain`: why a pair is where it is, and what last happened to it."""

from typing import TYPE_CHECKING

import typer

from fleet.errors import NotFound
from fleet.pair import Pair
from ops.cli import output, session
from ops.cli.arguments import Json, Market, PairText, Venue, known_pair

if TYPE_CHECKING:
    from fleet.config import Settings
    from ops.explanation import Explanation


def explain(venue: Venue, market: Market, pair: PairText, as_json: Json = False) -> None:
    """Why a pair is served where it is, or not at all. Exit code 3 if nobody has anything to do with it."""
    asked = known_pair(venue, market, pair)
    found = session.run(_explain(session.settings(), asked))
    if as_json:
        output.print_json(found.to_json())
    if not found.known:
        raise NotFound(f"{' '.join(asked)}: no task asks for it, and nobody serves it; see `fleet tasks add --help`")
    if not as_json:
        from ops import explanation_text

        output.show(explanation_text.render(found))


async def _explain(known: "Settings", pair: Pair) -> "Explanation":
    from fleet import sql
    from fleet.tasks import TaskStore
    from ops.explainer import explain_pair

    engine = sql.engine(known)
    try:
        tasks = await TaskStore(engine).all()
        async with session.fleet_session(known) as fleet:
            return await explain_pair(fleet.redis, fleet.keys, tasks, pair)
    finally:
        await engine.dispose()


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(explain)
