"""`python -m ops.architecture`: write the generated sections of the pages in ops/ anew, from the code they are about.

A section stands between `<!-- generated: NAME -->` and `<!-- end -->`; what is around it is written by hand. The test of this
module fails when a section is not what the code says now.
"""

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import feeds.outbox
from feeds import quarantine
from fleet import (
    election,
    evidence,
    heartbeat,
    hold_states,
    layout,
    lease,
    lease_states,
    plan,
    plan_store,
    standing,
    succession,
)
from ops import reference
from ops.api_reference import api
from ops.tour import TOUR
from trader.strategies import bbo, grid

ROOT = Path(__file__).resolve().parent.parent
PAGES = tuple(ROOT / "ops" / name for name in ("ARCHITECTURE.md", "OPERATING.md", "VENUES.md"))

_SECTION = re.compile(r"(<!-- generated: ([a-z -]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def source(folder: str, name: str) -> Path:
    """The file of a stop of the tour, relative to the repository."""
    return Path(folder, f"{name}{'.lua' if folder == 'lua' else '.py'}")


def tour() -> str:
    """Every file in reading order, with its own first line."""
    parts = []
    for stop in TOUR:
        rows = []
        for name in stop.files.split():
            path = source(stop.folder, name)
            line = reference.file_line((ROOT / path).read_text(), path.suffix)
            rows.append((f"[`{path.as_posix()}`](../{path.as_posix()})", line))
        parts.append(f"**{stop.title}**\n\n{reference.table(('file', 'what it is'), rows)}")
    return "\n\n".join(parts)


def _verbs() -> str:
    return reference.verbs({path.stem: path.read_text() for path in (ROOT / "lua").glob("*.lua")})


SECTIONS: Mapping[str, Callable[[], str]] = {
    "tour": tour,
    "events": reference.kinds,
    "keys": reference.keys,
    "sequence": reference.sequence_states,
    "leases": lambda: reference.transition_table(lease_states.Event, lease_states.TRANSITIONS),
    "holds": lambda: reference.transition_table(hold_states.Event, hold_states.TRANSITIONS),
    "quarantine": lambda: reference.transition_table(quarantine.Event, quarantine.TRANSITIONS),
    "outbox": lambda: reference.outbox_phases(feeds.outbox.__doc__ or ""),
    "verbs": _verbs,
    "coordination": lambda: api(lease, election, heartbeat, plan, plan_store, standing, succession, layout, evidence),
    "exit codes": reference.exit_codes,
    "settings": reference.settings,
    "task tables": lambda: reference.sql_columns("MONITORING", "TRADE"),
    "grid": lambda: reference.strategy(grid.__doc__ or "", grid.GridParams),
    "bbo": lambda: reference.strategy(bbo.__doc__ or "", bbo.BboParams),
    "risk": reference.risk,
    "paper": reference.paper,
    "history": reference.history_columns,
    "venue books": reference.venue_books,
    "venue channels": reference.venue_channels,
    "venue habits": reference.venue_habits,
    "venue limits": reference.venue_limits,
}


def section_names(text: str) -> list[str]:
    """The generated sections of a page, in order."""
    return [match.group(2) for match in _SECTION.finditer(text)]


def renewed(text: str) -> str:
    """A page with its generated sections as the code has them now. Raises KeyError for a section nobody generates."""
    return _SECTION.sub(lambda match: f"{match.group(1)}{SECTIONS[match.group(2)]()}\n{match.group(3)}", text)


def main() -> None:
    """Bring the pages up to date; says which had changed."""
    for page in PAGES:
        before = page.read_text()
        after = renewed(before)
        if after != before:
            page.write_text(after)
            sys.stdout.write(f"{page.relative_to(ROOT)} is new\n")


if __name__ == "__main__":
    main()
