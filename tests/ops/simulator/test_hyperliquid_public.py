"""Hyperliquid's websockets as venues/hyperliquid.md states them, by a client without our product code."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ops.simulator import Simulator, registry
from ops.simulator.hyperliquid import public
from ops.simulator.hyperliquid.public import Cadence, HyperliquidPublic
from tests.support.raw_venues import exact, receive
from tests.support.waiting import wait_until

COINS = {"spot": "@142", "futures": "BTC"}
MARKETS = tuple(("hyperliquid", market) for market in COINS)
Sides = tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]


@pytest.fixture
async def simulator(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Simulator]:
    """Both markets, their clocks made quick."""
    for venue_market in MARKETS:
        monkeypatch.setitem(registry.SIMULATED, venue_market, HyperliquidPublic)
    async with Simulator(MARKETS, pairs=3, rate=30) as running:
        for market in COINS:
            served(running, market).cadence.book_ms = 200
        yield running


def served(simulator: Simulator, market: str = "futures") -> HyperliquidPublic:
    venue = simulator.venue("hyperliquid", market)
    assert isinstance(venue, HyperliquidPublic)
    return venue


def url(simulator: Simulator, market: str = "futures") -> str:
    return next(one["ws_url"] for one in simulator.endpoints if one["market"] == market) + "/ws"


def asked(kind: str, coin: str | None = None, **flavour: Any) -> dict[str, Any]:
    return {"type": kind} | ({} if coin is None else {"coin": coin}) | flavour


async def send(ws: ClientConnection, subscription: object, method: str = "subscribe") -> None:
    await ws.send(json.dumps({"method": method, "subscription": subscription}))


async def of(ws: ClientConnection, channel: str) -> Any:
    """The `data` of the next message of a channel."""
    return (await receive(ws, lambda message: message["channel"] == channel))["data"]


def sides(book: dict[str, Any]) -> Sides:
    bids, asks = ([(Decimal(row["px"]), Decimal(row["sz"])) for row in side] for side in book["levels"])
    return bids, asks


async def rest_of(ws: ClientConnection) -> list[Any]:
    """What still comes until the socket ends as with code 1006: no close frame came."""
    heard: list[Any] = []

    async def listen() -> None:
        async with asyncio.timeout(10):
            while True:
                heard.append(json.loads(await ws.recv()))

    with pytest.raises(ConnectionClosed) as closed:
        await listen()
    assert closed.value.rcvd is None
    return heard


# ── books ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("market", COINS)
async def test_the_last_frame_is_the_exact_book(simulator: Simulator, market: str) -> None:
    venue = served(simulator, market)
    async with connect(url(simulator, market)) as ws, asyncio.timeout(30):
        await send(ws, asked("l2Book", COINS[market]))
        defaults = {"nSigFigs": None, "mantissa": None, "fast": False}
        assert await of(ws, "subscriptionResponse") == {
            "method": "subscribe",
            "subscription": asked("l2Book", COINS[market], **defaults),
        }
        times = []
        for _ in range(6):
            book = await of(ws, "l2Book")
            times.append(book["time"])
            bids, asks = sides(book)
            assert len(bids) == len(asks) == 20
            assert bids == sorted(bids, reverse=True)
            assert asks == sorted(asks)
            assert bids[0] < asks[0]
        assert times == sorted(times)
        venue.misbehave("freeze_market")
        while sides(book) != exact(venue.book("BTC/USDC")):
            book = await of(ws, "l2Book")


async def test_books_of_all_coins_are_pushed_together_and_repeated_when_nothing_changed(simulator: Simulator) -> None:
    async with connect(url(simulator)) as ws, asyncio.timeout(20):
        await send(ws, asked("l2Book", "BTC"))
        await send(ws, asked("l2Book", "ETH"))
        first = await of(ws, "l2Book")
        served(simulator).misbehave("freeze_market")
        by_coin: dict[str, list[dict[str, Any]]] = {}
        while min((len(books) for books in by_coin.values()), default=0) < 6 or len(by_coin) < 2:
            book = await of(ws, "l2Book")
            by_coin.setdefault(book["coin"], []).append(book)
        one, two = ([book["time"] for book in books] for books in by_coin.values())
        assert len(set(one) & set(two)) >= 3
        assert first["coin"] == "BTC"
        last = by_coin["BTC"][-2:]
        assert last[0]["levels"] == last[1]["levels"]
        assert last[0]["time"] < last[1]["time"]


async def test_the_fast_book_has_five_levels_and_a_clock_of_its_own(simulator: Simulator) -> None:
    assert Cadence() == Cadence(book_ms=5360, fast_ms=540, context_ms=1000, mids_ms=5000, block_ms=70)
    cadence = served(simulator).cadence
    cadence.fast_ms, cadence.book_ms = 100, 3_600_000
    async with connect(url(simulator)) as ws, asyncio.timeout(20):
        await send(ws, asked("l2Book", "BTC"))
        await send(ws, asked("l2Book", "BTC", fast=True))
        books = [await of(ws, "l2Book") for _ in range(8)]
        fast = [book for book in books if book.get("fast")]
        assert len(fast) >= 6
        assert {len(side) for book in fast for side in book["levels"]} == {5}
        assert {len(side) for book in books if not book.get("fast") for side in book["levels"]} == {20}


async def test_a_coarse_book_adds_sizes_up_away_from_the_spread(simulator: Simulator) -> None:
    venue = served(simulator)
    venue.misbehave("freeze_market")
    async with connect(url(simulator)) as ws:
        await send(ws, asked("l2Book", "BTC", nSigFigs=3))
        bids, asks = sides(await of(ws, "l2Book"))
        _, exact_bids, exact_asks = venue.instrument("BTC/USDC").book_at_now()
        lot = Decimal("0.00001")
        top = bids[0][0]
        assert bids[0] == (top, sum(lots for ticks, lots in exact_bids if ticks >= top) * lot)
        bottom = asks[0][0]
        assert asks[0] == (bottom, sum(lots for ticks, lots in exact_asks if ticks <= bottom) * lot)
        assert all(price % 100 == 0 for price, _ in bids + asks)
        await send(ws, asked("l2Book", "BTC", nSigFigs=5, mantissa=5))
        bids, asks = sides(await of(ws, "l2Book"))
        assert all(price % 5 == 0 for price, _ in bids + asks)


async def test_a_delisted_coin_is_acknowledged_and_empty(simulator: Simulator) -> None:
    async with connect(url(simulator)) as ws:
        await send(ws, asked("l2Book", "LUNA"))
        assert (await of(ws, "subscriptionResponse"))["method"] == "subscribe"
        assert (await of(ws, "l2Book"))["levels"] == [[], []]
        await send(ws, asked("bbo", "LUNA"))
        assert (await of(ws, "bbo"))["bbo"] == [None, None]


# ── best prices, trades, contexts ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("market", COINS)
async def test_best_prices_never_repeat_and_end_with_the_books(simulator: Simulator, market: str) -> None:
    venue = served(simulator, market)
    async with connect(url(simulator, market)) as ws, asyncio.timeout(30):
        await send(ws, asked("bbo", COINS[market]))
        seen = [await of(ws, "bbo") for _ in range(10)]
        assert all(one["bbo"] != two["bbo"] for one, two in itertools.pairwise(seen))
        assert [one["time"] for one in seen] == sorted(one["time"] for one in seen)
        venue.misbehave("freeze_market")
        bids, asks = exact(venue.book("BTC/USDC"))
        last = seen[-1]
        while [(Decimal(side["px"]), Decimal(side["sz"])) for side in last["bbo"]] != [bids[0], asks[0]]:
            last = await of(ws, "bbo")


async def test_trades_come_by_block_and_have_the_fields_of_the_sheet(simulator: Simulator) -> None:
    async with connect(url(simulator)) as ws, asyncio.timeout(20):
        await send(ws, asked("trades", "BTC"))
        rows = [row for _ in range(8) for row in await of(ws, "trades")]
        assert set(rows[0]) == {"coin", "side", "px", "sz", "time", "hash", "tid", "users"}
        assert {row["side"] for row in rows} == {"A", "B"}
        assert len({row["tid"] for row in rows}) == len(rows)
        assert all(0 <= row["tid"] < 2**50 and len(row["hash"]) == 66 and len(row["users"]) == 2 for row in rows)
        assert all(abs(float(row["px"]) / 65000 - 1) < 0.05 and "." in row["px"] for row in rows)


async def test_a_subscription_to_trades_begins_with_those_of_before(simulator: Simulator) -> None:
    async with connect(url(simulator)) as one, connect(url(simulator)) as two, asyncio.timeout(20):
        await send(one, asked("trades", "BTC"))
        told = [row for _ in range(5) for row in await of(one, "trades")]
        await send(two, asked("trades", "BTC"))
        replayed = await of(two, "trades")
        assert {row["tid"] for row in told} & {row["tid"] for row in replayed}
        assert len(replayed) <= 30


@pytest.mark.parametrize("market, channel", [("spot", "activeSpotAssetCtx"), ("futures", "activeAssetCtx")])
async def test_contexts_and_mids_are_pushed_by_clocks(simulator: Simulator, market: str, channel: str) -> None:
    cadence = served(simulator, market).cadence
    cadence.context_ms = cadence.mids_ms = 100
    async with connect(url(simulator, market)) as ws, asyncio.timeout(20):
        await send(ws, asked("activeAssetCtx", COINS[market]))
        for _ in range(3):
            context = await of(ws, channel)
            assert context["coin"] == COINS[market]
            assert abs(float(context["ctx"]["midPx"]) / 65000 - 1) < 0.05
        await send(ws, asked("allMids"))
        for _ in range(3):
            assert COINS[market] in (await of(ws, "allMids"))["mids"]
        await send(ws, asked("allMids"), "unsubscribe")
        assert (await of(ws, "subscriptionResponse"))["subscription"] == {"type": "allMids"}


# ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "frame",
    [
        '{"method":"subscribe","subscription":{"type":"noSuchType","coin":"BTC"}}',
        '{"method":"subscribe","subscription":{"type":"l2Book","coin":["BTC","ETH"]}}',
        '{"method":"subscribe","subscription":[{"type":"bbo","coin":"BTC"}]}',
        '{"method":"subscribe","subscription":{"type":"l2Book","coin":"BTC","fast":"yes"}}',
        '{"method":"subscribe","subscription":{"type":"l2Book","coin":"BTC","nSigFigs":"5"}}',
        '{"method":"subscribe"}',
        '{"method":"dance"}',
        '{"method":"post","request":{"type":"info"}}',
        "[]",
        "{oops",
    ],
)
async def test_what_cannot_be_read_is_echoed_and_the_socket_stays(simulator: Simulator, frame: str) -> None:
    async with connect(url(simulator)) as ws:
        await ws.send(frame)
        assert await of(ws, "error") == f"Error parsing JSON into valid websocket request: {frame}"
        await ws.send('{"method":"ping"}')
        assert json.loads(await ws.recv()) == {"channel": "pong"}


@pytest.mark.parametrize(
    "subscription",
    [
        asked("l2Book", "btc"),
        asked("bbo", "NONE"),
        asked("trades", "TSLA"),
        asked("trades", "XYZ:TSLA"),
        asked("activeAssetCtx", "@142"),
        asked("l2Book", "BTC", nSigFigs=6),
        asked("l2Book", "BTC", nSigFigs=4, mantissa=2),
        asked("l2Book", "BTC", mantissa=2),
        asked("l2Book", "BTC", nSigFigs=5, mantissa=3),
    ],
)
async def test_what_does_not_exist_closes_the_socket_without_a_word(
    simulator: Simulator, subscription: dict[str, Any]
) -> None:
    async with connect(url(simulator)) as ws:
        await send(ws, subscription)
        assert await rest_of(ws) == []


async def test_an_unknown_coin_takes_every_other_subscription_with_it(simulator: Simulator) -> None:
    async with connect(url(simulator)) as ws:
        await send(ws, asked("l2Book", "BTC"))
        await of(ws, "l2Book")
        await send(ws, asked("l2Book", "NONE"))
        assert {message["channel"] for message in await rest_of(ws)} <= {"l2Book"}
    await wait_until(lambda: not served(simulator).peers, "the server to forget the socket")


async def test_subscribing_twice_and_leaving_twice_are_errors_that_change_nothing(simulator: Simulator) -> None:
    async with connect(url(simulator)) as ws, asyncio.timeout(20):
        subscription = asked("l2Book", "ETH")
        await send(ws, subscription, "unsubscribe")
        words, _, echo = (await of(ws, "error")).partition(": ")
        assert (words, json.loads(echo)["coin"]) == ("Already unsubscribed", "ETH")
        await send(ws, subscription)
        await of(ws, "l2Book")
        await send(ws, subscription)
        words, _, echo = (await of(ws, "error")).partition(": ")
        assert (words, json.loads(echo)) == (
            "Already subscribed",
            {**subscription, "nSigFigs": None, "mantissa": None, "fast": False},
        )
        await of(ws, "l2Book")  # the stream is intact
        await send(ws, asked("l2Book", "ETH", fast=True))  # another flavour is another subscription
        assert (await of(ws, "subscriptionResponse"))["subscription"]["fast"] is True
        await send(ws, asked("l2Book", "ETH", fast=True), "unsubscribe")
        await send(ws, subscription, "unsubscribe")
        assert [(await of(ws, "subscriptionResponse"))["method"] for _ in "ab"] == ["unsubscribe"] * 2
        await ws.send('{"method":"ping"}')
        assert json.loads(await ws.recv()) == {"channel": "pong"}  # nothing else comes any more


async def test_the_only_path_is_ws(simulator: Simulator) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(url(simulator) + "2"):
            pass
    assert refused.value.response.status_code == 404


# ── heartbeat and limits ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_socket_to_which_nothing_was_sent_is_cut_and_a_ping_keeps_it(simulator: Simulator) -> None:
    venue = served(simulator)
    assert venue.timing.idle_ms == 60_000
    venue.timing.idle_ms = 400
    loop = asyncio.get_running_loop()
    async with connect(url(simulator)) as pinged, connect(url(simulator)) as listening, connect(url(simulator)) as mute:
        await send(listening, asked("l2Book", "BTC"))
        started = loop.time()
        while loop.time() - started < 1:
            await pinged.send('{"method":"ping"}')
            assert json.loads(await pinged.recv()) == {"channel": "pong"}
            await of(listening, "l2Book")
        assert await rest_of(mute) == []
        await of(listening, "l2Book")  # what is sent counts, not what is heard
        assert await rest_of(pinged) == []
    assert venue.statistics()["limit_breaches"] == {"idle": 2}


async def test_control_frames_do_not_keep_a_socket(simulator: Simulator) -> None:
    served(simulator).timing.idle_ms = 400
    async with connect(url(simulator), ping_interval=0.05) as ws:
        assert await rest_of(ws) == []


async def test_ten_sockets_are_the_most_of_an_address(simulator: Simulator) -> None:
    async with asyncio.timeout(20):
        sockets = [await connect(url(simulator)) for _ in range(10)]
        with pytest.raises(InvalidStatus) as refused:
            await connect(url(simulator))
        assert refused.value.response.status_code == 429
        await sockets.pop().close()
        await wait_until(lambda: len(served(simulator).peers) == 9, "the server to see one go")
        sockets.append(await connect(url(simulator)))
        for ws in sockets:
            await ws.close()
    assert served(simulator).statistics()["limit_breaches"] == {"sockets": 1}


async def test_thirty_new_sockets_a_minute_are_the_most(simulator: Simulator) -> None:
    served(simulator).mono_ms = lambda: 1000.0  # one minute, however slow this machine is
    async with asyncio.timeout(30):
        for _ in range(30):
            async with connect(url(simulator)):
                pass
            await wait_until(lambda: not served(simulator).peers, "the server to see it go")
        with pytest.raises(InvalidStatus):
            await connect(url(simulator))
    assert served(simulator).statistics()["limit_breaches"] == {"connects": 1}


async def test_subscriptions_are_counted_over_all_sockets(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(public, "SUBSCRIPTIONS", 3)
    async with connect(url(simulator)) as one, connect(url(simulator)) as two:
        for ws, coin in ((one, "BTC"), (one, "ETH"), (two, "BTC")):
            await send(ws, asked("bbo", coin))
            await of(ws, "subscriptionResponse")
        await send(two, asked("bbo", "ETH"))
        assert await of(two, "error") == "Cannot subscribe to more than 3 channels."
        await send(one, asked("bbo", "ETH"), "unsubscribe")
        await of(one, "subscriptionResponse")
        await send(two, asked("bbo", "ETH"))
        assert (await of(two, "subscriptionResponse"))["subscription"] == asked("bbo", "ETH")
    assert served(simulator).statistics()["limit_breaches"] == {"subscriptions": 1}


async def test_messages_are_counted_over_all_sockets(simulator: Simulator) -> None:
    served(simulator).mono_ms = lambda: 1000.0  # one minute, however slow this machine is
    assert (public.SOCKETS, public.CONNECTS, public.SUBSCRIPTIONS, public.MESSAGES) == (10, 30, 1000, 2000)
    async with connect(url(simulator)) as one, connect(url(simulator)) as two, asyncio.timeout(30):
        for ws in (one, two):
            for _ in range(1000):
                await ws.send('{"method":"ping"}')
            for _ in range(1000):
                assert json.loads(await ws.recv()) == {"channel": "pong"}
        await send(two, asked("bbo", "BTC"))
        assert await of(two, "error") == "Cannot send more than 2000 messages per minute."
    assert served(simulator).statistics()["limit_breaches"] == {"messages": 1}


async def test_limits_are_kept_only_when_they_are_enforced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.SIMULATED, MARKETS[0], HyperliquidPublic)
    async with Simulator(MARKETS[:1], pairs=1, enforce_limits=False) as running, asyncio.timeout(20):
        sockets = [await connect(url(running, "spot")) for _ in range(12)]
        for ws in sockets:
            await ws.close()
        assert served(running, "spot").statistics()["limit_breaches"] == {}


# ── misbehaviours ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_images_can_be_lost_repeated_and_turned_round(simulator: Simulator) -> None:
    venue = served(simulator)
    async with connect(url(simulator)) as ws, asyncio.timeout(30):
        await send(ws, asked("l2Book", "BTC"))
        await of(ws, "l2Book")
        with venue.misbehave("reorder", pair="BTC/USDC"):
            times = [(await of(ws, "l2Book"))["time"] for _ in range(3)]
        assert times != sorted(times)
        venue.misbehave("duplicate", pair="BTC/USDC")
        books = [await of(ws, "l2Book") for _ in range(4)]
        assert any(one == two for one, two in itertools.pairwise(books))
        dropped = venue.misbehave("drop", pair="BTC/USDC", count=2)
        await of(ws, "l2Book")
        await wait_until(lambda: not dropped.active, "two images to be lost")
        await of(ws, "l2Book")


async def test_a_crossed_image_is_followed_by_a_right_one(simulator: Simulator) -> None:
    venue = served(simulator)
    async with connect(url(simulator)) as ws, asyncio.timeout(20):
        await send(ws, asked("l2Book", "BTC"))
        await of(ws, "l2Book")
        venue.misbehave("crossed", pair="BTC/USDC")
        crossed = []
        while not any(crossed):
            bids, asks = sides(await of(ws, "l2Book"))
            crossed.append(bids[0][0] >= asks[0][0])
        bids, asks = sides(await of(ws, "l2Book"))
        assert bids[0][0] < asks[0][0]


async def test_a_stalled_coin_says_nothing_and_the_others_go_on(simulator: Simulator) -> None:
    venue = served(simulator)
    async with connect(url(simulator)) as ws, asyncio.timeout(20):
        for kind in ("l2Book", "bbo", "trades"):
            await send(ws, asked(kind, "BTC"))
        await send(ws, asked("l2Book", "ETH"))
        await of(ws, "l2Book")
        with venue.misbehave("stall", pair="BTC/USDC"):
            await ws.send('{"method":"ping"}')
            await receive(ws, lambda message: message["channel"] == "pong")  # what was sent before is through
            for _ in range(4):
                assert (await of(ws, "l2Book"))["coin"] == "ETH"
        await receive(ws, lambda message: message["channel"] == "l2Book" and message["data"]["coin"] == "BTC")


async def test_a_wrong_acknowledgement_names_another_coin_and_the_stream_works(simulator: Simulator) -> None:
    served(simulator).misbehave("wrong_ack")
    async with connect(url(simulator)) as ws:
        await send(ws, asked("bbo", "BTC"))
        assert (await of(ws, "subscriptionResponse"))["subscription"] == asked("bbo", "XBTC")
        assert (await of(ws, "bbo"))["coin"] == "BTC"


async def test_garbage_is_half_of_a_message_before_the_message(simulator: Simulator) -> None:
    async with connect(url(simulator)) as ws, asyncio.timeout(20):
        await send(ws, asked("l2Book", "BTC"))
        await of(ws, "l2Book")
        served(simulator).misbehave("garbage", pair="BTC/USDC")
        broken = ""
        while not broken:
            text = str(await ws.recv())
            broken = "" if text.endswith("}}") else text
        assert str(await ws.recv()).startswith(broken)


async def test_mute_sockets_answer_pings_until_they_subscribe_again(simulator: Simulator) -> None:
    venue = served(simulator)
    async with connect(url(simulator)) as ws, asyncio.timeout(20):
        await send(ws, asked("l2Book", "BTC"))
        await send(ws, asked("allMids"))
        await of(ws, "l2Book")
        venue.misbehave("mute")
        await ws.send('{"method":"ping"}')
        await receive(ws, lambda message: message["channel"] == "pong")
        await send(ws, asked("l2Book", "BTC"))
        assert "Already subscribed" in (await of(ws, "error"))
        await send(ws, asked("l2Book", "BTC"), "unsubscribe")
        assert json.loads(await ws.recv())["channel"] == "subscriptionResponse"  # and no book in between
        await send(ws, asked("l2Book", "BTC"))
        await of(ws, "l2Book")
        await of(ws, "l2Book")


async def test_a_coin_that_is_delisted_closes_who_asks_for_it_and_is_gone_from_the_metadata(
    simulator: Simulator,
) -> None:
    venue = served(simulator)
    rest = next(one["rest_url"] for one in simulator.endpoints if one["market"] == "futures")

    async def coins() -> set[str]:
        async with httpx.AsyncClient(base_url=rest) as http:
            answer = (await http.post("/info", json={"type": "meta"})).json()
        return {row["name"] for row in answer["universe"]}

    async with connect(url(simulator)) as ws, asyncio.timeout(20):
        await send(ws, asked("l2Book", "ETH"))
        await of(ws, "l2Book")
        with venue.misbehave("delist", pair="ETH/USDC"):
            assert "ETH" not in await coins()
            await send(ws, asked("l2Book", "BTC"))
            for _ in range(4):
                await of(ws, "l2Book")
            assert (await of(ws, "l2Book"))["coin"] == "BTC"  # the other is silent
            await send(ws, asked("trades", "ETH"))
            assert {message["channel"] for message in await rest_of(ws)} <= {"l2Book"}
        assert "ETH" in await coins()
