"""Fixtures of tests/fleet."""

from tests.support.databases import any_engine, any_url

__all__ = ["any_engine", "any_url"]
