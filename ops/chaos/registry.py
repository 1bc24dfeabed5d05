"""The scenarios there are: an explicit list. A new one stands in its module's SCENARIOS; a new module has its line here."""

from collections.abc import Sequence

from fleet.errors import ConfigError
from ops.chaos.scenario import Scenario
from ops.chaos.scenarios import failover, leaders, machine, partitions, redis, stored, venues, workers

MODULES: Sequence[Sequence[Scenario]] = (
    workers.SCENARIOS,
    leaders.SCENARIOS,
    machine.SCENARIOS,
    venues.SCENARIOS,
    redis.SCENARIOS,
    failover.SCENARIOS,
    stored.SCENARIOS,
    partitions.SCENARIOS,
)  # fmt: skip
SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for module in MODULES for scenario in module}


def find(name: str) -> Scenario:
    """Raises ConfigError for a name that there is not."""
    if name not in SCENARIOS:
        raise ConfigError(f"scenario {name[:40]!r}: expected one of {', '.join(SCENARIOS)}")
    return SCENARIOS[name]
