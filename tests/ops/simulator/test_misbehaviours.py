"""Each misbehaviour does what its name says, and nothing else."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from fleet.errors import ConfigError
from ops.simulator import Simulator
from ops.simulator.misbehaviours import MISBEHAVIOURS
from ops.simulator.venue import Venue
from tests.support.raw_venues import BinanceBook, Crossed, Gap, OkxBook, ask, exact, receive
from tests.support.waiting import wait_until

PAIR = "BTC/USDT"
ALL = [("binance", "spot"), ("binance", "futures"), ("okx", "spot")]
ids = [f"{venue} {market}" for venue, market in ALL]


class World:
    """A simulator, one raw client, and the book that it keeps."""

    def __init__(self, stack: AsyncExitStack, simulator: Simulator) -> None:
        self.stack = stack
        self.simulator = simulator

    async def book(self, venue: str, market: str) -> tuple[Venue, BinanceBook | OkxBook]:
        """The served venue and a live book of PAIR."""
        rest, ws_url = self.urls(venue, market)
        served = self.simulator.venue(venue, market)
        if venue == "okx":
            okx = OkxBook(await self.open(ws_url), "BTC-USDT")
            await okx.subscribe()
            await okx.step()
            return served, okx
        book = BinanceBook(await self.open(ws_url + "/ws/btcusdt@depth@100ms"), rest, "BTCUSDT", market)
        await book.bootstrap()
        return served, book

    async def open(self, url: str) -> ClientConnection:
        return await self.stack.enter_async_context(connect(url, close_timeout=0.5))

    def urls(self, venue: str, market: str) -> tuple[str, str]:
        one = next(e for e in self.simulator.endpoints if (e["venue"], e["market"]) == (venue, market))
        suffix = {"binance spot": "", "binance futures": "/public"}.get(f"{venue} {market}", "/ws/v5/public")
        return one["rest_url"], one["ws_url"] + suffix


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with Simulator(ALL, pairs=2, rate=30) as simulator, AsyncExitStack() as stack:
        yield World(stack, simulator)


async def steps(book: BinanceBook | OkxBook, count: int) -> None:
    """Receive and apply `count` messages."""
    for _ in range(count):
        await book.step()


async def listen(ws: ClientConnection, seconds: float) -> None:
    """Take what comes for `seconds`; ends with ConnectionClosed or TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            await ws.recv()


async def settle(served: Venue, book: BinanceBook | OkxBook) -> None:
    """Freeze the market and catch up."""
    with served.misbehave("freeze_market"):
        async with asyncio.timeout(10):
            while book.last != served.book(PAIR)["sequence"]:
                await book.step()
        assert book.as_text() == exact(served.book(PAIR))


@pytest.mark.parametrize("venue,market", ALL, ids=ids)
@pytest.mark.parametrize("name", ["drop", "gap"])
async def test_drop_leaves_a_gap(world: World, venue: str, market: str, name: str) -> None:
    served, book = await world.book(venue, market)
    await book.step()
    served.misbehave(name, pair=PAIR, count=2)
    with pytest.raises(Gap):
        await steps(book, 3)


@pytest.mark.parametrize("venue,market", ALL, ids=ids)
async def test_drop_of_another_pair_is_not_felt(world: World, venue: str, market: str) -> None:
    served, book = await world.book(venue, market)
    served.misbehave("drop", pair="ETH/USDT", count=100)
    for _ in range(5):
        await book.step()
    await settle(served, book)


@pytest.mark.parametrize("venue,market", ALL, ids=ids)
async def test_duplicate_sends_deltas_twice(world: World, venue: str, market: str) -> None:
    served, book = await world.book(venue, market)
    await book.step()
    before = book.duplicates
    served.misbehave("duplicate", pair=PAIR, count=3)
    for _ in range(8):
        await book.step()
    assert book.duplicates == before + 3
    await settle(served, book)


