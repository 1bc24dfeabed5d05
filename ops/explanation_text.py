"""PURE. An Explanation as `fleet explain` prints it: why, then the order with each member, then what last happened."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ops import shown
from ops.explanation import Explanation

RANKS = ("planned owner", "first heir", "second heir")


def render(found: Explanation) -> RenderableType:
    """Everything, for people."""
    age = "" if found.age_ms is None else f", proved fresh {found.age_ms / 1000:.1f} s ago"
    parts: list[RenderableType] = [Text(f"{' '.join(found.key)}: {found.status}{age}", style="bold")]
    parts += [Text(f"  {line}") for line in found.why()]
    if found.tasks:
        parts += [Text(), Text("Asked for by", style="bold")]
        parts += [
            Text(
                f"  {task.table} row {task.id}: depth {task.depth}, priority {task.priority}"
                + (f", strategy {task.strategy}" if task.strategy else "")
                + ("" if task.enabled else ", not enabled")
            )
            for task in found.tasks
        ]
    if found.candidates:
        parts += [Text(), _candidates(found)]
    if found.plan is not None and found.plan_ms is not None:
        parts += [Text(), Text(f"Plan {found.plan}, {_ago(found, found.plan_ms)}: {found.plan_why}")]
    if found.moves:
        parts += [Text(), Text("Last planned moves", style="bold")]
        parts += [Text(f"  {_ago(found, move.at_ms)}: {move.from_} → {move.to}: {move.why}") for move in found.moves]
    if found.resets:
        parts += [Text(), Text("Last resets", style="bold")]
        parts += [Text(f"  {_ago(found, one.at_ms)}: {one.reason} (token {one.epoch})") for one in found.resets]
    return Group(*parts)


def _candidates(found: Explanation) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold dim")
    for name in ("MEMBER", "ORDER", "IT", "PAIRS", "LOAD/s", "ROLE", "STATE", "SEAMS", "REASON"):
        is_number = name in {"PAIRS", "LOAD/s", "SEAMS"}
        table.add_column(name, no_wrap=name != "REASON", justify="right" if is_number else "left")
    for one in found.candidates:
        table.add_row(
            one.id,
            "–" if one.rank is None else RANKS[one.rank],
            one.condition,
            f"{one.pairs} of {one.capacity}",
            shown.rate(one.load),
            ("owner" if one.id == found.owner else one.role) or "–",
            one.state or "–",
            "–" if one.seams is None else str(one.seams),
            one.reason or "",
        )
    return table


def _ago(found: Explanation, at_ms: int) -> str:
    seconds = max(0, found.now_ms - at_ms) // 1000
    if seconds < 120:
        return f"{seconds} s ago"
    return f"{seconds // 60} min ago" if seconds < 7200 else f"{seconds // 3600} h ago"
