"""The verbs of leases and fences against a model, on a server and on a Cluster; see tests/support/lease_machine.py."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.any_redis import connected
from tests.support.lease_machine import LeaseMachine


@pytest.fixture
def machine(topology: str) -> Iterator[type[LeaseMachine]]:
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        opening = connected(topology)
        client, connection = loop.run_until_complete(opening.__aenter__())
        yield type("OnOne", (LeaseMachine,), {"loop": loop, "connection": connection, "client": client})
        loop.run_until_complete(opening.__aexit__(None, None, None))


def test_any_sequence_of_calls_is_answered_as_the_model_says(machine: type[LeaseMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=100, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
