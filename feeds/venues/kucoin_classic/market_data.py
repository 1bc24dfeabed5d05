"""PURE. KuCoin market data by the Classic sockets, spot and linear perpetuals. Source: venue sheet `kucoin`, sections 2-6 and
10 (November 2026). The fallback for when Pro (package `kucoin`) is withdrawn; its book channels were announced to end in
July 2026 and were still served in September.

channel                           | shape                                          | becomes        | evidence
----------------------------------|------------------------------------------------|----------------|------------------------
spot `/market/level2`             | sequenceStart, sequenceEnd, rows with sequence | book delta     | cf202104, captured_2026
spot `/spotMarket/level2Depth50`  | full view, 100 ms; no sequence (also Depth5)   | book image     | cmp_samples
spot `/spotMarket/level1`         | flat [price, size] a side; no sequence         | best prices    | docs_jkorf_ws
spot `/market/ticker`             | bestBid ..., sequence; not subscribed          | best prices    | cf202104, tardis
spot `/market/match`              | time in ns as text                             | trade          | cf202104, cmp, tardis
futures `/contractMarket/level2`  | one level: `price,side,size`; sequence         | book delta     | captured_classic, cmp
futures `.../level2Depth5`, `50`  | full view, 100 ms; prices may be numbers       | book image     | captured_classic, cmp
futures `.../tickerV2`            | sizes are numbers; ts in ns                    | best prices    | cmp_samples, tardis
futures `.../execution`           | size, earlier price too, a number; ts in ns    | trade          | cmp_samples, tardis
`type` welcome                    | the first frame, with our connectId            | Welcome        | cf202104, captured
`type` ack, error                 | with the request's id                          | Ack, Refusal   | cf202104, captured
`type` pong                       | answer to our ping                             | Pong           | captured, tardis
any other topic, Pro frames, REST |                                                | Unused by name | *_samples, docs, gct

How a socket is opened (sections 2, 3): POST `/api/v1/bullet-public` before EVERY dial (an old token is refused with 401 for
ever), dial the endpoint that it names with the token, wait for the welcome. The client pings; data does not keep it alive.

How a book from deltas is built (sections 5.2, 5.3), spot full and all of futures but bbo:
 1. subscribe and keep what comes; 2. GET a snapshot (after the first delta: one from before is older than what is kept);
 3. deltas that end at or before its sequence are dropped; 4. the first one left starts at its sequence + 1 or before, else
 fetch again; 5. from then on each starts at the last sequence + 1 or before; anything else is a gap: from 2 again.
1-3 are the session's, 4 and 5 the rule CONTIGUOUS. Rows of a spot delta that straddles the snapshot are all applied, though
some are in the snapshot already: a message holds every change of its range, so its last word on a price is never older than
the snapshot's. A change at price 0 is a hidden order's: it counts as a sequence and changes nothing.

DIFFERENT on spot: the full snapshot is for signed requests; the public one has 100 levels a side, so that levels deeper than
that stay unknown until they change. Depths 20 and 50 are therefore images: a book of increments over 100 levels would have
holes inside its best 50 as soon as the price has moved. DIFFERENT for futures: sizes are lots, amounts here × multiplier.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote
from zlib import crc32

import msgspec

from books.events import Snapshot
from books.sequence import CONTIGUOUS, IMAGES
from feeds.venue import (
    Ack,
    BookChannel,
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
    Welcome,
)
from feeds.venues import kucoin_rest
from feeds.venues.kucoin_classic.payloads import (
    FUTURES_BEST,
    FUTURES_LEVEL2,
    FUTURES_TRADES,
    READERS,
    SPOT_BEST,
    SPOT_DEPTH50,
    SPOT_LEVEL2,
    SPOT_TRADES,
    Frame,
    Origin,
    Reader,
)
from feeds.venues.kucoin_rest import one_line
from fleet.errors import ConfigError

VENUE: Final = "kucoin_classic"
ROUTE: Final = "public"
PING: Final = '{"id":"ping","type":"ping"}'
# What a second attempt would meet again: bad, forbidden, unknown or missing topic, wrong command (section 4).
FATAL: Final = frozenset({"400", "403", "404", "406", "415"})
# The venue names the socket to dial with every token; these are where it was seen to point.
SOCKETS: Final = {"spot": "wss://ws-api-spot.kucoin.com", "futures": "wss://ws-api-futures.kucoin.com"}

_BEST: Final = BookChannel("bbo", IMAGES, Bootstrap.IMAGES, cadence="about 10 ms", evidence="full image")
_VIEW: Final = BookChannel("50", IMAGES, Bootstrap.IMAGES, cadence="100 ms", evidence="full image")
_SPOT_DELTAS: Final = BookChannel(
    "full",
    CONTIGUOUS,
    Bootstrap.REST,
    shortfall="public snapshots end at 100 levels a side; levels beyond stay unknown until they change",
    cadence="real time",
    evidence="sequenceStart = last sequenceEnd + 1",
)
_FUTURES_DELTAS: Final = BookChannel(
    "1000", CONTIGUOUS, Bootstrap.REST, cadence="real time", evidence="sequence = last sequence + 1"
)
_BOOKS: Final[dict[str, dict[str, tuple[BookChannel, str]]]] = {  # market → depth → channel, topic
    "spot": {
        "bbo": (_BEST, SPOT_BEST),
        "20": (_VIEW, SPOT_DEPTH50),
        "50": (_VIEW, SPOT_DEPTH50),
        "full": (_SPOT_DELTAS, SPOT_LEVEL2),
    },
    "futures": {
        "bbo": (msgspec.structs.replace(_BEST, cadence="real time"), FUTURES_BEST),
        "20": (_FUTURES_DELTAS, FUTURES_LEVEL2),
        "50": (_FUTURES_DELTAS, FUTURES_LEVEL2),
        "full": (
            msgspec.structs.replace(
                _FUTURES_DELTAS,
                shortfall="snapshots end near 1000 levels a side; levels beyond appear when they change",
            ),
            FUTURES_LEVEL2,
        ),
    },
}
_CHANNELS: Final = {"spot": (SPOT_BEST, SPOT_TRADES), "futures": (FUTURES_BEST, FUTURES_TRADES)}  # bbo, trades
_HEADS: Final = ('{"topic":"', '{"type":"message","topic":"')  # how frames begin; both orders are seen


class _Server(msgspec.Struct):
    endpoint: str


class _Grant(msgspec.Struct, rename={"servers": "instanceServers"}):
    token: str
    servers: list[_Server]


class _Ticket(msgspec.Struct):
    code: str
    data: _Grant | None = None
    msg: str = ""


_ticket: Final = msgspec.json.Decoder(_Ticket)


def _answer(value: Mapping[str, Any]) -> Message:
    """Frames that are not market data (sections 3, 4). Raises Undecodable."""
    kind = value.get("type")
    request_id = str(value["id"])[:64] if "id" in value else None
    if kind == "ack":
        return Ack(request_id, None, None)
    if kind == "pong":
        return Pong()
    if kind == "welcome":
        return Welcome()
    if kind == "error":
        code = str(value.get("code", ""))[:20]
        return Refusal(request_id, None, code, str(value.get("data", ""))[:200], code in FATAL)
    if kind in ("ping", "subscribe", "unsubscribe") or "action" in value:
        return Unused("a request, not an answer")
    if "T" in value:
        return Unused(f"Pro frame of channel {str(value['T'])[:40]}")
    if "sessionId" in value or "result" in value or "op" in value:
        return Unused("Pro answer")
    if "code" in value or "success" in value:
        return Unused("answer of REST")
    if "data" in value and "userId" in value:
        return Unused("account frame")
    raise Undecodable(f"{VENUE}: neither market data nor an answer: {sorted(value)[:8]}")


class KucoinClassic(Venue):
    """KuCoin spot or linear perpetuals by the Classic sockets."""

    name = VENUE
    limits = Limits(  # section 2: sources conflict, the smaller numbers count
        topics_per_connection=300,
        pairs_per_connection=50,
        topics_per_request=100,  # of one channel
        request_bytes=4096,
        requests_per_s=5.0,  # 100 in 10 s for each connection, pings count
        connects_per_s=0.2,  # 30 a minute, for both markets
        rest_weight_per_minute=kucoin_rest.REST_WEIGHT_PER_MINUTE,
        rest_window_ms=kucoin_rest.REST_WINDOW_MS,
    )
    # Section 3: the server counts our texts and closes after 60 s without one, whatever it sends itself. Every 5 s, since a
    # connection is only proved alive by what it says and quiet pairs say nothing; no probe is needed beside it.
    keepalive = Keepalive(text=PING, idle_ms=5_000, dead_ms=20_000, every_ms=5_000, probe=False)
    sequence_comparable = True  # one numbering per symbol, on every socket and in REST (section 5)
    traits = Traits(greets=True)

    def __init__(self, market: str) -> None:
        self.market = market
        self.rest_url = kucoin_rest.REST_URLS[market]
        self.ws_url = SOCKETS[market]
        self._readers = READERS[market]
        self._prefixed = {f"{head}{channel}:": each for head in _HEADS for channel, each in self._readers.items()}

    def __repr__(self) -> str:
        return f"<KucoinClassic {self.market}>"

    def ticket_request(self, route: str) -> RestRequest:
        """A token for one dial."""
        return RestRequest("/api/v1/bullet-public", 10, "{}")

    def socket_url(self, base: str, route: str, ticket: bytes | None = None) -> str:
        """The endpoint that came with the token, not `base` (section 2). Raises Undecodable for a body without them."""
        try:
            answer = _ticket.decode(ticket or b"")
        except (ValueError, RecursionError) as error:
            raise Undecodable(f"{VENUE} {self.market}: no token: {one_line(error)}") from error
        if answer.code != kucoin_rest.SUCCESS or answer.data is None or not answer.data.servers:
            raise Undecodable(f"{VENUE} {self.market}: no token: code {answer.code[:20]} {answer.msg[:100]}".rstrip())
        token, endpoint = answer.data.token, answer.data.servers[0].endpoint
        if not token or not endpoint.startswith(("wss://", "ws://")):
            raise Undecodable(f"{VENUE} {self.market}: no token, or an endpoint that is no socket: {endpoint[:100]!r}")
        joint = "&" if "?" in endpoint else "?"
        return f"{endpoint}{joint}token={quote(token, safe='')}&connectId={crc32(token.encode()):08x}"

    def book_channel(self, depth: str) -> BookChannel:
        """Raises ConfigError."""
        return self._book(depth)[0]

    def _book(self, depth: str) -> tuple[BookChannel, str]:
        books = _BOOKS[self.market]
        if depth not in books:
            raise ConfigError(f"depth {depth!r}: expected one of {', '.join(books)}")
        return books[depth]

    def topics(self, instrument: Instrument, depth: str, channels: frozenset[str]) -> list[Topic]:
        """The channel of best prices serves `bbo` and the book of depth bbo alike. Raises ConfigError."""
        best, trades = _CHANNELS[self.market]
        wanted = {"book": self._book(depth)[1], "bbo": best, "trades": trades}
        return [
            Topic(ROUTE, f"{channel}:{instrument.symbol}", instrument.pair, feeds, kind=channel)
            for feeds, channel in wanted.items()
            if feeds in channels
        ]

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Section 4. All topics are of one kind, which is their channel."""
        return _request("subscribe", topics, request_id)

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Section 4."""
        return _request("unsubscribe", topics, request_id)

    def decode(self, frame: str | bytes, received_us: int, instruments: Instruments) -> list[Message]:
        """Raises Undecodable, and nothing else."""
        try:
            text = frame if isinstance(frame, str) else str(frame, "utf-8")
            for head in _HEADS:
                if text.startswith(head):
                    reader = self._prefixed.get(text[: text.find(":", len(head)) + 1])
                    if reader is not None:
                        return [_read(reader, reader.decoder.decode(text), received_us, instruments)]
            return [self._general(text, received_us, instruments)]
        except Undecodable:
            raise
        except (ValueError, RecursionError) as error:  # whatever JSON, UTF-8, types or decimals have to say
            raise Undecodable(f"{VENUE} {self.market}: {one_line(error)}") from error

    def _general(self, text: str, received_us: int, instruments: Instruments) -> Message:
        """Every other order of keys, and whatever is no market data."""
        value = msgspec.json.decode(text)
        if isinstance(value, list):
            return Unused("list: rows of an answer of REST")
        if not isinstance(value, dict):
            raise Undecodable(f"{VENUE} {self.market}: expected a JSON object, got {type(value).__name__}")
        topic = value.get("topic")
        if not isinstance(topic, str) or value.get("type", "message") != "message":
            return _answer(value)
        channel = topic.partition(":")[0]
        reader = self._readers.get(channel)
        if reader is None:
            return Unused(f"topic {channel[:40]}")
        return _read(reader, reader.decoder.decode(text), received_us, instruments)

    def instruments_requests(self) -> list[RestRequest]:
        """Everything in one answer."""
        return [kucoin_rest.instruments_request(self.market)]

    def parse_instruments(self, bodies: Sequence[bytes]) -> Instruments:
        """Raises Undecodable when a body is no list of instruments."""
        return kucoin_rest.parse_instruments(VENUE, self.market, bodies)

    def snapshot_request(self, instrument: Instrument, depth: str) -> RestRequest:
        """The deepest snapshot that needs no signature."""
        return kucoin_rest.book_request(self.market, instrument)

    def parse_snapshot(self, body: bytes, instrument: Instrument, received_us: int) -> Snapshot:
        """Raises Undecodable when the body is no book."""
        return kucoin_rest.parse_book(self.market, body, instrument, received_us)


def _read(reader: Reader[Any], frame: Frame[Any], received_us: int, instruments: Instruments) -> Message:
    """The symbol stands in the topic, but for the channel of all tickers, where it is the subject."""
    symbol = frame.topic.partition(":")[2]
    if symbol == "all":
        symbol = frame.subject
    instrument = instruments.find(symbol)
    if instrument is None:
        return Unused(f"symbol {symbol[:40]}: {instruments.refused.get(symbol, 'not among the instruments')}")
    return reader.make(frame.data, Origin(frame.topic, frame.subject, instrument, received_us))


def _request(kind: str, topics: Sequence[Topic], request_id: int) -> str:
    (channel,) = {topic.kind for topic in topics}  # topics of different kinds never share a request
    symbols = dict.fromkeys(topic.name.partition(":")[2] for topic in topics)
    request = {"id": str(request_id), "type": kind, "topic": f"{channel}:{','.join(symbols)}"}
    return msgspec.json.encode({**request, "privateChannel": False, "response": True}).decode()
