"""ccxt.pro, written by others from the real venue, must accept both generations and end with the simulator's own book."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import ccxt.pro
import pytest

from ops.simulator import Simulator, registry
from ops.simulator.kucoin.public import KucoinClassicPublic, KucoinPublic

BOOKS = ["BTC/USDT", "ETH/USDT"]
MARKETS = ["spot", "futures"]


@pytest.fixture(autouse=True)
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    for market in MARKETS:
        monkeypatch.setitem(registry.SIMULATED, ("kucoin", market), KucoinPublic)
        monkeypatch.setitem(registry.SIMULATED, ("kucoin_classic", market), KucoinClassicPublic)


@asynccontextmanager
async def ccxt_client(endpoint: dict[str, str]) -> AsyncIterator[Any]:
    """A ccxt.pro exchange whose base URLs are the simulator's."""
    types = {"spot": ["spot"], "futures": ["swap"]}[endpoint["market"]]
    options = {"fetchMarkets": {"types": types, "fetchTickersFees": False}, "fetchCurrencies": False}
    exchange = ccxt.pro.kucoin({"enableRateLimit": True, "options": options})
    exchange.has["fetchCurrencies"] = False
    for name in ("public", "futuresPublic"):
        exchange.urls["api"][name] = endpoint["rest_url"]
    exchange.urls["api"]["ws"] |= {"spot": endpoint["ws_url"], "futures": endpoint["ws_url"]}
    try:
        yield exchange
    finally:
        await exchange.close()


def symbol(market: str, pair: str) -> str:
    """ccxt's name of the pair."""
    return pair if market == "spot" else f"{pair}:USDT"


def as_numbers(levels: list[list[Any]]) -> list[tuple[float, float]]:
    """Levels as ccxt holds them."""
    return [(float(level[0]), float(level[1])) for level in levels]


@pytest.mark.parametrize("market", MARKETS)
async def test_ccxt_builds_the_classic_book_level_by_level(market: str) -> None:
    """It asks for the token, subscribes both with one request and fetches the snapshot after some deltas."""
    async with Simulator([("kucoin_classic", market)], pairs=3, rate=20, levels=90) as simulator, asyncio.timeout(40):
        served = simulator.venue("kucoin_classic", market)
        async with ccxt_client(simulator.endpoints[0]) as exchange:
            symbols = [symbol(market, pair) for pair in BOOKS]
            seen = dict.fromkeys(symbols, 0)
            while min(seen.values()) < 12:
                seen[(await exchange.watch_order_book_for_symbols(symbols))["symbol"]] += 1
            served.misbehave("freeze_market")
            for pair, name in zip(BOOKS, symbols, strict=True):
                expected = served.book(pair)
                while exchange.orderbooks[name]["nonce"] != expected["sequence"]:
                    await exchange.watch_order_book_for_symbols(symbols)
                book = exchange.orderbooks[name]
                assert as_numbers(book["bids"]) == as_numbers(expected["bids"])
                assert as_numbers(book["asks"]) == as_numbers(expected["asks"])
        assert served.statistics()["limit_breaches"] == {}


@pytest.mark.parametrize("market", MARKETS)
async def test_ccxt_reads_the_pro_view_of_50_levels(market: str) -> None:
    """Its increments cannot be compared: its reader of Pro deltas looks for `bids` where the venue says `b`."""
    async with Simulator([("kucoin", market)], pairs=3, rate=20) as simulator, asyncio.timeout(40):
        served = simulator.venue("kucoin", market)
        async with ccxt_client(simulator.endpoints[0]) as exchange:
            name = symbol(market, "BTC/USDT")
            for _ in range(3):
                await exchange.watch_order_book(name, params={"uta": True, "utaDepth": "50"})
            served.misbehave("freeze_market")
            expected = served.book("BTC/USDT")
            while exchange.orderbooks[name]["nonce"] != expected["sequence"]:
                await exchange.watch_order_book(name, params={"uta": True, "utaDepth": "50"})
            book = exchange.orderbooks[name]
            assert as_numbers(book["bids"]) == as_numbers(expected["bids"][:50])
            assert as_numbers(book["asks"]) == as_numbers(expected["asks"][:50])


@pytest.mark.parametrize("market", MARKETS)
async def test_ccxt_reads_the_metadata(market: str) -> None:
    async with Simulator([("kucoin", market)], pairs=6) as simulator, ccxt_client(simulator.endpoints[0]) as exchange:
        markets = await exchange.load_markets()
        for pair in simulator.pairs:
            one = markets[symbol(market, pair)]
            listing = simulator.venue("kucoin", market).feed_of_pair(pair).listing
            assert one["id"] == listing.id
            assert one["active"] is True
            assert one["precision"]["price"] == float(listing.tick)
            assert one["precision"]["amount"] == float(listing.lot)
            if market == "futures":
                assert one["contractSize"] == float(listing.contract_value)
        assert markets[symbol(market, "LUNA/USDT")]["active"] is False


@pytest.mark.parametrize("generation", ["kucoin", "kucoin_classic"])
@pytest.mark.parametrize("market", MARKETS)
async def test_ccxt_receives_trades_and_tickers(market: str, generation: str) -> None:
    params = {"uta": True} if generation == "kucoin" else {}
    async with (
        Simulator([(generation, market)], pairs=2, rate=200) as simulator,
        ccxt_client(simulator.endpoints[0]) as exchange,
        asyncio.timeout(30),
    ):
        name = symbol(market, "BTC/USDT")
        ticker = await exchange.watch_ticker(name, params)
        assert abs(ticker["last"] / 65000 - 1) < 0.05
        trades = await exchange.watch_trades(name, params=params)
        assert all(abs(trade["price"] / 65000 - 1) < 0.05 for trade in trades)
        assert {trade["side"] for trade in trades} <= {"buy", "sell"}
