"""ccxt.pro, written by others from the real venues, must accept the simulator and end with the simulator's own book."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import ccxt.pro
import pytest

from ops.simulator import Simulator

BOOKS = ["BTC/USDT", "ETH/USDT", "DOGE/USDT"]
EXCHANGE = {
    ("binance", "spot"): "binance",
    ("binance", "futures"): "binanceusdm",
    ("okx", "spot"): "okx",
    ("okx", "futures"): "okx",
}


@asynccontextmanager
async def ccxt_client(endpoint: dict[str, str]) -> AsyncIterator[Any]:
    """A ccxt.pro exchange whose base URLs are the simulator's."""
    venue, market = endpoint["venue"], endpoint["market"]
    types = {"binance spot": ["spot"], "binance futures": ["linear"], "okx spot": ["spot"], "okx futures": ["swap"]}
    options = {"fetchMarkets": {"types": types[f"{venue} {market}"]}, "fetchCurrencies": False, "fetchMargins": False}
    exchange = getattr(ccxt.pro, EXCHANGE[venue, market])({"enableRateLimit": True, "options": options})
    exchange.has["fetchCurrencies"] = False  # asks private endpoints; no book needs it
    api = exchange.urls["api"]
    if venue == "okx":
        api["rest"] = endpoint["rest_url"]
        api["ws"] = endpoint["ws_url"] + "/ws/v5"
    else:
        api["public"] = endpoint["rest_url"] + "/api/v3"
        api["fapiPublic"] = endpoint["rest_url"] + "/fapi/v1"
        api["ws"]["spot"] = api["ws"]["linear"] = endpoint["ws_url"] + "/ws"
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


@pytest.mark.parametrize("venue,market", EXCHANGE)
async def test_ccxt_builds_the_simulators_book_level_by_level(venue: str, market: str) -> None:
    async with Simulator([(venue, market)], pairs=6, rate=20) as simulator, asyncio.timeout(40):
        served = simulator.venue(venue, market)
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
                assert len(book["bids"]) > 100
        assert served.statistics()["limit_breaches"] == {}


@pytest.mark.parametrize("venue,market", EXCHANGE)
async def test_ccxt_reads_the_metadata(venue: str, market: str) -> None:
    async with Simulator([(venue, market)], pairs=6) as simulator, ccxt_client(simulator.endpoints[0]) as exchange:
        markets = await exchange.load_markets()
        for pair in simulator.pairs:
            one = markets[symbol(market, pair)]
            listing = simulator.venue(venue, market).feed_of_pair(pair).listing
            assert one["active"] is True
            assert one["precision"]["price"] == float(listing.tick)
            assert one["precision"]["amount"] == float(listing.lot)
            if (venue, market) == ("okx", "futures"):
                assert one["contractSize"] == float(listing.contract_value)
        assert markets[symbol(market, "LUNA/USDT")]["active"] is False


@pytest.mark.parametrize("venue,market", EXCHANGE)
async def test_ccxt_receives_trades_at_the_books_prices(venue: str, market: str) -> None:
    async with (
        Simulator([(venue, market)], pairs=2, rate=200) as simulator,
        ccxt_client(simulator.endpoints[0]) as exchange,
        asyncio.timeout(30),
    ):
        name = symbol(market, "BTC/USDT")
        trades = await exchange.watch_trades(name)
        while len(trades) < 3:
            trades = await exchange.watch_trades(name)
        for trade in trades:
            assert abs(trade["price"] / 65000 - 1) < 0.05
            assert trade["amount"] > 0
            assert trade["side"] in ("buy", "sell")
