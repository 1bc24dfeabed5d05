"""PURE. FleetStatus as `fleet status` prints it: every member, every pair, nothing cut.

Where there is no room for all columns (a terminal), pairs lose those that `--json` and `fleet book` also have, and reasons
stand below the table, each once with the pairs it is of.
"""

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ops import shown
from ops.status import FleetStatus, PairStatus

GAP = 2  # columns between columns
PAIRS_NAMED = 8  # of one reason; the rest are counted


def render(status: FleetStatus, width: int | None = None) -> RenderableType:
    """A summary line, the members, the pairs; `width` in columns, None: as wide as it comes."""
    leader = f"leader {status.leader} (term {status.term})" if status.leader else "no leader"
    count = len(status.members)
    summary = (
        f"{count} {'member' if count == 1 else 'members'}, {status.live_pairs} of {len(status.pairs)} pairs live, "
        f"{shown.rate(status.rate)} messages/s, {leader}, {shown.clock_time(status.now_ms)}"
    )
    parts: list[RenderableType] = [Text(summary, style="bold")]
    if status.members:
        parts += [Text(), _members(status), *_deaf(status)]
    else:
        parts.append(Text("no daemon is running: start one with `fleet up` or `fleet daemon`", style="yellow"))
    if status.pairs:
        parts += [Text(), *_pairs(status, width)]
    elif status.members:
        parts.append(Text("no pairs: add some with `fleet tasks add VENUE MARKET PAIR`", style="yellow"))
    return Group(*parts)


def _table(*columns: tuple[str, bool]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold dim")
    for name, is_number in columns:
        table.add_column(name, justify="right" if is_number else "left", no_wrap=True, overflow="fold")
    return table


def _members(status: FleetStatus) -> Table:
    table = _table(
        ("MEMBER", False), ("ROLES", False), ("PAIRS", True), ("MSG/S", True), ("STALL", True), ("BEAT", True),
        ("VERSION", False),
    )  # fmt: skip
    for member in status.members:
        table.add_row(
            member.id + (" *" if member.id == status.leader else ""),
            ",".join(member.roles),
            str(member.pairs),
            f"{member.rate:.1f}",
            shown.age(member.loop_stall_ms),
            shown.age(member.beat_age_ms),
            member.version,
        )
    return table


def _deaf(status: FleetStatus) -> list[RenderableType]:
    return [Text(shown.deaf(member.id, member.deaf), style="bold red") for member in status.members if member.deaf]


_NUMBERS = ("AGE", "MSG/S", "GAPS", "RESYNCS", "SUMS", "SEAMS", "SEQUENCE", "EPOCH")
_ALL = ("PAIR", "STATUS", "AGE", "MSG/S", "GAPS", "RESYNCS", "SUMS", "SEAMS", "SEQUENCE", "EPOCH", "OWNER", "REASON")
# tried in this order
_LAYOUTS = (_ALL, _ALL[:-1], (*_ALL[:8], "OWNER"), (*_ALL[:7], "OWNER"), _ALL[:8], _ALL[:7], _ALL[:5], _ALL[:2])


def _pairs(status: FleetStatus, width: int | None) -> list[RenderableType]:
    rows = [_cells(pair) for pair in status.pairs]
    widths = {name: max(len(name), *(cell_len(row[name].plain) for row in rows)) for name in _ALL}
    fitting = [
        columns
        for columns in _LAYOUTS
        if width is None or sum(widths[name] for name in columns) + GAP * (len(columns) - 1) <= width
    ]
    columns = fitting[0] if fitting else _LAYOUTS[-1]
    table = _table(*((name, name in _NUMBERS) for name in columns))
    for row in rows:
        table.add_row(*(row[name] for name in columns))
    return [table] if "REASON" in columns else [table, *_reasons(status)]


def _cells(pair: PairStatus) -> dict[str, Text]:
    plain = {
        "PAIR": f"{pair.venue} {pair.market} {pair.pair}",
        "AGE": shown.age(pair.age_ms),
        "MSG/S": f"{pair.rate:.1f}",
        "GAPS": str(pair.gaps),
        "RESYNCS": str(pair.resyncs),
        "SUMS": str(pair.checksums),
        "SEAMS": str(pair.seams),
        "SEQUENCE": "-" if pair.sequence is None else str(pair.sequence),
        "EPOCH": shown.epoch(pair.epoch),
        "OWNER": pair.owner or "-",
        "REASON": pair.reason or "",
    }
    cells = {name: Text(text) for name, text in plain.items()}
    for name, count in (("GAPS", pair.gaps), ("RESYNCS", pair.resyncs), ("SUMS", pair.checksums)):
        cells[name].stylize("yellow" if count else "")
    return cells | {"STATUS": Text(pair.status, style=shown.status_style(pair.status))}


def _reasons(status: FleetStatus) -> list[RenderableType]:
    """Worst first; a blank line before them."""
    of: dict[str, list[PairStatus]] = {}
    for pair in sorted(status.pairs, key=lambda pair: (pair.trouble, pair.key)):
        if pair.reason:
            of.setdefault(pair.reason, []).append(pair)
    lines: list[RenderableType] = [Text()] if of else []
    for reason, pairs in of.items():
        names = ", ".join(f"{pair.venue} {pair.market} {pair.pair}" for pair in pairs[:PAIRS_NAMED])
        more = f" and {len(pairs) - PAIRS_NAMED} more" if len(pairs) > PAIRS_NAMED else ""
        lines.append(Text.assemble((f"{names}{more}: ", "bold"), (reason, shown.status_style(pairs[0].status))))
    return lines
