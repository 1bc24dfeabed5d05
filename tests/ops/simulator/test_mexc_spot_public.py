"""MEXC spot's public protocol as venues/mexc.md states it, seen by a raw client with the protobuf code that ccxt ships."""

import asyncio
import importlib
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from google.protobuf.message import DecodeError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ops.simulator import Simulator, registry
from ops.simulator.mexc.spot_public import MexcSpotPublic
from tests.support.raw_venues import Crossed, Gap, RawBook, exact
from tests.support.waiting import wait_until

PAIR = "BTC/USDT"
DEPTH = "spot@public.aggre.depth.v3.api.pb@100ms@BTCUSDT"
FAST = "spot@public.aggre.depth.v3.api.pb@10ms@BTCUSDT"
BEST = "spot@public.aggre.bookTicker.v3.api.pb@100ms@BTCUSDT"
DEALS = "spot@public.aggre.deals.v3.api.pb@100ms@BTCUSDT"
LIMIT = "spot@public.limit.depth.v3.api.pb@BTCUSDT@20"
RETIRED = "spot@public.increase.depth.v3.api.pb@BTCUSDT"


@pytest.fixture
async def mexc(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Simulator]:
    monkeypatch.setitem(registry.SIMULATED, ("mexc", "spot"), MexcSpotPublic)
    async with Simulator([("mexc", "spot")], pairs=40, rate=30, levels=100) as simulator:
        yield simulator


def served(simulator: Simulator) -> Any:
    return simulator.venue("mexc", "spot")


def url(simulator: Simulator) -> str:
    return simulator.endpoints[0]["ws_url"] + "/ws"


def decoded(frame: bytes) -> Any:
    return importlib.import_module("ccxt.protobuf.mexc.PushDataV3ApiWrapper_pb2").PushDataV3ApiWrapper.FromString(frame)


async def text(ws: ClientConnection) -> dict[str, Any]:
    """The next text frame; binary ones are passed over."""
    async with asyncio.timeout(10):
        while True:
            frame = await ws.recv()
            if isinstance(frame, str):
                return dict(json.loads(frame))


async def push(ws: ClientConnection, channel: str) -> Any:
    """The next push of a channel, decoded."""
    async with asyncio.timeout(10):
        while True:
            frame = await ws.recv()
            if isinstance(frame, bytes) and (found := decoded(frame)).channel == channel:
                return found


async def pushes(ws: ClientConnection, channel: str) -> None:
    """Every push of a channel, until something goes wrong."""
    while True:
        await push(ws, channel)


async def drain(ws: ClientConnection) -> None:
    """Every frame, until the socket ends."""
    async with asyncio.timeout(10):
        while True:
            await ws.recv()


async def ask(ws: ClientConnection, method: str, *topics: str, id_: int = 7) -> dict[str, Any]:
    await ws.send(json.dumps({"method": method, "params": list(topics), "id": id_}))
    return await text(ws)


class SpotBook(RawBook):
    """Rules of venues/mexc.md §5.1."""

    def __init__(self, ws: ClientConnection, simulator: Simulator, channel: str = DEPTH) -> None:
        super().__init__()
        self.ws, self.channel = ws, channel
        self.url = simulator.endpoints[0]["rest_url"] + "/api/v3/depth?symbol=BTCUSDT&limit=5000"
        self.refetched = self.ignored = 0

    async def snapshot(self) -> dict[str, Any]:
        async with httpx.AsyncClient() as http:
            answer = await http.get(self.url)
        answer.raise_for_status()
        return dict(answer.json())

    async def bootstrap(self) -> None:
        first = (await push(self.ws, self.channel)).publicAggreDepths
        while True:
            shot = await self.snapshot()
            if shot["lastUpdateId"] + 1 >= int(first.fromVersion) and shot["bids"][0][0] < shot["asks"][0][0]:
                break
            self.refetched += 1
        self.load(shot["bids"], shot["asks"], shot["lastUpdateId"])
        self.take(first)

    async def step(self) -> Any:
        found = await push(self.ws, self.channel)
        self.take(found.publicAggreDepths)
        return found

    def take(self, diff: Any) -> None:
        assert self.last is not None
        first, last = int(diff.fromVersion), int(diff.toVersion)
        if last <= self.last:
            self.ignored += 1
            return
        if first > self.last + 1:
            raise Gap(f"{first}..{last} after {self.last}")
        bids, asks = ([[level.price, level.quantity] for level in side] for side in (diff.bids, diff.asks))
        self.change(bids, asks, last)


