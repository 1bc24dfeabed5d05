"""A whole fleet to be hurt: real daemon processes on the ground that ops.chaos.ground lays, watched from outside.

    async with ChaosFleet(scale, seed) as fleet:
        await fleet.start()                         # daemons, until every pair is live
        victim = fleet.any_owner()
        tokens, at = fleet.tokens(fleet.owned_by(victim)), fleet.look_aside()
        await victim.kill()
        taken = await fleet.wait_taken_over(tokens, victim, at.mono_ms)
        violations = await fleet.judge()

Every daemon is ended and reaped at the end of the block.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

from feeds.feed_words import FeedState
from fleet import clock
from fleet.heartbeat import MemberRecord, read_members, read_pair_states, send_command
from fleet.pair import Pair, parse_label
from ops.chaos import judgement
from ops.chaos.chains import Chain
from ops.chaos.child import DAEMON, ChaosDaemon
from ops.chaos.ground import Ground, Moment
from ops.chaos.history import Entry, Fact
from ops.chaos.late import SHOWN, Late, until
from ops.chaos.scale import Scale
from ops.observer import Observer

WARM = "warm"  # the role of a standby in a beat
SETTLED_S = 2.0  # a planned move takes less, from one lease that changes to the next


class Takeover(NamedTuple):
    """The slowest of many pairs: owned by another daemon, and live again, after so many ms."""

    owned_ms: float
    live_ms: float


class ChaosFleet(Ground):
    """One fleet; the options are Ground's. `daemons` are all that were ever started, in order; `running` those that live."""

    def __init__(self, scale: Scale, seed: int, **options: Any) -> None:
        super().__init__(scale, seed, **options)
        self.daemons: list[ChaosDaemon] = []

    async def _set_up(self, exits: AsyncExitStack) -> None:
        await super()._set_up(exits)
        exits.push_async_callback(self._end_daemons)

    async def _end_daemons(self) -> None:
        for daemon in self.running:
            await daemon.kill()

    # ── daemons ──────────────────────────────────────────────────────────────────────────────────────────────────

    def start_daemon(self, environ: Mapping[str, str] | None = None, command: Sequence[str] = DAEMON) -> ChaosDaemon:
        """One daemon more, with these settings over the fleet's ({"FLEET_STANDBY": "1"}). Not waited for."""
        daemon = ChaosDaemon(len(self.daemons), {**self.environ, **(environ or {})}, self.folder, command)
        daemon.start()
        self.daemons.append(daemon)
        return daemon

    async def start(self, environ: Mapping[str, str] | None = None, *, count: int | None = None) -> None:
        """As many daemons as the scale says (or `count`), until each is known, every pair is live, and the plan has
        been carried out. Raises Late."""
        for _ in range(self.scale.daemons if count is None else count):
            self.start_daemon(environ)
        for daemon in self.daemons:
            await daemon.introduced()
        await self.wait_live(self.scale.start_s)
        await self.wait_settled(self.scale.start_s)

    @property
    def running(self) -> list[ChaosDaemon]:
        """The daemons whose processes live (a stopped one too)."""
        return [daemon for daemon in self.daemons if daemon.is_running]

    def daemon(self, identity: str | None) -> ChaosDaemon | None:
        """The daemon of this name, None for a stranger."""
        return next((one for one in self.daemons if identity and one.identity == identity), None)

    def owner_of(self, pair: Pair) -> ChaosDaemon | None:
        """Who held the pair at the watcher's last look."""
        holding = self.watcher.owners.get(pair)
        return self.daemon(holding.holder if holding else None)

    def owned_by(self, daemon: ChaosDaemon) -> list[Pair]:
        """The pairs whose leases it held at the watcher's last look."""
        return [pair for pair, holding in self.watcher.owners.items() if holding.holder == daemon.identity]

    @property
    def leader(self) -> ChaosDaemon | None:
        """Who led at the watcher's last look."""
        return self.daemon(self.watcher.leader)

    def any_owner(self) -> ChaosDaemon:
        """A daemon that owns pairs, by the seed. Raises Late when none does."""
        owners = [daemon for daemon in self.running if self.owned_by(daemon)]
        if not owners:
            raise Late("no daemon owns a pair")
        return self.rng.choice(owners)

    async def members(self) -> dict[str, MemberRecord]:
        """The members that Redis knows, by identity."""
        return {member.id: member for member in await read_members(self.redis, self.keys)}

    async def command(self, daemon: ChaosDaemon, word: str) -> None:
        """Leave a command for its next beat: stop, drain, undrain, rebalance."""
        await send_command(self.redis, self.keys, daemon.identity, word)

    # ── waiting ──────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def live(self) -> bool:
        """Whether every pair was live at the watcher's last look."""
        return not self.watcher.not_live()

    async def wait_live(self, within_s: float | None = None) -> float:
        """Until every pair is live and all are owned; how long it took, ms. Raises Late, naming those that are not."""
        asked_ms = clock.mono_ms()

        def well() -> bool:
            return self.watcher.seen_since(asked_ms) and self.live and len(self.watcher.owners) == len(self.pairs)

        limit_s = self.scale.settle_s if within_s is None else within_s
        return await until(well, f"all {len(self.pairs)} pairs live", limit_s, why=self._why)

    async def wait_settled(self, within_s: float | None = None) -> float:
        """Until no lease has changed hands for a while: the moves of a plan are over. How long it took, ms. Raises Late."""
        limit_s = self.scale.settle_s if within_s is None else within_s
        quiet_ms = max(SETTLED_S, self.scale.calm_s) * 1000
        return await until(
            lambda: clock.mono_ms() - self.watcher.changed_ms > quiet_ms, "leases that stay where they are", limit_s
        )

    def tokens(self, pairs: Iterable[Pair]) -> dict[Pair, int]:
        """Under which token each of these was owned at the watcher's last look; 0: nobody owned it."""
        owners = self.watcher.owners
        return {pair: owners[pair].token if pair in owners else 0 for pair in pairs}

    async def wait_taken_over(self, tokens: Mapping[Pair, int], former: ChaosDaemon, since_ms: float) -> Takeover:
        """Until each of these pairs is owned by another daemon than `former` and live under a token above the one given.

        How long the slowest took from `since_ms` on. Raises Late, naming those that were not taken over.
        """
        watcher, name = self.watcher, former.identity

        def missing() -> list[Pair]:
            return [
                pair
                for pair, token in tokens.items()
                if watcher.reowned_ms(pair, since_ms, name) is None
                or watcher.live_again_ms(pair, since_ms, token) is None
            ]

        def why() -> str:
            left = missing()
            return f"{len(left)} are not: {'; '.join(map(str, left[:SHOWN]))}"

        await until(lambda: not missing(), f"{len(tokens)} pairs taken over", self.scale.settle_s, why=why)
        owned = [watcher.reowned_ms(pair, since_ms, name) or 0.0 for pair in tokens]
        live = [watcher.live_again_ms(pair, since_ms, token) or 0.0 for pair, token in tokens.items()]
        return Takeover(max(owned, default=0.0), max(live, default=0.0))

    def _why(self) -> str:
        missing = self.watcher.not_live()
        told = [f"{pair} {status}" for pair, status in list(missing.items())[:SHOWN]]
        gone = [
            f"{one.name} ended with code {one.exit_code}" for one in self.daemons if not one.is_running and not one.hurt
        ]
        return f"{len(missing)} are not: " + "; ".join(told + gone)

    async def calm(self) -> None:
        """Leave the fleet alone for a while, so that what is wrong can show."""
        await asyncio.sleep(self.scale.calm_s)

    # ── what was recorded ────────────────────────────────────────────────────────────────────────────────────────

    async def recorded(self) -> None:
        """Wait until the recorder has read every stream to its present end."""
        await self.records.caught_up()

    def chain(self, pair: Pair, since: Moment) -> Chain:
        """What the pair's stream tells since then; call `recorded` before."""
        return self.records.chain(pair, since.wall_ms)

    def entries(self, pair: Pair, since: Moment) -> list[Entry]:
        """The recorded entries of the pair that Redis took since then; call `recorded` before."""
        return self.records.entries(pair, since.wall_ms)

    def facts(self, daemon: ChaosDaemon) -> list[Fact]:
        """What a daemon has on file: grants, writes, refusals, losses."""
        return self.records.facts(daemon.identity)

    async def standbys(self) -> dict[Pair, dict[str, bool]]:
        """By pair: the members that say they keep it warm, and whether their own book of it is live."""
        found: dict[Pair, dict[str, bool]] = {}
        for member in await self.members():
            said = await read_pair_states(self.redis, self.keys, member)
            for label, note in said.get("pairs", {}).items():
                if note.get("role") == WARM:
                    found.setdefault(parse_label(label), {})[member] = note.get("state") == FeedState.LIVE
        return found

    async def status(self) -> dict[str, Any]:
        """What `fleet status --json` shows."""
        return (await Observer(self.redis, self.keys).observe()).to_json()

    def last_words(self) -> str:
        """The ends of all logs, for people who look for a reason."""
        return "\n\n".join(daemon.last_words() for daemon in self.daemons)

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def judge(self) -> list[str]:
        """What is wrong at the end, in words (ops.chaos.judgement). The daemons have ended after it."""
        return await judgement.judge(self)
