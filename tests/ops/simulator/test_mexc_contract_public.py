"""MEXC's public contract protocol as venues/mexc.md states it, seen by a raw client."""

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ops.simulator import Simulator, registry
from ops.simulator.mexc.contract_public import MexcContractPublic
from tests.support.raw_venues import Crossed, Gap, RawBook, exact, receive
from tests.support.waiting import wait_until

PAIR = "BTC/USDT"


@pytest.fixture
async def mexc(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Simulator]:
    monkeypatch.setitem(registry.SIMULATED, ("mexc", "futures"), MexcContractPublic)
    async with Simulator([("mexc", "futures")], pairs=3, rate=30, levels=100) as simulator:
        yield simulator


def served(simulator: Simulator) -> Any:
    return simulator.venue("mexc", "futures")


def url(simulator: Simulator) -> str:
    return simulator.endpoints[0]["ws_url"] + "/edge"


async def ask(ws: ClientConnection, method: str, symbol: str = "BTC_USDT", **param: Any) -> dict[str, Any]:
    await ws.send(json.dumps({"method": method, "param": {"symbol": symbol, **param}}))
    return dict(await receive(ws, lambda m: m["channel"].startswith("rs.")))


async def push(ws: ClientConnection, channel: str) -> dict[str, Any]:
    """The next push of a channel; numbers are Decimals."""
    async with asyncio.timeout(10):
        while True:
            message = json.loads(await ws.recv(), parse_float=Decimal)
            if message["channel"] == f"push.{channel}":
                return dict(message)


class ContractBook(RawBook):
    """Rules of venues/mexc.md §5.3."""

    def __init__(self, ws: ClientConnection, simulator: Simulator) -> None:
        super().__init__()
        self.ws, self.base = ws, simulator.endpoints[0]["rest_url"] + "/api/v1/contract"
        self.refetched = self.ignored = 0

    async def get(self, path: str) -> Any:
        async with httpx.AsyncClient() as http:
            answer = (await http.get(f"{self.base}/{path}")).json(parse_float=Decimal)
        assert answer["success"], answer
        return answer["data"]

    async def bootstrap(self) -> None:
        first = (await push(self.ws, "depth"))["data"]
        while True:
            shot = await self.get("depth/BTC_USDT?limit=1000")
            crossed = max(row[0] for row in shot["bids"]) >= min(row[0] for row in shot["asks"])
            if shot["version"] + 1 >= first.get("begin", first["version"]) and not crossed:
                break
            self.refetched += 1
        self.load(shot["bids"], shot["asks"], shot["version"])
        self.take(first)

    async def step(self) -> dict[str, Any]:
        message = await push(self.ws, "depth")
        self.take(message["data"])
        return message

    def take(self, data: dict[str, Any]) -> None:
        assert self.last is not None
        first, last = data.get("begin", data["version"]), data.get("end", data["version"])
        if last <= self.last:
            self.ignored += 1
            return
        if first > self.last + 1:
            raise Gap(f"{first}..{last} after {self.last}")
        self.change(data["bids"], data["asks"], last)


async def live(ws: ClientConnection, mexc: Simulator, **param: Any) -> ContractBook:
    await ask(ws, "sub.depth", **param)
    book = ContractBook(ws, mexc)
    await book.bootstrap()
    return book


async def steps(book: ContractBook, count: int) -> None:
    for _ in range(count):
        await book.step()


async def settle(mexc: Simulator, book: ContractBook) -> None:
    """After the market stands still the book is the venue's."""
    served(mexc).misbehave("freeze_market")
    truth = served(mexc).book(PAIR)
    while book.last != truth["sequence"]:
        await book.step()
    assert book.as_text() == exact(truth)


async def drain(ws: ClientConnection, frames: list[str] | None = None) -> None:
    """Every frame, until the socket ends."""
    frames = [] if frames is None else frames
    async with asyncio.timeout(10):
        while True:
            frames.append(str(await ws.recv()))


# --- books ----------------------------------------------------------------------------------------------------------------


