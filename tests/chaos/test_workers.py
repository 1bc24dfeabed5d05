"""A fleet survives what can happen to its workers: one scaled run of each scenario, real processes and simulated venues."""

import pytest

from ops.chaos.scale import SMALL
from ops.chaos.scenario import Scenario
from ops.chaos.scenarios import workers

SEED = 7


@pytest.mark.parametrize("scenario", workers.SCENARIOS, ids=lambda scenario: scenario.name)
async def test_a_fleet_survives_what_happens_to_its_workers(scenario: Scenario) -> None:
    result = await scenario.act(SMALL, SEED)

    assert result.violations == [], result.last_words
    assert result.limits.keys() <= result.figures.keys(), "every figure with a limit was measured"
