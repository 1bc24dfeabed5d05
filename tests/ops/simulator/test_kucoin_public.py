"""KuCoin's Pro sockets as venues/kucoin.md states them, seen by a raw client."""

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ops.simulator import Simulator, registry
from ops.simulator.kucoin.public import KucoinPublic
from tests.support.raw_venues import Crossed, Gap, RawBook, exact, receive
from tests.support.waiting import wait_until

IDS = {"spot": "BTC-USDT", "futures": "XBTUSDTM"}
INCREMENTS = "increment@10ms"


@pytest.fixture(autouse=True)
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    for market in IDS:
        monkeypatch.setitem(registry.SIMULATED, ("kucoin", market), KucoinPublic)


@pytest.fixture
async def kucoin() -> AsyncIterator[Simulator]:
    async with Simulator([("kucoin", "spot"), ("kucoin", "futures")], pairs=3, rate=30) as simulator:
        yield simulator


def url(simulator: Simulator, market: str = "spot") -> str:
    return next(one["ws_url"] for one in simulator.endpoints if one["market"] == market)


def request(channel: str, symbol: str = "BTC-USDT", action: str = "SUBSCRIBE", **more: Any) -> dict[str, Any]:
    trade_type = "SPOT" if "-" in symbol else "FUTURES"
    return {"id": "1", "action": action, "channel": channel, "tradeType": trade_type, "symbol": symbol, **more}


async def ask(ws: ClientConnection, one: dict[str, Any]) -> dict[str, Any]:
    await ws.send(json.dumps(one))
    return dict(await receive(ws, lambda m: m.get("id") == one["id"] and "result" in m))


def is_push(channel: str) -> Any:
    return lambda m: str(m.get("T", "")).startswith(channel)


class ProBook(RawBook):
    """Rules of venues/kucoin.md §5.1 for one `increment@10ms` subscription."""

    def __init__(self, ws: ClientConnection, symbol: str) -> None:
        super().__init__()
        self.ws, self.symbol = ws, symbol
        self.stale = 0

    async def subscribe(self, action: str = "SUBSCRIBE") -> dict[str, Any]:
        return await ask(self.ws, request("obu", self.symbol, action, depth=INCREMENTS))

    async def step(self) -> dict[str, Any]:
        """Receive and apply one frame. Raises Gap."""
        message = dict(await receive(self.ws, lambda m: m.get("dp") == INCREMENTS))
        data = message["d"]
        assert data["s"] == self.symbol
        if message["t"] == "snapshot":
            assert data["O"] == data["C"]
            self.load(data["b"], data["a"], data["C"])
        elif self.last is None or data["O"] > self.last + 1:
            raise Gap(f"{data['O']} after {self.last}")
        elif data["C"] <= self.last:
            self.stale += 1
        else:
            self.change(data["b"], data["a"], data["C"])
        return message


# --- books ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("market", IDS)
async def test_a_book_built_by_the_sheets_rules_is_exact(kucoin: Simulator, market: str) -> None:
    async with connect(url(kucoin, market)) as ws, asyncio.timeout(30):
        book = ProBook(ws, IDS[market])
        assert await book.subscribe() == {"id": "1", "result": True}
        assert (await book.step())["t"] == "snapshot"
        for _ in range(20):
            before = book.last or 0
            message = await book.step()
            assert message["d"]["O"] == before + 1  # observed without exception
        served = kucoin.venue("kucoin", market)
        served.misbehave("freeze_market")
        while book.last != served.book("BTC/USDT")["sequence"]:
            await book.step()
        assert book.as_text() == exact(served.book("BTC/USDT"))


async def test_every_frame_is_binary_and_the_welcome_comes_first(kucoin: Simulator) -> None:
    async with connect(url(kucoin)) as ws, asyncio.timeout(10):
        first = await ws.recv()
        assert isinstance(first, bytes)
        welcome = json.loads(first)
        assert (welcome["message"], welcome["pingInterval"]) == ("welcome", 18000)
        assert not welcome.keys() & {"type", "id"}
        await ws.send(json.dumps(request("obu", depth=INCREMENTS)))
        assert all([isinstance(await ws.recv(), bytes) for _ in range(5)])


