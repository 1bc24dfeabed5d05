"""PURE. HTX spot market data. Source: venue sheet `htx`, sections 1 to 6 and 10 (state of November 2026).

channel or frame                     | shape                                | becomes         | evidence
-------------------------------------|--------------------------------------|-----------------|---------------------------
`mbp.150`, `mbp.400` (5, 20) /feed   | seqNum, prevSeqNum, bids, asks       | book delta      | cmp_samples, tardis
answer to `req` of the same  /feed   | rep, data: seqNum, bids, asks        | snapshot        | tardis_samples
`mbp.refresh.20` (5, 10)     /ws     | seqNum, bids, asks                   | book image      | sheet, docs_jkorf_ws
`depth.step0`                /ws     | version, ts, bids, asks; about 1/s   | book image (1)  | cf202104_session, gct
`bbo`                        /ws     | seqId, bid, bidSize, ask, askSize    | best prices     | cmp_samples, tardis
`trade.detail`               /ws     | data[]: tradeId, price, amount, side | trades          | cf202104_session, cmp
`{"ping":n}`                         | every 5 s                            | Reply           | cf202104_session
`{"pong":n}`                         |                                      | Pong            | sheet, section 3
`subbed`, `unsubbed`                 | one a request                        | Ack             | cf202104_session
`status` error                       | err-code, err-msg, id                | Refusal by id   | sheet, section 4
any other channel, answer, socket    |                                      | Unused by name  | *_samples, docs, gct
REST `v1/common/symbols`             | data[]                               | instruments     | cf202104_rest_symbols

(1) Read, never subscribed: `mbp.refresh.20` and `mbp.150` say the same ten times as often.

How a book of depth 50 or full is built (section 5.1), all of it on one `/feed` socket:
 1. subscribe `mbp.150` (full: `mbp.400`) and keep what comes;
 2. ask for the same topic with `req`; the answer has seqNum S;
 3. S < prevSeqNum of the oldest delta kept: too old, ask again, keep on keeping;
 4. drop deltas with seqNum <= S;
 5. the first one left has prevSeqNum <= S: sizes are absolute, so one that straddles S is applied;
 6. from then on prevSeqNum == seqNum of the one before; else it is a gap: from 2 again, on the living subscription.
1 to 3 are Bootstrap.REQUEST; 4 to 6 are the rule CONTIGUOUS_THEN_LINKED, with deltas that start at prevSeqNum + 1.

Depth 20 is `mbp.refresh.20`: exactly its 20 levels at the same 100 ms, whole each time, and no request for a snapshot (of
those only ten a second may be sent). What it lacks is proof that no image is missing; the next one makes up for it. The
incremental `mbp.20` may exist for few majors only.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from books.decimals import canonical
from books.events import Delta, Snapshot
from books.sequence import CONTIGUOUS_THEN_LINKED, IMAGES
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
    Undecodable,
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
    topic_name,
)
from feeds.venues.htx.metadata import parse_symbols
from feeds.venues.htx.payloads import (
    DepthTick,
    TradeTick,
    best,
    depth_path,
    parse_depth,
    read_trade,
    sides,
    snapshot,
    unknown_depth,
)
from fleet.errors import ConfigError

MARKET: Final = "spot"
WS: Final = "ws"
FEED: Final = "feed"

_CHAIN: Final = "prevSeqNum == last seqNum"
_BOOKS: Final = {
    "bbo": BookChannel(
        "bbo", IMAGES, Bootstrap.IMAGES, cadence="each change", evidence="none: every message is whole, seqId rises"
    ),
    "20": BookChannel(
        "20", IMAGES, Bootstrap.IMAGES, cadence="100 ms", evidence="none: every message is whole, seqNum rises"
    ),
    "50": BookChannel("150", CONTIGUOUS_THEN_LINKED, Bootstrap.REQUEST, cadence="100 ms", evidence=_CHAIN),
    "full": BookChannel(
        "400",
        CONTIGUOUS_THEN_LINKED,
        Bootstrap.REQUEST,
        shortfall="HTX gives 400 levels a side, no more",
        cadence="100 ms",
        evidence=_CHAIN,
    ),
}
_BOOK_TOPICS: Final = {
    "bbo": (WS, "bbo"),
    "20": (WS, "mbp.refresh.20"),
    "50": (FEED, "mbp.150"),
    "full": (FEED, "mbp.400"),
}
_INCREMENTAL: Final = ("mbp.5", "mbp.20", "mbp.150", "mbp.400")
_REFRESH: Final = ("mbp.refresh.5", "mbp.refresh.10", "mbp.refresh.20")


class _Changes(msgspec.Struct, gc=False, rename={"sequence": "seqNum", "previous": "prevSeqNum"}):
    """5 and 20 leave out a side without change; an empty message advances the chain all the same."""

    sequence: Id
    previous: Id
    bids: msgspec.Raw = NOTHING
    asks: msgspec.Raw = NOTHING


class _Whole(msgspec.Struct, gc=False, rename={"sequence": "seqNum"}):
    sequence: Id
    bids: msgspec.Raw = NOTHING
    asks: msgspec.Raw = NOTHING


class _Best(
    msgspec.Struct,
    gc=False,
    rename={"sequence": "seqId", "bid_size": "bidSize", "ask_size": "askSize", "quote_ms": "quoteTime"},
):
    """Without a seqId before 2021."""

    quote_ms: Millis
    sequence: Id | None = None
    bid: msgspec.Raw = NOTHING
    bid_size: msgspec.Raw = NOTHING
    ask: msgspec.Raw = NOTHING
    ask_size: msgspec.Raw = NOTHING


def _delta(tick: _Changes, ts: int, origin: Origin) -> list[Message]:
    if tick.previous > tick.sequence:
        raise Undecodable(f"{origin.instrument.pair}: a delta from {tick.previous} back to {tick.sequence}")
    bids, asks = sides(origin.instrument, tick.bids, tick.asks)
    delta = Delta(
        pair=origin.instrument.pair,
        received_us=origin.received_us,
        venue_ms=ts,
        bids=bids,
        asks=asks,
        sequence=tick.sequence,
        first_sequence=tick.previous + 1,
        previous_sequence=tick.previous,
    )
    return [BookMessage(origin.topic, delta)]


def _book(tick: _Whole, ts: int, origin: Origin) -> Snapshot:
    levels = sides(origin.instrument, tick.bids, tick.asks)
    return snapshot(origin.instrument, origin.received_us, ts, tick.sequence, levels)


def _answer(data: _Whole, ts: int, origin: Origin) -> list[Message]:
    return [BookMessage(origin.topic, _book(data, ts, origin))]


def _image(tick: _Whole, ts: int, origin: Origin) -> list[Message]:
    return [BookMessage(origin.topic, Image(_book(tick, ts, origin)))]


def _depth(tick: DepthTick, ts: int, origin: Origin) -> list[Message]:
    if tick.has_no_sides():
        return [Unused("depth without sides")]
    levels = sides(origin.instrument, tick.bids, tick.asks)
    book = snapshot(origin.instrument, origin.received_us, tick.ts, tick.order(), levels)
    return [BookMessage(origin.topic, Image(book))]


def _best_prices(tick: _Best, ts: int, origin: Origin) -> list[Message]:
    bid = None if is_missing(tick.bid) else (number(tick.bid), number(tick.bid_size))
    ask = None if is_missing(tick.ask) else (number(tick.ask), number(tick.ask_size))
    return [best(origin, tick.quote_ms, tick.sequence, bid, ask)]


def _trades(tick: TradeTick, ts: int, origin: Origin) -> list[Message]:
    return [
        Unused("trade without tradeId (2019)")
        if is_missing(row.trade_id)
        else read_trade(row, row.trade_id, canonical(number(row.amount)), origin)
        for row in tick.data
    ]


_READERS: Final[dict[str, Reader[Any]]] = {
    **dict.fromkeys(_INCREMENTAL, Reader(_Changes, _delta)),
    **dict.fromkeys(_REFRESH, Reader(_Whole, _image)),
    "depth.step0": Reader(DepthTick, _depth),
    "bbo": Reader(_Best, _best_prices),
    "trade.detail": Reader(TradeTick, _trades),
}
_ANSWERS: Final[dict[str, Reader[Any]]] = dict.fromkeys(_INCREMENTAL, Reader(_Whole, _answer))


class HtxSpot(Venue):
    """HTX spot: two sockets, `/ws` for whole images and trades, `/feed` for books built from changes."""

    name = VENUE
    market = MARKET
    rest_url = "https://api.huobi.pro"
    ws_url = "wss://api.huobi.pro"
    limits = Limits(  # section 2; about topics and connects the venue says nothing: what it advises, and cautious
        topics_per_connection=75,
        pairs_per_connection=8,  # two requests a pair at that pace: a connection is whole in 3 s
        topics_per_request=1,
        request_bytes=65_536,
        requests_per_s=5.0,  # at least 100 ms apart when they arrive, behind a busy host and a way that varies
        connects_per_s=2.0,
        rest_window_ms=1_000,
        rest_weight_per_minute=600,  # 10 a second for each endpoint and address
    )
    keepalive = Keepalive(
        text=None, idle_ms=15_000, dead_ms=15_000, probe=False
    )  # the server pings every 5 s (section 3)
    sequence_comparable = True  # seqNum is the symbol's, on every socket (section 5.1)
    traits = Traits(repeats_trades=True)  # section 5.5

    def __init__(self) -> None:
        self._frames = Frames(MARKET, _READERS, _ANSWERS, str)

    def __repr__(self) -> str:
        return "<HtxSpot>"

    def socket_url(self, base: str, route: str, ticket: bytes | None = None) -> str:
        """Each is invalid for the topics of the other. Raises ConfigError for a third one."""
        if route not in (WS, FEED):
            raise ConfigError(f"route {route!r}: expected {WS} or {FEED}")
        return f"{base}/{route}"

    def book_channel(self, depth: str) -> BookChannel:
        """Raises ConfigError."""
        if depth not in _BOOKS:
            raise unknown_depth(depth, _BOOKS)
        return _BOOKS[depth]

    def topics(self, instrument: Instrument, depth: str, channels: frozenset[str]) -> list[Topic]:
        """`bbo` serves the channel bbo and the book of depth bbo alike. Raises ConfigError."""
        self.book_channel(depth)
        wanted = {"book": _BOOK_TOPICS[depth], "bbo": (WS, "bbo"), "trades": (WS, "trade.detail")}
        return [
            Topic(route, topic_name(instrument.symbol, channel), instrument.pair, feeds)
            for feeds, (route, channel) in wanted.items()
            if feeds in channels
        ]

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Section 4."""
        return request("sub", topics[0], request_id)

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Section 4."""
        return request("unsub", topics[0], request_id)

    def snapshot_text(self, topic: Topic, request_id: int) -> str:
        """Section 5.1, step 2."""
        return request("req", topic, request_id)

    def decode(self, frame: str | bytes, received_us: int, instruments: Instruments) -> list[Message]:
        """Raises Undecodable, and nothing else."""
        return self._frames.decode(frame, received_us, instruments)

    def instruments_requests(self) -> list[RestRequest]:
        """Every symbol in one answer."""
        return [RestRequest("/v1/common/symbols", 1)]

    def parse_instruments(self, bodies: Sequence[bytes]) -> Instruments:
        """Raises Undecodable when a body is no list of symbols."""
        return parse_symbols(bodies)

    def snapshot_request(self, instrument: Instrument, depth: str) -> RestRequest:
        """For cross-checks only: REST counts `version`, which deltas do not link to."""
        return RestRequest(depth_path("/market/depth", "symbol", instrument), 1)

    def parse_snapshot(self, body: bytes, instrument: Instrument, received_us: int) -> Snapshot:
        """Raises Undecodable when the body is no depth."""
        return parse_depth(body, instrument, received_us)
