"""Bybit's public protocol as venues/bybit.md states it, seen by a raw client."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ops.simulator import Simulator
from ops.simulator.bybit import public
from ops.simulator.venue import Venue
from tests.support.raw_venues import Crossed, Gap, RawBook, exact, receive
from tests.support.waiting import wait_until

PAIR = "BTC/USDT"
ID = "BTCUSDT"
PATHS = {"spot": "/v5/public/spot", "futures": "/v5/public/linear"}
MARKETS = list(PATHS)


@pytest.fixture
async def bybit() -> AsyncIterator[Simulator]:
    async with Simulator([("bybit", "spot"), ("bybit", "futures")], pairs=3, rate=30) as simulator:
        yield simulator


@pytest.fixture
async def dial(bybit: Simulator) -> AsyncIterator[Callable[[str], Any]]:
    async with AsyncExitStack() as stack:

        async def dialled(market: str) -> ClientConnection:
            return await stack.enter_async_context(connect(urls(bybit, market)[1], close_timeout=0.5))

        yield dialled


def urls(simulator: Simulator, market: str) -> tuple[str, str]:
    """(REST base, public websocket)."""
    endpoint = next(one for one in simulator.endpoints if one["market"] == market)
    return endpoint["rest_url"], endpoint["ws_url"] + PATHS[market]


def is_answer(message: Any) -> bool:
    return "success" in message


async def ask(ws: ClientConnection, op: str, *args: str, id_: str = "q") -> Any:
    """The answer to a request; pushes that come before it are passed over."""
    await ws.send(json.dumps({"req_id": id_, "op": op, "args": args}))
    return await receive(ws, is_answer)


class BybitBook(RawBook):
    """Rules of venues/bybit.md §5.2. The connection must carry one book topic and nothing else."""

    def __init__(self, ws: ClientConnection, depth: int | str) -> None:
        super().__init__()
        self.ws, self.topic = ws, f"orderbook.{depth}.{ID}"
        self.u = self.seq = 0
        self.snapshots = self.duplicates = self.absent_deletes = 0

    async def subscribe(self) -> None:
        await self.ws.send(json.dumps({"op": "subscribe", "args": [self.topic]}))
        while not self.snapshots:
            await self.step()

    async def step(self) -> dict[str, Any]:
        """Receive and apply one push. Raises Gap."""
        message = dict(await receive(self.ws, lambda m: m.get("topic") == self.topic))
        data = message["data"]
        if message["type"] == "snapshot":
            self.snapshots += 1
            self.load(data["b"], data["a"], data["seq"])
        elif data["u"] == self.u:
            self.duplicates += 1
        elif data["u"] != self.u + 1 or data["seq"] < self.seq:
            raise Gap(f"{data['u']} after {self.u}")
        else:
            held = {*map(str, self.bids), *map(str, self.asks)}
            self.absent_deletes += sum(q == "0" and str(p) not in held for p, q in [*data["b"], *data["a"]])
            self.change(data["b"], data["a"], data["seq"])
        self.u, self.seq = data["u"], data["seq"]
        return message


class FullBook(RawBook):
    """Rules of §5.4."""

    def __init__(self, ws: ClientConnection, rest_url: str) -> None:
        super().__init__()
        self.ws, self.url = ws, f"{rest_url}/v5/market/full_orderbook"
        self.topic = f"orderbook.full.{ID}"
        self.u = 0
        self.refetched = 0

    async def delta(self) -> dict[str, Any]:
        message = await receive(self.ws, lambda m: m.get("topic") == self.topic)
        assert message["type"] == "delta"
        return dict(message["data"])

    async def bootstrap(self) -> None:
        await self.ws.send(json.dumps({"op": "subscribe", "args": [self.topic]}))
        kept = [await self.delta()]
        async with httpx.AsyncClient() as http:
            while True:
                answer = (await http.get(self.url, params={"category": "spot", "symbol": ID})).json()
                shot = answer["result"]
                if shot["seq"] >= kept[0]["seq"]:
                    break
                self.refetched += 1
        while (kept[-1]["u"], kept[-1]["seq"]) != (shot["u"], shot["seq"]):
            assert kept[-1]["seq"] < shot["seq"], "the snapshot is no message of the chain"
            kept.append(await self.delta())
        self.load(shot["b"], shot["a"], shot["seq"])
        self.u = shot["u"]

    async def step(self) -> None:
        """Receive and apply one delta. Raises Gap."""
        data = await self.delta()
        if data["u"] != self.u + 1:
            raise Gap(f"{data['u']} after {self.u}")
        self.u = data["u"]
        self.change(data["b"], data["a"], data["seq"])


async def steps(book: BybitBook) -> None:
    """Receive and apply until something is wrong."""
    async with asyncio.timeout(10):
        while True:
            await book.step()


def top(book: dict[str, Any], depth: int) -> Any:
    bids, asks = exact(book)
    return bids[:depth], asks[:depth]


async def settle(served: Venue, book: BybitBook, depth: int) -> None:
    """Freeze the market and catch up."""
    with served.misbehave("freeze_market"):
        expected = top(served.book(PAIR), depth)
        async with asyncio.timeout(10):
            while book.as_text() != expected:
                await book.step()


# --- books ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("depth", [50, 200, 1000])
async def test_a_book_built_by_the_sheets_rules_is_exact(bybit: Simulator, dial: Any, market: str, depth: int) -> None:
    book = BybitBook(await dial(market), depth)
    async with asyncio.timeout(40):
        await book.subscribe()
        for _ in range(12):
            await book.step()
            assert max(len(book.bids), len(book.asks)) <= depth
    assert book.snapshots == 1
    await settle(bybit.venue("bybit", market), book, depth)


async def test_the_full_book_is_spliced_from_rest_and_exact(bybit: Simulator, dial: Any) -> None:
    book = FullBook(await dial("spot"), urls(bybit, "spot")[0])
    served = bybit.venue("bybit", "spot")
    async with asyncio.timeout(40):
        await book.bootstrap()
        for _ in range(10):
            await book.step()
        served.misbehave("freeze_market")
        while book.last != served.book(PAIR)["sequence"]:
            await book.step()
    assert book.as_text() == exact(served.book(PAIR))
    assert len(book.bids) > 200


async def test_a_stale_snapshot_of_the_full_book_is_older_than_the_buffer(bybit: Simulator, dial: Any) -> None:
    bybit.venue("bybit", "spot").misbehave("stale_snapshot", pair=PAIR, count=2)
    book = FullBook(await dial("spot"), urls(bybit, "spot")[0])
    async with asyncio.timeout(40):
        await book.bootstrap()
        for _ in range(3):
            await book.step()
    assert book.refetched == 2


async def test_deletes_of_levels_that_nobody_holds_are_sent(bybit: Simulator, dial: Any) -> None:
    book = BybitBook(await dial("spot"), 1000)
    async with asyncio.timeout(60):
        await book.subscribe()
        while not book.absent_deletes:
            await book.step()


async def test_two_connections_hear_the_same_chain(bybit: Simulator, dial: Any) -> None:
    early, late = BybitBook(await dial("spot"), 200), BybitBook(await dial("spot"), 200)
    async with asyncio.timeout(20):
        await early.subscribe()
        for _ in range(4):
            await early.step()
        market = bybit.venue("bybit", "spot").instrument(PAIR)
        await wait_until(lambda: market.sequence > early.seq, "a change inside the open window")
        await late.subscribe()
        while early.u != late.u:
            assert early.u < late.u
            await early.step()
    assert early.seq == late.seq
    assert early.as_text() == late.as_text()


@pytest.mark.parametrize("market", MARKETS)
async def test_best_prices_are_snapshots_and_are_repeated_with_the_same_u(
    bybit: Simulator, dial: Any, market: str
) -> None:
    served, ws = bybit.venue("bybit", market), await dial(market)
    assert served.timing.keepalive_ms == 3000
    served.timing.keepalive_ms = 200
    await ask(ws, "subscribe", f"orderbook.1.{ID}")
    seen = [await receive(ws, lambda m: "topic" in m) for _ in range(8)]
    served.misbehave("freeze_market")
    while len(seen) < 2 or seen[-1]["data"]["u"] != seen[-2]["data"]["u"]:
        seen.append(await receive(ws, lambda m: "topic" in m))
    assert {message["type"] for message in seen} == {"snapshot"}
    assert {len(message["data"][side]) for message in seen for side in "ba"} == {1}
    assert seen[-1]["data"]["b"] == [served.book(PAIR)["bids"][0]]
    assert seen[-1]["data"]["a"] == [served.book(PAIR)["asks"][0]]
    numbers = [message["data"]["u"] for message in seen]
    assert numbers == sorted(numbers)


async def test_subscribing_again_without_unsubscribing_brings_no_snapshot(bybit: Simulator, dial: Any) -> None:
    ws = await dial("futures")
    book = BybitBook(ws, 50)
    await book.subscribe()
    refused = await ask(ws, "subscribe", book.topic)
    assert refused["ret_msg"] == f"error:already subscribed,topic:{book.topic}"
    assert (await ask(ws, "unsubscribe", book.topic))["success"] is True
    before = book.snapshots
    await ws.send(json.dumps({"op": "subscribe", "args": [book.topic]}))
    while book.snapshots == before:
        await receive(ws, lambda m: m.get("type") == "snapshot")
        book.snapshots += 1


async def test_an_instrument_that_does_not_trade_has_a_book_that_stands_still(bybit: Simulator, dial: Any) -> None:
    ws = await dial("futures")
    await ask(ws, "subscribe", "orderbook.50.ETHUSDT", "publicTrade.LUNAUSDT")
    await ws.send(json.dumps({"op": "subscribe", "args": ["orderbook.50.LUNAUSDT"]}))
    assert (await receive(ws, lambda m: "LUNA" in m.get("topic", "")))["type"] == "snapshot"
    for _ in range(6):
        message = await receive(ws, lambda m: m.get("type") == "delta")
        assert message["topic"] == "orderbook.50.ETHUSDT"


# --- requests -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("market, text", [("spot", "subscribe"), ("futures", "")])
async def test_acknowledgements_have_the_shape_of_their_socket(
    bybit: Simulator, dial: Any, market: str, text: str
) -> None:
    answer = await ask(await dial(market), "subscribe", f"publicTrade.{ID}", id_="s-1")
    assert list(answer) == ["success", "ret_msg", "conn_id", "req_id", "op"]
    assert (answer["success"], answer["ret_msg"], answer["req_id"], answer["op"]) == (True, text, "s-1", "subscribe")


async def test_data_may_come_before_the_acknowledgement(bybit: Simulator, dial: Any) -> None:
    ws = await dial("spot")
    bybit.venue("bybit", "spot").misbehave("late_ack")
    await ws.send(json.dumps({"req_id": "1", "op": "subscribe", "args": [f"orderbook.50.{ID}"]}))
    assert json.loads(await ws.recv())["type"] == "snapshot"
    assert json.loads(await ws.recv())["success"] is True


async def test_some_subscriptions_have_their_data_first_without_being_told_to(bybit: Simulator, dial: Any) -> None:
    ws, firsts = await dial("futures"), set()
    async with asyncio.timeout(30):
        while len(firsts) < 2:
            await ws.send(json.dumps({"op": "subscribe", "args": ["orderbook.50.LUNAUSDT"]}))
            firsts.add("topic" in json.loads(await ws.recv()))
            await ws.recv()
            await ask(ws, "unsubscribe", "orderbook.50.LUNAUSDT")


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize(
    "bad, spot, linear",
    [
        (f"publicTrade.{ID}", f"error:already subscribed,topic:publicTrade.{ID}", None),
        (f"orderbook.40.{ID}", f"error:handler not found,topic:orderbook.40.{ID}", None),
        (f"orderbook.500.{ID}", f"error:handler not found,topic:orderbook.500.{ID}", None),
        ("nothing", "error:handler not found,topic:nothing", None),
        ("orderbook.50.btcusdt", "Invalid symbol :[btcusdt]", "error:handler not found,topic:orderbook.50.btcusdt"),
    ],
)
async def test_one_bad_topic_poisons_the_whole_request(
    bybit: Simulator, dial: Any, market: str, bad: str, spot: str, linear: str | None
) -> None:
    ws = await dial(market)
    await ask(ws, "subscribe", f"publicTrade.{ID}")
    answer = await ask(ws, "subscribe", "publicTrade.ETHUSDT", bad, id_="s-2")
    assert (answer["success"], answer["req_id"], answer["op"]) == (False, "s-2", "subscribe")
    assert answer["ret_msg"] == (spot if market == "spot" or linear is None else linear)
    assert (await ask(ws, "subscribe", "publicTrade.ETHUSDT"))["success"] is True  # nothing of it had been done


async def test_a_topic_named_twice_in_one_request_is_a_duplicate(bybit: Simulator, dial: Any) -> None:
    ws = await dial("futures")
    answer = await ask(ws, "subscribe", f"publicTrade.{ID}", f"publicTrade.{ID}")
    assert answer["ret_msg"] == f"error:already subscribed,topic:publicTrade.{ID}"


async def test_the_full_book_is_of_spot_only(bybit: Simulator, dial: Any) -> None:
    assert (await ask(await dial("spot"), "subscribe", f"orderbook.full.{ID}"))["success"] is True
    assert (await ask(await dial("futures"), "subscribe", f"orderbook.full.{ID}"))["success"] is False


@pytest.mark.parametrize("text", ["{", "[]", '{"op":"dance"}', '{"args":[]}'])
async def test_an_unknown_operation_is_answered_with_its_request(bybit: Simulator, dial: Any, text: str) -> None:
    ws = await dial("spot")
    await ws.send(text)
    answer = json.loads(await ws.recv())
    assert (answer["success"], answer["ret_msg"]) == (False, "error:invalid op")
    assert set(answer) == {"success", "ret_msg", "conn_id", "request"}


@pytest.mark.parametrize("args", [None, [], [5], "orderbook"])
async def test_topics_that_are_none_are_refused(bybit: Simulator, dial: Any, args: Any) -> None:
    ws = await dial("spot")
    await ws.send(json.dumps({"op": "subscribe", "args": args}))
    assert (await receive(ws, is_answer))["success"] is False


async def test_pongs_differ_by_socket(bybit: Simulator, dial: Any) -> None:
    for market, repeated in (("spot", {}), ("futures", {"req_id": "hb-1"})):
        ws = await dial(market)
        await ws.send('{"req_id":"hb-1","op":"ping"}')
        pong = json.loads(await ws.recv())
        assert pong.pop("conn_id")
        assert pong == {"success": True, "ret_msg": "pong", "op": "ping"} | repeated


async def test_an_idle_connection_is_cut_and_a_ping_keeps_it(bybit: Simulator, dial: Any) -> None:
    served, ws = bybit.venue("bybit", "spot"), await dial("spot")
    assert served.timing.idle_ms == 600_000
    served.timing.idle_ms = 400
    loop = asyncio.get_running_loop()
    started = loop.time()
    while loop.time() - started < 1:
        await ws.send('{"op":"ping"}')
        assert json.loads(await ws.recv())["ret_msg"] == "pong"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ws.recv(), 0.2)
    with pytest.raises(ConnectionClosed):
        await ws.recv()
    assert served.statistics()["limit_breaches"] == {"idle": 1}


# --- limits ---------------------------------------------------------------------------------------------------------------


async def test_ten_topics_are_the_most_of_a_request_on_spot_only(bybit: Simulator, dial: Any) -> None:
    names = [f"orderbook.{depth}.{id_}" for depth in (1, 50, 200, 1000) for id_ in (ID, "ETHUSDT", "SOLUSDT")]
    spot, linear = await dial("spot"), await dial("futures")
    assert (await ask(spot, "subscribe", *names[:11]))["ret_msg"] == "args size >10"
    assert (await ask(spot, "subscribe", *names[:10]))["success"] is True
    assert (await ask(linear, "subscribe", *names))["success"] is True
    assert bybit.venue("bybit", "spot").statistics()["limit_breaches"] == {"args": 1}


async def test_21000_characters_of_topics_are_the_most_of_a_connection(
    bybit: Simulator, dial: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert public.ARGS_CHARACTERS == 21_000
    names = [f"publicTrade.{ID}", "publicTrade.ETHUSDT", "publicTrade.SOLUSDT"]
    monkeypatch.setattr(public, "ARGS_CHARACTERS", len("".join(names)) - 1)
    ws = await dial("futures")
    assert (await ask(ws, "subscribe", *names))["success"] is False
    assert (await ask(ws, "subscribe", *names[:2]))["success"] is True  # what was refused counts for nothing
    assert (await ask(ws, "subscribe", names[2]))["success"] is False
    assert (await ask(ws, "unsubscribe", names[0]))["success"] is True
    assert (await ask(ws, "subscribe", names[2]))["success"] is True
    assert bybit.venue("bybit", "futures").statistics()["limit_breaches"] == {"args characters": 2}


async def test_500_connects_in_five_minutes_are_the_most(bybit: Simulator, dial: Any) -> None:
    served = bybit.venue("bybit", "spot")
    served.mono_ms = lambda: 1000.0
    async with asyncio.timeout(60):
        for _ in range(500):
            async with connect(urls(bybit, "spot")[1], compression=None):
                pass
        with pytest.raises(InvalidStatus) as refused:
            await dial("spot")
    assert refused.value.response.status_code == 403
    assert served.statistics()["limit_breaches"] == {"connects": 1}


async def test_an_address_has_so_many_connections_at_most(
    bybit: Simulator, dial: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert public.CONNECTIONS == 1000
    monkeypatch.setattr(public, "CONNECTIONS", 2)
    first = await dial("futures")
    await dial("futures")
    with pytest.raises(InvalidStatus) as refused:
        await dial("futures")
    assert refused.value.response.status_code == 403
    served = bybit.venue("bybit", "futures")
    assert served.statistics()["limit_breaches"] == {"connections": 1}
    await first.close()
    await wait_until(lambda: len(served.peers) == 1, "the place to be free again")
    await dial("futures")


@pytest.mark.parametrize("market, path", [("spot", PATHS["futures"]), ("futures", "/v5/private"), ("spot", "/ws")])
async def test_another_path_is_not_served(bybit: Simulator, market: str, path: str) -> None:
    base = next(one["ws_url"] for one in bybit.endpoints if one["market"] == market)
    with pytest.raises(InvalidStatus) as refused:
        async with connect(base + path):
            pass
    assert refused.value.response.status_code == 404


# --- payloads -------------------------------------------------------------------------------------------------------------


async def test_keys_stand_in_the_order_of_their_market(bybit: Simulator, dial: Any) -> None:
    for market, second in (("spot", ["ts", "type"]), ("futures", ["type", "ts"])):
        ws = await dial(market)
        await ask(ws, "subscribe", f"orderbook.50.{ID}")
        message = await receive(ws, lambda m: m.get("type") == "delta")
        assert list(message) == ["topic", *second, "data", "cts"]
        assert list(message["data"]) == ["s", "b", "a", "u", "seq"]


@pytest.mark.parametrize("market", MARKETS)
async def test_trades_name_the_takers_side_and_have_the_ids_of_their_market(
    bybit: Simulator, dial: Any, market: str
) -> None:
    ws, sides, ids = await dial(market), set(), set()
    await ask(ws, "subscribe", f"publicTrade.{ID}")
    async with asyncio.timeout(30):
        while len(sides) < 2:
            for row in (await receive(ws, lambda m: "topic" in m))["data"]:
                sides.add(row["S"])
                assert row["i"] not in ids
                ids.add(row["i"])
                assert {"T", "s", "v", "p", "BT", "RPI", "seq"} <= set(row)
                assert row["i"].isdecimal() is (market == "spot")
                assert ("L" in row) is (market == "futures")
    assert sides == {"Buy", "Sell"}


async def test_tickers_of_linear_are_a_snapshot_and_deltas_and_of_spot_snapshots(bybit: Simulator, dial: Any) -> None:
    for market, kinds in (("spot", ["snapshot", "snapshot"]), ("futures", ["snapshot", "delta"])):
        ws = await dial(market)
        await ask(ws, "subscribe", f"tickers.{ID}", f"publicTrade.{ID}")
        await ws.send(json.dumps({"op": "unsubscribe", "args": [f"tickers.{ID}"]}))
        await ask(ws, "unsubscribe", f"publicTrade.{ID}")
        await ws.send(json.dumps({"op": "subscribe", "args": [f"tickers.{ID}"]}))
        seen = [await receive(ws, lambda m: m.get("topic") == f"tickers.{ID}") for _ in "ab"]
        assert [message["type"] for message in seen] == kinds
        assert {message["data"]["symbol"] for message in seen} == {ID}


# --- misbehaviours --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("market", MARKETS)
async def test_a_restart_counts_from_1_in_a_snapshot(bybit: Simulator, dial: Any, market: str) -> None:
    served, book = bybit.venue("bybit", market), BybitBook(await dial(market), 50)
    await book.subscribe()
    served.misbehave("restart", pair=PAIR)
    async with asyncio.timeout(10):
        while book.snapshots < 2:
            message = await book.step()
        assert message["data"]["u"] == 1
        assert (await book.step())["data"]["u"] == 2
    await settle(served, book, 50)


async def test_a_restart_may_be_told_in_a_delta(bybit: Simulator, dial: Any) -> None:
    served, book = bybit.venue("bybit", "futures"), BybitBook(await dial("futures"), 50)
    await book.subscribe()
    served.misbehave("restart", pair=PAIR, in_deltas=True)
    with pytest.raises(Gap, match="1 after"):
        await steps(book)


async def test_a_restart_of_the_full_book_is_an_empty_delta_and_rest_counts_anew(bybit: Simulator, dial: Any) -> None:
    served, rest_url = bybit.venue("bybit", "spot"), urls(bybit, "spot")[0]
    book = FullBook(await dial("spot"), rest_url)
    async with asyncio.timeout(30):
        await book.bootstrap()
        served.misbehave("restart", pair=PAIR)
        data = await book.delta()
        while data["u"] != 1:
            data = await book.delta()
        assert (data["b"], data["a"]) == ([], [])
        assert (await book.delta())["u"] == 2
        async with httpx.AsyncClient() as http:
            answer = (await http.get(book.url, params={"category": "spot", "symbol": ID})).json()
        assert 2 <= answer["result"]["u"] < 100


async def test_a_snapshot_may_come_unasked_in_place_of_a_delta(bybit: Simulator, dial: Any) -> None:
    served, book = bybit.venue("bybit", "spot"), BybitBook(await dial("spot"), 200)
    await book.subscribe()
    served.misbehave("resend", pair=PAIR)
    async with asyncio.timeout(10):
        while book.snapshots < 2:
            await book.step()
        await book.step()
    await settle(served, book, 200)


@pytest.mark.parametrize("market", MARKETS)
async def test_a_lost_delta_is_a_gap(bybit: Simulator, dial: Any, market: str) -> None:
    served, book = bybit.venue("bybit", market), BybitBook(await dial(market), 50)
    await book.subscribe()
    served.misbehave("drop", pair=PAIR)
    with pytest.raises(Gap):
        await steps(book)


async def test_a_duplicate_delta_and_garbage_lose_nothing(bybit: Simulator, dial: Any) -> None:
    served, book = bybit.venue("bybit", "futures"), BybitBook(await dial("futures"), 50)
    await book.subscribe()
    served.misbehave("duplicate", pair=PAIR, count=2)
    async with asyncio.timeout(10):
        while book.duplicates < 2:
            await book.step()
    served.misbehave("garbage", pair=PAIR)
    with pytest.raises(json.JSONDecodeError):
        await steps(book)
    await settle(served, book, 50)


async def test_a_reordered_delta_is_a_gap(bybit: Simulator, dial: Any) -> None:
    served, book = bybit.venue("bybit", "spot"), BybitBook(await dial("spot"), 50)
    await book.subscribe()
    served.misbehave("reorder", pair=PAIR)
    with pytest.raises(Gap):
        await steps(book)


@pytest.mark.parametrize("market", MARKETS)
async def test_a_crossed_book_heals_with_the_next_delta(bybit: Simulator, dial: Any, market: str) -> None:
    served, book = bybit.venue("bybit", market), BybitBook(await dial(market), 50)
    await book.subscribe()
    served.misbehave("crossed", pair=PAIR)
    with pytest.raises(Crossed):
        await steps(book)
    book.u += 1
    await book.step()
    await settle(served, book, 50)


async def test_a_wrong_acknowledgement_names_another_request(bybit: Simulator, dial: Any) -> None:
    bybit.venue("bybit", "spot").misbehave("wrong_ack")
    assert (await ask(await dial("spot"), "subscribe", f"orderbook.50.{ID}", id_="7"))["req_id"] != "7"


async def test_a_stalled_pair_says_nothing_and_then_everything_in_one_delta(bybit: Simulator, dial: Any) -> None:
    served, book = bybit.venue("bybit", "spot"), BybitBook(await dial("spot"), 50)
    await book.subscribe()
    with served.misbehave("stall", pair=PAIR):
        moved = served.instrument(PAIR).sequence + 200
        await wait_until(lambda: served.instrument(PAIR).sequence > moved, "the market to go on in silence")
    await settle(served, book, 50)
