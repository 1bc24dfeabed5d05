"""PURE. What a venue must answer: a closed list. Nothing outside `feeds.venues` names a venue.

A venue × market is one `Venue` object without state. It knows urls, words and shapes; it never does I/O, never reads a
clock, and never invents a sequence, a time or a default. `decode` turns one frame into messages; whatever it cannot read it
refuses with `Undecodable`, whatever it knows but does not use it names with `Unused`.
"""

from collections.abc import Callable, Mapping, Sequence
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
    HALTED = "halted"  # listed, does not trade now: subscribed all the same, it may begin again
    DELISTED = "delisted"  # gone, or said to be: not subscribed, shown as such, looked up again with every refresh


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
    kind: str = ""  # topics of different kinds never share a request


class Bootstrap(StrEnum):
    """Where the first snapshot of a book topic comes from, and with it how a pair is resynced."""

    REST = "rest"  # subscribe, keep deltas, fetch, splice; resync: fetch again on the living subscription
    REQUEST = "request"  # as REST, but asked for on the socket itself (`snapshot_text`), answered by a BookMessage
    IN_BAND = "in band"  # the subscription starts with one; resync: unsubscribe, wait for the ack, subscribe
    IMAGES = "images"  # every message is a full image; resync: the next message


class Proof(Protocol):
    """Verifies one book beside its sequence: a checksum over the levels as the venue spelled them. Made anew with every
    subscription; sees every book message of the topic, in order, before the book does."""

    def check(self, evidence: object) -> str | None:
        """Take a message's `evidence` in. None: it agrees, or nothing can be said yet; else what was expected and seen."""
        ...


class BookChannel(msgspec.Struct, frozen=True):
    """How the book of a pair at some depth is had."""

    depth: str  # what the channel gives: bbo, 20, 50, 400, full …
    rule: SequenceRule
    bootstrap: Bootstrap
    shortfall: str | None = None  # what the task asked and the venue cannot give, in words
    proof: Callable[[], Proof] | None = None  # where messages carry evidence
    speaks_every_ms: int | None = None  # the venue says something of a pair at least so often, changed or not
    cadence: str = ""  # how often it speaks, for people
    evidence: str = ""  # what proves that nothing is missing, for people

    @property
    def spliced(self) -> bool:
        """Whether deltas are kept for a snapshot that is asked for."""
        return self.bootstrap in (Bootstrap.REST, Bootstrap.REQUEST)


class Keepalive(msgspec.Struct, frozen=True):
    """`text`: what WE send when nothing came for `idle_ms`; None: a PING control frame. No frame at all (data, pong or
    ping) for `dead_ms` means the connection is dead.

    every_ms    the venue counts our texts, not its own data: send `text` this often whatever comes
    probe       False: never probe; the server speaks by itself often enough, and PING control frames harm
    """

    text: str | None
    idle_ms: int
    dead_ms: int
    every_ms: int | None = None
    probe: bool = True


class Limits(msgspec.Struct, frozen=True):
    """What the venue enforces, from its sheet; budgets are shared by everything behind one egress address."""

    topics_per_connection: int
    pairs_per_connection: int
    topics_per_request: int
    request_bytes: int
    requests_per_s: float  # per connection, room for pongs left
    connects_per_s: float  # per egress address
    rest_weight_per_minute: int  # per egress address
    rest_window_ms: int = 60_000  # over so long the venue counts it
    lifetime_ms: int | None = None  # the venue ends a socket after this
    forbidden_ban_ms: int | None = None  # HTTP 403 is an answer to too many requests: everybody waits so long


class RestRequest(msgspec.Struct, frozen=True):
    """GET `path` (with query, appended to the REST base url), costing `weight`; with a `body` (JSON) POST it."""

    path: str
    weight: int
    body: str | None = None


# --- what decode() answers ----------------------------------------------------------------------------------------------


class Image(msgspec.Struct, frozen=True):
    """A full image of the window of a book topic: whatever is not in it has left the window."""

    snapshot: Snapshot


class Ack(msgspec.Struct, frozen=True):
    """A request (by id) or one topic of it was acknowledged. Not believed until data comes.

    subscribed    None: the answer does not say whether to a subscribe or an unsubscribe; the request's id does
    kind          an answer without id or topic names only the kind of topic: the oldest unanswered one is meant
    """

    request_id: str | None
    topic: str | None
    subscribed: bool | None
    kind: str = ""


