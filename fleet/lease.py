"""Leases: get them, keep many of them alive in bulk, and know at once when one is gone.

A lease answers "may somebody else take it"; safety is the token's (see lua/publish.lua). Still a holder stops by its own
clock, for effects outside Redis and to save work. States and their rules: fleet.lease_states.

Two loops: one renews, one call a shard; the other only looks at the clock, so that an answer that does not come cannot
keep a lease from expiring here before it expires there. The first runs in a thread with a connection of its own, so that a
busy event loop does not cost the leases. It stops when the event loop has shown no life for HANG_LEASES lease times: who hangs
must lose them. A lease that outlived its own deadline is lost, whatever Redis says: behind a failover Redis may have forgotten
that somebody else had it meanwhile. What such a renewal prolonged is given back.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from functools import partial
from typing import NamedTuple

from redis.exceptions import RedisError

from fleet import scripts
from fleet.clock import MonoMs
from fleet.errors import FleetError
from fleet.keys import Keys
from fleet.lease_states import Event, State, next_state
from fleet.logs import one_line
from fleet.own_thread import in_own_thread
from fleet.pair import Pair
from fleet.scripts import Granted, Reserved, Taken

log = logging.getLogger(__name__)

RENEW_MS = 500  # at most; an eighth of a shorter lease
HANG_LEASES = 2
CHECKS_A_RENEWAL = 5  # how often the clock is looked at between two renewals


class Target(NamedTuple):
    """What a lease is on. `fields` of `tail` get the token; targets of one `tail` are renewed in one call."""

    name: str
    tail: str
    lease: str
    offer: str
    fields: tuple[str, ...]


def pair_target(keys: Keys, pair: Pair, *, trades: bool = False) -> Target:
    """A pair's book line, and its trades line where they are published too."""
    fields = (pair.label, trades_field(pair)) if trades else (pair.label,)
    return Target(pair.label, keys.tail(keys.shard(pair)), keys.lease(pair), keys.offer(pair), fields)


def trades_field(pair: Pair) -> str:
    """The tail field of a pair's trades line."""
    return f"{pair.label}#trades"


def lane_target(keys: Keys, lane: int) -> Target:
    """A monitor lane. Lanes are not offered; the offer key never exists."""
    lease = keys.lane_lease(lane)
    return Target(f"lane {lane}", keys.lanes(), lease, f"{lease}:offer", (str(lane),))


class LossReason(StrEnum):
    TAKEN = "taken"  # Redis holds another value, or none
    EXPIRED = "expired"  # we could not renew it in time


class Late(NamedTuple):
    """The answer to acquire came past three quarters of the lease: it is not used. Ask again."""

    after_ms: float


OnLost = Callable[["Lease", LossReason], None]
Answer = Granted | Taken | Reserved | Late


class Lease:
    """One lease of ours. `token` and `granted` are of the last grant (0 and None before)."""

    def __init__(self, target: Target, on_lost: OnLost) -> None:
        self.target = target
        self.on_lost = on_lost
        self.state = State.IDLE
        self.token = 0
        self.granted: Granted | None = None
        self.deadline_mono_ms = 0.0

    def __repr__(self) -> str:
        return f"<Lease {self.target.name} {self.state}, token {self.token}>"

    def step(self, event: Event) -> None:
        """The only writer of `state`."""
        before, self.state = self.state, next_state(self.state, event)
        if before is not self.state:
            log.debug("lease %s: %s → %s", self.target.name, before, self.state)

    def is_held(self, now_mono_ms: float) -> bool:
        """Whether work under this lease may act now."""
        return self.state is State.HELD and now_mono_ms < self.deadline_mono_ms


