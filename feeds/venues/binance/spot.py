"""PURE. Binance spot market data. Source: venue sheet `binance`, sections 1-6 (state of November 2026).

stream                                  | payload                             | becomes        | evidence
----------------------------------------|-------------------------------------|----------------|-----------------------------
`<s>@depth@100ms`, `@depth`             | depthUpdate: U, u, b, a             | book delta     | spot/btcusdt_20240808, cf20*
`<s>@depth20@100ms` (5, 10, 20)         | lastUpdateId, bids, asks; no symbol | book image     | spot/cmp_samples
`<s>@bookTicker`, `!bookTicker`         | u, s, b, B, a, A; no event, no time | best prices    | spot/btcusdt_20240808, cmp
`<s>@trade`                             | trade: t, p, q, T, m                | trade          | spot/btcusdt_20240808
`<s>@aggTrade`                          | aggTrade: a, p, q, T, m             | trade          | spot/cf20*, cmp
`!serverShutdown`, bare, WS-API wrapped | serverShutdown                      | GoingAway      | sheet, section 2
`{"result":null,"id":1}`                | acknowledgement                     | Ack by id      | spot/docs_jkorf_ws
`{"code":…}`, `{"error":{"code":…}}`    | both shapes of an error             | Refusal by id  | sheet, section 4
any other stream, event or answer       |                                     | Unused by name | spot/*_samples, gct, docs
bare depthUpdate, bookTicker, trade     | the same without its stream         | as above       | spot/nautilus_ws_fixtures
REST `depth`                            | lastUpdateId, bids, asks; no symbol | snapshot       | cf20*_rest_depth_*
REST `exchangeInfo`                     | symbols[]                           | instruments    | cf202110_rest_exchangeInfo

How a book of depth 50 or full is built (section 5.4):
 1. subscribe `<s>@depth@100ms` and keep what comes;
 2. GET `/api/v3/depth` (limit 1000, or 5000 for full);
 3. lastUpdateId < U of the first kept event: fetch again, keep on keeping;
 4. drop events with u <= lastUpdateId;
 5. the first one left has U <= lastUpdateId + 1 <= u;
 6. from then on U == u of the one before + 1; U beyond that is a gap: from 2 again, on the living subscription.
1-4 are the session's, 5 and 6 the rule CONTIGUOUS. DIFFERENT from futures: there is no `pu`; the snapshot may lie one
before U; bookTicker and partial depth carry no time at all.
"""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from books.decimals import canonical_sides
from books.events import Delta, Snapshot
from books.sequence import CONTIGUOUS, IMAGES
from feeds.venue import (
    BookChannel,
    BookMessage,
    Bootstrap,
    Image,
    Instrument,
    Instruments,
    InstrumentStatus,
    Keepalive,
    Limits,
    Message,
    RestRequest,
    Topic,
    Undecodable,
    Venue,
)
from feeds.venues.binance.frames import VENUE, Origin, Reader, Streams, request
from feeds.venues.binance.metadata import SymbolRow, parse_exchange_info
from feeds.venues.binance.payloads import (
    BookTicker,
    DepthBody,
    Id,
    Millis,
    Rows,
    TradePrint,
    body_snapshot,
    check_symbol,
    depth_path,
    parse_depth,
    read_best,
    read_trade,
    refused,
    unknown_depth,
)

MARKET: Final = "spot"
ROUTE: Final = "public"  # spot has one socket for everything

_BOOKS: Final = {
    "bbo": BookChannel("bbo", IMAGES, Bootstrap.IMAGES, cadence="each change", evidence="images, u rises"),
    "20": BookChannel("20", IMAGES, Bootstrap.IMAGES, cadence="100 ms", evidence="images, lastUpdateId rises"),
    "50": BookChannel("1000", CONTIGUOUS, Bootstrap.REST, cadence="100 ms", evidence="U ≤ last u + 1"),
    "full": BookChannel(
        "5000",
        CONTIGUOUS,
        Bootstrap.REST,
        cadence="100 ms",
        evidence="U ≤ last u + 1",
        shortfall="snapshots end at 5000 levels a side; levels beyond appear when they change",
    ),
}
_BOOK_STREAMS: Final = {"bbo": "bookTicker", "20": "depth20@100ms", "50": "depth@100ms", "full": "depth@100ms"}
_SNAPSHOTS: Final = {"50": (1000, 50), "full": (5000, 250)}  # depth → limit, weight (section 5.1)


class _DepthUpdate(
    msgspec.Struct,
    gc=False,
    rename={"event_ms": "E", "symbol": "s", "first": "U", "last": "u", "bids": "b", "asks": "a"},
):
    e: Literal["depthUpdate"]
    event_ms: Millis
    symbol: str
    first: Id
    last: Id
    bids: Rows
    asks: Rows


