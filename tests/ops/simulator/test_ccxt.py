"""ccxt.pro, written by others from the real venues, against every simulated venue that it still has: its book must be ours.

A client is an independent reading of a venue. Where the two differ one of them is wrong. Where ccxt is, or where its book
does not go as far as the venue's, `Way.reason` says why with the line of its source (version 4.5.90), what it can still tell
is checked, and a test of its own holds that the reason stands.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import ccxt
import ccxt.pro
import pytest

from ops.simulator import Simulator
from ops.simulator.registry import VENUE_MARKETS
from tests.support.waiting import wait_until

BASES = ("BTC", "ETH", "DOGE")
UPDATES = 8  # of each pair, before the market is frozen
Sides = tuple[list[tuple[float, float]], list[tuple[float, float]]]
Endpoint = Mapping[str, str]


def binance(exchange: Any, end: Endpoint) -> None:
    api = exchange.urls["api"]
    api["public"], api["fapiPublic"] = end["rest_url"] + "/api/v3", end["rest_url"] + "/fapi/v1"
    api["ws"]["spot"] = api["ws"]["linear"] = end["ws_url"] + "/ws"


def okx(exchange: Any, end: Endpoint) -> None:
    exchange.urls["api"] |= {"rest": end["rest_url"], "ws": end["ws_url"] + "/ws/v5"}


def bybit(exchange: Any, end: Endpoint) -> None:
    api = exchange.urls["api"]
    api["public"] = end["rest_url"]
    api["ws"]["public"] |= {"spot": end["ws_url"] + "/v5/public/spot", "linear": end["ws_url"] + "/v5/public/linear"}


def kucoin(exchange: Any, end: Endpoint) -> None:
    api = exchange.urls["api"]
    api |= dict.fromkeys(("public", "futuresPublic", "uta", "utaV2"), end["rest_url"])
    api["ws"] |= {"spot": end["ws_url"], "futures": end["ws_url"]}


def htx(exchange: Any, end: Endpoint) -> None:
    api = exchange.urls["api"]
    api |= dict.fromkeys(("spot", "contract", "public", "v2Public"), end["rest_url"])
    ws = api["ws"]["api"]
    ws["spot"] |= {"public": end["ws_url"] + "/ws", "feed": end["ws_url"] + "/feed"}
    ws["swap"]["linear"]["public"] = end["ws_url"] + "/linear-swap-ws"


def mexc(exchange: Any, end: Endpoint) -> None:
    api = exchange.urls["api"]
    api["spot"]["public"], api["contract"]["public"] = end["rest_url"], end["rest_url"] + "/api/v1/contract"
    api["ws"] |= {"spot": end["ws_url"] + "/ws", "swap": end["ws_url"] + "/edge"}


def hyperliquid(exchange: Any, end: Endpoint) -> None:
    exchange.urls["api"]["public"] = end["rest_url"]
    exchange.urls["api"]["ws"]["public"] = end["ws_url"] + "/ws"


def mend_mexc(exchange: Any) -> None:
    """Judge a spot delta by its last change. `version` is the field that ccxt looks at before `fromVersion`."""
    index, apply = exchange.get_cache_index, exchange.handle_book_delta

    def by_last_change(delta: dict[str, Any]) -> dict[str, Any]:
        return {**delta, "version": delta["toVersion"]}

    exchange.get_cache_index = lambda book, cache: index(book, [by_last_change(delta) for delta in cache])
    exchange.handle_book_delta = lambda book, delta: apply(book, by_last_change(delta))


def mend_htx(exchange: Any) -> None:
    """Let a spot delta that began before the snapshot and ends behind it begin there."""
    hear = exchange.handle_order_book_message

    def spliced(client: Any, message: dict[str, Any]) -> None:
        tick = message["tick"]
        last = exchange.orderbooks[exchange.safe_symbol(message["ch"].split(".")[1])]["nonce"]
        if last is not None and tick["prevSeqNum"] < last < tick["seqNum"]:
            message = {**message, "tick": {**tick, "prevSeqNum": last}}
        hear(client, message)

    exchange.handle_order_book_message = spliced


class Way(NamedTuple):
    """How ccxt is led to a venue-market, and how far its book goes."""

    exchange: str  # class of ccxt.pro
    point: Callable[[Any, Endpoint], None]  # sets its base urls
    types: Any  # `fetchMarkets` of its options
    depth: int | None = None  # levels a side that its channel carries; None: all there are
    quote: str = "USDT"
    params: Mapping[str, Any] = {}
    reason: str = ""  # why not the whole book, or not as ccxt comes
    mend: Callable[[Any], None] | None = None  # of a fault of ccxt
    one_by_one: bool = False  # ccxt does not pace its requests as this venue demands


VIEWS_OF_50 = {"uta": True, "utaDepth": "50"}
KUCOIN_PRO = (
    "deltas of `obu` are never applied: `changes = safe_dict(delta, 'changes', delta)` is the delta itself where it has no "
    "`changes`, so the branch that reads `a` and `b` is dead (pro/kucoin.py:1666); and the snapshot, public at the venue, is "
    "asked for with credentials (async_support/kucoin.py:3743). Checked: the views of 50 levels"
)
SNAPSHOT_OF_100 = (
    "asked without a limit, the snapshot that starts the book has 100 levels a side (kucoin: async_support/kucoin.py:3802, "
    "mexc: the venue's default) and no delta tells what lay beyond: only the nearer half is sure to be whole"
)
MEXC_STRADDLE = (
    ". And the delta in whose middle the snapshot lies is dropped, for it is judged by `fromVersion` (pro/mexc.py:787, 919): "
    "its levels stay wrong until they change again. Checked: with deltas judged by `toVersion` the book is right"
)
HTX_STRADDLE = (
    ". And a delta in whose middle the snapshot lies is not applied, for its `prevSeqNum` is not the snapshot's number, and the "
    "next one raises ChecksumError in the task that reads the socket (pro/htx.py:700-704). Checked: with that delta cut at the "
    "snapshot the book is right"
)
CHANNEL = "the channel that it subscribes has no more levels"

WAYS = {
    ("binance", "spot"): Way("binance", binance, ["spot"]),
    ("binance", "futures"): Way("binanceusdm", binance, ["linear"]),
    ("okx", "spot"): Way("okx", okx, ["spot"]),
    ("okx", "futures"): Way("okx", okx, ["swap"]),
    ("bybit", "spot"): Way("bybit", bybit, ["spot"], depth=50, reason=CHANNEL),
    ("bybit", "futures"): Way("bybit", bybit, ["linear"], depth=50, reason=CHANNEL),
    ("kucoin", "spot"): Way("kucoin", kucoin, ["spot"], depth=50, params=VIEWS_OF_50, reason=KUCOIN_PRO),
    ("kucoin", "futures"): Way("kucoin", kucoin, ["swap"], depth=50, params=VIEWS_OF_50, reason=KUCOIN_PRO),
    ("kucoin_classic", "spot"): Way("kucoin", kucoin, ["spot"], depth=50, reason=SNAPSHOT_OF_100),
    ("kucoin_classic", "futures"): Way("kucoin", kucoin, ["swap"]),
    ("htx", "spot"): Way(
        "htx",
        htx,
        {"spot": True, "linear": False, "inverse": False},
        depth=150,
        reason=CHANNEL + HTX_STRADDLE,
        mend=mend_htx,
        one_by_one=True,
    ),
    ("htx", "futures"): Way("htx", htx, {"spot": False, "linear": True, "inverse": False}, depth=150, reason=CHANNEL),
    ("mexc", "spot"): Way("mexc", mexc, ["spot"], depth=50, reason=SNAPSHOT_OF_100 + MEXC_STRADDLE, mend=mend_mexc),
    ("mexc", "futures"): Way("mexc", mexc, ["swap"]),
    ("hyperliquid", "spot"): Way("hyperliquid", hyperliquid, ["spot"], depth=20, quote="USDC", reason=CHANNEL),
    ("hyperliquid", "futures"): Way("hyperliquid", hyperliquid, ["swap"], depth=20, quote="USDC", reason=CHANNEL),
}
# Its metadata has no status; and ccxt looks the price that its steps follow from up by the index of the pair, where the venue
# joins by place (async_support/hyperliquid.py:855). For perpetuals both agree.
HYPERLIQUID_SPOT = ("hyperliquid", "spot")
GONE = {"coinex"}  # ccxt has dropped it
LED = [venue_market for venue_market in VENUE_MARKETS if venue_market in WAYS]


async def nothing(*_: Any, **__: Any) -> list[Any]:
    return []


def tell_perpetuals(exchange: Any) -> None:
    """ccxt takes a contract without `nextFundingRateTime` for a dated one (async_support/kucoin.py:1939). The venue gives it
    to perpetuals."""
    ask = exchange.futuresPublicGetContractsActive

    async def answer(*arguments: Any) -> Any:
        found = await ask(*arguments)
        for contract in found["data"]:
            if contract["type"] == "FFWCSX":
                contract.setdefault("nextFundingRateTime", 1)
        return found

    exchange.futuresPublicGetContractsActive = answer


@asynccontextmanager
async def client(way: Way, end: Endpoint) -> AsyncIterator[Any]:
    """A ccxt.pro exchange whose base urls are the simulator's."""
    options = {"fetchMarkets": {"types": way.types, "fetchTickersFees": False}, "fetchCurrencies": False}
    exchange = getattr(ccxt.pro, way.exchange)({"enableRateLimit": True, "options": options})
    exchange.has["fetchCurrencies"] = False  # asks private endpoints; no book needs it
    way.point(exchange, end)
    if way.mend is not None:
        way.mend(exchange)
    if way.exchange == "kucoin":
        tell_perpetuals(exchange)
    elif way.exchange == "mexc":  # it asks for both markets at once; a port of the simulator has one
        exchange.options["watchOrderBook"]["snapshotDelay"] = 5  # deltas kept before it asks for the snapshot
        other = "fetch_swap_markets" if end["market"] == "spot" else "fetch_spot_markets"
        setattr(exchange, other, nothing)
    try:
        yield exchange
    finally:
        await exchange.close()


