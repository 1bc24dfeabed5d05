"""PURE. CoinEx market data: spot and linear perpetuals, API v2. Source: venue sheet `coinex`, sections 1-6 and 10.

frame                             | shape                                           | becomes         | evidence
----------------------------------|-------------------------------------------------|-----------------|--------------------
`depth.update`, `is_full` true    | at most N levels a side, checksum after them    | snapshot        | captured_202609
`depth.update`, `is_full` false   | levels that changed; a side may be absent       | delta           | sheet, section 5.2
`bbo.update`                      | best prices and sizes                           | best prices     | docs_jkorf_ws
`deals.update`                    | trades, newest first                            | trades, turned  | docs_jkorf_ws
`id`, `code` 0                    | names nothing but the request                   | Ack by id       | captured_202609
`id`, `code` 0, result `pong`     | the answer to our keepalive                     | Pong            | captured_202609
`id`, `code` not 0                |                                                 | Refusal by id   | captured_202609
any other push, request, answer   | of version 1 too                                | Unused by name  | docs_jkorf_ws
REST `/X/depth`                   | `data`: as a push                               | snapshot        | docs_jkorf_rest
REST `/X/market`                  | `data`: a list                                  | instruments     | docs_jkorf_rest

Frames are gzip (`frames`); RFC pings are not answered by the venue, its keepalive is a request. A push does not say which N
it was subscribed with: the topic of a market's book has one name for all N, and the socket has one of them.

How a book is built (section 5.4):
 1. subscribe; what comes before an image is ignored;
 2. an image replaces the book, at the start and every minute;
 3. a delta is applied as it comes: the venue has no numbers, so nothing follows or skips;
 4. after every message the CRC32 of the best N levels must be the venue's (`checksum`); if not, a message was lost:
    unsubscribe, wait for the acknowledgement, subscribe.
3 is what `books.sequence` makes of messages without a sequence under any rule (the one named is never asked); 4 is the
channel's Proof. REST and socket books cannot be aligned; REST is for comparison only.
DIFFERENT between markets: nothing on the wire but the path; the ids are the same, and the maps are by market.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import msgspec

from books.events import Snapshot
from books.sequence import IMAGES
from feeds.venue import (
    Ack,
    BookChannel,
    BookMessage,
    Bootstrap,
    Instrument,
    Instruments,
    Keepalive,
    Limits,
    Message,
    Pong,
    Refusal,
    RestRequest,
    Topic,
    Traits,
    Undecodable,
    Unused,
    Venue,
)
from feeds.venues.coinex import metadata
from feeds.venues.coinex.checksum import Checksum
from feeds.venues.coinex.frames import text_of
from feeds.venues.coinex.metadata import CHECKS, VENUE
from feeds.venues.coinex.payloads import (
    DECODERS,
    PAYLOADS,
    Best,
    Book,
    Push,
    bbo_of,
    book_data,
    delta_of,
    evidence_of,
    rest_book,
    snapshot_of,
    trade_of,
)
from fleet.errors import ConfigError

ROUTE: Final = "public"
PING_ID: Final = 2_000_000_000  # no request of a session comes near it
# Asking again would be refused again: arguments, method, sign-in (section 4). 30002 is what the venue really says to an unknown
# method (recorded 2026-09), where its documentation has 20002.
FATAL: Final = frozenset({20001, 20002, 21001, 21002, 30002})

_METHOD: Final = '{"method":"'
# depth → levels a side, of the channel or of the answer of REST that serves it
_SIZES: Final = {"bbo": 5, "20": 20, "50": 50, "full": 50}


class DepthTopic(Topic, frozen=True):
    """The book of a market with so many levels a side: `levels` stands in the request, not in what comes."""

    levels: int = 50


def topic_name(kind: str, symbol: str) -> str:
    """A topic is a method of one market: `depth:BTCUSDT`."""
    return f"{kind}:{symbol}"


def _answer(value: Mapping[str, Any]) -> Message:
    """Frames that are no pushes of ours (section 4). Raises Undecodable."""
    method, id_, code = value.get("method"), value.get("id"), value.get("code")
    if isinstance(method, str):
        old = isinstance(value.get("params"), list) and method.endswith(".update")
        what = "push of version 1" if old else "request" if "params" in value else "channel"
        return Unused(f"{what}: {method[:40]}")
    if type(code) is int:  # a bool is none
        if "id" not in value:
            return Unused("answer of REST")
        request_id = str(id_)[:64] if isinstance(id_, int | str) else None
        if code != 0:
            return Refusal(request_id, None, str(code)[:20], str(value.get("message", ""))[:200], code in FATAL)
        data = value.get("data")
        if id_ == PING_ID or data == {"result": "pong"}:
            return Pong()
        return Unused("answer that carries data") if data else Ack(request_id, None, None)
    if "error" in value and "result" in value:
        return Unused("answer of version 1")
    raise Undecodable(f"neither a push nor an answer: {sorted(value)[:8]}")


class CoinEx(Venue):
    """CoinEx spot or futures."""

    name = VENUE
    rest_url = "https://api.coinex.com"
    ws_url = "wss://socket.coinex.com"
    limits = Limits(  # section 2: next to nothing is published; these keep well inside of what was seen to work
        topics_per_connection=300,  # three kinds
        pairs_per_connection=100,
        topics_per_request=100,  # a request names everything of its kind
        request_bytes=16_384,
        requests_per_s=8.0,  # advised: 10, keepalives among them
        connects_per_s=2.0,
        rest_weight_per_minute=12_000,  # 400 a second, of both markets together
        rest_window_ms=1_000,
    )
    # Section 3. The venue hears no RFC pings, and ends a socket that has said nothing for a minute.
    keepalive = Keepalive(
        text=f'{{"method":"server.ping","params":{{}},"id":{PING_ID}}}',
        idle_ms=10_000,
        dead_ms=20_000,
        every_ms=10_000,
    )
    sequence_comparable = False  # there is none
    traits = Traits(
        replaces=True,
        repeats_trades=True,
        off_because=(
            "the venue announced its orderly cessation: futures ended on 2026-09-22 and spot trading on 2026-09-29, "
            "by one source that quotes its notice"
        ),
    )

    def __init__(self, market: str) -> None:
        self.market = market
        self._books = {
            "bbo": BookChannel(
                "bbo", IMAGES, Bootstrap.IMAGES, cadence="at every change", evidence="none: every message is whole"
            ),
            "20": _channel(20),
            "50": _channel(50),
            "full": msgspec.structs.replace(_channel(50), shortfall="CoinEx gives 50 levels a side, no more"),
        }

    def __repr__(self) -> str:
        return f"<CoinEx {self.market}>"

    def socket_url(self, base: str, route: str, ticket: bytes | None = None) -> str:
        """The path tells the markets apart; the ids do not."""
        return f"{base}/v2/{self.market}"

    def book_channel(self, depth: str) -> BookChannel:
        """Raises ConfigError."""
        if depth not in self._books:
            raise ConfigError(f"depth {depth!r}: expected one of {', '.join(self._books)}")
        return self._books[depth]

    def topics(self, instrument: Instrument, depth: str, channels: frozenset[str]) -> list[Topic]:
        """`bbo` serves the channel bbo and the book of depth bbo alike. Raises ConfigError."""
        pair, symbol = instrument.pair, instrument.symbol
        best = topic_name("bbo", symbol)
        wanted: dict[str, Topic] = {
            "book": Topic(ROUTE, best, pair, "book", "bbo")
            if self.book_channel(depth).depth == "bbo"
            else DepthTopic(ROUTE, topic_name("depth", symbol), pair, "book", "depth", _SIZES[depth]),
            "bbo": Topic(ROUTE, best, pair, "bbo", "bbo"),
            "trades": Topic(ROUTE, topic_name("deals", symbol), pair, "trades", "deals"),
        }
        return [topic for feeds, topic in wanted.items() if feeds in channels]

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Section 4. Topics are of one kind. Merge `0`: raw prices; false: deltas between images."""
        entries: dict[str, Any] = {}
        for topic in topics:
            symbol = topic.name.partition(":")[2]
            entries[symbol] = [symbol, topic.levels, "0", False] if isinstance(topic, DepthTopic) else symbol
        return _request(f"{topics[0].kind}.subscribe", list(entries.values()), request_id)

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Section 4: names alone, of books too."""
        names = dict.fromkeys(topic.name.partition(":")[2] for topic in topics)
        return _request(f"{topics[0].kind}.unsubscribe", list(names), request_id)

    def decode(self, frame: str | bytes, received_us: int, instruments: Instruments) -> list[Message]:
        """Raises Undecodable, and nothing else."""
        try:
            text = text_of(frame)
            if text.startswith(_METHOD):
                decoder = DECODERS.get(text[len(_METHOD) : text.index('"', len(_METHOD))])
                if decoder is not None:
                    try:
                        push = decoder.decode(text)
                    except msgspec.ValidationError:
                        return self._general(text, received_us, instruments)  # of version 1, perhaps
                    return self._push(push, received_us, instruments)
            return self._general(text, received_us, instruments)
        except (ValueError, RecursionError) as error:  # Undecodable is one; so is what JSON, types and decimals say
            raise Undecodable(f"{VENUE} {self.market}: {' '.join(str(error).split())[:200]}") from error

    def _general(self, text: str, received_us: int, instruments: Instruments) -> list[Message]:
        value = msgspec.json.decode(text)
        if not isinstance(value, dict):
            raise Undecodable(f"expected a JSON object, got {type(value).__name__}")
        method = value.get("method")
        payload = PAYLOADS.get(method) if isinstance(method, str) and "params" not in value else None
        if payload is None:
            return [_answer(value)]
        return self._push(msgspec.convert(value, payload), received_us, instruments)

    def _push(self, push: Push, received_us: int, instruments: Instruments) -> list[Message]:
        data = push.data
        instrument = instruments.find(data.market)
        if instrument is None:
            reason = instruments.refused.get(data.market, "not among the instruments")
            return [Unused(f"symbol {data.market[:40]}: {reason}")]
        if isinstance(data, Book):
            event = (snapshot_of if data.is_full else delta_of)(data, instrument, received_us)
            return [BookMessage(topic_name("depth", data.market), event, evidence_of(data))]
        if isinstance(data, Best):
            return [bbo_of(data, instrument, received_us)]
        return [trade_of(deal, instrument, received_us) for deal in reversed(data.deal_list)]

    def instruments_requests(self) -> list[RestRequest]:
        """Whether the venue is open, and every market in one answer."""
        return [RestRequest(path, 1) for path in (*CHECKS, f"/v2/{self.market}/market")]

    def parse_instruments(self, bodies: Sequence[bytes]) -> Instruments:
        """Raises Undecodable when the venue is not open, or a body is not what it must be."""
        return metadata.parse(self.market, bodies)

    def snapshot_request(self, instrument: Instrument, depth: str) -> RestRequest:
        """For comparison only: books start in band."""
        symbol = quote(instrument.symbol, safe="")
        return RestRequest(f"/v2/{self.market}/depth?market={symbol}&limit={_SIZES[depth]}&interval=0", 1)

    def parse_snapshot(self, body: bytes, instrument: Instrument, received_us: int) -> Snapshot:
        """Raises Undecodable when the body is no book."""
        try:
            answer = rest_book.decode(body)
            if answer.code != 0:
                raise Undecodable(f"the venue answered with code {answer.code}: {answer.message[:100]}")
            book = book_data.decode(answer.data)
            if book.market != instrument.symbol:
                raise Undecodable(f"expected the book of {instrument.symbol}, got that of {book.market[:40]}")
            return snapshot_of(book, instrument, received_us)
        except (ValueError, RecursionError) as error:
            raise Undecodable(f"{instrument.pair}: no book: {' '.join(str(error).split())[:200]}") from error


def _channel(levels: int) -> BookChannel:
    return BookChannel(
        str(levels),
        IMAGES,
        Bootstrap.IN_BAND,
        proof=partial(Checksum, levels),
        speaks_every_ms=60_000,  # a full image a minute
        cadence="200 ms",
        evidence=f"CRC32 of {levels} levels a side",
    )


def _request(method: str, markets: list[Any], request_id: int) -> str:
    return msgspec.json.encode({"method": method, "params": {"market_list": markets}, "id": request_id}).decode()
