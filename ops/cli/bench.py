"""`fleet bench`: measure."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.cli import output
from ops.cli.arguments import Json, one_of
from ops.cli.daemon import on_uvloop

if TYPE_CHECKING:
    from ops.bench.recovery_figures import MarketFigures

OPTIONS = {
    "ingest": {"pairs", "messages", "load_port", "redis"},
    "recovery": {"venues", "runs"},
    "plan": {"daemons", "planned_pairs"},
}
BENCHES = tuple(OPTIONS)


def bench(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="ingest, recovery or plan", show_default=False)
    ] = "ingest",
    venues: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[VENUE…]", help="recovery: such as binance, or binance:futures; default: all", show_default=False
        ),
    ] = None,
    as_json: Json = False,
    pairs: Annotated[
        int, typer.Option("--pairs", min=1, max=1000, metavar="N", help="ingest: pairs on one connection")
    ] = 20,
    messages: Annotated[int, typer.Option("--messages", min=10, metavar="M", help="ingest: messages a pair")] = 2000,
    load_port: Annotated[
        int | None,
        typer.Option("--load-port", metavar="P", help="ingest: use a load that runs there already", show_default=False),
    ] = None,
    redis: Annotated[
        str | None,
        typer.Option(
            "--redis", metavar="URL", help="ingest: use this Redis (its keys bench:… are deleted)", show_default=False
        ),
    ] = None,
    runs: Annotated[
        int, typer.Option("--runs", min=1, max=40, metavar="N", help="recovery: messages that are lost, one a pair")
    ] = 5,
    daemons: Annotated[int, typer.Option("--daemons", min=2, max=5000, metavar="N", help="plan: members")] = 1000,
    planned_pairs: Annotated[
        int, typer.Option("--planned-pairs", min=1, max=500_000, metavar="N", help="plan: wanted pairs")
    ] = 50_000,
) -> None:
    """Measure. Needs no server.

    ingest: messages a second, CPU a message, latency from the frame to Redis. recovery: how fast and how locally each
    simulated venue × market mends itself; exit code 1 if an invariant is violated. plan: how long the balanced plan of a
    large fleet takes, and how many pairs move when a daemon comes or goes.
    """
    from fleet import logs

    logs.set_up("warning", "text")
    one_of("bench", name, BENCHES)
    _only_its_own(context, name)
    if name == "recovery":
        raise typer.Exit(_recovery(_places(venues or []), runs, as_json=as_json))
    if name == "plan":
        from ops.bench.plan import plan

        _print(plan(daemons, planned_pairs), as_json=as_json)
        return
    raise typer.Exit(_ingest(pairs, messages, load_port, redis, as_json=as_json))


def _ingest(pairs: int, messages: int, load_port: int | None, redis: str | None, *, as_json: bool) -> int:
    """The exit code."""
    from ops.bench.ingest import ingest
    from ops.interruption import in_order

    figures: dict[str, Any] = {}

    async def measure(_: object) -> None:
        figures.update(await ingest(pairs, messages, load_port, redis))

    if broken_off := on_uvloop(in_order(measure, output.note)):
        return broken_off
    _print(figures, as_json=as_json)
    return 0


def _print(figures: dict[str, Any], *, as_json: bool) -> None:
    figures["machine"] = machine()
    if as_json:
        output.print_json(figures)
        return
    width = max(map(len, figures))
    for key, value in figures.items():
        output.line(f"{key:{width}} {value}")


def _recovery(places: list[tuple[str, str]], runs: int, *, as_json: bool) -> int:
    """The exit code."""
    from ops.bench.recovery import RATE, recovery
    from ops.bench.recovery_figures import report
    from ops.bench.recovery_table import render
    from ops.interruption import in_order

    measured: list[MarketFigures] = []

    async def measure(_: object) -> None:
        measured.extend(await recovery(places, runs, _tell))

    if broken_off := on_uvloop(in_order(measure, output.note)):
        return broken_off
    if as_json:
        output.print_json({**report(runs, RATE, measured), "machine": machine()})
    else:
        output.show(render(runs, RATE, measured))
        output.line(machine())
    return 1 if any(seen.violations for seen in measured) else 0


def _tell(seen: "MarketFigures") -> None:
    """Somebody waits: all of them take minutes."""
    output.note(f"{seen.venue} {seen.market}: {'; '.join(seen.violations) or 'done'}")


def _only_its_own(context: typer.Context, name: str) -> None:
    """Raises ConfigError for an argument of another bench: it would be without effect in silence."""
    from fleet.errors import ConfigError

    for other, options in OPTIONS.items():
        for option in options if other != name else ():
            source = context.get_parameter_source(option)
            if source is not None and source.name == "COMMANDLINE":
                spelled = "VENUE" if option == "venues" else f"--{option.replace('_', '-')}"
                raise ConfigError(f"{spelled} is for `fleet bench {other}`, not for {name}")


def _places(names: list[str]) -> list[tuple[str, str]]:
    """The venue × markets meant by VENUE or VENUE:MARKET; all when there are none. Raises ConfigError."""
    from ops.simulator.registry import VENUE_MARKETS

    known = {name for place in VENUE_MARKETS for name in (place[0], ":".join(place))}
    for name in names:
        one_of("simulated venue", name, known)
    return [place for place in VENUE_MARKETS if not names or {place[0], ":".join(place)} & set(names)]


def machine() -> str:
    """Cores, system and Python, so that figures are not compared across machines unawares."""
    import os
    import platform

    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(bench)