class LeaseKeeper:
    """All leases of one holder. `run` must run while any is held.

    `worst_stall_ms` is the longest the event loop was late for our clock check: above a quarter of the lease, leases are
    at risk. `renew_failures` counts renewals that Redis did not answer.
    """

    name = "leases"

    def __init__(
        self,
        redis: scripts.Connection,
        *,
        holder: str,
        lease_ms: int,
        mono_ms: MonoMs,
        on_lost: OnLost,
        renewals: Callable[[], AbstractAsyncContextManager[scripts.Connection]] | None = None,
    ) -> None:
        """`renewals` opens the connection of the renewing thread; None: renewals share our loop and `redis`."""
        self.holder = holder
        self.lease_ms = lease_ms
        self.worst_stall_ms = 0.0
        self.renew_failures = 0
        self._redis = redis
        self._mono_ms = mono_ms
        self._on_lost = on_lost
        self._leases: dict[str, Lease] = {}
        self._highest_token = 0
        self._stall_since_asked_ms = 0.0
        self._failing = False
        self._renewing: set[str] = set()
        self._connect_renewals = renewals
        self._alive_ms = mono_ms()
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"<LeaseKeeper {self.holder}: {len(self._leases)} leases, {self.renew_failures} renewals failed>"

    @property
    def renew_every_ms(self) -> float:
        return min(RENEW_MS, self.lease_ms / 8)

    @property
    def leases(self) -> tuple[Lease, ...]:
        return tuple(self._leases.values())

    def lease(self, target: Target) -> Lease | None:
        """Our lease on it, whatever its state; None after loss, release or refusal."""
        return self._leases.get(target.lease)

    def holds(self, target: Target) -> bool:
        """Whether work on this target may act now, by our own clock."""
        lease = self._leases.get(target.lease)
        return lease is not None and lease.is_held(self._mono_ms())

    def take_stall_ms(self) -> float:
        """The worst stall since the last time this was asked (for the heartbeat)."""
        worst, self._stall_since_asked_ms = self._stall_since_asked_ms, 0.0
        return worst

    async def acquire(self, target: Target, *, floor: int = 0, on_lost: OnLost | None = None) -> Answer:
        """Ask once. Also to renew one's own doubt: the token is always new, and the old one void from now on.

        `floor`: the highest token the caller has seen; ours are remembered. Raises what the connection raises: then it
        is unknown whether the lease was granted, and asking again is right.
        """
        lease = self._leases.setdefault(target.lease, Lease(target, on_lost or self._on_lost))
        lease.step(Event.ASK)
        sent_ms = self._mono_ms()
        try:
            answer = await scripts.acquire(
                self._redis,
                tail=target.tail,
                lease=target.lease,
                offer=target.offer,
                holder=self.holder,
                ttl_ms=self.lease_ms,
                floor=max(floor, self._highest_token),
                fields=target.fields,
            )
        except BaseException:  # also a cancelled caller: nobody would use the grant
            self._refuse(lease)
            raise
        return self._judge(lease, answer, sent_ms)

    def _judge(self, lease: Lease, answer: Granted | Taken | Reserved, sent_ms: float) -> Answer:
        if not isinstance(answer, Granted):
            self._refuse(lease)
            return answer
        self._highest_token = max(self._highest_token, answer.token)
        after_ms = self._mono_ms() - sent_ms
        if after_ms >= self.lease_ms * 3 / 4 or lease.state is not State.ASKING:  # too late, or given up meanwhile
            self._refuse(lease)
            return Late(after_ms)
        lease.token, lease.granted = answer.token, answer
        lease.deadline_mono_ms = sent_ms + self.lease_ms * 3 / 4
        lease.step(Event.GRANTED)  # last: from now on the renewing thread looks at the rest
        return answer

    def _refuse(self, lease: Lease) -> None:
        if lease.state is State.ASKING:
            lease.step(Event.REFUSED)
        if self._leases.get(lease.target.lease) is lease:
            del self._leases[lease.target.lease]

    async def offer(self, offers: Mapping[Target, str], ttl_ms: int) -> list[Target]:
        """Consent that each target may be taken by the member named ('' withdraws it); a call a shard. Returns those that are
        not ours any more. Raises what the connection raises."""
        by_tail: dict[str, list[tuple[Target, scripts.Offer]]] = {}
        for target, member in offers.items():
            lease = self._leases.get(target.lease)
            if lease is not None and lease.state is State.HELD:
                value = scripts.lease_value(lease.token, self.holder)
                one = scripts.Offer(target.lease, target.offer, value, member)
                by_tail.setdefault(target.tail, []).append((target, one))
        lost: list[Target] = []
        for made in by_tail.values():
            gone = await scripts.offer(self._redis, offers=[one for _, one in made], ttl_ms=ttl_ms)
            lost += [made[position][0] for position in gone]
        return lost

    async def release(self, target: Target) -> bool:
        """Give it back, so that an heir need not wait; False when it was not ours any more. Work under it must have
        ended. Raises what the connection raises; it then runs out by itself."""
        lease = self.abandon(target)
        if lease is None or lease.token == 0:
            return False
        value = scripts.lease_value(lease.token, self.holder)
        return await scripts.release(self._redis, lease=target.lease, value=value)

    def abandon(self, target: Target) -> Lease | None:
        """Renew it no more and forget it; it runs out in Redis by itself. `on_lost` is not called."""
        lease = self._leases.pop(target.lease, None)
        if lease is not None:
            lease.step(Event.RELEASE)
        return lease

    async def run(self) -> None:
        """Renew, and watch the clock, until cancelled."""
        self._loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            renewing = self._renew_for_ever() if self._connect_renewals is None else self._renew_in_thread()
            group.create_task(renewing, name="leases: renew")
            group.create_task(self._watch_for_ever(), name="leases: watch the clock")

    async def _renew_in_thread(self) -> None:
        await in_own_thread(self._renew_by_own_client, "leases")

    async def _renew_by_own_client(self) -> None:
        if self._connect_renewals is None:
            return
        async with self._connect_renewals() as client:
            await self._renew_for_ever(client)

    async def _renew_for_ever(self, client: scripts.Connection | None = None) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                if self._mono_ms() - self._alive_ms < HANG_LEASES * self.lease_ms:
                    self._renew_idle_shards(group, client or self._redis)
                await asyncio.sleep(self.renew_every_ms / 1000)

    async def _watch_for_ever(self) -> None:
        tick_ms = self.renew_every_ms / CHECKS_A_RENEWAL
        while True:
            planned_ms = self._mono_ms() + tick_ms
            await asyncio.sleep(tick_ms / 1000)
            stall_ms = max(0.0, self._mono_ms() - planned_ms)
            self.worst_stall_ms = max(self.worst_stall_ms, stall_ms)
            self._stall_since_asked_ms = max(self._stall_since_asked_ms, stall_ms)
            self._alive_ms = self._mono_ms()
            self.expire()

    def expire(self) -> None:
        """Lose every lease whose deadline has passed by our own clock."""
        now_ms = self._mono_ms()
        for lease in self.leases:
            if lease.state is State.HELD and now_ms >= lease.deadline_mono_ms:
                self._lose(lease, Event.EXPIRED, LossReason.EXPIRED)

    async def renew(self, client: scripts.Connection | None = None) -> None:
        """Renew all that are held, all shards at once. Errors are counted, told once an outage, and survived. May run in
        another thread than the rest: it writes deadlines only; what it finds lost is told to our loop."""
        async with asyncio.TaskGroup() as group:
            self._renew_idle_shards(group, client or self._redis)

    def _renew_idle_shards(self, group: asyncio.TaskGroup, client: scripts.Connection) -> None:
        """A call for each shard whose last one was answered: a node that hangs does not delay the others."""
        by_tail: dict[str, list[Lease]] = {}
        now_ms, is_late = self._mono_ms(), False
        for lease in list(self._leases.values()):
            if lease.state is not State.HELD or lease.target.tail in self._renewing:
                continue
            if now_ms < lease.deadline_mono_ms:
                by_tail.setdefault(lease.target.tail, []).append(lease)
            else:
                is_late = True  # we were frozen, and nobody has looked at the clock since
        if is_late:
            self._in_our_loop(self.expire)
        for tail, leases in by_tail.items():
            self._renewing.add(tail)
            group.create_task(self._renew_shard(tail, leases, client), name=f"leases: renew {tail}")

    async def _renew_shard(self, tail: str, leases: Sequence[Lease], client: scripts.Connection) -> None:
        try:
            prolonged = await self._renew_leases(leases, client)
        finally:
            self._renewing.discard(tail)
        for lease, token in prolonged:
            await self._give_back(lease, token, client)

    async def _renew_leases(self, leases: Sequence[Lease], client: scripts.Connection) -> list[tuple[Lease, int]]:
        """Returns those that Redis prolonged after we had lost them by our clock."""
        tokens = [lease.token for lease in leases]
        sent_ms = self._mono_ms()
        try:
            lost = await scripts.renew(
                client,
                leases=[lease.target.lease for lease in leases],
                values=[scripts.lease_value(token, self.holder) for token in tokens],
                ttl_ms=self.lease_ms,
            )
        except (RedisError, FleetError, OSError) as error:
            self.renew_failures += 1
            if not self._failing:
                log.warning("leases: cannot renew: %s", one_line(error))
            self._failing = True
            return []
        if self._failing:
            log.info("leases: Redis renews again")
        self._failing = False
        gone = set(lost)
        answered_ms = self._mono_ms()
        prolonged: list[tuple[Lease, int]] = []
        for position, (lease, token) in enumerate(zip(leases, tokens, strict=True)):
            if lease.token != token or lease.state not in (State.HELD, State.LOST):
                continue  # given up or asked for anew while the answer was under way
            if position in gone:
                self._in_our_loop(partial(self._taken, lease, token))
            elif lease.state is State.LOST or answered_ms >= lease.deadline_mono_ms:
                self._in_our_loop(self.expire)
                prolonged.append((lease, token))
            else:
                # Event.RENEWED: HELD stays HELD. Not stepped: our loop may be changing the state at this very moment
                lease.deadline_mono_ms = sent_ms + self.lease_ms * 3 / 4
        return prolonged

    async def _give_back(self, lease: Lease, token: int, client: scripts.Connection) -> None:
        """So that an heir need not wait for what we may not use. Where Redis does not answer it runs out."""
        try:
            await scripts.release(client, lease=lease.target.lease, value=scripts.lease_value(token, self.holder))
        except (RedisError, FleetError, OSError) as error:
            log.debug("lease %s: renewed too late and not given back: %s", lease.target.name, one_line(error))

    def _in_our_loop(self, call: Callable[[], None]) -> None:
        """States change in our loop only; renewals may run in another thread."""
        if self._loop is None or self._loop is asyncio.get_running_loop():
            call()
        else:
            self._loop.call_soon_threadsafe(call)

    def _taken(self, lease: Lease, token: int) -> None:
        """A renewal found another value, or none. Asked for anew meanwhile: that answer counts."""
        if lease.state is State.HELD and lease.token == token:
            self._lose(lease, Event.TAKEN, LossReason.TAKEN)

    def _lose(self, lease: Lease, event: Event, reason: LossReason) -> None:
        lease.step(event)
        del self._leases[lease.target.lease]
        log.debug("lease %s lost: %s (token %d)", lease.target.name, reason, lease.token)
        lease.on_lost(lease, reason)
