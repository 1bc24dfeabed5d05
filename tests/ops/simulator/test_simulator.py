"""The simulator as a whole: its ports, its command, its life."""

import asyncio
import json
import signal
import sys

import httpx
import pytest

from fleet.errors import ConfigError
from ops.embedded.process import free_port
from ops.simulator import Simulator


async def test_the_command_prints_its_endpoints_first_and_ends_on_sigterm() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ops.simulator", "okx", "--pairs", "3", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        endpoints = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
        assert [(one["venue"], one["market"]) for one in endpoints] == [("okx", "spot"), ("okx", "futures")]
        async with httpx.AsyncClient() as http:
            assert (await http.get(endpoints[1]["rest_url"] + "/api/v5/public/time")).json()["code"] == "0"
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_ports_are_consecutive_when_a_first_one_is_given() -> None:
    first = free_port()
    async with Simulator([("binance", "spot"), ("okx", "spot")], pairs=1, port=first) as simulator:
        assert [int(one["rest_url"].rpartition(":")[2]) for one in simulator.endpoints] == [first, first + 1]


async def test_the_same_seed_serves_the_same_books() -> None:
    books = []
    for seed in (7, 7, 8):
        async with Simulator(pairs=2, seed=seed) as simulator:
            places = [(each["venue"], each["market"]) for each in simulator.endpoints]
            books.append([simulator.venue(*place).book(simulator.pairs_of(*place)[1]) for place in places])
    assert books[0] == books[1]
    assert books[0] != books[2]


@pytest.mark.parametrize(
    "options", [{"rate": 0}, {"levels": 3}, {"venues": []}, {"venues": [("okx", "margin")]}, {"pairs": 0}]
)
async def test_options_that_cannot_be_right_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Simulator(**options)  # type: ignore[arg-type]


async def test_an_error_of_the_body_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        async with Simulator(pairs=1):
            raise ZeroDivisionError


async def test_a_venue_that_is_not_simulated_is_refused() -> None:
    async with Simulator([("okx", "spot")], pairs=1) as simulator:
        with pytest.raises(ConfigError, match="binance spot is not simulated; there are: okx spot"):
            simulator.venue("binance", "spot")