def name(way: Way, market: str, base: str) -> str:
    """ccxt's name of a pair."""
    return f"{base}/{way.quote}" if market == "spot" else f"{base}/{way.quote}:{way.quote}"


def numbers(book: Mapping[str, Any], depth: int | None) -> Sides:
    """Levels as ccxt holds them, both sides best first."""
    bids, asks = ([(float(level[0]), float(level[1])) for level in book[side]][:depth] for side in ("bids", "asks"))
    return bids, asks


@pytest.mark.parametrize("venue,market", LED)
async def test_ccxt_builds_the_simulators_book_level_by_level(venue: str, market: str) -> None:
    way = WAYS[venue, market]
    limits = not way.one_by_one  # where ccxt does not pace its requests, the venue's pace is not what is looked at
    simulated = Simulator([(venue, market)], pairs=6, rate=20, enforce_limits=limits)
    async with simulated as simulator, asyncio.timeout(60):
        served = simulator.venue(venue, market)
        if venue == "hyperliquid":
            served.cadence.book_ms = 200  # type: ignore[attr-defined]
        async with client(way, simulator.endpoints[0]) as exchange:

            async def follow(symbol: str) -> None:
                for _ in range(UPDATES):
                    await exchange.watch_order_book(symbol, params=dict(way.params))

            names = {base: name(way, market, base) for base in BASES}
            if way.one_by_one:
                for symbol in names.values():
                    await follow(symbol)
            else:
                await asyncio.gather(*map(follow, names.values()))
            served.misbehave("freeze_market")
            for base, symbol in names.items():
                expected = numbers(served.book(f"{base}/{way.quote}"), way.depth)
                await wait_until(
                    lambda symbol=symbol, expected=expected: (
                        numbers(exchange.orderbooks[symbol], way.depth) == expected
                    ),
                    f"ccxt's book of {symbol} to be the simulator's",
                )
                assert min(len(side) for side in expected) >= min(20, way.depth or 20)
        assert served.statistics()["limit_breaches"] == {}