@pytest.mark.parametrize("venue,market", ALL, ids=ids)
async def test_reorder_swaps_two_deltas(world: World, venue: str, market: str) -> None:
    served, book = await world.book(venue, market)
    await book.step()
    served.misbehave("reorder", pair=PAIR)
    with pytest.raises(Gap) as gap:
        await steps(book, 3)
    late = await receive(book.ws, lambda m: True)
    first = late["data"][0]["prevSeqId"] if venue == "okx" else late["U"] - 1 if market == "spot" else late["pu"]
    assert first == book.last, gap  # the one that was awaited comes after its successor


@pytest.mark.parametrize("venue,market", ALL, ids=ids)
async def test_stall_silences_one_pair_and_its_end_leaves_no_gap(world: World, venue: str, market: str) -> None:
    served, book = await world.book(venue, market)
    with served.misbehave("stall", pair=PAIR):
        moved = served.instrument(PAIR).sequence + 200
        await wait_until(lambda: served.instrument(PAIR).sequence > moved, "the market to go on in silence")
        while len(book.ws.recv_messages.frames):  # what had left before the silence
            await book.step()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(book.step(), 0.3)
        if venue == "okx":
            await book.ws.send("ping")
            assert await book.ws.recv() == "pong"
        else:
            assert (await ask(book.ws, {"method": "LIST_SUBSCRIPTIONS", "id": 1}))["id"] == 1
    await settle(served, book)


@pytest.mark.parametrize("venue,market", ALL, ids=ids)
async def test_half_open_keeps_the_socket_and_says_nothing(world: World, venue: str, market: str) -> None:
    served, book = await world.book(venue, market)
    served.misbehave("half_open")
    pong = await book.ws.ping()
    with pytest.raises(TimeoutError):
        await listen(book.ws, 0.5)
    assert not pong.done()
    assert book.ws.close_code is None
    assert served.statistics()["open"] == 1
    again, fresh = await world.book(venue, market)
    await fresh.step()
    assert again is served


async def test_close_all_closes_with_a_frame_or_cuts(world: World) -> None:
    for hard in (False, True):
        served, book = await world.book("binance", "spot")
        served.misbehave("close_all", code=1012, reason="service restart", hard=hard)
        with pytest.raises(ConnectionClosed) as closed:
            await listen(book.ws, 5)
        assert (closed.value.rcvd is None) == hard
        if closed.value.rcvd is not None:
            assert closed.value.rcvd.code == 1012


@pytest.mark.parametrize("venue,market", ALL, ids=ids)
async def test_slow_delays_and_keeps_the_order(world: World, venue: str, market: str) -> None:
    served, book = await world.book(venue, market)
    loop = asyncio.get_running_loop()
    with served.misbehave("slow", delay_ms=400):
        started = loop.time()
        pong = await book.ws.ping()
        while not pong.done():
            await book.step()
        assert loop.time() - started >= 0.4
        for _ in range(3):
            await book.step()
    await settle(served, book)


async def test_refuse_refuses_new_connects_and_rest(world: World) -> None:
    served, book = await world.book("binance", "spot")
    rest, ws_url = world.urls("binance", "spot")
    async with httpx.AsyncClient(base_url=rest) as http:
        with served.misbehave("refuse"):
            assert (await http.get("/api/v3/time")).status_code == 503
            with pytest.raises(InvalidStatus) as refused:
                await world.open(ws_url + "/ws")
            assert refused.value.response.status_code == 503
            await book.step()  # who is in stays in
        with served.misbehave("refuse", hard=True):
            with pytest.raises(httpx.TransportError):
                await http.get("/api/v3/time")
            with pytest.raises((OSError, InvalidHandshake, EOFError)):
                await world.open(ws_url + "/ws")
        assert (await http.get("/api/v3/time")).status_code == 200
    assert served.statistics()["connects_refused"] == 2


async def test_rate_limit_answers_429_or_418(world: World) -> None:
    for status in (429, 418):
        with world.simulator.venue("binance", "futures").misbehave("rate_limit", status=status, retry_after_s=7):
            async with httpx.AsyncClient(base_url=world.urls("binance", "futures")[0]) as http:
                answer = await http.get("/fapi/v1/depth", params={"symbol": "BTCUSDT"})
                assert (answer.status_code, answer.headers["Retry-After"]) == (status, "7")
                assert answer.json()["code"] == -1003
    with world.simulator.venue("okx", "spot").misbehave("rate_limit"):
        async with httpx.AsyncClient(base_url=world.urls("okx", "spot")[0]) as http:
            answer = await http.get("/api/v5/market/books", params={"instId": "BTC-USDT"})
            assert (answer.status_code, answer.json()["code"]) == (429, "50011")


