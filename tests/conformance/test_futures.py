"""Conformance of every venue's futures market; the tests are in `suite`."""

import pytest

from tests.conformance.suite import Conformance


@pytest.mark.asyncio(loop_scope="class")
class TestFutures(Conformance):
    market = "futures"
