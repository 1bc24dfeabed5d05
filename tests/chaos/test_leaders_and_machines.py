"""A fleet survives the death of its leaders and what can happen to the machines of its workers: one scaled run of each."""

import msgspec
import pytest

from ops.chaos.scale import SMALL
from ops.chaos.scenario import Scenario
from ops.chaos.scenarios import leaders, machine

SEED = 7
TESTED = msgspec.structs.replace(SMALL, soak_s=3.0)


@pytest.mark.parametrize("scenario", [*leaders.SCENARIOS, *machine.SCENARIOS], ids=lambda scenario: scenario.name)
async def test_a_fleet_survives_what_happens_to_leaders_and_machines(scenario: Scenario) -> None:
    result = await scenario.act(TESTED, SEED)

    assert result.violations == [], result.last_words
    assert result.limits.keys() <= result.figures.keys(), "every figure with a limit was measured"
