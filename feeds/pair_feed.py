"""PURE. One pair's book as the venue's messages build it: sequence chain, kept deltas, and when to ask for a new snapshot.

Events go into a sink as they become true; `book` is always the state after every event put there. Two rules of this file:
nothing of a pair is put out before its first Snapshot, and a Reset is put out once, when a live book stops being trusted.

    delta       live: applied and passed on, if it links · not live: kept for the splice (bootstrap by REST) or dropped
    snapshot    in band: replaces the book, live from here
    fetched     by REST: the kept deltas that follow it are put out behind it; older than what is kept: fetched again
    image       the first is a Snapshot, each later one the difference to the book as a Delta; no difference: nothing
    lost        the connection ended: Reset if live, kept deltas are void
    resync      the book is not to be trusted: Reset if live, and a new snapshot is due
    take        what to do now (`Want`), if something is due

A resync asks at once the first time and then with growing delays (`RETRY_FIRST_MS` … `RETRY_MOST_MS`), until the pair has
been live for `SETTLED_MS`. How it asks follows `BookChannel.bootstrap`; after silence the subscription itself is suspect,
so it is always renewed.

A pair without rhythm (`feeds.rhythm`) that is bootstrapped by REST is checked instead: the venue is asked for a snapshot now
and then (10 s after the last message, doubling to 30 min), and if that is ahead of us for `DEAF_MS` without a delta the
subscription is deaf (an acknowledgement is not believed; some venues acknowledge what they never deliver).
"""

import random
from collections import deque

from msgspec.structs import replace

from books.book import Book, difference
from books.events import Delta, Event, Reset, ResetReason, Snapshot, SnapshotReason
from books.sequence import Action, Relation, Sequencer
from feeds.feed_words import NEVER, FeedState, Sink, Want
from feeds.quarantine import Losses
from feeds.rhythm import Rhythm
from feeds.venue import BookChannel, Bootstrap
from fleet.pair import Pair

KEPT_MOST = 5000  # deltas kept for the splice: over 8 minutes at 10 a second, far longer than a fetch may take
RETRY_FIRST_MS = 1_000.0
RETRY_MOST_MS = 60_000.0
FETCH_MOST_MS = 12_000.0  # with the time-out of a request: a venue that is back has its books back within 30 s
FIRST_DELTA_MS = 1_000.0  # a fetch waits so long for the first delta: with it an old snapshot is known to be old
SETTLED_MS = 60_000.0  # live for so long: the next resync starts without delay again
CHECK_FIRST_MS = 10_000.0
CHECK_MOST_MS = 1_800_000.0
DEAF_MS = 5_000.0
PROMISE_FACTOR, PROMISE_GRACE_MS = 1.25, 5_000.0
OLD_MOST = 100  # messages older than the book in one row: not an overlap any more, the venue counts anew


