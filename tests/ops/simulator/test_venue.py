"""What all simulated venues share: instruments that sleep, counts, exact books."""

import json

import httpx
import pytest
from websockets.asyncio.client import connect

from fleet.errors import ConfigError
from ops.simulator import Simulator
from tests.support.waiting import wait_until


async def test_a_book_that_nobody_watches_sleeps() -> None:
    async with Simulator([("binance", "spot")], pairs=3, rate=30) as simulator:
        served = simulator.venue("binance", "spot")
        ws_url, rest_url = simulator.endpoints[0]["ws_url"], simulator.endpoints[0]["rest_url"]
        eth, doge = served.instrument("ETH/USDT"), served.instrument("SOL/USDT")
        asleep = eth.sequence, doge.sequence
        async with connect(f"{ws_url}/ws/btcusdt@depth@100ms") as ws:
            for _ in range(5):
                await ws.recv()
            assert (eth.sequence, doge.sequence) == asleep
            await ws.send(json.dumps({"method": "SUBSCRIBE", "params": ["ethusdt@trade"], "id": 1}))
            await wait_until(lambda: eth.sequence > asleep[0], "the market that is watched now")
        async with httpx.AsyncClient() as http:
            await http.get(f"{rest_url}/api/v3/depth", params={"symbol": "SOLUSDT"})
        await wait_until(lambda: doge.sequence > asleep[1], "the market that REST asked for")


async def test_an_abandoned_stream_is_forgotten() -> None:
    async with Simulator([("binance", "spot")], pairs=1, rate=30) as simulator:
        served = simulator.venue("binance", "spot")
        async with connect(simulator.endpoints[0]["ws_url"] + "/ws/btcusdt@depth@100ms") as ws:
            await ws.recv()
            assert len(served.feed_of_pair("BTC/USDT").listened()) == 1
        await wait_until(lambda: not served.feed_of_pair("BTC/USDT").listened(), "the stream without listeners")
        assert served.statistics()["open"] == 0


async def test_a_book_is_given_in_venue_text_best_first() -> None:
    async with Simulator([("okx", "futures")], pairs=1, levels=50) as simulator:
        book = simulator.venue("okx", "futures").book("BTC/USDT")
        bids, asks = ([float(price) for price, _ in book[side]] for side in ("bids", "asks"))
        assert bids == sorted(bids, reverse=True)
        assert asks == sorted(asks)
        assert bids[0] < asks[0]
        assert 25 <= len(bids) <= 50
        with pytest.raises(ConfigError, match="does not list it"):
            simulator.venue("okx", "futures").book("ETH/USDT")
