"""PURE. The life of one connection: frames in; events, texts to send and commands out. Names no venue, reads no clock.

A session outlives its sockets: `opened` and `closed` alternate, pairs stay. Whoever drives it (`feeds.link`) carries out what
is put into the answer and decides nothing; all of it is decided here, in `feeds.subscriptions` (topics and their requests)
and in `feeds.pair_feed` (a pair's book).

Times: `now_ms` is a monotonic clock, `received_us` and `wall_us` the wall clock of the moment. A live pair without an event for
MARK_MS on a connection proved alive (`feeds.liveness`) gets a Mark; one that is silent against its own rhythm
(`feeds.rhythm`) a Reset, and its subscription is renewed.
"""

import random

from books.events import Bbo, Delta, Mark, ResetReason, Snapshot, Trade
from feeds.feed_words import Want
from feeds.liveness import Health, Liveness
from feeds.outputs import Failure, Fetch, Output, PairFault, PairRefused, Ping, Reconnect, Replace, Send
from feeds.pair_feed import PairFeed
from feeds.quarantine import fault_text
from feeds.roster import Roster
from feeds.sampling import Sampler
from feeds.session_pair import SessionPair, image_of
from feeds.subscriptions import Subscription
from feeds.venue import (
    Ack,
    BookMessage,
    Bootstrap,
    GoingAway,
    Image,
    Instruments,
    Message,
    Refusal,
    Reply,
    Undecodable,
    Venue,
    Welcome,
)  # fmt: skip

MARK_MS = 10_000.0
MEASURE_MS = 1_000.0
WELCOME_MS = 10_000.0


