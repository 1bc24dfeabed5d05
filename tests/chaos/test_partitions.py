"""A worker that is cut from Redis, and not from its venues, writes nothing that its successor would not want.

In network namespaces; skipped, in so many words, where this machine allows none. The reverse, which takes as long as a silent
connection is given (`fleet chaos cut-from-venues`), is not part of the tests.
"""

import msgspec
import pytest

from ops.chaos.namespaces import why_not
from ops.chaos.scale import SMALL
from ops.chaos.scenarios.partitions import cut_from_redis

SEED = 12
TINY = msgspec.structs.replace(SMALL, name="tiny", daemons=2, pairs=6, lease_ms=1000, shards=2, calm_s=0.3)


async def test_a_fleet_goes_on_without_the_worker_that_is_cut_from_redis() -> None:
    if reason := await why_not():
        pytest.skip(reason)
    result = await cut_from_redis(TINY, SEED)

    assert result.violations == [], result.last_words
    assert result.limits.keys() <= result.figures.keys(), "every figure with a limit was measured"
