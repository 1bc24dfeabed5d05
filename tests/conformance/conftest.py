"""Every test of a class that has a `market` runs for each venue of that market."""

import pytest

from tests.conformance.suite import alive, places

__all__ = ["alive"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`place` is a (venue, market)."""
    if "place" in metafunc.fixturenames and metafunc.cls is not None:
        known = places(metafunc.cls.market)
        metafunc.parametrize("place", known, ids=[venue for venue, _ in known], scope="class")
