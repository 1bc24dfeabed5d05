"""`fleet demo`: the whole system on this machine, from nothing: embedded servers, all venues simulated, two daemons.

It needs no server, account or internet. With a terminal it shows `fleet top`; with `seconds` it runs headless. Either way it
ends with one line of JSON, and with an error unless every pair was live and history equals the stream.

A signal ends the show early and in order, like q; before all pairs are live, and when it comes twice, it ends everything at
once. Nothing stays behind in any case: no process, no file.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from feeds import venues
from fleet import clock
from fleet.config import PREFIX, Settings, environment, load
from fleet.errors import FleetError
from fleet.pair import Pair
from fleet.schema import create_schema
from fleet.sql import engine as sql_engine
from fleet.tasks import Task, TaskStore
from monitor.clickhouse import create_schema as create_history
from ops.demo_check import Check, Summary
from ops.embedded.clickhouse import EmbeddedClickHouse
from ops.embedded.process import ServerProcess
from ops.embedded.redis import EmbeddedRedis
from ops.interruption import Interruption, in_order
from ops.simulator import registry
from ops.up import Up

if TYPE_CHECKING:
    from ops.top.terminal import Terminal

DAEMONS = 2
OLDER = {"kucoin_classic"}  # the sockets of before of a venue that is here with its new ones
MARKETS = tuple(one for one in registry.VENUE_MARKETS if one[0] not in OLDER)
PAIRS = 3  # of each market: enough for every kind of book, and light on two cores
DEPTHS = ("50", "20", "full")
LIVE_WITHIN_S = 120.0
LIVE_AGAIN_WITHIN_S = 10.0  # a pair that was just resubscribed is no failure
SIMULATOR_READY_S = 20.0
CHECK_WITHIN_S = 120.0  # seconds are enough; the rest is for a starved machine
LOG_SHOWN = 4000  # characters of the daemons' log, where something went wrong
GRIDS = (
    (Pair("binance", "spot", "BTC/USDT"), {"grid_step": "0.01%", "order_size": "0.002", "levels": 5}),
    (Pair("okx", "spot", "ETH/USDT"), {"grid_step": "0.01%", "order_size": "0.05", "levels": 5}),
)

Endpoints = list[dict[str, str]]


def tasks() -> list[Task]:
    """What the demo's fleet is asked to do: every market, different depths and channels, two paper grids."""
    wanted = []
    for venue, market in MARKETS:
        for index, pair in enumerate(registry.pairs(venue, market, PAIRS)):
            channels = frozenset({"book", "bbo", "trades"} if index == 0 else {"book"})
            task = Task(table="MONITORING", pair=Pair(venue, market, pair), depth=DEPTHS[index], channels=channels)
            wanted.append(task)
    grids = [Task(table="TRADE", pair=pair, strategy="grid", params=params, priority=2) for pair, params in GRIDS]
    return [*wanted, *grids]


async def demo(seconds: float | None, terminal: "Terminal | None" = None) -> int:
    """Run it for `seconds`, or on `terminal` until q. The exit code: 0, 1, or 128 + the signal that broke it off.

    Raises FleetError for what cannot be set up.
    """
    summaries = []

    async def play(interruption: Interruption) -> None:
        with tempfile.TemporaryDirectory(prefix="fleet-demo-") as folder:
            summaries.append(await _run(Path(folder), seconds, terminal, interruption))

    if broken_off := await in_order(play, _say):
        return broken_off
    [summary] = summaries
    for complaint in summary.complaints:
        _say(complaint)
    if not summary.complaints:
        _say(f"all is well: {summary.pairs} pairs live, history equals streams and books")
    print(json.dumps(summary.as_json()), flush=True)
    return 1 if summary.complaints else 0


async def _run(folder: Path, seconds: float | None, terminal: "Terminal | None", stop: Interruption) -> Summary:
    names = sorted({venue for venue, _ in MARKETS})
    _say(f"starting Redis, ClickHouse and {len(MARKETS)} simulated markets: {', '.join(names)} …")
    if off := sorted({venue for venue, market in MARKETS if _is_off(venue, market)}):
        _say(f"{', '.join(off)}: off by default, turned on for this demo (`fleet doctor --venues` says why)")
    async with _servers(folder) as (environ, endpoints):
        settings, log = load(environ=environ), folder / "daemons.log"
        async with Check(settings, [task.pair for task in tasks()]) as check:
            await _prepare(settings)
            _say(f"starting {DAEMONS} daemons …")
            up = Up(DAEMONS, env={**_plain_environ(), **environ}, log=log)
            async with asyncio.TaskGroup() as group:
                group.create_task(_keep(up, log), name="demo: daemons")
                try:
                    if terminal is None:
                        await _headless(check, seconds or 0.0, stop)
                    else:
                        await _on_screen(check, settings, terminal, stop)
                    summary = await _judge(check, endpoints)
                finally:
                    up.stop()
    if summary.complaints:
        print(_last_words(log), file=sys.stderr)
    return summary