async def test_two_connections_hear_the_same_chain(kucoin: Simulator) -> None:
    async with connect(url(kucoin)) as one, connect(url(kucoin)) as two, asyncio.timeout(20):
        early, late = ProBook(one, "BTC-USDT"), ProBook(two, "BTC-USDT")
        await early.subscribe()
        for _ in range(4):
            await early.step()
        await late.subscribe()
        await late.step()
        while early.last != late.last:  # the newcomer's snapshot is a point of the chain that others hear
            await (early if (early.last or 0) < (late.last or 0) else late).step()
        assert early.as_text() == late.as_text()


async def test_subscribing_twice_is_acknowledged_twice_and_brings_one_snapshot(kucoin: Simulator) -> None:
    async with connect(url(kucoin)) as ws, asyncio.timeout(20):
        book = ProBook(ws, "BTC-USDT")
        await book.subscribe()
        assert (await book.step())["t"] == "snapshot"
        assert (await book.subscribe())["result"] is True
        assert {(await book.step())["t"] for _ in range(8)} == {"delta"}
        assert (await book.subscribe("unsubscribe"))["result"] is True  # either case of letters
        await book.subscribe("subscribe")
        assert (await book.step())["t"] == "snapshot"


async def test_the_deprecated_depth_has_no_snapshot(kucoin: Simulator) -> None:
    async with connect(url(kucoin)) as ws, asyncio.timeout(10):
        await ask(ws, request("obu", depth="increment"))
        assert (await receive(ws, is_push("obu")))["t"] == "delta"


@pytest.mark.parametrize("depth", ["5", "50"])
async def test_fixed_depths_repeat_their_view_though_nothing_changed(kucoin: Simulator, depth: str) -> None:
    served = kucoin.venue("kucoin", "futures")
    served.misbehave("freeze_market")
    async with connect(url(kucoin, "futures")) as ws, asyncio.timeout(10):
        await ask(ws, request("obu", "XBTUSDTM", depth=depth))
        views = [(await receive(ws, is_push("obu.FUTURES"))) for _ in range(3)]
        assert {view["t"] for view in views} == {"snapshot"}
        assert views[1]["d"]["a"] == views[2]["d"]["a"] == served.book("BTC/USDT")["asks"][: int(depth)]


async def test_best_prices_are_those_of_the_book(kucoin: Simulator) -> None:
    served = kucoin.venue("kucoin", "spot")
    async with connect(url(kucoin)) as ws, asyncio.timeout(10):
        await ask(ws, request("obu", depth="1"))
        for _ in range(5):
            best = (await receive(ws, is_push("obu")))["d"]
            assert (len(best["a"]), len(best["b"])) == (1, 1)
            assert Decimal(best["b"][0][0]) < Decimal(best["a"][0][0])
        served.misbehave("freeze_market")
        book = served.book("BTC/USDT")
        while best["C"] != book["sequence"]:
            best = (await receive(ws, is_push("obu")))["d"]
        assert (best["b"], best["a"]) == (book["bids"][:1], book["asks"][:1])


@pytest.mark.parametrize("market", IDS)
async def test_payloads_have_the_fields_of_the_sheet(kucoin: Simulator, market: str) -> None:
    fields = {"obu": "a b s C M O", "ticker": "b B a A l q S E M s", "trade": "E M S p q s ti"}
    async with connect(url(kucoin, market)) as ws, asyncio.timeout(20):
        for channel, names in fields.items():
            await ask(ws, request(channel, IDS[market], **({"depth": INCREMENTS} if channel == "obu" else {})))
            message = await receive(ws, is_push(channel))
            assert message["T"] == f"{channel}.{market.upper()}"
            assert message.keys() == ({"T", "dp", "t", "P", "d"} if channel == "obu" else {"T", "P", "d"})
            assert set(message["d"]) == set(names.split())
            assert message["P"] > 10**18  # ns, beyond what a double holds
            assert message["d"]["M"] % 1000 == 0


