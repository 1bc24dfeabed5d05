"""OKX's public protocol as venues/okx.md states it, seen by a raw client."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ops.simulator import Simulator
from tests.support.raw_venues import OkxBook, exact, receive
from tests.support.waiting import wait_until

IDS = {"spot": "BTC-USDT", "futures": "BTC-USDT-SWAP"}


@pytest.fixture
async def okx() -> AsyncIterator[Simulator]:
    async with Simulator([("okx", "spot"), ("okx", "futures")], pairs=3, rate=30) as simulator:
        yield simulator


def urls(simulator: Simulator, market: str = "spot") -> tuple[str, str]:
    """(REST base, public websocket)."""
    endpoint = next(one for one in simulator.endpoints if one["market"] == market)
    return endpoint["rest_url"], endpoint["ws_url"] + "/ws/v5/public"


async def subscribe(
    ws: ClientConnection, *args: tuple[str, str], op: str = "subscribe", id_: str | None = None
) -> None:
    request: dict[str, Any] = {"op": op, "args": [{"channel": channel, "instId": inst_id} for channel, inst_id in args]}
    await ws.send(json.dumps(request if id_ is None else {"id": id_, **request}))


@pytest.mark.parametrize("market", IDS)
async def test_a_book_built_by_the_sheets_rules_is_exact(okx: Simulator, market: str) -> None:
    async with connect(urls(okx, market)[1]) as ws, asyncio.timeout(30):
        book = OkxBook(ws, IDS[market])
        assert (await book.subscribe())["event"] == "subscribe"
        jumps = set()
        for _ in range(20):
            before = book.last or 0
            await book.step()
            jumps.add((book.last or 0) - before)
        assert len(jumps) > 5  # ids jump, only the link matters
        served = okx.venue("okx", market)
        served.misbehave("freeze_market")
        while book.last != served.book("BTC/USDT")["sequence"]:
            await book.step()
        assert book.as_text() == exact(served.book("BTC/USDT"))


async def test_two_connections_hear_the_same_chain(okx: Simulator) -> None:
    async with connect(urls(okx)[1]) as one, connect(urls(okx)[1]) as two, asyncio.timeout(20):
        early, late = OkxBook(one, "BTC-USDT"), OkxBook(two, "BTC-USDT")
        await early.subscribe()
        for _ in range(4):
            await early.step()
        market = okx.venue("okx", "spot").instrument("BTC/USDT")
        await wait_until(lambda: market.sequence > (early.last or 0), "a change inside the open window")
        await late.subscribe()
        await late.step()
        while early.last != late.last:  # the newcomer's snapshot is a point of the chain that others hear
            assert (early.last or 0) < (late.last or 0)
            await early.step()
        assert early.as_text() == late.as_text()


async def test_every_arg_is_acknowledged_and_a_bad_one_hinders_none(okx: Simulator) -> None:
    async with connect(urls(okx)[1]) as ws:
        await subscribe(ws, ("books", "BTC-USDTT"), ("candle1m", "BTC-USDT"), ("trades", "BTC-USDT"), id_="b3")
        answers = [await receive(ws, lambda m: "event" in m) for _ in range(3)]
        assert [one.get("code") for one in answers] == ["60018", "64001", None]
        assert {one["id"] for one in answers} == {"b3"}
        assert len({one["connId"] for one in answers}) == 1
        assert answers[2]["arg"] == {"channel": "trades", "instId": "BTC-USDT"}
        assert (await receive(ws, lambda m: "data" in m))["arg"] == {"channel": "trades", "instId": "BTC-USDT"}


@pytest.mark.parametrize(
    "text,code",
    [
        ("{", "60012"),
        ('{"op":"dance","args":[]}', "60012"),
        ('{"id":"a-b","op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT"}]}', "60012"),
        ('{"op":"subscribe","args":[]}', "60013"),
        ('{"op":"subscribe","args":["books"]}', "60013"),
        ('{"op":"subscribe","args":[{"channel":"books50-l2-tbt","instId":"BTC-USDT"}]}', "64003"),
        ('{"op":"subscribe","args":[{"channel":"books","instId":"btc-usdt"}]}', "60018"),
        ('{"op":"login","args":[{"apiKey":"k"}]}', "60009"),
    ],
)
async def test_malformed_requests_get_the_sheets_codes(okx: Simulator, text: str, code: str) -> None:
    async with connect(urls(okx)[1]) as ws:
        await ws.send(text)
        answer = json.loads(await ws.recv())
        assert (answer["event"], answer["code"]) == ("error", code)


async def test_the_wrong_path_is_an_error(okx: Simulator) -> None:
    base = okx.endpoints[0]["ws_url"]
    for path, code in [("/ws/v5/business", "64002"), ("/ws/v5/private", "60011")]:
        async with connect(base + path) as ws:
            await subscribe(ws, ("books", "BTC-USDT"))
            assert json.loads(await ws.recv())["code"] == code
    with pytest.raises(InvalidStatus):
        async with connect(base + "/ws/v4/public"):
            pass


async def test_ping_is_text_and_not_json(okx: Simulator) -> None:
    async with connect(urls(okx)[1]) as ws:
        await ws.send("ping")
        assert await ws.recv() == "pong"


async def test_an_idle_connection_is_closed_and_a_ping_keeps_it(okx: Simulator) -> None:
    served = okx.venue("okx", "spot")
    assert served.timing.idle_ms == 30_000
    served.timing.idle_ms = 400
    loop = asyncio.get_running_loop()
    async with connect(urls(okx)[1]) as ws:
        started = loop.time()
        while loop.time() - started < 1:
            await ws.send("ping")
            assert await ws.recv() == "pong"
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ws.recv(), 0.2)
        with pytest.raises(ConnectionClosed) as closed:
            await ws.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4004


async def test_subscribing_again_brings_a_snapshot_only_after_unsubscribing(okx: Simulator) -> None:
    async with connect(urls(okx)[1]) as ws, asyncio.timeout(20):
        book = OkxBook(ws, "BTC-USDT")
        await book.subscribe()
        assert (await book.step())["action"] == "snapshot"
        assert (await book.subscribe())["event"] == "subscribe"
        assert {(await book.step())["action"] for _ in range(8)} == {"update"}
        assert (await book.subscribe("unsubscribe"))["event"] == "unsubscribe"
        assert (await book.subscribe())["event"] == "subscribe"
        assert (await book.step())["action"] == "snapshot"


async def test_a_quiet_book_sends_empty_keepalives(okx: Simulator) -> None:
    served = okx.venue("okx", "spot")
    assert served.timing.keepalive_ms == 60_000
    served.timing.keepalive_ms = 150
    async with connect(urls(okx)[1]) as ws, asyncio.timeout(20):
        book = OkxBook(ws, "BTC-USDT")
        await book.subscribe()
        await book.step()
        served.misbehave("freeze_market")
        while book.keepalives < 2:
            message = await book.step()
        row = message["data"][0]
        assert row["seqId"] == row["prevSeqId"] == book.last
        await subscribe(ws, ("books5", "BTC-USDT"))
        pushes = [
            await receive(ws, lambda m: m.get("arg", {}).get("channel") == "books5" and "data" in m) for _ in "ab"
        ]
        assert pushes[0]["data"][0]["bids"] == pushes[1]["data"][0]["bids"]


@pytest.mark.parametrize("market", IDS)
async def test_payloads_have_the_fields_of_the_sheet(okx: Simulator, market: str) -> None:
    fields = {
        "books": "asks bids ts checksum prevSeqId seqId",
        "books5": "asks bids instId ts seqId",
        "bbo-tbt": "asks bids ts seqId",
        "trades": "instId tradeId px sz side ts count source seqId",
    }
    async with connect(urls(okx, market)[1]) as ws:
        for channel, names in fields.items():
            await subscribe(ws, (channel, IDS[market]))
            message = await receive(ws, lambda m, c=channel: m["arg"]["channel"] == c and "data" in m)
            assert set(message["data"][0]) == set(names.split())
            assert ("action" in message) == (channel == "books")
            for side in ("asks", "bids") if channel != "trades" else ():
                assert all(len(level) == 4 and level[2] == "0" for level in message["data"][0][side])
        await subscribe(ws, ("tickers", IDS[market]))
        row = (await receive(ws, lambda m: m["arg"]["channel"] == "tickers" and "data" in m))["data"][0]
        assert {"instId", "last", "bidPx", "bidSz", "askPx", "askSz", "ts"} <= set(row)


async def test_one_instruments_channels_come_in_the_fixed_order(okx: Simulator) -> None:
    async with connect(urls(okx)[1]) as ws, asyncio.timeout(20):
        await subscribe(ws, ("books5", "BTC-USDT"), ("books", "BTC-USDT"), ("bbo-tbt", "BTC-USDT"))
        rank = {"bbo-tbt": 0, "books": 1, "books5": 2}
        by_id: dict[int, list[int]] = {}
        for _ in range(60):
            message = await receive(ws, lambda m: "data" in m and m.get("action") != "snapshot")
            by_id.setdefault(message["data"][0]["seqId"], []).append(rank[message["arg"]["channel"]])
        complete = [order for order in by_id.values() if len(order) == 3]
        assert len(complete) > 3
        assert all(order == sorted(order) for order in complete[1:])


async def test_three_connects_a_second_are_the_most(okx: Simulator) -> None:
    okx.venue("okx", "spot").mono_ms = lambda: 1000.0  # one second, however slow this machine is
    async with connect(urls(okx)[1]), connect(urls(okx)[1]), connect(urls(okx)[1]):
        with pytest.raises(InvalidStatus) as refused:
            async with connect(urls(okx)[1]):
                pass
    assert refused.value.response.status_code == 429
    assert okx.venue("okx", "spot").statistics()["limit_breaches"] == {"connects": 1}


async def test_480_requests_an_hour_are_the_most_on_a_connection(okx: Simulator) -> None:
    async with connect(urls(okx)[1]) as ws, asyncio.timeout(30):
        for number in range(480):
            await subscribe(ws, ("trades", "NONE"), id_=f"r{number}")
        await receive(ws, lambda m: m.get("id") == "r479" and m["code"] == "60018")
        await subscribe(ws, ("trades", "BTC-USDT"), id_="over")
        assert (await receive(ws, lambda m: m.get("id") == "over"))["code"] == "60014"
        await ws.send("ping")  # heartbeats are not requests
        async with asyncio.timeout(5):
            while await ws.recv() != "pong":
                pass


async def test_an_instrument_that_does_not_trade_has_a_book_that_stands_still(okx: Simulator) -> None:
    async with connect(urls(okx)[1]) as ws:
        await subscribe(ws, ("books", "LUNA-USDT"), ("books", "BTC-USDT"))
        assert (await receive(ws, lambda m: m.get("action") == "snapshot"))["arg"]["instId"] == "LUNA-USDT"
        for _ in range(6):
            assert (await receive(ws, lambda m: m.get("action") == "update"))["arg"]["instId"] == "BTC-USDT"
