"""Faults of the machine around a worker: its clock, its processor, its memory, the database of tasks."""

import asyncio
from functools import partial

import msgspec

from fleet import clock
from fleet.lease import LossReason
from fleet.pair import Pair
from ops.chaos.child import ChaosDaemon
from ops.chaos.fleet import ChaosFleet
from ops.chaos.ground import Moment, spare_pair
from ops.chaos.hurtable import Handle
from ops.chaos.late import until
from ops.chaos.memory import resident_mb, slope_per_hour
from ops.chaos.result import Result
from ops.chaos.scale import Scale
from ops.chaos.scenario import Scenario
from ops.chaos.stage import staged
from ops.embedded.mariadb import MariaDB

HOUR_MS = 3_600_000
STALL_MS = 2000
STALL_LEASE_MS = 4000  # of it half may pass in a stall; a shorter lease would be another question
STALL_SHOWN = 0.8  # of a stall must show: it may begin while the loop was idle for a moment
GROWTH_PERCENT = 1.0  # an hour
GROWTH_MEANS_S = 1800.0  # a slope of less time says nothing
SAMPLES = 120
AWAY = r"tasks: .*the last good tasks stay in force"
HANGS = r"tasks: .* does not answer: expected it within .*the last good tasks stay in force"


async def clock_jump(scale: Scale, seed: int) -> Result:
    """The wall clock of one worker jumps an hour ahead, an hour back and home: no lease, no book, no leader changes."""
    async with staged("clock-jump", scale, seed) as (fleet, result):
        handle, worker = await _start_hurtable(fleet)
        leader = fleet.watcher.leader
        for offset_ms in (HOUR_MS, -HOUR_MS, 0):
            at = fleet.look_aside()
            handle.shift(offset_ms)
            await asyncio.sleep(1.5 * scale.lease_ms / 1000)  # leases, beats and the election had their turns
            await _shifted(fleet, result, worker, offset_ms, at)
            await _kept(fleet, result, at, f"a clock that is {offset_ms / HOUR_MS:+g} h off")
            if fleet.watcher.leader != leader:
                result.violations.append(f"the leader changed from {leader} to {fleet.watcher.leader}")
    return result


async def loop_blocked(scale: Scale, seed: int) -> Result:
    """The event loop of a worker is busy for 2 s: the stall is shown, its leases stay its own, its books follow."""
    longer = msgspec.structs.replace(scale, lease_ms=max(scale.lease_ms, STALL_LEASE_MS))
    async with staged("loop-blocked", longer, seed) as (fleet, result):
        handle, worker = await _start_hurtable(fleet)
        at = fleet.look_aside()
        handle.block(STALL_MS)
        await _stalled(fleet, result, worker, at)
    return result


async def worker_stopped_briefly(scale: Scale, seed: int) -> Result:
    """SIGSTOP a worker for 2 s, half a lease: the stall is shown, its leases stay its own, its books follow."""
    longer = msgspec.structs.replace(scale, lease_ms=max(scale.lease_ms, STALL_LEASE_MS))
    async with staged("stopped-briefly", longer, seed) as (fleet, result):
        await fleet.start()
        worker = fleet.any_owner()
        at = fleet.look_aside()
        worker.pause()
        await asyncio.sleep(STALL_MS / 1000)
        worker.resume()
        await _stalled(fleet, result, worker, at)
    return result