async def test_trades_carry_the_takers_side_and_a_counter_of_their_own(kucoin: Simulator) -> None:
    async with connect(url(kucoin)) as ws, asyncio.timeout(20):
        await ask(ws, request("trade"))
        trades = [(await receive(ws, is_push("trade")))["d"] for _ in range(5)]
        assert {trade["S"] for trade in trades} <= {"buy", "sell"}
        ids = [trade["E"] for trade in trades]
        assert ids == sorted(set(ids))
        assert [int(trade["ti"]) for trade in trades] == ids


# --- requests ---------------------------------------------------------------------------------------------------------------


async def test_an_unknown_symbol_is_acknowledged_and_silent(kucoin: Simulator) -> None:
    async with connect(url(kucoin)) as ws, asyncio.timeout(10):
        assert (await ask(ws, request("obu", "NO-USDT", depth=INCREMENTS)))["result"] is True
        assert (await ask(ws, request("obu", "ETH-USDT", depth=INCREMENTS)))["result"] is True
        for _ in range(5):
            assert (await receive(ws, is_push("obu")))["d"]["s"] == "ETH-USDT"


@pytest.mark.parametrize(
    "wrong, words",
    [
        (request("obu", depth="increment@1ms"), {"message": "invalid request data"}),
        (request("obu"), {"message": "invalid request data"}),
        (request("books"), {"message": "invalid request data"}),
        (request("trade", action="LISTEN"), {"message": "invalid request data"}),
        (
            request("obu", "XBTUSDTM", depth=INCREMENTS),
            {"reason": 'topic Obu type = "public_futures" not allowed in current environment'},
        ),
        (
            request("obu", depth=INCREMENTS, symbols=["BTC-USDT"]),
            {"reason": "symbols are not supported for topic obu"},
        ),
    ],
)
async def test_refusals_stand_in_message_or_reason(
    kucoin: Simulator, wrong: dict[str, Any], words: dict[str, str]
) -> None:
    async with connect(url(kucoin)) as ws, asyncio.timeout(10):
        assert await ask(ws, wrong) == {"id": "1", "result": False, **words}


async def test_tickers_take_a_list_of_symbols(kucoin: Simulator) -> None:
    async with connect(url(kucoin)) as ws, asyncio.timeout(10):
        many = {
            "id": "1",
            "action": "subscribe",
            "channel": "ticker",
            "tradeType": "SPOT",
            "symbols": ["BTC-USDT", "ETH-USDT"],
        }
        assert (await ask(ws, many))["result"] is True
        seen: set[str] = set()
        while len(seen) < 2:
            seen.add((await receive(ws, is_push("ticker")))["d"]["s"])


async def test_what_is_no_json_gets_no_reply(kucoin: Simulator) -> None:
    async with connect(url(kucoin)) as ws, asyncio.timeout(10):
        await ws.recv()
        for text in ("{", "7", "hello"):
            await ws.send(text)
        assert await ask(ws, request("kline", interval="1min")) == {"id": "1", "result": True}  # acknowledged, silent


async def test_a_wrong_path_is_not_found(kucoin: Simulator) -> None:
    with pytest.raises(InvalidStatus):
        async with connect(url(kucoin) + "/v1/private"):
            pass


# --- heartbeat and limits -----------------------------------------------------------------------------------------------------


async def test_a_ping_is_answered_in_ns_and_a_second_one_within_a_second_drops_the_socket(kucoin: Simulator) -> None:
    async with connect(url(kucoin)) as ws, asyncio.timeout(10):
        await ws.send('{"id":"p1","type":"ping"}')
        pong = await receive(ws, lambda m: m.get("type") == "pong")
        assert (pong["id"], pong.keys()) == ("p1", {"type", "id", "ts"})
        assert pong["ts"] > 10**18
        await ws.send('{"id":"p2","type":"ping"}')
        with pytest.raises(ConnectionClosed):
            await ws.recv()
    assert kucoin.venue("kucoin", "spot").statistics()["limit_breaches"] == {"pings": 1}


