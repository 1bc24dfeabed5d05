"""ccxt.pro, written by others from the real venue, must accept the simulated MEXC and end with its book."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import ccxt.pro
import pytest

from ops.simulator import Simulator, registry
from ops.simulator.mexc.contract_public import MexcContractPublic
from ops.simulator.mexc.spot_public import MexcSpotPublic
from tests.support.waiting import wait_until

MARKETS = {"spot": "BTC/USDT", "futures": "BTC/USDT:USDT"}
LEVELS = 90  # ccxt asks spot for 100


@asynccontextmanager
async def simulated(monkeypatch: pytest.MonkeyPatch, rate: float) -> AsyncIterator[tuple[Simulator, Any]]:
    """(simulator, ccxt.pro exchange): ccxt loads the catalogues of both markets whatever is watched."""
    monkeypatch.setitem(registry.SIMULATED, ("mexc", "spot"), MexcSpotPublic)
    monkeypatch.setitem(registry.SIMULATED, ("mexc", "futures"), MexcContractPublic)
    async with Simulator([("mexc", market) for market in MARKETS], pairs=4, rate=rate, levels=LEVELS) as simulator:
        spot, contracts = simulator.endpoints
        exchange = ccxt.pro.mexc({"enableRateLimit": False, "options": {"watchOrderBook": {"snapshotDelay": 3}}})
        exchange.has["fetchCurrencies"] = False  # asks private endpoints; no book needs it
        api = exchange.urls["api"]
        api["spot"]["public"] = spot["rest_url"]
        api["contract"]["public"] = contracts["rest_url"] + "/api/v1/contract"
        api["ws"] = {"spot": spot["ws_url"] + "/ws", "swap": contracts["ws_url"] + "/edge"}
        try:
            async with asyncio.timeout(60):
                yield simulator, exchange
        finally:
            await exchange.close()


@pytest.mark.parametrize("market", MARKETS)
async def test_ccxt_builds_the_simulators_book_level_by_level(monkeypatch: pytest.MonkeyPatch, market: str) -> None:
    # ccxt drops a diff that straddles its snapshot; those of 10 ms never do
    params = {"frequency": "10ms"} if market == "spot" else {}
    async with simulated(monkeypatch, 20) as (simulator, exchange):
        served = simulator.venue("mexc", market)
        for _ in range(10):
            await exchange.watch_order_book(MARKETS[market], None, params)
        served.misbehave("freeze_market")
        truth = served.book("BTC/USDT")

        def same() -> bool:
            book = exchange.orderbooks[MARKETS[market]]
            return all(
                [(float(level[0]), float(level[1])) for level in book[side]]
                == [(float(price), float(size)) for price, size in truth[side]]
                for side in ("bids", "asks")
            )

        await wait_until(same, "the book equal")
        assert len(exchange.orderbooks[MARKETS[market]]["bids"]) > 60
        assert served.statistics()["limit_breaches"] == {}


async def test_ccxt_reads_the_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    async with simulated(monkeypatch, 5) as (simulator, exchange):
        markets = await exchange.load_markets()
        for market, suffix in (("spot", ""), ("futures", ":USDT")):
            for pair in simulator.pairs:
                one = markets[pair + suffix]
                listing = simulator.venue("mexc", market).feed_of_pair(pair).listing
                assert one["active"] is True
                assert one["precision"]["price"] == float(listing.tick)
                assert one["precision"]["amount"] == float(listing.lot)
                if market == "futures":
                    assert one["contractSize"] == float(listing.contract_value)
            assert markets["LUNA/USDT" + suffix]["active"] is False


@pytest.mark.parametrize("market", MARKETS)
async def test_ccxt_receives_trades_and_tickers(monkeypatch: pytest.MonkeyPatch, market: str) -> None:
    async with simulated(monkeypatch, 200) as (_, exchange):
        trades = await exchange.watch_trades(MARKETS[market])
        while len(trades) < 3:
            trades = await exchange.watch_trades(MARKETS[market])
        for trade in trades:
            assert abs(trade["price"] / 65000 - 1) < 0.05
            assert trade["amount"] > 0
            assert trade["side"] in ("buy", "sell")
        ticker = await exchange.watch_ticker(MARKETS[market])
        assert ticker["bid"] < ticker["ask"]
