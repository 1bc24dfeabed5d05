"""HTX's public protocol as venues/htx.md states it, seen by a raw client."""

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ops.simulator import Simulator, registry
from ops.simulator.htx.spot import HtxSpotPublic
from ops.simulator.htx.swap import HtxSwapPublic
from ops.simulator.venue import Venue
from tests.support.raw_venues import Gap, RawBook, exact
from tests.support.waiting import wait_until

PATHS = {"ws": "spot", "feed": "spot", "linear-swap-ws": "futures"}
MBP = "market.btcusdt.mbp.150"
HIGH = "market.BTC-USDT.depth.size_150.high_freq"


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.SIMULATED, ("htx", "spot"), HtxSpotPublic)
    monkeypatch.setitem(registry.SIMULATED, ("htx", "futures"), HtxSwapPublic)


@pytest.fixture
async def htx() -> AsyncIterator[Simulator]:
    async with Simulator([("htx", "spot"), ("htx", "futures")], pairs=3, rate=30) as simulator:
        yield simulator


class Client:
    """One socket: gzip in, text out; pongs when told to."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws
        self.pongs = True

    async def send(self, **words: Any) -> None:
        await self.ws.send(json.dumps(words))

    async def next(self) -> dict[str, Any]:
        """The next message that is no ping. Every frame is binary and one whole gzip stream."""
        while True:
            frame = await self.ws.recv()
            assert isinstance(frame, bytes)
            message = json.loads(gzip.decompress(frame), parse_float=Decimal)
            if "ping" not in message:
                return dict(message)
            if self.pongs:
                await self.send(pong=message["ping"])

    async def until(self, wanted: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        async with asyncio.timeout(10):
            while not wanted(message := await self.next()):
                pass
        return message

    async def ask(self, **words: Any) -> dict[str, Any]:
        """Send a request and return its answer, passing over data."""
        await self.send(**words)
        return await self.until(lambda message: message.get("id") == words.get("id") and "status" in message)

    async def push(self, topic: str) -> dict[str, Any]:
        return await self.until(lambda message: message.get("ch") == topic)


class connected:  # used as a function
    """`async with connected(simulator, "feed") as client`"""

    def __init__(self, simulator: Simulator, path: str) -> None:
        base = next(one for one in simulator.endpoints if one["market"] == PATHS[path])["ws_url"]
        self._connect = connect(f"{base}/{path}")

    async def __aenter__(self) -> Client:
        return Client(await self._connect.__aenter__())

    async def __aexit__(self, *error: object) -> None:
        await self._connect.__aexit__(*error)


def on(simulator: Simulator, market: str) -> Venue:
    return simulator.venue("htx", market)


class SpotBook(RawBook):
    """Rules of venues/htx.md §5.1."""

    def __init__(self, client: Client, topic: str = MBP) -> None:
        super().__init__()
        self.client, self.topic = client, topic
        self.depth = int(topic.rpartition(".")[2])
        self.kept: list[dict[str, Any]] = []
        self.too_old = self.straddled = self.dropped = self.empty = 0

    async def bootstrap(self) -> None:
        await self.client.send(sub=self.topic, id="s")
        await self.collect(1)
        await self.resync()

    async def collect(self, count: int) -> None:
        for _ in range(count):
            self.kept.append((await self.client.push(self.topic))["tick"])

    async def resync(self) -> None:
        while True:
            number = str(self.too_old)
            await asyncio.sleep(0.11)  # §2: requests keep 100 ms apart
            await self.client.send(req=self.topic, id=number)
            while True:
                message = await self.client.next()
                if message.get("ch") == self.topic:
                    self.kept.append(message["tick"])
                elif message.get("rep") == self.topic:
                    break
            assert (message["id"], message["status"]) == (number, "ok")
            data = message["data"]
            assert "prevSeqNum" not in data
            if data["seqNum"] >= self.kept[0]["prevSeqNum"]:
                break
            self.too_old += 1
        self.load(data["bids"], data["asks"], data["seqNum"])
        kept, self.kept = self.kept, []
        for tick in kept:
            self.take(tick, first=True)

    def take(self, tick: dict[str, Any], *, first: bool = False) -> None:
        assert self.last is not None
        if tick["seqNum"] <= self.last:
            self.dropped += 1
        elif tick["prevSeqNum"] == self.last or (first and tick["prevSeqNum"] < self.last):
            self.straddled += tick["prevSeqNum"] < self.last
            self.empty += not tick.get("bids") and not tick.get("asks")
            self.change(tick.get("bids", []), tick.get("asks", []), tick["seqNum"])
        else:
            raise Gap(f"{tick['prevSeqNum']} after {self.last}")

    async def step(self) -> None:
        self.take((await self.client.push(self.topic))["tick"])


class SwapBook(RawBook):
    """Rules of venues/htx.md §5.3."""

    def __init__(self, client: Client, topic: str = HIGH) -> None:
        super().__init__()
        self.client, self.topic = client, topic
        self.duplicates = self.empty = 0

    async def subscribe(self) -> dict[str, Any]:
        """The first message, which is the snapshot: its acknowledgement comes behind it."""
        await self.client.send(sub=self.topic, data_type="incremental", id="b")
        message = await self.client.next()
        self.take(message)
        return message

    async def step(self) -> dict[str, Any]:
        message = await self.client.push(self.topic)
        self.take(message)
        return message

    def take(self, message: dict[str, Any]) -> None:
        tick = message["tick"]
        assert tick["ch"] == message["ch"]
        if tick["event"] == "snapshot":
            self.load(tick["bids"], tick["asks"], tick["version"])
        elif self.last is not None and tick["version"] <= self.last:
            self.duplicates += 1
        elif tick["version"] != (self.last or 0) + 1:
            raise Gap(f"{tick['version']} after {self.last}")
        else:
            self.empty += not tick["bids"] and not tick["asks"]
            self.change(tick["bids"], tick["asks"], tick["version"])


async def without_end(step: Callable[[], Any]) -> None:
    """Do it until something is raised."""
    while True:
        await step()


def best(book: dict[str, Any], depth: int) -> tuple[Any, Any]:
    bids, asks = exact(book)
    return bids[:depth], asks[:depth]


# ── books ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("depth", [5, 20, 150, 400])
async def test_a_spot_book_built_by_the_sheets_rules_is_exact(htx: Simulator, depth: int) -> None:
    async with connected(htx, "feed") as client, asyncio.timeout(30):
        book = SpotBook(client, f"market.btcusdt.mbp.{depth}")
        await book.bootstrap()
        for _ in range(15):
            await book.step()
        served = on(htx, "spot")
        served.misbehave("freeze_market")
        while book.last != served.book("BTC/USDT")["sequence"]:
            await book.step()
        assert book.as_text() == best(served.book("BTC/USDT"), depth)
        assert served.statistics()["limit_breaches"] == {}


@pytest.mark.parametrize("depth", [20, 150])
async def test_a_swap_book_built_by_the_sheets_rules_is_exact(htx: Simulator, depth: int) -> None:
    async with connected(htx, "linear-swap-ws") as client, asyncio.timeout(30):
        book = SwapBook(client, f"market.BTC-USDT.depth.size_{depth}.high_freq")
        await book.subscribe()
        served = on(htx, "futures")
        instrument = served.instrument("BTC/USDT")
        mrids = [(await book.step())["tick"]["mrid"] for _ in range(20)]
        assert mrids == sorted(mrids)
        served.misbehave("freeze_market")
        while mrids[-1] != instrument.sequence:
            mrids.append((await book.step())["tick"]["mrid"])
        assert book.as_text() == best(served.book("BTC/USDT"), depth)


async def test_a_swap_book_starts_before_its_acknowledgement_and_a_spot_one_behind(htx: Simulator) -> None:
    async with connected(htx, "linear-swap-ws") as client:
        book = SwapBook(client)
        first = await book.subscribe()
        assert first["tick"]["event"] == "snapshot"
        answer = await client.until(lambda message: "subbed" in message)
        assert set(answer) == {"id", "status", "subbed", "ts"}
        assert (answer["id"], answer["status"], answer["subbed"]) == ("b", "ok", HIGH)
    async with connected(htx, "ws") as client:
        await client.send(sub="market.btcusdt.bbo", id=7)
        answer = await client.next()
        assert (answer["id"], answer["status"], answer["subbed"]) == (7, "ok", "market.btcusdt.bbo")


async def test_versions_are_each_connections_own(htx: Simulator) -> None:
    async with connected(htx, "linear-swap-ws") as one, connected(htx, "linear-swap-ws") as two, asyncio.timeout(20):
        early, late = SwapBook(one), SwapBook(two)
        await early.subscribe()
        for _ in range(4):
            await early.step()
        await late.subscribe()
        for _ in range(4):
            await late.step()
            await early.step()
        assert early.last is not None
        assert late.last is not None
        assert abs(late.last - early.last) > 1000
        on(htx, "futures").misbehave("freeze_market")
        true = best(on(htx, "futures").book("BTC/USDT"), 150)
        for book in (early, late):
            while book.as_text() != true:
                await book.step()


async def test_a_window_tells_levels_that_leave_and_enter_it(htx: Simulator) -> None:
    async with connected(htx, "linear-swap-ws") as client, asyncio.timeout(20):
        book = SwapBook(client, "market.BTC-USDT.depth.size_20.high_freq")
        await book.subscribe()
        for _ in range(15):
            await book.step()
            assert (len(book.bids), len(book.asks)) == (20, 20)


async def test_without_data_type_the_whole_book_comes_each_time(htx: Simulator) -> None:
    async with connected(htx, "linear-swap-ws") as client:
        await client.send(sub=HIGH, id="1")
        for _ in range(3):
            tick = (await client.push(HIGH))["tick"]
            assert tick["event"] == "snapshot"
            assert min(len(tick["bids"]), len(tick["asks"])) > 100


async def test_resubscribing_brings_a_swap_snapshot_only_after_leaving(htx: Simulator) -> None:
    async with connected(htx, "linear-swap-ws") as client, asyncio.timeout(20):
        book = SwapBook(client)
        await book.subscribe()
        await client.send(sub=HIGH, data_type="incremental", id="again")
        for _ in range(8):
            assert (await book.step())["tick"]["event"] == "update"
        await client.send(unsub=HIGH, data_type="incremental", id="bye")
        answer = await client.until(lambda message: message.get("id") == "bye")
        assert (answer["status"], answer["unsubbed"]) == ("ok", HIGH)
        assert (await book.subscribe())["tick"]["event"] == "snapshot"


@pytest.mark.parametrize("depth", [5, 10, 20])
async def test_refreshes_are_whole_and_their_ids_rise(htx: Simulator, depth: int) -> None:
    topic = f"market.btcusdt.mbp.refresh.{depth}"
    async with connected(htx, "ws") as client:
        await client.send(sub=topic, id="1")
        ticks = [(await client.push(topic))["tick"] for _ in range(5)]
        ids = [tick["seqNum"] for tick in ticks]
        assert ids == sorted(set(ids))
        assert {len(tick[side]) for tick in ticks for side in ("bids", "asks")} == {depth}


async def test_swap_depth_repeats_each_second_and_its_version_is_a_time(htx: Simulator) -> None:
    served = on(htx, "futures")
    assert served.timing.keepalive_ms == 1000
    served.timing.keepalive_ms = 150
    topic = "market.BTC-USDT.depth.step0"
    served.misbehave("freeze_market")
    async with connected(htx, "linear-swap-ws") as client, asyncio.timeout(10):
        await client.send(sub=topic, id="1")
        first, second = [(await client.push(topic))["tick"] for _ in range(2)]
        assert (first["mrid"], first["bids"]) == (second["mrid"], second["bids"])
        assert first["version"] == first["id"] == first["ts"] // 1000


# ── payloads ─────────────────────────────────────────────────────────────────────────────────────────────────────────

FIELDS = {
    "market.btcusdt.bbo": "seqId ask askSize bid bidSize quoteTime symbol",
    "market.btcusdt.mbp.refresh.20": "seqNum bids asks",
    "market.btcusdt.depth.step0": "bids asks version ts",
    "market.btcusdt.trade.detail": "id ts data",
    "market.btcusdt.ticker": "open high low close amount vol count bid bidSize ask askSize lastPrice lastSize",
    "market.btcusdt.detail": "id low high open close vol amount version count",
    MBP: "seqNum prevSeqNum bids asks",
    "market.BTC-USDT.bbo": "mrid id bid ask ts version ch",
    HIGH: "asks bids ch event id mrid ts version",
    "market.BTC-USDT.depth.step0": "mrid id bids asks ts version ch",
    "market.BTC-USDT.trade.detail": "id ts data",
    "market.BTC-USDT.detail": "id mrid open close high low amount vol trade_turnover count ask bid",
}


@pytest.mark.parametrize("topic", FIELDS)
async def test_payloads_have_the_fields_of_the_sheet(htx: Simulator, topic: str) -> None:
    path = "feed" if topic == MBP else "ws" if topic.islower() else "linear-swap-ws"
    async with connected(htx, path) as client:
        await client.send(sub=topic, data_type="incremental", id="1")
        message = await client.push(topic)
        assert set(message) == {"ch", "ts", "tick"}
        assert set(message["tick"]) == set(FIELDS[topic].split())
        if topic.endswith("trade.detail"):
            spot = {"id", "ts", "tradeId", "amount", "price", "direction"}
            swap = {"id", "ts", "amount", "quantity", "trade_turnover", "price", "direction"}
            assert set(message["tick"]["data"][0]) == (spot if path == "ws" else swap)


@pytest.mark.parametrize(
    "path,topic", [("ws", "market.btcusdt.trade.detail"), ("linear-swap-ws", "market.BTC-USDT.trade.detail")]
)
async def test_the_last_trade_is_replayed_however_old(htx: Simulator, path: str, topic: str) -> None:
    async with connected(htx, path) as client, connected(htx, path) as late:
        await client.send(sub=topic, id="1")
        first = await client.push(topic)
        assert first["tick"]["data"][0]["ts"] <= first["ts"]
        name = "tradeId" if path == "ws" else "id"
        seen: list[int] = []
        while len(seen) < 3:
            seen += [row[name] for row in (await client.push(topic))["tick"]["data"]]
        assert len(seen) == len(set(seen))
        if path == "ws":
            assert first["tick"]["data"][0]["id"] > 2**64
        else:
            assert seen[0] > 2**53
        on(htx, PATHS[path]).misbehave("freeze_market")
        await late.send(sub=topic, id="2")
        replayed = (await late.push(topic))["tick"]["data"]
        assert len(replayed) == 1
        while replayed[0][name] not in seen:  # what came between the last look and the freeze
            seen += [row[name] for row in (await client.push(topic))["tick"]["data"]]


async def test_swap_topics_take_any_letter_case_and_answer_in_upper_case(htx: Simulator) -> None:
    async with connected(htx, "linear-swap-ws") as client:
        answer = await client.ask(sub="market.btc-usdt.bbo", id="1")
        assert answer["subbed"] == "market.BTC-USDT.bbo"
        assert (await client.push("market.BTC-USDT.bbo"))["tick"]["ch"] == "market.BTC-USDT.bbo"


@pytest.mark.parametrize("market", ["spot", "futures"])
async def test_levels_may_come_with_exponents(htx: Simulator, market: str) -> None:
    served = on(htx, market)
    served.misbehave("freeze_market")
    served.misbehave("exponents", pair="BTC/USDT")
    path, topic = ("ws", "market.btcusdt.depth.step0") if market == "spot" else ("linear-swap-ws", HIGH)
    async with connect(f"{next(one['ws_url'] for one in htx.endpoints if one['market'] == market)}/{path}") as ws:
        await ws.send(json.dumps({"sub": topic, "data_type": "incremental", "id": "1"}))
        frames = [gzip.decompress(bytes(await ws.recv(decode=False))) for _ in range(2)]
        tick = json.loads(next(frame for frame in frames if b'"tick"' in frame), parse_float=Decimal)["tick"]
        assert any(re.search(rb"\[\d\.\d+E\+4,", frame) for frame in frames)
        price, size = served.book("BTC/USDT")["bids"][0]
        assert tick["bids"][0] == [Decimal(price), Decimal(size)]


# ── requests and limits ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "path,request_,text",
    [
        ("feed", {"sub": "market.linkkusdt.mbp.150"}, "invalid mbp.150.symbol linkkusdt"),
        ("feed", {"sub": "market.solusdt.mbp.20"}, "invalid mbp.20.symbol solusdt"),
        ("feed", {"sub": "market.btcusdt.mbp.10"}, "invalid topic market.btcusdt.mbp.10"),
        ("feed", {"sub": "market.btcusdt.mbp.refresh.20"}, "invalid topic market.btcusdt.mbp.refresh.20"),
        ("feed", {"req": "market.btcusdt.bbo"}, "invalid topic market.btcusdt.bbo"),
        ("ws", {"sub": MBP}, f"invalid topic {MBP}"),
        ("ws", {"req": MBP}, f"invalid topic {MBP}"),
        ("ws", {"sub": ["market.btcusdt.bbo"]}, "invalid topic ['market.btcusdt.bbo']"),
        ("ws", {"sub": "market.*.bbo"}, "invalid bbo.symbol *"),
        ("ws", {"dance": "market.btcusdt.bbo"}, "invalid request"),
        ("linear-swap-ws", {"sub": "market.BTC-USDT.depth.size_400.high_freq"},
         "invalid topic market.BTC-USDT.depth.size_400.high_freq"),
        ("linear-swap-ws", {"sub": "market.NONE-USDT.bbo"}, "invalid topic market.NONE-USDT.bbo"),
        ("linear-swap-ws", {"sub": HIGH, "data_type": "odd"}, "invalid data_type odd"),
        ("linear-swap-ws", {"req": HIGH}, f"invalid topic {HIGH}"),
    ],
)  # fmt: skip
async def test_bad_requests_get_the_sheets_error(
    htx: Simulator, path: str, request_: dict[str, Any], text: str
) -> None:
    async with connected(htx, path) as client:
        answer = await client.ask(**request_, id="5")
        assert (answer["status"], answer["err-code"], answer["err-msg"]) == ("error", "bad-request", text)
        assert set(answer) == {"status", "ts", "id", "err-code", "err-msg"}


@pytest.mark.parametrize("text", ["{", "ping", "[]", "7"])
async def test_what_is_no_json_object_gets_an_error_without_id(htx: Simulator, text: str) -> None:
    async with connected(htx, "linear-swap-ws") as client:
        await client.ws.send(text)
        answer = await client.next()
        assert (answer["id"], answer["err-msg"]) == ("", "not json, is not json string")


async def test_spot_requests_keep_100_ms_apart_whatever_they_ask(htx: Simulator) -> None:
    on(htx, "spot").mono_ms = lambda: 5000.0  # no time passes, however slow this machine is
    async with connected(htx, "feed") as client:
        assert (await client.ask(sub=MBP, id="1"))["status"] == "ok"
        answer = await client.ask(req=MBP, id="2")
        assert (answer["err-code"], answer["err-msg"]) == ("429", "429 too many request")
        assert on(htx, "spot").statistics()["limit_breaches"] == {"requests": 1}
        on(htx, "spot").mono_ms = lambda: 5100.0
        assert (await client.ask(req=MBP, id="3"))["status"] == "ok"
        assert (await client.ask(unsub=MBP, id="4"))["status"] == "ok"


@pytest.mark.parametrize("word,most", [("sub", 40), ("req", 50)])
async def test_swaps_take_so_many_requests_a_second(htx: Simulator, word: str, most: int) -> None:
    on(htx, "futures").mono_ms = lambda: 5000.0
    async with connected(htx, "linear-swap-ws") as client:
        for number in range(most):
            assert (await client.ask(**{word: "market.NONE.bbo"}, id=number))["err-code"] == "bad-request"
        assert (await client.ask(**{word: "market.BTC-USDT.bbo"}, id="over"))["err-code"] == "429"


async def test_other_paths_are_not_served(htx: Simulator) -> None:
    for endpoint in htx.endpoints:
        for path in ("/ws/v2", "/swap-ws", "/linear-swap-ws" if endpoint["market"] == "spot" else "/ws"):
            with pytest.raises(InvalidStatus):
                async with connect(endpoint["ws_url"] + path):
                    pass


async def test_a_symbol_that_does_not_trade_has_a_book_that_stands_still(htx: Simulator) -> None:
    async with connected(htx, "ws") as client:
        await client.send(sub="market.lunausdt.mbp.refresh.20", id="1")
        await asyncio.sleep(0.11)
        await client.send(sub="market.btcusdt.mbp.refresh.20", id="2")
        assert (await client.until(lambda message: "ch" in message))["ch"] == "market.lunausdt.mbp.refresh.20"
        for _ in range(5):
            message = await client.until(lambda message: "ch" in message)
            assert message["ch"] == "market.btcusdt.mbp.refresh.20"


# ── heartbeat ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path,most", [("ws", 2), ("feed", 2), ("linear-swap-ws", 5)])
async def test_unanswered_pings_close_the_connection(htx: Simulator, path: str, most: int) -> None:
    served = on(htx, PATHS[path])
    assert served.timing.ping_interval_ms == 5000
    served.timing.ping_interval_ms = 100
    async with connected(htx, path) as client, asyncio.timeout(10):
        client.pongs = False
        await client.ws.send(json.dumps({"op": "pong", "ts": "1"}))  # another dialect counts as missing
        pings = 0

        async def hear() -> None:
            nonlocal pings
            pings += b'"ping"' in gzip.decompress(bytes(await client.ws.recv(decode=False)))

        with pytest.raises(ConnectionClosed) as closed:
            await without_end(hear)
    assert pings == most
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1003
    assert closed.value.rcvd.reason.startswith("ping check expired, session: ")
    assert served.statistics()["limit_breaches"] == {"pong": 1}


@pytest.mark.parametrize("path", PATHS)
async def test_pongs_keep_the_connection(htx: Simulator, path: str) -> None:
    served = on(htx, PATHS[path])
    served.timing.ping_interval_ms = 100
    async with connected(htx, path) as client:
        reader = asyncio.get_running_loop().create_task(client.until(lambda message: False), name="reader")
        await wait_until(lambda: served.statistics()["pongs_received"] >= 8, "eight pongs")
        assert len(served.peers) == 1
        reader.cancel()
        assert served.statistics()["limit_breaches"] == {}


@pytest.mark.parametrize("wrong", [lambda n: str(n), lambda n: n + 1, lambda n: None, lambda n: True])
async def test_a_pong_of_another_value_or_type_counts_as_missing(htx: Simulator, wrong: Callable[[int], Any]) -> None:
    served = on(htx, "spot")
    served.timing.ping_interval_ms = 100
    async with connected(htx, "ws") as client, asyncio.timeout(10):

        async def mishear() -> None:
            message = json.loads(gzip.decompress(bytes(await client.ws.recv(decode=False))))
            if "ping" in message:
                await client.send(pong=wrong(message["ping"]))

        with pytest.raises(ConnectionClosed):
            await without_end(mishear)
    assert served.statistics()["pongs_received"] == 0


async def test_swaps_answer_a_ping_of_the_client_and_spot_does_not(htx: Simulator) -> None:
    async with connected(htx, "linear-swap-ws") as client:
        await client.send(ping=5)
        assert await client.next() == {"pong": 5}
    async with connected(htx, "ws") as client:
        await client.send(ping=5)
        await client.send(sub="market.btcusdt.ticker", id="1")
        assert (await client.next())["id"] == "1"


# ── misbehaviours ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_snapshot_that_is_too_old_is_asked_for_again(htx: Simulator) -> None:
    on(htx, "spot").misbehave("stale_snapshot", pair="BTC/USDT", count=1)
    async with connected(htx, "feed") as client, asyncio.timeout(20):
        book = SpotBook(client)
        await book.bootstrap()
        assert book.too_old == 1


async def test_a_straddling_delta_is_applied_and_the_book_is_exact(htx: Simulator) -> None:
    served = on(htx, "spot")
    served.misbehave("straddle", pair="BTC/USDT")
    async with connected(htx, "feed") as client, asyncio.timeout(20):
        book = SpotBook(client)
        await book.bootstrap()
        if book.straddled == 0:  # the delta around the answer comes behind it
            book.take((await client.push(MBP))["tick"], first=True)
        assert book.straddled == 1
        served.misbehave("freeze_market")
        while book.last != served.book("BTC/USDT")["sequence"]:
            await book.step()
        assert book.as_text() == best(served.book("BTC/USDT"), 150)


async def test_an_empty_delta_takes_an_id(htx: Simulator) -> None:
    async with connected(htx, "feed") as client, asyncio.timeout(20):
        book = SpotBook(client)
        await book.bootstrap()
        on(htx, "spot").misbehave("empty_delta", pair="BTC/USDT", count=2)
        while book.empty < 2:
            await book.step()
    async with connected(htx, "linear-swap-ws") as client, asyncio.timeout(20):
        swap = SwapBook(client)
        await swap.subscribe()
        on(htx, "futures").misbehave("empty_delta", pair="BTC/USDT", count=2)
        while swap.empty < 2:
            await swap.step()


async def test_a_missing_side_is_null(htx: Simulator) -> None:
    on(htx, "futures").misbehave("missing_side", pair="BTC/USDT", side="ask")
    async with connected(htx, "linear-swap-ws") as client:
        await client.send(sub="market.BTC-USDT.bbo", id="1")
        tick = (await client.push("market.BTC-USDT.bbo"))["tick"]
        assert tick["ask"] is None
        assert len(tick["bid"]) == 2
        assert (await client.push("market.BTC-USDT.bbo"))["tick"]["ask"] is not None


async def test_an_image_may_be_repeated(htx: Simulator) -> None:
    topic = "market.btcusdt.mbp.refresh.20"
    async with connected(htx, "ws") as client:
        await client.send(sub=topic, id="1")
        await client.push(topic)
        on(htx, "spot").misbehave("repeated_image", pair="BTC/USDT")
        first, second = [await client.push(topic) for _ in range(2)]
        assert first == second


@pytest.mark.parametrize("name", ["drop", "reorder"])
@pytest.mark.parametrize("market", ["spot", "futures"])
async def test_a_lost_or_late_delta_breaks_the_chain_for_everybody(htx: Simulator, market: str, name: str) -> None:
    path = "feed" if market == "spot" else "linear-swap-ws"
    async with connected(htx, path) as one, connected(htx, path) as two, asyncio.timeout(20):
        books: list[Any] = []
        for client in (one, two):
            if market == "spot":
                spot = SpotBook(client)
                await spot.bootstrap()
                await spot.step()
                books.append(spot)
            else:
                swap = SwapBook(client)
                await swap.subscribe()
                books.append(swap)
        on(htx, market).misbehave(name, pair="BTC/USDT")
        for book in books:
            with pytest.raises(Gap):
                await without_end(book.step)


async def test_a_duplicate_has_the_same_version(htx: Simulator) -> None:
    async with connected(htx, "linear-swap-ws") as client, asyncio.timeout(20):
        book = SwapBook(client)
        await book.subscribe()
        on(htx, "futures").misbehave("duplicate", pair="BTC/USDT")
        while book.duplicates == 0:
            await book.step()


@pytest.mark.parametrize("path,topic", [("ws", "market.btcusdt.bbo"), ("linear-swap-ws", "market.BTC-USDT.bbo")])
async def test_a_wrong_acknowledgement_names_another_topic_and_the_data_comes(
    htx: Simulator, path: str, topic: str
) -> None:
    on(htx, PATHS[path]).misbehave("wrong_ack")
    async with connected(htx, path) as client:
        await client.send(sub=topic, id="1")
        got = [await client.next() for _ in range(2)]
        (answer,) = [message for message in got if "subbed" in message]
        assert answer["subbed"] != topic
        assert any(message.get("ch") == topic for message in got)


async def test_garbage_is_a_packed_half(htx: Simulator) -> None:
    async with connected(htx, "linear-swap-ws") as client, asyncio.timeout(10):
        book = SwapBook(client)
        await book.subscribe()
        on(htx, "futures").misbehave("garbage", pair="BTC/USDT")
        with pytest.raises(json.JSONDecodeError):
            await without_end(client.next)
