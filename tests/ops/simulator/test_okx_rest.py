"""OKX's public REST as venues/okx.md states it."""

from collections.abc import AsyncIterator

import httpx
import pytest

from ops.simulator import Simulator

IDS = {"spot": "BTC-USDT", "futures": "BTC-USDT-SWAP"}


@pytest.fixture
async def okx() -> AsyncIterator[Simulator]:
    async with Simulator([("okx", "spot"), ("okx", "futures")], pairs=3) as simulator:
        yield simulator


def rest_url(simulator: Simulator, market: str) -> str:
    return next(one["rest_url"] for one in simulator.endpoints if one["market"] == market)


@pytest.mark.parametrize("market", IDS)
async def test_rest_answers_and_refuses(okx: Simulator, market: str) -> None:
    async with httpx.AsyncClient(base_url=rest_url(okx, market) + "/api/v5") as http:
        served = okx.venue("okx", market)
        served.misbehave("freeze_market")
        served.mono_ms = lambda: 1000.0  # two seconds, however slow this machine is
        answer = (await http.get("/market/books", params={"instId": IDS[market], "sz": "400"})).json()
        shown, final = answer["data"][0], served.book("BTC/USDT")
        assert answer["code"] == "0"
        assert shown["seqId"] == final["sequence"]
        assert [level[:2] for level in shown["bids"]] == final["bids"]
        assert len((await http.get("/market/books", params={"instId": IDS[market]})).json()["data"][0]["asks"]) == 1
        assert (await http.get("/market/books", params={"instId": "NO-PE"})).json()["code"] == "51001"
        assert (await http.get("/market/books", params={"instId": IDS[market], "sz": "401"})).json()["code"] == "51000"
        assert (await http.get("/public/instruments")).json()["code"] == "50014"
        assert int((await http.get("/public/time")).json()["data"][0]["ts"]) > 1_700_000_000_000
        statuses = [(await http.get("/market/books", params={"instId": IDS[market]})) for _ in range(45)]
        assert {one.status_code for one in statuses} == {200, 429}
        assert statuses[-1].json()["code"] == "50011"


async def test_metadata_names_what_must_be_refused(okx: Simulator) -> None:
    async with httpx.AsyncClient(base_url=rest_url(okx, "futures") + "/api/v5") as http:
        swaps = (await http.get("/public/instruments", params={"instType": "SWAP"})).json()["data"]
        dated = (await http.get("/public/instruments", params={"instType": "FUTURES"})).json()["data"]
    assert [one["instId"] for one in swaps if one["ctType"] == "inverse"] == ["BTC-USD-SWAP"]
    assert [one["instId"] for one in swaps if one["state"] != "live"] == ["LUNA-USDT-SWAP"]
    assert [one["instId"] for one in dated] == ["BTC-USDT-261225"]
    bitcoin = swaps[0]
    assert (bitcoin["ctVal"], bitcoin["lotSz"], bitcoin["tickSz"], bitcoin["settleCcy"]) == (
        "0.01",
        "0.01",
        "0.1",
        "USDT",
    )
    assert (bitcoin["baseCcy"], bitcoin["quoteCcy"], bitcoin["instFamily"]) == ("", "", "BTC-USDT")
