"""Watches a fleet from outside, through Redis: who holds which lease, who leads, how each book stands. Keeps every change.

One loop looks at the leases, one call a round; a slower one at the books. A Redis that does not answer is noted as an outage
and asked again: nothing is concluded from silence.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError

from fleet import clock
from fleet.keys import Keys
from fleet.pair import Pair

OWNERS_EVERY_S = 0.05
BOOKS_EVERY_S = 0.1
LIVE = "live"
MISSING = "missing"
STALE = "stale"
FIELDS = (b"status", b"n", b"epoch", b"checked_ms")


class Holding(NamedTuple):
    """From `at_ms` (mono) on `holder` held the lease under `token`; None and 0: nobody."""

    at_ms: float
    holder: str | None
    token: int


class Standing(NamedTuple):
    """From `at_ms` (mono) on a reader saw this status: live, resync, stale, missing; `epoch` is the writer's token."""

    at_ms: float
    status: str
    epoch: int


class Leading(NamedTuple):
    """From `at_ms` (mono) on this member led; None: nobody."""

    at_ms: float
    leader: str | None
    term: int


class Outage(NamedTuple):
    """Redis did not answer us; `to_ms` is the first answer after it."""

    from_ms: float
    to_ms: float


class Watcher:
    """`holdings`, `standings` and `leadings` hold changes only, oldest first; times are fleet.clock.mono_ms.

    `ages_ms` is, by pair, the highest age of a live book since `forget_ages`: server time less the owner's last proof.
    `worst_look_ms` is the longest time between two looks at the leases: no figure is finer than that.
    """

    def __init__(self, redis: Redis, keys: Keys, pairs: Sequence[Pair]) -> None:
        self.pairs = tuple(pairs)
        self.holdings: dict[Pair, list[Holding]] = {pair: [] for pair in pairs}
        self.standings: dict[Pair, list[Standing]] = {pair: [] for pair in pairs}
        self.leadings: list[Leading] = []
        self.outages: list[Outage] = []
        self.ages_ms: dict[Pair, float] = {}
        self.worst_look_ms = 0.0
        self._redis = redis
        self._keys = keys
        by_shard = itertools.groupby(sorted(self.pairs, key=keys.shard), keys.shard)
        self._groups = [tuple(pairs) for _, pairs in by_shard]  # a slot each: one MGET may not cross slots on Cluster
        self._one_call = isinstance(redis, Redis)
        self.owners_asked_ms = self.books_asked_ms = float("-inf")  # when the newest look that was answered began
        self._looked_ms: float | None = None
        self._failing_since_ms: float | None = None

    async def run(self) -> None:
        """Look for ever, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._for_ever(self._look_at_owners, OWNERS_EVERY_S), name="chaos: owners")
            group.create_task(self._for_ever(self._look_at_books, BOOKS_EVERY_S), name="chaos: books")

    async def _for_ever(self, look: Callable[[], Any], every_s: float) -> None:
        while True:
            try:
                await look()
            except (RedisError, OSError, TimeoutError):
                if self._failing_since_ms is None:
                    self._failing_since_ms = clock.mono_ms()
            else:
                if self._failing_since_ms is not None:
                    self.outages.append(Outage(self._failing_since_ms, clock.mono_ms()))
                    self._failing_since_ms = None
            await asyncio.sleep(every_s)

    # ── looking ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _look_at_owners(self) -> None:
        asked_ms = clock.mono_ms()
        if self._looked_ms is not None:
            self.worst_look_ms = max(self.worst_look_ms, asked_ms - self._looked_ms)
        self._looked_ms = asked_ms
        leases = await self._leases()
        leader = await self._redis.get(self._keys.leader())
        now_ms = clock.mono_ms()
        for pair, (token, holder) in leases.items():
            told = self.holdings[pair]
            if not told or (told[-1].holder, told[-1].token) != (holder, token):
                told.append(Holding(now_ms, holder, token))
        self.owners_asked_ms = asked_ms
        term, member = _split(leader)
        if not self.leadings or (self.leadings[-1].leader, self.leadings[-1].term) != (member, term):
            self.leadings.append(Leading(now_ms, member, term))

    async def _leases(self) -> dict[Pair, tuple[int, str | None]]:
        groups = [self.pairs] if self._one_call else self._groups
        answers = [await self._redis.mget([self._keys.lease(pair) for pair in group]) for group in groups]
        return {
            pair: _split(value)
            for group, values in zip(groups, answers, strict=True)
            for pair, value in zip(group, values, strict=True)
        }

    async def held_by(self, holder: str) -> dict[Pair, int]:
        """The pairs whose leases name it now, with their tokens: asked for now, not remembered.

        Of one that has ended before the call, this is what it held at its end, until the leases run out. Raises what Redis
        raises.
        """
        await self._leases()  # what it sent last was there to be read before this came: the next answer is behind it
        return {pair: token for pair, (token, held_by) in (await self._leases()).items() if held_by == holder}

    async def _look_at_books(self) -> None:
        asked_ms = clock.mono_ms()
        seconds, micros = await self._redis.time()
        pipe = self._redis.pipeline(transaction=False)
        for pair in self.pairs:
            pipe.hmget(self._keys.book(pair), FIELDS)
            pipe.exists(self._keys.lease(pair))
        answers = await pipe.execute()
        self.books_asked_ms = asked_ms
        now_ms, server_ms = clock.mono_ms(), seconds * 1000 + micros / 1000
        for pair, (status, n, epoch, checked), leased in zip(self.pairs, answers[::2], answers[1::2], strict=True):
            seen = MISSING if n is None else (status.decode() if leased and status else STALE)
            told, writer = self.standings[pair], int(epoch or 0)
            if not told or (told[-1].status, told[-1].epoch) != (seen, writer):
                told.append(Standing(now_ms, seen, writer))
            if seen == LIVE and checked:
                self.ages_ms[pair] = max(self.ages_ms.get(pair, 0.0), server_ms - int(checked))

    def seen_since(self, moment_ms: float) -> bool:
        """Whether leases and books were both looked at after that moment."""
        return min(self.owners_asked_ms, self.books_asked_ms) >= moment_ms

    @property
    def away(self) -> bool:
        """Whether Redis did not answer when it was asked last."""
        return self._failing_since_ms is not None

    def forget_ages(self) -> None:
        """From now on `ages_ms` tells of what comes."""
        self.ages_ms.clear()

    # ── what was seen ────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def owners(self) -> dict[Pair, Holding]:
        """Who held what at the last look; pairs without an owner are left out."""
        return {pair: told[-1] for pair, told in self.holdings.items() if told and told[-1].holder is not None}

    @property
    def leader(self) -> str | None:
        """Who led at the last look."""
        return self.leadings[-1].leader if self.leadings else None

    def live(self, pair: Pair) -> bool:
        """Whether its book could be used at the last look."""
        told = self.standings[pair]
        return bool(told) and told[-1].status == LIVE

    def not_live(self) -> dict[Pair, str]:
        """The status of every pair that is not live."""
        return {
            pair: told[-1].status if told else "not looked at"
            for pair, told in self.standings.items()
            if not self.live(pair)
        }

    def reowned_ms(self, pair: Pair, after_ms: float, former: str) -> float | None:
        """How long after `after_ms` another member than `former` was first seen to hold the pair; None: never."""
        for holding in self.holdings[pair]:
            if holding.at_ms >= after_ms and holding.holder not in (None, former):
                return holding.at_ms - after_ms
        return None

    def live_again_ms(self, pair: Pair, after_ms: float, above_epoch: int) -> float | None:
        """How long after `after_ms` the pair was first seen live under a token above `above_epoch`; None: never."""
        for standing in self.standings[pair]:
            if standing.at_ms >= after_ms and standing.status == LIVE and standing.epoch > above_epoch:
                return standing.at_ms - after_ms
        return None

    def not_live_ms(self, pairs: Iterable[Pair], from_ms: float, to_ms: float) -> float:
        """The longest time that one of `pairs` was not live at a stretch between these moments."""
        worst = 0.0
        for pair in pairs:
            told = self.standings[pair]
            since_ms: float | None = None
            for standing, end_ms in zip(told, [*(one.at_ms for one in told[1:]), to_ms], strict=True):
                if standing.status == LIVE:
                    since_ms = None
                    continue
                since_ms = standing.at_ms if since_ms is None else since_ms
                begin_ms, end_ms = max(since_ms, from_ms), min(end_ms, to_ms)
                worst = max(worst, end_ms - begin_ms)
        return worst

    def changes(self, pair: Pair, from_ms: float) -> list[Holding]:
        """What changed in its lease since then."""
        return [holding for holding in self.holdings[pair] if holding.at_ms >= from_ms]

    @property
    def changed_ms(self) -> float:
        """When a lease was last seen to change hands, or to be granted anew."""
        return max((told[-1].at_ms for told in self.holdings.values() if told), default=float("-inf"))

    def leaderless_ms(self, from_ms: float, former: str) -> float | None:
        """How long after `from_ms` another member than `former` was first seen to lead; None: never."""
        for leading in self.leadings:
            if leading.at_ms >= from_ms and leading.leader not in (None, former):
                return leading.at_ms - from_ms
        return None


def _split(value: Any) -> tuple[int, str | None]:
    if value is None:
        return 0, None
    number, _, holder = value.decode().partition(" ")
    return int(number), holder
