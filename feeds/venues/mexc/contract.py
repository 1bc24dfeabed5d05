"""PURE. MEXC USDT-margined perpetual contracts. Source: venue sheet `mexc`, sections 1-7 (state of November 2026).

frame                                 | shape                                  | becomes         | evidence
--------------------------------------|----------------------------------------|-----------------|-----------------------------
`push.depth` of `sub.depth` (merged)  | begin…end, version; unordered rows     | book delta      | captured_202609
the same with `compress: false`       | version alone; never subscribed        | book delta      | captured_202609, cmp, tardis
`push.depth.full` of `sub.depth.full` | the best levels, sorted                | best prices (1) | captured_202609, cmp
`push.deal` of `sub.deal`             | a list: p, v, T, t, i                  | trades          | tardis_samples
the same, old                         | no `i`; or one deal that is no list    | Unused by name  | cmp_samples, docs_jkorf_ws
all other pushes                      | tickers, candles, funding, private …   | Unused by name  | captured_202609, docs, cmp
`rs.sub.*`, `rs.unsub.*`              | `"data":"success"`, no symbol, no id   | Ack (2)         | captured_202609
`rs.error` Contract [X] not exists    | the contract in prose, no channel      | Refusals        | captured_202609
`rs.error` … close the channel        | 60 s without our ping                  | GoingAway       | sheet, section 3
`pong`                                | the answer to our ping                 | Pong            | captured_202609
gzip of any of these                  | announced, never seen                  | the same        | sheet, section 2
REST `contract/depth/S`               | an envelope; data: asks, bids, version | snapshot        | cmp_samples
REST `contract/detail`                | data[]                                 | instruments     | docs_jkorf_rest

(1) There is no channel of best prices. `push.ticker` has bid1 and ask1 without amounts and comes every 2.7 s; the five best
    levels come every 0.3 s with amounts, so the best prices are theirs. A contract may have one limit of them at a time:
    that is why depth 20 is not had from there.
(2) It names no symbol, only a kind: the oldest unanswered request of that kind is meant. Data acknowledges too: an Ack by
    topic stands in front of best prices and trades.

How a book is built (section 5.3):
 1. `sub.depth` brings no snapshot: keep what comes; first = begin (or version), last = end (or version);
 2. GET `/api/v1/contract/depth/S`; it runs up to 415 versions behind the socket: fetched again while it is older than
    what is kept;
 3. drop frames with last <= version; the first one left contains version + 1;
 4. from then on first == last of the one before + 1; beyond that is a gap: from 2 again on the living subscription.
2 is the session's, 3 and 4 the rule CONTIGUOUS. A gap could also be mended by `depth_commits`; a snapshot does the same and
is needed anyway. A deleted level is `[price, 0, 0]`. Both sides of a snapshot empty: the contract was delisted.
DIFFERENT from spot: sizes are contracts (amounts here are × contractSize); one symbol a request; the ping is compulsory: the
server closes 60 s after the last one, whatever it sends itself.
"""

from collections.abc import Sequence
from typing import Annotated, Final
from urllib.parse import quote

import msgspec

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
from feeds.venues.mexc import contract_frames, metadata
from feeds.venues.mexc.contract_frames import BEST, DEALS, DEPTH, Rows, topic_name
from feeds.venues.mexc.metadata import VENUE
from fleet.errors import ConfigError

ROUTE: Final = "public"
BEST_LEVELS: Final = 5  # the least that depth.full gives

_MERGED: Final = BookChannel("1000", CONTIGUOUS, Bootstrap.REST, cadence="200 ms", evidence="begin is end before + 1")
_BOOKS: Final = {
    "bbo": BookChannel("bbo", IMAGES, Bootstrap.IMAGES, cadence="0.3 s", evidence="complete states, version rises"),
    "20": _MERGED,
    "50": _MERGED,
    "full": msgspec.structs.replace(
        _MERGED,
        depth="1500",
        shortfall="snapshots end at 1500 levels a side; levels beyond appear when they change",
    ),
}
_QUERIES: Final = {"20": "?limit=1000", "50": "?limit=1000", "full": ""}  # without a limit: 1500 levels


class _Book(msgspec.Struct, gc=False):
    asks: Rows
    bids: Rows
    version: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    timestamp: Annotated[int, msgspec.Meta(ge=0, le=2**53)] | None = None


class _Envelope(msgspec.Struct, gc=False):
    success: bool
    code: int
    data: _Book | None = None


_envelope: Final = msgspec.json.Decoder(_Envelope, float_hook=str)


