"""PURE. A venue as a recording of it: what its file holds stands in for what a venue would answer. Used by `feeds.replay`."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from books.events import Bbo, Delta, Snapshot, Trade
from books.sequence import IMAGES
from feeds.venue import (
    Ack,
    BookChannel,
    BookMessage,
    Bootstrap,
    Image,
    Instrument,
    Instruments,
    InstrumentStatus,
    Limits,
    Message,
    RestRequest,
    Topic,
    Undecodable,
    Unused,
    Venue,
)
from fleet.pair import Pair

ROUTE: Final = "recording"
DELTAS: Final = "full"  # the depths a replay asks for: a book from deltas, or from images
IN_BAND_DEPTH: Final = (
    "in band"  # from deltas that follow snapshots in the file, though the venue's own channel asks for them
)
IMAGE_DEPTH: Final = "images"
ALL_ACKNOWLEDGED: Final = "all topics are acknowledged"  # a frame of our own: the answer to every request so far

_UNLIMITED: Final = 10**9
_NO_LIMITS: Final = Limits(
    topics_per_connection=_UNLIMITED,
    pairs_per_connection=_UNLIMITED,
    topics_per_request=_UNLIMITED,
    request_bytes=_UNLIMITED,
    requests_per_s=_UNLIMITED,
    connects_per_s=_UNLIMITED,
    rest_weight_per_minute=_UNLIMITED,
)


def raw_instrument(venue: Venue, symbol: str) -> Instrument:
    """A symbol without metadata: its pair is named as the venue names it, its amounts are unchanged."""
    return Instrument(
        pair=Pair(venue.name, venue.market, symbol),
        symbol=symbol,
        status=InstrumentStatus.TRADING,
        tick="0",
        lot="0",
        min_amount="0",
        min_notional=None,
        contract_size=Decimal(1),
    )


class RawInstruments(Instruments):
    """Instruments for a replay without metadata: every symbol is known, raw."""

    def __init__(self, venue: Venue) -> None:
        super().__init__()
        self._venue = venue
        self._made: dict[str, Instrument] = {}

    def find(self, symbol: str) -> Instrument | None:
        """Never refuses a symbol, but text that is none."""
        if symbol and symbol not in self._made:
            self._made[symbol] = raw_instrument(self._venue, symbol)
        return self._made.get(symbol)


class BookTopic(NamedTuple):
    """What a pair's book is built from."""

    name: str
    depth: str  # DELTAS, IN_BAND_DEPTH or IMAGE_DEPTH


class Contents:
    """What a file holds: the first pass of a replay.

    pairs            every pair with market data → its book topics, counted
    snapshot_lines   indexes of lines that are answers of REST `depth`
    """

    def __init__(self, venue: Venue, instruments: Instruments, frames: Iterable[bytes]) -> None:
        self.pairs: dict[Pair, Counter[BookTopic]] = {}
        self.snapshot_lines: set[int] = set()
        self._in_band: set[str] = set()  # topics that bring their own snapshots
        self._venue = venue
        self._anything = raw_instrument(venue, "any")
        bootstrap = venue.book_channel(DELTAS).bootstrap
        self._by_request = bootstrap is Bootstrap.REQUEST  # snapshots of the file are answers, to be spliced
        for index, frame in enumerate(frames):
            used = self._look(frame, instruments)
            if bootstrap is Bootstrap.REST and not used and self._is_snapshot(frame):
                self.snapshot_lines.add(index)

    def _look(self, frame: bytes, instruments: Instruments) -> bool:
        """Whether the frame holds market data that we use."""
        try:
            messages = self._venue.decode(frame, 0, instruments)
        except Undecodable:
            return False
        used = False
        for message in messages:
            if isinstance(message, BookMessage):
                event = message.event
                is_image = isinstance(event, Image)
                pair = event.snapshot.pair if isinstance(event, Image) else event.pair
                topic = BookTopic(message.topic, IMAGE_DEPTH if is_image else DELTAS)
                if isinstance(event, Snapshot) and not self._by_request:
                    self._in_band.add(message.topic)
                self.pairs.setdefault(pair, Counter())[topic] += 1
            elif isinstance(message, Bbo | Trade):
                self.pairs.setdefault(message.pair, Counter())
            else:
                continue
            used = True
        return used

    def _is_snapshot(self, frame: bytes) -> bool:
        try:
            self._venue.parse_snapshot(frame, self._anything, 0)
        except Undecodable:
            return False
        return True

    def book_topics(self) -> dict[Pair, BookTopic]:
        """The topic that each book is built from: deltas before images, then the one that says most."""
        best = {
            pair: max(topics, key=lambda topic: (topic.depth == DELTAS, topics[topic]))
            for pair, topics in self.pairs.items()
            if topics
        }
        return {
            pair: topic._replace(depth=IN_BAND_DEPTH) if topic.name in self._in_band else topic
            for pair, topic in best.items()
        }


