"""Which pairs are ours: claim what is free, hold it, keep warm what is to come, hand over, let go (redis-protocol.md §3).

What we are to do for a pair follows from the plan's order and from who is there (fleet.succession); what we are to it now is
one state of fleet.hold_states. Safety needs neither: whoever acquires a pair fences everybody before it.

    planned owner, another holds it    warm up; acquire when it is offered to us and covered, or when its lease ends
    holder, not the planned owner      offer it to that one, go on publishing until fenced; then linger warm for a lease time
    first heir of a standby fleet      warm; acquire when the lease ends
    any other heir                     acquire when the lease ends and those before us did not, then subscribe

While a pair is doubtful its feed goes on: if nobody took it, publishing continues where the tail cell stands.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from redis.asyncio import Redis

from feeds.hold import WARM_PRIORITY, Hold, Subscriber, named, priority, same_lines, side_by_side
from feeds.offers import make_offers
from feeds.publisher import Publisher
from feeds.source import Source
from feeds.warm import WarmLine
from fleet.clock import MonoMs
from fleet.evidence import NO_EVIDENCE, Evidence
from fleet.hold_states import Event, State
from fleet.keys import Keys
from fleet.lease import Answer, Lease, LeaseKeeper, LossReason, Target, pair_target
from fleet.pair import Pair
from fleet.scripts import Granted, Taken, mark_stale
from fleet.standing import Standing, look
from fleet.succession import Duty, duty, present_order, unplanned_wait_ms, wait_ms
from fleet.tasks.model import Wanted

log = logging.getLogger(__name__)

LEAVE_MS = 2000.0  # how long an unsubscribed pair's last events may take to be published
LINGER = 1.5  # lease times that a former owner stays warm: should its successor die at once, it goes on
LINGERER_SHARE = 8  # an eighth of the lease is its head start: two of its looks
NEVER = float("-inf")
SWEEP_MS = 250.0  # a shard of what a plan gives to others is looked at so long


class Ownership:
    """The claims of one daemon. `step` does all I/O; everything else is synchronous.

    owned     pairs whose lease is ours, as far as we know: OWNED, DOUBTFUL or LEAVING
    warm      pairs that somebody else publishes and whose feed we keep
    """

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
        source: Callable[[Pair], Source],
        standby: bool = False,
        evidence: Evidence = NO_EVIDENCE,
    ) -> None:
        self.owned: dict[Pair, Hold] = {}
        self.warm: dict[Pair, Hold] = {}
        self.claiming = True
        self.unplaced = 0  # wanted pairs that are free and exceed our capacity
        self.moved_away = self.moved_here = 0  # by offers
        self.woken = asyncio.Event()
        self._redis = redis
        self._keys = keys
        self._leases = leases
        self._publisher = publisher
        self._subscriber = subscriber
        self._members = members
        self._capacity = capacity
        self._mono_ms = mono_ms
        self._source = source
        self._standby = standby
        self._evidence = evidence
        self._wanted: dict[Pair, Wanted] = {}
        self._orders: Mapping[str, tuple[str, ...]] | None = None
        self._free_since: dict[Pair, float] = {}
        self._holders: dict[
            Pair, tuple[str, float]
        ] = {}  # the last one seen, and since when if it took over from another
        self._doubted: set[Pair] = set()
        self._stepping = asyncio.Lock()

    # --- what is to be done ---------------------------------------------------------------------------------------------

    def want(self, wanted: Sequence[Wanted]) -> None:
        """The pairs that tasks ask for, highest priority first."""
        self._wanted = {one.pair: one for one in wanted}
        self.woken.set()

    def plan(self, orders: Mapping[str, tuple[str, ...]]) -> None:
        """The leader's word on the pairs that concern us: label → planned owner and heirs; nobody: the pair has no place."""
        self._orders = orders
        self.woken.set()

    def _present(self) -> set[str]:
        """Members that take pairs; ourselves too, before our first beat was read back."""
        me = self._leases.holder
        others = {member for member in self._members() if member != me}
        return {*others, me} if self.claiming else others

    def _order(self, pair: Pair) -> tuple[str, ...] | None:
        return None if self._orders is None else self._orders.get(pair.label)

    def doubt(self, pair: Pair, reason: str) -> None:
        """We may not be the owner any more: ask before anything more is written."""
        hold = self.owned.get(pair)
        if hold is not None and hold.state is State.OWNED:
            hold.step(Event.DOUBT)
            hold.reason = reason
            self._doubted.add(pair)
            self.woken.set()

    def on_lease_lost(self, lease: Lease, reason: LossReason) -> None:
        """The keeper lost a lease: stop publishing now, then find out who has it."""
        for pair in self.owned:
            if self._keys.lease(pair) == lease.target.lease:
                self._evidence.lost(pair, lease.token, reason)
                self._publisher.doubt(pair)
                self.doubt(pair, f"the lease is {reason}")
                return

    def _target(self, wish: Wanted) -> Target:
        return pair_target(self._keys, wish.pair, trades="trades" in wish.channels)

    # --- one look at everything -----------------------------------------------------------------------------------------

    async def step(self) -> None:
        """Settle doubts, let go what is not wanted, offer what is to move, warm up and claim. Raises what Redis raises."""
        async with self._stepping:
            await self._settle()
            self._leave_unwanted()
            await self._release_left()
            await self._offer()
            await self._look_around()

    async def _settle(self) -> None:
        doubted, self._doubted = self._doubted, set()
        holds = [hold for pair in doubted if (hold := self.owned.get(pair)) and hold.state is State.DOUBTFUL]
        if not holds:
            return
        log.info("in doubt: %s", named((hold.pair for hold in holds), holds[0].reason))
        try:
            await side_by_side(partial(self._settle_one, hold) for hold in holds)
        finally:
            self._doubted |= {hold.pair for hold in holds if hold.state is State.DOUBTFUL}

    async def _settle_one(self, hold: Hold) -> None:
        answer = await self._leases.acquire(self._target(hold.wish))
        if isinstance(answer, Granted):
            self._grant(hold, answer)
        elif isinstance(answer, Taken):
            self._lose(hold, answer.holder)

    def _grant(self, hold: Hold, answer: Granted) -> None:
        """The lease is ours; synchronous, so that no event of the feed falls between the line and the outbox."""
        pair = hold.pair
        for index, (n, before) in enumerate(zip(answer.n, answer.cells, strict=True)):
            self._evidence.granted(pair, answer.token, n, before, trades=index == 1)
        self.warm.pop(pair, None)
        self._free_since.pop(pair, None)
        line = self._line(hold) if hold.state is State.DOUBTFUL else hold.line
        hold.step(Event.GRANTED)
        hold.line, hold.until_ms, hold.offered_to = None, None, ""
        self.owned[pair] = hold
        self._publisher.granted(pair, answer.token, answer.cells, answer.n, line)

    def _lose(self, hold: Hold, holder: str) -> None:
        """Another publishes it now. We stay warm: should it die at once, we go on."""
        pair = hold.pair
        moved = holder == hold.offered_to
        self.moved_away += moved
        if not moved:
            log.warning("%s: lost, %s holds it (%s)", pair, holder, hold.reason)
        hold.step(Event.TAKEN)
        del self.owned[pair]
        line = self._publisher.lingering(pair, self._subscriber.continuity(pair, hold.wish.depth))
        self._publisher.close(pair)
        self._note_holder(pair, holder, self._mono_ms())
        self._keep_warm(hold, line)
        hold.until_ms = self._mono_ms() + LINGER * self._leases.lease_ms

    def _line(self, hold: Hold) -> WarmLine | None:
        return self._publisher.unpublished(hold.pair, self._subscriber.continuity(hold.pair, hold.wish.depth))

    def _note_holder(self, pair: Pair, holder: str, now_ms: float) -> None:
        known = self._holders.get(pair)
        if known is None or known[0] != holder:
            self._holders[pair] = (holder, NEVER if known is None else now_ms)

    def _keep_warm(self, hold: Hold, line: WarmLine | None = None) -> None:
        continuity = self._subscriber.continuity(hold.pair, hold.wish.depth)
        hold.offered_to = ""
        if continuity is not None:
            hold.line = line or WarmLine(hold.pair, continuity, self._source(hold.pair))
        self.warm[hold.pair] = hold

    def _leave_unwanted(self) -> None:
        for pair, hold in list(self.owned.items()):
            wish = self._wanted.get(pair)
            if hold.state is State.LEAVING:
                continue
            if self._order(pair) == ():  # the plan has no place for it: others come first
                self.leave(pair)
            elif wish is not None and same_lines(wish, hold.wish):
                if wish.channels != hold.wish.channels:
                    self._subscriber.subscribe(pair, wish.depth, wish.channels, priority(wish))
                hold.wish = wish
            else:  # not wanted, or wanted otherwise: this line ends; the new one starts with a claim of its own
                self.leave(pair)
        for pair, hold in list(self.warm.items()):
            wish = self._wanted.get(pair)
            if wish is None or wish.depth != hold.wish.depth or wish.channels != hold.wish.channels:
                self._cool(hold)

    def leave(self, pair: Pair) -> None:
        """Stop feeding a pair and give it back once its last events are out."""
        hold = self.owned.get(pair)
        if hold is not None and hold.state is not State.LEAVING:
            hold.step(Event.LEAVE)
            hold.leave_by_ms = self._mono_ms() + LEAVE_MS
            self._subscriber.unsubscribe(pair)

    async def _release_left(self) -> None:
        for pair, hold in list(self.owned.items()):
            if hold.state is not State.LEAVING:
                continue
            outbox = self._publisher.outbox(pair)
            if outbox is not None and outbox.waiting and self._mono_ms() < hold.leave_by_ms:
                continue
            self._publisher.close(pair)
            hold.step(Event.RELEASED)
            del self.owned[pair]
            lease = self._leases.lease(self._target(hold.wish))
            if await self._leases.release(self._target(hold.wish)) and lease is not None:
                self._evidence.released(pair, lease.token)

    def _cool(self, hold: Hold) -> None:
        hold.step(Event.COOL)
        del self.warm[hold.pair]
        self._subscriber.unsubscribe(hold.pair)

    def _successor(self, hold: Hold) -> str:
        """Who is to have a pair of ours; '' nobody. One in quarantine is not passed round, unless we stop or drain."""
        if self.claiming and self._subscriber.is_held(hold.pair):
            return ""
        left = present_order(self._order(hold.pair) or (), self._present())
        return left[0] if left and left[0] != self._leases.holder else ""

    async def _offer(self) -> None:
        for hold in await make_offers(
            self._leases, self._target, self.owned.values(), self._successor, self._mono_ms()
        ):
            self._publisher.doubt(hold.pair)
            self.doubt(hold.pair, "its lease is not ours any more")

    @property
    def successors(self) -> bool:
        """Whether anybody is there to take over any of our pairs."""
        present = self._present() - {self._leases.holder}
        return any(present_order(self._order(pair) or (), present) for pair in self.owned)

    async def release_all(self) -> None:
        """A clean stop: end every line with its Reset, publish that, give every lease back."""
        self.claiming = False
        async with self._stepping:  # a step under way may be about to claim one more
            for hold in list(self.warm.values()):
                self._cool(hold)
            for pair in list(self.owned):
                self.leave(pair)
            await self._publisher.flushed()
            for hold in self.owned.values():
                hold.leave_by_ms = 0.0
            await self._release_left()

    # --- warming up and claiming ----------------------------------------------------------------------------------------

    async def _look_around(self) -> None:
        others = [pair for pair in self._wanted if pair not in self.owned and self._concerns_us(pair)]
        self.unplaced, unplaced_before = 0, self.unplaced
        if not others:
            return
        now_ms, present = self._mono_ms(), self._present()
        found = await look(self._redis, self._keys, others)
        free: dict[int, list[Pair]] = {}
        claims: list[Wanted] = []
        for pair in others:  # highest priority first
            standing = found[pair]
            if standing.holder is not None:
                self._free_since.pop(pair, None)
                self._note_holder(pair, standing.holder, now_ms)
            else:
                self._free_since.setdefault(pair, now_ms)
                free.setdefault(self._keys.shard(pair), []).append(pair)
            hold = self.warm.get(pair)
            if hold is not None and hold.line is not None:
                hold.line.trim(standing.cell)
            if self._is_due(pair, standing, present, now_ms):
                claims.append(self._wanted[pair])
            else:
                self._tend(pair, standing, present, now_ms)
        for shard_pairs in free.values():
            await mark_stale(self._redis, self._keys, shard_pairs)
        if self.claiming:
            await self._claim(claims)
        if self.unplaced and not unplaced_before:
            log.warning("%d wanted pairs are free, and we are full: FLEET_CAPACITY=%d", self.unplaced, self._capacity)

    def _concerns_us(self, pair: Pair) -> bool:
        """Every wanted pair; but of those that a plan gives to others only a shard a step, so that a large fleet is not read
        all the time, and what was found free."""
        if self._orders is None or pair.label in self._orders or pair in self.warm or pair in self._free_since:
            return True
        return self._keys.shard(pair) == int(self._mono_ms() / SWEEP_MS) % self._keys.shards

    def _is_due(self, pair: Pair, standing: Standing, present: set[str], now_ms: float) -> bool:
        """Whether to ask for the pair now."""
        me, lease_ms = self._leases.holder, self._leases.lease_ms
        hold = self.warm.get(pair)
        covered = hold is not None and hold.line is not None and hold.line.covers(standing.cell)
        if standing.holder is not None:
            return standing.holder == me or (standing.offered_to == me and covered)
        if standing.offered_to is not None:
            return standing.offered_to == me
        if covered:
            return True
        order, since_ms = self._order(pair), self._free_since[pair]
        if order is None:
            wait = unplanned_wait_ms(pair.label, me, present, lease_ms, planned=self._orders is not None)
        else:
            holder, since = self._holders.get(pair, (None, NEVER))
            wait = wait_ms(order, me, present, holder, lease_ms)
            if now_ms - since < LINGER * lease_ms:  # who had it before is still warm, and goes on without a hole
                wait += lease_ms / LINGERER_SHARE
        return now_ms - since_ms >= wait

    def _tend(self, pair: Pair, standing: Standing, present: set[str], now_ms: float) -> None:
        """Keep warm what is to be warm, and nothing else."""
        what = duty(self._order(pair) or (), self._leases.holder, present, standby=self._standby)
        hold = self.warm.get(pair)
        if hold is not None:
            hold.duty = what
        if what is Duty.STANDBY or (what is Duty.OWN and standing.holder is not None):
            if hold is None and standing.holder is not None and self.claiming:
                wish = self._wanted[pair]
                hold = Hold(wish)
                hold.duty = what
                self._subscriber.subscribe(pair, wish.depth, wish.channels, WARM_PRIORITY)
                hold.step(Event.WARM_UP)
                self._keep_warm(hold)
            elif hold is not None:
                hold.until_ms = None
        elif hold is not None:
            if hold.until_ms is None:
                hold.until_ms = now_ms + self._leases.lease_ms
            elif now_ms >= hold.until_ms:
                self._cool(hold)

    async def _claim(self, wishes: Sequence[Wanted]) -> None:
        room = max(0, self._capacity - len(self.owned))
        self.unplaced = max(0, len(wishes) - room)
        granted: list[Hold] = []
        await side_by_side(partial(self._claim_one, wish, granted) for wish in wishes[:room])
        if granted:
            log.info("ours: %s", named(hold.pair for hold in granted))

    async def _claim_one(self, wish: Wanted, granted: list[Hold]) -> None:
        pair, hold = wish.pair, self.warm.get(wish.pair)
        was_held = pair not in self._free_since
        self._publisher.open(pair, wish.depth, trades="trades" in wish.channels)
        try:
            answer: Answer = await self._leases.acquire(self._target(wish))
        except BaseException:
            self._publisher.close(pair)
            raise
        if not isinstance(answer, Granted):
            self._publisher.close(pair)
            return
        self.moved_here += was_held
        hold = hold or Hold(wish)
        self._grant(hold, answer)
        granted.append(hold)
        self._subscriber.subscribe(pair, wish.depth, wish.channels, priority(wish))
