"""PURE. The pairs of one connection: wanted, wanted otherwise, left, dropped when they failed. `feeds.session` does the rest.

A pair that fails (`feeds.quarantine`) is dropped without asking anything of its feed, which may be the very thing that fails:
its topics are left, one Reset is put out if its book was live, and a PairFault says so. Nothing is said of it afterwards.
"""

import random
from collections.abc import KeysView

from books.events import Reset, ResetReason
from feeds.outputs import Output, PairFault, Send
from feeds.pair_feed import PairFeed
from feeds.quarantine import fault_text
from feeds.session_pair import SessionPair
from feeds.subscriptions import Subscriptions
from feeds.venue import Instrument, Topic, Venue
from fleet.pair import Pair


class Roster:
    """The pairs of one venue × market × route.

    feeds    pair → PairFeed, for pairs whose book topic is on this route
    """

    def __init__(self, venue: Venue, route: str, rng: random.Random) -> None:
        self.venue = venue
        self.route = route
        self.feeds: dict[Pair, PairFeed] = {}
        self._rng = rng
        self._subscriptions = Subscriptions(venue, rng)
        self._by_topic = self._subscriptions.by_name
        self._pairs: dict[Pair, SessionPair] = {}

    @property
    def pairs(self) -> KeysView[Pair]:
        """Every pair with a topic here."""
        return self._pairs.keys()

    @property
    def topics(self) -> int:
        """Topics wanted on this connection."""
        return len(self._by_topic)

    def inherit(self, other: "Roster") -> None:
        """Know the trades that another session of the same pairs has told."""
        for pair in self._pairs.keys() & other._pairs.keys():
            self._pairs[pair].inherit(other._pairs[pair])

    def add(
        self, instrument: Instrument, depth: str, channels: frozenset[str], wall_us: int, now_ms: float
    ) -> list[Output]:
        """Want a pair, or want it otherwise: only what differs is subscribed or left. Topics of other routes are not ours."""
        out: list[Output] = []
        try:
            self._add(instrument, depth, channels, wall_us, out)
        except Exception as error:  # noqa: BLE001  # costs this pair alone
            self._fail(instrument.pair, error, wall_us, now_ms, out)
        self._request(now_ms, out)
        return out

    def _add(
        self, instrument: Instrument, depth: str, channels: frozenset[str], wall_us: int, out: list[Output]
    ) -> None:
        pair, entry = instrument.pair, self._pairs.get(instrument.pair)
        if entry is None:
            entry = self._pairs[pair] = SessionPair(instrument, depth, channels)
        wanted = [topic for topic in self.venue.topics(instrument, depth, channels) if topic.route == self.route]
        for topic in entry.topics:
            if topic not in wanted:
                self._drop_topic(entry, topic, wall_us, out)
        for topic in wanted:
            if topic in entry.topics:
                continue
            if topic.feeds == "book":
                entry.feed = self.feeds[pair] = PairFeed(pair, self.venue.book_channel(depth), self._rng)
            self._subscriptions.add(topic, entry.feed if topic.feeds == "book" else None)
            if topic.feeds == "book":
                entry.book = self._by_topic[topic.name]
        entry.instrument, entry.depth, entry.channels, entry.topics = instrument, depth, channels, wanted
        if entry.feed is not None:
            entry.feed.channel = self.venue.book_channel(depth)
            entry.book_from_bbo = entry.feed.channel.depth == "bbo"

    def remove(self, pair: Pair, wall_us: int, now_ms: float) -> list[Output]:
        """Do not want a pair any more. A live book ends with Reset(unsubscribed)."""
        out: list[Output] = []
        entry = self._pairs.pop(pair, None)
        if entry is not None:
            for topic in entry.topics:
                self._drop_topic(entry, topic, wall_us, out)
            self._request(now_ms, out)
        return out

    def _drop_topic(self, entry: SessionPair, topic: Topic, wall_us: int, out: list[Output]) -> None:
        self._subscriptions.remove(topic.name, topic.feeds)
        if topic.feeds == "book" and entry.feed is not None:
            self._end_book(topic.pair, wall_us, out)
            entry.feed = entry.book = entry.fetch = None

    def _end_book(self, pair: Pair, wall_us: int, out: list[Output]) -> None:
        """Nothing of the feed is called: it may be what fails."""
        feed = self.feeds.pop(pair, None)
        if feed is not None and feed.live:
            feed.live = False
            out.append(Reset(pair=pair, received_us=wall_us, reason=ResetReason.UNSUBSCRIBED))

    def failed(self, pair: Pair, error: Exception, wall_us: int, now_ms: float) -> list[Output]:
        """Whoever took the events of a pair failed on one of them."""
        out: list[Output] = []
        self._fail(pair, error, wall_us, now_ms, out)
        return out

    def _fail(self, pair: Pair, error: Exception, wall_us: int, now_ms: float, out: list[Output]) -> None:
        self._drop(pair, PairFault(pair, fault_text(error), error), wall_us, now_ms, out)

    def _drop(self, pair: Pair, fault: PairFault, wall_us: int, now_ms: float, out: list[Output]) -> None:
        """Leave a pair that failed; whatever else is heard of it is not told."""
        if self._pairs.pop(pair, None) is None:
            return
        for known in [known for known in self._by_topic.values() if known.topic.pair == pair]:
            for use in list(known.uses):
                self._subscriptions.remove(known.topic.name, use)
        self._end_book(pair, wall_us, out)
        out.append(fault)
        self._request(now_ms, out)

    def _request(self, now_ms: float, out: list[Output]) -> None:
        out.extend(Send(text) for text in self._subscriptions.requests(now_ms))
