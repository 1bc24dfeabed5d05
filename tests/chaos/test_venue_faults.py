"""Faults of venues on a small fleet of real processes. Times are reported by `fleet chaos`, and judged here by nobody."""

import pytest

from ops.chaos.registry import find
from ops.chaos.scale import SMALL


@pytest.mark.parametrize("name", ["venue-closes", "venue-bans", "venue-away", "poison-pair"])
async def test_a_fault_of_a_venue_costs_nobody_else_anything(name: str) -> None:
    result = await find(name).act(SMALL, 14)
    assert not result.violations, "\n".join([*result.violations, *result.notes, result.last_words])
    assert set(result.limits) <= set(result.figures), "everything that has a limit was measured"