async def steps(book: SpotBook, count: int) -> None:
    for _ in range(count):
        await book.step()


async def live(ws: ClientConnection, mexc: Simulator, channel: str = DEPTH) -> SpotBook:
    await ask(ws, "SUBSCRIPTION", channel)
    book = SpotBook(ws, mexc, channel)
    await book.bootstrap()
    return book


async def settle(mexc: Simulator, book: SpotBook) -> None:
    """After the market stands still the book is the venue's."""
    served(mexc).misbehave("freeze_market")
    truth = served(mexc).book(PAIR)
    while book.last != truth["sequence"]:
        await book.step()
    assert book.as_text() == exact(truth)


# --- books ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", [DEPTH, FAST])
async def test_a_book_built_by_the_sheets_rules_is_exact(mexc: Simulator, channel: str) -> None:
    async with connect(url(mexc)) as ws, asyncio.timeout(30):
        book = await live(ws, mexc, channel)
        widths = set()
        for _ in range(15):
            found = await book.step()
            widths.add(int(found.publicAggreDepths.toVersion) - int(found.publicAggreDepths.fromVersion))
            assert found.publicAggreDepths.eventType == channel.removesuffix("@BTCUSDT")
        assert len(widths) > 3  # a frame covers many versions
        await settle(mexc, book)


