"""`fleet demo`: the whole system on this machine, from nothing: embedded servers, simulated venues, two daemons.

It needs no server, account or internet. With a terminal it shows `fleet top`; with `seconds` it runs headless. Either way it
ends with one line of JSON, and with an error unless every pair was live and history equals the stream.
"""

import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from fleet import clock
from fleet.config import PREFIX, Settings, environment, load
from fleet.pair import Pair
from fleet.schema import create_schema
from fleet.sql import engine as sql_engine
from fleet.tasks import Task, TaskStore
from monitor.clickhouse import create_schema as create_history
from ops.demo_check import Check, Summary
from ops.embedded.clickhouse import EmbeddedClickHouse
from ops.embedded.process import ServerProcess
from ops.embedded.redis import EmbeddedRedis
from ops.up import Up

DAEMONS = 2
BASES = ("BTC", "ETH", "SOL", "XRP", "DOGE", "ADA")
MARKETS = (("binance", "spot"), ("binance", "futures"), ("okx", "spot"), ("okx", "futures"))
LIVE_WITHIN_S = 60.0
SIMULATOR_READY_S = 20.0
CHECK_WITHIN_S = 30.0
GRIDS = (
    (Pair("binance", "spot", "BTC/USDT"), {"grid_step": "0.01%", "order_size": "0.002", "levels": 5}),
    (Pair("okx", "spot", "ETH/USDT"), {"grid_step": "0.01%", "order_size": "0.05", "levels": 5}),
)


def tasks() -> list[Task]:
    """What the demo's fleet is asked to do: every market, different depths and channels, two paper grids."""
    wanted = []
    for venue, market in MARKETS:
        for index, base in enumerate(BASES):
            depth = ("full" if venue == "okx" else "50", "20", "50")[index % 3]
            channels = frozenset({"book", "bbo", "trades"} if base == "BTC" else {"book"})
            wanted.append(
                Task(table="MONITORING", pair=Pair(venue, market, f"{base}/USDT"), depth=depth, channels=channels)
            )
    grids = [Task(table="TRADE", pair=pair, strategy="grid", params=params, priority=2) for pair, params in GRIDS]
    return [*wanted, *grids]


async def demo(seconds: float | None) -> int:
    """Run it; None: with `fleet top` until q. The exit code. Raises FleetError for what cannot be set up."""
    with tempfile.TemporaryDirectory(prefix="fleet-demo-") as folder:
        async with _servers(Path(folder)) as (environ, endpoints):
            settings = load(environ=environ)
            check = Check(settings, [task.pair for task in tasks()])
            async with check:
                await _prepare(settings)
                up = Up(DAEMONS, env={**_plain_environ(), **environ}, log=Path(folder, "daemons.log"))
                for number in (signal.SIGTERM, signal.SIGINT):
                    asyncio.get_running_loop().add_signal_handler(number, up.stop)
                async with asyncio.TaskGroup() as group:
                    group.create_task(up.run(), name="demo: daemons")
                    try:
                        summary = await _play(settings, check, endpoints, seconds)
                    finally:
                        up.stop()
            if summary.complaints:
                _show_end(Path(folder, "daemons.log"))
    print(json.dumps(summary.as_json()))
    for complaint in summary.complaints:
        print(f"fleet demo: {complaint}", file=sys.stderr)
    return 1 if summary.complaints else 0


def _show_end(log: Path) -> None:
    print(log.read_text(errors="replace")[-4000:], file=sys.stderr)


def _plain_environ() -> dict[str, str]:
    """Our environment without settings of a fleet: the demo is its own world."""
    return {name: value for name, value in environment().items() if not name.startswith(PREFIX)}


@asynccontextmanager
async def _servers(folder: Path) -> AsyncIterator[tuple[dict[str, str], list[dict[str, str]]]]:
    """Redis, ClickHouse and the simulated venues: the settings that point to them, and the simulator's endpoints."""
    async with EmbeddedRedis(folder / "redis") as redis, EmbeddedClickHouse(folder / "clickhouse") as clickhouse:
        simulator = ServerProcess(
            "venue simulator", [sys.executable, "-m", "ops.simulator"], directory=Path.cwd(), log=folder / "sim.log"
        )
        simulator.start()
        try:
            endpoints: list[dict[str, str]] = []

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
            yield environ, endpoints
        finally:
            await simulator.stop(5.0)


async def _prepare(settings: Settings) -> None:
    engine = sql_engine(settings)
    try:
        await create_schema(engine)
        await TaskStore(engine).add(tasks())
    finally:
        await engine.dispose()
    if settings.clickhouse_url is not None:
        await create_history(settings.clickhouse_url.get_secret_value())


async def _play(settings: Settings, check: Check, endpoints: list[dict[str, str]], seconds: float | None) -> Summary:
    started_ms = clock.mono_ms()
    if seconds is None:
        from ops.cli.top import show
        from ops.top.terminal import Terminal

        print("starting two daemons on simulated Binance and OKX …", file=sys.stderr)
        await show(settings, Terminal())
    else:
        await check.wait_live(LIVE_WITHIN_S)
        left_s = seconds - (clock.mono_ms() - started_ms) / 1000
        await asyncio.sleep(max(0.0, left_s))
    pairs_live, daemons = await check.live_pairs(), await check.daemons()
    await _freeze(endpoints)
    summary = await check.compare(CHECK_WITHIN_S)
    return summary.with_fleet(pairs_live, daemons, await _messages(endpoints))


async def _freeze(endpoints: list[dict[str, str]]) -> None:
    """Stop the simulated markets, so that what is compared stands still."""
    async with httpx.AsyncClient(timeout=10.0) as client:
        for end in endpoints:
            order = {"venue": end["venue"], "market": end["market"], "action": "freeze_market"}
            (await client.post(end["control_url"], json=order)).raise_for_status()


async def _messages(endpoints: list[dict[str, str]]) -> int:
    async with httpx.AsyncClient(timeout=10.0) as client:
        rows: list[Mapping[str, Any]] = (await client.get(f"{endpoints[0]['control_url']}/stats")).json()
    return sum(int(row["messages_sent"]) for row in rows)