class Session(Roster):
    """One connection of one venue × market × route.

    frames, undecodable, unused, refusals      counted since the session was made
    """

    def __init__(self, venue: Venue, instruments: Instruments, route: str, rng: random.Random) -> None:
        super().__init__(venue, route, rng)
        self.instruments = instruments  # may be replaced by newer ones at any time
        self.frames = self.unused = self.refusals = 0
        self.unread = Sampler()
        self.last_refusal = ""
        self.is_open = False
        self._liveness = Liveness(venue.keepalive, venue.limits.lifetime_ms, rng)
        self._decode = venue.decode
        self._repeats_trades = venue.traits.repeats_trades
        self._welcome_by_ms: float | None = None  # while the venue has yet to say welcome
        self._measured_ms = 0.0
        self._had_data = False

    def __repr__(self) -> str:
        live = sum(feed.live for feed in self.feeds.values())
        return f"<Session {self.venue.name}:{self.venue.market}/{self.route} {live}/{len(self.feeds)} live>"

    @property
    def undecodable(self) -> int:
        """Frames and answers that could not be read."""
        return self.unread.seen

    @property
    def renewals(self) -> int:
        """Subscriptions that had to be made again."""
        return self._subscriptions.renewals

    def wait_ms(self, now_ms: float) -> float:
        """How long until the next request may be sent; infinite while there is none."""
        return self._subscriptions.wait_ms(now_ms)

    @property
    def settled(self) -> bool:
        """Whether every topic that is wanted here has been acknowledged."""
        return self._subscriptions.settled

    def proved(self, now_ms: float) -> bool:
        """Whether the connection is known to be alive: something was heard within liveness.PROVED_MS."""
        return self.is_open and self._liveness.proved(now_ms)

    def had_data(self) -> bool:
        """Whether the socket that is open, or was last, brought market data."""
        return self._had_data or any(feed.last_message_ms is not None for feed in self.feeds.values())

    # ── the socket ───────────────────────────────────────────────────────────────────────────────────────────────

    def opened(self, now_ms: float) -> list[Output]:
        """A socket was opened."""
        out: list[Output] = []
        self.is_open = True
        self._measured_ms = now_ms
        self._had_data = False
        self._liveness.opened(now_ms)
        if self.venue.traits.greets:
            self._welcome_by_ms = now_ms + WELCOME_MS
        else:
            self._subscriptions.opened(now_ms)
            self._request(now_ms, out)
        return out

    def closed(self, reason: str, wall_us: int) -> list[Output]:
        """The socket is gone: no book can be trusted."""
        out: list[Output] = []
        self.is_open = False
        self._welcome_by_ms = None
        for convicted in self._subscriptions.closed():
            self._give_up(convicted, f"the venue closed the socket whenever {convicted.topic.name} was asked for", out)
        for pair, entry in list(self._pairs.items()):
            entry.fetch = None
            if entry.feed is None:
                continue
            try:
                entry.feed.lost(ResetReason.DISCONNECT, wall_us, out)
                entry.feed.reason = f"disconnected: {reason}"
            except Exception as error:  # noqa: BLE001  # costs this pair alone
                self._fail(pair, error, wall_us, 0.0, out)
        return out

    def receive(self, frame: bytes | str, received_us: int, now_ms: float) -> list[Output]:
        """The hot path: one frame."""
        out: list[Output] = []
        self.frames += 1
        self._liveness.heard_ms = now_ms
        try:
            messages = self._decode(frame, received_us, self.instruments)
        except Undecodable as error:
            self.unread.take(frame, str(error), now_ms, out)
            return out
        except Exception as error:  # noqa: BLE001  # a decoder's bug: the frame is unread, the connection is as good as before
            self.unread.take(frame, fault_text(error), now_ms, out)
            return out
        for message in messages:
            if type(message) is BookMessage:
                subscription = self._by_topic.get(message.topic)
                feed = None if subscription is None else subscription.ear
                if feed is None:
                    self.unused += 1
                    continue
                event = message.event
                try:
                    if message.evidence is not None and feed.disproved(message.evidence, received_us, now_ms, out):
                        pass
                    elif type(event) is Delta:
                        feed.delta(event, now_ms, out)
                    elif type(event) is Image:
                        feed.image(event.snapshot, now_ms, out)
                    elif type(event) is Snapshot:
                        if feed.channel.bootstrap is Bootstrap.REQUEST:
                            self._subscriptions.snapshot_came(message.topic)
                            feed.fetched(event, now_ms, out)
                        else:
                            feed.snapshot(event, now_ms, out)
                    if feed.due_ms <= now_ms:
                        self._next_snapshot(feed, now_ms, out)
                except Exception as error:  # noqa: BLE001  # costs this pair alone
                    self._fail(feed.pair, error, received_us, now_ms, out)
            elif type(message) is Bbo or type(message) is Trade:
                self._had_data = True
                try:
                    self._tell(message, now_ms, out)
                except Exception as error:  # noqa: BLE001  # costs this pair alone
                    self._fail(message.pair, error, received_us, now_ms, out)
            else:
                self._answer(message, now_ms, out)
        return out

    def snapshot(
        self, fetch: Fetch, answer: bytes | Snapshot | Failure, received_us: int, now_ms: float
    ) -> list[Output]:
        """The answer to a Fetch, or a book that was had elsewhere. One that is no longer waited for is dropped."""
        out: list[Output] = []
        entry = self._pairs.get(fetch.pair)
        if entry is None or entry.fetch is not fetch or entry.feed is None:
            return out
        entry.fetch = None
        if isinstance(answer, Failure):
            retry_after_ms = None if answer.retry_after_ms is None else float(answer.retry_after_ms)
            entry.feed.fetch_failed(f"{answer.kind}: {answer.text}", now_ms, retry_after_ms)
            return out
        try:
            parse = self.venue.parse_snapshot
            snapshot = answer if isinstance(answer, Snapshot) else parse(answer, entry.instrument, received_us)
        except Exception as error:  # noqa: BLE001  # Undecodable, or a decoder's bug: in both cases an unread answer
            text = str(error) if isinstance(error, Undecodable) else fault_text(error)
            self.unread.take(answer if isinstance(answer, bytes) else b"", text, now_ms, out)
            entry.feed.fetch_failed(text, now_ms)
            return out
        try:
            entry.feed.fetched(snapshot, now_ms, out)
            if entry.feed.due_ms <= now_ms:
                self._next_snapshot(entry.feed, now_ms, out)
        except Exception as error:  # noqa: BLE001  # costs this pair alone
            self._fail(fetch.pair, error, received_us, now_ms, out)
        return out

    def tick(self, now_ms: float, wall_us: int, *, heard_ms: float = 0.0, reading: bool = True) -> list[Output]:
        """Called a few times a second. `heard_ms`: when the last byte came, control frames too; `reading`: False while the
        driver holds back reading, since nobody's silence means anything then."""
        out: list[Output] = []
        judge = self._liveness.tick(now_ms, heard_ms, reading=reading)
        if not self.is_open:
            return out
        if judge and self._is_dead(now_ms, out):
            return out
        if self._welcome_by_ms is not None and now_ms >= self._welcome_by_ms:
            out.append(Reconnect(f"no welcome within {WELCOME_MS / 1000:.0f} s"))
            return out
        if self._liveness.ending(now_ms):
            out.append(Replace("the venue's lifetime of a connection ends soon"))
        for subscription in self._subscriptions.overdue(now_ms):
            if subscription.feed is not None:
                subscription.feed.reason = f"no data of {subscription.topic.name}: subscribing again"
        for subscription in self._subscriptions.snapshots_overdue(now_ms):
            if subscription.feed is not None:
                subscription.feed.fetch_failed("no answer to the request for it", now_ms)
        measure = now_ms - self._measured_ms >= MEASURE_MS
        if measure:
            self._measured_ms = now_ms
        for pair, entry in list(self._pairs.items()):
            feed = entry.feed
            if feed is None:
                continue
            try:
                if measure:
                    feed.measure(now_ms)
                if feed.live and judge:
                    self._watch(entry, feed, now_ms, wall_us, out)
                if feed.due_ms <= now_ms:
                    self._next_snapshot(feed, now_ms, out)
            except Exception as error:  # noqa: BLE001  # costs this pair alone
                self._fail(pair, error, wall_us, now_ms, out)
            if feed.losses.poison:
                self._drop(pair, PairFault(pair, feed.losses.poison, tried=True), wall_us, now_ms, out)
        self._request(now_ms, out)
        return out

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _is_dead(self, now_ms: float, out: list[Output]) -> bool:
        """Probe a quiet connection, give up a dead one."""
        health = self._liveness.health(now_ms)
        if health is Health.PROBE:
            text = self.venue.keepalive.text
            out.append(Ping() if text is None else Send(text))
        elif health is Health.DEAD:
            out.append(Reconnect(f"nothing heard for {self._liveness.quiet_ms(now_ms) / 1000:.1f} s"))
        return health is Health.DEAD

    def _watch(self, entry: SessionPair, feed: PairFeed, now_ms: float, wall_us: int, out: list[Output]) -> None:
        """A live pair: silent against its rhythm, or quiet and to be marked?"""
        silent_ms = feed.silent_for_ms(now_ms)
        if silent_ms is not None:
            usual_ms = feed.channel.speaks_every_ms or feed.rhythm.usual_pause_ms
            text = f"no data for {silent_ms / 1000:.1f} s, usual are {usual_ms / 1000:.1f} s at most"
            entry.fetch = None
            feed.resync(ResetReason.SILENCE, text, wall_us, now_ms, out)
            return
        if feed.events != entry.events:
            entry.events, entry.event_ms = feed.events, now_ms
        elif now_ms - entry.event_ms >= MARK_MS and self.proved(now_ms):
            entry.event_ms = now_ms
            out.append(Mark(pair=feed.pair, received_us=wall_us))

    def _next_snapshot(self, feed: PairFeed, now_ms: float, out: list[Output]) -> None:
        """Do what the feed wants for its next snapshot."""
        want = feed.take(now_ms)
        entry = self._pairs.get(feed.pair)
        if want is None or entry is None:
            return
        if want is Want.FETCH and feed.channel.bootstrap is Bootstrap.REQUEST and entry.book is not None:
            self._subscriptions.ask_snapshot(entry.book.topic.name)
            self._request(now_ms, out)
        elif want is Want.FETCH:
            entry.fetch = Fetch(feed.pair, self.venue.snapshot_request(entry.instrument, entry.depth))
            out.append(entry.fetch)
        elif entry.book is not None:
            self._subscriptions.renew(entry.book.topic.name)
            self._request(now_ms, out)

    def _tell(self, message: Bbo | Trade, now_ms: float, out: list[Output]) -> None:
        """Best prices or a trade."""
        entry = self._pairs.get(message.pair)
        if entry is None:
            self.unused += 1
        elif isinstance(message, Bbo):
            self._best(message, entry, now_ms, out)
        elif "trades" not in entry.channels:
            self.unused += 1
        elif not self._repeats_trades or entry.is_new(message):
            out.append(message)

    def _best(self, bbo: Bbo, entry: SessionPair, now_ms: float, out: list[Output]) -> None:
        if entry.book_from_bbo and entry.book is not None and entry.book.ear is not None:
            entry.book.ear.image(image_of(bbo), now_ms, out)
        if "bbo" in entry.channels and entry.is_news(bbo):
            out.append(bbo)

    def _answer(self, message: Message, now_ms: float, out: list[Output]) -> None:
        """Whatever is not market data."""
        if isinstance(message, Ack):
            for subscription in self._subscriptions.acknowledged(message, now_ms):
                if subscription.feed is not None:
                    subscription.feed.subscribed(now_ms)
            self._request(now_ms, out)
        elif isinstance(message, Refusal):
            self._refused(message, now_ms, out)
        elif isinstance(message, Reply):
            out.append(Send(message.text))
        elif isinstance(message, GoingAway):
            out.append(Replace(message.text))
        elif isinstance(message, Welcome):
            if self._welcome_by_ms is not None:
                self._welcome_by_ms = None
                self._subscriptions.opened(now_ms)
                self._request(now_ms, out)
        else:  # Pong counts as heard, and so does what we do not use
            self.unused += 1

    def _refused(self, refusal: Refusal, now_ms: float, out: list[Output]) -> None:
        self.refusals += 1
        self.last_refusal = f"{refusal.code}: {refusal.text}"
        asked = self._subscriptions.snapshot_refused(refusal.request_id)
        if asked is not None and asked.feed is not None:
            asked.feed.fetch_failed(self.last_refusal, now_ms)
        for subscription in self._subscriptions.refused(refusal, now_ms):
            self._give_up(subscription, f"{subscription.topic.name} was refused with {self.last_refusal}", out)
        self._request(now_ms, out)

    def _give_up(self, subscription: Subscription, reason: str, out: list[Output]) -> None:
        """A topic is not to be had."""
        topic = subscription.topic
        entry = self._pairs.get(topic.pair)
        if entry is not None:
            entry.topics = [known for known in entry.topics if known.name != topic.name]
            if entry.feed is not None and "book" in subscription.uses:
                entry.feed.reason = reason
        out.append(PairRefused(topic.pair, reason))
