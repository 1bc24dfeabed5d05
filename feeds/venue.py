"""PURE. What a venue must answer: a closed list. Nothing outside `feeds.venues` names a venue.

A venue × market is one `Venue` object without state. It knows urls, words and shapes; it never does I/O, never reads a
clock, and never invents a sequence, a time or a default. `decode` turns one frame into messages; whatever it cannot read it
refuses with `Undecodable`, whatever it knows but does not use it names with `Unused`.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

import msgspec

from books.events import Bbo, Delta, Snapshot, Trade
from books.sequence import SequenceRule
from fleet.pair import Pair


class Undecodable(ValueError):
    """A frame that is not what the venue's documentation says. Counted, and a sample is kept; never fatal."""


class InstrumentStatus(StrEnum):
    TRADING = "trading"
    HALTED = "halted"


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """Metadata of one tradable pair. Amounts are base units: `lot` = venue lot × contract size for futures."""

    pair: Pair
    symbol: str  # the venue's own id, as its REST API spells it
    status: InstrumentStatus
    tick: str  # price step, decimal text
    lot: str  # amount step, base units
    min_amount: str  # smallest order, base units
    min_notional: str | None  # smallest order in quote units; None: the venue has no such limit
    contract_size: Decimal  # base units of one contract; 1 for spot


class Refused(msgspec.Struct, frozen=True):
    """An instrument the venue lists and we do not take (dated, inverse, option …), with the reason by name."""

    symbol: str
    reason: str


class Instruments:
    """Both ways between venue symbols and pairs of one venue × market."""

    def __init__(self, instruments: Sequence[Instrument] = (), refused: Sequence[Refused] = ()) -> None:
        self.by_pair: Mapping[Pair, Instrument] = {i.pair: i for i in instruments}
        self.by_symbol: Mapping[str, Instrument] = {i.symbol: i for i in instruments}
        self.refused: Mapping[str, str] = {r.symbol: r.reason for r in refused}

    def find(self, symbol: str) -> Instrument | None:
        """The instrument of a venue symbol, None if it is unknown or refused (`refused` has the reason)."""
        return self.by_symbol.get(symbol)


class Topic(msgspec.Struct, frozen=True):
    """One subscription of one pair. `route` names the socket it must go to (a venue may have several)."""

    route: str
    name: str  # the venue's channel or stream name, as subscribed
    pair: Pair
    feeds: str  # what of the pair it feeds: `book`, `bbo` or `trades`


class Bootstrap(StrEnum):
    """Where the first snapshot of a book topic comes from, and with it how a pair is resynced."""

    REST = "rest"  # subscribe, keep deltas, fetch, splice; resync: fetch again on the living subscription
    IN_BAND = "in band"  # the subscription starts with one; resync: unsubscribe, wait for the ack, subscribe
    IMAGES = "images"  # every message is a full image; resync: the next message


class BookChannel(msgspec.Struct, frozen=True):
    """How the book of a pair at some depth is had."""

    depth: str  # what the channel gives: bbo, 20, 50, 400, full …
    rule: SequenceRule
    bootstrap: Bootstrap
    shortfall: str | None = None  # what the task asked and the venue cannot give, in words


class Keepalive(msgspec.Struct, frozen=True):
    """`text`: what WE send when nothing came for `idle_ms`; None: the server pings with control frames and the library
    answers. No frame at all (data, pong or ping) for `dead_ms` means the connection is dead."""

    text: str | None
    idle_ms: int
    dead_ms: int


class Limits(msgspec.Struct, frozen=True):
    """What the venue enforces, from its sheet; budgets are shared by everything behind one egress address."""

    topics_per_connection: int
    pairs_per_connection: int
    topics_per_request: int
    request_bytes: int
    requests_per_s: float  # per connection, room for pongs left
    connects_per_s: float  # per egress address
    rest_weight_per_minute: int  # per egress address
    lifetime_ms: int | None = None  # the venue ends a socket after this


class RestRequest(msgspec.Struct, frozen=True):
    """GET `path` (with query, appended to the REST base url), costing `weight`."""

    path: str
    weight: int


# --- what decode() answers ----------------------------------------------------------------------------------------------


class Image(msgspec.Struct, frozen=True):
    """A full image of the window of a book topic: whatever is not in it has left the window."""

    snapshot: Snapshot


class Ack(msgspec.Struct, frozen=True):
    """A request (by id) or one topic of it was acknowledged. Not believed until data comes."""

    request_id: str | None
    topic: str | None
    subscribed: (
        bool | None
    )  # None: the answer does not say whether to a subscribe or an unsubscribe; the request's id does


class Refusal(msgspec.Struct, frozen=True):
    """A request or topic was refused. `fatal_topic`: asking again would be refused again (unknown symbol or channel)."""

    request_id: str | None
    topic: str | None
    code: str
    text: str
    fatal_topic: bool


class Pong(msgspec.Struct, frozen=True):
    """The answer to our keepalive text."""


class Reply(msgspec.Struct, frozen=True):
    """The server pinged in text: send this back at once."""

    text: str


class GoingAway(msgspec.Struct, frozen=True):
    """The venue announced that it will end this socket: open the next one now."""

    text: str


class Unused(msgspec.Struct, frozen=True):
    """A frame we know by name and do not use (another channel, an old version, a refused symbol)."""

    reason: str


class BookMessage(msgspec.Struct, frozen=True):
    """A delta, an in-band snapshot or an image of the book topic `topic`."""

    topic: str
    event: Delta | Snapshot | Image


# A channel of best prices always comes as Bbo, even where it is the book topic of a pair (depth bbo): a frame does not say
# what it was subscribed for, the session knows, and makes the image of one level from it.
Message = BookMessage | Bbo | Trade | Ack | Refusal | Pong | Reply | GoingAway | Unused


class Venue(Protocol):
    """One venue × market. Attributes are constants, methods are pure."""

    name: str
    market: str
    rest_url: str  # default base, no trailing slash
    ws_url: str  # default base, no trailing slash
    limits: Limits
    keepalive: Keepalive
    sequence_comparable: bool  # whether sequences are the same on every socket (DESIGN §6, seams)

    def socket_url(self, base: str, route: str) -> str:
        """Url to open for a route."""
        ...

    def book_channel(self, depth: str) -> BookChannel:
        """The nearest channel that gives at least `depth` (bbo, 20, 50, full)."""
        ...

    def topics(self, instrument: Instrument, depth: str, channels: frozenset[str]) -> list[Topic]:
        """What to subscribe for a pair; `channels` is a subset of book, bbo, trades."""
        ...

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """One request frame for topics of one route (at most limits.topics_per_request)."""
        ...

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """The opposite."""
        ...

    def decode(self, frame: str | bytes, received_us: int, instruments: Instruments) -> list[Message]:
        """Raises Undecodable, and nothing else, for whatever it cannot read. Amounts come out in base units."""
        ...

    def instruments_requests(self) -> list[RestRequest]:
        """What to GET for the metadata."""
        ...

    def parse_instruments(self, bodies: Sequence[bytes]) -> Instruments:
        """Raises Undecodable when the body is not metadata."""
        ...

    def snapshot_request(self, instrument: Instrument, depth: str) -> RestRequest:
        """What to GET for a book snapshot; only called where book_channel(depth).bootstrap is REST."""
        ...

    def parse_snapshot(self, body: bytes, instrument: Instrument, received_us: int) -> Snapshot:
        """Raises Undecodable when the body is no snapshot."""
        ...
