"""PURE. Hyperliquid market data: perpetuals and spot. Source: venue sheet `hyperliquid`, sections 1-6 (November 2026).

channel or frame                  | shape                                          | becomes         | evidence
----------------------------------|------------------------------------------------|-----------------|--------------------------
`l2Book`                          | coin, time, levels [bids, asks] of px, sz, n   | image           | BTC_20250126, tardis, docs
`l2Book` with `fast`              | the same, 5 levels: never subscribed           | Unused          | sheet, section 5
`bbo`                             | coin, time, [bid or null, ask or null]         | best prices     | tardis, docs_jkorf_ws
`trades`                          | list: px, sz, time, tid, side A(sk) or B(id)   | trades          | BTC_20250126, tardis
`subscriptionResponse`            | method, the subscription with its defaults     | Ack by topic    | docs_jkorf_ws
`error`                           | words, with the subscription or frame echoed   | Refusal         | sheet, section 4; (1)
`pong`                            | no data                                        | Pong            | sheet, section 3
any other channel, answer of REST |                                                | Unused by name  | docs, nautilus, tardis
"Websocket connection established."| plain text of older deployments               | Unused          | sheet, section 3
REST `l2Book`                     | as the channel; `null`: no such coin           | snapshot        | docs, nautilus

(1) "Cannot subscribe to more than 1000 channels." and "Cannot send more than 2000 messages per minute." are not in the sheet
    but in github.com/nktkas/hyperliquid issue 78; they name no topic.

How a book is built (section 5): every frame of `l2Book` is a whole book and replaces the one before. There are no deltas, no
numbers and no checksum. Nothing proves that no frame was lost, and nothing needs to: a lost one costs freshness only, the
next is complete. `time`, the block's, is the sequence of the rule IMAGES: it never goes back (a block chain does not), so an
older image is not taken, and after a resync the next image is the book.

What the depths are:

    bbo             `bbo`: per block when it changed, 5-8 a second on BTC. The freshest that the venue has
    20, 50, full    `l2Book`: 20 levels, about every 5 s. 50 and full: the venue has no more (`shortfall`)

The sheet recommends 5 levels every 0.5 s (`fast`) merged with `bbo` for a live book. Not done, for two reasons: a pair's book
comes from one topic, and the two flavours of one coin cannot be told apart on one socket, so 20 levels with a fresh top would
be a book of three sources of which none says how they stand to one another. Who wants the top fresh wants the channel `bbo`
beside the book, or the depth bbo.

`sequence_comparable` is False. The block time is the same on every node, and equal times would be equal books; but nothing
says that two sockets show the same blocks (each is on the push clock of its server), so a difference between two images of
one socket does not follow what another socket showed. A handover publishes one whole image of 20 levels.

A trade's id is `tid`, a hash of 50 bits; unique with `time` and coin. Two trades of a coin with one tid are as likely as
n²/2^51 of n trades: 10^-7 among the 15,000 of a busy quarter of an hour. Plain, it is what the account's own fills show.

One host, and one count for each of its limits, serves both markets: what belongs to an address is halved between them.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

import msgspec

from books.decimals import SPELLINGS, canonical
from books.events import Bbo, Snapshot, SnapshotReason, Trade
from books.sequence import IMAGES
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
from feeds.venues.hyperliquid import metadata
from feeds.venues.hyperliquid.answers import answer, topic_name
from feeds.venues.hyperliquid.metadata import VENUE
from fleet.errors import ConfigError

ROUTE: Final = "public"
PING: Final = '{"method":"ping"}'
GREETING: Final = "Websocket connection established."

_LEVELS: Final = BookChannel(
    "20",
    IMAGES,
    Bootstrap.IMAGES,
    speaks_every_ms=5_600,
    cadence="5.0-5.6 s",
    evidence="none, none needed: each message is the whole book",
)
_SHORT: Final = msgspec.structs.replace(_LEVELS, shortfall="Hyperliquid gives 20 levels a side, about every 5 s")
_BOOKS: Final = {
    "bbo": BookChannel("bbo", IMAGES, Bootstrap.IMAGES, cadence="70 ms, when it changed", evidence=_LEVELS.evidence),
    "20": _LEVELS,
    "50": _SHORT,
    "full": _SHORT,
}

_Millis = Annotated[int, msgspec.Meta(ge=0, le=10**15)]
_Row = TypeVar("_Row")


class _Level(msgspec.Struct, gc=False):
    px: str
    sz: str


class _Book(msgspec.Struct, gc=False):
    coin: str
    time: _Millis
    levels: tuple[list[_Level], list[_Level]]
    fast: bool = False


class _Best(msgspec.Struct, gc=False):
    coin: str
    time: _Millis
    bbo: Annotated[list[_Level | None], msgspec.Meta(min_length=1, max_length=2)]


class _Trade(msgspec.Struct, gc=False):
    coin: str
    side: Literal["A", "B"]
    px: str
    sz: str
    time: _Millis
    tid: Annotated[int, msgspec.Meta(ge=0)]


class _Push(msgspec.Struct, Generic[_Row], gc=False):
    channel: str
    data: _Row


def _levels(rows: list[_Level]) -> dict[str, str]:
    """Both canonical; a level of nothing is no level."""
    spelled = SPELLINGS
    levels = {spelled[row.px]: spelled[row.sz] for row in rows}
    return {price: amount for price, amount in levels.items() if amount != "0"} if "0" in levels.values() else levels


def _snapshot(book: _Book, instrument: Instrument, received_us: int) -> Snapshot:
    return Snapshot(
        pair=instrument.pair,
        received_us=received_us,
        venue_ms=book.time,
        bids=_levels(book.levels[0]),
        asks=_levels(book.levels[1]),
        reason=SnapshotReason.FIRST,
        sequence=book.time,
    )


def _book(book: _Book, instruments: Instruments, received_us: int) -> list[Message]:
    if book.fast:
        return [Unused("l2Book of 5 levels (fast): another book than the one of 20")]
    instrument = instruments.find(book.coin)
    if instrument is None:
        return [_unknown(book.coin, instruments)]
    return [BookMessage(topic_name("l2Book", book.coin), Image(_snapshot(book, instrument, received_us)))]


def _side(level: _Level | None) -> tuple[str, str]:
    """Price and amount, both empty where the side is."""
    if level is None or (amount := SPELLINGS[level.sz]) == "0":
        return "", ""
    return canonical(level.px), amount


def _bbo(best: _Best, instruments: Instruments, received_us: int) -> list[Message]:
    instrument = instruments.find(best.coin)
    if instrument is None:
        return [_unknown(best.coin, instruments)]
    bid, bid_amount = _side(best.bbo[0])
    ask, ask_amount = _side(best.bbo[1] if len(best.bbo) > 1 else None)
    return [
        Bbo(
            pair=instrument.pair,
            received_us=received_us,
            venue_ms=best.time,
            bid=bid,
            bid_amount=bid_amount,
            ask=ask,
            ask_amount=ask_amount,
            sequence=best.time,
        )
    ]


def _trades(rows: list[_Trade], instruments: Instruments, received_us: int) -> list[Message]:
    messages: list[Message] = []
    for row in rows:
        instrument = instruments.find(row.coin)
        if instrument is None:
            messages.append(_unknown(row.coin, instruments))
            continue
        messages.append(
            Trade(
                pair=instrument.pair,
                received_us=received_us,
                venue_ms=row.time,
                price=canonical(row.px),
                amount=canonical(row.sz),
                side="buy" if row.side == "B" else "sell",
                trade_id=str(row.tid),
            )
        )
    return messages or [Unused("trades: none")]


def _unknown(coin: str, instruments: Instruments) -> Unused:
    return Unused(f"coin {coin[:40]}: {instruments.refused.get(coin, 'not among the instruments')}")


_READERS: Final[dict[str, tuple[Any, Any]]] = {
    "l2Book": (_Push[_Book], _book),
    "bbo": (_Push[_Best], _bbo),
    "trades": (_Push[list[_Trade]], _trades),
}
_DECODERS: Final = {channel: (msgspec.json.Decoder(kind), read) for channel, (kind, read) in _READERS.items()}
_PUSH: Final = '{"channel":"'
_rest_book: Final = msgspec.json.Decoder(_Book)


class Hyperliquid(Venue):
    """Perpetuals (`futures`) or spot."""

    name = VENUE
    rest_url = "https://api.hyperliquid.xyz"
    ws_url = "wss://api.hyperliquid.xyz"
    # Section 2. For one address: 10 sockets, 30 new ones a minute, 1,000 subscriptions and 2,000 messages a minute over all
    # sockets, a REST weight of 1,200 a minute. Ten full sockets of 3 requests a second send 1,800, and 120 pings.
    limits = Limits(
        topics_per_connection=100,
        pairs_per_connection=100,
        topics_per_request=1,
        request_bytes=4_096,  # none is published; a request names one topic
        requests_per_s=3.0,
        connects_per_s=0.25,
        rest_weight_per_minute=600,
    )
    # Section 3: the server closes a socket to which it has sent nothing for 60 s; a pong counts.
    keepalive = Keepalive(text=PING, idle_ms=30_000, dead_ms=60_000)
    sequence_comparable = False
    traits = Traits(unknown_closes=True, repeats_trades=True)

    def __init__(self, market: str) -> None:
        self.market = market

    def __repr__(self) -> str:
        return f"<Hyperliquid {self.market}>"

    def socket_url(self, base: str, route: str, ticket: bytes | None = None) -> str:
        """One path for everything."""
        return f"{base}/ws"

    def book_channel(self, depth: str) -> BookChannel:
        """20, 50 and full are the 20 levels that there are. Raises ConfigError."""
        if depth not in _BOOKS:
            raise ConfigError(f"depth {depth!r}: expected one of {', '.join(_BOOKS)}")
        return _BOOKS[depth]

    def topics(self, instrument: Instrument, depth: str, channels: frozenset[str]) -> list[Topic]:
        """`bbo` serves the channel bbo and the book of depth bbo alike. Raises ConfigError."""
        book = "bbo" if self.book_channel(depth).depth == "bbo" else "l2Book"
        wanted = {"book": book, "bbo": "bbo", "trades": "trades"}
        return [
            Topic(ROUTE, topic_name(kind, instrument.symbol), instrument.pair, feeds)
            for feeds, kind in wanted.items()
            if feeds in channels
        ]

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Section 4: requests have no id, an answer names its topic."""
        return _request("subscribe", topics)

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Section 4."""
        return _request("unsubscribe", topics)

    def decode(self, frame: str | bytes, received_us: int, instruments: Instruments) -> list[Message]:
        """Raises Undecodable, and nothing else."""
        try:
            text = frame if isinstance(frame, str) else str(frame, "utf-8")
            if text.startswith(_PUSH):
                known = _DECODERS.get(text[len(_PUSH) : text.index('"', len(_PUSH))])
                if known is not None:
                    decoder, read = known
                    messages: list[Message] = read(decoder.decode(text).data, instruments, received_us)
                    return messages
            elif text == GREETING:
                return [Unused("greeting of an older deployment")]
            return self._general(msgspec.json.decode(text), received_us, instruments)
        except Undecodable:
            raise
        except (ValueError, RecursionError) as error:  # whatever JSON, UTF-8, types or decimals have to say
            raise Undecodable(f"{VENUE} {self.market}: {' '.join(str(error).split())[:200]}") from error

    def _general(self, value: object, received_us: int, instruments: Instruments) -> list[Message]:
        if isinstance(value, list):
            return [Unused("list: rows of an answer of REST")]
        if not isinstance(value, dict):
            raise Undecodable(f"{VENUE} {self.market}: expected a JSON object, got {type(value).__name__}")
        channel = value.get("channel")
        if isinstance(channel, str) and channel in _READERS:
            kind, read = _READERS[channel]
            messages: list[Message] = read(msgspec.convert(value, kind).data, instruments, received_us)
            return messages
        return [answer(value)]

    def instruments_requests(self) -> list[RestRequest]:
        """Section 1. Perpetuals of every dex at once, and the tokens, among which are their collaterals."""
        spot = _info({"type": "spotMeta"}, 20)
        return [spot] if self.market == "spot" else [_info({"type": "allPerpMetas"}, 20), spot]

    def parse_instruments(self, bodies: Sequence[bytes]) -> Instruments:
        """Raises Undecodable when a body is no metadata."""
        return metadata.parse(self.market, bodies)

    def snapshot_request(self, instrument: Instrument, depth: str) -> RestRequest:
        """For cross-checks only: every message is a whole book."""
        return _info({"type": "l2Book", "coin": instrument.symbol}, 2)

    def parse_snapshot(self, body: bytes, instrument: Instrument, received_us: int) -> Snapshot:
        """Raises Undecodable when the body is no book; `null` is the answer for an unknown coin."""
        try:
            book = _rest_book.decode(body)
            if book.coin != instrument.symbol:
                raise Undecodable(f"{instrument.pair}: expected the book of {instrument.symbol}, got {book.coin[:40]}")
            return _snapshot(book, instrument, received_us)
        except Undecodable:
            raise
        except (ValueError, RecursionError) as error:
            raise Undecodable(f"{instrument.pair}: no book: {' '.join(str(error).split())[:200]}") from error


def _request(method: str, topics: Sequence[Topic]) -> str:
    """Raises ValueError for anything but one topic: the venue refuses lists."""
    (name,) = {topic.name for topic in topics}
    kind, _, coin = name.partition(":")
    return msgspec.json.encode({"method": method, "subscription": {"type": kind, "coin": coin}}).decode()


def _info(question: Mapping[str, str], weight: int) -> RestRequest:
    """A question to POST /info."""
    return RestRequest("/info", weight, msgspec.json.encode(question).decode())
