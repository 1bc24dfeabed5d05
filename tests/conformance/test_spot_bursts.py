"""Limits and refusals of every venue's spot market; the tests are in `suite`."""

from tests.conformance.suite import Bursts


class TestSpotBursts(Bursts):
    market = "spot"
