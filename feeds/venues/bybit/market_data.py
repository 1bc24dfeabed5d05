"""PURE. Bybit market data, spot and linear perpetuals. Source: venue sheet `bybit`, sections 1-6 and 10 (November 2026).

topic or frame                             | shape                                  | becomes              | evidence
-------------------------------------------|----------------------------------------|----------------------|------------------------
`orderbook.50.<s>` (200, 1000; 500 of old) | type snapshot/delta; b, a, u, seq, cts | snapshot, delta      | XRPUSDT_ob500, tardis
`orderbook.full.<s>` (spot)                | the same, never a snapshot             | delta                | sheet, section 5.4
any of both, a delta with u = 1            | the service restarted                  | a gap                | sheet, section 5.4
`orderbook.1.<s>`                          | a snapshot of one level a side         | best prices          | tardis
`orderbook.1.<s>`, a delta                 | before 2025-03-20                      | Unused               | tardis, nautilus_ws
`orderbook.rpi.<s>`                        | rows of three                          | Unused               | sheet, section 5.1
`publicTrade.<s>`                          | rows: T, s, S of the taker, v, p, i    | trade                | tardis, docs_jkorf_ws
`publicTrade.<s>`, a row with BT           | block trade                            | Unused               | sheet, section 6
`op` pong, `ret_msg` pong                  | shape varies by socket                 | Pong                 | sheet, section 3
`success` true                             | op subscribe, unsubscribe; req_id      | Ack by id            | docs_jkorf_ws
`success` false                            | a text, of the whole request           | Refusal              | sheet 4, nautilus_ws
any other topic, op, answer                |                                        | Unused by name       | *_samples, docs, gct
REST `market/full_orderbook`, `orderbook`  | result: s, b, a, u, seq, ts, cts       | snapshot             | nautilus_rest
REST `market/instruments-info`             | result.list[]                          | instruments          | nautilus_rest, docs

How a book of 20, 50 or, of futures, all levels is built (section 5.2):
 1. subscribe `orderbook.50` (`orderbook.1000`); a snapshot comes, at times before the acknowledgement;
 2. any snapshot replaces the book, u = 1 or not;
 3. a delta follows if u is the last u + 1; a level of amount 0 is deleted, whether we hold it or not;
 4. anything else is a gap: unsubscribe, wait for the acknowledgement, subscribe.
The full book of spot (section 5.4): subscribe, keep deltas, GET `full_orderbook`, splice by u, then 3; a gap: GET again.
3 and 4 are the rule CONTIGUOUS. `u` counts by topic; a splice needs no look at `seq`, for the snapshot's u is the topic's.

A delta with u = 1 says that the venue counts anew. It is given out without a first number, which proves nothing and so is a
gap, and as number 0, so that the next one does not link to it: the book of before and the kept deltas of before are void.
Best prices are numbered by `seq`, not by `u`: it rises over restarts too, and the repetition of an unchanged state after 3 s
has the number that it had.
"""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec

from books.events import Snapshot
from books.sequence import CONTIGUOUS, IMAGES
from feeds.venue import (
    BookChannel,
    BookMessage,
    Bootstrap,
    Instrument,
    Instruments,
    Keepalive,
    Limits,
    Message,
    RestRequest,
    Topic,
    Undecodable,
    Unused,
    Venue,
)
from feeds.venues.bybit import metadata
from feeds.venues.bybit.answers import VENUE, read_answer
from feeds.venues.bybit.metadata import CATEGORIES, PAGE
from feeds.venues.bybit.pushes import (
    PUSH,
    BookPush,
    Name,
    TradePush,
    any_push,
    book_push,
    one_line,
    read_best,
    read_delta,
    read_snapshot,
    read_trade,
    rest_book,
    split_topic,
    trade_push,
    unknown_symbol,
)
from fleet.errors import ConfigError

ROUTE: Final = "public"

