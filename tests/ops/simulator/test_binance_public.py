"""Binance's public protocol as venues/binance.md states it, seen by a raw client."""

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ops.simulator import Simulator
from tests.support.raw_venues import BinanceBook, ask, exact, receive
from tests.support.waiting import wait_until

MARKETS = ["spot", "futures"]
BUSY = 30.0  # every interval of every pair changes something


@pytest.fixture
async def binance() -> AsyncIterator[Simulator]:
    async with Simulator([("binance", "spot"), ("binance", "futures")], pairs=3, rate=BUSY) as simulator:
        yield simulator


def urls(simulator: Simulator, market: str) -> tuple[str, str]:
    """(REST base, websocket base with the route of books)."""
    endpoint = next(one for one in simulator.endpoints if one["market"] == market)
    return endpoint["rest_url"], endpoint["ws_url"] + ("/public" if market == "futures" else "")


@pytest.mark.parametrize(
    "market,speed", [("spot", "@100ms"), ("spot", ""), ("futures", "@100ms"), ("futures", ""), ("futures", "@500ms")]
)
async def test_a_book_built_by_the_sheets_rules_is_exact(binance: Simulator, market: str, speed: str) -> None:
    rest, ws_url = urls(binance, market)
    async with connect(f"{ws_url}/ws/btcusdt@depth{speed}") as ws, asyncio.timeout(30):
        book = BinanceBook(ws, rest, "BTCUSDT", market)
        await book.bootstrap()
        for _ in range(15 if speed == "@100ms" else 2):
            await book.step()
        served = binance.venue("binance", market)
        served.misbehave("freeze_market")
        while book.last != served.book("BTC/USDT")["sequence"]:
            await book.step()
        assert book.as_text() == exact(served.book("BTC/USDT"))


async def test_a_snapshot_may_lie_inside_a_diff(binance: Simulator) -> None:
    """The books move between two messages, as on the real venue: the first-event rule is really needed."""
    rest, ws_url = urls(binance, "spot")
    market = binance.venue("binance", "spot").instrument("BTC/USDT")
    async with connect(f"{ws_url}/ws/btcusdt@depth") as ws, asyncio.timeout(20):
        book = BinanceBook(ws, rest, "BTCUSDT", "spot")
        event = json.loads(await ws.recv())
        await wait_until(lambda: market.sequence > event["u"], "a change inside the next window")
        shot = await book.snapshot()
        event = await receive(ws, lambda m: m["u"] >= shot["lastUpdateId"])
        assert event["U"] <= shot["lastUpdateId"] < event["u"]


@pytest.mark.parametrize("market", MARKETS)
async def test_partial_depth_is_the_top_of_the_book(binance: Simulator, market: str) -> None:
    _, ws_url = urls(binance, market)
    names = ["btcusdt@depth20@100ms", "btcusdt@depth5@100ms", "btcusdt@depth10"]
    async with connect(f"{ws_url}/stream?streams={'/'.join(names)}") as ws:
        served = binance.venue("binance", market)
        key, bids, asks = ("lastUpdateId", "bids", "asks") if market == "spot" else ("u", "b", "a")
        last: dict[str, dict[str, Any]] = {}
        async with asyncio.timeout(10):
            while len(last) < 3:
                message = json.loads(await ws.recv())
                last[message["stream"]] = message["data"]
            served.misbehave("freeze_market")
            final = served.book("BTC/USDT")
            while {data[key] for data in last.values()} != {final["sequence"]}:
                message = json.loads(await ws.recv())
                last[message["stream"]] = message["data"]
        for name, depth in zip(names, (20, 5, 10), strict=True):
            assert last[name][bids] == final["bids"][:depth]
            assert last[name][asks] == final["asks"][:depth]
        data = last[names[0]]
        assert ("s" in data) == (market == "futures")  # spot names no symbol
        if market == "futures":
            assert data["e"] == "depthUpdate"


@pytest.mark.parametrize("market", MARKETS)
async def test_the_ticker_agrees_with_the_book_at_the_same_id(binance: Simulator, market: str) -> None:
    rest, ws_url = urls(binance, market)
    agreed = 0
    tickers: dict[int, dict[str, Any]] = {}
    async with connect(f"{ws_url}/ws/btcusdt@depth@100ms") as ws, connect(f"{ws_url}/ws/btcusdt@bookTicker") as top:
        book = BinanceBook(ws, rest, "BTCUSDT", market)
        async with asyncio.timeout(30):
            await book.bootstrap()
            while agreed < 8:
                event = await book.step()
                while not any(u >= event["u"] for u in tickers):
                    one = json.loads(await top.recv())
                    tickers[one["u"]] = one
                if event["u"] in tickers:
                    one = tickers[event["u"]]
                    assert (Decimal(one["b"]), Decimal(one["B"])) == book.as_text()[0][0]
                    assert (Decimal(one["a"]), Decimal(one["A"])) == book.as_text()[1][0]
                    agreed += 1


