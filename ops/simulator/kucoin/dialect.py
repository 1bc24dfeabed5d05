"""What the two generations of KuCoin's sockets have in common: a session, channels, and what the port's owner must offer."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Protocol

from ops.simulator.catalogue import Listing
from ops.simulator.faults import Faults
from ops.simulator.feed import Feed
from ops.simulator.limits import SlidingLimit
from ops.simulator.market import Trade
from ops.simulator.window import Delta
from ops.simulator.wire import Peer

LastTrade = tuple[int, int, bool]  # ticks, lots, the taker bought


class Kind(Enum):
    """When a channel speaks."""

    DELTA = "every change of the book, once"
    TOUCH = "when the best prices or sizes change"
    VIEW = "by the clock"
    TRADES = "every fill"


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel of one instrument. `repeats`: a view is sent again though nothing changed."""

    kind: Kind
    depth: int = 0
    interval_ms: int = 100
    repeats: bool = False


@dataclass(eq=False, slots=True)
class Session:
    """What the venue knows of one connection."""

    dialect: "Dialect"
    connect_id: str
    messages: SlidingLimit
    pings: SlidingLimit
    heard_ms: float  # when the client last said something, a control frame is nothing
    welcomed: bool = False  # before, nothing is heard
    topics: set[tuple[str, str]] = field(default_factory=set)  # stream and symbol, of unknown symbols too


class Owner(Protocol):
    """The simulated venue, as far as a dialect needs it."""

    market: str
    enforce_limits: bool
    faults: Faults
    listings: dict[str, Listing]

    def wall_ms(self) -> int: ...
    def mono_ms(self) -> float: ...
    def breach(self, what: str) -> None: ...
    def reply(self, peer: Peer, message: Any) -> None: ...
    def feed(self, listing_id: str) -> Feed: ...
    def subscribe(self, peer: Peer, session: Session, stream: str, symbol: str) -> None: ...
    def unsubscribe(self, peer: Peer, session: Session, stream: str, symbol: str) -> None: ...
    def last_trade(self, feed: Feed) -> LastTrade: ...


class Dialect(ABC):
    """One generation's grammar and payloads. `channels`: by the name of their stream."""

    channels: Mapping[str, Channel]
    binary: ClassVar[bool]
    messages_per_10_s: ClassVar[int]

    def __init__(self, owner: Owner) -> None:
        self.owner = owner

    @abstractmethod
    def welcome(self, session: Session) -> dict[str, Any]:
        """The first frame."""

    @abstractmethod
    def hear(self, peer: Peer, session: Session, data: bytes) -> None:
        """Act on a client's message."""

    @abstractmethod
    def silent(self, peer: Peer, session: Session) -> None:
        """The client said nothing for too long."""

    @abstractmethod
    def first(self, feed: Feed, stream: str, sequence: int) -> str | None:
        """What a subscription begins with, if it does."""

    @abstractmethod
    def deltas(self, feed: Feed, stream: str, delta: Delta, first: int) -> list[str]:
        """The frames of the changes from `first` on."""

    @abstractmethod
    def view(self, feed: Feed, stream: str) -> str:
        """What a channel without deltas shows now."""

    @abstractmethod
    def trades(self, feed: Feed, stream: str, trade: Trade) -> list[str]:
        """One frame a fill."""
