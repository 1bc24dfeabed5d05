"""Fixtures of tests/trader."""

from tests.support.databases import any_engine, any_url, sqlite_engine

__all__ = ["any_engine", "any_url", "sqlite_engine"]
