"""A venue that does not exist, in the fewest words: to test what is general in feeds without any real venue.

Frames are JSON: {"t": "delta" | "snapshot" | "image" | "bbo" | "trade" | "ack" | "no" | "hello" | "pong" | "ask" | "bye" |
"junk", …}.
"""

import json
from collections.abc import Sequence
from decimal import Decimal

from books.events import Bbo, Delta, Snapshot, SnapshotReason, Trade
from books.sequence import CONTIGUOUS, IMAGES, LINKED
from feeds.venue import (
    PLAIN,
    Ack,
    BookChannel,
    BookMessage,
    Bootstrap,
    GoingAway,
    Image,
    Instrument,
    Instruments,
    InstrumentStatus,
    Keepalive,
    Limits,
    Message,
    Pong,
    Refusal,
    Reply,
    RestRequest,
    Topic,
    Traits,
    Undecodable,
    Unused,
    Venue,
    Welcome,
)
from fleet.pair import Pair


class TrueProof:
    """Evidence is a word: everything but "true" is a disproof."""

    def check(self, evidence: object) -> str | None:
        return None if evidence == "true" else f"expected true, got {evidence}"


CHANNELS = {
    "asked": BookChannel("asked", CONTIGUOUS, Bootstrap.REQUEST),
    "summed": BookChannel("summed", IMAGES, Bootstrap.IN_BAND, proof=TrueProof),
    "full": BookChannel("full", CONTIGUOUS, Bootstrap.REST),
    "50": BookChannel("400", LINKED, Bootstrap.IN_BAND),
    "20": BookChannel("20", IMAGES, Bootstrap.IMAGES),
    "bbo": BookChannel("bbo", IMAGES, Bootstrap.IMAGES),
}
NAMES = {"full": "diff", "50": "linked", "20": "image", "bbo": "best", "asked": "asked", "summed": "summed"}


def pair_of(symbol: str) -> Pair:
    """`AAA` is AAA/USD."""
    return Pair("nowhere", "spot", f"{symbol}/USD")


def instrument(symbol: str) -> Instrument:
    """Metadata of `AAA`."""
    return Instrument(
        pair=pair_of(symbol),
        symbol=symbol,
        status=InstrumentStatus.TRADING,
        tick="0.1",
        lot="0.1",
        min_amount="0.1",
        min_notional=None,
        contract_size=Decimal(1),
    )


class FakeVenue(Venue):
    """Implements feeds.venue.Venue. Topics on route `main`, trades on route `other`."""

    name = "nowhere"
    market = "spot"
    sequence_comparable = True

    def __init__(self, traits: Traits = PLAIN, **limits: object) -> None:
        self.traits = traits
        self.rest_url = "http://127.0.0.1:1"
        self.ws_url = "ws://127.0.0.1:1"
        self.limits = Limits(
            **{
                "topics_per_connection": 100,
                "pairs_per_connection": 40,
                "topics_per_request": 10,
                "request_bytes": 4096,
                "requests_per_s": 1000.0,
                "connects_per_s": 1000.0,
                "rest_weight_per_minute": 100_000,
                **limits,
            }
        )
        self.keepalive = Keepalive(text="ping", idle_ms=5_000, dead_ms=20_000)
        self.refused: dict[str, str] = {}

    def socket_url(self, base: str, route: str, ticket: bytes | None = None) -> str:
        return f"{base}/{route}"

    def book_channel(self, depth: str) -> BookChannel:
        return CHANNELS[depth]

    def topics(self, instrument: Instrument, depth: str, channels: frozenset[str]) -> list[Topic]:
        names = {"book": ("main", NAMES[depth]), "bbo": ("main", "best"), "trades": ("other", "prints")}
        return [
            Topic(names[use][0], f"{names[use][1]}:{instrument.symbol}", instrument.pair, use)
            for use in ("book", "bbo", "trades")
            if use in channels
        ]

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        return json.dumps({"id": str(request_id), "sub": [topic.name for topic in topics]})

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        return json.dumps({"id": str(request_id), "unsub": [topic.name for topic in topics]})

    def snapshot_text(self, topic: Topic, request_id: int) -> str:
        return json.dumps({"id": str(request_id), "req": topic.name})

    def decode(self, frame: str | bytes, received_us: int, instruments: Instruments) -> list[Message]:
        try:
            message = json.loads(frame)
            return [self._message(message, received_us, instruments)]
        except (ValueError, KeyError, TypeError) as error:
            raise Undecodable(f"nowhere: {error!r}") from error

    def _message(self, message: dict, received_us: int, instruments: Instruments) -> Message:
        kind = message["t"]
        if kind == "ack":
            return Ack(message.get("id"), message.get("topic"), message.get("on"))
        if kind == "no":
            return Refusal(
                message.get("id"), message.get("topic"), "7", message.get("text", "no"), message["fatal"],
                whole_request=message.get("whole", False), standing=message.get("standing", False),
            )  # fmt: skip
        if kind in ("pong", "ask", "bye", "hello"):
            return {
                "hello": Welcome(),
                "pong": Pong(),
                "ask": Reply("here"),
                "bye": GoingAway("closing for the night"),
            }[kind]
        topic = message["topic"]
        known = instruments.find(topic.partition(":")[2])
        if known is None:
            return Unused(f"unknown symbol of {topic}")
        common = {"pair": known.pair, "received_us": received_us, "venue_ms": message.get("ms")}
        if kind == "trade":
            return Trade(price="1", amount="1", side="buy", trade_id=message["id"], **common)
        if kind == "bbo":
            (bid, bid_amount), (ask, ask_amount) = message["b"], message["a"]
            return Bbo(
                bid=bid, bid_amount=bid_amount, ask=ask, ask_amount=ask_amount, sequence=message.get("u"), **common
            )
        levels = {"bids": message["b"], "asks": message["a"], "sequence": message.get("u")}
        if kind == "delta":
            delta = Delta(first_sequence=message.get("U"), previous_sequence=message.get("p"), **levels, **common)
            return BookMessage(topic, delta, message.get("proof"))
        snapshot = Snapshot(reason=SnapshotReason.FIRST, **levels, **common)
        return BookMessage(topic, Image(snapshot) if kind == "image" else snapshot, message.get("proof"))

    def instruments_requests(self) -> list[RestRequest]:
        return [RestRequest("/instruments", 1)]

    def parse_instruments(self, bodies: Sequence[bytes]) -> Instruments:
        try:
            return Instruments([instrument(symbol) for body in bodies for symbol in json.loads(body)])
        except (ValueError, TypeError) as error:
            raise Undecodable(f"no metadata: {error!r}") from error

    def snapshot_request(self, instrument: Instrument, depth: str) -> RestRequest:
        return RestRequest(f"/depth?symbol={instrument.symbol}", 5)

    def parse_snapshot(self, body: bytes, instrument: Instrument, received_us: int) -> Snapshot:
        try:
            message = json.loads(body)
            return Snapshot(
                pair=instrument.pair,
                received_us=received_us,
                bids=message["b"],
                asks=message["a"],
                sequence=message["u"],
                reason=SnapshotReason.FIRST,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise Undecodable(f"no snapshot: {error!r}") from error
