"""The control endpoint, as another process uses it."""

import json

import httpx
from websockets.asyncio.client import connect

from ops.simulator import Simulator

BOTH = [("binance", "spot"), ("okx", "futures")]


async def test_books_counts_and_misbehaviours_are_reached_through_any_port() -> None:
    async with Simulator(BOTH, pairs=2, rate=30) as simulator, httpx.AsyncClient() as http:
        binance, okx = simulator.endpoints
        control = binance["control_url"]
        await http.post(control, json={"venue": "okx", "market": "futures", "action": "freeze_market"})
        query = {"venue": "okx", "market": "futures", "pair": "BTC/USDT"}
        book = (await http.get(f"{control}/book", params=query)).json()
        assert book == simulator.venue("okx", "futures").book("BTC/USDT")
        assert len(book["bids"]) > 100
        own = (await http.get(f"{control}/book", params={"pair": "BTC/USDT"})).json()
        assert own["sequence"] == simulator.venue("binance", "spot").book("BTC/USDT")["sequence"]
        await http.get(okx["rest_url"] + "/api/v5/public/time")
        async with connect(binance["ws_url"] + "/ws/btcusdt@bookTicker") as ws:
            json.loads(await ws.recv())
            stats = {one["venue"]: one for one in (await http.get(f"{control}/stats")).json()}
        assert stats["okx"]["requests"] == {"200": 1}
        assert stats["binance"]["connects"] == stats["binance"]["open"] == 1
        assert stats["binance"]["messages_sent"] >= 1
        ((at_ms, what, status),) = (await http.get(f"{okx['control_url']}/requests")).json()
        assert (what, status) == ("/api/v5/public/time", 200)
        assert abs(at_ms - simulator.venue("okx", "futures").wall_ms()) < 60_000
        ((_, what, status),) = (await http.get(f"{control}/requests")).json()
        assert (what, status) == ("websocket", 101)


async def test_a_misbehaviour_ends_when_told() -> None:
    async with Simulator(BOTH, pairs=2) as simulator, httpx.AsyncClient() as http:
        endpoint = simulator.endpoints[0]
        time_url = endpoint["rest_url"] + "/api/v3/time"
        await http.post(endpoint["control_url"], json={"action": "rate_limit", "status": 418})
        assert (await http.get(time_url)).status_code == 418
        answer = await http.post(endpoint["control_url"], json={"action": "rate_limit", "end": True})
        assert answer.json() == {"ok": True, "ended": 1}
        assert (await http.get(time_url)).status_code == 200


async def test_what_cannot_be_right_is_400_with_the_reason() -> None:
    async with Simulator(BOTH, pairs=2) as simulator, httpx.AsyncClient() as http:
        control = simulator.endpoints[0]["control_url"]
        for body in ({"action": "dorp"}, {"action": "drop"}, {"action": "drop", "pair": "X/Y"}, {"venue": "mexc"}):
            answer = await http.post(control, json=body)
            assert (answer.status_code, list(answer.json())) == (400, ["error"])
        assert (await http.post(control, content=b"{")).status_code == 400
        assert (await http.get(control + "/nothing")).status_code == 400
        assert (await http.get(control + "/book", params={"pair": "X/Y"})).status_code == 400


async def test_control_answers_while_the_venue_refuses() -> None:
    async with Simulator(BOTH, pairs=2) as simulator, httpx.AsyncClient() as http:
        simulator.venue("binance", "spot").misbehave("refuse", hard=True)
        assert (await http.get(simulator.endpoints[0]["control_url"] + "/stats")).status_code == 200
