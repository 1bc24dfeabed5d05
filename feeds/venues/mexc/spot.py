"""PURE. MEXC spot market data. Source: venue sheet `mexc`, sections 1-7 (state of November 2026).

frame                                            | shape                            | becomes         | evidence
-------------------------------------------------|----------------------------------|-----------------|---------------------
`spot@public.aggre.depth.v3.api.pb@100ms@S`      | fromVersion … toVersion          | book delta      | sheet, reencoded_pb
`spot@public.aggre.bookTicker.v3.api.pb@100ms@S` | one level a side, version        | best prices     | captured_pb
`spot@public.aggre.deals.v3.api.pb@100ms@S`      | a batch of deals with tradeId    | trades          | captured_pb
`spot@public.limit.depth.v3.api.pb@S@20`         | 5, 10 or 20 levels, version      | image (1)       | captured_pb
any other body of the wrapper, or none           | klines, private, retired topics  | Unused by name  | captured_pb
the JSON view of these                           | as recorders write them          | the same        | tardis_samples
text, code 0, `topic,topic`                      | acknowledgement                  | Ack by topic    | tardis_samples, docs
text, code 0, `Not Subscribed … […]`             | a part of the request is refused | Ack and Refusal | sheet, section 4.1
text, code not 0                                 | the whole request is refused     | Refusal by id   | sheet, section 4.1
text, code 0, `PONG`                             | the answer to our ping           | Pong            | sheet, section 3
text `Invalid listen key`                        | no JSON                          | Refusal         | sheet, section 4.1
text with `c` and `d`                            | JSON pushes until 2025-08-04     | Unused by name  | docs_jkorf_ws
text `push.…`, `["push.…",…]`                    | the JSON sockets of v2           | Unused by name  | cmp_samples
REST `depth`                                     | lastUpdateId, bids, asks         | snapshot        | docs_jkorf_rest
REST `exchangeInfo`                              | symbols[]                        | instruments     | docs_jkorf_rest

(1) Read, never subscribed. Depth 20 comes from the diff stream as 50 and full do: its cadence is published (100 ms) and its
    versions prove that nothing is missing, while limit.depth has no published cadence and its silence proves nothing; a
    quiet book is checked against REST only where REST began it. For 50 levels there is no limit.depth at all.

How a book is built (section 5.1):
 1. subscribe the diff stream and keep what comes;
 2. GET `/api/v3/depth`; lastUpdateId + 1 < fromVersion of the first kept diff: fetch again, for REST lags behind;
 3. drop diffs with toVersion <= lastUpdateId;
 4. the first one left has fromVersion <= lastUpdateId + 1 <= toVersion;
 5. from then on fromVersion == toVersion of the one before + 1. Beyond that is a gap: from 2 again on the living
    subscription. One that begins earlier but ends later is applied: amounts are absolute, so nothing can go wrong.
1-3 are the session's, 4 and 5 the rule CONTIGUOUS. REST has served crossed books: such a snapshot is never shown, the
session asks again. There is no checksum.

Keepalive (section 3): only the JSON PING counts, and it is sent whatever comes: whether the 60 s without traffic after which
the server closes mean both directions is not said.
"""

from collections.abc import Sequence
from typing import Annotated, Final
from urllib.parse import quote

import msgspec

from books.decimals import canonical_sides
from books.events import Snapshot, SnapshotReason
from books.sequence import CONTIGUOUS, IMAGES
from feeds.venue import (
    BookChannel,
    Bootstrap,
    Instrument,
    Instruments,
    Keepalive,
    Limits,
    Message,
    RestRequest,
    Topic,
    Undecodable,
    Venue,
)
from feeds.venues.mexc import metadata, spot_frames
from feeds.venues.mexc.metadata import VENUE
from fleet.errors import ConfigError

ROUTE: Final = "public"

_DIFF: Final = BookChannel(
    "1000", CONTIGUOUS, Bootstrap.REST, cadence="100 ms", evidence="fromVersion is toVersion before + 1"
)
_BOOKS: Final = {
    "bbo": BookChannel("bbo", IMAGES, Bootstrap.IMAGES, cadence="100 ms", evidence="complete states, version rises"),
    "20": _DIFF,
    "50": _DIFF,
    "full": msgspec.structs.replace(
        _DIFF,
        depth="5000",
        shortfall="snapshots end at 5000 levels a side; levels beyond appear when they change",
    ),
}
_STREAMS: Final = {"bbo": "bookTicker", "book": "depth", "trades": "deals"}
_SNAPSHOT_LEVELS: Final = {"20": 1000, "50": 1000, "full": 5000}  # any limit weighs 1 (section 5.1)