_BEST: Final = BookChannel(
    "bbo", IMAGES, Bootstrap.IMAGES, cadence="10 ms", evidence="seq rises", speaks_every_ms=3_000
)
_FIFTY: Final = BookChannel("50", CONTIGUOUS, Bootstrap.IN_BAND, cadence="20 ms", evidence="u + 1")
_BOOKS: Final = {
    "spot": {
        "bbo": _BEST,
        "20": _FIFTY,
        "50": _FIFTY,
        "full": BookChannel(
            "full",
            CONTIGUOUS,
            Bootstrap.REST,
            shortfall="snapshots end at 10000 levels a side; levels beyond appear when they change",
            cadence="200 ms",
            evidence="u + 1",
        ),
    },
    "futures": {
        "bbo": _BEST,
        "20": _FIFTY,
        "50": _FIFTY,
        "full": BookChannel(
            "1000",
            CONTIGUOUS,
            Bootstrap.IN_BAND,
            shortfall="Bybit gives 1000 levels a side of linear contracts, no more",
            cadence="200 ms",
            evidence="u + 1",
        ),
    },
}
_CHANNELS: Final = {"bbo": "orderbook.1", "50": "orderbook.50", "1000": "orderbook.1000", "full": "orderbook.full"}
_TOPICS_PER_REQUEST: Final = {"spot": 10, "futures": 20}


