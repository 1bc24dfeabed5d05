"""CoinEx's public protocol as venues/coinex.md states it, seen by a raw client."""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ops.simulator import Simulator
from tests.support.raw_venues import Crossed, Gap, RawBook, exact
from tests.support.waiting import wait_until

MARKETS = ["spot", "futures"]
PAIR = "BTC/USDT"


def unpack(frame: str | bytes) -> Any:
    assert isinstance(frame, bytes)
    assert frame[:2] == b"\x1f\x8b"
    return json.loads(gzip.decompress(frame))


async def receive(ws: ClientConnection, wanted: Callable[[Any], Any] = lambda m: True) -> Any:
    """The next message for which `wanted` is true; others are passed over."""
    async with asyncio.timeout(10):
        while True:
            message = unpack(await ws.recv())
            if wanted(message):
                return message


async def send(ws: ClientConnection, method: str, *markets: Any, id_: int = 1) -> None:
    await ws.send(json.dumps({"method": method, "params": {"market_list": list(markets)}, "id": id_}))


async def ask(ws: ClientConnection, method: str, *markets: Any, id_: int = 1) -> Any:
    """Send a request and return its answer."""
    await send(ws, method, *markets, id_=id_)
    return await receive(ws, lambda m: m["id"] == id_)


async def listen(ws: ClientConnection) -> None:
    """Unpack what comes; ends by an exception only."""
    while True:
        unpack(await ws.recv())


def pushes(method: str, market: str = "BTCUSDT") -> Callable[[Any], bool]:
    return lambda m: m.get("method") == f"{method}.update" and m["data"]["market"] == market


class CoinExBook(RawBook):
    """Rules of venues/coinex.md §5. Keeps the venue's own strings for the checksum."""

    def __init__(self, ws: ClientConnection, limit: int = 50, market: str = "BTCUSDT") -> None:
        super().__init__()
        self.ws, self.limit, self.market = ws, limit, market
        self.images = self.deltas = self.trimmed = 0
        self._spelled: tuple[dict[Decimal, str], dict[Decimal, str]] = ({}, {})

    async def step(self) -> dict[str, Any]:
        """Receive and apply one push. Raises Gap when the checksum does not agree."""
        message = await receive(self.ws, pushes("depth", self.market))
        data, depth = message["data"], message["data"]["depth"]
        rows = depth.get("bids", []), depth.get("asks", [])
        if data["is_full"]:
            self.images += 1
            self._spelled = ({}, {})
            self.load(*rows, 0)
        else:
            self.deltas += 1
            self.change(*rows, 0)
        texts = []
        for side, spelled, levels, reverse in zip(
            rows, self._spelled, (self.bids, self.asks), (True, False), strict=True
        ):
            spelled.update({Decimal(price): f"{price}:{size}" for price, size in side})
            ranked = sorted(levels, reverse=reverse)
            for price in ranked[self.limit :]:
                self.trimmed += 1
                del levels[price]
            texts += [spelled[price] for price in ranked[: self.limit]]
        if zlib.crc32(":".join(texts).encode()) != depth["checksum"] % 2**32:
            raise Gap(f"checksum {depth['checksum']}")
        return dict(message)

    async def steps(self, count: int) -> None:
        """Receive and apply `count` pushes."""
        for _ in range(count):
            await self.step()


@pytest.fixture
async def coinex() -> AsyncIterator[Simulator]:
    async with Simulator([("coinex", market) for market in MARKETS], pairs=3, rate=30) as simulator:
        yield simulator


def url(simulator: Simulator, market: str = "spot") -> str:
    return next(one["ws_url"] for one in simulator.endpoints if one["market"] == market) + f"/v2/{market}"


def client(simulator: Simulator, market: str = "spot") -> connect:
    return connect(url(simulator, market), ping_interval=None, compression=None, close_timeout=0.5)


async def book_of(ws: ClientConnection, limit: int = 50) -> CoinExBook:
    book = CoinExBook(ws, limit)
    assert await ask(ws, "depth.subscribe", ["BTCUSDT", limit, "0", False]) == {"id": 1, "code": 0, "message": "OK"}
    assert (await book.step())["data"]["is_full"]
    return book