async def test_a_diff_follows_the_one_before_without_a_hole_or_an_overlap(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws:
        await ask(ws, "SUBSCRIPTION", DEPTH)
        before = (await push(ws, DEPTH)).publicAggreDepths
        for _ in range(10):
            diff = (await push(ws, DEPTH)).publicAggreDepths
            assert int(diff.fromVersion) == int(before.toVersion) + 1
            before = diff


async def test_limit_depth_and_best_prices_are_complete_states(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws:
        await ask(ws, "SUBSCRIPTION", LIMIT, BEST)
        for _ in range(3):
            image = (await push(ws, LIMIT)).publicLimitDepths
            prices = [Decimal(level.price) for level in image.bids]
            assert (len(image.bids), len(image.asks), prices) == (20, 20, sorted(prices, reverse=True))
        served(mexc).misbehave("freeze_market")
        truth = exact(served(mexc).book(PAIR))
        async with asyncio.timeout(10):
            while True:
                best = (await push(ws, BEST)).publicAggreBookTicker
                shown = [
                    (Decimal(best.bidPrice), Decimal(best.bidQuantity)),
                    (Decimal(best.askPrice), Decimal(best.askQuantity)),
                ]
                if shown == [truth[0][0], truth[1][0]]:
                    break


async def test_the_fast_best_prices_repeat_themselves(mexc: Simulator) -> None:
    channel = BEST.replace("100ms", "10ms")
    async with connect(url(mexc)) as ws:
        await ask(ws, "SUBSCRIPTION", channel)
        seen = [(await push(ws, channel)).publicAggreBookTicker for _ in range(30)]
        assert len({(best.bidPrice, best.bidQuantity, best.askPrice, best.askQuantity) for best in seen}) < 30


async def test_deals_come_in_batches_with_the_fields_of_june_2026(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws, asyncio.timeout(20):
        await ask(ws, "SUBSCRIPTION", DEALS)
        frame = await ws.recv()
        assert isinstance(frame, bytes)
        deals = decoded(frame).publicAggreDeals.deals
        assert {deal.tradeType for deal in deals} <= {1, 2}
        assert all(Decimal(deal.quantity) > 0 and deal.time > 0 for deal in deals)
        assert frame.count(b"X0_") == len(deals)  # tradeId: ccxt's code is older than it


# --- answers (§4.1) -------------------------------------------------------------------------------------------------------


async def test_the_answers_are_the_sheets(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws:
        assert await ask(ws, "SUBSCRIPTION", DEPTH, DEALS) == {"id": 7, "code": 0, "msg": f"{DEPTH},{DEALS}"}
        assert await ask(ws, "SUBSCRIPTION", DEPTH, id_=8) == {"id": 8, "code": 0, "msg": DEPTH}  # a second time
        unknown = DEALS.replace("BTC", "NOPE")
        lower = DEPTH.replace("BTCUSDT", "btcusdt")
        refusal = await ask(ws, "SUBSCRIPTION", RETIRED)
        assert refusal["msg"] == f"Not Subscribed successfully! [{RETIRED}].  Reason： Blocked! "
        mixed = await ask(ws, "SUBSCRIPTION", BEST, unknown, lower)
        assert mixed == {
            "id": 7,
            "code": 0,
            "msg": f"Subscribed successful! [{BEST}]. Not Subscribed successfully! [{unknown}, {lower}].  Reason： Blocked! ",
        }
        assert await ask(ws, "UNSUBSCRIPTION", DEALS) == {"id": 7, "code": 0, "msg": DEALS}


async def test_after_unsubscribing_nothing_more_comes(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws:
        await ask(ws, "SUBSCRIPTION", DEPTH)
        await push(ws, DEPTH)
        await ask(ws, "UNSUBSCRIPTION", DEPTH)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ws.recv(), 0.5)


@pytest.mark.parametrize(
    "request_",
    [
        "{",
        "[]",
        '{"method":"SUBSCRIBE","params":["x"],"id":1}',
        '{"method":"SUBSCRIPTION","params":[],"id":1}',
        '{"method":"SUBSCRIPTION","params":"x","id":1}',
        '{"method":"SUBSCRIPTION","params":["x"],"id":-1}',
        '{"method":"SUBSCRIPTION","params":["x"],"id":"1"}',
    ],
)
async def test_a_malformed_request_is_refused_whole(mexc: Simulator, request_: str) -> None:
    async with connect(url(mexc)) as ws:
        await ws.send(request_)
        assert (await text(ws))["code"] != 0


async def test_an_id_is_optional(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws:
        await ws.send(json.dumps({"method": "SUBSCRIPTION", "params": [DEPTH]}))
        assert await text(ws) == {"id": 0, "code": 0, "msg": DEPTH}


async def test_the_thirty_first_topic_is_blocked(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws:
        names = [DEPTH.replace("BTC/USDT".replace("/", ""), f"{pair.replace('/', '')}") for pair in mexc.pairs[:31]]
        answer = await ask(ws, "SUBSCRIPTION", *names)
        assert answer["msg"].endswith(f"Not Subscribed successfully! [{names[30]}].  Reason： Blocked! ")
        assert (await ask(ws, "UNSUBSCRIPTION", names[0]))["msg"] == names[0]
        assert (await ask(ws, "SUBSCRIPTION", names[30]))["msg"] == names[30]
    assert served(mexc).stats.limit_breaches == {"topics": 1}


async def test_topics_that_are_not_played_here_are_acknowledged_and_silent(mexc: Simulator) -> None:
    silent = "spot@public.kline.v3.api.pb@BTCUSDT@Min1"
    async with connect(url(mexc)) as ws:
        assert (await ask(ws, "SUBSCRIPTION", silent))["msg"] == silent
        assert (await ask(ws, "UNSUBSCRIPTION", silent))["msg"] == silent
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ws.recv(), 0.3)


# --- connections (§2, §3) -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["PING", "ping"])
async def test_a_ping_is_json_text(mexc: Simulator, method: str) -> None:
    async with connect(url(mexc)) as ws:
        await ws.send(json.dumps({"method": method}))
        assert await text(ws) == {"id": 0, "code": 0, "msg": "PONG"}


async def test_there_is_one_path(mexc: Simulator) -> None:
    with pytest.raises(InvalidStatus):
        async with connect(mexc.endpoints[0]["ws_url"] + "/raw/ws"):
            pass


async def test_a_hundred_messages_a_second_are_enough(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws:
        for _ in range(101):
            await ws.send('{"method":"PING"}')
        with pytest.raises(ConnectionClosed):
            await drain(ws)
    assert served(mexc).stats.limit_breaches == {"messages": 1}


async def closing(ws: ClientConnection) -> int | None:
    """The close code that ends a socket."""
    try:
        await drain(ws)
    except ConnectionClosed as closed:
        return None if closed.rcvd is None else closed.rcvd.code
    return None


async def test_a_socket_without_a_valid_subscription_ends_without_a_code(mexc: Simulator) -> None:
    assert served(mexc).unsubscribed_ms == 30_000
    served(mexc).unsubscribed_ms = 300
    async with connect(url(mexc)) as ws:
        await ask(ws, "SUBSCRIPTION", RETIRED)
        await ws.send('{"method":"PING"}')  # keeps nothing alive
        assert await closing(ws) == 1005
    async with connect(url(mexc)) as kept:
        await ask(kept, "SUBSCRIPTION", DEPTH)
        await wait_until(lambda: served(mexc).stats.limit_breaches == {"no subscription": 1}, "one breach")
        for _ in range(8):
            await push(kept, DEPTH)  # longer than 300 ms


async def test_a_socket_without_traffic_ends_without_a_code(mexc: Simulator) -> None:
    assert served(mexc).timing.idle_ms == 60_000
    served(mexc).timing.idle_ms = 300
    async with connect(url(mexc)) as ws:
        await ask(ws, "SUBSCRIPTION", DEPTH)
        served(mexc).misbehave("freeze_market")
        assert await closing(ws) == 1005
    assert served(mexc).stats.limit_breaches == {"idle": 1}


async def test_no_socket_outlives_its_day(mexc: Simulator) -> None:
    assert served(mexc).timing.lifetime_ms == 24 * 3600 * 1000
    served(mexc).timing.lifetime_ms = 300
    async with connect(url(mexc)) as ws:
        await ask(ws, "SUBSCRIPTION", DEPTH)
        assert await closing(ws) == 1005


# --- misbehaviours --------------------------------------------------------------------------------------------------------


async def test_a_dropped_diff_is_a_gap(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws:
        book = await live(ws, mexc)
        served(mexc).misbehave("drop", pair=PAIR)
        with pytest.raises(Gap):
            await steps(book, 5)
        await book.bootstrap()  # on the living subscription
        await settle(mexc, book)


async def test_duplicates_and_a_stall_leave_no_gap(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws:
        book = await live(ws, mexc)
        before = book.ignored
        served(mexc).misbehave("duplicate", pair=PAIR, count=3)
        for _ in range(8):
            await book.step()
        assert book.ignored == before + 3
        with served(mexc).misbehave("stall", pair=PAIR):
            moved = served(mexc).instrument(PAIR).sequence + 200
            await wait_until(lambda: served(mexc).instrument(PAIR).sequence > moved, "the market to go on in silence")
        await settle(mexc, book)


async def test_a_crossed_diff_is_seen_and_heals(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws:
        book = await live(ws, mexc)
        served(mexc).misbehave("crossed", pair=PAIR)
        with pytest.raises(Crossed):
            await steps(book, 5)
        await book.bootstrap()
        await settle(mexc, book)


async def test_garbage_is_no_protobuf(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws:
        await ask(ws, "SUBSCRIPTION", DEPTH)
        served(mexc).misbehave("garbage", pair=PAIR)
        with pytest.raises(DecodeError):
            await pushes(ws, DEPTH)


async def test_old_and_crossed_snapshots_are_fetched_again(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws:
        served(mexc).misbehave("stale_snapshot", pair=PAIR)
        book = await live(ws, mexc)
        assert book.refetched == 1
        served(mexc).misbehave("crossed_rest", pair=PAIR, count=2)
        await book.bootstrap()
        assert book.refetched == 3
        await settle(mexc, book)


async def test_rest_lags_behind_by_the_versions_it_was_told(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws:
        book = await live(ws, mexc)
        with served(mexc).misbehave("lagging_rest", pair=PAIR, versions=50):
            first = (await book.snapshot())["lastUpdateId"]
            market = served(mexc).instrument(PAIR)
            await wait_until(lambda: market.sequence > first, "a change")
            assert (await book.snapshot())["lastUpdateId"] in (first, market.sequence)
            await wait_until(lambda: market.sequence > first + 50, "more changes than it may lag")
            assert (await book.snapshot())["lastUpdateId"] > first
        await settle(mexc, book)


async def test_a_blocked_pair_is_refused_and_its_running_topics_go_on(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws:
        await ask(ws, "SUBSCRIPTION", DEPTH)
        with served(mexc).misbehave("blocked", pair=PAIR):
            assert "Blocked" in (await ask(ws, "SUBSCRIPTION", BEST))["msg"]
            await push(ws, DEPTH)
        assert (await ask(ws, "SUBSCRIPTION", BEST))["msg"] == BEST


async def test_an_empty_push_has_no_body(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws:
        await ask(ws, "SUBSCRIPTION", DEPTH)
        served(mexc).misbehave("empty_push", pair=PAIR)
        while (await push(ws, DEPTH)).WhichOneof("body") is not None:
            pass


async def test_a_wrong_ack_names_another_topic_and_the_data_comes(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws:
        served(mexc).misbehave("wrong_ack")
        answer = await ask(ws, "SUBSCRIPTION", DEPTH)
        assert (answer["id"] != 7, answer["msg"] != DEPTH) == (True, True)
        await push(ws, DEPTH)
