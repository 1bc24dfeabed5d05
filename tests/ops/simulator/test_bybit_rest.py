"""Bybit's public REST as venues/bybit.md states it."""

from collections.abc import AsyncIterator

import httpx
import pytest

from ops.simulator import Simulator

CATEGORY = {"spot": "spot", "futures": "linear"}


@pytest.fixture
async def bybit() -> AsyncIterator[Simulator]:
    async with Simulator([("bybit", "spot"), ("bybit", "futures")], pairs=3) as simulator:
        yield simulator


def client(simulator: Simulator, market: str) -> httpx.AsyncClient:
    base = next(one["rest_url"] for one in simulator.endpoints if one["market"] == market)
    return httpx.AsyncClient(base_url=base + "/v5/market")


@pytest.mark.parametrize("market", CATEGORY)
async def test_books_are_those_of_the_market(bybit: Simulator, market: str) -> None:
    served = bybit.venue("bybit", market)
    served.misbehave("freeze_market")
    query = {"category": CATEGORY[market], "symbol": "BTCUSDT"}
    async with client(bybit, market) as http:
        answer = (await http.get("/orderbook", params={**query, "limit": "200"})).json()
        assert (answer["retCode"], answer["retMsg"], set(answer)) == (
            0,
            "OK",
            {"retCode", "retMsg", "result", "retExtInfo", "time"},
        )
        shown, final = answer["result"], served.book("BTC/USDT")
        assert set(shown) == {"s", "b", "a", "ts", "u", "seq", "cts"}
        assert (shown["seq"], shown["b"], shown["a"]) == (final["sequence"], final["bids"][:200], final["asks"][:200])
        least = (await http.get("/orderbook", params=query)).json()["result"]
        assert len(least["b"]) == (1 if market == "spot" else 25)
        full = (await http.get("/full_orderbook", params=query)).json()
        if market == "spot":
            assert full["result"]["b"] == final["bids"]
            assert full["result"]["u"] != shown["u"]  # each topic counts for itself
        else:
            assert full["retCode"] == 10001
        for wrong in ({"symbol": "NOPE"}, {"category": "option"}, {"limit": "1001"}, {"limit": "0"}, {"limit": "x"}):
            refused = await http.get("/orderbook", params={**query, **wrong})
            assert (refused.status_code, refused.json()["retCode"]) == (200, 10001)
        assert (await http.get("/nothing")).status_code == 404
        assert (await http.post("/orderbook")).status_code == 404


async def test_the_time_is_in_every_answer(bybit: Simulator) -> None:
    async with client(bybit, "spot") as http:
        answer = (await http.get("/time")).json()
    assert answer["time"] // 1000 == int(answer["result"]["timeSecond"])
    assert int(answer["result"]["timeNano"]) // 10**9 == int(answer["result"]["timeSecond"])


async def test_metadata_names_what_must_be_refused(bybit: Simulator) -> None:
    async with client(bybit, "futures") as http:
        linear = (await http.get("/instruments-info", params={"category": "linear"})).json()["result"]
        inverse = (await http.get("/instruments-info", params={"category": "inverse"})).json()["result"]["list"]
        launching = await http.get("/instruments-info", params={"category": "linear", "status": "PreLaunch"})
        one = (await http.get("/instruments-info", params={"category": "linear", "symbol": "ETHUSDT"})).json()
        base = (await http.get("/instruments-info", params={"category": "linear", "baseCoin": "SOL"})).json()
        assert (await http.get("/instruments-info")).json()["retCode"] == 10001
        assert (
            await http.get("/instruments-info", params={"category": "linear", "limit": "1001"})
        ).json()["retCode"] == 10001  # fmt: skip
    kinds = {row["symbol"]: (row["contractType"], row["settleCoin"], row["status"]) for row in linear["list"]}
    assert kinds["BTCUSDT"] == ("LinearPerpetual", "USDT", "Trading")
    assert kinds["BTCUSDT-25DEC26"] == ("LinearFutures", "USDT", "Trading")
    assert kinds["BTCPERP"] == ("LinearPerpetual", "USDC", "Trading")
    assert kinds["LUNAUSDT"][2] == "Delivering"
    assert linear["nextPageCursor"] == ""
    assert [row["contractType"] for row in inverse] == ["InversePerpetual"]
    assert launching.json()["result"]["list"] == []
    assert [row["symbol"] for row in one["result"]["list"]] == ["ETHUSDT"]
    assert [row["symbol"] for row in base["result"]["list"]] == ["SOLUSDT"]


async def test_spot_metadata_has_its_own_fields(bybit: Simulator) -> None:
    async with client(bybit, "spot") as http:
        rows = (await http.get("/instruments-info", params={"category": "spot"})).json()["result"]["list"]
    assert [row["symbol"] for row in rows if row["status"] != "Trading"] == ["LUNAUSDT"]
    assert rows[0]["lotSizeFilter"]["basePrecision"] == "0.000001"
    assert rows[0]["priceFilter"] == {"tickSize": "0.1"}


async def test_linear_metadata_comes_in_pages(bybit: Simulator) -> None:
    symbols, cursor = [], ""
    async with client(bybit, "futures") as http:
        while True:
            query = {"category": "linear", "limit": "2", "cursor": cursor}
            result = (await http.get("/instruments-info", params=query)).json()["result"]
            symbols += [row["symbol"] for row in result["list"]]
            cursor = result["nextPageCursor"]
            if not cursor:
                break
    assert symbols == ["BTCUSDT", "ETHUSDT", "SOLUSDT", "BTCUSDT-25DEC26", "BTCPERP", "LUNAUSDT"]


async def test_600_requests_in_5_s_are_the_most_and_then_ten_minutes_of_silence(bybit: Simulator) -> None:
    served = bybit.venue("bybit", "spot")
    now = 1000.0
    served.mono_ms = lambda: now
    async with client(bybit, "spot") as http:
        statuses = [(await http.get("/time")).status_code for _ in range(601)]
        assert statuses == [200] * 600 + [403]
        now += 599_000
        refused = await http.get("/time")
        assert (refused.status_code, refused.text) == (403, "access too frequent")
        now += 2_000
        assert (await http.get("/time")).status_code == 200
    assert served.statistics()["limit_breaches"] == {"rest rate": 1}


async def test_being_over_the_limit_has_two_faces(bybit: Simulator) -> None:
    served = bybit.venue("bybit", "spot")
    async with client(bybit, "spot") as http:
        with served.misbehave("rate_limit"):
            answer = await http.get("/time")
            assert (answer.status_code, answer.json()["retCode"]) == (429, 10429)
        with served.misbehave("rate_limit", status=403):
            assert (await http.get("/time")).status_code == 403
