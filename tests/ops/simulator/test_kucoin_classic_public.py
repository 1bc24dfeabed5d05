"""KuCoin's Classic sockets as venues/kucoin.md states them, seen by a raw client: the token, the topics, the books."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ops.simulator import Simulator, registry
from ops.simulator.kucoin.public import KucoinClassicPublic, KucoinPublic
from tests.support.raw_venues import Crossed, Gap, RawBook, exact, receive

IDS = {"spot": "BTC-USDT", "futures": "XBTUSDTM"}
LEVEL2 = {"spot": "/market/level2", "futures": "/contractMarket/level2"}
STEPS = {"spot": 12, "futures": 60}  # frames to look at: futures say one level in each
SNAPSHOT = {"spot": "/api/v1/market/orderbook/level2_100", "futures": "/api/v1/level2/snapshot"}


@pytest.fixture(autouse=True)
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    for market in IDS:
        monkeypatch.setitem(registry.SIMULATED, ("kucoin", market), KucoinPublic)
        monkeypatch.setitem(registry.SIMULATED, ("kucoin_classic", market), KucoinClassicPublic)


@pytest.fixture
async def kucoin() -> AsyncIterator[Simulator]:
    names = [("kucoin_classic", "spot"), ("kucoin_classic", "futures")]
    async with Simulator(names, pairs=3, rate=30, levels=90) as simulator:
        yield simulator


def rest_url(simulator: Simulator, market: str = "spot") -> str:
    return next(one["rest_url"] for one in simulator.endpoints if one["market"] == market)


async def bullet(simulator: Simulator, market: str = "spot") -> tuple[str, str]:
    """(endpoint, token)."""
    async with httpx.AsyncClient() as http:
        answer = (await http.post(rest_url(simulator, market) + "/api/v1/bullet-public")).json()
    assert answer["code"] == "200000"
    server = answer["data"]["instanceServers"][0]
    assert (server["pingInterval"], server["pingTimeout"]) == (18000, 10000)
    return server["endpoint"], answer["data"]["token"]


@asynccontextmanager
async def dialled(simulator: Simulator, market: str = "spot") -> AsyncIterator[ClientConnection]:
    """A socket that has been welcomed."""
    endpoint, token = await bullet(simulator, market)
    async with connect(f"{endpoint}?token={quote(token, safe='')}&connectId=me", max_queue=None) as ws:
        assert json.loads(await ws.recv()) == {"id": "me", "type": "welcome"}
        yield ws


def request(topic: str, kind: str = "subscribe", **more: Any) -> dict[str, Any]:
    return {"id": "1", "type": kind, "topic": topic, "privateChannel": False, "response": True, **more}


async def ask(ws: ClientConnection, one: dict[str, Any]) -> dict[str, Any]:
    await ws.send(json.dumps(one))
    return dict(await receive(ws, lambda m: m.get("type") in ("ack", "error")))


def of(topic: str) -> Any:
    return lambda m: str(m.get("topic", "")).startswith(topic)


class ClassicBook(RawBook):
    """Rules of venues/kucoin.md §5.2 and §5.3 for one level2 subscription."""

    def __init__(self, simulator: Simulator, ws: ClientConnection, market: str) -> None:
        super().__init__()
        self.ws, self.market, self.symbol = ws, market, IDS[market]
        self.url = rest_url(simulator, market) + SNAPSHOT[market]
        self.refetched = self.old = self.hidden = 0

    async def subscribe(self) -> dict[str, Any]:
        return await ask(self.ws, request(f"{LEVEL2[self.market]}:{self.symbol}"))

    async def snapshot(self) -> dict[str, Any]:
        async with httpx.AsyncClient() as http:
            answer = (await http.get(self.url, params={"symbol": self.symbol})).json()
        assert answer["code"] == "200000"
        return dict(answer["data"])

    async def bootstrap(self) -> None:
        """Buffer first, then fetch, again until the snapshot reaches the buffer."""
        first = await receive(self.ws, of(LEVEL2[self.market]))
        while True:
            shot = await self.snapshot()
            if int(shot["sequence"]) + 1 >= self._range(first["data"])[0]:
                break
            self.refetched += 1
        bids, asks = ([[str(price), str(size)] for price, size in shot[side]] for side in ("bids", "asks"))
        self.load(bids, asks, int(shot["sequence"]))
        self._apply(first["data"])

    async def step(self) -> None:
        """Receive and apply one frame. Raises Gap."""
        self._apply((await receive(self.ws, of(LEVEL2[self.market])))["data"])

    def _range(self, data: dict[str, Any]) -> tuple[int, int]:
        if self.market == "spot":
            return data["sequenceStart"], data["sequenceEnd"]
        return data["sequence"], data["sequence"]

    def _apply(self, data: dict[str, Any]) -> None:
        assert self.last is not None
        start, end = self._range(data)
        if end <= self.last:
            self.old += 1
            return
        if start > self.last + 1:
            raise Gap(f"{start} after {self.last}")
        if self.market == "spot":
            bids, asks = (
                [[p, q] for p, q, sequence in data["changes"][side] if int(sequence) > self.last and p != "0"]
                for side in ("bids", "asks")
            )
            self.hidden += any(row[0] == "0" for side in ("bids", "asks") for row in data["changes"][side])
        else:
            price, side, size = data["change"].split(",")
            bids, asks = ([[price, size]] if side == name else [] for name in ("buy", "sell"))
        self.change(bids, asks, end)


# --- the token ---------------------------------------------------------------------------------------------------------------


async def test_a_token_opens_one_socket_and_the_next_dial_needs_a_new_one(kucoin: Simulator) -> None:
    endpoint, token = await bullet(kucoin)
    assert {"/", "+", "="} & set(token)  # it must be encoded
    url = f"{endpoint}?token={quote(token, safe='')}&connectId=one"
    async with connect(url) as ws:
        assert json.loads(await ws.recv())["type"] == "welcome"
    async with connect(url) as again:
        assert json.loads(await again.recv()) == {"type": "error", "code": 401, "data": "token is expired"}
        with pytest.raises(ConnectionClosed):
            await again.recv()
    async with dialled(kucoin):
        pass


@pytest.mark.parametrize("token", ["", "made-up"])
async def test_without_a_token_of_this_host_nothing_is_heard(kucoin: Simulator, token: str) -> None:
    endpoint, _ = await bullet(kucoin)
    _, other = await bullet(kucoin, "futures")
    for one in (token, other):
        async with connect(f"{endpoint}?token={quote(one, safe='')}") as ws:
            assert json.loads(await ws.recv())["code"] == 401


async def test_a_token_lives_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ms = [1_795_348_800_000]
    names = [("kucoin_classic", "spot")]
    async with Simulator(names, pairs=1, wall_ms=lambda: now_ms[0]) as simulator:
        endpoint, token = await bullet(simulator)
        now_ms[0] += 24 * 3_600_000
        async with connect(f"{endpoint}?token={quote(token, safe='')}") as ws:
            assert json.loads(await ws.recv())["code"] == 401


async def test_expired_tokens_leave_open_sockets_alone(kucoin: Simulator) -> None:
    served = kucoin.venue("kucoin_classic", "spot")
    endpoint, token = await bullet(kucoin)
    async with dialled(kucoin) as ws:
        served.misbehave("expire_tokens")
        async with connect(f"{endpoint}?token={quote(token, safe='')}") as late:
            assert json.loads(await late.recv())["data"] == "token is expired"
        assert await ask(ws, request("/market/match:BTC-USDT")) == {"id": "1", "type": "ack"}


# --- books --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("market", IDS)
async def test_a_book_built_by_the_sheets_rules_is_exact(kucoin: Simulator, market: str) -> None:
    served = kucoin.venue("kucoin_classic", market)
    async with dialled(kucoin, market) as ws, asyncio.timeout(30):
        book = ClassicBook(kucoin, ws, market)
        assert await book.subscribe() == {"id": "1", "type": "ack"}
        await book.bootstrap()
        for _ in range(STEPS[market]):
            await book.step()
        served.misbehave("freeze_market")
        while book.last != served.book("BTC/USDT")["sequence"]:
            await book.step()
        assert book.as_text() == exact(served.book("BTC/USDT"))
        assert len(book.bids) > 20


async def test_futures_number_every_frame_one_higher_than_the_last(kucoin: Simulator) -> None:
    async with dialled(kucoin, "futures") as ws, asyncio.timeout(20):
        await ask(ws, request("/contractMarket/level2:XBTUSDTM"))
        frames = [await receive(ws, of("/contractMarket/level2")) for _ in range(60)]
        numbers = [frame["data"]["sequence"] for frame in frames]
        assert numbers == list(range(numbers[0], numbers[0] + 60))
        assert [frame["sn"] for frame in frames] == numbers


async def test_the_public_snapshot_of_spot_ends_at_100_levels() -> None:
    async with Simulator([("kucoin_classic", "spot")], pairs=1, levels=400) as simulator, httpx.AsyncClient() as http:
        base = rest_url(simulator) + "/api/v1/market/orderbook/level2_"
        for most in (20, 100):
            book = (await http.get(f"{base}{most}", params={"symbol": "BTC-USDT"})).json()["data"]
            assert len(book["bids"]) == len(book["asks"]) == most
        assert len(simulator.venue("kucoin_classic", "spot").book("BTC/USDT")["bids"]) > 300
        signed = await http.get(f"{rest_url(simulator)}/api/v3/market/orderbook/level2", params={"symbol": "BTC-USDT"})
        assert signed.json()["code"] == "400001"


@pytest.mark.parametrize("market", IDS)
async def test_a_stale_snapshot_is_fetched_again(kucoin: Simulator, market: str) -> None:
    async with dialled(kucoin, market) as ws, asyncio.timeout(30):
        book = ClassicBook(kucoin, ws, market)
        kucoin.venue("kucoin_classic", market).misbehave("stale_snapshot", pair="BTC/USDT")
        await book.subscribe()
        await book.bootstrap()
        assert book.refetched >= 1
        for _ in range(10):
            await book.step()


async def test_both_generations_count_with_one_counter(kucoin: Simulator) -> None:
    served = kucoin.venue("kucoin_classic", "spot")
    pro = next(one["ws_url"] for one in kucoin.endpoints if one["market"] == "spot")
    async with dialled(kucoin) as classic, connect(pro) as ws, asyncio.timeout(20):
        await ask(classic, request("/market/level2:BTC-USDT"))
        deep = {"channel": "obu", "tradeType": "SPOT", "symbol": "BTC-USDT", "depth": "increment@10ms"}
        await ws.send(json.dumps({"id": "1", "action": "SUBSCRIBE", **deep}))
        ends = [(await receive(classic, of("/market/level2")))["data"]["sequenceEnd"] for _ in range(10)]
        pro_ends = {(await receive(ws, lambda m: "dp" in m))["d"]["C"] for _ in range(20)}
        assert len(pro_ends & set(ends)) >= 5
        served.misbehave("freeze_market")


# --- other channels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "market, topic, subject, fields",
    [
        ("spot", "/spotMarket/level1", "level1", "asks bids timestamp"),
        ("spot", "/spotMarket/level2Depth5", "level2", "asks bids timestamp"),
        ("spot", "/spotMarket/level2Depth50", "level2", "asks bids timestamp"),
        ("spot", "/market/ticker", "trade.ticker", "bestAsk bestAskSize bestBid bestBidSize price sequence size time"),
        (
            "spot",
            "/market/match",
            "trade.l3match",
            "symbol sequence type side price size tradeId takerOrderId makerOrderId time",
        ),
        ("spot", "/market/snapshot", "trade.snapshot", "sequence data"),
        ("spot", "/market/level2", "trade.l2update", "changes sequenceEnd sequenceStart symbol time"),
        ("futures", "/contractMarket/level2", "level2", "sequence change timestamp"),
        ("futures", "/contractMarket/level2Depth5", "level2", "sequence asks bids timestamp ts"),
        ("futures", "/contractMarket/level2Depth50", "level2", "sequence asks bids timestamp ts"),
        (
            "futures",
            "/contractMarket/tickerV2",
            "tickerV2",
            "symbol sequence bestBidSize bestBidPrice bestAskPrice bestAskSize ts",
        ),
        (
            "futures",
            "/contractMarket/ticker",
            "ticker",
            "symbol sequence side price size tradeId bestBidSize bestBidPrice bestAskPrice bestAskSize ts",
        ),
        (
            "futures",
            "/contractMarket/execution",
            "match",
            "symbol sequence side size price tradeId takerOrderId makerOrderId ts",
        ),
    ],
)
async def test_payloads_have_the_fields_of_the_sheet(
    kucoin: Simulator, market: str, topic: str, subject: str, fields: str
) -> None:
    async with dialled(kucoin, market) as ws, asyncio.timeout(20):
        await ask(ws, request(f"{topic}:{IDS[market]}"))
        text = await ws.recv()
        assert isinstance(text, str)  # not binary, as on Pro
        message = json.loads(text)
        assert (message["topic"], message["type"]) == (f"{topic}:{IDS[market]}", "message")
        assert message["subject"] == subject
        assert set(message["data"]) == set(fields.split())
        assert ("sn" in message) == (market == "futures")


async def test_views_are_those_of_the_book(kucoin: Simulator) -> None:
    for market, topic, depth in [
        ("spot", "/spotMarket/level2Depth50", 50),
        ("futures", "/contractMarket/level2Depth5", 5),
    ]:
        served = kucoin.venue("kucoin_classic", market)
        async with dialled(kucoin, market) as ws, asyncio.timeout(20):
            await ask(ws, request(f"{topic}:{IDS[market]}"))
            for _ in range(3):
                await receive(ws, of(topic))
            served.misbehave("freeze_market")
            expected = [exact(served.book("BTC/USDT"))[side][:depth] for side in (0, 1)]
            while True:
                data = (await receive(ws, of(topic)))["data"]
                seen = [[(Decimal(p), Decimal(q)) for p, q in data[side]] for side in ("bids", "asks")]
                if seen == expected:
                    break


# --- requests -----------------------------------------------------------------------------------------------------------------


async def test_a_list_of_symbols_is_one_request_and_an_unknown_one_is_silent(kucoin: Simulator) -> None:
    async with dialled(kucoin) as ws, asyncio.timeout(20):
        assert await ask(ws, request("/market/level2:BTC-USDT,NO-USDT,ETH-USDT")) == {"id": "1", "type": "ack"}
        seen = {(await receive(ws, of("/market/level2")))["data"]["symbol"] for _ in range(20)}
        assert seen == {"BTC-USDT", "ETH-USDT"}
        await ask(ws, request("/market/level2:BTC-USDT,NO-USDT", "unsubscribe"))
        seen = {(await receive(ws, of("/market/level2")))["data"]["symbol"] for _ in range(10)}
        assert seen == {"ETH-USDT"}


@pytest.mark.parametrize(
    "wrong, code",
    [
        (request("/contractMarket/level2Depth20:XBTUSDTM"), 404),
        (request("/market/level2"), 400),
        (request(""), 406),
        (request("/market/level2:BTC-USDT", "listen"), 415),
        (request("/market/level2:BTC-USDT", privateChannel=True), 403),
        (request("/account/balance"), 403),
        (request("/market/level2:" + ",".join(f"X{n}-USDT" for n in range(101))), 509),
    ],
)
async def test_refused_requests_get_the_sheets_codes(kucoin: Simulator, wrong: dict[str, Any], code: int) -> None:
    async with dialled(kucoin) as ws, asyncio.timeout(10):
        answer = await ask(ws, wrong)
        assert (answer["id"], answer["type"], answer["code"]) == ("1", "error", code)


async def test_what_is_no_request_is_an_error_without_an_id(kucoin: Simulator) -> None:
    async with dialled(kucoin) as ws, asyncio.timeout(10):
        for text in ("{", "7"):
            await ws.send(text)
            answer = json.loads(await ws.recv())
            assert (answer["type"], answer["code"]) == ("error", 400)
            assert "id" not in answer


async def test_without_response_there_is_no_ack(kucoin: Simulator) -> None:
    async with dialled(kucoin) as ws, asyncio.timeout(10):
        await ws.send(json.dumps(request("/market/level2:BTC-USDT", response=False)))
        assert json.loads(await ws.recv())["subject"] == "trade.l2update"


# --- heartbeat and limits -------------------------------------------------------------------------------------------------------


async def test_a_client_that_only_listens_is_closed_though_data_flows(kucoin: Simulator) -> None:
    served = kucoin.venue("kucoin_classic", "futures")
    assert served.timing.idle_ms == 60_000
    served.timing.idle_ms = 400
    async with dialled(kucoin, "futures") as ws, asyncio.timeout(10):
        await ask(ws, request("/contractMarket/level2Depth5:XBTUSDTM"))
        await ws.ping()  # a control frame is no application ping
        error = await receive(ws, lambda m: m["type"] == "error")
        assert error == {"type": "error", "code": 400, "data": "ping timeout"}
        with pytest.raises(ConnectionClosed) as closed:
            await receive(ws, lambda m: False)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1000, "Bye")


async def test_pings_keep_a_connection_and_are_answered_in_microseconds(kucoin: Simulator) -> None:
    kucoin.venue("kucoin_classic", "spot").timing.idle_ms = 400
    async with dialled(kucoin) as ws, asyncio.timeout(10):
        for number in range(8):
            await ws.send(json.dumps({"id": str(number), "type": "ping"}))
            pong = json.loads(await ws.recv())
            assert (pong["id"], pong["type"]) == (str(number), "pong")
            assert 10**15 < pong["timestamp"] < 10**16
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ws.recv(), 0.1)


async def test_too_many_messages_are_refused(kucoin: Simulator) -> None:
    async with dialled(kucoin) as ws, asyncio.timeout(20):
        for number in range(101):
            await ws.send(json.dumps({"id": str(number), "type": "ping"}))
        answers = [json.loads(await ws.recv()) for _ in range(101)]
        assert [one["type"] for one in answers] == ["pong"] * 100 + ["error"]
        assert (answers[-1]["id"], answers[-1]["code"]) == ("100", 509)
    assert kucoin.venue("kucoin_classic", "spot").statistics()["limit_breaches"] == {"messages": 1}


async def test_topics_of_a_connection_are_limited(kucoin: Simulator) -> None:
    async with dialled(kucoin) as ws, asyncio.timeout(20):
        for batch in range(3):
            names = ",".join(f"X{batch}{n}-USDT" for n in range(100))
            assert (await ask(ws, request(f"/market/match:{names}")))["type"] == "ack"
        assert (await ask(ws, request("/market/match:BTC-USDT")))["code"] == 509


async def test_connects_are_limited(kucoin: Simulator) -> None:
    async with asyncio.timeout(30):
        for _ in range(30):
            async with dialled(kucoin):
                pass
        endpoint, token = await bullet(kucoin)
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{endpoint}?token={quote(token, safe='')}")
    assert refused.value.response.status_code == 429


# --- misbehaviours --------------------------------------------------------------------------------------------------------------


async def step_for_ever(book: ClassicBook) -> None:
    while True:
        await book.step()


@pytest.mark.parametrize("market", IDS)
@pytest.mark.parametrize(
    "name, fault",
    [("drop", Gap), ("reorder", Gap), ("crossed", Crossed), ("garbage", json.JSONDecodeError), ("duplicate", None)],
)
async def test_faults_of_deltas(kucoin: Simulator, market: str, name: str, fault: type[Exception] | None) -> None:
    async with dialled(kucoin, market) as ws, asyncio.timeout(20):
        book = ClassicBook(kucoin, ws, market)
        await book.subscribe()
        await book.bootstrap()
        old = book.old
        kucoin.venue("kucoin_classic", market).misbehave(name, pair="BTC/USDT")
        if fault is not None:
            with pytest.raises(fault):
                await step_for_ever(book)
        while fault is None and book.old == old:  # the second copy is known already, and no gap
            await book.step()


async def test_a_crossed_futures_book_heals_and_stays_numbered_without_a_hole(kucoin: Simulator) -> None:
    served = kucoin.venue("kucoin_classic", "futures")
    async with dialled(kucoin, "futures") as ws, asyncio.timeout(20):
        book = ClassicBook(kucoin, ws, "futures")
        await book.subscribe()
        await book.bootstrap()
        served.misbehave("crossed", pair="BTC/USDT", count=3)
        crossed = 0
        while any(served.faults.find(name, "BTC/USDT") for name in ("crossed", "phantom")):  # the last one heals too
            try:
                await book.step()
            except Crossed:
                crossed += 1
        served.misbehave("freeze_market")
        while book.last != served.book("BTC/USDT")["sequence"]:
            try:
                await book.step()
            except Crossed:
                crossed += 1
        assert crossed >= 3
        assert book.as_text() == exact(served.book("BTC/USDT"))


async def test_a_hidden_order_takes_a_sequence_and_changes_nothing(kucoin: Simulator) -> None:
    served = kucoin.venue("kucoin_classic", "spot")
    async with dialled(kucoin) as ws, asyncio.timeout(20):
        book = ClassicBook(kucoin, ws, "spot")
        await book.subscribe()
        await book.bootstrap()
        served.misbehave("hidden_order", pair="BTC/USDT", count=3)
        while book.hidden < 3:
            await book.step()
        served.misbehave("freeze_market")
        while book.last != served.book("BTC/USDT")["sequence"]:
            await book.step()
        assert book.as_text() == exact(served.book("BTC/USDT"))


async def test_an_overlapping_delta_is_applicable(kucoin: Simulator) -> None:
    served = kucoin.venue("kucoin_classic", "spot")
    async with dialled(kucoin) as ws, asyncio.timeout(20):
        await ask(ws, request("/market/level2:BTC-USDT"))
        served.misbehave("overlap", pair="BTC/USDT")
        frames = [(await receive(ws, of("/market/level2")))["data"] for _ in range(4)]
        jumps = [after["sequenceStart"] - before["sequenceEnd"] for before, after in itertools.pairwise(frames)]
        assert min([*jumps, frames[0]["sequenceStart"]]) <= 1
        assert set(jumps) <= {1, -1}


async def test_a_wrong_ack_names_another_request(kucoin: Simulator) -> None:
    kucoin.venue("kucoin_classic", "spot").misbehave("wrong_ack")
    async with dialled(kucoin) as ws, asyncio.timeout(10):
        assert await ask(ws, request("/market/level2:BTC-USDT")) == {"id": "10", "type": "ack"}
