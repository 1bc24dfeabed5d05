"""One venue × market at work: its instruments, and its pairs packed on as few connections as its limits allow."""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator

from books.events import Event
from feeds.feed_words import FeedState
from feeds.handover import Handover
from feeds.instruments import InstrumentLoader, why_unknown
from feeds.link import Borrow, Link, LinkOwner, first_of, no_book, nothing_to_borrow
from feeds.outage import Outage
from feeds.pair_feed import PairFeed
from feeds.pair_state import PairState, Wanted, state_of
from feeds.quarantine import Ward, fault_text
from feeds.rest import Budget, Rest
from feeds.session import Session
from feeds.venue import Instruments, InstrumentStatus, Topic, Venue
from fleet import backoff, clock
from fleet.errors import ConfigError
from fleet.pair import Pair

HANDOVER_MOST_S = 45.0  # announcements come about a minute ahead
HANDOVER_ROUNDS = 10
SETTLE_LOOK_S = 0.1
SETTLE_MOST_S = 5.0  # books have moved: how long the topics without a book are waited for

TEND_S = 0.25  # how often it is seen whose pause is over

__all__ = ["Market", "PairState", "Wanted"]

_log = logging.getLogger(__name__)


class Market:
    """`run` until cancelled; everything else is synchronous and may be called before. Neither ever raises: a venue's trouble,
    and what of ours fails over it, costs the pair, the connection or this venue × market, with growing pauses.

    ward     the pairs that have failed
    outage   whether connections can be had at all
    faults   of our own that cost the whole market
    """

    def __init__(
        self,
        venue: Venue,
        *,
        ws_url: str,
        rest_url: str,
        rest: Rest,
        budget: Budget,
        on_event: Callable[[Pair, Event], None],
        on_refused: Callable[[Pair, str], None],
        on_sample: Callable[[str, str, bytes, str], None],
        gate: asyncio.Event,
        rng: random.Random,
        pairs_per_connection: int,
        borrow: Borrow = nothing_to_borrow,
        off_because: str | None = None,
        first_delay_s: float = backoff.FIRST_S,
    ) -> None:
        self.venue = venue
        self.loader = InstrumentLoader(venue, rest_url, rest, rng)
        self.ward = Ward(rng)
        self.outage = Outage(rng)
        self.faults = 0
        self.refused: dict[Pair, str] = {}
        self.handovers = 0
        self._ws_url = ws_url
        self._rest_url = rest_url
        self._rest = rest
        self._budget = budget
        self._on_refused = on_refused
        self._borrow = borrow
        self._gate = gate
        self._rng = rng
        self._off_because = off_because
        self._most_pairs = min(pairs_per_connection, venue.limits.pairs_per_connection)
        self._first_delay_s = first_delay_s
        self._owner = LinkOwner(
            on_event,
            lambda _, pair, reason: self._refuse(pair, reason),
            lambda _, frame, reason: on_sample(venue.name, venue.market, frame, reason),
            self._ending,
            lambda _, pair, reason, tried: self.fail(pair, reason, tried=tried),
        )
        self._wanted: dict[Pair, Wanted] = {}
        self._placed: dict[tuple[Pair, str], Link] = {}
        self._books: dict[Pair, Link] = {}
        self._links: dict[Link, asyncio.Task[None]] = {}
        self._leaving: dict[Link, tuple[Link, Handover]] = {}  # connection that will end → its successor
        self._group: asyncio.TaskGroup | None = None

    def __repr__(self) -> str:
        return f"<Market {self.venue.name}:{self.venue.market} {len(self._wanted)} pairs on {len(self._links)} connections>"

    async def run(self) -> None:
        """Until cancelled. A fault of our own that is no pair's and no connection's costs this market: it starts over."""
        delays = backoff.delays(self._rng, self._first_delay_s)
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    if self._off_because is not None:
                        await asyncio.Event().wait()  # until cancelled; nobody is asked anything
                    self._group = group
                    group.create_task(self._tend(), name=f"quarantine {self.venue.name} {self.venue.market}")
                    await self.loader.run(self._loaded)
            except* Exception as faults:  # noqa: BLE001  # counted, shown: one venue must not end the others
                self.faults += 1
                first = first_of(faults)
                self.loader.reason = fault_text(first)
                _log.error("%r failed and starts over", self, exc_info=first)
            finally:
                self._group = None
                self._close_all("this daemon stopped listening")
            await asyncio.sleep(next(delays))

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(TEND_S)
            for pair in self.ward.due(clock.mono_ms()):
                if pair in self._wanted:
                    self._place(pair)

    def _close_all(self, reason: str) -> None:
        for link in list(self._links):
            link.finish(reason)
        self._links.clear()
        self._placed.clear()
        self._books.clear()
        self._leaving.clear()

    @property
    def links(self) -> list[Link]:
        """The connections there are."""
        return list(self._links)

    def subscribe(self, pair: Pair, wanted: Wanted) -> None:
        """Want a pair, or want it otherwise."""
        self._wanted[pair] = wanted
        self.refused.pop(pair, None)
        self._place(pair)

    def unsubscribe(self, pair: Pair) -> None:
        """Do not want it any more. A live book ends with Reset(unsubscribed)."""
        self._wanted.pop(pair, None)
        self.refused.pop(pair, None)
        self.ward.forget(pair)
        self._leave(pair)

    def fail(self, pair: Pair, reason: str, *, tried: bool = False) -> None:
        """A pair failed, here or behind us (its outbox): its book ends with a Reset, it leaves all its connections and waits.
        Its lease stays ours, so that nobody else gets the fault."""
        self.ward.fault(pair, reason, clock.mono_ms(), tried=tried)
        if self.ward.holds(pair):
            self._leave(pair)
            _log.warning("%s: %s", pair, self.ward.words(pair, clock.mono_ms()))

    def feed(self, pair: Pair) -> PairFeed | None:
        """The pair's book; None while it has no connection (yet)."""
        link = self._books.get(pair)
        return None if link is None else link.session.feeds.get(pair)

    def proved(self, pair: Pair, now_ms: float) -> bool:
        """Whether the pair's connection is known to be alive."""
        link = self._books.get(pair)
        return link is not None and link.session.proved(now_ms)

    def hears(self) -> bool | None:
        """Whether a connection is open; False: all that was tried has failed; None: nothing was tried yet, or is wanted."""
        if any(link.session.is_open for link in self._links):
            return True
        failed = any(link.reconnects for link in self._links)
        return False if failed or (self._wanted and not self.loader.loads and self.loader.failures) else None

    def states(self) -> Iterator[PairState]:
        """Every wanted pair."""
        for pair in self._wanted:
            try:
                yield self._state(pair)
            except Exception as error:  # noqa: BLE001  # one pair that cannot be shown must not end the heartbeat
                yield state_of(pair, FeedState.SYNCING.value, fault_text(error), "", None)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _loaded(self, instruments: Instruments) -> None:
        for link in self._links:
            link.session.instruments = instruments
        for pair in self._wanted:
            feed = self.feed(pair)
            if self._is_delisted(pair) and feed is not None and not feed.live:
                self._leave(pair)
            if pair in self.refused or not any(key[0] == pair for key in self._placed):
                self._place(pair)

    def _is_delisted(self, pair: Pair) -> bool:
        return self._status(pair) is InstrumentStatus.DELISTED

    def _status(self, pair: Pair) -> InstrumentStatus | None:
        instrument = None if self.loader.instruments is None else self.loader.instruments.by_pair.get(pair)
        return None if instrument is None else instrument.status

    def _refuse(self, pair: Pair, reason: str) -> None:
        if self.refused.get(pair) != reason:
            self.refused[pair] = reason
            self._on_refused(pair, reason)

    def _leave(self, pair: Pair) -> None:
        self._books.pop(pair, None)
        for key in [key for key in self._placed if key[0] == pair]:
            self._withdraw(key)

    def _place(self, pair: Pair) -> None:
        """Give a pair its connections, one a route; repeated when it is wanted otherwise."""
        try:
            self._connect(pair)
        except Exception as error:  # noqa: BLE001  # costs this pair alone; our caller is another's business
            _log.error("%s: %s", pair, fault_text(error), exc_info=error)
            self.fail(pair, fault_text(error))

    def _connect(self, pair: Pair) -> None:
        if self.ward.holds(pair):
            return
        if self._off_because is not None:
            self._refuse(pair, self._off_because)
            return
        instruments, wanted = self.loader.instruments, self._wanted[pair]
        if instruments is None or self._group is None:
            return
        instrument = instruments.by_pair.get(pair)
        if instrument is None:
            self._refuse(pair, why_unknown(instruments, pair))
            return
        if instrument.status is InstrumentStatus.DELISTED and not any(key[0] == pair for key in self._placed):
            self._refuse(pair, f"{pair.venue} has delisted {instrument.symbol}")
            return
        try:
            topics = self.venue.topics(instrument, wanted.depth, wanted.channels)
        except ConfigError as error:
            self._refuse(pair, str(error))
            return
        self.refused.pop(pair, None)
        routes = {topic.route for topic in topics}
        for key in [key for key in self._placed if key[0] == pair and key[1] not in routes]:
            self._withdraw(key)
        for route in sorted(routes):
            link = self._placed.get((pair, route)) or self._room(instruments, route, _count(topics, route))
            self._placed[pair, route] = link
            if any(topic.feeds == "book" and topic.route == route for topic in topics):
                self._books[pair] = link
            link.add(instrument, wanted.depth, wanted.channels)
            if link in self._leaving:
                self._leaving[link][0].add(instrument, wanted.depth, wanted.channels)
            if self.ward.holds(pair):
                return  # it failed while it was added

    def _room(self, instruments: Instruments, route: str, topics: int) -> Link:
        """The fullest connection with room, else a new one."""
        fits = [
            link
            for link in self._links
            if link.session.route == route
            and link not in self._leaving
            and len(link.session.pairs) < self._most_pairs
            and link.session.topics + topics <= self.venue.limits.topics_per_connection
        ]
        return max(fits, key=lambda link: len(link.session.pairs)) if fits else self._open(instruments, route)

    def _open(self, instruments: Instruments, route: str) -> Link:
        if self._group is None:
            raise RuntimeError("connections are opened while the market runs only")
        link = Link(
            Session(self.venue, instruments, route, self._rng),
            ws_url=self._ws_url,
            rest_url=self._rest_url,
            rest=self._rest,
            budget=self._budget,
            owner=self._owner,
            borrow=self._borrow,
            gate=self._gate,
            rng=self._rng,
            priority=self._priority,
            first_delay_s=self._first_delay_s,
            outage=self.outage,
        )
        self._links[link] = self._group.create_task(link.run(), name=f"link {link.connection.url}")
        return link

    def _priority(self, pair: Pair) -> int:
        wanted = self._wanted.get(pair)
        return 1 if wanted is None else wanted.priority

    def _withdraw(self, key: tuple[Pair, str]) -> None:
        """Take a pair off a connection; an empty connection is closed."""
        link = self._placed.pop(key)
        leaving = self._leaving.get(link)
        link.remove(key[0])
        if leaving is not None:  # the line ends with the word of who was heard until now, and of nobody else
            leaving[0].discard(key[0])
            leaving[1].forget(key[0])
        for one in (link,) if leaving is None else (link, leaving[0]):
            if not one.session.pairs and one not in self._leaving:
                self._end(one, "no pair is left on it")

    def _end(self, link: Link, reason: str) -> None:
        task = self._links.pop(link, None)
        if task is not None:
            task.cancel()
        link.finish(reason)

    # ── make before break ────────────────────────────────────────────────────────────────────────────────────────

    def _ending(self, link: Link, reason: str) -> None:
        instruments = self.loader.instruments
        if link in self._leaving or link not in self._links or instruments is None or self._group is None:
            return
        successor = self._open(instruments, link.session.route)
        done = asyncio.Event()
        handover = Handover(
            link.session.feeds.get,
            successor.session.feeds.get,
            link.session.pairs,
            comparable=self.venue.sequence_comparable,
            emit=self._owner.event,
            moved=lambda pair: self._moved(pair, link, successor),
            done=done.set,
        )
        _log.info("%r will end (%s): its pairs move", link, reason)
        link.emit, successor.emit, successor.lend = handover.from_old, handover.from_new, handover.lend
        self._leaving[link] = (successor, handover)
        self.handovers += 1
        for pair in list(link.session.pairs):
            wanted, instrument = self._wanted.get(pair), instruments.by_pair.get(pair)
            if wanted is not None and instrument is not None:
                successor.add(instrument, wanted.depth, wanted.channels)
        successor.session.inherit(link.session)
        self._group.create_task(
            self._hand_over(link, successor, handover, done), name=f"handover {link.connection.url}"
        )

    async def _hand_over(self, link: Link, successor: Link, handover: Handover, done: asyncio.Event) -> None:
        """Wait until every pair has moved, not for ever, then close the old connection. While it is good nothing is better for
        a pair that its successor has not brought live."""
        for _ in range(HANDOVER_ROUNDS):
            try:
                async with asyncio.timeout(HANDOVER_MOST_S):
                    await done.wait()
                break
            except TimeoutError:
                _log.warning("%r: %d pairs did not move in time", link, len(handover.waiting))
                if not link.session.is_open and successor.session.is_open:
                    break
        try:
            async with asyncio.timeout(SETTLE_MOST_S):
                while link.session.is_open and not successor.session.settled:  # noqa: ASYNC110 - a session has no event
                    await asyncio.sleep(SETTLE_LOOK_S)
        except TimeoutError:
            _log.warning("%r: not everything was acknowledged in time", successor)
        self._end(link, "replaced")
        handover.settle(clock.wall_us())
        successor.emit, successor.lend = self._owner.event, no_book
        del self._leaving[link]
        if not successor.session.pairs:
            self._end(successor, "no pair is left on it")

    def _moved(self, pair: Pair, link: Link, successor: Link) -> None:
        route = link.session.route
        if self._placed.get((pair, route)) is link:
            self._placed[pair, route] = successor
        if self._books.get(pair) is link:
            self._books[pair] = successor

    def _state(self, pair: Pair) -> PairState:
        feed = self.feed(pair)
        link = self._books.get(pair)
        state, reason = FeedState.WAITING.value, self.loader.reason
        if feed is not None:
            state, reason = feed.state.value, feed.reason
        elif any(key[0] == pair for key in self._placed):
            state, reason = FeedState.LIVE.value, "no book is asked for"
        status = self._status(pair)
        if status not in (None, InstrumentStatus.TRADING):
            reason = f"{status} at the venue" + (f"; {reason}" if reason else "")
        if pair in self.refused:
            reason = self.refused[pair]
            if feed is None or not feed.live:  # else only another channel of the pair was refused
                state = "refused"
        held = self.ward.words(pair, clock.mono_ms())
        if held is not None:
            state, reason = FeedState.QUARANTINE.value, held
        return state_of(pair, state, reason, "" if link is None else link.status, feed)


def _count(topics: list[Topic], route: str) -> int:
    return len({topic.name for topic in topics if topic.route == route})
