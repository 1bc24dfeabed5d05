"""Limits and refusals of every venue's futures market; the tests are in `suite`."""

from tests.conformance.suite import Bursts


class TestFuturesBursts(Bursts):
    market = "futures"