class MexcContract(Venue):
    """MEXC perpetual contracts settled in USDT."""

    name = VENUE
    market = "futures"
    rest_url = "https://api.mexc.com"
    ws_url = "wss://contract.mexc.com"
    limits = Limits(  # sections 2, 5.3 and 7.2
        topics_per_connection=150,  # unpublished; so many ran without refusal
        pairs_per_connection=50,
        topics_per_request=1,
        request_bytes=4096,
        requests_per_s=15.0,  # unpublished; 20 a second were fine, and pings come besides
        connects_per_s=2.0,  # unpublished
        rest_window_ms=2_000,
        rest_weight_per_minute=300,  # depth: 10 in 2 s
        lifetime_ms=24 * 3600 * 1000,  # unpublished; as on spot
    )
    keepalive = Keepalive(text='{"method":"ping"}', idle_ms=10_000, dead_ms=20_000, every_ms=15_000)
    sequence_comparable = True  # one counter a contract: REST and every stream count by it (section 5.3)

    def __repr__(self) -> str:
        return "<MexcContract>"

    def socket_url(self, base: str, route: str, ticket: bytes | None = None) -> str:
        """The socket did not move to the host of REST (section 2)."""
        return f"{base}/edge"

    def book_channel(self, depth: str) -> BookChannel:
        """20, 50 and full are the merged diff stream. Raises ConfigError."""
        if depth not in _BOOKS:
            raise ConfigError(f"depth {depth!r}: expected one of {', '.join(_BOOKS)}")
        return _BOOKS[depth]

    def topics(self, instrument: Instrument, depth: str, channels: frozenset[str]) -> list[Topic]:
        """The five best levels serve the channel bbo and the book of depth bbo alike. Raises ConfigError."""
        book = BEST if self.book_channel(depth).depth == "bbo" else DEPTH
        wanted = {"book": book, "bbo": BEST, "trades": DEALS}
        return [
            Topic(ROUTE, topic_name(channel, instrument.symbol), instrument.pair, feeds, kind=channel)
            for feeds, channel in wanted.items()
            if feeds in channels
        ]

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Section 4.2: one symbol a frame, and no id."""
        return _request("sub", topics)

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Section 4.2."""
        return _request("unsub", topics)

    def decode(self, frame: str | bytes, received_us: int, instruments: Instruments) -> list[Message]:
        """Raises Undecodable, and nothing else."""
        return contract_frames.decode(frame, received_us, instruments)

    def instruments_requests(self) -> list[RestRequest]:
        """Every contract in one answer."""
        return [RestRequest("/api/v1/contract/detail", 1)]

    def parse_instruments(self, bodies: Sequence[bytes]) -> Instruments:
        """Raises Undecodable when a body is not contract/detail."""
        return metadata.parse_detail(bodies)

    def snapshot_request(self, instrument: Instrument, depth: str) -> RestRequest:
        """Raises ConfigError for a depth that is not built from a snapshot."""
        if depth not in _QUERIES:
            raise ConfigError(f"depth {depth!r}: expected one of {', '.join(_QUERIES)}")
        return RestRequest(f"/api/v1/contract/depth/{quote(instrument.symbol, safe='')}{_QUERIES[depth]}", 1)

    def parse_snapshot(self, body: bytes, instrument: Instrument, received_us: int) -> Snapshot:
        """Raises Undecodable when the body is no book, is an error (they come with HTTP 200), or has neither side."""
        try:
            answer = _envelope.decode(body)
            book = answer.data
            if not answer.success or answer.code != 0 or book is None:
                raise Undecodable(f"{instrument.pair}: expected a book, got an answer of code {answer.code}")
            bids, asks = contract_frames.sides(book.bids, book.asks, instrument.contract_size)
        except Undecodable:
            raise
        except (ValueError, RecursionError) as error:
            raise Undecodable(f"{instrument.pair}: no book: {' '.join(str(error).split())[:200]}") from error
        if not bids and not asks:
            raise Undecodable(f"{instrument.pair}: a book of nothing: the contract was delisted")
        return Snapshot(
            pair=instrument.pair,
            received_us=received_us,
            venue_ms=book.timestamp,
            bids=bids,
            asks=asks,
            reason=SnapshotReason.FIRST,
            sequence=book.version,
        )


def _request(verb: str, topics: Sequence[Topic]) -> str:
    (name,) = dict.fromkeys(topic.name for topic in topics)
    channel, _, symbol = name.partition(":")
    param: dict[str, str | int] = {"symbol": symbol}
    if channel == BEST:
        param["limit"] = BEST_LEVELS
    return msgspec.json.encode({"method": f"{verb}.{channel}", "param": param}).decode()
