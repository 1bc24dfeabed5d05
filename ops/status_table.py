"""PURE. FleetStatus as `fleet status` prints it: every member, every pair, nothing cut."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ops import shown
from ops.status import FleetStatus


def render(status: FleetStatus) -> RenderableType:
    """A summary line, the members, the pairs."""
    leader = f"leader {status.leader} (term {status.term})" if status.leader else "no leader"
    count = len(status.members)
    summary = (
        f"{count} {'member' if count == 1 else 'members'}, {status.live_pairs} of {len(status.pairs)} pairs live, "
        f"{shown.rate(status.rate)} messages/s, {leader}, {shown.clock_time(status.now_ms)}"
    )
    parts: list[RenderableType] = [Text(summary, style="bold")]
    if status.members:
        parts += [Text(), _members(status)]
    else:
        parts.append(Text("no daemon is running: start one with `fleet up` or `fleet daemon`", style="yellow"))
    if status.pairs:
        parts += [Text(), _pairs(status)]
    elif status.members:
        parts.append(Text("no pairs: add some with `fleet tasks add VENUE MARKET PAIR`", style="yellow"))
    return Group(*parts)


def _table(*columns: tuple[str, bool]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold dim")
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


def _pairs(status: FleetStatus) -> Table:
    table = _table(
        ("PAIR", False), ("STATUS", False), ("AGE", True), ("MSG/S", True), ("GAPS", True), ("SEQUENCE", True),
        ("EPOCH", True), ("OWNER", False), ("REASON", False),
    )  # fmt: skip
    for pair in status.pairs:
        table.add_row(
            f"{pair.venue} {pair.market} {pair.pair}",
            Text(pair.status, style=shown.status_style(pair.status)),
            shown.age(pair.age_ms),
            f"{pair.rate:.1f}",
            str(pair.gaps),
            "-" if pair.sequence is None else str(pair.sequence),
            shown.epoch(pair.epoch),
            pair.owner or "-",
            pair.reason or "",
        )
    return table