@pytest.mark.parametrize("market", MARKETS)
async def test_trades_are_numbered_without_gaps(binance: Simulator, market: str) -> None:
    _, ws_url = urls(binance, market)
    async with connect(f"{ws_url}/ws/btcusdt@trade") as ws, asyncio.timeout(20):
        ids = [json.loads(await ws.recv())["t"] for _ in range(10)]
    assert ids == list(range(ids[0], ids[0] + 10))


async def test_payloads_have_the_fields_of_the_sheet(binance: Simulator) -> None:
    fields = {
        ("spot", "/ws/btcusdt@bookTicker"): "u s b B a A",
        ("spot", "/ws/btcusdt@depth@100ms"): "e E s U u b a",
        ("spot", "/ws/btcusdt@depth5@100ms"): "lastUpdateId bids asks",
        ("spot", "/ws/btcusdt@trade"): "e E s t p q T m M",
        ("futures", "/public/ws/btcusdt@bookTicker"): "e u s ps b B a A T E st",
        ("futures", "/public/ws/btcusdt@depth@100ms"): "e E T s ps U u pu b a st",
        ("futures", "/public/ws/btcusdt@depth5"): "e E T s ps U u pu b a st",
        ("futures", "/market/ws/btcusdt@aggTrade"): "e E s a p q nq f l T m st",
        ("futures", "/public/ws/btcusdt@trade"): "e E T s t p q X m st",
    }
    for (market, path), names in fields.items():
        endpoint = next(one for one in binance.endpoints if one["market"] == market)
        async with connect(endpoint["ws_url"] + path) as ws, asyncio.timeout(10):
            assert set(json.loads(await ws.recv())) == set(names.split()), path


async def test_requests_are_answered(binance: Simulator) -> None:
    _, ws_url = urls(binance, "spot")
    async with connect(f"{ws_url}/stream") as ws:
        assert await ask(ws, {"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1}) == {"result": None, "id": 1}
        answer = await ask(ws, {"method": "LIST_SUBSCRIPTIONS", "id": "list"})
        assert answer == {"result": ["btcusdt@trade"], "id": "list"}
        answer = await ask(ws, {"method": "GET_PROPERTY", "params": ["combined"], "id": 3})
        assert answer == {"result": True, "id": 3}
        assert await ask(ws, {"method": "UNSUBSCRIBE", "params": ["btcusdt@trade"], "id": 4}) == {
            "result": None,
            "id": 4,
        }
    async with connect(f"{ws_url}/stream") as ws:
        assert await ask(ws, {"method": "LIST_SUBSCRIPTIONS", "id": 5}) == {"result": [], "id": 5}
        await ask(ws, {"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 6})
        assert "stream" in await receive(ws, lambda m: "id" not in m)
        await ask(ws, {"method": "SET_PROPERTY", "params": ["combined", False], "id": 7})
        assert (await receive(ws, lambda m: "id" not in m and "stream" not in m))["e"] == "trade"


@pytest.mark.parametrize(
    "request_text,code",
    [
        ("{", 3),
        ("[]", 2),
        ('{"method":"DANCE","id":1}', 2),
        ('{"method":"SUBSCRIBE","params":["nonsense"],"id":1}', 2),
        ('{"method":"SUBSCRIBE","params":"btcusdt@depth","id":1}', 2),
        ('{"method":"SUBSCRIBE","params":["btcusdt@depth"],"id":1.5}', 2),
        ('{"method":"GET_PROPERTY","params":["colour"],"id":1}', 0),
        ('{"method":"SET_PROPERTY","params":["combined","yes"],"id":1}', 1),
    ],
)
async def test_malformed_requests_get_the_sheets_codes(binance: Simulator, request_text: str, code: int) -> None:
    for market in MARKETS:
        _, ws_url = urls(binance, market)
        async with connect(f"{ws_url}/ws") as ws:
            await ws.send(request_text)
            answer = json.loads(await ws.recv())
            error = answer["error"] if market == "spot" else answer  # both shapes of §4 are played
            assert error["code"] == code


@pytest.mark.parametrize(
    "market,path,stream",
    [
        ("spot", "/ws", "nosuchusdt@depth@100ms"),
        ("spot", "/ws", "BTCUSDT@depth@100ms"),
        ("spot", "/ws", "btcusdt@depth50@100ms"),
        ("futures", "/market/ws", "btcusdt@depth@100ms"),
        ("futures", "/public/ws", "btcusdt@aggTrade"),
        ("futures", "/ws", "btcusdt@aggTrade"),
        ("futures", "/private/ws", "btcusdt@depth@100ms"),
    ],
    ids=[
        "unknown symbol",
        "wrong case",
        "no such depth",
        "book on market",
        "aggTrade on public",
        "aggTrade",
        "private",
    ],
)
async def test_an_acknowledged_stream_may_stay_silent(binance: Simulator, market: str, path: str, stream: str) -> None:
    endpoint = next(one for one in binance.endpoints if one["market"] == market)
    watch = "btcusdt@aggTrade" if path == "/market/ws" else "btcusdt@bookTicker"
    async with connect(endpoint["ws_url"] + path) as ws:
        assert await ask(ws, {"method": "SUBSCRIBE", "params": [stream], "id": 1}) == {"result": None, "id": 1}
        assert (await ask(ws, {"method": "LIST_SUBSCRIPTIONS", "id": 2}))["result"] == [stream]
        if path != "/private/ws":  # what follows is the first that comes
            await ask(ws, {"method": "SUBSCRIBE", "params": [watch], "id": 3})
            for _ in range(10):
                assert json.loads(await ws.recv()).get("e", "bookTicker") != "depthUpdate"
        assert not binance.venue("binance", market).feed_of_pair("BTC/USDT").streams.get(stream)


async def test_the_unrouted_futures_base_delivers_books(binance: Simulator) -> None:
    endpoint = next(one for one in binance.endpoints if one["market"] == "futures")
    async with connect(endpoint["ws_url"] + "/ws") as ws:
        await ask(ws, {"method": "SUBSCRIBE", "params": ["btcusdt@depth@100ms"], "id": 1})
        assert (await receive(ws, lambda m: "e" in m))["e"] == "depthUpdate"


@pytest.mark.parametrize("market,allowed", [("spot", 5), ("futures", 10)])
async def test_too_many_messages_close_the_connection(binance: Simulator, market: str, allowed: int) -> None:
    _, ws_url = urls(binance, market)
    binance.venue("binance", market).mono_ms = lambda: 1000.0  # one second, however slow this machine is
    async with connect(f"{ws_url}/ws") as ws:
        for number in range(allowed):
            if number % 2:
                await ws.ping()  # control frames count
            else:
                await ws.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
        await ws.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 99}))
        with pytest.raises(ConnectionClosed) as closed:
            await receive(ws, lambda m: m.get("id") == 99)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "Too many requests")
    assert binance.venue("binance", market).statistics()["limit_breaches"] == {"messages": 1}