def _say(text: str) -> None:
    print(f"fleet demo: {text}", file=sys.stderr, flush=True)


async def _keep(up: Up, log: Path) -> None:
    if await up.run():
        raise FleetError(f"the daemons cannot work (exit code {up.exit_code}); their last words: {_last_words(log)}")


def _last_words(log: Path) -> str:
    return log.read_text(errors="replace")[-LOG_SHOWN:].strip() if log.exists() else ""


def _plain_environ() -> dict[str, str]:
    """Our environment without settings of a fleet: the demo is its own world."""
    return {name: value for name, value in environment().items() if not name.startswith(PREFIX)}


@asynccontextmanager
async def _servers(folder: Path) -> AsyncIterator[tuple[dict[str, str], Endpoints]]:
    """Redis, ClickHouse and the simulated venues: the settings that point to them, and the simulator's endpoints."""
    async with EmbeddedRedis(folder / "redis") as redis, EmbeddedClickHouse(folder / "clickhouse") as clickhouse:
        simulator = ServerProcess(
            "venue simulator",
            [sys.executable, "-m", "ops.simulator", *map(":".join, MARKETS), "--pairs", str(PAIRS)],
            directory=Path.cwd(),
            log=folder / "sim.log",
        )
        simulator.start()
        try:
            endpoints: Endpoints = []

            async def announced() -> bool:
                first = simulator.tail().partition("\n")[0] if simulator.log.exists() else ""
                if not first.endswith("]"):
                    return False
                endpoints.extend(json.loads(first))
                return True

            await simulator.wait_ready(announced, SIMULATOR_READY_S)
            environ = {
                "FLEET_REDIS_URL": redis.url,
                "FLEET_CLICKHOUSE_URL": f"{clickhouse.url.rpartition('/')[0]}/fleet",
                "FLEET_DATABASE_URL": f"sqlite:///{folder / 'fleet.db'}",
                "FLEET_SNAPSHOT_MS": "5000",
                "FLEET_LOG_LEVEL": "info",
            }
            for end in endpoints:
                name = f"FLEET_VENUES__{end['venue'].upper()}__{end['market'].upper()}__"
                environ |= {name + "REST_URL": end["rest_url"], name + "WS_URL": end["ws_url"]}
                if _is_off(end["venue"], end["market"]):
                    environ[name + "ENABLED"] = "true"
            yield environ, endpoints
        finally:
            await simulator.stop(5.0)


def _is_off(venue: str, market: str) -> bool:
    return venues.find(venue, market).traits.off_because is not None


async def _prepare(settings: Settings) -> None:
    engine = sql_engine(settings)
    try:
        await create_schema(engine)
        await TaskStore(engine).add(tasks())
    finally:
        await engine.dispose()
    if settings.clickhouse_url is not None:
        await create_history(settings.clickhouse_url.get_secret_value())


async def _headless(check: Check, seconds: float, stop: Interruption) -> None:
    """Until `seconds` have passed since the daemons were started, or until asked to stop once all pairs are live."""
    started_ms = clock.mono_ms()
    live = await check.wait_live(LIVE_WITHIN_S)
    stop.finishing = True
    passed_s = (clock.mono_ms() - started_ms) / 1000
    left_s = max(0.0, seconds - passed_s)
    _say(f"{live} of {len(check.pairs)} pairs live after {passed_s:.1f} s; going on for {left_s:.0f} s …")
    await stop.pause(left_s)


async def _on_screen(check: Check, settings: Settings, terminal: "Terminal", stop: Interruption) -> None:
    """`fleet top`, from the first live pair on: before, it would only say what is missing."""
    from ops.cli.top import show

    await check.wait_live(LIVE_WITHIN_S, least=1)
    stop.finishing = True
    await show(settings, terminal)
    stop.listen()
    await check.wait_live(LIVE_AGAIN_WITHIN_S)


async def _judge(check: Check, endpoints: Endpoints) -> Summary:
    """Look at the fleet as it runs, stop the markets, and compare what then stands still."""
    not_live, daemons = await check.not_live(), await check.daemons()
    _say("comparing history with the streams and the books …")
    await _freeze(endpoints)
    summary = await check.compare(CHECK_WITHIN_S)
    return summary.with_fleet(not_live, daemons, await _messages(endpoints))


async def _freeze(endpoints: Endpoints) -> None:
    """Stop the simulated markets, so that what is compared stands still."""
    async with httpx.AsyncClient(timeout=10.0) as client:
        for end in endpoints:
            order = {"venue": end["venue"], "market": end["market"], "action": "freeze_market"}
            (await client.post(end["control_url"], json=order)).raise_for_status()


async def _messages(endpoints: Endpoints) -> int:
    async with httpx.AsyncClient(timeout=10.0) as client:
        rows: list[Mapping[str, Any]] = (await client.get(f"{endpoints[0]['control_url']}/stats")).json()
    return sum(int(row["messages_sent"]) for row in rows)