# ── books ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("limit", [5, 20, 50])
async def test_a_book_built_by_the_sheets_rules_is_exact(coinex: Simulator, market: str, limit: int) -> None:
    async with client(coinex, market) as ws, asyncio.timeout(30):
        book = await book_of(ws, limit)
        while book.deltas < 6:
            await book.step()
        served = coinex.venue("coinex", market)
        served.misbehave("freeze_market")
        bids, asks = exact(served.book(PAIR))
        while book.as_text() != (bids[:limit], asks[:limit]):
            await book.step()
        assert book.trimmed == 0  # the venue deletes what leaves the window
        assert book.images == 1
        assert len(bids) <= 50


async def test_an_image_comes_every_minute_changed_or_not(coinex: Simulator) -> None:
    served = coinex.venue("coinex", "spot")
    assert served.timing.keepalive_ms == 60_000
    served.timing.keepalive_ms = 150
    async with client(coinex) as ws, asyncio.timeout(20):
        book = await book_of(ws)
        served.misbehave("freeze_market")
        while book.images < 4:
            await book.step()
        assert book.as_text() == exact(served.book(PAIR))


async def test_who_asks_for_full_pushes_gets_nothing_else(coinex: Simulator) -> None:
    async with client(coinex) as ws:
        await ask(ws, "depth.subscribe", ["BTCUSDT", 10, "0", True])
        book = CoinExBook(ws, 10)
        for _ in range(6):
            await book.step()
        assert (book.images, book.deltas) == (6, 0)


async def test_a_newcomers_image_is_what_the_others_hold(coinex: Simulator) -> None:
    async with client(coinex) as one, client(coinex) as two, asyncio.timeout(20):
        early = await book_of(one)
        for _ in range(3):
            await early.step()
        late = await book_of(two)
        while early.as_text() != late.as_text():
            await early.step()


async def test_payloads_have_the_fields_of_the_sheet(coinex: Simulator) -> None:
    fields = {
        "depth": "market is_full depth",
        "bbo": "market updated_at best_bid_price best_bid_size best_ask_price best_ask_size",
        "deals": "market deal_list",
        "index": "market index_price mark_price",
    }
    async with client(coinex) as ws:
        for number, (kind, names) in enumerate(fields.items()):
            entry = ["BTCUSDT", 20, "0", False] if kind == "depth" else "BTCUSDT"
            assert (await ask(ws, f"{kind}.subscribe", entry, id_=number))["code"] == 0
            message = await receive(ws, pushes(kind))
            assert message["id"] is None
            assert set(message["data"]) == set(names.split())
        await ask(ws, "state.subscribe", "BTCUSDT", id_=9)
        (state,) = (await receive(ws, lambda m: m.get("method") == "state.update"))["data"]["state_list"]
        assert {"market", "last", "open", "volume", "period"} <= set(state)
        depth = (await receive(ws, pushes("depth")))["data"]["depth"]
        assert set(depth) == {"asks", "bids", "last", "updated_at", "checksum"}
        assert all(isinstance(text, str) for side in (depth["bids"], depth["asks"]) for level in side for text in level)


async def test_trades_come_newest_first_and_begin_with_history(coinex: Simulator) -> None:
    async with client(coinex) as one, client(coinex) as two, asyncio.timeout(20):
        await ask(one, "deals.subscribe", "BTCUSDT")
        seen: list[int] = []
        while len(seen) < 8:
            ids = [deal["deal_id"] for deal in (await receive(one, pushes("deals")))["data"]["deal_list"]]
            assert ids == sorted(ids, reverse=True)
            assert not seen or not ids or min(ids) > max(seen)
            seen += ids
        await ask(two, "deals.subscribe", "BTCUSDT")
        history = (await receive(two, pushes("deals")))["data"]["deal_list"]
        assert {deal["deal_id"] for deal in history} >= set(seen)
        assert {deal["side"] for deal in history} <= {"buy", "sell"}


# ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text, code",
    [
        ("{", 20001),
        ("[]", 20001),
        ('{"method":"server.ping","params":{}}', 20001),
        ('{"method":"server.ping","params":{},"id":"1"}', 20001),
        ('{"method":"nope.subscribe","params":{"market_list":["BTCUSDT"]},"id":1}', 30002),
        ('{"method":"depth.query","params":{"market_list":["BTCUSDT"]},"id":1}', 30002),
        ('{"method":7,"params":{},"id":1}', 30002),
        ('{"method":"depth.subscribe","params":{"market_list":["BTCUSDT"]},"id":1}', 20001),
        ('{"method":"depth.subscribe","params":{"market_list":[["BTCUSDT",30,"0",false]]},"id":1}', 20001),
        ('{"method":"depth.subscribe","params":{"market_list":[["BTCUSDT",50,0,false]]},"id":1}', 20001),
        ('{"method":"depth.subscribe","params":{"market_list":[["BTCUSDT",50,"0"]]},"id":1}', 20001),
        ('{"method":"depth.subscribe","params":{"market_list":[]},"id":1}', 20001),
        ('{"method":"bbo.subscribe","params":{"market_list":[]},"id":1}', 20001),
        ('{"method":"bbo.subscribe","params":["BTCUSDT"],"id":1}', 20001),
        ('{"method":"order.subscribe","params":{"market_list":[]},"id":1}', 21001),
        ('{"method":"server.sign","params":{"access_id":"a","signed_str":"b","timestamp":1},"id":1}', 21002),
    ],
)
async def test_malformed_requests_get_the_venues_codes(coinex: Simulator, text: str, code: int) -> None:
    async with client(coinex) as ws:
        await ws.send(text)
        assert (await receive(ws))["code"] == code
        assert (await ask(ws, "server.ping", id_=5))["code"] == 0  # the socket stays open


async def test_a_second_list_replaces_the_first_unless_the_switch_says_it_adds(coinex: Simulator) -> None:
    bitcoin, ether = ["BTCUSDT", 20, "0", False], ["ETHUSDT", 20, "0", False]
    served = coinex.venue("coinex", "spot")
    async with client(coinex) as ws, client(coinex) as adding, asyncio.timeout(20):
        await ask(ws, "depth.subscribe", bitcoin)
        await ask(ws, "depth.subscribe", ether, id_=2)
        await receive(ws, pushes("depth", "ETHUSDT"))
        for _ in range(5):
            assert (await receive(ws))["data"]["market"] == "ETHUSDT"
        with served.misbehave("subscriptions_add"):
            await ask(adding, "depth.subscribe", bitcoin)
            await ask(adding, "depth.subscribe", ether, id_=2)
        for market in ("BTCUSDT", "ETHUSDT", "BTCUSDT", "ETHUSDT"):
            await receive(adding, pushes("depth", market))


async def test_a_market_has_one_window_on_a_socket(coinex: Simulator) -> None:
    async with client(coinex) as ws, asyncio.timeout(20):
        await ask(ws, "depth.subscribe", ["BTCUSDT", 50, "0", False])
        await ask(ws, "depth.subscribe", ["BTCUSDT", 5, "0", True], id_=2)
        for _ in range(4):
            message = await receive(ws, pushes("depth"))
            assert message["data"]["is_full"]
            assert len(message["data"]["depth"]["bids"]) == 5


async def test_kinds_do_not_touch_one_another(coinex: Simulator) -> None:
    async with client(coinex) as ws, asyncio.timeout(20):
        await ask(ws, "depth.subscribe", ["BTCUSDT", 50, "0", False])
        await ask(ws, "bbo.subscribe", "ETHUSDT", id_=2)
        await receive(ws, pushes("bbo", "ETHUSDT"))
        await receive(ws, pushes("depth"))


async def test_unsubscribing_takes_names_and_nothing_means_all(coinex: Simulator) -> None:
    async with client(coinex) as ws, asyncio.timeout(20):
        entries = [[name, 20, "0", False] for name in ("BTCUSDT", "ETHUSDT", "SOLUSDT")]
        await ask(ws, "depth.subscribe", *entries)
        assert (await ask(ws, "depth.unsubscribe", entries[0], id_=2))["code"] == 0
        await receive(ws, pushes("depth"))  # a tuple has no effect
        assert (await ask(ws, "depth.unsubscribe", "BTCUSDT", id_=3))["code"] == 0
        for _ in range(6):
            assert (await receive(ws))["data"]["market"] != "BTCUSDT"
        await ask(ws, "depth.unsubscribe", id_=4)
        assert (await ask(ws, "server.ping", id_=5))["data"] == {"result": "pong"}
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ws.recv(), 0.5)


async def test_an_empty_list_is_every_market_where_that_is_legal(coinex: Simulator) -> None:
    async with client(coinex) as ws, asyncio.timeout(20):
        assert (await ask(ws, "state.subscribe"))["code"] == 0
        for market in ("BTCUSDT", "ETHUSDT", "SOLUSDT"):
            await receive(ws, lambda m, name=market: "data" in m and m["data"]["state_list"][0]["market"] == name)