class Refusal(msgspec.Struct, frozen=True):
    """A request or topic was refused.

    fatal_topic      asking again would be refused again (unknown symbol or channel)
    whole_request    it names `topic`, yet nothing else of the request `request_id` was carried out either
    standing         it was refused because the topic is subscribed already
    """

    request_id: str | None
    topic: str | None
    code: str
    text: str
    fatal_topic: bool
    whole_request: bool = False
    standing: bool = False


class Pong(msgspec.Struct, frozen=True):
    """The answer to our keepalive text."""


class Reply(msgspec.Struct, frozen=True):
    """The server pinged in text: send this back at once."""

    text: str


class Welcome(msgspec.Struct, frozen=True):
    """The first frame of a venue that `greets`: from here on requests are heard."""


class GoingAway(msgspec.Struct, frozen=True):
    """The venue announced that it will end this socket: open the next one now."""

    text: str


class Unused(msgspec.Struct, frozen=True):
    """A frame we know by name and do not use (another channel, an old version, a refused symbol)."""

    reason: str


class BookMessage(msgspec.Struct, frozen=True):
    """A delta, an in-band snapshot or an image of the book topic `topic`; `evidence` is for the channel's Proof."""

    topic: str
    event: Delta | Snapshot | Image
    evidence: object = None


# A channel of best prices always comes as Bbo, even where it is the book topic of a pair (depth bbo): a frame does not say
# what it was subscribed for, the session knows, and makes the image of one level from it.
Message = BookMessage | Bbo | Trade | Ack | Refusal | Pong | Reply | Welcome | GoingAway | Unused


class Traits(msgspec.Struct, frozen=True):
    """Habits that few venues have.

    greets             says Welcome first and hears nothing before it
    replaces           a subscribe request replaces what was subscribed of its kind: each must name all of it
    unknown_closes     asking for an unknown symbol closes the whole socket without a word
    repeats_trades     a subscription begins with trades of before: those seen already are dropped by their id
    off_because        not used unless the operator insists (FLEET_VENUES__VENUE__MARKET__ENABLED=true), for this reason
    """

    greets: bool = False
    replaces: bool = False
    unknown_closes: bool = False
    repeats_trades: bool = False
    off_because: str | None = None


PLAIN = Traits()


class Venue(Protocol):
    """One venue × market. Attributes are constants, methods are pure. Venues subclass it: what has a body is the usual."""

    name: str
    market: str
    rest_url: str  # default base, no trailing slash
    ws_url: str  # default base, no trailing slash
    limits: Limits
    keepalive: Keepalive
    sequence_comparable: bool  # whether sequences are the same on every socket (DESIGN §6, seams)
    traits: Traits = PLAIN

    def socket_url(self, base: str, route: str, ticket: bytes | None = None) -> str:
        """Url to open for a route; `ticket` is the body that `ticket_request` brought. Raises Undecodable for a bad one."""
        ...

    def ticket_request(self, route: str) -> RestRequest | None:
        """What to ask by REST before every opening of a socket (a token, an address); None: nothing."""
        return None

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

    def snapshot_text(self, topic: Topic, request_id: int) -> str:
        """The frame that asks for a snapshot of a topic; only called where its bootstrap is REQUEST."""
        raise AssertionError(f"{self.name} {self.market} has no books by request")

    def decode(self, frame: str | bytes, received_us: int, instruments: Instruments) -> list[Message]:
        """Raises Undecodable, and nothing else, for whatever it cannot read. Amounts come out in base units."""
        ...

    def instruments_requests(self) -> list[RestRequest]:
        """What to GET for the metadata."""
        ...

    def more_instruments(self, request: RestRequest, body: bytes) -> RestRequest | None:
        """The request for the page after this one; None: it was the last. Raises Undecodable."""
        return None

    def parse_instruments(self, bodies: Sequence[bytes]) -> Instruments:
        """Raises Undecodable when the body is not metadata."""
        ...

    def snapshot_request(self, instrument: Instrument, depth: str) -> RestRequest:
        """What to GET for a book snapshot; only called where book_channel(depth).bootstrap is REST."""
        ...

    def parse_snapshot(self, body: bytes, instrument: Instrument, received_us: int) -> Snapshot:
        """Raises Undecodable when the body is no snapshot."""
        ...
