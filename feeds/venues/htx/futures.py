"""PURE. HTX USDT-margined linear perpetual swaps. Source: venue sheet `htx`, sections 1 to 6 and 10 (November 2026).

channel or frame                      | shape                                   | becomes          | evidence
--------------------------------------|-----------------------------------------|------------------|----------------------
`depth.size_150.high_freq` (20)       | event snapshot/update, version          | snapshot, delta  | captured_202609, cmp
`depth.step0`                         | mrid, ts, bids, asks; version is a time | book image (1)   | cf202202*_session
`depth.step0` without any side        | delisted contract                       | Unused           | cmp_samples (step7)
`depth.step1` and so on               | prices merged                           | Unused           | cmp_samples
`bbo`                                 | mrid, bid [price, size], ask            | best prices      | captured_202609, cmp
`trade.detail`                        | data[]: id, price, quantity, direction  | trades           | cf202202*_session, cmp
`{"ping":n}`                          | every 5 s                               | Reply            | captured_202609
`{"pong":n}`                          | answer to a ping of ours (we send none) | Pong             | sheet, section 3
`subbed`, `unsubbed`                  | may come behind its first data          | Ack              | captured_202609
`status` error                        | err-code, err-msg, id                   | Refusal by id    | captured_202609
any other channel, answer, socket     |                                         | Unused by name   | *_samples, docs
REST `swap_contract_info`             | data[]                                  | instruments      | docs_jkorf_rest

(1) Read, never subscribed: `high_freq` says the same three times as often, and proves it.

How a book is built (section 5.3):
 1. subscribe with `data_type` incremental; what comes before its snapshot is ignored;
 2. a snapshot replaces the book, last = version; there may be another one at any time;
 3. an update has version == last + 1; else it is a gap: the book is invalid at once; unsubscribe, wait, subscribe.
2 and 3 are the rule CONTIGUOUS, the rest is Bootstrap.IN_BAND. `version` counts on each connection by itself, so nothing may
be compared across sockets. Sizes are contracts; amounts here are × contract_size. Topics accept any letter case and answer
in upper case: kept in upper case here.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from books.decimals import canonical, spellings_times
from books.events import Delta, Snapshot
from books.sequence import CONTIGUOUS, IMAGES
from feeds.venue import (
    BookChannel,
    BookMessage,
    Bootstrap,
    Image,
    Instrument,
    Instruments,
    Keepalive,
    Limits,
    Message,
    RestRequest,
    Topic,
    Traits,
    Unused,
    Venue,
)
from feeds.venues.htx.frames import (
    NOTHING,
    VENUE,
    Frames,
    Id,
    Millis,
    Origin,
    Reader,
    is_missing,
    number,
    request,
    rows,
    topic_name,
)
from feeds.venues.htx.metadata import parse_contracts
from feeds.venues.htx.payloads import (
    DepthTick,
    TradeRow,
    TradeTick,
    best,
    depth_path,
    parse_depth,
    read_trade,
    sides,
    snapshot,
    unknown_depth,
)

MARKET: Final = "futures"
ROUTE: Final = "linear-swap-ws"

_INCREMENTAL: Final = ("depth.size_20.high_freq", "depth.size_150.high_freq")
_CADENCE: Final = "30 ms"
_CHAIN: Final = "version + 1"
_BOOKS: Final = {
    "bbo": BookChannel(
        "bbo", IMAGES, Bootstrap.IMAGES, cadence="each change", evidence="none: every message is whole, mrid rises"
    ),
    "20": BookChannel("20", CONTIGUOUS, Bootstrap.IN_BAND, cadence=_CADENCE, evidence=_CHAIN),
    "50": BookChannel("150", CONTIGUOUS, Bootstrap.IN_BAND, cadence=_CADENCE, evidence=_CHAIN),
    "full": BookChannel(
        "150",
        CONTIGUOUS,
        Bootstrap.IN_BAND,
        shortfall="HTX gives 150 levels a side of a swap, no more",
        cadence=_CADENCE,
        evidence=_CHAIN,
    ),
}
_BOOK_CHANNELS: Final = {"bbo": "bbo", "20": _INCREMENTAL[0], "50": _INCREMENTAL[1], "full": _INCREMENTAL[1]}


class _HighFreq(msgspec.Struct, gc=False):
    event: Literal["snapshot", "update"] | None
    version: Id
    ts: Millis
    bids: msgspec.Raw = NOTHING
    asks: msgspec.Raw = NOTHING


class _Best(msgspec.Struct, gc=False):
    """A side may be missing or null on an empty book."""

    mrid: Id
    ts: Millis
    bid: msgspec.Raw = NOTHING
    ask: msgspec.Raw = NOTHING


def _changes(tick: _HighFreq, ts: int, origin: Origin) -> list[Message]:
    if tick.event is None:
        return [Unused("high_freq without event (the whole each time, without data_type incremental)")]
    bids, asks = levels = sides(origin.instrument, tick.bids, tick.asks)
    if tick.event == "snapshot":
        book = snapshot(origin.instrument, origin.received_us, tick.ts, tick.version, levels)
        return [BookMessage(origin.topic, book)]
    delta = Delta(
        pair=origin.instrument.pair,
        received_us=origin.received_us,
        venue_ms=tick.ts,
        bids=bids,
        asks=asks,
        sequence=tick.version,
        first_sequence=tick.version,
    )
    return [BookMessage(origin.topic, delta)]


def _depth(tick: DepthTick, ts: int, origin: Origin) -> list[Message]:
    if tick.has_no_sides():
        return [Unused("depth without sides (a delisted contract)")]
    levels = sides(origin.instrument, tick.bids, tick.asks)
    book = snapshot(origin.instrument, origin.received_us, tick.ts, tick.order(), levels)
    return [BookMessage(origin.topic, Image(book))]


def _level(raw: msgspec.Raw) -> tuple[str, str] | None:
    """`[price, size]`. Raises ValueError."""
    if is_missing(raw):
        return None
    found = rows(msgspec.Raw(b"[%b]" % bytes(raw)))
    if len(found) != 1:
        raise ValueError(f"expected [price, size], got {bytes(raw)[:60]!r}")
    return found[0]


def _best_prices(tick: _Best, ts: int, origin: Origin) -> list[Message]:
    return [best(origin, tick.ts, tick.mrid, _level(tick.bid), _level(tick.ask))]


def _amount(row: TradeRow, instrument: Instrument) -> str:
    """In base units: `quantity` counts coins already, and older documents doubt `amount` (section 6)."""
    if is_missing(row.quantity):
        return spellings_times(instrument.contract_size)[number(row.amount)]
    return canonical(number(row.quantity))


def _trades(tick: TradeTick, ts: int, origin: Origin) -> list[Message]:
    return [read_trade(row, row.id, _amount(row, origin.instrument), origin) for row in tick.data]


_READERS: Final[dict[str, Reader[Any]]] = {
    **dict.fromkeys(_INCREMENTAL, Reader(_HighFreq, _changes)),
    "depth.step0": Reader(DepthTick, _depth),
    "bbo": Reader(_Best, _best_prices),
    "trade.detail": Reader(TradeTick, _trades),
}


class HtxFutures(Venue):
    """HTX linear swaps: one socket for everything."""

    name = VENUE
    market = MARKET
    rest_url = "https://api.hbdm.com"
    ws_url = "wss://api.hbdm.com"
    limits = Limits(  # section 2; about topics and connects the venue says nothing: what it advises, and cautious
        topics_per_connection=75,
        pairs_per_connection=25,
        topics_per_request=1,
        request_bytes=65_536,
        requests_per_s=30.0,  # 40 subscriptions a second
        connects_per_s=2.0,
        rest_window_ms=3_000,
        rest_weight_per_minute=2400,  # 120 in 3 s; market data has far more (section 7.4)
    )
    keepalive = Keepalive(
        text=None, idle_ms=15_000, dead_ms=15_000, probe=False
    )  # the server pings every 5 s (section 3)
    sequence_comparable = False  # `version` counts on each connection (section 5.3)
    traits = Traits(repeats_trades=True)  # section 5.5

    def __init__(self) -> None:
        self._frames = Frames(MARKET, _READERS, {}, str.upper)

    def __repr__(self) -> str:
        return "<HtxFutures>"

    def socket_url(self, base: str, route: str, ticket: bytes | None = None) -> str:
        """All market data is on one path."""
        return f"{base}/{ROUTE}"

    def book_channel(self, depth: str) -> BookChannel:
        """There is no channel of 50 levels: it is cut from 150. Raises ConfigError."""
        if depth not in _BOOKS:
            raise unknown_depth(depth, _BOOKS)
        return _BOOKS[depth]

    def topics(self, instrument: Instrument, depth: str, channels: frozenset[str]) -> list[Topic]:
        """`bbo` serves the channel bbo and the book of depth bbo alike. Raises ConfigError."""
        self.book_channel(depth)
        wanted = {"book": _BOOK_CHANNELS[depth], "bbo": "bbo", "trades": "trade.detail"}
        return [
            Topic(ROUTE, topic_name(instrument.symbol, channel), instrument.pair, feeds)
            for feeds, channel in wanted.items()
            if feeds in channels
        ]

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Section 4; without `data_type` high_freq would send the whole book each time."""
        return request("sub", topics[0], request_id, _data_type(topics[0]))

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Section 4; what was subscribed with `data_type` is left with it."""
        return request("unsub", topics[0], request_id, _data_type(topics[0]))

    def decode(self, frame: str | bytes, received_us: int, instruments: Instruments) -> list[Message]:
        """Raises Undecodable, and nothing else."""
        return self._frames.decode(frame, received_us, instruments)

    def instruments_requests(self) -> list[RestRequest]:
        """Every contract in one answer, the dated ones too: they are refused by name."""
        return [RestRequest("/linear-swap-api/v1/swap_contract_info?business_type=all", 1)]

    def parse_instruments(self, bodies: Sequence[bytes]) -> Instruments:
        """Raises Undecodable when a body is no list of contracts."""
        return parse_contracts(bodies)

    def snapshot_request(self, instrument: Instrument, depth: str) -> RestRequest:
        """For cross-checks only: books start in band."""
        return RestRequest(depth_path("/linear-swap-ex/market/depth", "contract_code", instrument), 1)

    def parse_snapshot(self, body: bytes, instrument: Instrument, received_us: int) -> Snapshot:
        """Raises Undecodable when the body is no depth."""
        return parse_depth(body, instrument, received_us)


def _data_type(topic: Topic) -> str | None:
    return "incremental" if topic.name.endswith(".high_freq") else None