def _delta(update: _DepthUpdate, origin: Origin) -> list[Message]:
    check_symbol(origin, update.symbol)
    instrument = origin.instruments.find(update.symbol)
    if instrument is None:
        return [refused(update.symbol, None, origin.instruments)]
    if update.first > update.last:
        raise Undecodable(f"{instrument.pair}: depthUpdate from {update.first} to {update.last}")
    bids, asks = canonical_sides(update.bids, update.asks)
    delta = Delta(
        pair=instrument.pair,
        received_us=origin.received_us,
        venue_ms=update.event_ms,
        bids=bids,
        asks=asks,
        sequence=update.last,
        first_sequence=update.first,
    )
    return [BookMessage(origin.topic, delta)]


def _image(body: DepthBody, origin: Origin) -> list[Message]:
    symbol = origin.symbol or ""  # only the stream's name has it
    instrument = origin.instruments.find(symbol)
    if instrument is None:
        return [refused(symbol, None, origin.instruments)]
    return [BookMessage(origin.topic, Image(body_snapshot(body, instrument.pair, origin.received_us)))]


_READERS: Final[dict[str, Reader]] = {  # type: ignore[type-arg]  # each of its own payload
    "depth": Reader(_DepthUpdate, _delta),
    "depth5": Reader(DepthBody, _image),
    "depth10": Reader(DepthBody, _image),
    "depth20": Reader(DepthBody, _image),
    "bookTicker": Reader(BookTicker, read_best),
    "trade": Reader(TradePrint, read_trade),
    "aggTrade": Reader(TradePrint, read_trade),
}
_BARE: Final = {"depthUpdate": "depth", "": "bookTicker", "trade": "trade", "aggTrade": "aggTrade"}


class _SpotRow(SymbolRow, kw_only=True):
    isSpotTradingAllowed: bool  # noqa: N815  # the venue's own word


def _status(row: _SpotRow) -> InstrumentStatus:
    """Unknown words of a growing list mean: not trading (section 10)."""
    trading = row.status == "TRADING" and row.isSpotTradingAllowed
    return InstrumentStatus.TRADING if trading else InstrumentStatus.HALTED


class BinanceSpot(Venue):
    """Binance spot."""

    name = VENUE
    market = MARKET
    rest_url = "https://api.binance.com"
    ws_url = "wss://stream.binance.com:9443"
    limits = Limits(  # section 2
        topics_per_connection=1024,
        pairs_per_connection=50,
        topics_per_request=100,
        request_bytes=4096,
        requests_per_s=3.0,  # 5 inbound messages a second, pongs count
        connects_per_s=1.0,  # 300 in 5 minutes
        rest_weight_per_minute=6000,
        lifetime_ms=24 * 3600 * 1000,
    )
    keepalive = Keepalive(text=None, idle_ms=20_000, dead_ms=60_000)  # the server pings every 20 s (section 3)
    sequence_comparable = True  # one counter per symbol, on every socket and in REST (section 5.4)

    def __init__(self) -> None:
        self._streams = Streams(MARKET, _READERS, _BARE)

    def __repr__(self) -> str:
        return "<BinanceSpot>"

    def socket_url(self, base: str, route: str, ticket: bytes | None = None) -> str:
        """One combined-stream socket."""
        return f"{base}/stream"

    def book_channel(self, depth: str) -> BookChannel:
        """There is no channel of 50 levels: 50 and full come from the diff stream. Raises ConfigError."""
        if depth not in _BOOKS:
            raise unknown_depth(depth, _BOOKS)
        return _BOOKS[depth]

    def topics(self, instrument: Instrument, depth: str, channels: frozenset[str]) -> list[Topic]:
        """Stream names are lower case; bookTicker serves `bbo` and the book of depth bbo. Raises ConfigError."""
        self.book_channel(depth)
        symbol = instrument.symbol.lower()
        streams = {"book": _BOOK_STREAMS[depth], "bbo": "bookTicker", "trades": "trade"}
        return [
            Topic(ROUTE, f"{symbol}@{stream}", instrument.pair, feeds)
            for feeds, stream in streams.items()
            if feeds in channels
        ]

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Section 4."""
        return request("SUBSCRIBE", topics, request_id)

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Section 4."""
        return request("UNSUBSCRIBE", topics, request_id)

    def decode(self, frame: str | bytes, received_us: int, instruments: Instruments) -> list[Message]:
        """Raises Undecodable, and nothing else."""
        return self._streams.decode(frame, received_us, instruments)

    def instruments_requests(self) -> list[RestRequest]:
        """Every symbol in one answer."""
        return [RestRequest("/api/v3/exchangeInfo", 20)]

    def parse_instruments(self, bodies: Sequence[bytes]) -> Instruments:
        """Raises Undecodable when a body is not exchangeInfo."""
        return parse_exchange_info(MARKET, bodies, _SpotRow, _status)

    def snapshot_request(self, instrument: Instrument, depth: str) -> RestRequest:
        """Raises ConfigError for a depth that is not built from a snapshot."""
        if depth not in _SNAPSHOTS:
            raise unknown_depth(depth, _SNAPSHOTS)
        limit, weight = _SNAPSHOTS[depth]
        return RestRequest(depth_path("/api/v3", instrument, limit), weight)

    def parse_snapshot(self, body: bytes, instrument: Instrument, received_us: int) -> Snapshot:
        """Raises Undecodable when the body is no depth."""
        return parse_depth(body, instrument, received_us)