@pytest.mark.parametrize("venue,market", LED)
async def test_ccxt_receives_trades_at_the_books_prices(venue: str, market: str) -> None:
    way = WAYS[venue, market]
    async with (
        Simulator([(venue, market)], pairs=2, rate=200) as simulator,
        client(way, simulator.endpoints[0]) as exchange,
        asyncio.timeout(40),
    ):
        symbol = name(way, market, "BTC")
        seen = []
        while len(seen) < 3:
            seen += await exchange.watch_trades(symbol)
        for trade in seen:
            assert trade["symbol"] == symbol
            assert abs(trade["price"] / 65000 - 1) < 0.05
            assert trade["amount"] > 0
            assert trade["side"] in ("buy", "sell")
        assert simulator.venue(venue, market).statistics()["limit_breaches"] == {}


@pytest.mark.parametrize("venue,market", LED)
async def test_ccxt_reads_the_metadata(venue: str, market: str) -> None:
    way = WAYS[venue, market]
    async with Simulator([(venue, market)], pairs=6) as simulator, client(way, simulator.endpoints[0]) as exchange:
        markets = await exchange.load_markets()
        served = simulator.venue(venue, market)
        for pair in simulator.pairs_of(venue, market):
            listing = served.feed_of_pair(pair).listing
            one = markets[name(way, market, listing.base)]
            assert one["active"] is True
            assert one["precision"]["amount"] == float(listing.lot)
            assert one["contractSize"] == (None if market == "spot" else float(listing.contract_value))
            if (venue, market) != HYPERLIQUID_SPOT:
                assert one["precision"]["price"] == float(listing.tick)
        if (venue, market) != HYPERLIQUID_SPOT:
            assert markets[name(way, market, "LUNA")]["active"] is False


