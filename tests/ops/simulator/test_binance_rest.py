"""Binance's public REST as venues/binance.md states it."""

from collections.abc import AsyncIterator

import httpx
import pytest

from ops.simulator import Simulator


@pytest.fixture
async def binance() -> AsyncIterator[Simulator]:
    async with Simulator([("binance", "spot"), ("binance", "futures")], pairs=3) as simulator:
        yield simulator


def rest_url(simulator: Simulator, market: str) -> str:
    return next(one["rest_url"] for one in simulator.endpoints if one["market"] == market)


@pytest.mark.parametrize("market,path", [("spot", "/api/v3"), ("futures", "/fapi/v1")])
async def test_rest_weighs_and_refuses(binance: Simulator, market: str, path: str) -> None:
    heavy, limit, budget = ("5000", 250, 6000) if market == "spot" else ("1000", 20, 2400)
    async with httpx.AsyncClient(base_url=rest_url(binance, market) + path) as http:
        before = int((await http.get("/ping")).headers["X-MBX-USED-WEIGHT-1M"])
        answer = await http.get("/depth", params={"symbol": "BTCUSDT", "limit": heavy})
        assert int(answer.headers["X-MBX-USED-WEIGHT-1M"]) - before in (limit, limit - before)  # a new minute may begin
        statuses = []
        while 418 not in statuses:
            answer = await http.get("/depth", params={"symbol": "BTCUSDT", "limit": heavy})
            statuses.append(answer.status_code)
            assert len(statuses) < 3 * budget / limit
        assert set(statuses) == {200, 429, 418}
        assert answer.json()["code"] == -1003
        assert 100 < int(answer.headers["Retry-After"]) <= 120


async def test_rest_errors_are_the_sheets(binance: Simulator) -> None:
    wrong = {
        ("spot", "/api/v3/depth?symbol=NOSUCH"): (400, -1121),
        ("spot", "/api/v3/depth"): (400, -1102),
        ("spot", "/api/v3/depth?symbol=BTCUSDT&limit=0"): (400, -1130),
        ("futures", "/fapi/v1/depth?symbol=BTCUSDT&limit=7"): (400, -1130),
    }
    for (market, path), (status, code) in wrong.items():
        async with httpx.AsyncClient(base_url=rest_url(binance, market)) as http:
            answer = await http.get(path)
            assert (answer.status_code, answer.json()["code"]) == (status, code), path
            assert (await http.get("/fapi/v2/nothing")).status_code == 404


async def test_metadata_names_what_must_be_refused(binance: Simulator) -> None:
    async with httpx.AsyncClient() as http:
        spot = (await http.get(rest_url(binance, "spot") + "/api/v3/exchangeInfo")).json()["symbols"]
        futures = (await http.get(rest_url(binance, "futures") + "/fapi/v1/exchangeInfo")).json()["symbols"]
    assert [one["symbol"] for one in spot if one["status"] != "TRADING"] == ["LUNAUSDT", "币安人生USDT"]
    assert [one["symbol"] for one in futures if one["contractType"] != "PERPETUAL"] == ["BTCUSDT_261225"]
    assert [one["symbol"] for one in futures if one["status"] != "TRADING"] == ["LUNAUSDT"]
