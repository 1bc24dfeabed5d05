"""ccxt.pro, written by others from the real Bybit, must accept the simulator and end with the simulator's own book."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import ccxt.pro
import pytest

from ops.simulator import Simulator

BOOKS = ["BTC/USDT", "ETH/USDT", "DOGE/USDT"]
MARKETS = {"spot": "spot", "futures": "linear"}
DEPTH = 50  # what ccxt subscribes unless told otherwise


@asynccontextmanager
async def ccxt_client(endpoint: dict[str, str]) -> AsyncIterator[Any]:
    """A ccxt.pro exchange whose base URLs are the simulator's."""
    market = MARKETS[endpoint["market"]]
    options = {"fetchMarkets": {"types": [market]}, "fetchCurrencies": False}
    exchange = ccxt.pro.bybit({"enableRateLimit": True, "options": options})
    exchange.has["fetchCurrencies"] = False  # asks private endpoints; no book needs it
    exchange.urls["api"]["public"] = endpoint["rest_url"]
    exchange.urls["api"]["ws"]["public"][market] = f"{endpoint['ws_url']}/v5/public/{market}"
    try:
        yield exchange
    finally:
        await exchange.close()


def symbol(market: str, pair: str) -> str:
    """ccxt's name of the pair."""
    return pair if market == "spot" else f"{pair}:USDT"


def as_numbers(levels: list[list[Any]]) -> list[tuple[float, float]]:
    """Levels as ccxt holds them."""
    return [(float(level[0]), float(level[1])) for level in levels[:DEPTH]]


@pytest.mark.parametrize("market", MARKETS)
async def test_ccxt_builds_the_simulators_book_level_by_level(market: str) -> None:
    async with Simulator([("bybit", market)], pairs=6, rate=20) as simulator, asyncio.timeout(40):
        served = simulator.venue("bybit", market)
        async with ccxt_client(simulator.endpoints[0]) as exchange:
            symbols = [symbol(market, pair) for pair in BOOKS]
            seen = dict.fromkeys(symbols, 0)
            while min(seen.values()) < 12:
                seen[(await exchange.watch_order_book_for_symbols(symbols))["symbol"]] += 1
            served.misbehave("freeze_market")
            for pair, name in zip(BOOKS, symbols, strict=True):
                expected = {side: as_numbers(served.book(pair)[side]) for side in ("bids", "asks")}
                while {side: as_numbers(exchange.orderbooks[name][side]) for side in expected} != expected:
                    await exchange.watch_order_book_for_symbols(symbols)
                assert len(exchange.orderbooks[name]["bids"]) == DEPTH
        assert served.statistics()["limit_breaches"] == {}


@pytest.mark.parametrize("market", MARKETS)
async def test_ccxt_reads_the_metadata(market: str) -> None:
    async with Simulator([("bybit", market)], pairs=6) as simulator, ccxt_client(simulator.endpoints[0]) as exchange:
        markets = await exchange.load_markets()
        for pair in simulator.pairs:
            one = markets[symbol(market, pair)]
            listing = simulator.venue("bybit", market).feed_of_pair(pair).listing
            assert one["active"] is True
            assert one["precision"]["price"] == float(listing.tick)
            assert one["precision"]["amount"] == float(listing.lot)
        assert markets[symbol(market, "LUNA/USDT")]["active"] is False
        if market == "futures":
            assert markets["BTC/USDT:USDT-261225"]["future"] is True
            assert markets["BTC/USDC:USDC"]["swap"] is True


@pytest.mark.parametrize("market", MARKETS)
async def test_ccxt_receives_trades_and_tickers_at_the_books_prices(market: str) -> None:
    async with (
        Simulator([("bybit", market)], pairs=2, rate=200) as simulator,
        ccxt_client(simulator.endpoints[0]) as exchange,
        asyncio.timeout(30),
    ):
        name = symbol(market, "BTC/USDT")
        ticker = await exchange.watch_ticker(name)
        assert abs(ticker["last"] / 65000 - 1) < 0.05
        best = (await exchange.watch_bids_asks([name]))[name]
        assert 0 < best["bid"] < best["ask"]
        trades = await exchange.watch_trades(name)
        while len(trades) < 3:
            trades = await exchange.watch_trades(name)
        for trade in trades:
            assert abs(trade["price"] / 65000 - 1) < 0.05
            assert trade["amount"] > 0
            assert trade["side"] in ("buy", "sell")
