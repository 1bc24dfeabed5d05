"""PURE. State → what is drawn: exactly `height` lines of `width` columns, made for 80×24 and better when there is more."""

from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ops import ladder, shown
from ops.status import FleetStatus, MemberStatus, PairStatus
from ops.top.controls import CONTROLS, footer
from ops.top.state import Screen, State

WIDE = 110  # columns from which owners are spelled out and numbers are not cut
_MEMBERS_SHARE = 4  # at most a quarter of the screen is members, when pairs are shown
_LADDER_FRAME = 6  # lines of a ladder that are not levels: heading 3, spread, column heads, blank


def view(state: State, width: int, height: int) -> RenderableType:
    """The whole screen."""
    layout = Layout()
    body = height - 2
    layout.split_column(
        Layout(_header(state, width), size=1), Layout(_body(state, width, body)), Layout(_footer(state), size=1)
    )
    return layout


def _body(state: State, width: int, height: int) -> RenderableType:
    if state.screen is Screen.HELP:
        return _help()
    if state.error is not None:
        return error_page(state.error, state.status)
    if state.screen is Screen.BOOK:
        return _book(state, width, height)
    if state.status is None:
        return Padding(Text("reading …", style="dim"), (1, 1))
    if state.screen is Screen.MEMBERS:
        return _members(state.status, height - 1, width)
    return _overview(state, state.status, width, height)


def _line(*parts: tuple[str, str]) -> Text:
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def _header(state: State, width: int) -> RenderableType:
    status = state.status
    if status is None:
        return _line(("fleet top", "bold"))
    well = status.live_pairs == len(status.pairs)
    left = _line(
        ("fleet ", "bold"),
        (f" {len(status.members)} {'member' if len(status.members) == 1 else 'members'} ", ""),
        (f" {status.live_pairs} of {len(status.pairs)} pairs live ", "green" if well else "bold yellow"),
        (f" {shown.rate(status.rate)} msg/s", ""),
    )
    in_book = state.screen is Screen.BOOK and state.book is not None
    now_ms = state.book.now_ms if in_book and state.book else status.now_ms
    leader = "" if status.leader else "no leader  "
    if width >= WIDE and status.leader:
        leader = f"leader {shown.member(status.leader)}, term {status.term}  "
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(no_wrap=True, ratio=1)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_row(left, _line((leader, "dim" if status.leader else "yellow"), (shown.clock_time(now_ms), "")))
    return grid


def _footer(state: State) -> RenderableType:
    line = Text(no_wrap=True, overflow="ellipsis")
    if state.typing:
        line.append(f"filter: {state.filter}▏  ", "bold")
    for text in footer(state):
        key, _, words = text.partition(" ")
        line.append(key, "bold cyan")
        line.append(f" {words}  ")
    return line


