"""The suite runs for what the registries list: they must list the same."""

from feeds.venues import VENUES
from ops.simulator.registry import SIMULATED


def test_every_venue_has_a_simulator_and_the_other_way_round() -> None:
    assert set(SIMULATED) == set(VENUES)
