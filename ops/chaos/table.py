"""PURE. The figures of chaos runs for people."""

from typing import Any

from rich.table import Table


def render(found: dict[str, Any]) -> Table:
    """The worst figures of all runs beside their limits: ops.chaos.result.report."""
    table = Table(title=f"{found['name']}: {found['runs']} × {found['scale']}", title_justify="left", box=None)
    table.add_column("figure")
    table.add_column("worst", justify="right")
    table.add_column("limit", justify="right")
    table.add_column("")
    for name, value in found["worst"].items():
        limit = found["limits"].get(name)
        held = "" if limit is None else ("[green]holds[/]" if value <= limit else "[red]exceeded[/]")
        table.add_row(name, f"{value:g}", "" if limit is None else f"{limit:g}", held)
    return table
