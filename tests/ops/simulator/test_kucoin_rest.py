"""KuCoin's public REST as venues/kucoin.md states it: metadata, books, the weight pool, errors."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest

from ops.simulator import Simulator, registry
from ops.simulator.kucoin.public import KucoinPublic
from ops.simulator.kucoin.rest import POOL, TOKEN_LIFE_MS, Tokens


@pytest.fixture(autouse=True)
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    for market in ("spot", "futures"):
        monkeypatch.setitem(registry.SIMULATED, ("kucoin", market), KucoinPublic)


@asynccontextmanager
async def serving(market: str, *, enforce_limits: bool = True) -> AsyncIterator[tuple[Simulator, httpx.AsyncClient]]:
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(
            Simulator([("kucoin", market)], pairs=3, enforce_limits=enforce_limits)
        )
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=simulator.endpoints[0]["rest_url"]))
        yield simulator, http


async def test_spot_symbols_are_text() -> None:
    async with serving("spot") as (_, http):
        answer = (await http.get("/api/v2/symbols")).json()
        assert answer["code"] == "200000"
        rows = {row["symbol"]: row for row in answer["data"]}
        assert list(rows) == ["BTC-USDT", "ETH-USDT", "SOL-USDT", "LUNA-USDT"]
        assert (rows["BTC-USDT"]["priceIncrement"], rows["BTC-USDT"]["baseIncrement"]) == ("0.1", "0.00000001")
        assert [row["enableTrading"] for row in rows.values()] == [True, True, True, False]


async def test_contracts_are_numbers_and_hold_what_clients_must_refuse() -> None:
    async with serving("futures") as (_, http):
        rows = {row["symbol"]: row for row in (await http.get("/api/v1/contracts/active")).json()["data"]}
        assert (rows["XBTUSDTM"]["baseCurrency"], rows["XBTUSDTM"]["multiplier"]) == ("XBT", 0.001)
        assert (rows["XBTUSDM"]["isInverse"], rows["XBTUSDM"]["multiplier"]) == (True, -1)
        assert rows["XBTMZ26"]["type"] == "FFICSX"
        assert rows["XBTUSDCM"]["settleCurrency"] == "USDC"
        assert rows["NEWUSDTM"]["marketStage"] == "PRE_MARKET"
        assert rows["LUNAUSDTM"]["status"] == "Paused"


async def test_books_of_futures_are_numbers() -> None:
    async with serving("futures") as (simulator, http):
        simulator.venue("kucoin", "futures").misbehave("freeze_market")
        truth = simulator.venue("kucoin", "futures").book("BTC/USDT")
        for path, most in (("snapshot", 1000), ("depth20", 20), ("depth100", 100)):
            data = (await http.get(f"/api/v1/level2/{path}", params={"symbol": "XBTUSDTM"})).json()["data"]
            assert data["sequence"] == truth["sequence"]
            assert data["ts"] > 10**18
            assert data["asks"] == [[float(price), int(size)] for price, size in truth["asks"][:most]]


@pytest.mark.parametrize(
    "market, path, code",
    [
        ("spot", "/api/v1/market/orderbook/level2_100?symbol=NO-USDT", "900001"),
        ("futures", "/api/v1/level2/snapshot?symbol=NOUSDTM", "404000"),
    ],
)
async def test_an_unknown_symbol_is_an_error_of_status_200(market: str, path: str, code: str) -> None:
    async with serving(market) as (_, http):
        answer = await http.get(path)
        assert (answer.status_code, answer.json()["code"]) == (200, code)


async def test_an_unknown_path_or_the_other_markets_is_not_found() -> None:
    async with serving("spot") as (_, http):
        for path in ("/api/v1/contracts/active", "/api/v1/bullet-public", "/nothing"):  # the token is for POST
            answer = await http.get(path)
            assert (answer.status_code, answer.json()["code"]) == (404, "404000")


async def test_the_clock_and_the_state() -> None:
    async with serving("spot") as (_, http):
        assert (await http.get("/api/v1/timestamp")).json()["data"] > 10**12
        assert (await http.get("/api/v1/status")).json()["data"]["status"] == "open"


async def test_weight_is_charged_and_over_it_is_429_with_the_reset_in_the_headers() -> None:
    async with serving("spot") as (simulator, http):
        first = await http.get("/api/v1/market/orderbook/level2_100", params={"symbol": "BTC-USDT"})
        assert first.headers["gw-ratelimit-limit"] == str(POOL)
        assert first.headers["gw-ratelimit-remaining"] == str(POOL - 4)
        assert 0 < int(first.headers["gw-ratelimit-reset"]) <= 30_000
        statuses = [(await http.post("/api/v1/bullet-public")).status_code for _ in range(POOL // 10)]
        assert set(statuses[:-1]) == {200}
        assert statuses[-1] == 429
        refused = await http.get("/api/v2/symbols")
        assert refused.json()["code"] == "429000"
        assert "Retry-After" not in refused.headers
        assert simulator.statistics()[0]["limit_breaches"]["request weight"] == 2


async def test_limits_may_be_switched_off() -> None:
    async with serving("spot", enforce_limits=False) as (_, http):
        statuses = {(await http.post("/api/v1/bullet-public")).status_code for _ in range(POOL // 10 + 5)}
        assert statuses == {200}


async def test_a_rate_limit_on_demand_has_no_retry_after() -> None:
    async with serving("spot") as (simulator, http):
        with simulator.venue("kucoin", "spot").misbehave("rate_limit", retry_after_s=3):
            answer = await http.get("/api/v2/symbols")
            assert (answer.status_code, answer.headers["gw-ratelimit-reset"]) == (429, "3000")
            assert "Retry-After" not in answer.headers
        assert (await http.get("/api/v2/symbols")).status_code == 200


def issued(tokens: Tokens, wall_ms: int) -> Iterator[str]:
    while True:
        yield tokens.issue(wall_ms)


def test_tokens_are_all_different_and_each_opens_once_within_a_day() -> None:
    tokens = Tokens()
    one, two, three = (token for token, _ in zip(issued(tokens, 0), range(3), strict=False))
    assert len({one, two, three}) == 3
    assert tokens.use(one, TOKEN_LIFE_MS - 1)
    assert not tokens.use(one, 1)
    assert not tokens.use(two, TOKEN_LIFE_MS)
    tokens.expire()
    assert not tokens.use(three, 1)