class RecordedVenue(Venue):
    """A venue for the session of a replay: topics are those of the file, answers come at once, limits do not matter.

    Only market data reaches the session. What else the frames hold is counted here:

    refused    frames of channels, versions and symbols that are not used; `reasons` says which
    answers    acknowledgements, refusals, pongs and notices
    """

    def __init__(self, venue: Venue, books: Mapping[Pair, BookTopic]) -> None:
        self.name, self.market = venue.name, venue.market
        self.rest_url, self.ws_url = venue.rest_url, venue.ws_url
        self.limits = _NO_LIMITS
        self.keepalive = venue.keepalive
        self.sequence_comparable = venue.sequence_comparable
        self.refused = self.answers = 0
        self.reasons: Counter[str] = Counter()
        self._venue = venue
        self._books = books
        self._asked: list[Topic] = []
        self._numbered: dict[Pair, bool] = {}  # whether the last snapshot in band had a sequence

    def socket_url(self, base: str, route: str, ticket: bytes | None = None) -> str:
        """There is no socket."""
        return base

    def book_channel(self, depth: str) -> BookChannel:
        """Where a lost book would be asked for again in band, it waits for the file's next snapshot instead."""
        if depth == IMAGE_DEPTH:
            return BookChannel(IMAGE_DEPTH, IMAGES, Bootstrap.IMAGES)
        channel = self._venue.book_channel(DELTAS)
        if depth == IN_BAND_DEPTH or channel.bootstrap is Bootstrap.IN_BAND:
            return msgspec.structs.replace(channel, bootstrap=Bootstrap.IMAGES)
        return channel

    def topics(self, instrument: Instrument, depth: str, channels: frozenset[str]) -> list[Topic]:
        """The book topic of the file, if it has one."""
        book = self._books.get(instrument.pair)
        return [] if book is None else [Topic(ROUTE, book.name, instrument.pair, "book")]

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Nobody reads it; ALL_ACKNOWLEDGED answers it."""
        self._asked.extend(topics)
        return ""

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """Nobody reads it."""
        return ""

    def decode(self, frame: str | bytes, received_us: int, instruments: Instruments) -> list[Message]:
        """Raises Undecodable. Market data of the chosen topics goes on, the rest is counted."""
        if frame is ALL_ACKNOWLEDGED:
            asked, self._asked = self._asked, []
            return [Ack(None, topic.name, True) for topic in asked]
        kept: list[Message] = []
        reason: str | None = None
        for message in self._venue.decode(frame, received_us, instruments):
            if isinstance(message, Bbo | Trade):
                kept.append(message)
            elif isinstance(message, BookMessage):
                reason = self._misfit(message)
                if reason is None:
                    kept.append(message)
            elif isinstance(message, Unused):
                reason = message.reason
            else:
                self.answers += 1
        if reason is not None:
            self.refuse(reason)
        return kept

    def _misfit(self, message: BookMessage) -> str | None:
        """Why a book message cannot go into the book of its pair; None if it can."""
        event = message.event
        pair = event.snapshot.pair if isinstance(event, Image) else event.pair
        book = self._books[pair]
        if book.name != message.topic or (book.depth == IMAGE_DEPTH) is not isinstance(event, Image):
            return f"another book topic of {pair.pair}: the one of {book.name} is replayed"
        if isinstance(event, Snapshot):
            self._numbered[pair] = event.sequence is not None
        elif isinstance(event, Delta):
            # a file that mixes versions: nothing can say whether such a delta follows
            numbered = event.sequence is not None
            if self._numbered.get(pair, numbered) is not numbered:
                return "delta of another version than its snapshot: one has a sequence, the other has none"
        return None

    def refuse(self, reason: str) -> None:
        """Count a frame that is not used."""
        self.refused += 1
        self.reasons[reason] += 1

    def snapshot_text(self, topic: Topic, request_id: int) -> str:
        """Nobody reads it; the file's snapshots answer it."""
        return ""

    def instruments_requests(self) -> list[RestRequest]:
        """Nobody can be asked."""
        return []

    def parse_instruments(self, bodies: Sequence[bytes]) -> Instruments:
        """As the venue does."""
        return self._venue.parse_instruments(bodies)

    def snapshot_request(self, instrument: Instrument, depth: str) -> RestRequest:
        """As the venue does; it is answered by the file's snapshot."""
        return self._venue.snapshot_request(instrument, DELTAS)

    def parse_snapshot(self, body: bytes, instrument: Instrument, received_us: int) -> Snapshot:
        """As the venue does."""
        return self._venue.parse_snapshot(body, instrument, received_us)
