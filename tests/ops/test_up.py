"""`fleet up`: several watched daemons."""

import asyncio
import os
import signal
from pathlib import Path

from fleet.pair import Pair
from tests.support.commands import assert_one_line, run_fleet
from tests.support.fleet_processes import START_S, Fleet

PAIRS = [Pair("okx", "spot", "BTC/USDT"), Pair("okx", "futures", "ETH/USDT"), Pair("okx", "spot", "ETH/USDT")]


async def members(fleet: Fleet) -> set[int]:
    return {member.pid for member in await fleet.members()}


async def two_members(fleet: Fleet, wait_until, without: int = 0) -> set[int]:
    async def there() -> set[int] | None:
        found = await members(fleet)
        return found if len(found) == 2 and without not in found else None

    return await wait_until(there, f"two members: {fleet.daemons}", START_S)


def is_alive(pid: int) -> bool:
    """Whether the process exists and has not ended (a zombie has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return Path("/proc").is_dir() is False


async def test_a_daemon_that_ends_is_started_again_and_sigterm_ends_all_in_order(new_fleet, wait_until):
    fleet = await new_fleet(PAIRS)
    up = fleet.start("up", "-n", "2")
    pids = await two_members(fleet, wait_until)
    before = await fleet.live(PAIRS)
    victim = int(before[0].owner.split(":")[1])
    assert victim in pids
    os.kill(victim, signal.SIGKILL)
    await up.said(f"(pid {victim}) ended with code -9; the next starts in")
    await fleet.newer([before[0].pair], before[0].epoch)
    now = await two_members(fleet, wait_until, without=victim)
    assert now & pids == pids - {victim}
    up.terminate()
    assert await up.ended() == 0
    assert not [pid for pid in pids | now if is_alive(pid)]
    assert await fleet.lease_holders(PAIRS) == {}
    assert await members(fleet) == set()
    assert not up.says("Traceback"), up


async def test_kill_9_of_up_leaves_no_daemon(new_fleet, wait_until):
    fleet = await new_fleet(PAIRS[:1])
    up = fleet.start("up", "-n", "2")
    pids = await two_members(fleet, wait_until)
    assert all(is_alive(pid) for pid in pids)
    await up.kill()
    await wait_until(lambda: not any(is_alive(pid) for pid in pids), f"the end of {pids}", 20)


async def test_a_daemon_that_could_never_work_ends_up_with_its_code_and_one_line(own_redis, sqlite_url):
    server = await own_redis({"requirepass": "right-word"})
    url = server.url.replace("right-word", "wrong-word")
    ended = await asyncio.to_thread(
        run_fleet, "up", "-n", "2", FLEET_REDIS_URL=url, FLEET_DATABASE_URL=sqlite_url, FLEET_LOG_LEVEL="warning",
        FLEET_ROLES="feed",
    )  # fmt: skip
    assert_one_line(ended, 4, "login refused", "FLEET_REDIS_URL")
    assert "wrong-word" not in ended.err


def test_missing_tables_end_up_with_the_mend(redis_url, sqlite_url):
    ended = run_fleet(
        "up", "-n", "2", FLEET_REDIS_URL=redis_url, FLEET_DATABASE_URL=sqlite_url, FLEET_LOG_LEVEL="warning",
        FLEET_ROLES="feed",
    )  # fmt: skip
    assert_one_line(ended, 5, "is missing", "fleet init")


def test_a_wrong_setting_is_told_before_any_daemon_starts():
    assert_one_line(run_fleet("up", "-n", "2", FLEET_LEASE_MS="soon"), 2, "FLEET_LEASE_MS")
