"""Which checks are made, in which order."""

from fleet import clock
from fleet.config import Settings
from ops.doctor.check import Check
from ops.doctor.databases import check_clickhouse, check_sql
from ops.doctor.machine import check_machine
from ops.doctor.redis_server import check_redis
from ops.doctor.venues import check_venues


async def examine(
    settings: Settings,
    *,
    venues: bool = False,
    wall_ms: clock.WallMs = clock.wall_ms,
    mono_ms: clock.MonoMs = clock.mono_ms,
) -> list[Check]:
    """Ask this machine, Redis, SQL, ClickHouse and, when `venues`, the venues' endpoints. Raises nothing but bugs."""
    checks = check_machine(settings)
    checks += await check_redis(settings, wall_ms, mono_ms)
    checks += await check_sql(settings, wall_ms, mono_ms)
    checks += await check_clickhouse(settings)
    if venues:
        checks += await check_venues(settings, mono_ms)
    return checks
