"""History outlives a Redis that forgot a tail, or everything: small seeded runs, real processes, a ClickHouse of their own."""

import msgspec
import pytest

from ops.chaos.scale import SMALL
from ops.chaos.scenario import Scenario
from ops.chaos.scenarios import stored

SEED = 7
TINY = msgspec.structs.replace(SMALL, name="tiny", daemons=2, pairs=6, lease_ms=1000, shards=2, calm_s=0.3)


@pytest.mark.parametrize("scenario", stored.SCENARIOS, ids=lambda scenario: scenario.name)
async def test_history_holds_each_entry_once_whatever_redis_forgot(scenario: Scenario) -> None:
    result = await scenario.act(TINY, SEED)

    assert result.violations == [], result.last_words
    assert result.limits.keys() <= result.figures.keys(), "every figure with a limit was measured"
    assert result.figures["rows_doubled_or_missing"] == 0