async def test_a_silent_client_is_closed_only_without_a_subscription(kucoin: Simulator) -> None:
    served = kucoin.venue("kucoin", "spot")
    assert served.timing.idle_ms == 60_000
    served.timing.idle_ms = 300
    async with connect(url(kucoin)) as silent, connect(url(kucoin)) as listening, asyncio.timeout(10):
        await ask(listening, request("obu", depth="50"))
        with pytest.raises(ConnectionClosed) as closed:
            await receive(silent, lambda m: False)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1000, "Bye")
        for _ in range(5):
            assert (await receive(listening, is_push("obu")))["t"] == "snapshot"
    assert served.statistics()["pings_sent"] == 0  # the server never pings


async def test_too_many_messages_end_the_connection(kucoin: Simulator) -> None:
    async with connect(url(kucoin)) as ws, asyncio.timeout(10):
        for _ in range(301):
            await ws.send(json.dumps(request("kline", interval="1min")))
        with pytest.raises(ConnectionClosed) as closed:
            await receive(ws, lambda m: False)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
    assert kucoin.venue("kucoin", "spot").statistics()["limit_breaches"] == {"messages": 1}


async def test_topics_of_a_connection_are_limited(kucoin: Simulator) -> None:
    async with connect(url(kucoin)) as ws, asyncio.timeout(10):
        many = {**request("ticker"), "symbols": [f"X{n}-USDT" for n in range(600)]}
        assert (await ask(ws, many))["result"] is True
        assert "600" in (await ask(ws, request("trade")))["reason"]


async def test_connects_are_limited(kucoin: Simulator) -> None:
    async def knock() -> None:
        async with connect(url(kucoin)):
            pass

    async with asyncio.timeout(60):
        for _ in range(25):
            await asyncio.gather(*[knock() for _ in range(10)])
        with pytest.raises(InvalidStatus) as refused:
            await knock()
    assert refused.value.response.status_code == 429


async def step_for_ever(book: ProBook) -> None:
    while True:
        await book.step()


# --- misbehaviours --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, fault",
    [
        ("drop", Gap),
        ("reorder", Gap),
        ("crossed", Crossed),
        ("garbage", json.JSONDecodeError),
        ("duplicate", None),
        ("overlap", None),
    ],
)
async def test_faults_of_deltas(kucoin: Simulator, name: str, fault: type[Exception] | None) -> None:
    served = kucoin.venue("kucoin", "spot")
    async with connect(url(kucoin)) as ws, asyncio.timeout(20):
        book = ProBook(ws, "BTC-USDT")
        await book.subscribe()
        await book.step()
        await book.step()
        served.misbehave(name, pair="BTC/USDT")
        if fault is not None:
            with pytest.raises(fault):
                await step_for_ever(book)
            return
        while served.faults.find(name, "BTC/USDT"):
            await book.step()
        served.misbehave("freeze_market")
        while book.last != served.book("BTC/USDT")["sequence"]:
            await book.step()
        assert book.as_text() == exact(served.book("BTC/USDT"))


async def test_a_crossed_book_heals_with_the_next_delta_and_the_snapshot_was_right(kucoin: Simulator) -> None:
    served = kucoin.venue("kucoin", "futures")
    async with connect(url(kucoin, "futures")) as ws, asyncio.timeout(20):
        book = ProBook(ws, "XBTUSDTM")
        await book.subscribe()
        await book.step()
        served.misbehave("crossed", pair="BTC/USDT")
        with pytest.raises(Crossed):
            await step_for_ever(book)
        await book.step()
        served.misbehave("freeze_market")
        while book.last != served.book("BTC/USDT")["sequence"]:
            await book.step()
        assert book.as_text() == exact(served.book("BTC/USDT"))


