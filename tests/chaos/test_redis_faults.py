"""A fleet survives what can happen to its Redis: small seeded runs, real processes, every connection through a chaos proxy.

All of them, in full size and with their figures: `fleet chaos redis-…`.
"""

import msgspec
import pytest

from ops.chaos.scale import SMALL
from ops.chaos.scenarios.failover import redis_failover
from ops.chaos.scenarios.redis import redis_flush, redis_restart, redis_stop

SEED = 11
TINY = msgspec.structs.replace(SMALL, name="tiny", daemons=2, pairs=6, lease_ms=1000, shards=2, calm_s=0.3)


@pytest.mark.parametrize("act", [redis_stop, redis_restart, redis_flush, redis_failover], ids=lambda act: act.__name__)
async def test_a_fleet_survives_what_happens_to_its_redis(act) -> None:
    result = await act(TINY, SEED)

    assert result.violations == [], result.last_words
    assert result.limits.keys() <= result.figures.keys(), "every figure with a limit was measured"
