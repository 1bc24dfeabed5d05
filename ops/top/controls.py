"""PURE. The keys of `fleet top` as rows: dispatch, footer and help page all come from this one table.

Keys in UPPERCASE are for what cannot be undone; this program only looks, so there are none.
"""

from collections.abc import Callable
from typing import NamedTuple

from ops.top import state
from ops.top.state import Screen, State

PAGE = 10  # rows of page-up and page-down
_ALL = frozenset(Screen)
_PAIRS = frozenset({Screen.PAIRS})


class Control(NamedTuple):
    """`keys` are names as the decoder gives them; `shown` stands in the footer (empty: help page only)."""

    keys: tuple[str, ...]
    shown: str
    description: str
    screens: frozenset[Screen]
    act: Callable[[State], State]


CONTROLS: tuple[Control, ...] = (
    Control(("q", "ctrl-c"), "q quit", "quit", _ALL, lambda s: state.changed(s, quit=True)),
    Control(("up", "k"), "", "row up", _PAIRS, lambda s: state.moved(s, -1)),
    Control(("down", "j"), "↑↓ select", "row down", _PAIRS, lambda s: state.moved(s, 1)),
    Control(("page-up",), "", "ten rows up", _PAIRS, lambda s: state.moved(s, -PAGE)),
    Control(("page-down",), "", "ten rows down", _PAIRS, lambda s: state.moved(s, PAGE)),
    Control(("home",), "", "first row", _PAIRS, lambda s: state.moved(s, -1_000_000)),
    Control(("end",), "", "last row", _PAIRS, lambda s: state.moved(s, 1_000_000)),
    Control(("enter",), "enter book", "look into the selected book", _PAIRS, state.opened),
    Control(("s",), "s sort", "sort by the next column", _PAIRS, state.next_sort),
    Control(("r",), "r reverse", "reverse the order", _PAIRS, lambda s: state.changed(s, reverse=not s.reverse)),
    Control(("/",), "/ filter", "show pairs with these words only", _PAIRS, lambda s: state.changed(s, typing=True)),
    Control(
        ("m",), "m members", "all members", _PAIRS, lambda s: state.changed(s, screen=Screen.MEMBERS)
    ),
    Control(("escape", "backspace"), "", "drop the filter", _PAIRS, state.back),
    Control(("escape", "backspace", "m", "enter"), "esc back", "back to the pairs", _ALL - _PAIRS, state.back),
    Control(("?", "h"), "? help", "show or leave this page", _ALL, state.helped),
)  # fmt: skip


def press(current: State, key: str) -> State:
    """The state after a key; the same state for a key without a meaning here."""
    if current.typing and key != "ctrl-c":
        return state.typed(current, key)
    for control in CONTROLS:
        if key in control.keys and current.screen in control.screens:
            return control.act(current)
    return current


def footer(current: State) -> list[str]:
    """What to print below the screen."""
    if current.typing:
        return ["enter keep", "esc drop"]
    return [control.shown for control in CONTROLS if control.shown and current.screen in control.screens]
