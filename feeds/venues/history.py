"""PURE. How recordings of a venue are replayed: its rules of that time, and what verifies them beside sequences."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from feeds.venue import Venue


class Verifier(Protocol):
    """Proves books of a recording by something that stands in its frames beside sequences."""

    verified: int
    failures: int

    def check(self, frame: str | bytes) -> None:
        """Look at the next frame."""
        ...


class History(NamedTuple):
    """How recordings of a venue are replayed."""

    venue: Venue
    verifier: Callable[[], Verifier] | None = None