@pytest.mark.parametrize("market", ["spot", "futures"])
async def test_a_stale_snapshot_is_older_than_the_buffer(world: World, market: str) -> None:
    rest, ws_url = world.urls("binance", market)
    served = world.simulator.venue("binance", market)
    served.misbehave("stale_snapshot", pair=PAIR, count=2)
    book = BinanceBook(await world.open(ws_url + "/ws/btcusdt@depth@100ms"), rest, "BTCUSDT", market)
    await book.bootstrap()
    assert book.refetched == 2
    await settle(served, book)


@pytest.mark.parametrize("venue,market", ALL, ids=ids)
async def test_garbage_does_not_parse_and_loses_nothing(world: World, venue: str, market: str) -> None:
    served, book = await world.book(venue, market)
    served.misbehave("garbage", pair=PAIR)
    with pytest.raises(json.JSONDecodeError):
        await steps(book, 3)
    await settle(served, book)


@pytest.mark.parametrize("venue,market", ALL, ids=ids)
async def test_crossed_crosses_once_and_heals(world: World, venue: str, market: str) -> None:
    served, book = await world.book(venue, market)
    served.misbehave("crossed", pair=PAIR)
    with pytest.raises(Crossed):
        await steps(book, 3)
    await book.step()
    await settle(served, book)


async def test_wrong_ack_answers_for_something_else(world: World) -> None:
    world.simulator.venue("binance", "spot").misbehave("wrong_ack")
    ws = await world.open(world.urls("binance", "spot")[1] + "/ws")
    await ws.send(json.dumps({"method": "SUBSCRIBE", "params": ["btcusdt@bookTicker"], "id": 1}))
    assert json.loads(await ws.recv())["id"] != 1
    assert "b" in json.loads(await ws.recv())
    world.simulator.venue("okx", "spot").misbehave("wrong_ack")
    book = OkxBook(await world.open(world.urls("okx", "spot")[1]), "BTC-USDT")
    assert (await book.subscribe())["arg"]["instId"] != "BTC-USDT"
    assert (await book.step())["action"] == "snapshot"


async def test_freeze_market_stops_the_books_and_goes_on_after(world: World) -> None:
    served, book = await world.book("okx", "spot")
    with served.misbehave("freeze_market"):
        sequence = served.book(PAIR)["sequence"]
        while book.last != sequence:
            await book.step()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(book.ws.recv(), 0.4)
        assert served.book(PAIR)["sequence"] == sequence
    await book.step()


async def test_shutdown_notice_is_told_in_the_venues_words_and_then_happens(world: World) -> None:
    combined = await world.open(world.urls("binance", "spot")[1] + "/stream")
    raw = await world.open(world.urls("binance", "spot")[1] + "/ws")
    okx = await world.open(world.urls("okx", "spot")[1])
    for venue in ("binance", "okx"):
        world.simulator.venue(venue, "spot").misbehave("shutdown_notice", close_after_s=0.1)
    message: dict[str, Any] = json.loads(await combined.recv())
    assert (message["stream"], message["data"]["e"]) == ("!serverShutdown", "serverShutdown")
    assert set(json.loads(await raw.recv())) == {"e", "E"}
    assert json.loads(await okx.recv())["code"] == "64008"
    for ws in (combined, raw, okx):
        with pytest.raises(ConnectionClosed):
            await ws.recv()


async def test_what_cannot_be_right_is_refused_with_the_mend(world: World) -> None:
    served = world.simulator.venue("okx", "spot")
    with pytest.raises(ConfigError, match="expected one of drop, gap, duplicate"):
        served.misbehave("dorp", pair=PAIR)
    with pytest.raises(ConfigError, match="missing a required"):
        served.misbehave("drop")
    with pytest.raises(ConfigError, match="does not list it"):
        served.misbehave("stall", pair="BTC/EUR")
    assert all(function.__doc__ for function in MISBEHAVIOURS.values())