class Bybit(Venue):
    """Bybit spot or linear perpetuals."""

    name = VENUE
    rest_url = "https://api.bybit.com"
    ws_url = "wss://stream.bybit.com"
    keepalive = Keepalive(text='{"op":"ping"}', idle_ms=15_000, dead_ms=30_000)  # section 3
    sequence_comparable = False  # u counts by topic; the sheet does not say that every server counts the same

    def __init__(self, market: str) -> None:
        self.market = market
        self.limits = Limits(  # section 2
            topics_per_connection=500,  # 21000 characters of topics, of at most 42 each
            pairs_per_connection=50,
            topics_per_request=_TOPICS_PER_REQUEST[market],
            request_bytes=4096,
            requests_per_s=5.0,  # no number is public
            connects_per_s=0.8,  # 500 in 5 minutes, of both markets together
            forbidden_ban_ms=600_000,
            rest_weight_per_minute=3600,  # 600 in 5 s, of both markets together
            rest_window_ms=5_000,
        )
        self._books = _BOOKS[market]

    def __repr__(self) -> str:
        return f"<Bybit {self.market}>"

    def socket_url(self, base: str, route: str, ticket: bytes | None = None) -> str:
        """One public socket a category."""
        return f"{base}/v5/public/{CATEGORIES[self.market]}"

    def book_channel(self, depth: str) -> BookChannel:
        """20 is cut from 50. Raises ConfigError."""
        if depth not in self._books:
            raise ConfigError(f"depth {depth!r}: expected one of {', '.join(self._books)}")
        return self._books[depth]

    def topics(self, instrument: Instrument, depth: str, channels: frozenset[str]) -> list[Topic]:
        """`orderbook.1` serves the channel bbo and the book of depth bbo alike. Raises ConfigError."""
        wanted = {
            "book": _CHANNELS[self.book_channel(depth).depth],
            "bbo": _CHANNELS["bbo"],
            "trades": "publicTrade",
        }
        return [
            Topic(ROUTE, f"{channel}.{instrument.symbol}", instrument.pair, feeds)
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
            if text.startswith(PUSH):
                topic = text[len(PUSH) : text.index('"', len(PUSH))]
                if "\\" not in topic:
                    name = split_topic(topic)
                    if name.kind == "orderbook":
                        return [self._book(topic, name, book_push.decode(text), received_us, instruments)]
                    if name.kind == "publicTrade":
                        return self._trades(name, trade_push.decode(text), received_us, instruments)
                    any_push.decode(text)  # a broken frame is not an unused one
                    return [Unused(f"topic {name.kind[:40]}")]
            return self._general(text, received_us, instruments)
        except Undecodable:
            raise
        except (ValueError, RecursionError) as error:  # whatever JSON, UTF-8, types or decimals have to say
            raise Undecodable(f"{VENUE} {self.market}: {one_line(error)}") from error

    def _general(self, text: str, received_us: int, instruments: Instruments) -> list[Message]:
        """Answers, and pushes whose topic does not stand first."""
        value: Any = msgspec.json.decode(text)
        if isinstance(value, list):
            return [Unused("list: rows of an answer of REST")]
        if not isinstance(value, dict):
            raise Undecodable(f"{VENUE} {self.market}: expected a JSON object, got {type(value).__name__}")
        topic = value.get("topic")
        if not isinstance(topic, str):
            return [read_answer(value)]
        name = split_topic(topic)
        if name.kind == "orderbook":
            push = msgspec.convert(value, BookPush, strict=False)
            return [self._book(topic, name, push, received_us, instruments)]
        if name.kind == "publicTrade":
            trades = msgspec.convert(value, TradePush, strict=False)
            return self._trades(name, trades, received_us, instruments)
        return [Unused(f"topic {name.kind[:40]}")]

    def _book(self, topic: str, name: Name, push: BookPush, received_us: int, instruments: Instruments) -> Message:
        if push.data.symbol != name.symbol:
            raise Undecodable(f"{VENUE} {self.market}: topic {topic[:60]} carries symbol {push.data.symbol[:40]}")
        instrument = instruments.find(name.symbol)
        if instrument is None:
            return unknown_symbol(name.symbol, instruments)
        if name.depth == "1":
            if push.type == "delta":
                return Unused("orderbook.1 in deltas (before 2025-03-20)")
            return read_best(push, instrument, received_us)
        if push.type == "snapshot":
            return BookMessage(topic, read_snapshot(push.data, push.engine_ms, instrument, received_us))
        return BookMessage(topic, read_delta(push, instrument, received_us))

    def _trades(self, name: Name, push: TradePush, received_us: int, instruments: Instruments) -> list[Message]:
        instrument = instruments.find(name.symbol)
        if instrument is None:
            return [unknown_symbol(name.symbol, instruments)]
        return [read_trade(row, name, instrument, received_us) for row in push.data]

    def instruments_requests(self) -> list[RestRequest]:
        """Spot has no pages; of linear contracts the answer is 500 rows unless more are asked for (section 10)."""
        limit = "" if self.market == "spot" else f"&limit={PAGE}"
        return [RestRequest(f"/v5/market/instruments-info?category={CATEGORIES[self.market]}{limit}", 1)]

    def more_instruments(self, request: RestRequest, body: bytes) -> RestRequest | None:
        """Linear contracts come in pages, each with the cursor of the next. Raises Undecodable."""
        cursor = None if self.market == "spot" else metadata.next_cursor(body)
        if cursor is None:
            return None
        return RestRequest(f"{self.instruments_requests()[0].path}&cursor={quote(cursor, safe='')}", 1)

    def parse_instruments(self, bodies: Sequence[bytes]) -> Instruments:
        """Raises Undecodable when a body is no list of instruments."""
        return metadata.parse(self.market, bodies)

    def snapshot_request(self, instrument: Instrument, depth: str) -> RestRequest:
        """The full book of spot. What is built in band has one for cross-checks only: its u is of `orderbook.1000`."""
        query = f"category={CATEGORIES[self.market]}&symbol={quote(instrument.symbol, safe='')}"
        if self.book_channel(depth).bootstrap is Bootstrap.REST:
            return RestRequest(f"/v5/market/full_orderbook?{query}", 1)
        return RestRequest(f"/v5/market/orderbook?{query}&limit=1000", 1)

    def parse_snapshot(self, body: bytes, instrument: Instrument, received_us: int) -> Snapshot:
        """Raises Undecodable when the body is no book."""
        try:
            book = rest_book.decode(body).result
            return read_snapshot(book, book.made_ms if book.cts is None else book.cts, instrument, received_us)
        except (ValueError, RecursionError) as error:
            raise Undecodable(f"{instrument.pair}: no book: {one_line(error)}") from error


def _request(operation: str, topics: Sequence[Topic], request_id: int) -> str:
    names = list(dict.fromkeys(topic.name for topic in topics))  # twice in one request would refuse all of it
    return msgspec.json.encode({"req_id": str(request_id), "op": operation, "args": names}).decode()
