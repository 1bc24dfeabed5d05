"""Which pairs are ours: claim what is free, hold it, let it go. Whoever holds a pair's lease publishes it.

Every daemon wants every pair; who comes first is decided by `fleet.assignment` (the same ranking at every member): the first
in rank claims a free pair at once, each later one waits a quarter lease longer. Nothing moves while its owner lives.

    free ──claim──► owned ──not wanted──► leaving ──flushed──► released
                      │  ▲
                doubt │  │ acquired anew        doubt: the connection broke, a write was refused, the lease ran out
                      ▼  │
                   doubtful ──taken by another──► lost

While a pair is doubtful its feed goes on: if nobody else took the pair, publishing continues where the tail cell stands.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from redis.asyncio import Redis

from books.store import standing
from feeds.publisher import Publisher
from fleet.assignment import wait_before_claim_ms
from fleet.clock import MonoMs
from fleet.keys import Keys
from fleet.lease import Lease, LeaseKeeper, LossReason, Target, pair_target
from fleet.pair import Pair
from fleet.scripts import Granted, Taken, mark_stale
from fleet.tasks.model import Wanted

log = logging.getLogger(__name__)

LEAVE_MS = 2000.0  # how long an unsubscribed pair's last events may take to be published


class Subscriber(Protocol):
    """Who feeds the pairs we own."""

    def subscribe(self, pair: Pair, depth: str, channels: frozenset[str], priority: int = 1) -> None:
        """Start, or change what is had. `priority` 0: the pair is traded, its requests go first."""
        ...

    def unsubscribe(self, pair: Pair) -> None:
        """Stop; a live book's last event is a Reset."""
        ...