async def memory_soak(scale: Scale, seed: int) -> Result:
    """Nothing is done for an hour (a minute when small): no worker's memory grows by more than 1 % an hour."""
    longer = msgspec.structs.replace(scale, most_s=scale.most_s + scale.soak_s)
    async with staged("memory-soak", longer, seed, history=False) as (fleet, result):
        await fleet.start()
        started_ms, every_s = clock.mono_ms(), scale.soak_s / SAMPLES
        samples: dict[ChaosDaemon, list[tuple[float, float]]] = {daemon: [] for daemon in fleet.daemons}
        for _ in range(SAMPLES):
            await asyncio.sleep(every_s)
            for daemon, taken in samples.items():
                taken.append(((clock.mono_ms() - started_ms) / 1000, resident_mb(daemon.pid)))
        for taken in samples.values():
            warm = taken[len(taken) // 4 :]
            slope = slope_per_hour(warm)
            result.measure("memory_mb", warm[-1][1])
            result.measure("grown_mb", warm[-1][1] - warm[0][1])
            if scale.soak_s >= GROWTH_MEANS_S:
                result.measure("growth_percent_an_hour", 100 * slope / warm[0][1], GROWTH_PERCENT)
        if scale.soak_s < GROWTH_MEANS_S:
            result.notes.append(f"a slope means nothing after {scale.soak_s:g} s: growth an hour is not judged")
    return result


async def sql_away(scale: Scale, seed: int) -> Result:
    """The database of tasks is dead for 60 s: every pair goes on, and a task added afterwards is taken up."""
    async with staged("sql-away", scale, seed, mariadb=True) as (fleet, result):
        await fleet.start()
        server, at = _mariadb(fleet), fleet.look_aside()
        await server.kill()
        for daemon in fleet.daemons:
            await until(partial(daemon.lines, AWAY), "word that SQL is away", scale.settle_s, why=daemon.last_words)
        await asyncio.sleep(scale.away_s)
        await _kept(fleet, result, at, "a database that is dead")
        await server.restart()
        await _taken_up(fleet, result)
    return result


async def sql_hangs(scale: Scale, seed: int) -> Result:
    """The database of tasks takes connections and never answers, for 60 s: every pair goes on, new tasks come afterwards."""
    async with staged("sql-hangs", scale, seed, mariadb=True) as (fleet, result):
        await fleet.start()
        server, at = _mariadb(fleet), fleet.look_aside()
        server.pause()
        try:
            for daemon in fleet.daemons:
                await until(partial(daemon.lines, HANGS), "word that SQL hangs", scale.settle_s, why=daemon.last_words)
            await asyncio.sleep(scale.away_s)
            await _kept(fleet, result, at, "a database that hangs")
        finally:
            server.resume()
        await _taken_up(fleet, result)
    return result


def _mariadb(fleet: ChaosFleet) -> MariaDB:
    if fleet.mariadb is None:
        raise AssertionError("a MariaDB was asked for")
    return fleet.mariadb


async def _taken_up(fleet: ChaosFleet, result: Result) -> None:
    back_ms, added = clock.mono_ms(), spare_pair(fleet.scale)
    await fleet.add_tasks(added)

    async def owned() -> bool:
        return bool(await fleet.redis.exists(fleet.keys.lease(added)))

    await until(owned, f"the task of {added} to be taken up", fleet.scale.settle_s, why=fleet.last_words)
    result.measure("taken_up_ms", clock.mono_ms() - back_ms)


# ── what is looked at ────────────────────────────────────────────────────────────────────────────────────────────────────


async def _start_hurtable(fleet: ChaosFleet) -> tuple[Handle, ChaosDaemon]:
    """The fleet, one of its daemons with a handle; that one owns pairs."""
    handle = Handle(fleet.folder / "handle")
    worker = fleet.start_daemon(command=handle.command())
    await fleet.start(count=fleet.scale.daemons - 1)
    await until(lambda: fleet.owned_by(worker), "the worker with the handle to own pairs", fleet.scale.settle_s)
    return handle, worker


async def _shifted(fleet: ChaosFleet, result: Result, worker: ChaosDaemon, offset_ms: int, at: Moment) -> None:
    """That the clock did jump: the frames of its pairs are stamped by it."""
    await fleet.recorded()
    pairs: set[Pair] = set(fleet.owned_by(worker))
    stamped = [entry for pair in pairs for entry in fleet.entries(pair, at) if entry.t == "delta"]
    last = stamped[-1] if stamped else None
    seen_ms = None if last is None else last.received_us / 1000 - int(last.id.partition("-")[0])
    if seen_ms is None or abs(seen_ms - offset_ms) > HOUR_MS / 10:
        result.violations.append(f"the clock was to be {offset_ms} ms off, its newest delta says {seen_ms}")


async def _stalled(fleet: ChaosFleet, result: Result, worker: ChaosDaemon, at: Moment) -> None:
    """A stall of STALL_MS that began at `at` shows in the status, and costs nothing else."""
    shown = 0.0

    async def told() -> bool:
        nonlocal shown
        members = {member["id"]: member for member in (await fleet.status())["members"]}
        shown = max(shown, float(members.get(worker.identity, {}).get("loop_stall_ms", 0.0)))
        return shown >= STALL_MS * STALL_SHOWN

    await until(told, "the stall in the status", fleet.scale.settle_s, why=lambda: f"it says {shown:g} ms", poll_s=0.1)
    result.measure("stall_shown_ms", shown)
    await asyncio.sleep(fleet.scale.lease_ms / 1000)
    await _kept(fleet, result, at, f"a stall of {STALL_MS} ms")


async def _kept(fleet: ChaosFleet, result: Result, at: Moment, through: str) -> None:
    """Since `at` no lease ran out, for its holder or for all, and no book was declared lost. Planned moves are none of it."""
    await fleet.recorded()
    lapsed = resets = moved = 0
    for pair in fleet.pairs:
        changes = fleet.watcher.changes(pair, at.mono_ms)
        moved += bool(changes)
        if any(change.holder is None for change in changes):
            lapsed += 1
            result.violations.append(f"{pair}: its lease ran out through {through}: {changes}")
        if told := fleet.chain(pair, at).resets:
            resets += told
            result.violations.append(f"{pair} was reset {told} times through {through}")
    for daemon in fleet.daemons:
        for fact in fleet.facts(daemon):
            if fact.fact == "lost" and fact.reason == LossReason.EXPIRED and fact.mono_ms >= at.mono_ms:
                lapsed += 1
                result.violations.append(f"{daemon.name} took a lease of its own for expired through {through}: {fact}")
    result.measure("leases_run_out", lapsed, 0)
    result.measure("books_reset", resets, 0)
    result.measure("pairs_moved", moved)


SCENARIOS = (
    Scenario("clock-jump", 20, clock_jump),
    Scenario("loop-blocked", 20, loop_blocked),
    Scenario("stopped-briefly", 20, worker_stopped_briefly),
    Scenario("memory-soak", 20, memory_soak),
    Scenario("sql-away", 20, sql_away),
    Scenario("sql-hangs", 20, sql_hangs),
)