class PairFeed:
    """One pair's book of one connection. `now_ms` is a monotonic clock everywhere, `received_us` the wall clock.

    book            levels after all events put out so far; empty while not live
    live            whether the book is the venue's
    reason          in words, why it is not live (empty while live)
    due_ms          when `take` has something to do; NEVER most of the time
    events, gaps, resyncs, crossed, silences     counted since the feed was made
    rhythm          messages, rate, silence
    kept            deltas that wait for a snapshot
    """

    __slots__ = (
        "_check_after_ms", "_fetching", "_image_sequence", "_live_since_ms", "_older_than", "_olds", "_proof", "_retries",
        "_rng", "_subscribed", "_unhurried", "_venue_ahead", "_venue_ahead_ms", "_want", "_was_live", "book",
        "channel", "checksums", "crossed", "due_ms", "events", "gaps", "kept", "live", "losses", "pair", "reason", "resyncs",
        "rhythm", "sequencer", "silences",
    )  # fmt: skip

    def __init__(self, pair: Pair, channel: BookChannel, rng: random.Random) -> None:
        self.pair = pair
        self.channel = channel
        self.book = Book()
        self.sequencer = Sequencer(channel.rule)
        self.live = False
        self._proof = None if channel.proof is None else channel.proof()
        self.reason = "not subscribed yet"
        self.due_ms = NEVER
        self.events = self.gaps = self.resyncs = self.crossed = self.silences = self.checksums = 0
        self.rhythm = Rhythm()
        self.losses = Losses()
        self._rng = rng
        self.kept: deque[Delta] = deque(maxlen=KEPT_MOST)
        self._fetching = self._subscribed = self._unhurried = self._was_live = False
        self._retries = self._olds = 0
        self._live_since_ms = 0.0
        self._image_sequence: int | None = None
        self._older_than: int | None = None
        self._want, self._check_after_ms = Want.FETCH, CHECK_FIRST_MS
        self._venue_ahead = 0  # `messages` when a check found the venue ahead of us
        self._venue_ahead_ms = NEVER

    def __repr__(self) -> str:
        return f"<PairFeed {self.pair} {self.state} {self.sequencer!r} {self.messages} messages, {self.gaps} gaps>"

    @property
    def state(self) -> FeedState:
        """Where the pair stands, for showing."""
        if self.live:
            return FeedState.LIVE
        return FeedState.SYNCING if self._subscribed else FeedState.WAITING

    @property
    def sequence(self) -> int | None:
        """The venue's id of the last event applied; None while not live or where the venue has none."""
        return self.sequencer.last if self.live else None

    @property
    def messages(self) -> int:
        """Messages of the book topic since the feed was made."""
        return self.rhythm.messages

    @property
    def last_message_ms(self) -> float | None:
        """Monotonic time of the last message since the subscription; None when there was none."""
        return self.rhythm.last_ms

    # ── what the venue sends ─────────────────────────────────────────────────────────────────────────────────────

    def delta(self, delta: Delta, now_ms: float, out: Sink) -> None:
        """The hot path: a delta of the pair's book topic."""
        self.rhythm.heard(now_ms)
        action = self.sequencer.delta(delta)
        if action is Action.APPLY:
            book = self.book
            book.apply(delta)
            if book.crossed():
                self._cross(delta.received_us, now_ms, out)
                self._keep(delta, now_ms)
            else:
                self.events += 1
                out.append(delta)
        elif action is Action.KEEP:
            self._keep(delta, now_ms)
        elif action is Action.IGNORE:
            self._old(delta.sequence, delta.received_us, now_ms, out)
        elif action is Action.RESYNC:
            self.gaps += 1
            self._distrust(ResetReason.GAP, _gap_text(delta), delta.received_us, now_ms, out)
            self._keep(delta, now_ms)

    def snapshot(self, snapshot: Snapshot, now_ms: float, out: Sink) -> None:
        """A snapshot in band. While live, one that goes back behind the book is a gap: we missed what made it so (a
        restart of the venue); where a Proof stands for sequences, it only says again what the deltas said."""
        self.rhythm.heard(now_ms)
        last = self.sequencer.last
        if self.live and self._proof is not None:
            self._differ(snapshot, now_ms, out)
            return
        if self.live and last is not None and snapshot.sequence is not None and snapshot.sequence < last:
            self.gaps += 1
            self.resyncs += 1
            self._reset(ResetReason.GAP, snapshot.received_us, out)
        self._go_live(snapshot, now_ms, out)

    def image(self, snapshot: Snapshot, now_ms: float, out: Sink) -> None:
        """A full image of the topic's window."""
        self.rhythm.heard(now_ms)
        sequence, last = snapshot.sequence, self._image_sequence
        if sequence is not None and last is not None and sequence < last:
            self._old(sequence, snapshot.received_us, now_ms, out)
            return
        self._image_sequence = sequence
        if self.live:
            self._differ(snapshot, now_ms, out)
        else:
            self._go_live(snapshot, now_ms, out)

    def _differ(self, snapshot: Snapshot, now_ms: float, out: Sink) -> None:
        """Put out what a full image changes of a live book."""
        book, sequence = self.book, snapshot.sequence
        bids, asks = difference(book.bids, snapshot.bids), difference(book.asks, snapshot.asks)
        if not bids and not asks:
            return
        delta = Delta(
            pair=self.pair, received_us=snapshot.received_us, venue_ms=snapshot.venue_ms,
            bids=bids, asks=asks, sequence=sequence,
        )  # fmt: skip
        book.apply(delta)
        if book.crossed():
            self._cross(snapshot.received_us, now_ms, out)
            return
        self.sequencer.last = sequence
        self.events += 1
        out.append(delta)

    def disproved(self, evidence: object, received_us: int, now_ms: float, out: Sink) -> bool:
        """Show a message's evidence to the channel's Proof, before the message itself. Whether the book was lost by it."""
        if self._proof is None:
            return False
        text = self._proof.check(evidence)
        if text is None:
            return False
        self.rhythm.heard(now_ms)
        self.checksums += 1
        self._distrust(ResetReason.CHECKSUM, text, received_us, now_ms, out)
        return True

    def fetched(self, snapshot: Snapshot, now_ms: float, out: Sink) -> None:
        """The answer to FETCH."""
        self._fetching = False
        sequence = snapshot.sequence
        if self.live:
            last = self.sequencer.last  # a check of a quiet pair: is the venue ahead of us?
            if sequence is not None and last is not None and sequence > last:
                self._venue_ahead, self._venue_ahead_ms = self.messages, now_ms + DEAF_MS
            return
        first = self.kept[0] if self.kept else None
        if first is not None and sequence is not None and not self.sequencer.bridges(sequence, first):
            oldest = first.sequence if first.first_sequence is None else first.first_sequence
            self.reason = f"the snapshot ({sequence}) is older than the kept deltas (from {oldest})"
            self._retry(now_ms)
            return
        self._go_live(snapshot, now_ms, out)

    # ── what happens around it ───────────────────────────────────────────────────────────────────────────────────

    def subscribed(self, now_ms: float) -> None:
        """The venue acknowledged the book topic. Bootstrap by REST fetches from here; repeated calls are harmless."""
        self._subscribed = True
        if self.live or self.due_ms != NEVER or self._fetching:
            return
        self.reason = "waiting for the first snapshot"
        if self.channel.spliced:
            self._want, self.due_ms, self._unhurried = Want.FETCH, now_ms + FIRST_DELTA_MS, True

    def fetch_failed(self, reason: str, now_ms: float, retry_after_ms: float | None = None) -> None:
        """The FETCH got no snapshot; it is repeated with backoff, not before `retry_after_ms`."""
        self._fetching = False
        if self.live:
            return  # only a check: the next one comes by itself
        self.reason = f"no snapshot: {reason}"
        self._retry(now_ms, retry_after_ms or 0.0, FETCH_MOST_MS)

    def lost(self, reason: ResetReason, received_us: int, out: Sink) -> None:
        """The connection ended, or the pair is unsubscribed. Whatever was asked is void; `subscribed` starts anew."""
        self._reset(reason, received_us, out)
        self.reason = f"{reason}: not subscribed"
        self.kept.clear()
        self.due_ms = NEVER
        self._fetching = self._subscribed = self._unhurried = False
        self._image_sequence = None
        self.rhythm.interrupted()

    def resync(self, reason: ResetReason, text: str, received_us: int, now_ms: float, out: Sink) -> None:
        """The book is not to be trusted, for a reason seen outside (checksum, silence)."""
        if reason is ResetReason.SILENCE:
            self.silences += 1
            self.rhythm.alarmed()
            self._fetching = False  # its answer would belong to the suspect subscription
        self._distrust(reason, text, received_us, now_ms, out)

    def take(self, now_ms: float) -> Want | None:
        """What is due now, once; None if nothing is."""
        if now_ms < self.due_ms:
            return None
        self.due_ms, self._unhurried = NEVER, False
        self._fetching = self._fetching or self._want is Want.FETCH
        return self._want

    def silent_for_ms(self, now_ms: float) -> float | None:
        """How long a live pair has been silent against its rhythm or the venue's promise, or deaf; None: nothing is wrong."""
        if not self.live:
            return None
        if now_ms >= self._venue_ahead_ms and self.messages == self._venue_ahead:
            return now_ms - self.quiet_since_ms()
        promised_ms = self.channel.speaks_every_ms
        if promised_ms is not None and now_ms - self.quiet_since_ms() > PROMISE_FACTOR * promised_ms + PROMISE_GRACE_MS:
            return now_ms - self.quiet_since_ms()
        return self.rhythm.silent_for_ms(now_ms)

    def quiet_since_ms(self) -> float:
        """Since when a live pair has had no message: its last one, or since it went live."""
        last_ms = self.last_message_ms
        return self._live_since_ms if last_ms is None else max(self._live_since_ms, last_ms)

    def measure(self, now_ms: float) -> None:
        """Called about once a second: the rate, and whether a quiet pair is due for a check by REST."""
        self.rhythm.measure(now_ms)
        if not self.live or not self.channel.spliced or self._fetching or self.due_ms != NEVER:
            return
        if now_ms - self.quiet_since_ms() >= self._check_after_ms:
            self._check_after_ms = min(self._check_after_ms * 2.0, CHECK_MOST_MS)
            self._want, self.due_ms = Want.FETCH, now_ms

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _keep(self, delta: Delta, now_ms: float) -> None:
        """Keep a delta for the splice. What is kept is one chain: a hole voids what came before it."""
        if not self.channel.spliced:
            return  # the snapshot in band will say it all
        kept = self.kept
        last = kept[-1].sequence if kept else None
        if last is not None and delta.sequence is not None:
            relation = self.channel.rule.following(last, delta)
            if relation is Relation.GAP:
                self.gaps += 1
                kept.clear()
            elif relation is not Relation.NEXT:
                return
        kept.append(delta)
        if self.due_ms == NEVER:
            self.subscribed(now_ms)  # data is the better acknowledgement
        if self._unhurried:
            self._unhurried, self.due_ms = False, now_ms

    def _go_live(self, snapshot: Snapshot, now_ms: float, out: Sink) -> None:
        """Apply a snapshot and the kept deltas behind it; put all of it out, or nothing if the result is crossed."""
        book, kept = self.book, self.kept
        book.apply(snapshot)
        self.sequencer.snapshot(snapshot.sequence)
        first = replace(snapshot, reason=SnapshotReason.RESYNC if self._was_live else SnapshotReason.FIRST)
        events: list[Event] = [first]
        crossed = book.crossed()
        while kept and not crossed:
            delta = kept.popleft()
            action = self.sequencer.delta(delta)
            if action is Action.APPLY:
                book.apply(delta)
                events.append(delta)
                crossed = book.crossed()
            elif action is Action.RESYNC:
                self.gaps += 1  # `bridges` let it pass and the chain is whole: the rule disagrees with itself
                self._distrust(ResetReason.GAP, _gap_text(delta), snapshot.received_us, now_ms, out)
                return
        if crossed:
            self._cross(snapshot.received_us, now_ms, out)
            return
        if not self.live:
            self._live_since_ms = now_ms
            self._check_after_ms = CHECK_FIRST_MS
        self.live = self._was_live = True
        self.reason = ""
        self.due_ms = NEVER
        self.events += len(events)
        for event in events:
            out.append(event)

    def _old(self, sequence: int | None, received_us: int, now_ms: float, out: Sink) -> None:
        """A message older than the book: nothing is missing, unless all of them are."""
        last = self._image_sequence if self.channel.bootstrap is Bootstrap.IMAGES else self.sequencer.last
        if last != self._older_than:
            self._older_than, self._olds = last, 0
        self._olds += 1
        if self._olds >= OLD_MOST:
            self.gaps += 1
            self._image_sequence = self._older_than = None
            text = f"{OLD_MOST} messages in a row are older than {last} (now {sequence}): the venue counts anew"
            self._distrust(ResetReason.GAP, text, received_us, now_ms, out)

    def _cross(self, received_us: int, now_ms: float, out: Sink) -> None:
        self.crossed += 1
        text = f"the best bid {self.book.best_bid()} is not below the best ask {self.book.best_ask()}"
        self._distrust(ResetReason.CROSSED, text, received_us, now_ms, out)

    def _distrust(self, reason: ResetReason, text: str, received_us: int, now_ms: float, out: Sink) -> None:
        """Reset once, forget the book, and have a new snapshot asked for."""
        settled = self.live and now_ms - self._live_since_ms >= SETTLED_MS
        self._reset(reason, received_us, out)
        self.resyncs += 1
        self.reason = f"{reason}: {text}"
        if settled:
            self._retries = 0
            self.losses.settled()
        if reason is ResetReason.SILENCE:
            self._want = Want.RESUBSCRIBE  # the subscription is suspect, not the pair
        else:
            self.losses.lost(self.reason, now_ms)
            if self.channel.bootstrap is Bootstrap.IMAGES:
                return  # the next message is a whole book
            self._want = Want.FETCH if self.channel.spliced else Want.RESUBSCRIBE
        self._retry(now_ms, at_once=True)

    def _reset(self, reason: ResetReason, received_us: int, out: Sink) -> None:
        self.sequencer.lost()
        self.book.clear()
        self._proof = None if self.channel.proof is None else self.channel.proof()
        if self.live:
            self.live = False
            out.append(Reset(pair=self.pair, received_us=received_us, reason=reason))
        self._venue_ahead_ms = NEVER

    def _retry(
        self, now_ms: float, least_ms: float = 0.0, most_ms: float = RETRY_MOST_MS, *, at_once: bool = False
    ) -> None:
        """Set `due_ms`: doubling delays, each shortened at random by up to half."""
        if self._fetching or self.due_ms != NEVER:
            return
        tries = self._retries - at_once
        self._retries += 1
        if tries < 0:
            self.due_ms = now_ms + least_ms
            return
        delay = min(RETRY_FIRST_MS * 2.0 ** min(tries, 16), most_ms)
        self.due_ms = now_ms + max(least_ms, delay * (0.5 + self._rng.random() / 2))


def _gap_text(delta: Delta) -> str:
    follows = delta.previous_sequence if delta.first_sequence is None else delta.first_sequence
    return f"the delta up to {delta.sequence} does not follow (it starts at {follows})"
