"""The verbs of leases and fences against a model, on one real server; see tests/support/lease_machine.py."""

import asyncio
from collections.abc import Iterator

import pytest
import redis.asyncio
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from fleet.ordered import OrderedConnection
from tests.support.lease_machine import LeaseMachine


@pytest.fixture
def machine(redis_url: str) -> Iterator[type[LeaseMachine]]:
    loop = asyncio.new_event_loop()
    connection = OrderedConnection(redis_url)
    client = redis.asyncio.Redis.from_url(redis_url)
    loop.run_until_complete(connection.connect())
    yield type("OnOneServer", (LeaseMachine,), {"loop": loop, "connection": connection, "client": client})
    loop.run_until_complete(connection.close())
    loop.run_until_complete(client.aclose())
    loop.close()


def test_any_sequence_of_calls_is_answered_as_the_model_says(machine: type[LeaseMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=100, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
