"""PURE. OKX market data: spot and linear perpetual swaps. Source: venue sheet `okx`, sections 1-6 and 10 (November 2026).

channel or frame                  | shape                                          | becomes         | evidence
----------------------------------|------------------------------------------------|-----------------|--------------------------
`books`                           | action snapshot/update, seqId, prevSeqId       | snapshot, delta | derived_seqid_*, captured
`books-l2-tbt`, `books50-l2-tbt`  | the same; needs a VIP login: never subscribed  | the same        | cf202202, cmp_samples
the three of before 2023          | no seqId, checksum a CRC32                     | Unused, or (1)  | cf202202, cf202205
`bbo-tbt`                         | one level a side, a full image                 | best prices     | cmp_samples, tardis
`trades`                          | px, sz, side of the taker, tradeId             | trade           | captured_202609, cf2022*
`pong`                            | bare text                                      | Pong            | sheet, section 3
`event` subscribe, unsubscribe    | one a topic, with `arg`                        | Ack by topic    | docs_jkorf_ws, cf2022*
`event` error                     | code, sometimes with `arg`                     | Refusal         | sheet, section 4
`event` notice of code 64008      | upgrade in about a minute                      | GoingAway       | sheet, section 4
any other channel, event, answer  |                                                | Unused by name  | *_samples, docs, gct
REST `market/books`               | data[0]: asks, bids, ts, seqId                 | snapshot        | cmp_samples
REST `public/instruments`         | data[]                                         | instruments     | cf202205_rest, nautilus

(1) `Okx(market, history=True)` reads them as deltas without a sequence, whose proof is their CRC32 (`checksum`): for
    replaying recordings only. Live it would be a book without proof.

How a book is built (section 5):
 1. subscribe `books`; what comes before its snapshot is ignored;
 2. a snapshot replaces the book, last = seqId;
 3. a delta follows if prevSeqId == last (seqId jumps; after maintenance it may fall);
 4. no levels and seqId == prevSeqId == last: alive, nothing changed (about once a minute);
 5. any other prevSeqId is a gap: the book is invalid at once; unsubscribe, wait for the acknowledgement, subscribe.
    Subscribing again without that brings no snapshot.
3-4 are the rule LINKED, the rest is Bootstrap.IN_BAND. `checksum` is 0 since 2026-06-23 and is not looked at live.
DIFFERENT for swaps: sizes are contracts (decimals are legal); amounts here are × ctVal × ctMult.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Final, Generic, Literal, TypeVar
from urllib.parse import quote

import msgspec

from books.decimals import SPELLINGS, canonical, spellings_times
from books.events import Bbo, Delta, Snapshot, SnapshotReason, Trade
from books.sequence import IMAGES, LINKED
from feeds.venue import (
    Ack,
    BookChannel,
    BookMessage,
    Bootstrap,
    GoingAway,
    Instrument,
    Instruments,
    Keepalive,
    Limits,
    Message,
    Pong,
    Refusal,
    RestRequest,
    Topic,
    Undecodable,
    Unused,
    Venue,
)
from feeds.venues.okx import metadata
from feeds.venues.okx.metadata import TYPES, VENUE
from fleet.errors import ConfigError

ROUTE: Final = "public"
UPGRADE: Final = "64008"
NOTHING_BEFORE: Final = -1
# Asking again would be refused again: malformed, unknown, wrong path, login or tier needed, channels that exclude another.
FATAL: Final = frozenset({"60011", "60012", "60013", "60018", "60029", "60030", "64001", "64002", "64003", "64004"})

_DEEPEST: Final = BookChannel(
    "400", LINKED, Bootstrap.IN_BAND, cadence="100 ms", evidence="prevSeqId = last seqId", speaks_every_ms=90_000
)
_BOOKS: Final = {
    "bbo": BookChannel(
        "bbo", IMAGES, Bootstrap.IMAGES, cadence="10 ms, when it changed", evidence="images, seqId rises"
    ),
    "20": _DEEPEST,
    "50": _DEEPEST,
    "full": msgspec.structs.replace(_DEEPEST, shortfall="OKX gives 400 levels a side, no more"),
}

_Sequence = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Rows = list[tuple[str, str, str, str]]  # price, size, "0", orders
_Row = TypeVar("_Row")


class _Arg(msgspec.Struct, gc=False):
    channel: str
    instId: str  # noqa: N815  # the venue's own word


class _Push(msgspec.Struct, Generic[_Row], gc=False):
    arg: _Arg
    data: list[_Row]
    action: str | None = None


class _BookRow(msgspec.Struct, gc=False, rename={"sequence": "seqId", "previous": "prevSeqId"}):
    asks: _Rows
    bids: _Rows
    ts: str
    sequence: _Sequence | None = None
    previous: Annotated[int, msgspec.Meta(ge=NOTHING_BEFORE, le=2**63 - 1)] | None = None


class _TradeRow(msgspec.Struct, gc=False, rename={"trade_id": "tradeId"}):
    trade_id: str
    px: str
    sz: str
    side: Literal["buy", "sell"]
    ts: str


class _RestBook(msgspec.Struct):
    code: Literal["0"]
    data: list[_BookRow]


def topic_name(channel: str, symbol: str) -> str:
    """A topic is a channel of one instrument: `books:BTC-USDT`."""
    return f"{channel}:{symbol}"


def _millis(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        raise ValueError(f"expected Unix milliseconds, got {text[:40]!r}")
    return int(text)


def _levels(rows: _Rows, contract_size: Decimal) -> dict[str, str]:
    """Both canonical, amounts in base units; of several rows for one price the last wins."""
    prices, amounts = SPELLINGS, spellings_times(contract_size)
    return {prices[price]: amounts[size] for price, size, _, _ in rows}


def _snapshot(row: _BookRow, instrument: Instrument, received_us: int) -> Snapshot:
    return Snapshot(
        pair=instrument.pair,
        received_us=received_us,
        venue_ms=_millis(row.ts),
        bids=_levels(row.bids, instrument.contract_size),
        asks=_levels(row.asks, instrument.contract_size),
        reason=SnapshotReason.FIRST,
        sequence=row.sequence,
    )


def _delta(row: _BookRow, instrument: Instrument, received_us: int) -> Delta:
    if (row.previous is None) is not (row.sequence is None) or row.previous == NOTHING_BEFORE:
        raise Undecodable(f"{instrument.pair}: update with seqId {row.sequence} and prevSeqId {row.previous}")
    return Delta(
        pair=instrument.pair,
        received_us=received_us,
        venue_ms=_millis(row.ts),
        bids=_levels(row.bids, instrument.contract_size),
        asks=_levels(row.asks, instrument.contract_size),
        sequence=row.sequence,
        previous_sequence=row.previous,
    )


def _best(rows: _Rows, contract_size: Decimal) -> tuple[str, str]:
    """An empty side is no level, or a level of nothing."""
    for price, size, _, _ in rows[:1]:
        amount = spellings_times(contract_size)[size]
        if amount != "0":
            return canonical(price), amount
    return "", ""


def _bbo(row: _BookRow, instrument: Instrument, received_us: int) -> Bbo:
    bid, bid_amount = _best(row.bids, instrument.contract_size)
    ask, ask_amount = _best(row.asks, instrument.contract_size)
    return Bbo(
        pair=instrument.pair,
        received_us=received_us,
        venue_ms=_millis(row.ts),
        bid=bid,
        bid_amount=bid_amount,
        ask=ask,
        ask_amount=ask_amount,
        sequence=row.sequence,
    )


def _trade(row: _TradeRow, instrument: Instrument, received_us: int) -> Trade:
    return Trade(
        pair=instrument.pair,
        received_us=received_us,
        venue_ms=_millis(row.ts),
        price=canonical(row.px),
        amount=spellings_times(instrument.contract_size)[row.sz],
        side=row.side,
        trade_id=row.trade_id,
    )


_BOOK_CHANNELS: Final = ("books", "books-l2-tbt", "books50-l2-tbt")
_PAYLOADS: Final[dict[str, Any]] = {
    **dict.fromkeys(_BOOK_CHANNELS, _Push[_BookRow]),
    "bbo-tbt": _Push[_BookRow],
    "trades": _Push[_TradeRow],
}
_DECODERS: Final = {channel: msgspec.json.Decoder(payload) for channel, payload in _PAYLOADS.items()}
_PUSH: Final = '{"arg":{"channel":"'
# Fields that only rows of REST answers have at their top. Recordings mix them among frames; a socket never does.
_REST_WORDS: Final = frozenset({"instId", "ordId", "ccy"})
_rest_book: Final = msgspec.json.Decoder(_RestBook)


def _answer(value: Mapping[str, Any]) -> Message:
    """Frames that are not pushes (section 4). Raises Undecodable."""
    event, arg = value.get("event"), value.get("arg")
    request_id = str(value["id"])[:64] if "id" in value else None
    topic = None
    if isinstance(arg, dict) and isinstance(arg.get("channel"), str) and isinstance(arg.get("instId"), str):
        topic = topic_name(arg["channel"], arg["instId"])
    code = str(value.get("code", ""))[:20]
    if event in ("subscribe", "unsubscribe"):
        return Ack(request_id, topic, event == "subscribe")
    if event == "error":
        return Refusal(request_id, topic, code, str(value.get("msg", ""))[:200], code in FATAL)
    if event == "notice" and code == UPGRADE:
        return GoingAway(str(value.get("msg", ""))[:200] or UPGRADE)
    if event is not None:
        return Unused(f"event {str(event)[:40]}" + (f" of code {code}" if code else ""))
    if "op" in value:
        return Unused(f"request or answer of op {str(value['op'])[:40]}")
    if "table" in value:
        return Unused("frame of version 3")
    if ("code" in value and "data" in value) or not _REST_WORDS.isdisjoint(value):
        return Unused("answer of REST")
    raise Undecodable(f"{VENUE}: neither a push, an event nor an answer: {sorted(value)[:8]}")


class Okx(Venue):
    """OKX spot or swaps. `history` also reads book frames of before 2023, without sequence: for recordings only."""

    name = VENUE
    rest_url = "https://openapi.okx.com"
    ws_url = "wss://ws.okx.com:8443"
    limits = Limits(  # sections 2 and 5
        topics_per_connection=75,
        pairs_per_connection=25,  # the venue advises fewer than 30 books of 400 levels
        topics_per_request=50,
        request_bytes=65_536,
        requests_per_s=480 / 3600,  # 480 an hour for each connection; a request may carry many topics
        connects_per_s=3.0,
        rest_window_ms=2_000,
        rest_weight_per_minute=600,  # instruments: 20 in 2 s; everything else we ask has more
    )
    keepalive = Keepalive(text="ping", idle_ms=15_000, dead_ms=30_000)  # section 3
    sequence_comparable = True  # identical on every connection of a channel (section 5)

    def __init__(self, market: str, *, history: bool = False) -> None:
        self.market = market
        self._history = history

    def __repr__(self) -> str:
        return f"<Okx {self.market}{' with history' if self._history else ''}>"

    def socket_url(self, base: str, route: str, ticket: bytes | None = None) -> str:
        """All public channels are on one path."""
        return f"{base}/ws/v5/public"

    def book_channel(self, depth: str) -> BookChannel:
        """20, 50 and full are `books`: what lies between 1 and 400 levels is for VIPs. Raises ConfigError."""
        if depth not in _BOOKS:
            raise ConfigError(f"depth {depth!r}: expected one of {', '.join(_BOOKS)}")
        return _BOOKS[depth]

    def topics(self, instrument: Instrument, depth: str, channels: frozenset[str]) -> list[Topic]:
        """`bbo-tbt` serves the channel bbo and the book of depth bbo alike. Raises ConfigError."""
        book = "bbo-tbt" if self.book_channel(depth).depth == "bbo" else "books"
        wanted = {"book": book, "bbo": "bbo-tbt", "trades": "trades"}
        return [
            Topic(ROUTE, topic_name(channel, instrument.symbol), instrument.pair, feeds)
            for feeds, channel in wanted.items()
            if feeds in channels
        ]

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Section 4."""
        return _request("subscribe", topics, request_id)

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Section 4."""
        return _request("unsubscribe", topics, request_id)

    def decode(self, frame: str | bytes, received_us: int, instruments: Instruments) -> list[Message]:
        """Raises Undecodable, and nothing else."""
        try:
            text = frame if isinstance(frame, str) else str(frame, "utf-8")
            if text.startswith(_PUSH):
                channel = text[len(_PUSH) : text.index('"', len(_PUSH))]
                decoder = _DECODERS.get(channel)
                if decoder is not None:
                    try:
                        push = decoder.decode(text)
                    except msgspec.ValidationError:
                        return self._general(text, received_us, instruments)  # an answer that begins with `arg`
                    return self._push(push, received_us, instruments)
            elif text == "pong":
                return [Pong()]
            return self._general(text, received_us, instruments)
        except Undecodable:
            raise
        except (ValueError, RecursionError) as error:  # whatever JSON, UTF-8, types or decimals have to say
            raise Undecodable(f"{VENUE} {self.market}: {' '.join(str(error).split())[:200]}") from error

    def _general(self, text: str, received_us: int, instruments: Instruments) -> list[Message]:
        value = msgspec.json.decode(text)
        if isinstance(value, list):
            return [Unused("list: rows of an answer of REST")]
        if not isinstance(value, dict):
            raise Undecodable(f"{VENUE} {self.market}: expected a JSON object, got {type(value).__name__}")
        arg = value.get("arg")
        if "event" in value or not isinstance(arg, dict) or "data" not in value:
            return [_answer(value)]
        channel = str(arg.get("channel"))
        if channel not in _PAYLOADS:
            return [Unused(f"channel {channel[:40]}")]
        return self._push(msgspec.convert(value, _PAYLOADS[channel]), received_us, instruments)

    def _push(self, push: _Push[Any], received_us: int, instruments: Instruments) -> list[Message]:
        symbol, channel = push.arg.instId, push.arg.channel
        instrument = instruments.find(symbol)
        if instrument is None:
            return [Unused(f"symbol {symbol[:40]}: {instruments.refused.get(symbol, 'not among the instruments')}")]
        if channel == "trades":
            return [_trade(row, instrument, received_us) for row in push.data]
        if channel == "bbo-tbt":
            return [_bbo(row, instrument, received_us) for row in push.data]
        topic = topic_name(channel, symbol)
        return [self._book(row, push.action, topic, instrument, received_us) for row in push.data]

    def _book(self, row: _BookRow, action: str | None, topic: str, instrument: Instrument, received_us: int) -> Message:
        event: Snapshot | Delta
        if action == "snapshot":
            event = _snapshot(row, instrument, received_us)
        elif action == "update":
            event = _delta(row, instrument, received_us)
        else:
            raise Undecodable(f"{instrument.pair}: expected action snapshot or update, got {str(action)[:40]!r}")
        if event.sequence is None and not self._history:
            return Unused("book without seqId (before 2023)")
        return BookMessage(topic, event)

    def instruments_requests(self) -> list[RestRequest]:
        """Every instrument of the type in one answer."""
        return [RestRequest(f"/api/v5/public/instruments?instType={TYPES[self.market]}", 1)]

    def parse_instruments(self, bodies: Sequence[bytes]) -> Instruments:
        """Raises Undecodable when a body is no list of instruments."""
        return metadata.parse(self.market, bodies)

    def snapshot_request(self, instrument: Instrument, depth: str) -> RestRequest:
        """For cross-checks only: books start in band."""
        return RestRequest(f"/api/v5/market/books?instId={quote(instrument.symbol, safe='')}&sz=400", 1)

    def parse_snapshot(self, body: bytes, instrument: Instrument, received_us: int) -> Snapshot:
        """Raises Undecodable when the body is no book."""
        try:
            rows = _rest_book.decode(body).data
            if len(rows) != 1:
                raise Undecodable(f"{instrument.pair}: expected one book, got {len(rows)}")
            return _snapshot(rows[0], instrument, received_us)
        except Undecodable:
            raise
        except (ValueError, RecursionError) as error:
            raise Undecodable(f"{instrument.pair}: no book: {' '.join(str(error).split())[:200]}") from error


def _request(operation: str, topics: Sequence[Topic], request_id: int) -> str:
    names = dict.fromkeys(topic.name for topic in topics)  # one that feeds two things of a pair is named once
    args = [dict(zip(("channel", "instId"), name.split(":", 1), strict=True)) for name in names]
    return msgspec.json.encode({"id": str(request_id), "op": operation, "args": args}).decode()