async def test_a_merged_book_built_by_the_sheets_rules_is_exact(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws, asyncio.timeout(30):
        book = await live(ws, mexc)
        unordered = 0
        for _ in range(12):
            message = await book.step()
            data = message["data"]
            assert (data["version"], message["symbol"]) == (data["end"], "BTC_USDT")
            assert all((row[2] == 0) is (row[1] == 0) for row in data["bids"] + data["asks"])
            prices = [row[0] for row in data["asks"]]
            unordered += prices not in (sorted(prices), sorted(prices, reverse=True))
        assert unordered
        await settle(mexc, book)


async def test_a_raw_book_is_exact_and_each_frame_is_one_version(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws, asyncio.timeout(30):
        book = await live(ws, mexc, compress=False)
        for _ in range(60):
            before, ignored = book.last or 0, book.ignored
            data = (await book.step())["data"]
            assert "begin" not in data
            assert len(data["bids"]) + len(data["asks"]) == 1
            assert book.last == (before if book.ignored > ignored else before + 1)
        await settle(mexc, book)


async def test_merged_frames_follow_one_another_without_a_hole_or_an_overlap(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws:
        await ask(ws, "sub.depth")
        before = (await push(ws, "depth"))["data"]
        for _ in range(6):
            data = (await push(ws, "depth"))["data"]
            assert data["begin"] == before["end"] + 1
            before = data


async def test_numbers_come_with_exponents_and_with_trailing_zeros(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws, asyncio.timeout(30):
        await ask(ws, "sub.depth")
        seen = ""
        while "E+" not in seen or "0," not in seen.replace(",0,", "").replace("[0,", ""):
            frame = await ws.recv()
            assert isinstance(frame, str)
            seen += frame


async def test_the_best_levels_are_sorted_whole_books_of_one_limit(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws, asyncio.timeout(20):
        await ask(ws, "sub.depth.full", limit=20)
        data = (await push(ws, "depth.full"))["data"]
        assert (len(data["bids"]), len(data["asks"])) == (20, 20)
        assert [row[0] for row in data["bids"]] == sorted((row[0] for row in data["bids"]), reverse=True)
        await ask(ws, "sub.depth.full", limit=5)  # replaces the other limit
        while len((await push(ws, "depth.full"))["data"]["bids"]) != 5:
            pass
        for _ in range(3):
            assert len((await push(ws, "depth.full"))["data"]["bids"]) == 5
        assert (await ask(ws, "sub.depth.full", limit=7))["channel"] == "rs.error"


async def test_the_tail_of_commits_mends_a_gap_without_a_snapshot(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws, asyncio.timeout(30):
        book = await live(ws, mexc)
        served(mexc).misbehave("drop", pair=PAIR)
        with pytest.raises(Gap):
            await steps(book, 5)
        commits = await book.get("depth_commits/BTC_USDT/1000")
        versions = [commit["version"] for commit in commits]
        assert versions == list(range(versions[0], versions[-1] - 1, -1))  # newest first, none missing
        assert versions[-1] <= (book.last or 0) + 1
        for commit in reversed(commits):
            book.take(commit)
        await settle(mexc, book)


async def test_deals_and_tickers(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws, asyncio.timeout(20):
        await ask(ws, "sub.deal")
        deals = (await push(ws, "deal"))["data"]
        assert all(deal["T"] in (1, 2) and deal["v"] > 0 and deal["i"].isdecimal() for deal in deals)
        assert all(isinstance(deal["cts"], str) for deal in deals)
        await ask(ws, "sub.ticker")
        ticker = (await push(ws, "ticker"))["data"]
        assert ticker["bid1"] < ticker["ask1"]


# --- answers (§4.2) -------------------------------------------------------------------------------------------------------


async def test_an_acknowledgement_names_the_channel_and_not_the_symbol(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws:
        for method in ("sub.depth", "sub.depth", "unsub.depth", "unsub.depth", "sub.index.price"):
            answer = await ask(ws, method)
            assert {**answer, "ts": 0} == {"channel": f"rs.{method}", "data": "success", "ts": 0}


async def test_a_subscription_asked_for_twice_is_not_doubled(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws:
        await ask(ws, "sub.depth")
        await ask(ws, "sub.depth")
        ends = [(await push(ws, "depth"))["data"]["end"] for _ in range(5)]
        assert ends == sorted(set(ends))


async def test_an_unknown_contract_is_named_in_prose(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws:
        for symbol in ("NOPE_USDT", "btc_usdt", "LUNA_USDT"):
            answer = await ask(ws, "sub.depth", symbol)
            assert (answer["channel"], answer["data"]) == ("rs.error", f"Contract [{symbol}] not exists")


@pytest.mark.parametrize("request_", ["{", "[]", "1", '{"method":"dance"}', '{"method":"sub.dance"}', '{"method":5}'])
async def test_what_it_does_not_know_gets_no_reply(mexc: Simulator, request_: str) -> None:
    async with connect(url(mexc)) as ws:
        await ws.send(request_)
        await ws.send('{"method":"ping"}')
        assert json.loads(await ws.recv())["channel"] == "pong"


async def test_after_unsubscribing_nothing_more_comes(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws:
        await ask(ws, "sub.depth")
        await push(ws, "depth")
        await ask(ws, "unsub.depth")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ws.recv(), 0.6)


# --- connections (§3) -----------------------------------------------------------------------------------------------------


async def test_a_ping_is_json_text_and_may_be_answered_twice(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws:
        await ws.send('{"method":"ping"}')
        pong = json.loads(await ws.recv())
        assert (pong["channel"], pong["data"]) == ("pong", pong["ts"])
        served(mexc).misbehave("double_pong")
        await ws.send('{"method":"ping"}')
        assert [json.loads(await ws.recv())["channel"] for _ in range(2)] == ["pong", "pong"]


async def test_there_is_one_path(mexc: Simulator) -> None:
    with pytest.raises(InvalidStatus):
        async with connect(mexc.endpoints[0]["ws_url"] + "/ws"):
            pass


async def test_who_does_not_ping_is_cut_however_much_flows(mexc: Simulator) -> None:
    assert served(mexc).timing.keepalive_ms == 60_000
    served(mexc).timing.keepalive_ms = 800
    async with connect(url(mexc)) as ws:
        await ask(ws, "sub.depth", compress=False)
        frames: list[str] = []
        with pytest.raises(ConnectionClosed) as closed:
            await drain(ws, frames)
        assert json.loads(frames[-1])["data"] == "more than 60 seconds no response, close the channel"
        assert closed.value.rcvd is None  # no close frame
    assert served(mexc).stats.limit_breaches == {"ping": 1}


async def test_pings_keep_a_silent_socket_and_a_day_ends_it(mexc: Simulator) -> None:
    served(mexc).timing.keepalive_ms = 500
    async with connect(url(mexc)) as ws:
        opened = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() < opened + 1.2:
            await ws.send('{"method":"ping"}')
            assert json.loads(await ws.recv())["channel"] == "pong"
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ws.recv(), 0.1)
        assert served(mexc).timing.lifetime_ms == 24 * 3600 * 1000
        served(mexc).timing.lifetime_ms = 100
        with pytest.raises(ConnectionClosed):
            await drain(ws)


# --- misbehaviours --------------------------------------------------------------------------------------------------------


async def test_a_dropped_frame_is_a_gap_and_a_new_snapshot_mends_it(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws:
        book = await live(ws, mexc)
        served(mexc).misbehave("drop", pair=PAIR)
        with pytest.raises(Gap):
            await steps(book, 5)
        await book.bootstrap()
        await settle(mexc, book)


async def test_duplicates_and_a_stall_leave_no_gap(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws:
        book = await live(ws, mexc)
        before = book.ignored
        served(mexc).misbehave("duplicate", pair=PAIR, count=2)
        await steps(book, 6)
        assert book.ignored == before + 2
        with served(mexc).misbehave("stall", pair=PAIR):
            moved = served(mexc).instrument(PAIR).sequence + 100
            await wait_until(lambda: served(mexc).instrument(PAIR).sequence > moved, "the market to go on in silence")
        await settle(mexc, book)


async def test_a_crossed_frame_is_seen_and_heals(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws:
        book = await live(ws, mexc)
        served(mexc).misbehave("crossed", pair=PAIR)
        with pytest.raises(Crossed):
            await steps(book, 5)
        await book.bootstrap()
        await settle(mexc, book)


async def test_old_and_crossed_books_of_rest_are_fetched_again(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws:
        served(mexc).misbehave("stale_snapshot", pair=PAIR)
        book = await live(ws, mexc)
        assert book.refetched == 1
        served(mexc).misbehave("crossed_rest", pair=PAIR)
        await book.bootstrap()
        assert book.refetched == 2
        await settle(mexc, book)


async def test_a_wrong_ack_names_another_channel_and_the_data_comes(mexc: Simulator) -> None:
    async with connect(url(mexc)) as ws:
        served(mexc).misbehave("wrong_ack")
        assert (await ask(ws, "sub.depth"))["channel"] == "rs.sub.kline"
        await push(ws, "depth")
