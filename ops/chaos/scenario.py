"""PURE. A scenario by name: what is done, which of the known faults it is, and the function that does it."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from ops.chaos.result import Result
from ops.chaos.scale import Scale

Act = Callable[[Scale, int], Awaitable[Result]]


class Scenario(NamedTuple):
    """`fault` is its number among the twenty faults that the fleet must survive (ops/CHAOS.md), 0 for one beside them."""

    name: str
    fault: int
    act: Act

    @property
    def says(self) -> str:
        """What is done and what must hold, in a line."""
        return (self.act.__doc__ or "").strip().partition("\n")[0]
