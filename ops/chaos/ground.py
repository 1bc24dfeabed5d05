"""The ground under a chaos run: a Redis, simulated venues, tasks in SQL, a watcher, the recorded streams; no daemon yet.

Everything listens on loopback and on free ports, and has ended when the block has, whatever happens; the scratch folder goes
with it unless `scale.keep` is set.
"""

import asyncio
import math
import random
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import msgspec
from redis.asyncio import Redis

from feeds import venues
from fleet import clock
from fleet.config import PREFIX, Settings, environment, load
from fleet.keys import Keys
from fleet.pair import Pair
from fleet.redis_connection import connect
from fleet.schema import create_schema
from fleet.sql import engine as sql_engine
from fleet.tasks import Task, TaskStore
from ops.chaos.markets import SimulatedMarkets
from ops.chaos.records import DEPTH, Records
from ops.chaos.scale import Scale
from ops.chaos.watcher import Watcher
from ops.embedded.mariadb import MariaDB
from ops.embedded.redis import EmbeddedRedis
from ops.simulator import registry

DATABASE = "fleet"


class Moment(NamedTuple):
    """A moment by both clocks: monotonic for what the watcher saw, wall for what Redis stamped (it runs on this host)."""

    mono_ms: float
    wall_ms: int


class Ground:
    """What a fleet stands on. `server` is the own Redis, None where another was given; `mariadb` likewise.

    redis_url          the Redis that is looked at and that daemons use; None: an own server
    daemon_redis_url   the URL that daemons use in its place (a proxy in front of it, a Sentinel's)
    redis_settings     lines of redis.conf for the own server
    environ            more settings for every daemon
    mariadb            tasks in a MariaDB of our own; otherwise in a SQLite file
    history            False: nothing is recorded (there are no `records`), so that a run may last for hours
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
        mariadb: bool = False,
        history: bool = True,
    ) -> None:
        self.scale = scale
        self.seed = seed
        self.rng = random.Random(seed)
        self.pairs = pairs_of(scale)
        self.keys = Keys(shards=scale.shards)
        self.server: EmbeddedRedis | None = None
        self.mariadb: MariaDB | None = None
        self.environ: dict[str, str] = {}
        self.database_url = ""
        self.folder: Path
        self.venues: SimulatedMarkets
        self.redis: Redis
        self.watcher: Watcher
        self.records: Records
        self.tasks: TaskStore
        self._redis_url = redis_url
        self._daemon_redis_url = daemon_redis_url
        self._redis_settings = redis_settings
        self._more = dict(environ or {})
        self._with_mariadb = mariadb
        self.history = history
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
        each = pairs_each(scale)
        self.venues = SimulatedMarkets(
            scale.markets, pairs_each=each, rate=scale.rate, seed=self.seed, folder=self.folder
        )
        await exits.enter_async_context(self.venues)
        await self._set_up_tasks(exits, url)
        self.redis = connect(load(environ={"FLEET_REDIS_URL": url}), name="fleet-chaos")
        exits.push_async_callback(self.redis.aclose)
        self._write_run()
        self.watcher = Watcher(self.redis, self.keys, self.pairs)
        if self.history:
            self.records = Records(self.folder, url, self.keys, self.pairs)
            await exits.enter_async_context(self.records)
        group = await exits.enter_async_context(asyncio.TaskGroup())
        watching = group.create_task(self.watcher.run(), name="chaos: watcher")
        exits.callback(watching.cancel)

    async def _set_up_tasks(self, exits: AsyncExitStack, redis_url: str) -> None:
        self.database_url = f"sqlite:///{self.folder / 'fleet.db'}"
        if self._with_mariadb:
            self.mariadb = MariaDB(self.folder / "mariadb")
            await exits.enter_async_context(self.mariadb)
            await self.mariadb.execute(f"CREATE DATABASE {DATABASE}")
            self.database_url = self.mariadb.database_url(DATABASE)
        self.environ = {
            **{name: value for name, value in environment().items() if not name.startswith(PREFIX)},
            **self._settings(self._daemon_redis_url or redis_url),
        }
        engine = sql_engine(load(environ=self.environ))
        exits.push_async_callback(engine.dispose)
        await create_schema(engine)
        self.tasks = TaskStore(engine)
        await self.add_tasks(*self.pairs)

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
        if self.history and "evidence_dir" in Settings.model_fields:
            found["FLEET_EVIDENCE_DIR"] = str(self.evidence)
        return found

    @property
    def evidence(self) -> Path:
        """Where daemons write down what they were granted and refused."""
        return self.folder / "evidence"

    async def add_tasks(self, *pairs: Pair) -> None:
        """Ask the fleet for pairs more."""
        await self.tasks.add([Task(table="MONITORING", pair=pair, depth=DEPTH) for pair in pairs])

    def _write_run(self) -> None:
        run = {
            "seed": self.seed,
            "scale": self.scale.name,
            "lease_ms": self.scale.lease_ms,
            "shards": self.scale.shards,
            "pairs": [pair.label for pair in self.pairs],
        }
        (self.folder / "run.json").write_bytes(msgspec.json.format(msgspec.json.encode(run)) + b"\n")

    def look_aside(self) -> Moment:
        """Forget how old books were; the moment, for figures of what comes."""
        self.watcher.forget_ages()
        return Moment(clock.mono_ms(), clock.wall_ms())


def pairs_each(scale: Scale) -> int:
    """How many pairs each market lists: those of the scale, and one that nobody has asked for."""
    return math.ceil(scale.pairs / len(scale.markets)) + 1


def pairs_of(scale: Scale) -> tuple[Pair, ...]:
    """As many pairs as the scale says, taken in turn from its markets."""
    columns = [[Pair(*place, pair) for pair in registry.pairs(*place, pairs_each(scale))] for place in scale.markets]
    return tuple([pair for row in zip(*columns, strict=True) for pair in row][: scale.pairs])


def spare_pair(scale: Scale) -> Pair:
    """A listed pair that the fleet was not asked for."""
    place = scale.markets[0]
    return Pair(*place, registry.pairs(*place, pairs_each(scale))[-1])


def comparable(pair: Pair) -> bool:
    """Whether the venue's sequences are the same on every socket: a hand-over then needs no seam."""
    return venues.find(pair.venue, pair.market).sequence_comparable
