"""PURE. How recordings of KuCoin are replayed, whichever generation of sockets they hold. Never used live.

A recording is of KuCoin, not of one of its generations: `feeds.replay kucoin spot FILE` must read both. The two packages do
not know one another; here they are put side by side, and each frame is read by the one that knows it. Both count changes of a
book with one numbering and one rule (CONTIGUOUS); a book starts with a snapshot in band (Pro) or of REST (Classic).
"""

from collections.abc import Sequence
from typing import Final

from books.events import Snapshot
from feeds.venue import BookChannel, Instrument, Instruments, Message, RestRequest, Topic, Unused, Venue
from feeds.venues.history import History
from feeds.venues.kucoin.market_data import CLASSIC, Kucoin
from feeds.venues.kucoin_classic.market_data import KucoinClassic


class BothGenerations(Venue):
    """KuCoin as its recordings hold it."""

    def __init__(self, market: str) -> None:
        self._pro, self._classic = Kucoin(market), KucoinClassic(market)
        pro = self._pro
        self.name, self.market, self.rest_url, self.ws_url = pro.name, market, pro.rest_url, pro.ws_url
        self.limits, self.keepalive = pro.limits, pro.keepalive
        self.sequence_comparable = pro.sequence_comparable

    def __repr__(self) -> str:
        return f"<BothGenerations {self.market}>"

    def socket_url(self, base: str, route: str, ticket: bytes | None = None) -> str:
        """Nobody dials for a recording."""
        return base

    def book_channel(self, depth: str) -> BookChannel:
        """As Classic: a book waits for a snapshot of REST; one in band is taken all the same. Raises ConfigError."""
        return self._classic.book_channel(depth)

    def topics(self, instrument: Instrument, depth: str, channels: frozenset[str]) -> list[Topic]:
        """As Pro; a replay takes its topics from the file."""
        return self._pro.topics(instrument, depth, channels)

    def subscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """As Pro; nobody reads it."""
        return self._pro.subscribe(topics, request_id)

    def unsubscribe(self, topics: Sequence[Topic], request_id: int) -> str:
        """As Pro; nobody reads it."""
        return self._pro.unsubscribe(topics, request_id)

    def decode(self, frame: str | bytes, received_us: int, instruments: Instruments) -> list[Message]:
        """Raises Undecodable, and nothing else."""
        messages = self._pro.decode(frame, received_us, instruments)
        if any(isinstance(message, Unused) and message.reason.startswith(CLASSIC) for message in messages):
            return self._classic.decode(frame, received_us, instruments)
        return messages

    def instruments_requests(self) -> list[RestRequest]:
        """The same for both."""
        return self._pro.instruments_requests()

    def parse_instruments(self, bodies: Sequence[bytes]) -> Instruments:
        """Raises Undecodable when a body is no list of instruments."""
        return self._pro.parse_instruments(bodies)

    def snapshot_request(self, instrument: Instrument, depth: str) -> RestRequest:
        """The same for both."""
        return self._pro.snapshot_request(instrument, depth)

    def parse_snapshot(self, body: bytes, instrument: Instrument, received_us: int) -> Snapshot:
        """Raises Undecodable when the body is no book."""
        return self._pro.parse_snapshot(body, instrument, received_us)


HISTORY: Final = (History(BothGenerations("spot")), History(BothGenerations("futures")))