async def test_a_muted_subscription_speaks_after_it_was_made_anew(kucoin: Simulator) -> None:
    served = kucoin.venue("kucoin", "spot")
    served.misbehave("mute", pair="BTC/USDT")
    async with connect(url(kucoin)) as ws, asyncio.timeout(20):
        book = ProBook(ws, "BTC-USDT")
        await ws.recv()  # the welcome
        assert (await book.subscribe())["result"] is True
        await ask(ws, request("obu", "ETH-USDT", depth=INCREMENTS))
        heard = [json.loads(await ws.recv())["d"]["s"] for _ in range(6)]
        assert set(heard) == {"ETH-USDT"}
        await ask(ws, request("obu", "ETH-USDT", "UNSUBSCRIBE", depth=INCREMENTS))
        await book.subscribe("UNSUBSCRIBE")
        await book.subscribe()
        assert (await book.step())["t"] == "snapshot"


async def test_a_delta_may_precede_its_snapshot(kucoin: Simulator) -> None:
    kucoin.venue("kucoin", "spot").misbehave("early_delta", pair="BTC/USDT")
    async with connect(url(kucoin)) as ws, asyncio.timeout(10):
        await ws.send(json.dumps(request("obu", depth=INCREMENTS)))
        pushes = [await receive(ws, is_push("obu")) for _ in range(3)]
        assert [push["t"] for push in pushes] == ["delta", "snapshot", "delta"]
        assert pushes[0]["d"]["C"] <= pushes[1]["d"]["C"] < pushes[2]["d"]["O"]


async def test_results_may_be_text(kucoin: Simulator) -> None:
    served = kucoin.venue("kucoin", "spot")
    async with connect(url(kucoin)) as ws, asyncio.timeout(10):
        with served.misbehave("text_results"):
            assert (await ask(ws, request("trade")))["result"] == "true"
        assert (await ask(ws, request("ticker")))["result"] is True


async def test_what_is_said_before_a_late_welcome_is_lost(kucoin: Simulator) -> None:
    kucoin.venue("kucoin", "spot").misbehave("late_welcome", delay_ms=200)
    async with connect(url(kucoin)) as ws, asyncio.timeout(10):
        await ws.send(json.dumps({**request("trade"), "id": "lost"}))
        assert json.loads(await ws.recv())["message"] == "welcome"
        assert (await ask(ws, request("ticker")))["result"] is True


async def test_a_wrong_ack_names_another_request(kucoin: Simulator) -> None:
    kucoin.venue("kucoin", "spot").misbehave("wrong_ack")
    async with connect(url(kucoin)) as ws, asyncio.timeout(10):
        await ws.send(json.dumps(request("obu", depth=INCREMENTS)))
        assert (await receive(ws, lambda m: "result" in m))["id"] == "10"
        assert (await receive(ws, is_push("obu")))["t"] == "snapshot"


async def test_a_stalled_pair_tells_everything_afterwards(kucoin: Simulator) -> None:
    served = kucoin.venue("kucoin", "spot")
    async with connect(url(kucoin)) as ws, asyncio.timeout(20):
        book = ProBook(ws, "BTC-USDT")
        await book.subscribe()
        await book.step()
        with served.misbehave("stall", pair="BTC/USDT"):
            last = served.instrument("BTC/USDT").sequence
            await wait_until(lambda: served.instrument("BTC/USDT").sequence > last + 20, "the market goes on")
        for _ in range(5):
            await book.step()
        served.misbehave("freeze_market")
        while book.last != served.book("BTC/USDT")["sequence"]:
            await book.step()
        assert book.as_text() == exact(served.book("BTC/USDT"))


async def test_views_stall_too(kucoin: Simulator) -> None:
    served = kucoin.venue("kucoin", "spot")
    async with connect(url(kucoin)) as ws, asyncio.timeout(20):
        await ask(ws, request("obu", "ETH-USDT", depth="5"))
        await ask(ws, request("obu", "BTC-USDT", depth="5"))
        await receive(ws, lambda m: m.get("d", {}).get("s") == "BTC-USDT")
        with served.misbehave("stall", pair="BTC/USDT"):
            seen = [(await receive(ws, is_push("obu")))["d"]["s"] for _ in range(12)]
        assert seen.count("BTC-USDT") <= 1  # one may have been on its way
