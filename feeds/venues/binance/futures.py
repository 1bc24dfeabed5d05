"""PURE. Binance USDⓈ-M futures market data: linear perpetuals. Source: venue sheet `binance`, sections 1-6 (November 2026).

stream (route)                                     | payload                        | becomes        | evidence
---------------------------------------------------|--------------------------------|----------------|---------------------------
`<s>@depth@100ms`, `@depth@0ms`, `@depth` (public) | depthUpdate: U, u, pu, E, b, a | book delta     | ethusdt_20240808, cf202107
`<s>@depth20@100ms` (5, 10, 20) (public)           | the SAME depthUpdate           | book image     | cmp_samples, docs_jkorf_ws
`<s>@bookTicker`, `!bookTicker` (public)           | bookTicker: u, b, B, a, A, E   | best prices    | ethusdt_20240808, cf202107
`<s>@aggTrade` (market)                            | aggTrade: a, p, q, T, m        | trade          | cf202107, cmp_samples
`<s>@trade` (public, undocumented, not subscribed) | trade: t, p, q, T, m, X        | trade          | ethusdt_20240808
answers to requests                                | as spot                        | Ack, Refusal   | docs_jkorf_ws
any other stream, event or answer                  |                                | Unused by name | *_samples, docs
bare depthUpdate, bookTicker, aggTrade             | the same without its stream    | as above       | nautilus_ws_fixtures
REST `depth`                                       | lastUpdateId, E, T, bids, asks | snapshot       | cf202107_rest_depth_*
REST `exchangeInfo`                                | symbols[]                      | instruments    | cf202107_rest_exchangeInfo

How a book of depth 50 or full is built (section 5.4):
 1. subscribe `<s>@depth@100ms` on the route `public` and keep what comes;
 2. GET `/fapi/v1/depth?limit=1000`;
 3. lastUpdateId < U of the first kept event, and that event does not name it as `pu`: fetch again, keep on keeping;
 4. drop events with u < lastUpdateId;
 5. the first one left has U <= lastUpdateId <= u, or pu == lastUpdateId;
 6. from then on pu == u of the one before; anything else is a gap: from 2 again, on the living subscription.
1-4 are the session's, 5 and 6 the rule RANGE_THEN_LINKED.
DIFFERENT from spot: U jumps and proves nothing after the first event; depth20 looks like a diff and only its stream's name
says that it is an image; two sockets, because a stream on the wrong route is acknowledged and stays silent; payloads may
carry `st`, and 2 means coin-margined; everything has an event time. A bare depthUpdate does not say which of the two
it is: raw streams are never opened, and in recordings it is read as the diff it nearly always is.
"""

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec

from books.decimals import canonical_levels, canonical_sides
from books.events import Delta, Snapshot, SnapshotReason
from books.sequence import IMAGES, RANGE_THEN_LINKED
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
    USD_MARGINED,
    BookTicker,
    Id,
    Millis,
    Rows,
    TradePrint,
    check_symbol,
    depth_path,
    parse_depth,
    read_best,
    read_trade,
    refused,
    unknown_depth,
)
from fleet.errors import ConfigError

MARKET: Final = "futures"
PUBLIC: Final = "public"
MARKET_ROUTE: Final = "market"

_DIFF: Final = BookChannel("1000", RANGE_THEN_LINKED, Bootstrap.REST, cadence="100 ms", evidence="pu = last u")
_BOOKS: Final = {
    "bbo": BookChannel("bbo", IMAGES, Bootstrap.IMAGES, cadence="each change", evidence="images, u rises"),
    "20": BookChannel("20", IMAGES, Bootstrap.IMAGES, cadence="100 ms", evidence="images, u rises"),
    "50": _DIFF,
    "full": msgspec.structs.replace(
        _DIFF, shortfall="snapshots end at 1000 levels a side; levels beyond appear when they change"
    ),
}
_BOOK_STREAMS: Final = {"bbo": "bookTicker", "20": "depth20@100ms", "50": "depth@100ms", "full": "depth@100ms"}
_SNAPSHOT_DEPTHS: Final = ("50", "full")


class _DepthUpdate(
    msgspec.Struct,
    gc=False,
    rename={
        "event_ms": "E",
        "symbol": "s",
        "first": "U",
        "last": "u",
        "previous": "pu",
        "bids": "b",
        "asks": "a",
    },
):
    e: Literal["depthUpdate"]
    event_ms: Millis
    symbol: str
    first: Id
    last: Id
    previous: Annotated[int, msgspec.Meta(ge=-1, le=2**63 - 1)]  # -1: nothing before (seen on a fresh partial depth)
    bids: Rows
    asks: Rows
    st: int | None = None


def _delta(update: _DepthUpdate, origin: Origin) -> list[Message]:
    check_symbol(origin, update.symbol)
    instrument = origin.instruments.find(update.symbol)
    if instrument is None or update.st not in USD_MARGINED:
        return [refused(update.symbol, update.st, origin.instruments)]
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
        previous_sequence=update.previous,
    )
    return [BookMessage(origin.topic, delta)]


def _image(update: _DepthUpdate, origin: Origin) -> list[Message]:
    check_symbol(origin, update.symbol)
    instrument = origin.instruments.find(update.symbol)
    if instrument is None or update.st not in USD_MARGINED:
        return [refused(update.symbol, update.st, origin.instruments)]
    snapshot = Snapshot(
        pair=instrument.pair,
        received_us=origin.received_us,
        venue_ms=update.event_ms,
        bids=canonical_levels(update.bids),
        asks=canonical_levels(update.asks),
        reason=SnapshotReason.FIRST,
        sequence=update.last,
    )
    return [BookMessage(origin.topic, Image(snapshot))]