async def test_an_unknown_market_is_acknowledged_and_never_heard_of(coinex: Simulator) -> None:
    unknown, bitcoin = ["NOPEUSDT", 50, "0", False], ["BTCUSDT", 50, "0", False]
    async with client(coinex) as ws, asyncio.timeout(20):
        assert await ask(ws, "depth.subscribe", unknown, bitcoin) == {"id": 1, "code": 0, "message": "OK"}
        await receive(ws, pushes("depth"))
        with coinex.venue("coinex", "spot").misbehave("strict_markets"):
            answer = await ask(ws, "depth.subscribe", unknown, bitcoin, id_=2)
            assert answer == {"id": 2, "code": 20001, "message": "invalid parameters"}
        await receive(ws, pushes("depth"))  # what was subscribed still is


async def test_the_wrong_path_is_refused(coinex: Simulator) -> None:
    base = coinex.endpoints[0]["ws_url"]
    for path in ("/", "/v2/futures", "/v1/spot"):
        with pytest.raises(InvalidStatus):
            async with connect(base + path):
                pass


# ── heartbeat and limits ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_keepalive_is_a_request_and_rfc_pings_are_not_answered(coinex: Simulator) -> None:
    async with client(coinex) as ws:
        pong = await ws.ping()
        assert await ask(ws, "server.ping", id_=7) == {"id": 7, "code": 0, "data": {"result": "pong"}, "message": "OK"}
        assert (await ask(ws, "server.time", id_=8))["data"]["timestamp"] > 1_700_000_000_000
        await book_of(ws)
        assert not pong.done()


async def test_who_says_nothing_is_cut_and_data_do_not_count(coinex: Simulator) -> None:
    served = coinex.venue("coinex", "spot")
    assert served.timing.idle_ms == 60_000
    served.timing.idle_ms = 600
    async with client(coinex) as ws, asyncio.timeout(20):
        await book_of(ws)
        with pytest.raises(ConnectionClosed) as closed:
            await listen(ws)
    assert closed.value.rcvd is None  # no close frame: 1006
    assert served.statistics()["limit_breaches"] == {"idle": 1}


async def test_ten_messages_a_second_are_the_most(coinex: Simulator) -> None:
    served = coinex.venue("coinex", "spot")
    served.mono_ms = lambda: 1000.0  # one second, however slow this machine is
    async with client(coinex) as ws:
        codes = [(await ask(ws, "server.ping", id_=number))["code"] for number in range(12)]
    assert codes == [0] * 10 + [23002] * 2
    assert served.statistics()["limit_breaches"] == {"requests": 2}


async def test_a_very_long_list_cuts_the_socket(coinex: Simulator) -> None:
    async with client(coinex) as ws, asyncio.timeout(10):
        await send(ws, "deals.subscribe", *[f"SIM{number}USDT" for number in range(1001)])
        with pytest.raises(ConnectionClosed) as closed:
            await ws.recv()
    assert closed.value.rcvd is None


# ── misbehaviours ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["drop", "reorder", "bad_checksum"])
async def test_the_checksum_tells_that_something_is_wrong_and_an_image_heals_it(coinex: Simulator, name: str) -> None:
    served = coinex.venue("coinex", "spot")
    async with client(coinex) as ws, asyncio.timeout(20):
        book = await book_of(ws)
        await book.step()
        served.misbehave(name, pair=PAIR)
        with pytest.raises((Gap, Crossed)):  # a book that lacks a delta may cross before its checksum is looked at
            await book.steps(8)
        await ask(ws, "depth.unsubscribe", "BTCUSDT", id_=2)
        await ask(ws, "depth.subscribe", ["BTCUSDT", 50, "0", False], id_=3)
        book = CoinExBook(ws)
        while book.deltas < 4:
            await book.step()
        assert book.images == 1


async def test_a_delta_that_comes_twice_changes_nothing(coinex: Simulator) -> None:
    served = coinex.venue("coinex", "spot")
    async with client(coinex) as ws, asyncio.timeout(20):
        book = await book_of(ws)
        served.misbehave("duplicate", pair=PAIR, count=3)
        while book.deltas < 10:
            await book.step()


