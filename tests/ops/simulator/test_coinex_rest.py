"""CoinEx's public REST as venues/coinex.md states it."""

import zlib
from collections.abc import AsyncIterator

import httpx
import pytest

from ops.simulator import Simulator

MARKETS = ["spot", "futures"]


@pytest.fixture
async def coinex() -> AsyncIterator[Simulator]:
    async with Simulator([("coinex", market) for market in MARKETS], pairs=3) as simulator:
        yield simulator


def http_of(simulator: Simulator, market: str) -> httpx.AsyncClient:
    base = next(one["rest_url"] for one in simulator.endpoints if one["market"] == market)
    return httpx.AsyncClient(base_url=base + "/v2")


@pytest.mark.parametrize("market", MARKETS)
async def test_the_book_of_rest_is_exact_and_carries_its_checksum(coinex: Simulator, market: str) -> None:
    served = coinex.venue("coinex", market)
    served.misbehave("freeze_market")
    async with http_of(coinex, market) as http:
        for limit in (5, 10, 20, 50):
            answer = (
                await http.get(f"/{market}/depth", params={"market": "BTCUSDT", "limit": limit, "interval": "0"})
            ).json()
            assert (answer["code"], answer["message"]) == (0, "OK")
            assert (answer["data"]["market"], answer["data"]["is_full"]) == ("BTCUSDT", True)
            depth, final = answer["data"]["depth"], served.book("BTC/USDT")
            assert depth["bids"] == final["bids"][:limit]
            assert depth["asks"] == final["asks"][:limit]
            text = ":".join(f"{price}:{size}" for price, size in depth["bids"] + depth["asks"])
            assert depth["checksum"] == zlib.crc32(text.encode())


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize(
    "path, params, code",
    [
        ("depth", {"market": "NOPEUSDT", "limit": "50"}, 3639),
        ("depth", {"market": "BTCUSDT", "limit": "30"}, 4004),
        ("depth", {"market": "BTCUSDT", "limit": "50", "interval": "7"}, 4004),
        ("market", {"market": "NOPEUSDT"}, 3639),
        ("market", {"market": ",".join(f"A{n}USDT" for n in range(11))}, 4004),
        ("deals", {"market": "NOPEUSDT"}, 3639),
    ],
)
async def test_errors_come_with_http_200(
    coinex: Simulator, market: str, path: str, params: dict[str, str], code: int
) -> None:
    async with http_of(coinex, market) as http:
        answer = await http.get(f"/{market}/{path}", params=params)
        assert (answer.status_code, answer.json()["code"]) == (200, code)


async def test_health_and_time_are_answered_and_only_get_and_post_exist(coinex: Simulator) -> None:
    async with http_of(coinex, "spot") as http:
        assert (await http.get("/ping")).json() == {"code": 0, "data": {"result": "pong"}, "message": "OK"}
        assert (await http.get("/time")).json()["data"]["timestamp"] > 1_700_000_000_000
        assert (await http.get("/maintain/info")).json()["data"] == []
        assert (await http.delete("/ping")).json()["code"] == 4009
        assert (await http.get("/futures/market")).status_code == 404  # a real host has both, a port here one
        assert (await http.get("/spot/ticker")).json()["data"][0]["market"] == "BTCUSDT"
        assert (await http.get("/spot/deals", params={"market": "BTCUSDT"})).json()["data"] == []


@pytest.mark.parametrize("market, scope", [("spot", "SPOT"), ("futures", "PERPETUAL")])
async def test_a_maintenance_is_announced_with_its_scope(coinex: Simulator, market: str, scope: str) -> None:
    served = coinex.venue("coinex", market)
    async with http_of(coinex, market) as http:
        with served.misbehave("maintenance", minutes=10):
            (planned,) = (await http.get("/maintain/info")).json()["data"]
            now = (await http.get("/time")).json()["data"]["timestamp"]
            assert planned["started_at"] < now < planned["ended_at"] <= now + 600_000
            assert planned["scope"] == [scope]
            assert planned["protect_duration_start"] == planned["ended_at"] < planned["protect_duration_end"]
        with served.misbehave("maintenance", whole_site=True):
            assert (await http.get("/maintain/info")).json()["data"][0]["scope"] == ["ALL_SITE"]
        assert (await http.get("/maintain/info")).json()["data"] == []


async def test_metadata_of_spot_has_the_fields_of_the_sheet(coinex: Simulator) -> None:
    async with http_of(coinex, "spot") as http:
        rows = {row["market"]: row for row in (await http.get("/spot/market")).json()["data"]}
        some = (await http.get("/spot/market", params={"market": "ETHUSDT,BTCUSDT"})).json()["data"]
    bitcoin = rows["BTCUSDT"]
    assert (bitcoin["base_ccy"], bitcoin["quote_ccy"], bitcoin["status"]) == ("BTC", "USDT", "online")
    assert (bitcoin["base_ccy_precision"], bitcoin["quote_ccy_precision"]) == (8, 2)
    assert "tick_size" not in bitcoin
    assert (rows["LUNAUSDT"]["status"], rows["LUNAUSDT"]["is_api_trading_available"]) == ("counting_down", False)
    assert rows["FTTUSDT"]["delisted_at"] > 0
    assert [row["market"] for row in some] == ["ETHUSDT", "BTCUSDT"]


async def test_metadata_of_futures_name_their_tick_and_the_inverse_contract(coinex: Simulator) -> None:
    async with http_of(coinex, "futures") as http:
        rows = {row["market"]: row for row in (await http.get("/futures/market")).json()["data"]}
    assert (rows["BTCUSDT"]["tick_size"], rows["BTCUSDT"]["contract_type"]) == ("0.5", "linear")
    assert (rows["BTCUSD"]["contract_type"], rows["BTCUSD"]["quote_ccy"]) == ("inverse", "USD")
    assert rows["LUNAUSDT"]["is_market_available"] is False


async def test_400_requests_a_second_are_the_most_of_an_address(coinex: Simulator) -> None:
    served = coinex.venue("coinex", "spot")
    served.mono_ms = lambda: 1000.0  # one second, however slow this machine is
    async with http_of(coinex, "spot") as http:
        codes = [(await http.get("/ping")).json()["code"] for _ in range(402)]
        assert codes == [0] * 400 + [4213] * 2
        with served.misbehave("rate_limit"):
            answer = await http.get("/time")
        assert (answer.status_code, answer.json()["code"]) == (200, 4213)
    assert served.statistics()["limit_breaches"] == {"rest rate": 2}


async def test_a_stale_snapshot_shows_the_book_of_before(coinex: Simulator) -> None:
    served = coinex.venue("coinex", "spot")
    served.misbehave("freeze_market")
    old = served.book("BTC/USDT")
    served.misbehave("stale_snapshot", pair="BTC/USDT")
    async with http_of(coinex, "spot") as http:
        shown = [(await http.get("/spot/depth", params={"market": "BTCUSDT", "limit": "50"})).json() for _ in range(2)]
    assert shown[0]["data"]["depth"]["bids"] == old["bids"]
    assert shown[1]["data"]["depth"]["bids"] == served.book("BTC/USDT")["bids"] != old["bids"]
