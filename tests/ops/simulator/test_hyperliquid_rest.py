"""Hyperliquid's POST /info as venues/hyperliquid.md states it."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from ops.simulator import Simulator, registry
from ops.simulator.hyperliquid.public import HyperliquidPublic
from tests.support.raw_venues import exact

COINS = {"spot": "@142", "futures": "BTC"}


@pytest.fixture
async def simulator(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Simulator]:
    markets = [("hyperliquid", market) for market in COINS]
    for venue_market in markets:
        monkeypatch.setitem(registry.SIMULATED, venue_market, HyperliquidPublic)
    async with Simulator(markets, pairs=3) as running:
        yield running


def client(simulator: Simulator, market: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=next(one["rest_url"] for one in simulator.endpoints if one["market"] == market))


async def info(http: httpx.AsyncClient, kind: str, **said: Any) -> Any:
    answer = await http.post("/info", json={"type": kind, **said})
    assert answer.status_code == 200
    return answer.json()


@pytest.mark.parametrize("market", COINS)
async def test_a_book_is_that_of_the_socket(simulator: Simulator, market: str) -> None:
    served = simulator.venue("hyperliquid", market)
    served.misbehave("freeze_market")
    async with client(simulator, market) as http:
        book = await info(http, "l2Book", coin=COINS[market])
        assert set(book) == {"coin", "time", "levels"}
        shown = tuple([(Decimal(row["px"]), Decimal(row["sz"])) for row in side] for side in book["levels"])
        assert shown == exact(served.book("BTC/USDC"))
        assert len(book["levels"][0]) == 20
        assert await info(http, "l2Book", coin="NONE") is None
        assert await info(http, "l2Book") is None


async def test_a_stale_book_is_older_than_the_socket(simulator: Simulator) -> None:
    served = simulator.venue("hyperliquid", "futures")
    served.misbehave("freeze_market")
    before = exact(served.book("BTC/USDC"))
    served.misbehave("stale_snapshot", pair="BTC/USDC")
    async with client(simulator, "futures") as http:
        books = [(await info(http, "l2Book", coin="BTC"))["levels"] for _ in "ab"]
    old, new = ([[(Decimal(row["px"]), Decimal(row["sz"])) for row in side] for side in book] for book in books)
    assert tuple(old) == before
    assert tuple(new) == exact(served.book("BTC/USDC"))


async def test_perpetuals_of_every_dex_are_listed_with_their_collateral(simulator: Simulator) -> None:
    async with client(simulator, "futures") as http:
        metas = await info(http, "allPerpMetas")
        assert [meta["collateralToken"] for meta in metas] == [0, 0, 2]
        assert [[row["name"] for row in meta["universe"]] for meta in metas] == [
            ["BTC", "ETH", "SOL", "LUNA"],
            ["xyz:TSLA"],
            ["km:US500"],
        ]
        delisted = [row["name"] for meta in metas for row in meta["universe"] if row.get("isDelisted")]
        assert delisted == ["LUNA"]
        assert metas[0]["universe"][0]["szDecimals"] == 5
        assert "isDelisted" not in metas[0]["universe"][0]
        assert [await info(http, "meta"), await info(http, "meta", dex="xyz")] == metas[:2]
        dexes = await info(http, "perpDexs")
        assert [dex and dex["name"] for dex in dexes] == [None, "xyz", "km"]
        meta, contexts = await info(http, "metaAndAssetCtxs")
        assert meta == metas[0]
        assert [abs(float(context["midPx"]) / price - 1) < 0.05 for context, price in
                zip(contexts, (65000, 3400, 180, 0.4), strict=True)] == [True] * 4  # fmt: skip
        answer = await http.post("/info", json={"type": "meta", "dex": "nosuchdex"})
        assert (answer.status_code, answer.text) == (500, "null")


async def test_spot_pairs_name_their_tokens_by_index(simulator: Simulator) -> None:
    async with client(simulator, "spot") as http:
        meta = await info(http, "spotMeta")
        tokens = {token["index"]: token for token in meta["tokens"]}
        pairs = {
            row["name"]: [tokens[index]["name"] for index in row["tokens"]] + [row["index"]] for row in meta["universe"]
        }
        assert pairs == {
            "PURR/USDC": ["PURR", "USDC", 0],
            "@5": ["BTC", "USDC", 5],
            "@142": ["UBTC", "USDC", 142],
            "@151": ["UETH", "USDC", 151],
            "@156": ["USOL", "USDC", 156],
        }
        assert [row["name"] for row in meta["universe"] if row["isCanonical"]] == ["PURR/USDC"]
        assert list(tokens) == list(range(len(tokens)))  # a token's index is its place; a pair's is not
        assert [(tokens[index]["name"], tokens[index]["szDecimals"]) for index in (0, 2, 4)] == [
            ("USDC", 8),
            ("USDH", 2),
            ("UBTC", 5),
        ]
        shown, contexts = await info(http, "spotMetaAndAssetCtxs")
        assert (shown, len(contexts)) == (meta, 5)
        mids = await info(http, "allMids")
        assert set(mids) == {"@142", "@151", "@156", "@5"}
        status = await info(http, "exchangeStatus")
        assert (status["specialStatuses"], status["time"] > 1_700_000_000_000) == (None, True)


async def test_prices_have_five_figures_and_no_more_decimals_than_the_rules_allow(simulator: Simulator) -> None:
    for market, most in (("spot", 8), ("futures", 6)):
        async with client(simulator, market) as http:
            for listing in simulator.venue("hyperliquid", market).listings.values():
                book = await info(http, "l2Book", coin=listing.id)
                for row in (row for side in book["levels"] for row in side):
                    price, size = Decimal(row["px"]).normalize(), Decimal(row["sz"]).normalize()
                    assert len(price.as_tuple().digits) <= 5 or price == price.to_integral_value()
                    decimals = -int(listing.lot.as_tuple().exponent)
                    assert -int(price.as_tuple().exponent) <= max(0, most - decimals)
                    assert -int(size.as_tuple().exponent) <= decimals


@pytest.mark.parametrize(
    "method, path, headers, body, status",
    [
        ("POST", "/exchange", {}, "{}", 404),
        ("GET", "/info", {}, "", 405),
        ("POST", "/info", {"content-type": "text/plain"}, '{"type":"meta"}', 415),
        ("POST", "/info", {"content-type": "application/json"}, "{oops", 400),
        ("POST", "/info", {"content-type": "application/json"}, '{"type":"noSuchType"}', 422),
        ("POST", "/info", {"content-type": "application/json"}, '{"type":7}', 422),
        ("POST", "/info", {"content-type": "application/json"}, "[]", 422),
        ("POST", "/info", {"content-type": "application/json; charset=utf-8"}, '{"type":"meta"}', 200),
    ],
)
async def test_each_mistake_has_its_status(
    simulator: Simulator, method: str, path: str, headers: dict[str, str], body: str, status: int
) -> None:
    async with client(simulator, "futures") as http:
        answer = await http.request(method, path, headers=headers, content=body)
    assert answer.status_code == status


async def test_1200_of_weight_a_minute_are_the_most(simulator: Simulator) -> None:
    served = simulator.venue("hyperliquid", "futures")
    now_ms = [1000.0]
    served.mono_ms = lambda: now_ms[0]
    async with client(simulator, "futures") as http:
        for _ in range(59):
            await info(http, "meta")
        for _ in range(10):
            await info(http, "exchangeStatus")
        answer = await http.post("/info", json={"type": "exchangeStatus"})
        assert (answer.status_code, answer.headers.get("retry-after")) == (429, None)
        now_ms[0] += 60_000
        await info(http, "meta")
    assert served.statistics()["limit_breaches"] == {"rest weight": 1}


async def test_told_to_be_over_the_limit_it_says_429_whatever_is_wanted(simulator: Simulator) -> None:
    served = simulator.venue("hyperliquid", "spot")
    async with client(simulator, "spot") as http:
        with served.misbehave("rate_limit", status=418):
            assert (await http.post("/info", json={"type": "spotMeta"})).status_code == 429
        await info(http, "spotMeta")