async def test_a_crossed_delta_agrees_with_its_checksum_and_is_taken_back(coinex: Simulator) -> None:
    served = coinex.venue("coinex", "spot")
    async with client(coinex) as ws, asyncio.timeout(20):
        book = await book_of(ws)
        served.misbehave("crossed", pair=PAIR)
        with pytest.raises(Crossed):
            await book.steps(8)
        await ask(ws, "depth.subscribe", ["BTCUSDT", 50, "0", False], id_=3)
        book = CoinExBook(ws)
        while book.deltas < 4:
            await book.step()


async def test_stall_silences_one_pair_and_its_end_tells_everything(coinex: Simulator) -> None:
    served = coinex.venue("coinex", "spot")
    async with client(coinex) as ws, asyncio.timeout(20):
        book = await book_of(ws)
        with served.misbehave("stall", pair=PAIR):
            moved = served.instrument(PAIR).sequence + 100
            await wait_until(lambda: served.instrument(PAIR).sequence > moved, "the market to go on in silence")
            assert (await ask(ws, "server.ping", id_=4))["code"] == 0
        for _ in range(5):
            await book.step()


async def test_mute_connections_are_answered_and_hear_nothing(coinex: Simulator) -> None:
    served = coinex.venue("coinex", "spot")
    async with client(coinex) as ws, asyncio.timeout(20):
        await book_of(ws)
        served.misbehave("mute")
        assert (await ask(ws, "server.ping", id_=4))["code"] == 0
        assert (await ask(ws, "depth.subscribe", ["BTCUSDT", 50, "0", False], id_=5))["code"] == 0
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ws.recv(), 0.5)
        async with client(coinex) as other:
            await book_of(other)


async def test_frames_may_be_text(coinex: Simulator) -> None:
    async with client(coinex) as ws:
        with coinex.venue("coinex", "spot").misbehave("text_frames"):
            await send(ws, "server.ping", id_=1)
            assert json.loads(str(await ws.recv()))["code"] == 0
        assert (await ask(ws, "server.ping", id_=2))["code"] == 0


async def test_a_side_that_did_not_change_may_be_missing(coinex: Simulator) -> None:
    served = coinex.venue("coinex", "spot")
    async with client(coinex) as ws, asyncio.timeout(20):
        book = await book_of(ws)
        served.misbehave("freeze_market")  # what moves from here on moves by hand, bids only
        for missing in (False, True):
            if missing:
                served.misbehave("missing_side")
            served.advance(served.feed_of_pair(PAIR))
            served.misbehave("freeze_market")
            depth: dict[str, Any] = {"asks": [1]}
            while depth.get("asks"):
                depth = (await book.step())["data"]["depth"]
            assert ("asks" in depth) is not missing


async def test_wrong_ack_names_another_request_and_works(coinex: Simulator) -> None:
    coinex.venue("coinex", "spot").misbehave("wrong_ack")
    async with client(coinex) as ws:
        await send(ws, "depth.subscribe", ["BTCUSDT", 50, "0", False], id_=3)
        answer = await receive(ws)
        assert answer["code"] == 0
        assert answer["id"] != 3
        await receive(ws, pushes("depth"))


async def test_garbage_is_half_a_message_in_a_whole_frame(coinex: Simulator) -> None:
    served = coinex.venue("coinex", "spot")
    async with client(coinex) as ws, asyncio.timeout(20):
        await book_of(ws)
        served.misbehave("garbage", pair=PAIR)
        with pytest.raises(json.JSONDecodeError):
            await listen(ws)


async def test_maintenance_refuses_websockets_until_it_ends(coinex: Simulator) -> None:
    served = coinex.venue("coinex", "spot")
    with served.misbehave("maintenance"), pytest.raises(InvalidStatus) as refused:
        async with client(coinex):
            pass
    assert refused.value.response.status_code == 503
    async with client(coinex) as ws:
        await book_of(ws)


async def test_a_market_that_does_not_trade_has_a_book_that_stands_still(coinex: Simulator) -> None:
    async with client(coinex) as ws, asyncio.timeout(20):
        await ask(ws, "depth.subscribe", ["LUNAUSDT", 50, "0", False], ["BTCUSDT", 50, "0", False])
        assert (await receive(ws))["data"]["market"] == "LUNAUSDT"
        for _ in range(5):
            assert (await receive(ws))["data"]["market"] == "BTCUSDT"