async def test_a_large_frame_is_illegal_and_1024_streams_are_the_most(binance: Simulator) -> None:
    _, ws_url = urls(binance, "spot")
    async with connect(f"{ws_url}/ws") as ws:
        await ws.send(
            json.dumps({"method": "SUBSCRIBE", "params": [f"s{n:04d}usdt@trade" for n in range(400)], "id": 1})
        )
        with pytest.raises(ConnectionClosed) as closed:
            await ws.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 3001
    binance.venue("binance", "spot").enforce_limits = False  # frame size and pace are not the point here
    async with connect(f"{ws_url}/ws") as ws:
        names = [f"s{n:04d}usdt@trade" for n in range(1024)]
        assert await ask(ws, {"method": "SUBSCRIBE", "params": names, "id": 1}) == {"result": None, "id": 1}
        answer = await ask(ws, {"method": "SUBSCRIBE", "params": ["onemore@trade"], "id": 2})
        assert answer["error"]["code"] == 2


@pytest.mark.parametrize("market", MARKETS)
async def test_the_server_pings_and_cuts_who_does_not_pong(binance: Simulator, market: str) -> None:
    _, ws_url = urls(binance, market)
    served = binance.venue("binance", market)
    served.timing.ping_interval_ms, served.timing.pong_timeout_ms = 100, 300
    served.enforce_limits = False
    async with connect(f"{ws_url}/ws") as ws:
        await wait_until(lambda: served.statistics()["pongs_received"] >= 6, "pongs for longer than the deadline")
        assert served.statistics()["open"] == 1
        ws.transport.pause_reading()  # a client that hangs
        await wait_until(lambda: served.statistics()["limit_breaches"].get("pong"), "the cut of a silent client")
        ws.transport.resume_reading()
        with pytest.raises(ConnectionClosed):
            await ws.recv()


async def test_real_heartbeats_and_lifetimes_are_the_sheets(binance: Simulator) -> None:
    spot, futures = (binance.venue("binance", market).timing for market in MARKETS)
    assert (spot.ping_interval_ms, spot.pong_timeout_ms, spot.lifetime_ms) == (20_000, 60_000, 86_400_000)
    assert (futures.ping_interval_ms, futures.pong_timeout_ms, futures.lifetime_ms) == (180_000, 600_000, 86_400_000)


async def test_a_connection_ends_after_its_lifetime(binance: Simulator) -> None:
    binance.venue("binance", "spot").timing.lifetime_ms = 200
    async with connect(f"{urls(binance, 'spot')[1]}/ws") as ws:
        with pytest.raises(ConnectionClosed):
            await ws.recv()


async def test_only_real_paths_open_a_websocket(binance: Simulator) -> None:
    for market, path in [("spot", "/public/ws"), ("spot", "/nothing"), ("futures", "/stream/btcusdt@depth")]:
        endpoint = next(one for one in binance.endpoints if one["market"] == market)
        with pytest.raises(InvalidStatus) as refused:
            async with connect(endpoint["ws_url"] + path):
                pass
        assert refused.value.response.status_code == 404
