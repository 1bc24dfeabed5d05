"""HTX's public REST as venues/htx.md states it, spot and contracts."""

from collections.abc import AsyncIterator
from decimal import Decimal

import httpx
import pytest

from ops.simulator import Simulator, registry
from ops.simulator.htx.spot import HtxSpotPublic
from ops.simulator.htx.swap import HtxSwapPublic


@pytest.fixture
async def htx(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Simulator]:
    monkeypatch.setitem(registry.SIMULATED, ("htx", "spot"), HtxSpotPublic)
    monkeypatch.setitem(registry.SIMULATED, ("htx", "futures"), HtxSwapPublic)
    async with Simulator([("htx", "spot"), ("htx", "futures")], pairs=3) as simulator:
        yield simulator


async def get(htx: Simulator, market: str, path: str) -> httpx.Response:
    base = next(one["rest_url"] for one in htx.endpoints if one["market"] == market)
    async with httpx.AsyncClient() as http:
        return await http.get(base + path)


async def test_symbols(htx: Simulator) -> None:
    body = (await get(htx, "spot", "/v1/common/symbols")).json(parse_float=Decimal)
    rows = {row["symbol"]: row for row in body["data"]}
    assert body["status"] == "ok"
    assert list(rows) == ["btcusdt", "ethusdt", "solusdt", "lunausdt"]
    assert (rows["btcusdt"]["price-precision"], rows["btcusdt"]["amount-precision"]) == (2, 6)
    assert (rows["btcusdt"]["state"], rows["btcusdt"]["api-trading"]) == ("online", "enabled")
    assert rows["lunausdt"]["state"] == "suspend"
    assert Decimal(rows["btcusdt"]["limit-order-min-order-amt"]) == Decimal("0.000001")


@pytest.mark.parametrize(
    "query,codes",
    [
        ("?business_type=all", ["BTC-USDT", "ETH-USDT", "SOL-USDT", "BTC-USDT-261225", "LUNA-USDT"]),
        ("", ["BTC-USDT", "ETH-USDT", "SOL-USDT", "LUNA-USDT"]),
        ("?business_type=futures", ["BTC-USDT-261225"]),
        ("?contract_code=eth-usdt", ["ETH-USDT"]),
    ],
)
async def test_contracts(htx: Simulator, query: str, codes: list[str]) -> None:
    body = (await get(htx, "futures", f"/linear-swap-api/v1/swap_contract_info{query}")).json(parse_float=Decimal)
    assert [row["contract_code"] for row in body["data"]] == codes
    for row in body["data"]:
        dated = row["contract_code"].endswith("261225")
        assert row["business_type"] == ("futures" if dated else "swap")
        assert row["contract_status"] == (3 if row["contract_code"] == "LUNA-USDT" else 1)
        if row["contract_code"] == "BTC-USDT":
            assert (row["contract_size"], row["price_tick"]) == (Decimal("0.001"), Decimal("0.1"))


async def test_books(htx: Simulator) -> None:
    for market, path in (
        ("spot", "/market/depth?symbol=btcusdt&type=step0"),
        ("futures", "/linear-swap-ex/market/depth?contract_code=BTC-USDT&type=step0"),
    ):
        htx.venue("htx", market).misbehave("freeze_market")
        body = (await get(htx, market, path)).json(parse_float=Decimal)
        book = htx.venue("htx", market).book("BTC/USDT")
        assert body["status"] == "ok"
        assert body["ch"].endswith(".depth.step0")
        for side in ("bids", "asks"):
            assert body["tick"][side] == [[Decimal(p), Decimal(q)] for p, q in book[side][:150]]
        assert body["tick"]["version" if market == "spot" else "mrid"] == book["sequence"]


async def test_times_and_states(htx: Simulator) -> None:
    wall = htx.venue("htx", "spot").wall_ms()
    assert abs((await get(htx, "spot", "/v1/common/timestamp")).json()["data"] - wall) < 60_000
    assert (await get(htx, "spot", "/v2/market-status")).json()["data"] == {"marketStatus": 1}
    assert abs((await get(htx, "futures", "/api/v1/timestamp")).json()["ts"] - wall) < 60_000


@pytest.mark.parametrize(
    "market,path,error",
    [
        ("spot", "/market/depth?symbol=nonesuch&type=step0", ("err-code", "invalid-parameter")),
        ("spot", "/market/depth?symbol=btcusdt&type=step9", ("err-code", "invalid-parameter")),
        ("futures", "/linear-swap-ex/market/depth?contract_code=NONE&type=step0", ("err_code", 1332)),
        ("futures", "/linear-swap-ex/market/depth?contract_code=BTC-USDT", ("err_code", 1030)),
        ("futures", "/linear-swap-api/v1/swap_contract_info?business_type=x", ("err_code", 1030)),
    ],
)
async def test_errors_come_with_status_200(htx: Simulator, market: str, path: str, error: tuple[str, object]) -> None:
    answer = await get(htx, market, path)
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "error"
    assert body[error[0]] == error[1]


async def test_unknown_paths_are_not_found(htx: Simulator) -> None:
    for market in ("spot", "futures"):
        assert (await get(htx, market, "/v1/nothing")).status_code == 404


async def test_spot_allows_ten_requests_a_second_of_each_endpoint(htx: Simulator) -> None:
    htx.venue("htx", "spot").mono_ms = lambda: 5000.0
    for _ in range(10):
        assert (await get(htx, "spot", "/v1/common/timestamp")).status_code == 200
    over = await get(htx, "spot", "/v1/common/timestamp")
    assert (over.status_code, over.json()["err-code"]) == (429, "rate-too-many-requests")
    assert over.headers["X-HB-RateLimit-Requests-Remain"] == "0"
    assert (await get(htx, "spot", "/v2/market-status")).status_code == 200
    assert htx.venue("htx", "spot").statistics()["limit_breaches"] == {"rest rate": 1}


async def test_contracts_allow_120_requests_in_three_seconds(htx: Simulator) -> None:
    htx.venue("htx", "futures").mono_ms = lambda: 5000.0
    url = next(one["rest_url"] for one in htx.endpoints if one["market"] == "futures")
    async with httpx.AsyncClient(base_url=url) as http:
        answers = [await http.get("/api/v1/timestamp") for _ in range(121)]
    assert {answer.status_code for answer in answers[:120]} == {200}
    assert answers[0].headers["ratelimit-limit"] == "120"
    assert (answers[120].status_code, answers[120].json()["err_code"]) == (429, 1032)


@pytest.mark.parametrize("market", ["spot", "futures"])
async def test_over_the_limit_is_a_429_and_refusing_a_503(htx: Simulator, market: str) -> None:
    path = "/v1/common/timestamp" if market == "spot" else "/api/v1/timestamp"
    with htx.venue("htx", market).misbehave("rate_limit"):
        assert (await get(htx, market, path)).status_code == 429
    with htx.venue("htx", market).misbehave("refuse"):
        assert (await get(htx, market, path)).status_code == 503
    assert (await get(htx, market, path)).status_code == 200
