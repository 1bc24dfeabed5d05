"""PURE. State → what is drawn: exactly `height` lines of `width` columns, made for 80×24 and better when there is more."""

import textwrap
from typing import NamedTuple

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
_ORDER_WIDTH = 12  # "by trouble" and a blank, right of what is said of the selected pair
_REASON_LINES = 4  # the most that the selected pair's reason may take from the list of pairs
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
    visible = state.visible()
    if not visible:
        return Group(members, Text(), _no_pairs(state, status))
    selected = state.position(visible)
    words = _selected_words(visible[selected], selected + 1, len(visible), width)
    # between the tables a blank line and the heads; below the pairs what is selected
    pair_rows = max(1, height - used - 1 - 1 - len(words))
    first = max(0, min(selected - pair_rows // 2, len(visible) - pair_rows))
    window = visible[first : first + pair_rows]
    numbers = {member.id: number for number, member in enumerate(status.members, 1)}
    return Group(
        members,
        Text(),
        _pairs(state, window, selected - first, numbers, width, _longest(visible)),
        *(Text() for _ in range(pair_rows - len(window))),
        *(Text(line, "italic", no_wrap=True, overflow="ellipsis") for line in words[:-1]),
        _last_line(state, words[-1]),
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
        Text(f"deaf to {len(member.deaf)}", style="bold red") if member.deaf else " ".join(member.roles),
        str(member.pairs),
        shown.rate(member.rate),
        Text(shown.age(member.loop_stall_ms), style="bold red" if stalled else ""),
        Text(shown.age(member.beat_age_ms), style="bold red" if member.beat_age_ms >= 3000 else ""),
        member.version,
    ]


def _longest(visible: list[PairStatus]) -> int:
    """Columns of the longest name of a pair."""
    return max(len(_name(pair)) for pair in visible)


def _name(pair: PairStatus) -> str:
    return f"{pair.venue} {shown.market(pair.market)} {pair.pair}"


class _Column(NamedTuple):
    head: str
    sort: str  # empty: it is not sorted by
    width: int
    right: bool = True


_OWNER_WIDE, _OWNER = _Column("OWNER", "owner", 26, right=False), _Column("OWN", "owner", 3, right=False)
_STATUS_WIDE, _STATUS = _Column("STATUS", "trouble", 10, right=False), _Column("STATUS", "trouble", 7, right=False)
_EPOCH_WIDE, _EPOCH = _Column("EPOCH", "epoch", 13), _Column("EPOCH", "epoch", 5)
_AGE, _RATE, _GAPS = _Column("AGE", "age", 5), _Column("MSG/S", "rate", 5), _Column("GAPS", "gaps", 4)
_RESYNCS, _SUMS = _Column("RESYN", "resyncs", 5), _Column("SUMS", "checksums", 4)
_SEAMS = _Column("SEAMS", "seams", 5)
_BEST_WIDE, _BEST = (_Column("BID", "", 12), _Column("ASK", "", 12)), (_Column("BID", "", 10), _Column("ASK", "", 10))
# What gives way where names of pairs are long, in this order: a name is cut last, everything else is told elsewhere too.
_WIDE_LAYOUTS = (
    (_OWNER_WIDE, _EPOCH_WIDE, _STATUS_WIDE, _AGE, _RATE, _GAPS, _RESYNCS, _SUMS, _SEAMS, *_BEST_WIDE),
    (_OWNER_WIDE, _EPOCH_WIDE, _STATUS_WIDE, _AGE, _RATE, _GAPS, _RESYNCS, _SUMS, *_BEST_WIDE),
    (_OWNER_WIDE, _EPOCH_WIDE, _STATUS_WIDE, _AGE, _RATE, _GAPS, *_BEST_WIDE),
    (_OWNER_WIDE, _STATUS_WIDE, _AGE, _RATE, _GAPS, _RESYNCS, _SUMS, *_BEST_WIDE),
    (_OWNER, _STATUS_WIDE, _AGE, _RATE, _GAPS, _RESYNCS, _SUMS, *_BEST_WIDE),
)
_LAYOUTS = (
    (_OWNER, _EPOCH, _STATUS, _AGE, _RATE, _GAPS, *_BEST),
    (_OWNER, _STATUS, _AGE, _RATE, _GAPS, *_BEST),
    (_OWNER, _STATUS, _AGE, _RATE, _GAPS, _BEST[0]),
    (_OWNER, _STATUS, _AGE, _RATE, _GAPS),
)


def _columns(width: int, longest: int) -> tuple[_Column, ...]:
    """The richest layout that leaves room for the longest name."""
    layouts = (*_WIDE_LAYOUTS, *_LAYOUTS) if width >= WIDE else _LAYOUTS
    fitting = (columns for columns in layouts if longest + sum(column.width + 1 for column in columns) <= width)
    return next(fitting, layouts[-1])


def _pairs(
    state: State, window: list[PairStatus], selected: int, numbers: dict[str, int], width: int, longest: int
) -> Table:
    columns = _columns(width, longest)
    table = _table()
    sorted_by = "underline bold"
    table.add_column(
        Text("PAIR", style=sorted_by if state.sort == "pair" else ""), no_wrap=True, overflow="ellipsis", ratio=1
    )
    for column in columns:
        table.add_column(
            Text(column.head, style=sorted_by if column.sort == state.sort else ""),
            justify="right" if column.right else "left", no_wrap=True, overflow="ellipsis", width=column.width,
        )  # fmt: skip
    for row, pair in enumerate(window):
        cells = _pair_cells(pair, numbers)
        table.add_row(_name(pair), *(cells[column] for column in columns), style="reverse" if row == selected else "")
    return table


def _pair_cells(pair: PairStatus, numbers: dict[str, int]) -> dict[_Column, RenderableType]:
    number = str(numbers.get(pair.owner or "") or "?")
    status = Text(pair.status, style=shown.status_style(pair.status))
    best = pair.best_bid or "-", pair.best_ask or "-"
    return {
        _OWNER_WIDE: f"{number} {pair.owner}" if pair.owner else "-",
        _OWNER: number if pair.owner else "-",
        _EPOCH_WIDE: shown.epoch(pair.epoch, _EPOCH_WIDE.width),
        _EPOCH: shown.epoch(pair.epoch, _EPOCH.width),
        _STATUS_WIDE: status,
        _STATUS: status,
        _AGE: shown.age(pair.age_ms),
        _RATE: shown.rate(pair.rate),
        _GAPS: _counter(pair.gaps),
        _RESYNCS: _counter(pair.resyncs),
        _SUMS: _counter(pair.checksums),
        _SEAMS: Text(shown.count(pair.seams)),
        **dict(zip(_BEST_WIDE, best, strict=True)),
        **dict(zip(_BEST, best, strict=True)),
    }


def _counter(number: int) -> Text:
    return Text(shown.count(number), style="yellow" if number else "")


def _selected_words(pair: PairStatus, row: int, rows: int, width: int) -> list[str]:
    """What there is to say of the selected pair, in lines; the last leaves room for the sort order."""
    words = f"{row}/{rows}  {pair.venue} {pair.market} {pair.pair}: "
    counted = [f"{shown.count(count)} {name}" for name, count in _trouble_counts(pair) if count]
    if not pair.reason:
        counted += [f"sequence {'-' if pair.sequence is None else pair.sequence}"]
        return [words + "   ".join([*counted, f"depth {pair.depth}" if pair.depth else ""])]
    words += "; ".join([pair.reason, *counted])
    narrow = max(20, width - _ORDER_WIDTH)
    lines = textwrap.wrap(words, max(20, width - 1))
    if len(lines[-1]) > narrow:
        lines = textwrap.wrap(words, narrow)
    if len(lines) > _REASON_LINES:
        lines = [*lines[: _REASON_LINES - 1], lines[_REASON_LINES - 1] + " …"]
    return lines


def _trouble_counts(pair: PairStatus) -> tuple[tuple[str, int], ...]:
    return (("gaps", pair.gaps), ("resyncs", pair.resyncs), ("wrong checksums", pair.checksums), ("seams", pair.seams))


def _last_line(state: State, words: str) -> RenderableType:
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
        return Group(heading, Text(), Text(f"{book.status}: {why}", "bold red"))
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
