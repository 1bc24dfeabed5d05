"""`fleet config`: which settings are in force, and whether they can be right."""

from typing import TYPE_CHECKING

import typer

from ops.cli import output
from ops.cli.arguments import Json

if TYPE_CHECKING:
    from fleet.config import Settings

app = typer.Typer(help="Show or check the settings; passwords and tokens are never shown.", no_args_is_help=True)


@app.command()
def show(as_json: Json = False) -> None:
    """Every setting in force: file, then environment, over the defaults."""
    from fleet import config

    known = config.load()
    if as_json:
        output.print_json(known.redacted())
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold dim")
    for name in ("SETTING", "VALUE", "MEANING"):
        table.add_column(name, overflow="fold")
    defaults = {name: field.get_default(call_default_factory=True) for name, field in type(known).model_fields.items()}
    for name, value in known.redacted().items():
        changed = getattr(known, name) != defaults[name]
        meaning = type(known).model_fields[name].description or ""
        table.add_row(
            f"{config.PREFIX}{name.upper()}", f"[bold]{_text(value)}[/]" if changed else _text(value), meaning
        )
    output.show(table)


@app.command()
def check() -> None:
    """Whether the settings can be right; the servers they name are not asked (`fleet doctor` does)."""
    from fleet import config

    known = config.load()
    from fleet import redis_connection, sql

    redis_connection.connect(known)  # nothing is sent before its first command
    if known.database_url is not None:
        sql.engine(known)
    if known.clickhouse_url is not None:
        from monitor.clickhouse import ClickHouse

        ClickHouse(known.clickhouse_url.get_secret_value())
    _check_venues(known)
    output.line("the settings can be right; `fleet doctor` asks the servers")


def _check_venues(known: "Settings") -> None:
    from feeds import venues

    for venue, markets in known.venues.items():
        for market in markets.model_fields_set:
            venues.find(venue, market)


def _text(value: object) -> str:
    from rich.markup import escape

    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return escape(",".join(str(part) for part in value))
    if isinstance(value, dict):
        given = [
            f"{venue}.{market}.{name}={_text(one)}"
            for venue, markets in value.items()
            for market, endpoint in markets.items()
            for name, one in endpoint.items()
            if one is not None
        ]
        return ", ".join(given) or "-"
    return escape(str(value))