_READERS: Final[dict[str, Reader]] = {  # type: ignore[type-arg]  # each of its own payload
    "depth": Reader(_DepthUpdate, _delta),
    "depth5": Reader(_DepthUpdate, _image),
    "depth10": Reader(_DepthUpdate, _image),
    "depth20": Reader(_DepthUpdate, _image),
    "bookTicker": Reader(BookTicker, read_best),
    "aggTrade": Reader(TradePrint, read_trade),
    "trade": Reader(TradePrint, read_trade),
}
_BARE: Final = {"depthUpdate": "depth", "bookTicker": "bookTicker", "aggTrade": "aggTrade", "trade": "trade"}


class _FuturesRow(SymbolRow, kw_only=True):
    contractType: str  # noqa: N815  # the venue's own word
    marginAsset: str  # noqa: N815


def _status(row: _FuturesRow) -> InstrumentStatus | str:
    """Only linear perpetuals settled in their quote. Unknown words of a growing list mean: not trading (section 10)."""
    if row.contractType == "TRADIFI_PERPETUAL":
        return "TRADIFI_PERPETUAL: has trading sessions and needs a signed agreement"
    if row.contractType != "PERPETUAL":
        return f"contract type {row.contractType or '(none)'}: not a perpetual"
    if row.marginAsset != row.quoteAsset:
        return f"settled in {row.marginAsset}, not in its quote {row.quoteAsset}"
    return InstrumentStatus.TRADING if row.status == "TRADING" else InstrumentStatus.HALTED


class BinanceFutures(Venue):
    """Binance USDⓈ-M futures."""

    name = VENUE
    market = MARKET
    rest_url = "https://fapi.binance.com"
    ws_url = "wss://fstream.binance.com"
    limits = Limits(  # section 2
        topics_per_connection=200,  # 1024 are documented; many clients stop at 200
        pairs_per_connection=50,
        topics_per_request=100,
        request_bytes=4096,
        requests_per_s=6.0,  # 10 inbound messages a second, pongs count
        connects_per_s=1.0,  # not restated for futures: as spot, 300 in 5 minutes
        rest_weight_per_minute=2400,
        lifetime_ms=24 * 3600 * 1000,
    )
    keepalive = Keepalive(text=None, idle_ms=180_000, dead_ms=400_000)  # the server pings every 3 minutes (section 3)
    sequence_comparable = True  # one counter per symbol, on every socket and in REST (section 5.4)

    def __init__(self) -> None:
        self._streams = Streams(MARKET, _READERS, _BARE)

    def __repr__(self) -> str:
        return "<BinanceFutures>"

    def socket_url(self, base: str, route: str, ticket: bytes | None = None) -> str:
        """A combined-stream socket of one route (mandatory since 2026-04-23). Raises ConfigError for a third one."""
        if route not in (PUBLIC, MARKET_ROUTE):
            raise ConfigError(f"route {route!r}: expected {PUBLIC} or {MARKET_ROUTE}")
        return f"{base}/{route}/stream"

    def book_channel(self, depth: str) -> BookChannel:
        """There is no channel of 50 levels: 50 and full come from the diff stream. Raises ConfigError."""
        if depth not in _BOOKS:
            raise unknown_depth(depth, _BOOKS)
        return _BOOKS[depth]

    def topics(self, instrument: Instrument, depth: str, channels: frozenset[str]) -> list[Topic]:
        """Books and best prices on one route, trades on the other. Raises ConfigError."""
        self.book_channel(depth)
        symbol = instrument.symbol.lower()
        streams = {
            "book": (PUBLIC, _BOOK_STREAMS[depth]),
            "bbo": (PUBLIC, "bookTicker"),
            "trades": (MARKET_ROUTE, "aggTrade"),
        }
        return [
            Topic(route, f"{symbol}@{stream}", instrument.pair, feeds)
            for feeds, (route, stream) in streams.items()
            if feeds in channels
        ]

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Section 4; ids are unsigned integers."""
        return request("SUBSCRIBE", topics, request_id)

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Section 4."""
        return request("UNSUBSCRIBE", topics, request_id)

    def decode(self, frame: str | bytes, received_us: int, instruments: Instruments) -> list[Message]:
        """Raises Undecodable, and nothing else."""
        return self._streams.decode(frame, received_us, instruments)

    def instruments_requests(self) -> list[RestRequest]:
        """Every symbol in one answer."""
        return [RestRequest("/fapi/v1/exchangeInfo", 1)]

    def parse_instruments(self, bodies: Sequence[bytes]) -> Instruments:
        """Raises Undecodable when a body is not exchangeInfo."""
        return parse_exchange_info(MARKET, bodies, _FuturesRow, _status)

    def snapshot_request(self, instrument: Instrument, depth: str) -> RestRequest:
        """Raises ConfigError for a depth that is not built from a snapshot."""
        if depth not in _SNAPSHOT_DEPTHS:
            raise unknown_depth(depth, _SNAPSHOT_DEPTHS)
        return RestRequest(depth_path("/fapi/v1", instrument, 1000), 20)

    def parse_snapshot(self, body: bytes, instrument: Instrument, received_us: int) -> Snapshot:
        """Raises Undecodable when the body is no depth."""
        return parse_depth(body, instrument, received_us)
