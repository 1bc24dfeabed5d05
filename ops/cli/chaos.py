"""`fleet chaos`: hurt a fleet of real processes and see what it makes of it."""

from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli import output
from ops.cli.arguments import Json, one_of
from ops.cli.daemon import on_uvloop

if TYPE_CHECKING:
    from ops.chaos.result import Result
    from ops.chaos.scale import Scale

LIST, ALL, CHECK = "list", "all", "check"


def chaos(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="a scenario; `all`; `list` to see them; `check`", show_default=False)
    ],
    folder: Annotated[
        str | None, typer.Argument(metavar="[DIR]", help="check: the kept folder of a run", show_default=False)
    ] = None,
    as_json: Json = False,
    scale: Annotated[
        str | None,
        typer.Option("--scale", metavar="SCALE", help="small or full (default: FLEET_CHAOS_SCALE, else small)"),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, metavar="N", help="of the first run; the next count up")] = 1,
    runs: Annotated[int, typer.Option("--runs", min=1, max=1000, metavar="N", help="how often; the worst counts")] = 1,
    keep: Annotated[
        bool, typer.Option("--keep", help="keep the folder of each run: logs, evidence, recorded streams")
    ] = False,
) -> None:
    """Hurt a fleet of real processes on simulated venues and see whether it holds what it promises. Needs no server.

    Everything runs on loopback and ends with the command. Exit code 0 only when nothing forbidden happened and every
    figure was within its limit in every run.
    """
    from fleet import logs
    from fleet.errors import ConfigError
    from ops.chaos import registry
    from ops.embedded.errors import ServerMissingError

    logs.set_up("warning", "text")
    if (name == CHECK) != (folder is not None):
        raise ConfigError(f"`fleet chaos {name}` takes {'the folder of a kept run' if folder is None else 'no DIR'}")
    if folder is not None:
        raise typer.Exit(_check(folder, as_json=as_json))
    if name == LIST:
        _list(as_json=as_json)
        return
    one_of("chaos scenario", name, [*registry.SCENARIOS, ALL, LIST, CHECK])
    chosen, worst = _scale(scale, keep=keep), 0
    for one in registry.SCENARIOS if name == ALL else [name]:
        try:
            code = _run(one, chosen, seed, runs, as_json=as_json)
        except ServerMissingError as missing:
            if name != ALL:
                raise
            output.note(f"{one}: left out, {missing}")
            continue
        if code > 1:
            raise typer.Exit(code)
        worst = max(worst, code)
    raise typer.Exit(worst)


def _list(*, as_json: bool) -> None:
    from ops.chaos.registry import SCENARIOS

    if as_json:
        output.print_json([{"name": one.name, "fault": one.fault, "says": one.says} for one in SCENARIOS.values()])
        return
    for one in SCENARIOS.values():
        output.line(f"{one.name:24} {one.says}")


def _check(folder: str, *, as_json: bool) -> int:
    """The exit code: 0 for a history without a breach."""
    from pathlib import Path

    from fleet.errors import ConfigError
    from ops.chaos.records import check_folder, is_folder_of_a_run

    if not is_folder_of_a_run(Path(folder)):
        raise ConfigError(f"{folder}: expected the folder of a run, kept by `fleet chaos NAME --keep`")
    report = check_folder(Path(folder))
    violations = [str(violation) for violation in report.violations]
    if as_json:
        output.print_json(
            {"folder": folder, "sound": report.sound, "figures": dict(report.figures), "violations": violations}
        )
    else:
        for name, value in report.figures.items():
            output.line(f"{name:24} {value:g}")
        for text in violations:
            output.line(f"violated: {text}")
    return 0 if report.sound else 1


def _scale(name: str | None, *, keep: bool) -> "Scale":
    import msgspec

    from fleet.config import environment
    from ops.chaos.scale import SMALL, scale_named

    chosen = scale_named(name or environment().get("FLEET_CHAOS_SCALE") or SMALL.name)
    return msgspec.structs.replace(chosen, keep=keep)


def _run(name: str, scale: "Scale", seed: int, runs: int, *, as_json: bool) -> int:
    """The exit code."""
    from ops.chaos import registry
    from ops.chaos.result import report
    from ops.chaos.table import render
    from ops.interruption import in_order

    results: list[Result] = []

    async def act(_: object) -> None:
        for one in range(seed, seed + runs):
            results.append(await registry.find(name).act(scale, one))
            _tell(results[-1])

    if broken_off := on_uvloop(in_order(act, output.note)):
        return broken_off
    found = report(results)
    if as_json:
        output.print_json(found)
    else:
        output.show(render(found))
        for text in found["violations"]:
            output.line(f"violated: {text}")
    return 0 if found["passed"] else 1


def _tell(result: "Result") -> None:
    """Somebody waits: runs take minutes."""
    output.note(f"{result.name}, seed {result.seed}: {'holds' if result.passed else 'DOES NOT HOLD'}")
    if result.folder:
        output.note(f"its folder: {result.folder}")
    if result.last_words:
        output.note(result.last_words)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(chaos)