def test_every_venue_that_ccxt_has_is_led_to() -> None:
    assert {venue for venue, _ in VENUE_MARKETS} <= {venue for venue, _ in WAYS} | GONE
    assert all(hasattr(ccxt.pro, way.exchange) for way in WAYS.values())
    assert not any(hasattr(ccxt.pro, venue) for venue in GONE)
    assert all((way.depth is None) is (not way.reason) for way in WAYS.values())


def test_ccxt_still_does_not_apply_the_deltas_of_kucoin_pro() -> None:
    exchange = ccxt.pro.kucoin()
    book = exchange.order_book()
    exchange.handle_book_delta(book, {"s": "BTC-USDT", "O": 2, "C": 2, "a": [], "b": [["84210.1", "0.77"]]})
    assert (book["nonce"], list(book["bids"])) == (2, [])


def test_ccxt_still_drops_the_delta_in_whose_middle_the_snapshot_of_mexc_spot_lies() -> None:
    exchange = ccxt.pro.mexc()
    deltas = [{"fromVersion": first, "toVersion": last} for first, last in (("10", "12"), ("13", "17"), ("18", "20"))]
    assert exchange.get_cache_index({"nonce": 15}, deltas) == 2
    mend_mexc(exchange)
    assert exchange.get_cache_index({"nonce": 15}, deltas) == 1


def test_ccxt_still_does_not_apply_the_delta_in_whose_middle_the_snapshot_of_htx_spot_lies() -> None:
    tick = {"seqNum": 17, "prevSeqNum": 12, "bids": [[84210.1, 0.77]], "asks": []}
    books = []
    for mend in (lambda exchange: None, mend_htx):
        exchange = ccxt.pro.htx()
        exchange.markets_by_id = {"btcusdt": [exchange.safe_market_structure({"symbol": "BTC/USDT", "spot": True})]}
        book = exchange.orderbooks["BTC/USDT"] = exchange.order_book({"bids": [], "asks": [], "nonce": 15})
        mend(exchange)
        exchange.handle_order_book_message(None, {"ch": "market.btcusdt.mbp.150", "ts": 1, "tick": tick})
        books.append((book["nonce"], len(book["bids"])))
    assert books == [(15, 0), (17, 1)]


async def test_ccxt_still_asks_for_the_snapshot_of_kucoin_pro_with_credentials() -> None:
    async with (
        Simulator([("kucoin", "spot")], pairs=1, rate=50) as simulator,
        client(WAYS["kucoin", "spot"], simulator.endpoints[0]) as exchange,
        asyncio.timeout(30),
    ):
        with pytest.raises(ccxt.AuthenticationError):
            await exchange.watch_order_book("BTC/USDT", params={"uta": True})