class Ownership:
    """The claims of one daemon. `step` does all I/O; everything else is synchronous."""

    def __init__(
        self,
        *,
        redis: Redis,
        keys: Keys,
        leases: LeaseKeeper,
        publisher: Publisher,
        subscriber: Subscriber,
        members: Callable[[], Sequence[str]],
        capacity: int,
        mono_ms: MonoMs,
    ) -> None:
        self.owned: dict[Pair, Wanted] = {}
        self.claiming = True
        self.unplaced = 0  # wanted pairs that are free and exceed our capacity
        self.woken = asyncio.Event()
        self._redis = redis
        self._keys = keys
        self._leases = leases
        self._publisher = publisher
        self._subscriber = subscriber
        self._members = members
        self._capacity = capacity
        self._mono_ms = mono_ms
        self._wanted: dict[Pair, Wanted] = {}
        self._free_since: dict[Pair, float] = {}
        self._doubtful: dict[Pair, str] = {}
        self._leaving: dict[Pair, float] = {}
        self._stepping = asyncio.Lock()

    def want(self, wanted: Sequence[Wanted]) -> None:
        """The pairs that tasks ask for, highest priority first."""
        self._wanted = {one.pair: one for one in wanted}
        self.woken.set()

    @property
    def wanted(self) -> dict[Pair, Wanted]:
        """What tasks ask for."""
        return self._wanted

    def doubt(self, pair: Pair, reason: str) -> None:
        """We may not be the owner any more: ask before anything more is written."""
        if pair in self.owned and pair not in self._doubtful:
            log.info("%s: in doubt: %s", pair, reason)
            self._doubtful[pair] = reason
            self.woken.set()

    def on_lease_lost(self, lease: Lease, reason: LossReason) -> None:
        """The keeper lost a lease: stop publishing now, then find out who has it."""
        for pair in self.owned:
            if self._target(pair).lease == lease.target.lease:
                self._publisher.doubt(pair)
                self.doubt(pair, f"the lease is {reason}")
                return

    def _target(self, pair: Pair) -> Target:
        return pair_target(self._keys, pair, trades=len(self._publisher.fields(pair)) > 1)

    async def step(self) -> None:
        """Settle doubts, let go what is not wanted, claim what is free. Raises what Redis raises."""
        async with self._stepping:
            for pair in list(self._doubtful):
                await self._settle(pair)
            self._leave_unwanted()
            await self._release_left()
            await self._claim_free()

    async def _settle(self, pair: Pair) -> None:
        if pair not in self.owned:
            self._doubtful.pop(pair, None)
            return
        answer = await self._leases.acquire(self._target(pair))
        if isinstance(answer, Granted):
            self._doubtful.pop(pair, None)
            self._publisher.granted(pair, answer.token, answer.cells, answer.n)
        elif isinstance(answer, Taken):
            self._lose(pair, f"{answer.holder} holds it")

    def _lose(self, pair: Pair, reason: str) -> None:
        log.warning("%s: lost: %s", pair, reason)
        self.owned.pop(pair, None)
        self._doubtful.pop(pair, None)
        self._leaving.pop(pair, None)
        self._free_since.pop(pair, None)
        self._publisher.close(pair)
        self._subscriber.unsubscribe(pair)

    def _leave_unwanted(self) -> None:
        for pair, held in list(self.owned.items()):
            if pair in self._leaving:
                continue
            wish = self._wanted.get(pair)
            if (
                wish is not None
                and wish.depth == held.depth
                and ("trades" in wish.channels) == ("trades" in held.channels)
            ):
                if wish.channels != held.channels:
                    self._subscriber.subscribe(pair, wish.depth, wish.channels, _priority(wish))
                self.owned[pair] = wish
                continue
            # not wanted, or wanted otherwise: in both cases this line ends; the new one starts with a claim of its own
            self.leave(pair)

    def leave(self, pair: Pair) -> None:
        """Stop feeding a pair and give it back once its last events are out."""
        if pair in self.owned and pair not in self._leaving:
            self._leaving[pair] = self._mono_ms() + LEAVE_MS
            self._subscriber.unsubscribe(pair)

    async def _release_left(self) -> None:
        for pair, deadline_ms in list(self._leaving.items()):
            outbox = self._publisher.outbox(pair)
            if outbox is not None and outbox.waiting and self._mono_ms() < deadline_ms:
                continue
            target = self._target(pair)
            self._publisher.close(pair)
            self.owned.pop(pair, None)
            self._doubtful.pop(pair, None)
            del self._leaving[pair]
            await self._leases.release(target)

    async def _claim_free(self) -> None:
        others = [pair for pair in self._wanted if pair not in self.owned]
        if not others:
            self.unplaced = 0
            return
        now_ms = self._mono_ms()
        free: dict[int, list[Pair]] = {}
        for pair, (_, held) in (await standing(self._redis, self._keys, others)).items():
            if held:
                self._free_since.pop(pair, None)
            else:
                self._free_since.setdefault(pair, now_ms)
                free.setdefault(self._keys.shard(pair), []).append(pair)
        for shard_pairs in free.values():
            await mark_stale(self._redis, self._keys, shard_pairs)
        members, unplaced_before = self._members(), self.unplaced
        self.unplaced = 0
        for pair in others:
            if not self.claiming:
                return
            since_ms = self._free_since.get(pair)
            if since_ms is None:
                continue
            if len(self.owned) >= self._capacity:
                self.unplaced += 1
            elif now_ms - since_ms >= wait_before_claim_ms(
                pair.label, self._leases.holder, members, self._leases.lease_ms
            ):
                await self._claim(self._wanted[pair])
        if self.unplaced and not unplaced_before:
            log.warning("%d wanted pairs are free, and we are full: FLEET_CAPACITY=%d", self.unplaced, self._capacity)

    async def _claim(self, wish: Wanted) -> None:
        pair = wish.pair
        self._publisher.open(pair, wish.depth, trades="trades" in wish.channels)
        try:
            answer = await self._leases.acquire(self._target(pair))
        except BaseException:
            self._publisher.close(pair)
            raise
        if not isinstance(answer, Granted):
            self._publisher.close(pair)
            return
        log.info("%s: ours under token %d", pair, answer.token)
        self._free_since.pop(pair, None)
        self.owned[pair] = wish
        self._publisher.granted(pair, answer.token, answer.cells, answer.n)
        self._subscriber.subscribe(pair, wish.depth, wish.channels, _priority(wish))

    async def release_all(self) -> None:
        """A clean stop: end every line with its Reset, publish that, give every lease back."""
        self.claiming = False
        async with self._stepping:  # a step under way may be about to claim one more
            for pair in list(self.owned):
                self.leave(pair)
            await self._publisher.flushed()
            for pair in self._leaving:
                self._leaving[pair] = 0.0
            await self._release_left()


def _priority(wish: Wanted) -> int:
    return 0 if wish.traded else 1