def _table() -> Table:
    return Table(box=None, expand=True, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold dim")


def _overview(state: State, status: FleetStatus, width: int, height: int) -> RenderableType:
    member_rows = max(2, height // _MEMBERS_SHARE - 1)
    members = _members(status, member_rows, width)
    used = 1 + min(len(status.members) or 1, member_rows)
    # between the tables a blank line, below the pairs a line for what is selected
    pair_rows = max(1, height - used - 1 - 1 - 1)
    visible = state.visible()
    if not visible:
        return Group(members, Text(), _no_pairs(state, status))
    selected = state.position(visible)
    first = max(0, min(selected - pair_rows // 2, len(visible) - pair_rows))
    window = visible[first : first + pair_rows]
    numbers = {member.id: number for number, member in enumerate(status.members, 1)}
    return Group(
        members,
        Text(),
        _pairs(state, window, selected - first, numbers, width),
        *(Text() for _ in range(pair_rows - len(window))),
        _selected_line(state, visible[selected], selected + 1, len(visible)),
    )


def _no_pairs(state: State, status: FleetStatus) -> RenderableType:
    if status.pairs:
        return _line((f"no pair has “{state.filter}”; esc drops the filter", "yellow"))
    if status.members:
        return _line(("no pairs: add some with `fleet tasks add VENUE MARKET PAIR`", "yellow"))
    return _line(("no daemon is running: start one with `fleet up`", "yellow"))


def _members(status: FleetStatus, rows: int, width: int) -> Table:
    table = _table()
    table.add_column("#", no_wrap=True, width=3)
    table.add_column("MEMBER", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("ROLES", no_wrap=True)
    for name, column_width in (("PAIRS", 5), ("MSG/S", 5), ("STALL", 6), ("BEAT", 5)):
        table.add_column(name, justify="right", no_wrap=True, width=column_width)
    table.add_column("VERSION", no_wrap=True)
    if not status.members:
        table.add_row("", Text("none", style="yellow"))
    hidden = len(status.members) - rows
    kept = status.members if hidden <= 0 else status.members[: rows - 1]
    for number, member in enumerate(kept, 1):
        table.add_row(*_member_cells(member, number, member.id == status.leader, width))
    if hidden > 0:
        table.add_row("", Text(f"and {hidden + 1} more (press m)", style="dim"))
    return table


def _member_cells(member: MemberStatus, number: int, leads: bool, width: int) -> list[RenderableType]:
    stalled = member.loop_stall_ms >= 1000  # a quarter of the default lease
    return [
        f"{number}" + ("*" if leads else ""),
        member.id if width >= WIDE else shown.member(member.id),
        " ".join(member.roles),
        str(member.pairs),
        shown.rate(member.rate),
        Text(shown.age(member.loop_stall_ms), style="bold red" if stalled else ""),
        Text(shown.age(member.beat_age_ms), style="bold red" if member.beat_age_ms >= 3000 else ""),
        member.version,
    ]


def _pairs(state: State, window: list[PairStatus], selected: int, numbers: dict[str, int], width: int) -> Table:
    wide = width >= WIDE

    def head(name: str, sort: str) -> Text:
        return Text(name, style="underline bold" if state.sort == sort else "")

    table = _table()
    table.add_column(head("PAIR", "pair"), no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column(
        head("OWNER" if wide else "OWN", "owner"), no_wrap=True, overflow="ellipsis", width=26 if wide else 3
    )
    table.add_column(head("EPOCH", "epoch"), no_wrap=True, justify="right", width=13 if wide else 5)
    table.add_column(head("STATUS", "trouble"), no_wrap=True, overflow="ellipsis", width=10 if wide else 7)
    for name, sort, column_width in (("AGE", "age", 5), ("MSG/S", "rate", 5), ("GAPS", "gaps", 4)):
        table.add_column(head(name, sort), justify="right", no_wrap=True, width=column_width)
    for name in ("BID", "ASK"):
        table.add_column(name, justify="right", no_wrap=True, overflow="ellipsis", width=12 if wide else 10)
    for row, pair in enumerate(window):
        table.add_row(*_pair_cells(pair, numbers, wide), style="reverse" if row == selected else "")
    return table


def _pair_cells(pair: PairStatus, numbers: dict[str, int], wide: bool) -> list[RenderableType]:
    number = numbers.get(pair.owner or "")
    owner = "-" if pair.owner is None else (f"{number or '?'} {pair.owner}" if wide else str(number or "?"))
    return [
        f"{pair.venue if wide else pair.venue[:7]} {shown.market(pair.market)} {pair.pair}",
        owner,
        shown.epoch(pair.epoch, 13 if wide else 5),
        Text(pair.status, style=shown.status_style(pair.status)),
        shown.age(pair.age_ms),
        shown.rate(pair.rate),
        Text(shown.count(pair.gaps), style="yellow" if pair.gaps else ""),
        pair.best_bid or "-",
        pair.best_ask or "-",
    ]


def _selected_line(state: State, pair: PairStatus, row: int, rows: int) -> RenderableType:
    words = f"{row}/{rows}  {pair.venue} {pair.market} {pair.pair}: "
    if pair.reason:
        words += pair.reason
    else:
        words += f"sequence {'-' if pair.sequence is None else pair.sequence}"
        words += f"   depth {pair.depth}" if pair.depth else ""
    grid = Table.grid(expand=True)
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    grid.add_column(justify="right", no_wrap=True)
    order = f" by {state.sort}{', reversed' if state.reverse else ''}"
    if state.filter and not state.typing:
        order = f" filter: {state.filter} {order}"
    grid.add_row(Text(words, "italic"), Text(order, "bold" if state.filter else "dim"))
    return grid


def _book(state: State, width: int, height: int) -> RenderableType:
    book = state.book
    if book is None:
        return Padding(Text("reading …", style="dim"), (1, 1))
    heading = ladder.heading(book, width)
    if not book.live:
        known = state.status.find(book.pair) if state.status else None
        why = known.reason if known and known.reason else "nobody may use these levels until the book is live again"
        return Group(heading, Text(), _line((f"{book.status}: {why}", "bold red")))
    return Group(heading, Text(), ladder.ladder(book, max(1, height - _LADDER_FRAME), width))


def error_page(error: str, status: FleetStatus | None) -> RenderableType:
    """Why nothing newer can be shown; the loop goes on trying."""
    last = f"The last good read was at {shown.clock_time(status.now_ms)}." if status else "Nothing was read so far."
    text = Text.assemble((error, "bold red"), "\n\n", (f"{last} Trying again every second.", "dim"))
    return Padding(text, (1, 2))


def _help() -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 1), header_style="bold dim")
    table.add_column("KEY", style="bold cyan", no_wrap=True)
    table.add_column("WHAT IT DOES")
    table.add_column("WHERE", style="dim")
    for control in CONTROLS:
        where = "everywhere" if len(control.screens) == len(Screen) else ", ".join(sorted(control.screens))
        table.add_row(" ".join(control.keys), control.description, where)
    return table
