"""Conformance of every venue's spot market; the tests are in `suite`."""

import pytest

from tests.conformance.suite import Conformance


@pytest.mark.asyncio(loop_scope="class")
class TestSpot(Conformance):
    market = "spot"
