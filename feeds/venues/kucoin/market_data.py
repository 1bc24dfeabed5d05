"""PURE. KuCoin market data by the Pro sockets, spot and linear perpetuals. Source: venue sheet `kucoin`, sections 0-6 and 10
(November 2026). Frames are BINARY on the wire and hold UTF-8 JSON.

channel or frame                    | shape                                           | becomes          | evidence
------------------------------------|-------------------------------------------------|------------------|-----------------------
`obu` depth `increment@10ms`        | t snapshot/delta; d: a, b, s, O, C, M (ns)      | snapshot, delta  | captured_uta_202609
`obu` depth `1`                     | t snapshot, at most one level a side            | best prices      | sheet, section 5.1
`obu` depth `5`, `50`               | t snapshot, every 100 ms, never subscribed      | book image       | ccxt, docs_jkorf_ws
`obu` depth `increment`             | deltas without a snapshot, ends 2026-07         | Unused           | captured_uta_202609
`trade`                             | p, q, S of the taker, ti, M (ns)                | trade            | docs_jkorf_ws
`message` welcome                   | the first frame, with a sessionId               | Welcome          | captured_uta_202609
`type` pong                         | answer to our ping                              | Pong             | captured_uta_202609
`result` true or "true"             | with the request's id                           | Ack by id        | captured_uta_202609
`result` false or "false"           | text in `message` or in `reason`                | Refusal by id    | captured_uta_202609
any other channel or `op`           | ticker, mark-price, kline, orderAll, auth ...   | Unused by name   | captured, docs_jkorf_ws
frames with a `topic`, `type` ack   | the Classic generation (package kucoin_classic) | Unused by name   | cf202104, *_samples
REST                                | see `feeds.venues.kucoin_rest`                  |                  |

How a book of depth 20, 50 or full is built (section 5.1):
 1. subscribe `obu` with depth `increment@10ms`: the top 500 of each side;
 2. what comes before its snapshot is ignored; the snapshot replaces the book, last = C;
 3. a delta with C <= last is old; with O <= last + 1 it follows, last = C; several rows for one price count in their order;
 4. O > last + 1 is a gap: the book is invalid at once; unsubscribe, wait for the answer, subscribe. Subscribing again
    without that may bring no snapshot.
3 is the rule CONTIGUOUS, the rest Bootstrap.IN_BAND. The channel of 50 levels is not used: it repeats the whole image every
100 ms, changed or not, with nothing to prove that none was missed; the increments say less, sooner, and prove it.

An unknown symbol is acknowledged and stays silent: the metadata decides what is asked, and a book that does not speak is
renewed. Quiet books say nothing for long: only the answers to our pings prove the connection.
DIFFERENT for futures: sizes are lots; amounts here are × multiplier.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec

from books.decimals import SPELLINGS, canonical, canonical_sides, spellings_times
from books.events import Bbo, Delta, Snapshot, SnapshotReason, Trade
from books.sequence import CONTIGUOUS, IMAGES
from feeds.venue import (
    Ack,
    BookChannel,
    BookMessage,
    Bootstrap,
    Image,
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
from feeds.venues.kucoin_rest import millis, one_line
from fleet.errors import ConfigError

VENUE: Final = "kucoin"
ROUTE: Final = "public"
SOCKETS: Final = {"spot": "wss://x-push-spot.kucoin.com", "futures": "wss://x-push-futures.kucoin.com"}
PING: Final = '{"id":"ping","type":"ping"}'
# Words of refusals that a second attempt would meet again: a bad depth, a symbol list, a wrong market (section 4).
FATAL: Final = ("invalid request data", "not supported", "not allowed")

INCREMENTS: Final = "increment@10ms"
_DEEPEST: Final = BookChannel("500", CONTIGUOUS, Bootstrap.IN_BAND, cadence="10 ms", evidence="O = last C + 1")
_BOOKS: Final = {
    "bbo": BookChannel("bbo", IMAGES, Bootstrap.IMAGES, cadence="real time", evidence="full image"),
    "20": _DEEPEST,
    "50": _DEEPEST,
    "full": msgspec.structs.replace(_DEEPEST, shortfall="KuCoin gives 500 levels a side, no more"),
}

_Sequence = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Rows = list[tuple[str, str]]  # price, size
_Body = TypeVar("_Body")


class _Push(msgspec.Struct, Generic[_Body], gc=False, rename={"channel": "T", "depth": "dp", "kind": "t", "body": "d"}):
    channel: str  # with the market: `obu.SPOT`
    body: _Body
    depth: str = ""
    kind: str = ""


class _Book(
    msgspec.Struct, gc=False, rename={"symbol": "s", "bids": "b", "asks": "a", "first": "O", "last": "C", "at": "M"}
):
    symbol: str
    bids: _Rows
    asks: _Rows
    first: _Sequence
    last: _Sequence
    at: _Sequence | str  # matching engine, Unix ns


class _Trade(
    msgspec.Struct,
    gc=False,
    rename={"symbol": "s", "price": "p", "size": "q", "side": "S", "trade_id": "ti", "at": "M"},
):
    symbol: str
    price: str
    size: str
    side: str  # of the taker; seen in both cases
    trade_id: str | int
    at: _Sequence | str


def topic_name(channel: str, depth: str, symbol: str) -> str:
    """A topic is a channel, its depth if it has one, and a symbol: `obu|increment@10ms|BTC-USDT`, `trade||BTC-USDT`."""
    return f"{channel}|{depth}|{symbol}"


def _sides(book: _Book, contract_size: Decimal) -> tuple[dict[str, str], dict[str, str]]:
    """Both canonical, amounts in base units; of several rows for one price the last wins."""
    if contract_size == 1:
        return canonical_sides(book.bids, book.asks)
    prices, amounts = SPELLINGS, spellings_times(contract_size)
    return (
        {prices[price]: amounts[size] for price, size in book.bids},
        {prices[price]: amounts[size] for price, size in book.asks},
    )


def _snapshot(book: _Book, instrument: Instrument, received_us: int) -> Snapshot:
    bids, asks = _sides(book, instrument.contract_size)
    return Snapshot(
        pair=instrument.pair,
        received_us=received_us,
        venue_ms=millis(book.at),
        bids=bids,
        asks=asks,
        reason=SnapshotReason.FIRST,
        sequence=book.last,
    )


def _delta(book: _Book, instrument: Instrument, received_us: int) -> Delta:
    bids, asks = _sides(book, instrument.contract_size)
    return Delta(
        pair=instrument.pair,
        received_us=received_us,
        venue_ms=millis(book.at),
        bids=bids,
        asks=asks,
        sequence=book.last,
        first_sequence=book.first,
    )


def _best(rows: _Rows, contract_size: Decimal) -> tuple[str, str]:
    """An empty side is no level, or a level of nothing."""
    for price, size in rows[:1]:
        amount = spellings_times(contract_size)[size]
        if amount != "0":
            return canonical(price), amount
    return "", ""


def _bbo(book: _Book, instrument: Instrument, received_us: int) -> Bbo:
    bid, bid_amount = _best(book.bids, instrument.contract_size)
    ask, ask_amount = _best(book.asks, instrument.contract_size)
    return Bbo(
        pair=instrument.pair,
        received_us=received_us,
        venue_ms=millis(book.at),
        bid=bid,
        bid_amount=bid_amount,
        ask=ask,
        ask_amount=ask_amount,
        sequence=book.last,
    )


_BOOK: Final = "obu"
_TRADES: Final = "trade"
_PREFIXES: Final[tuple[tuple[str, Any], ...]] = (
    ('{"T":"obu.', msgspec.json.Decoder(_Push[_Book])),
    ('{"T":"trade.', msgspec.json.Decoder(_Push[_Trade])),
)
_PAYLOADS: Final[dict[str, Any]] = {_BOOK: _Push[_Book], _TRADES: _Push[_Trade]}
CLASSIC: Final = "classic"  # the first word of the reason why a frame of the other generation is not used
_CLASSIC_TYPES: Final = frozenset({"welcome", "ack", "message", "error"})


def _answer(value: Mapping[str, Any]) -> Message:
    """Frames that are not pushes (sections 2 to 4). Raises Undecodable."""
    request_id = str(value["id"])[:64] if "id" in value else None
    if value.get("message") == "welcome" and "sessionId" in value:
        return Welcome()
    kind = str(value.get("type"))
    if kind == "pong":
        return Pong()
    if "topic" in value or "subject" in value or kind in _CLASSIC_TYPES:
        topic = str(value.get("topic", "")).partition(":")[0]
        return Unused(f"{CLASSIC} {kind[:20]} frame" + (f" of {topic[:40]}" if topic else ""))
    if "result" in value and request_id is not None:
        result = value["result"]
        if result is True or result == "true":
            return Ack(request_id, None, None)
        if result is False or result == "false":
            text = str(value.get("message") or value.get("reason") or "")[:200]
            return Refusal(request_id, None, "result false", text, any(word in text for word in FATAL))
        raise Undecodable(f"{VENUE}: expected result true or false, got {str(result)[:40]!r}")
    if "op" in value:
        return Unused(f"request or answer of op {str(value['op'])[:40]}")
    if "action" in value or kind in ("ping", "subscribe", "unsubscribe"):
        return Unused("a request, not an answer")
    if "code" in value or "success" in value:
        return Unused("answer of REST")
    if "data" in value and "userId" in value:
        return Unused(f"{CLASSIC} account frame")
    raise Undecodable(f"{VENUE}: neither a push nor an answer: {sorted(value)[:8]}")


class Kucoin(Venue):
    """KuCoin spot or linear perpetuals by the Pro sockets."""

    name = VENUE
    limits = Limits(  # section 2
        topics_per_connection=300,  # 600 are allowed; a library stops at 200, the safe plan at 100 symbols
        pairs_per_connection=50,  # one symbol a request: 100 books would take 10 s to begin
        topics_per_request=1,  # a list of symbols is refused for books
        request_bytes=1024,
        requests_per_s=10.0,  # 30 a second for each connection, pings count; 10 are safe
        connects_per_s=0.4,  # 250 in 5 minutes and address, for both markets
        rest_weight_per_minute=kucoin_rest.REST_WEIGHT_PER_MINUTE,
        rest_window_ms=kucoin_rest.REST_WINDOW_MS,
    )
    # Section 3: the client pings, whatever comes; every 5 s, since a connection is only proved alive by what it says and quiet
    # books say nothing. No probe beside it: more than one ping a second gets the socket dropped.
    keepalive = Keepalive(text=PING, idle_ms=5_000, dead_ms=20_000, every_ms=5_000, probe=False)
    sequence_comparable = True  # one numbering per symbol, on every socket and in REST (section 5.1)
    traits = Traits(greets=True)

    def __init__(self, market: str) -> None:
        self.market = market
        self.rest_url = kucoin_rest.REST_URLS[market]
        self.ws_url = SOCKETS[market]
        self._suffix = f".{market.upper()}"

    def __repr__(self) -> str:
        return f"<Kucoin {self.market}>"

    def socket_url(self, base: str, route: str, ticket: bytes | None = None) -> str:
        """A fixed url without a token: public data needs none."""
        return base

    def book_channel(self, depth: str) -> BookChannel:
        """20, 50 and full are the increments of the top 500. Raises ConfigError."""
        if depth not in _BOOKS:
            raise ConfigError(f"depth {depth!r}: expected one of {', '.join(_BOOKS)}")
        return _BOOKS[depth]

    def topics(self, instrument: Instrument, depth: str, channels: frozenset[str]) -> list[Topic]:
        """`obu` of depth 1 serves the channel bbo and the book of depth bbo alike. Raises ConfigError."""
        book = "1" if self.book_channel(depth).depth == "bbo" else INCREMENTS
        wanted = {"book": (_BOOK, book), "bbo": (_BOOK, "1"), "trades": (_TRADES, "")}
        return [
            Topic(ROUTE, topic_name(*channel, instrument.symbol), instrument.pair, feeds)
            for feeds, channel in wanted.items()
            if feeds in channels
        ]

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Section 4."""
        return self._request("SUBSCRIBE", topics, request_id)

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Section 4."""
        return self._request("UNSUBSCRIBE", topics, request_id)

    def _request(self, action: str, topics: Sequence[Topic], request_id: int) -> str:
        (name,) = {topic.name for topic in topics}  # limits.topics_per_request is 1
        channel, depth, symbol = name.split("|", 2)
        request = {"id": str(request_id), "action": action, "channel": channel, "tradeType": self.market.upper()}
        request["symbol"] = symbol
        if depth:
            request["depth"] = depth
        return msgspec.json.encode(request).decode()

    def decode(self, frame: str | bytes, received_us: int, instruments: Instruments) -> list[Message]:
        """Raises Undecodable, and nothing else."""
        try:
            text = frame if isinstance(frame, str) else str(frame, "utf-8")
            for prefix, decoder in _PREFIXES:
                if text.startswith(prefix):
                    return [self._push(decoder.decode(text), received_us, instruments)]
            return [self._general(text, received_us, instruments)]
        except Undecodable:
            raise
        except (ValueError, RecursionError) as error:  # whatever JSON, UTF-8, types or decimals have to say
            raise Undecodable(f"{VENUE} {self.market}: {one_line(error)}") from error

    def _general(self, text: str, received_us: int, instruments: Instruments) -> Message:
        """Every other order of keys, and whatever is no push."""
        value = msgspec.json.decode(text)
        if isinstance(value, list):
            return Unused("list: rows of an answer of REST")
        if not isinstance(value, dict):
            raise Undecodable(f"{VENUE} {self.market}: expected a JSON object, got {type(value).__name__}")
        name = value.get("T")
        if not isinstance(name, str):
            return _answer(value)
        payload = _PAYLOADS.get(name.partition(".")[0])
        if payload is None:
            return Unused(f"channel {name[:40]}")
        return self._push(msgspec.convert(value, payload), received_us, instruments)

    def _push(self, push: _Push[Any], received_us: int, instruments: Instruments) -> Message:
        channel, body = push.channel, push.body
        if not channel.endswith(self._suffix):
            return Unused(f"channel {channel[:40]}: another market")
        symbol = body.symbol
        instrument = instruments.find(symbol)
        if instrument is None:
            return Unused(f"symbol {symbol[:40]}: {instruments.refused.get(symbol, 'not among the instruments')}")
        if isinstance(body, _Trade):
            return _trade(body, instrument, received_us)
        return _book(push.depth, push.kind, body, instrument, received_us)

    def instruments_requests(self) -> list[RestRequest]:
        """Classic REST: the Pro list of instruments says nothing more."""
        return [kucoin_rest.instruments_request(self.market)]

    def parse_instruments(self, bodies: Sequence[bytes]) -> Instruments:
        """Raises Undecodable when a body is no list of instruments."""
        return kucoin_rest.parse_instruments(VENUE, self.market, bodies)

    def snapshot_request(self, instrument: Instrument, depth: str) -> RestRequest:
        """For cross-checks only: books start in band."""
        return kucoin_rest.book_request(self.market, instrument)

    def parse_snapshot(self, body: bytes, instrument: Instrument, received_us: int) -> Snapshot:
        """Raises Undecodable when the body is no book. Its sequence is that of the socket."""
        return kucoin_rest.parse_book(self.market, body, instrument, received_us)


def _book(depth: str, kind: str, book: _Book, instrument: Instrument, received_us: int) -> Message:
    if book.first > book.last:
        raise Undecodable(f"{instrument.pair}: book from {book.first} to {book.last}")
    if depth == "increment":
        return Unused("channel obu of depth increment: it has no snapshot")
    topic = topic_name(_BOOK, depth, book.symbol)
    if kind == "delta" and depth == INCREMENTS:
        return BookMessage(topic, _delta(book, instrument, received_us))
    if kind != "snapshot":
        raise Undecodable(f"{instrument.pair}: expected t snapshot or delta of depth {depth[:20]!r}, got {kind[:20]!r}")
    if depth == INCREMENTS:
        return BookMessage(topic, _snapshot(book, instrument, received_us))
    if depth == "1":
        return _bbo(book, instrument, received_us)
    if depth in ("5", "50"):
        return BookMessage(topic, Image(_snapshot(book, instrument, received_us)))
    return Unused(f"channel obu of depth {depth[:20]}")


def _trade(trade: _Trade, instrument: Instrument, received_us: int) -> Trade:
    side = trade.side.lower()
    if side not in ("buy", "sell"):
        raise Undecodable(f"{instrument.pair}: expected side buy or sell, got {trade.side[:20]!r}")
    return Trade(
        pair=instrument.pair,
        received_us=received_us,
        venue_ms=millis(trade.at),
        price=canonical(trade.price),
        amount=spellings_times(instrument.contract_size)[trade.size],
        side=side,
        trade_id=str(trade.trade_id),
    )
