"""PURE. What the screen of `fleet top` shows, and how keys change it. Nothing here draws, reads or waits."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import msgspec

from books.loaded import LoadedBook
from fleet.pair import Pair
from ops.status import FleetStatus, PairStatus


class Screen(StrEnum):
    PAIRS = "pairs"
    MEMBERS = "members"
    BOOK = "book"
    HELP = "help"


# the sort key of each column, in the order that `s` goes through them; the first is the default
SORTS: dict[str, Callable[[PairStatus], Any]] = {
    "trouble": lambda pair: (pair.trouble, pair.key),
    "pair": lambda pair: pair.key,
    "owner": lambda pair: (pair.owner or "", pair.key),
    "epoch": lambda pair: (-(pair.epoch or 0), pair.key),
    "age": lambda pair: (-(-1 if pair.age_ms is None else pair.age_ms), pair.key),
    "rate": lambda pair: (-pair.rate, pair.key),
    "gaps": lambda pair: (-pair.gaps, pair.key),
    "resyncs": lambda pair: (-pair.resyncs, pair.key),
    "checksums": lambda pair: (-pair.checksums, pair.key),
    "seams": lambda pair: (-pair.seams, pair.key),
}


class State(msgspec.Struct, frozen=True, kw_only=True):
    """`status` and `book` are what was read last; `error` says why they are not newer."""

    status: FleetStatus | None = None
    book: LoadedBook | None = None
    error: str | None = None
    screen: Screen = Screen.PAIRS
    before_help: Screen = Screen.PAIRS
    sort: str = "trouble"
    reverse: bool = False
    filter: str = ""
    typing: bool = False  # keys go into the filter
    selected: Pair | None = None
    quit: bool = False

    def visible(self) -> list[PairStatus]:
        """The pairs that pass the filter, sorted."""
        if self.status is None:
            return []
        words = self.filter.lower().split()
        passing = [pair for pair in self.status.pairs if all(word in _haystack(pair) for word in words)]
        return sorted(passing, key=SORTS[self.sort], reverse=self.reverse)

    def position(self, visible: list[PairStatus]) -> int:
        """Row of the selected pair; 0 when it has left the list."""
        return next((row for row, pair in enumerate(visible) if pair.key == self.selected), 0)

    def wanted_book(self) -> Pair | None:
        """The pair whose book the next refresh has to read; None: the fleet."""
        return self.selected if self.screen is Screen.BOOK else None


def _haystack(pair: PairStatus) -> str:
    return f"{pair.venue} {pair.market} {pair.pair} {pair.status} {pair.owner or ''} {pair.reason or ''}".lower()


def changed(state: State, **fields: Any) -> State:
    """A copy with other values."""
    return msgspec.structs.replace(state, **fields)


def moved(state: State, rows: int) -> State:
    """The selection `rows` further down (up when negative), within the list."""
    visible = state.visible()
    if not visible:
        return changed(state, selected=None)
    row = max(0, min(len(visible) - 1, state.position(visible) + rows))
    return changed(state, selected=visible[row].key)


def next_sort(state: State) -> State:
    """Sort by the next column."""
    names = list(SORTS)
    return changed(state, sort=names[(names.index(state.sort) + 1) % len(names)], reverse=False)


def opened(state: State) -> State:
    """Look into the selected pair's book."""
    visible = state.visible()
    if not visible:
        return state
    return changed(state, screen=Screen.BOOK, selected=visible[state.position(visible)].key, book=None)


def back(state: State) -> State:
    """Leave the screen; on the list of pairs, drop the filter."""
    if state.screen is Screen.HELP:
        return changed(state, screen=state.before_help)
    if state.screen is Screen.PAIRS:
        return changed(state, filter="")
    return changed(state, screen=Screen.PAIRS, book=None)


def helped(state: State) -> State:
    """Show the keys, or stop showing them."""
    if state.screen is Screen.HELP:
        return back(state)
    return changed(state, screen=Screen.HELP, before_help=state.screen)


def typed(state: State, key: str) -> State:
    """A key while the filter is being typed."""
    if key == "enter":
        return changed(state, typing=False)
    if key == "escape":
        return changed(state, typing=False, filter="")
    if key == "backspace":
        return changed(state, filter=state.filter[:-1])
    if key == "space":
        return changed(state, filter=state.filter + " ")
    return changed(state, filter=state.filter + key) if len(key) == 1 else state