class _Depth(msgspec.Struct, gc=False):
    """Answer of REST `depth`. `timestamp` is missing in older answers."""

    lastUpdateId: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]  # noqa: N815  # the venue's own word
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]
    timestamp: Annotated[int, msgspec.Meta(ge=0, le=2**53)] | None = None


_depth: Final = msgspec.json.Decoder(_Depth)


def topic_name(stream: str, symbol: str) -> str:
    """`depth`, `bookTicker` or `deals` of a symbol, which must be upper case (section 1)."""
    return f"spot@public.aggre.{stream}.v3.api.pb@100ms@{symbol}"


class MexcSpot(Venue):
    """MEXC spot."""

    name = VENUE
    market = "spot"
    rest_url = "https://api.mexc.com"
    ws_url = "wss://wbs-api.mexc.com"
    limits = Limits(  # sections 2 and 7.1
        topics_per_connection=30,
        pairs_per_connection=30,
        topics_per_request=30,
        request_bytes=8192,  # unpublished; 30 topics are 1,800
        requests_per_s=20.0,  # 100 a second are documented, more end the connection and then ban the address
        connects_per_s=2.0,  # unpublished
        rest_window_ms=10_000,
        rest_weight_per_minute=1200,  # 500 in 10 s an endpoint are documented; support said to plan for 20 a second
        lifetime_ms=24 * 3600 * 1000,
    )
    keepalive = Keepalive(text='{"method":"PING"}', idle_ms=10_000, dead_ms=20_000, every_ms=20_000)
    sequence_comparable = True  # one counter a symbol: REST and both streams count by it (section 5.1)

    def __repr__(self) -> str:
        return "<MexcSpot>"

    def socket_url(self, base: str, route: str, ticket: bytes | None = None) -> str:
        """One socket for text and binary frames."""
        return f"{base}/ws"

    def book_channel(self, depth: str) -> BookChannel:
        """20, 50 and full are the diff stream. Raises ConfigError."""
        if depth not in _BOOKS:
            raise ConfigError(f"depth {depth!r}: expected one of {', '.join(_BOOKS)}")
        return _BOOKS[depth]

    def topics(self, instrument: Instrument, depth: str, channels: frozenset[str]) -> list[Topic]:
        """bookTicker serves the channel bbo and the book of depth bbo alike. Raises ConfigError."""
        streams = {**_STREAMS, "book": "bookTicker" if self.book_channel(depth).depth == "bbo" else "depth"}
        return [
            Topic(ROUTE, topic_name(streams[feeds], instrument.symbol), instrument.pair, feeds)
            for feeds in ("book", "bbo", "trades")
            if feeds in channels
        ]

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Section 4.1."""
        return _request("SUBSCRIPTION", topics, request_id)

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Section 4.1."""
        return _request("UNSUBSCRIPTION", topics, request_id)

    def decode(self, frame: str | bytes, received_us: int, instruments: Instruments) -> list[Message]:
        """Raises Undecodable, and nothing else."""
        return spot_frames.decode(frame, received_us, instruments)

    def instruments_requests(self) -> list[RestRequest]:
        """Every symbol in one answer."""
        return [RestRequest("/api/v3/exchangeInfo", 10)]

    def parse_instruments(self, bodies: Sequence[bytes]) -> Instruments:
        """Raises Undecodable when a body is not exchangeInfo."""
        return metadata.parse_exchange_info(bodies)

    def snapshot_request(self, instrument: Instrument, depth: str) -> RestRequest:
        """Raises ConfigError for a depth that is not built from a snapshot."""
        if depth not in _SNAPSHOT_LEVELS:
            raise ConfigError(f"depth {depth!r}: expected one of {', '.join(_SNAPSHOT_LEVELS)}")
        symbol = quote(instrument.symbol, safe="")
        return RestRequest(f"/api/v3/depth?symbol={symbol}&limit={_SNAPSHOT_LEVELS[depth]}", 1)

    def parse_snapshot(self, body: bytes, instrument: Instrument, received_us: int) -> Snapshot:
        """Raises Undecodable when the body is no depth."""
        try:
            depth = _depth.decode(body)
            bids, asks = canonical_sides(depth.bids, depth.asks)
        except (ValueError, RecursionError) as error:
            raise Undecodable(f"{instrument.pair}: no depth: {' '.join(str(error).split())[:200]}") from error
        return Snapshot(
            pair=instrument.pair,
            received_us=received_us,
            venue_ms=depth.timestamp,
            bids=bids,
            asks=asks,
            reason=SnapshotReason.FIRST,
            sequence=depth.lastUpdateId,
        )


def _request(method: str, topics: Sequence[Topic], request_id: int) -> str:
    names = list(dict.fromkeys(topic.name for topic in topics))  # one that feeds two things of a pair is named once
    return msgspec.json.encode({"method": method, "params": names, "id": request_id}).decode()
