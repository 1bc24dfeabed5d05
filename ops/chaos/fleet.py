"""A whole fleet to be hurt: a Redis, simulated venues, tasks in SQLite, real daemon processes; watched from outside.

    async with ChaosFleet(scale, seed) as fleet:
        await fleet.start()                         # daemons, until every pair is live
        victim = fleet.owner_of(pair)
        await victim.kill()
        await until(lambda: fleet.live, "every pair live", scale.settle_s)
        violations = await fleet.judge()

Everything listens on loopback and on free ports. Whatever happens, every process is ended and reaped at the end of the block,
and the scratch folder goes with it unless `scale.keep` is set.
"""

import asyncio
import math
import random
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec
from redis.asyncio import Redis

from books.store import load_book
from feeds import venues
from fleet import clock
from fleet.config import PREFIX, Settings, environment, load
from fleet.heartbeat import MemberRecord, read_members, send_command
from fleet.keys import Keys
from fleet.pair import Pair
from fleet.redis_connection import connect
from fleet.schema import create_schema
from fleet.sql import engine as sql_engine
from fleet.tasks import Task, TaskStore
from ops.chaos.child import DAEMON, ChaosDaemon
from ops.chaos.late import Late, until
from ops.chaos.markets import SimulatedMarkets
from ops.chaos.scale import Scale
from ops.chaos.truth import difference
from ops.chaos.watcher import Watcher
from ops.embedded.redis import EmbeddedRedis
from ops.simulator import registry

DEPTH = "50"
STOP_S = 15.0  # a daemon's own deadline is 10 s
EQUAL_POLL_S = 0.1
SHOWN = 5  # of many alike


class Takeover(NamedTuple):
    """The slowest of many pairs: owned by another daemon, and live again, after so many ms."""

    owned_ms: float
    live_ms: float


