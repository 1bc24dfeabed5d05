"""MEXC's public REST, spot and contracts, as venues/mexc.md states it."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from ops.simulator import Simulator, registry
from ops.simulator.mexc import contract_text
from ops.simulator.mexc.contract_public import MexcContractPublic
from ops.simulator.mexc.spot_public import MexcSpotPublic


class Rest:
    """Both markets of a simulator and a client for them."""

    def __init__(self, simulator: Simulator, client: httpx.AsyncClient) -> None:
        self.simulator, self._client = simulator, client

    async def get(self, market: str, path: str) -> httpx.Response:
        base = next(one["rest_url"] for one in self.simulator.endpoints if one["market"] == market)
        return await self._client.get(base + path)

    async def data(self, path: str) -> Any:
        """What a contract endpoint says, numbers as Decimals."""
        answer = await self.get("futures", f"/api/v1/contract/{path}")
        body = json.loads(answer.content, parse_float=Decimal)
        assert (answer.status_code, body["success"], body["code"]) == (200, True, 0)
        return body["data"]


@pytest.fixture
async def rest(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rest]:
    monkeypatch.setitem(registry.SIMULATED, ("mexc", "spot"), MexcSpotPublic)
    monkeypatch.setitem(registry.SIMULATED, ("mexc", "futures"), MexcContractPublic)
    markets = [("mexc", "spot"), ("mexc", "futures")]
    async with Simulator(markets, pairs=3, rate=8) as simulator, httpx.AsyncClient() as client:
        yield Rest(simulator, client)


# --- spot -----------------------------------------------------------------------------------------------------------------


async def test_spot_lists_its_symbols_with_digits_for_steps(rest: Rest) -> None:
    symbols = {one["symbol"]: one for one in (await rest.get("spot", "/api/v3/exchangeInfo")).json()["symbols"]}
    assert set(symbols) == {"BTCUSDT", "ETHUSDT", "SOLUSDT", "LUNAUSDT"}
    bitcoin, luna = symbols["BTCUSDT"], symbols["LUNAUSDT"]
    assert (bitcoin["status"], bitcoin["quoteAssetPrecision"], bitcoin["baseAssetPrecision"]) == ("1", 2, 8)
    assert (luna["status"], luna["isSpotTradingAllowed"], luna["filters"]) == ("2", False, [])
    one = (await rest.get("spot", "/api/v3/exchangeInfo?symbol=BTCUSDT")).json()["symbols"]
    assert one == [bitcoin]
    assert (await rest.get("spot", "/api/v3/defaultSymbols")).json()["data"] == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]


async def test_spot_shows_a_book_of_100_levels_or_as_many_as_asked(rest: Rest) -> None:
    for query, levels in (("", 100), ("&limit=5", 5), ("&limit=9999", 340)):
        book = (await rest.get("spot", f"/api/v3/depth?symbol=BTCUSDT{query}")).json()
        assert set(book) == {"lastUpdateId", "bids", "asks", "timestamp"}
        assert (len(book["bids"]), len(book["asks"])) == (levels, levels)
        assert Decimal(book["bids"][0][0]) < Decimal(book["asks"][0][0])


async def test_spot_tells_its_time_and_refuses_what_it_does_not_know(rest: Rest) -> None:
    assert (await rest.get("spot", "/api/v3/ping")).json() == {}
    assert (await rest.get("spot", "/api/v3/time")).json()["serverTime"] > 1_700_000_000_000
    assert (await rest.get("spot", "/api/v3/depth?symbol=NOPEUSDT")).json()["code"] == -1121
    assert (await rest.get("spot", "/api/v3/depth")).status_code == 400
    assert (await rest.get("spot", "/api/v3/dance")).status_code == 404
    assert (await rest.get("spot", "/api/v1/contract/ping")).status_code == 404


async def test_spot_limits_each_endpoint_alone_and_bans_who_goes_on(rest: Rest) -> None:
    answers = [await rest.get("spot", "/api/v3/exchangeInfo") for _ in range(62)]
    statuses = [answer.status_code for answer in answers]
    assert statuses == [200] * 50 + [429] * 10 + [418] * 2
    assert 1 <= int(answers[50].headers["Retry-After"]) <= 10
    assert int(answers[61].headers["Retry-After"]) >= 110
    assert (await rest.get("spot", "/api/v3/time")).status_code == 200
    assert rest.simulator.venue("mexc", "spot").stats.limit_breaches == {"request weight": 12}


@pytest.mark.parametrize("market, path", [("spot", "/api/v3/time"), ("futures", "/api/v1/contract/ping")])
async def test_the_host_in_front_can_limit_everything(rest: Rest, market: str, path: str) -> None:
    with rest.simulator.venue("mexc", market).misbehave("rate_limit", status=418, retry_after_s=7):
        answer = await rest.get(market, path)
    assert (answer.status_code, answer.headers["Retry-After"]) == (418, "7")
    assert (await rest.get(market, path)).status_code == 200


# --- contracts ------------------------------------------------------------------------------------------------------------


async def test_contracts_are_listed_with_sizes_and_settle_coins(rest: Rest) -> None:
    contracts = {one["symbol"]: one for one in await rest.data("detail")}
    assert set(contracts) == {"BTC_USDT", "ETH_USDT", "SOL_USDT", "BTC_USDC", "BTC_USD", "LUNA_USDT"}
    bitcoin = contracts["BTC_USDT"]
    assert (bitcoin["contractSize"], bitcoin["priceUnit"], bitcoin["volUnit"]) == (Decimal("0.0001"), Decimal("0.1"), 1)
    assert (contracts["BTC_USD"]["settleCoin"], contracts["BTC_USDC"]["settleCoin"]) == ("BTC", "USDC")
    assert contracts["LUNA_USDT"]["state"] != 0
    assert (await rest.data("detail?symbol=eth_usdt"))["symbol"] == "ETH_USDT"


async def test_a_contract_book_has_1500_levels_or_as_many_as_asked(rest: Rest) -> None:
    book = await rest.data("depth/btc_usdt?limit=7")
    assert set(book) == {"cts", "asks", "bids", "version", "timestamp"}
    assert (len(book["asks"]), len(book["bids"]), book["cts"]) == (7, 7, None)
    assert len((await rest.data("depth/BTC_USDT"))["asks"]) == 340


async def test_a_delisted_contract_has_a_book_of_nothing_and_no_catalogue_entry_of_its_own(rest: Rest) -> None:
    first, second = await rest.data("depth/LUNA_USDT"), await rest.data("depth/LUNA_USDT")
    assert (first["asks"], first["bids"]) == ([], [])
    assert first["timestamp"] == second["timestamp"]
    answer = await rest.get("futures", "/api/v1/contract/detail?symbol=LUNA_USDT")
    assert (answer.status_code, answer.json()["code"]) == (200, 1001)


async def test_contract_errors_come_with_http_200(rest: Rest) -> None:
    for path in ("depth/NOPE_USDT", "depth_commits/NOPE_USDT/10", "detail?symbol=NOPE_USDT"):
        answer = await rest.get("futures", f"/api/v1/contract/{path}")
        assert (answer.status_code, answer.json()["success"], answer.json()["code"]) == (200, False, 1001)
    assert (await rest.get("futures", "/api/v1/contract/dance")).status_code == 404
    assert isinstance(await rest.data("ping"), int)


async def test_contracts_limit_each_endpoint_alone(rest: Rest) -> None:
    codes = [(await rest.get("futures", "/api/v1/contract/depth/BTC_USDT")).json()["code"] for _ in range(12)]
    assert codes == [0] * 10 + [510] * 2
    assert isinstance(await rest.data("ping"), int)
    assert rest.simulator.venue("mexc", "futures").stats.limit_breaches == {"rest rate": 2}


async def test_commits_of_a_book_that_has_not_moved_are_none(rest: Rest) -> None:
    assert await rest.data("depth_commits/ETH_USDT/1000") == []


def test_commits_number_every_version_and_say_deletions_first() -> None:
    found = contract_text.commits(10, 14, {5: 3, 4: 0}, {9: 1})
    assert [one.version for one in found] == [10, 11, 12, 13, 14]
    assert [(one.is_bid, one.price, one.lots) for one in found] == [
        (True, 4, 0),
        (True, 4, 0),
        (True, 4, 0),
        (True, 5, 3),
        (False, 9, 1),
    ]
