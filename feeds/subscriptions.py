"""PURE. The topics of one connection: which are wanted, asked, acknowledged, and the request frames that get us there.

    QUEUED ──request──► ASKED ──ack──► ACKED          wanted; a topic that was renewed or reconnected starts over
      ▲                                  │
      └──ack, refusal or LEAVE_MS── LEAVING ◄──request── LEAVING_QUEUED        `again`: back to QUEUED; else forgotten

Acknowledgements are not believed. A topic unanswered for `ACK_MS`, or one that must speak at once (its book starts in band)
and has not been proved by data within `FIRST_DATA_MS`, is renewed: unsubscribe, wait, subscribe; each time after a longer
pause. A request of several topics that is refused without naming one is repeated topic by topic, so that one bad symbol
costs itself alone; one that is refused as a whole for one named topic is repeated without it. Where an unknown symbol closes
the socket without a word, what was unanswered then is asked for one by one and last; what closes it CONVICTED times while
nothing else is unanswered is refused.

Requests are paced by the venue's limit (`feeds.pacer`).
"""

import random
from collections import deque
from enum import StrEnum

from feeds.feed_words import NEVER
from feeds.pacer import Pacer
from feeds.pair_feed import PairFeed
from feeds.venue import Ack, Refusal, Topic, Venue

ACK_MS = 10_000.0
FIRST_DATA_MS = 10_000.0
LEAVE_MS = 5_000.0
RENEW_MOST_MS = 300_000.0
REQUESTS_REMEMBERED = 500
SNAPSHOT_MS = 5_000.0
CONVICTED = 3


class Phase(StrEnum):
    QUEUED = "queued"
    ASKED = "asked"
    ACKED = "acked"
    LEAVING_QUEUED = "leaving queued"
    LEAVING = "leaving"


class Subscription:
    """One topic. `feed` is the book it feeds (None for bbo and trades), `ear` the same while its data is to be listened to:
    what still arrives of a subscription that is being left is not. One topic may feed several things of a pair (`uses`)."""

    __slots__ = ("again", "alone", "convictions", "deadline_ms", "ear", "feed", "not_before_ms", "phase", "renewals", "suspect",
                 "topic", "uses")  # fmt: skip

    def __init__(self, topic: Topic, feed: PairFeed | None) -> None:
        self.topic = topic
        self.uses = {topic.feeds}
        self.feed = feed
        self.ear: PairFeed | None = None
        self.phase = Phase.QUEUED
        self.again = False
        self.alone = False  # ask for it in a request of its own
        self.suspect = False  # the socket closed while it was unanswered
        self.convictions = 0  # how often the socket closed while only this was unanswered
        self.not_before_ms = 0.0
        self.deadline_ms = NEVER
        self.renewals = 0

    def __repr__(self) -> str:
        return f"<Subscription {self.topic.name} {self.phase}, renewed {self.renewals} times>"

    def proved(self) -> bool:
        """Whether data came, or none need have come yet."""
        if self.feed is None or self.feed.channel.spliced:
            return self.phase is Phase.ACKED or (self.feed is not None and self.feed.last_message_ms is not None)
        return self.feed.live