class ChaosFleet:
    """One fleet. `daemons` are all that were ever started, in order; `running` those that live.

    redis_url          the Redis that is looked at and that daemons use; None: an own server, `server`
    daemon_redis_url   the URL that daemons use in its place (a proxy in front of it, a Sentinel's)
    redis_settings     lines of redis.conf for the own server
    environ            more settings for every daemon
    """

    def __init__(
        self,
        scale: Scale,
        seed: int,
        *,
        redis_url: str | None = None,
        daemon_redis_url: str | None = None,
        redis_settings: Mapping[str, str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.scale = scale
        self.seed = seed
        self.rng = random.Random(seed)
        self.daemons: list[ChaosDaemon] = []
        self.server: EmbeddedRedis | None = None
        self.pairs = pairs_of(scale)
        self.keys = Keys(shards=scale.shards)
        self.folder: Path
        self.venues: SimulatedMarkets
        self.redis: Redis
        self.watcher: Watcher
        self.tasks: TaskStore
        self.environ: dict[str, str] = {}
        self._redis_url = redis_url
        self._daemon_redis_url = daemon_redis_url
        self._redis_settings = redis_settings
        self._more = dict(environ or {})
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            await self._set_up(exits)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.__aexit__(None, None, None)  # the body's error is the caller's

    async def _set_up(self, exits: AsyncExitStack) -> None:
        scale = self.scale
        self.folder = Path(tempfile.mkdtemp(prefix="fleet-chaos-"))
        if not scale.keep:
            exits.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.evidence.mkdir()
        if self._redis_url is None:
            self.server = EmbeddedRedis(self.folder / "redis", settings=self._redis_settings)
            await exits.enter_async_context(self.server)
        url = self._redis_url or (self.server.url if self.server else "")
        each = math.ceil(scale.pairs / len(scale.markets))
        self.venues = SimulatedMarkets(
            scale.markets, pairs_each=each, rate=scale.rate, seed=self.seed, folder=self.folder
        )
        await exits.enter_async_context(self.venues)
        self.environ = {
            **{name: value for name, value in environment().items() if not name.startswith(PREFIX)},
            **self._settings(self._daemon_redis_url or url),
        }
        engine = sql_engine(load(environ=self.environ))
        exits.push_async_callback(engine.dispose)
        await create_schema(engine)
        self.tasks = TaskStore(engine)
        await self.tasks.add([Task(table="MONITORING", pair=pair, depth=DEPTH) for pair in self.pairs])
        self.redis = connect(load(environ={"FLEET_REDIS_URL": url}), name="fleet-chaos")
        exits.push_async_callback(self.redis.aclose)
        self._write_run()
        self.watcher = Watcher(self.redis, self.keys, self.pairs)
        group = await exits.enter_async_context(asyncio.TaskGroup())
        watching = group.create_task(self.watcher.run(), name="chaos: watcher")
        exits.callback(watching.cancel)
        exits.push_async_callback(self._end_daemons)

    def _settings(self, redis_url: str) -> dict[str, str]:
        scale = self.scale
        found = {
            "FLEET_REDIS_URL": redis_url,
            "FLEET_DATABASE_URL": self.database_url,
            "FLEET_LEASE_MS": str(scale.lease_ms),
            "FLEET_SHARDS": str(scale.shards),
            "FLEET_TASKS_POLL_MS": "1000",
            "FLEET_ROLES": "feed",
            "FLEET_LOG_LEVEL": "info",
            **self.venues.environ,
            **self._more,
        }
        if "evidence_dir" in Settings.model_fields:
            found["FLEET_EVIDENCE_DIR"] = str(self.evidence)
        return found

    @property
    def database_url(self) -> str:
        """The tasks of this fleet."""
        return f"sqlite:///{self.folder / 'fleet.db'}"

    @property
    def evidence(self) -> Path:
        """Where daemons write down what they were granted and refused."""
        return self.folder / "evidence"

    def _write_run(self) -> None:
        run = {
            "seed": self.seed,
            "scale": self.scale.name,
            "lease_ms": self.scale.lease_ms,
            "shards": self.scale.shards,
            "pairs": [pair.label for pair in self.pairs],
        }
        (self.folder / "run.json").write_bytes(msgspec.json.format(msgspec.json.encode(run)) + b"\n")

    # ── daemons ──────────────────────────────────────────────────────────────────────────────────────────────────

    def start_daemon(self, environ: Mapping[str, str] | None = None, command: Sequence[str] = DAEMON) -> ChaosDaemon:
        """One daemon more, with these settings over the fleet's ({"FLEET_STANDBY": "1"}). Not waited for."""
        daemon = ChaosDaemon(len(self.daemons), {**self.environ, **(environ or {})}, self.folder, command)
        daemon.start()
        self.daemons.append(daemon)
        return daemon

    async def start(self, environ: Mapping[str, str] | None = None) -> None:
        """As many daemons as the scale says, until each is known and every pair is live. Raises Late."""
        for _ in range(self.scale.daemons):
            self.start_daemon(environ)
        for daemon in self.daemons:
            await daemon.introduced()
        await self.wait_live(self.scale.start_s)
        await asyncio.sleep(self.scale.calm_s)

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

    def look_aside(self) -> float:
        """Forget how old books were; the moment, for figures of what comes."""
        self.watcher.forget_ages()
        return clock.mono_ms()

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def judge(self) -> list[str]:
        """What is wrong at the end: pairs not live, books that are not the venue's, errors that nobody expected, daemons
        that could not end in order. The daemons have ended after it."""
        found = []
        try:
            await self.wait_live()
            found += await self.compare_books()
        except Late as late:
            found.append(f"at the end: {late}")
        found += await self.stop_daemons()
        return found

    async def compare_books(self) -> list[str]:
        """Stop the markets, and wait until every book is the venue's, level by level; which ones are not, and where."""
        await self.venues.freeze()
        until_ms = clock.mono_ms() + self.scale.settle_s * 1000
        different = await self._differences(self.pairs)
        while different and clock.mono_ms() < until_ms:
            await asyncio.sleep(EQUAL_POLL_S)
            different = await self._differences(tuple(different))
        await self.venues.thaw()
        told = [f"{pair}: our book is not the venue's: {text}" for pair, text in different.items()]
        return told[:SHOWN] + ([f"… and {len(told) - SHOWN} more books"] if len(told) > SHOWN else [])

    async def _differences(self, pairs: tuple[Pair, ...]) -> dict[Pair, str]:
        found = {}
        for pair in pairs:
            book = await load_book(self.redis, self.keys, pair)
            window = venues.find(pair.venue, pair.market).book_channel(DEPTH).depth
            depth = min(int(window), int(DEPTH)) if window.isdecimal() else int(DEPTH)
            told = difference((book.bids, book.asks), await self.venues.truth(pair), depth)
            if told or not book.live:
                found[pair] = told or f"it is {book.status}"
        return found

    async def stop_daemons(self) -> list[str]:
        """SIGTERM to all at once; what is wrong with how they ended and with what they ever said."""
        found = []
        for daemon in self.running:
            daemon.resume()
            daemon.terminate()
        for daemon in self.daemons:
            try:
                await daemon.ended(STOP_S)
            except Late:
                found.append(f"{daemon.name} did not end within {STOP_S:g} s of SIGTERM")
        return found + [text for daemon in self.daemons for text in daemon.complaints()]

    def last_words(self) -> str:
        """The ends of all logs, for people who look for a reason."""
        return "\n\n".join(daemon.last_words() for daemon in self.daemons)

    async def status(self) -> dict[str, Any]:
        """What `fleet status --json` shows."""
        from ops.observer import Observer

        return (await Observer(self.redis, self.keys).observe()).to_json()

    async def _end_daemons(self) -> None:
        for daemon in self.running:
            await daemon.kill()


def pairs_of(scale: Scale) -> tuple[Pair, ...]:
    """As many pairs as the scale says, taken in turn from its markets."""
    each = math.ceil(scale.pairs / len(scale.markets))
    columns = [[Pair(*place, pair) for pair in registry.pairs(*place, each)] for place in scale.markets]
    return tuple([pair for row in zip(*columns, strict=True) for pair in row][: scale.pairs])


def comparable(pair: Pair) -> bool:
    """Whether the venue's sequences are the same on every socket: a hand-over then needs no seam."""
    return venues.find(pair.venue, pair.market).sequence_comparable