class Subscriptions:
    """All topics of one connection, by name. `renewals` counts what had to be subscribed again."""

    def __init__(self, venue: Venue, rng: random.Random) -> None:
        self.by_name: dict[str, Subscription] = {}
        self.renewals = 0
        self._venue = venue
        self._rng = rng
        self._pacer = Pacer(venue.limits.requests_per_s)
        self._open = False
        self._next_id = 1
        self._requests: dict[str, list[Subscription]] = {}
        self._snapshots: deque[str] = deque()  # topics whose snapshot is to be asked for
        self._asked: dict[str, tuple[str, float]] = {}  # topic → the id of the request for its snapshot, and when

    @property
    def settled(self) -> bool:
        """Whether everything that is wanted has been acknowledged."""
        return self._open and all(each.phase is Phase.ACKED for each in self.by_name.values())

    def add(self, topic: Topic, feed: PairFeed | None) -> None:
        """Want a topic."""
        known = self.by_name.get(topic.name)
        if known is None:
            self.by_name[topic.name] = Subscription(topic, feed)
            return
        known.topic = topic  # of one name, but perhaps asked for otherwise (how deep)
        known.uses.add(topic.feeds)
        known.feed = feed or known.feed
        known.again = True  # if it was leaving
        if known.phase in (Phase.ASKED, Phase.ACKED):
            known.ear = known.feed
            if feed is not None and known.phase is Phase.ACKED:
                known.deadline_ms = 0.0  # its first image may have come before this use: renewed unless one comes now

    def remove(self, name: str, use: str) -> None:
        """Do not want a topic for `use` (book, bbo or trades) any more; without any use it is left."""
        known = self.by_name.get(name)
        if known is None:
            return
        if use == "book":
            self._forget_snapshot(name)
        known.uses.discard(use)
        if use == "book":
            known.feed = known.ear = None
        if known.uses:
            return
        known.again = False
        if known.phase is Phase.QUEUED or not self._open:
            del self.by_name[name]
        elif known.phase is not Phase.LEAVING:
            known.phase = Phase.LEAVING_QUEUED

    def renew(self, name: str) -> None:
        """Unsubscribe, wait for the answer, subscribe."""
        known = self.by_name.get(name)
        if known is not None and known.phase in (Phase.ASKED, Phase.ACKED):
            known.phase, known.again, known.deadline_ms, known.ear = Phase.LEAVING_QUEUED, True, NEVER, None
            self._forget_snapshot(name)
            self.renewals += 1

    # ── snapshots that are asked for on the socket ───────────────────────────────────────────────────────────────

    def ask_snapshot(self, name: str) -> None:
        """Want the snapshot of a topic."""
        self._forget_snapshot(name)
        self._snapshots.append(name)

    def snapshot_refused(self, request_id: str | None) -> Subscription | None:
        """The topic whose snapshot this answer refuses, if it is about one."""
        for name, (asked, _) in self._asked.items():
            if asked == request_id:
                self._forget_snapshot(name)
                return self.by_name.get(name)
        return None

    def snapshot_came(self, name: str) -> None:
        """It is not waited for any more."""
        self._asked.pop(name, None)

    def snapshots_overdue(self, now_ms: float) -> list[Subscription]:
        """Topics whose snapshot was asked for SNAPSHOT_MS ago and did not come."""
        late = [name for name, (_, asked_ms) in self._asked.items() if now_ms - asked_ms >= SNAPSHOT_MS]
        for name in late:
            self._forget_snapshot(name)
        return [self.by_name[name] for name in late if name in self.by_name]

    def _forget_snapshot(self, name: str) -> None:
        self._asked.pop(name, None)
        if name in self._snapshots:
            self._snapshots.remove(name)

    # ── the socket ───────────────────────────────────────────────────────────────────────────────────────────────

    def opened(self, now_ms: float) -> None:
        """A fresh connection: everything is to be asked for."""
        self._open = True
        self._forget_requests()
        self._pacer.start(now_ms)
        for subscription in self.by_name.values():
            self._queue(subscription, now_ms)

    def closed(self) -> list[Subscription]:
        """Nothing is subscribed any more; what was leaving is gone. What is convicted of closing sockets is forgotten: those."""
        self._open = False
        self._forget_requests()
        convicted = self._convicted() if self._venue.traits.unknown_closes else []
        for subscription in convicted:
            del self.by_name[subscription.topic.name]
        for name, subscription in list(self.by_name.items()):
            if subscription.phase in (Phase.LEAVING, Phase.LEAVING_QUEUED) and not subscription.again:
                del self.by_name[name]
            else:
                self._queue(subscription, 0.0)
        return convicted

    def _convicted(self) -> list[Subscription]:
        """Suspect what is unanswered while a socket closes; if it is one topic alone, it is to blame."""
        unanswered = [each for each in self.by_name.values() if each.phase is Phase.ASKED]
        for subscription in unanswered:
            subscription.suspect = True
            if len(unanswered) == 1:
                subscription.convictions += 1
        return [each for each in unanswered if each.convictions >= CONVICTED]

    def _forget_requests(self) -> None:
        self._requests.clear()
        self._snapshots.clear()
        self._asked.clear()

    def acknowledged(self, ack: Ack, now_ms: float) -> list[Subscription]:
        """What this answer newly subscribes."""
        found = self._oldest(ack) if ack.kind else self._named(ack.request_id, ack.topic)
        if ack.subscribed is not True:  # False, or the venue does not say: the phase tells what was asked
            for subscription in found:
                self._left(subscription, now_ms)
        if ack.subscribed is False:
            return []
        new = [subscription for subscription in found if subscription.phase is Phase.ASKED]
        for subscription in new:
            subscription.phase, subscription.suspect, subscription.convictions = Phase.ACKED, False, 0
            subscription.deadline_ms = now_ms + FIRST_DATA_MS
        return new

    def refused(self, refusal: Refusal, now_ms: float) -> list[Subscription]:
        """What this answer refuses for good; those are forgotten. The rest is asked again, later or one by one."""
        found = self._named(refusal.request_id, refusal.topic)
        if refusal.whole_request and refusal.topic is not None:
            self._repeat(self._named(refusal.request_id, None), refusal.topic, now_ms)
        gone = []
        for subscription in found:
            if subscription.phase is Phase.LEAVING:
                self._left(subscription, now_ms)  # it was not subscribed: as good as left
            elif subscription.phase not in (Phase.ASKED, Phase.ACKED):
                continue
            elif refusal.standing:
                self.renew(subscription.topic.name)
                subscription.not_before_ms = now_ms + self._pause_ms(subscription)
            elif len(found) > 1 and refusal.topic is None:
                subscription.alone = True
                self._queue(subscription, now_ms)
            elif refusal.fatal_topic:
                gone.append(subscription)
                del self.by_name[subscription.topic.name]
            else:
                self._queue(subscription, now_ms + self._pause_ms(subscription))
        return gone

    def _repeat(self, batch: list[Subscription], culprit: str, now_ms: float) -> None:
        """A whole request was refused because of one topic: ask again for the others."""
        for subscription in batch:
            if subscription.topic.name == culprit:
                continue
            if subscription.phase is Phase.ASKED:
                self._queue(subscription, now_ms)
            elif subscription.phase is Phase.LEAVING:
                subscription.phase, subscription.deadline_ms = Phase.LEAVING_QUEUED, NEVER

    def overdue(self, now_ms: float) -> list[Subscription]:
        """Renew what was not answered or not proved in time; the topics concerned."""
        late = []
        for subscription in list(self.by_name.values()):
            if now_ms < subscription.deadline_ms:
                continue
            subscription.deadline_ms = NEVER
            if subscription.phase is Phase.LEAVING:
                self._left(subscription, now_ms)
            elif subscription.proved():
                subscription.renewals = 0
            else:
                late.append(subscription)
                self.renew(subscription.topic.name)
                subscription.not_before_ms = now_ms + self._pause_ms(subscription)
        return late

    def wait_ms(self, now_ms: float) -> float:
        """How long until the next request may be sent; NEVER while there is none, or it waits for an answer first."""
        waiting = self._open and (
            bool(self._snapshots)
            or any(
                each.phase is Phase.LEAVING_QUEUED
                or (each.phase is Phase.QUEUED and not each.suspect and each.not_before_ms <= now_ms)
                for each in self.by_name.values()
            )
        )
        return self._pacer.wait_ms(now_ms) if waiting else NEVER

    def requests(self, now_ms: float) -> list[str]:
        """The request frames that may be sent now."""
        texts: list[str] = []
        while self._open:
            batch = self._batch(Phase.LEAVING_QUEUED, now_ms)
            if not batch and not self._snapshots:
                batch = self._batch(Phase.QUEUED, now_ms)
            if not (batch or self._snapshots) or not self._pacer.take(now_ms):
                break
            texts.append(self._request(batch, now_ms) if batch else self._snapshot_request(now_ms))
        return texts

    def _snapshot_request(self, now_ms: float) -> str:
        topic = self.by_name[self._snapshots.popleft()].topic
        text = self._venue.snapshot_text(topic, self._next_id)
        self._asked[topic.name] = (str(self._next_id), now_ms)
        self._next_id += 1
        return text

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _batch(self, phase: Phase, now_ms: float) -> list[Subscription]:
        batch: list[Subscription] = []
        suspects: list[Subscription] = []
        for subscription in self.by_name.values():
            if subscription.phase is not phase or (phase is Phase.QUEUED and now_ms < subscription.not_before_ms):
                continue
            if batch and subscription.topic.kind != batch[0].topic.kind:
                continue
            if subscription.suspect and phase is Phase.QUEUED:
                suspects.append(subscription)
                continue
            if subscription.alone:
                if batch:
                    continue
                return [subscription]
            batch.append(subscription)
            if len(batch) >= self._venue.limits.topics_per_request:
                break
        if batch or not suspects or any(each.phase is Phase.ASKED for each in self.by_name.values()):
            return batch
        return suspects[:1]  # while nothing else is unanswered: a socket that closes now tells who did it

    def _request(self, batch: list[Subscription], now_ms: float) -> str:
        """The frame for as many of the batch as fit; they are asked from now on."""
        leaving = batch[0].phase is Phase.LEAVING_QUEUED
        spell = self._venue.unsubscribe if leaving else self._venue.subscribe
        standing = [] if leaving or not self._venue.traits.replaces else self._standing(batch[0].topic.kind)
        while True:
            text = spell([*standing, *(subscription.topic for subscription in batch)], self._next_id)
            if len(batch) == 1 or len(text.encode()) <= self._venue.limits.request_bytes:
                break
            batch = batch[: len(batch) // 2]
        for subscription in batch:
            subscription.phase = Phase.LEAVING if leaving else Phase.ASKED
            subscription.ear = None if leaving else subscription.feed
            subscription.deadline_ms = now_ms + (LEAVE_MS if leaving else ACK_MS)
        self._requests[str(self._next_id)] = batch
        if len(self._requests) > REQUESTS_REMEMBERED:
            del self._requests[next(iter(self._requests))]
        self._next_id += 1
        return text

    def _standing(self, kind: str) -> list[Topic]:
        """What is subscribed of a kind and would be lost if a request did not name it."""
        return [
            each.topic for each in self.by_name.values()
            if each.topic.kind == kind and each.phase in (Phase.ASKED, Phase.ACKED)
        ]  # fmt: skip

    def _named(self, request_id: str | None, topic: str | None) -> list[Subscription]:
        """The topics an answer is about."""
        if topic is not None:
            known = self.by_name.get(topic)
            return [] if known is None else [known]
        if request_id is None:
            return []
        batch = self._requests.pop(request_id, [])
        return [subscription for subscription in batch if self.by_name.get(subscription.topic.name) is subscription]

    def _oldest(self, ack: Ack) -> list[Subscription]:
        """What an answer is about that names nothing but a kind: venues answer in order."""
        phase = Phase.ASKED if ack.subscribed else Phase.LEAVING
        for batch in self._requests.values():
            for each in batch:
                if each.topic.kind == ack.kind and each.phase is phase and self.by_name.get(each.topic.name) is each:
                    return [each]
        return []

    def _left(self, subscription: Subscription, now_ms: float) -> None:
        if subscription.phase is not Phase.LEAVING:
            return
        if subscription.again:
            self._queue(subscription, max(now_ms, subscription.not_before_ms))
        else:
            del self.by_name[subscription.topic.name]

    def _queue(self, subscription: Subscription, not_before_ms: float) -> None:
        subscription.phase, subscription.again = Phase.QUEUED, False
        subscription.not_before_ms, subscription.deadline_ms, subscription.ear = not_before_ms, NEVER, None

    def _pause_ms(self, subscription: Subscription) -> float:
        """How long to wait before the next attempt: doubling, shortened at random by up to half."""
        pause = min(1000.0 * 2.0 ** min(subscription.renewals, 16), RENEW_MOST_MS)
        subscription.renewals += 1
        return pause * (0.5 + self._rng.random() / 2)
